"""`parfocal focus` as a user types it: results, what a run keeps that ends early, signals."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from parfocal.board.stub.virtual_bench import VirtualBench, VirtualTransport
from parfocal.calib.store import Owner, Store, default_folder
from parfocal.calib.value import Measured
from parfocal.edge.camera.frame import Camera, Frame
from parfocal.edge.cli import asked as cli_asked
from parfocal.edge.cli import options as cli_options
from parfocal.edge.config import Config
from parfocal.edge.errors import CameraFailed
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.report import RunReport
from parfocal.edge.simscope import bench as simscope_bench
from parfocal.edge.simscope.bench import stub_of
from tests.edge.cli.typed import SHORT_SWEEP, Run, configured, image
from tests.edge.scope import TILES, tissue


def test_a_run_focuses_a_slide_and_reports_every_field(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the demo extra, with the sample tissue, is not installed")
    out = tmp_path / "deep" / "run.json"
    code, printed, _ = run(
        "focus",
        "--sim",
        "--fields",
        9,
        "--seed",
        1,
        "--config",
        configured(tmp_path, SHORT_SWEEP),
        "--json",
        out,
    )
    assert code == 0
    assert "9 fields" in printed
    report = msgspec.json.decode(out.read_bytes(), type=RunReport)
    check_promises(report)


@pytest.mark.skipif(not TILES.exists(), reason="the real tiles are not on this machine")
def test_a_slide_of_another_stain_is_focused_too(run: Run, tmp_path: Path) -> None:
    section = cv2.imread(str(TILES / "he_cmu1" / "cmu-1-small-region_level0.jpg"))
    assert section is not None
    slide = image(
        tmp_path, np.asarray(section[900:2100, 500:1700], np.uint8)
    )  # it goes on as its mirror image
    out = tmp_path / "run.json"
    config = configured(tmp_path, SHORT_SWEEP)
    code, _, _ = run(
        "focus",
        "--sim",
        "--slide",
        slide,
        "--um-per-px",
        0.499,
        "--fields",
        9,
        "--config",
        config,
        "--json",
        out,
    )
    assert code == 0
    check_promises(msgspec.json.decode(out.read_bytes(), type=RunReport))


def check_promises(report: RunReport) -> None:
    """What every run on a virtual slide must fulfil."""
    judged = [f for f in report.fields if f.outcome != "blank"]
    assert len(report.fields) == 9
    assert len(judged) >= 5
    errors_um = [abs(f.error_um) for f in judged if f.error_um is not None]
    assert len(errors_um) == len(judged)
    assert sum(e <= 1.0 for e in errors_um) >= 0.8 * len(judged)
    for field in report.fields:
        assert 0.0 <= field.z_um <= 5000.0
        assert field.elapsed_s > 0.0
        if field.outcome in ("focused", "recovered"):
            assert field.path_um[-1] >= field.path_um[-2]
    for field in judged:
        assert field.error_um is not None
        assert field.began_error_um is not None
        # Inside the depth of field (0.8 um, dastidar2020 2.2.1) one height is as good as another.
        assert abs(field.error_um) <= max(abs(field.began_error_um), 0.8)


def test_the_same_seed_gives_the_same_run(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the demo extra, with the sample tissue, is not installed")
    config = configured(tmp_path, SHORT_SWEEP)
    reports = []
    for name in ("a.json", "b.json"):
        run("focus", "--sim", "--fields", 2, "--seed", 5, "--config", config, "--json", name)
        reports.append((tmp_path / name).read_bytes())
    assert reports[0] == reports[1]


@pytest.fixture
def short_run(tmp_path: Path) -> list[object]:
    """Three fields of a drawn section on a virtual microscope."""
    config = configured(tmp_path, SHORT_SWEEP)
    slide = image(tmp_path, tissue(600))
    return ["focus", "--sim", "--slide", slide, "--um-per-px", 0.345, "--fields", 3, "--config", config]


def test_standard_output_holds_only_the_json(run: Run, short_run: list[object]) -> None:
    code, printed, told = run(*short_run, "--json", "-")
    assert code == 0, told
    assert len(msgspec.json.decode(printed, type=RunReport).fields) == 3
    assert "3 fields" in told


class GivesUp:
    """A camera that is unplugged once a file exists."""

    def __init__(self, camera: Camera, file: Path) -> None:
        self._camera, self._file = camera, file

    def grab(self) -> Frame:
        if self._file.exists():
            raise CameraFailed("camera 0 gave no frame")
        return self._camera.grab()

    def close(self) -> None:
        """Nothing to release."""


def test_a_run_that_ends_early_keeps_and_shows_its_fields(
    run: Run, short_run: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cli_options.opened_instrument

    @contextlib.contextmanager
    def unplugged(*arguments: Any, **named: Any) -> Iterator[Instrument]:  # noqa: ANN401
        with real(*arguments, **named) as instrument:
            yield msgspec.structs.replace(
                instrument, camera=GivesUp(instrument.camera, tmp_path / "run.json")
            )

    monkeypatch.setattr(cli_asked, "opened_instrument", unplugged)
    code, printed, told = run(*short_run, "--json", "run.json")
    assert (code, "CameraFailed" in told) == (3, True), told
    assert told.count("\n") == 1
    kept = json.loads((tmp_path / "run.json").read_text())
    assert len(kept["fields"]) == 1
    assert kept["incomplete"] == "CameraFailed: camera 0 gave no frame"
    assert "1 field" in printed


def test_the_report_has_the_promised_keys(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the demo extra, with the sample tissue, is not installed")
    config = configured(tmp_path, SHORT_SWEEP)
    store = Store(default_folder(), Owner(stub_of(Config(), 1).unit_serial, "20x/0.75"))
    when = datetime(2026, 11, 26, tzinfo=timezone.utc)
    used = store.keep("z_play_um", Measured(20.0, 0.1, when, "focus curves", "0.1.0", "raw.json")).used
    run("focus", "--sim", "--fields", 1, "--config", config, "--json", "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert used is not None
    assert report["calibration"] == {"id": used.id, "measured_at": "2026-11-26T00:00:00Z"}
    assert {
        "x_um",
        "y_um",
        "z_um",
        "true_focus_z_um",
        "error_um",
        "images",
        "elapsed_s",
        "outcome",
        "attempts",
    } <= set(report["fields"][0])
    assert {
        *("z1_um", "z2_um", "predictions_um", "distance_um", "spread_um", "rule"),
        *("sigma_um", "believed", "doubt"),
    } == set(report["fields"][0]["attempts"][0])
    assert {
        *("fields", "focused", "recovered", "blank", "lost", "mean_abs_error_um", "p95_abs_error_um"),
        *("images_per_focus", "s_per_focus"),
    } <= set(report["summary"])


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_a_motion_stops_the_stage_and_turns_the_lamp_off(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    bench = VirtualBench()
    read, sent = VirtualTransport.read, 0

    def read_and_interrupt(transport: VirtualTransport, timeout_s: float) -> bytes:
        """Send the signal while a motor runs and the lamp is on, then Ctrl-C at each later read."""
        nonlocal sent
        state = bench.stub.machine.state()
        if sent or (state.lamp_duty and state.moving):
            sent += 1
            os.kill(os.getpid(), number if sent == 1 else signal.SIGINT)
        return read(transport, timeout_s)

    monkeypatch.setattr(simscope_bench, "VirtualBench", lambda _config: bench)
    monkeypatch.setattr(VirtualTransport, "read", read_and_interrupt)
    slide = image(tmp_path, tissue(200))
    config = configured(tmp_path, SHORT_SWEEP)
    code, printed, error = run("focus", "--sim", "--slide", slide, "--um-per-px", 0.5, "--config", config)
    assert sent > 1
    assert (code, error) == (128 + number, f"ended by {number.name}\n")
    assert "fields" not in printed
    end = bench.stub.machine.state()
    assert (end.lamp_duty, end.moving) == (0, 0)


def test_a_folder_for_composites_that_is_a_file_is_refused_before_anything_moves(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    code, _, told = run("focus", "--sim", "--composite", tmp_path / "taken")
    assert code == 2
    assert "Give another --composite path" in told
