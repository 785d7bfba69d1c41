"""`parfocal calibrate all`: the order, what an interruption leaves, and the report."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from parfocal.calib.errors import CalibPoor
from parfocal.calib.store import Owner, Store, default_folder
from parfocal.calib.value import Measured
from parfocal.edge.cli import asked as cli_asked
from parfocal.edge.cli.calibrating import all_parts as cli_all
from parfocal.edge.cli.calibrating.all_parts import PARTS, AllReport, Part, Progress, parts_of, progress_of
from parfocal.edge.cli.calibrating.bench import Bench
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.instrument import Instrument
from tests.edge.calibrate.plain import Plain
from tests.edge.cli.typed import Run

NOW = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)


def test_a_lens_is_measured_last_and_only_where_there_is_one() -> None:
    assert parts_of(Config()) == PARTS
    with_lens = parts_of(config_from_toml('[lens]\nkind = "board"\n', "t"))
    assert [part.name for part in with_lens] == ["camera", "stage", "backlash", "optics", "focus", "lens"]


def test_a_trigger_is_measured_only_where_the_camera_has_one() -> None:
    toml = '[camera]\nkind = "aravis"\ntrigger_line = "Line1"\n'
    assert [part.name for part in parts_of(config_from_toml(toml, "t"))][-1] == "trigger"


class Parts:
    """Parts that keep a value at once, and may fail; `begun` are those that were begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.fails: dict[str, BaseException] = {}

    def made(self) -> tuple[Part, ...]:
        names = {"first": "x_play_um", "second": "y_play_um", "third": "z_play_um"}
        return tuple(Part(name, 1, self._measure(name, value)) for name, value in names.items())

    def _measure(self, name: str, value: str) -> Any:  # noqa: ANN401
        def measure(bench: Bench) -> str:
            self.begun.append(name)
            if name in self.fails:
                raise self.fails.pop(name)
            raw = bench.store.keep_raw(value, {"seen": []})
            bench.store.keep(value, Measured(7.0, 0.1, bench.stamp.measured_at, "m", "1", raw))
            return f"{name} found 7"

        return measure


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    made = Parts()

    @contextlib.contextmanager
    def opened(*_arguments: Any, **_named: Any) -> Iterator[Instrument]:  # noqa: ANN401
        plain = Plain({})
        yield plain.instrument
        plain.board.close()

    monkeypatch.setattr(cli_asked, "opened_instrument", opened)
    monkeypatch.setattr(cli_all, "PARTS", made.made())
    return made


def report(path: Path) -> AllReport:
    return msgspec.json.decode(path.read_bytes(), type=AllReport)


def test_the_parts_come_in_the_order_in_which_each_builds_on_those_before() -> None:
    assert [part.name for part in PARTS] == ["camera", "stage", "backlash", "optics", "focus"]


def test_every_part_is_measured_and_the_report_shows_it(run: Run, parts: Parts, tmp_path: Path) -> None:
    code, printed, told = run("calibrate", "all", "--json", "all.json")
    assert (code, told) == (0, "")
    assert parts.begun == ["first", "second", "third"]
    assert "report: calibration.html" in printed
    page = (tmp_path / "calibration.html").read_text()
    assert "<b>third</b>: third found 7" in page
    assert page.count("<td>used</td>") == 3
    found = report(tmp_path / "all.json")
    assert [(one.part, one.outcome) for one in found.parts] == [
        (name, "measured") for name in ("first", "second", "third")
    ]
    assert found.calibration == Store(default_folder(), Owner(1, "20x/0.75")).load().used
    run("calibrate", "all")  # a finished run is not continued
    assert parts.begun == ["first", "second", "third"] * 2


def test_an_interrupted_run_is_continued_where_it_ended(run: Run, parts: Parts, tmp_path: Path) -> None:
    parts.fails["second"] = KeyboardInterrupt()
    assert run("calibrate", "all")[0] == 130
    code, printed, _ = run("calibrate", "all", "--json", "all.json")
    assert code == 0
    assert parts.begun == ["first", "second", "second", "third"]
    assert "first: measured by the run that is continued" in printed
    assert [one.outcome for one in report(tmp_path / "all.json").parts] == ["earlier", "measured", "measured"]


def test_a_run_begins_anew_if_it_is_asked_to(run: Run, parts: Parts) -> None:
    parts.fails["second"] = KeyboardInterrupt()
    run("calibrate", "all")
    assert run("calibrate", "all", "--anew")[0] == 0
    assert parts.begun == ["first", "second", "first", "second", "third"]


def test_a_refused_part_ends_the_run_and_the_report_says_why(run: Run, parts: Parts, tmp_path: Path) -> None:
    parts.fails["second"] = CalibPoor("the field is empty.")
    code, _, told = run("calibrate", "all", "--json", "all.json")
    assert (code, told) == (5, "CalibPoor: the field is empty.\n")
    assert "<li class=poor><b>second</b>: the field is empty." in (tmp_path / "calibration.html").read_text()
    assert [one.outcome for one in report(tmp_path / "all.json").parts] == ["measured", "refused"]
    assert run("calibrate", "all")[0] == 0
    assert parts.begun == ["first", "second", "second", "third"]


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_opened(run: Run, parts: Parts) -> None:
    code, _, told = run("calibrate", "all", "--report", "/proc/none/page.html")
    assert (code, "--report" in told, parts.begun) == (2, True, [])


def test_an_old_run_and_one_whose_store_is_gone_are_not_continued(tmp_path: Path) -> None:
    store = Store(tmp_path, Owner(1, "20x/0.75"))
    begun = Progress(NOW, {"first": "found"})
    store.keep_raw("all", begun)
    assert progress_of(store, NOW, anew=False) == Progress(NOW, {})  # nothing is in the store
    store.keep("z_play_um", Measured(7.0, 0.1, NOW, "m", "1", "r.json"))
    later = NOW + timedelta(hours=1)
    assert progress_of(store, later, anew=False) == begun
    assert progress_of(store, later, anew=True).done == {}
    assert progress_of(store, NOW + timedelta(hours=13), anew=False).done == {}
    store.raw_path("all").write_text("{")
    assert progress_of(store, later, anew=False).done == {}
