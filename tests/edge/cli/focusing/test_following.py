"""`parfocal focus --follow`: what a run keeps that is ended, and what it refuses."""

import json
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from parfocal.edge.camera.frame import Frame
from parfocal.edge.cli.focusing.following import follow_field, patches_in_time, show_followed
from parfocal.edge.cli.showing.output import GrowingResult, growing_result
from parfocal.edge.config import Config
from parfocal.edge.focus.following.follower import FollowEvent
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.scan.follow_report import MAX_EVENTS, FollowLog, FollowReport
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import FieldReport
from parfocal.engines.predictor import Predictor
from tests.edge.cli.typed import Run
from tests.edge.scope import FOCUS_Z_UM, KnowsTruth, Scope, small, with_focus

CONFIG = with_focus(
    small(Config()), first_sweep_start_um=2491.0, first_sweep_stop_um=2509.0, first_sweep_step_um=3.0
)


def followed(scope: Scope, path: Path, seconds: float) -> None:
    predictor = Predictor(KnowsTruth(scope.bench, FOCUS_Z_UM))
    console = Console(quiet=True)
    result: GrowingResult[FollowReport]
    with growing_result(path, partial(show_followed, console)) as result:
        follow_field(
            scope.instrument(),
            predictor,
            predictor,
            scope.config,
            Field(scope.x_um, scope.y_um),
            seconds,
            console,
            result,
        )


def test_ctrl_c_ends_following_with_the_lamp_off_and_the_report_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = Scope(CONFIG)
    grab, since = scope.camera.grab, scope.bench.clock.now_s()

    def interrupted() -> Frame:
        if scope.bench.clock.now_s() - since > 6.0:
            raise KeyboardInterrupt
        return grab()

    monkeypatch.setattr(scope.camera, "grab", interrupted)
    monkeypatch.setattr("parfocal.edge.cli.focusing.following.patches_in_time", lambda *_: 4)
    with pytest.raises(KeyboardInterrupt):
        followed(scope, tmp_path / "follow.json", 3600.0)
    assert scope.bench.lamp_duty(scope.bench.clock.now_s()) == 0.0
    kept = json.loads((tmp_path / "follow.json").read_text())
    assert kept.pop("incomplete") == "interrupted"
    report = msgspec.convert(kept, FollowReport)
    assert report.field.outcome == "focused"
    assert report.frames > 0
    assert report.followed_s > 0.0


def test_an_empty_field_is_not_followed(tmp_path: Path) -> None:
    scope = Scope(CONFIG, blank=True)
    with pytest.raises(FocusLost, match=r"nothing to follow: .* is blank"):
        followed(scope, tmp_path / "follow.json", 1.0)


def test_as_many_patches_are_used_as_are_predicted_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("parfocal.edge.cli.focusing.following.time.perf_counter", lambda: now_s[0])

    class Slow(Predictor):
        def predict(self, batch: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:  # type: ignore[override]
            assert len(batch) == 1
            now_s[0] += self.each_s

        each_s = 0.0

    scope = Scope(CONFIG)
    slow = Slow(KnowsTruth(scope.bench, FOCUS_Z_UM))
    for slow.each_s, n in ((0.2, 1), (0.02, 1), (0.008, 3), (0.001, 7)):
        assert patches_in_time(slow, 7) == n


def test_a_long_run_keeps_its_newest_events_and_says_how_many_there_were() -> None:
    field = FieldReport(0.0, 0.0, 5.0, None, None, None, 4, 1.0, "focused", (), ())
    log = FollowLog(field, 1, None)
    n = 2 * MAX_EVENTS + 3
    for k in range(n):
        log.add(FollowEvent(float(k), "up", 0.0, 0.0))
    follower = type("Done", (), {"frames": 9, "unsharp_frames": 0})()
    report = log.report(follower, 5.0)
    assert MAX_EVENTS // 2 <= len(report.events) <= MAX_EVENTS
    assert report.events[-1].time_s == n - 1
    assert report.earlier_events + len(report.events) == n


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--follow", "--composite", "x"], "leave out --composite"),
        (["--seconds", "5"], "add --follow"),
        (["--drift-um-per-s", "1"], "add --sim"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run: Run, options: list[str], told: str) -> None:
    sim = [] if options[0] == "--drift-um-per-s" else ["--sim"]
    code, _, said = run("focus", *sim, *options)
    assert code == 2
    assert told in said
