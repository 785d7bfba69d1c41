"""`parfocal calibrate` as a user types it, and what `parfocal doctor` says of the result."""

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from parfocal.calib.errors import CalibError, CalibMissing, CalibRefused
from parfocal.calib.motion.swing import SettleFit
from parfocal.calib.store import Calibration, Owner, Store, TriggeredInput, default_folder
from parfocal.calib.value import Measured
from parfocal.edge.calibrate import register
from parfocal.edge.calibrate.keeper import KeptValue
from parfocal.edge.calibrate.motion import chains, returns, settling
from parfocal.edge.cli import asked as cli_asked
from parfocal.edge.cli import findings as findings_of
from parfocal.edge.cli.calibrating import bench as cli_calibrate
from parfocal.edge.cli.calibrating.trigger_verb import TriggerReport
from parfocal.edge.cli.calibrating.verbs import BacklashReport, CameraReport, StageReport, stage_line
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.instrument import Instrument
from parfocal.edge.simscope.bench import stub_of
from tests.bench import camera as camera_bench
from tests.bench import stage as stage_bench
from tests.bench.play import drawn
from tests.bench.stage import (
    ANGLE_LIMIT_DEG,
    CONFIG,
    LIMITS,
    error_of,
    hidden,
    instrument_of,
    rendered,
    truths,
)
from tests.edge.calibrate.plain import SECTION, Plain
from tests.edge.cli.typed import Run
from tests.edge.scope import PATCH_PX, SIDE_PX

NOW = datetime(2026, 11, 26, tzinfo=timezone.utc)
STORE = "board-1-20x-0.75.toml"


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plain:
    """The microscope that the command opens, instead of one that takes longer to draw."""
    made = Plain({"x": 25.0})

    @contextlib.contextmanager
    def opened(*_arguments: Any, **_named: Any) -> Iterator[Instrument]:  # noqa: ANN401
        yield made.instrument
        made.board.close()

    monkeypatch.setattr(cli_asked, "opened_instrument", opened)
    (tmp_path / "parfocal.toml").write_text(
        f"[camera]\nwidth_px = {SIDE_PX}\nheight_px = {SIDE_PX}\n"
        f"[focus]\npatch_px = {PATCH_PX}\nfirst_sweep_start_um = 2480.0\nfirst_sweep_stop_um = 2510.0\n"
    )
    return made


@pytest.mark.usefixtures("plain")
def test_a_measured_play_is_shown_kept_and_written_for_programs(run: Run, tmp_path: Path) -> None:
    code, printed, told = run("calibrate", "backlash", "--axis", "x", "--json", "found.json")
    assert (code, told) == (0, "")
    assert "(it was 60 um); 114 images, 19 s of microscope time" in printed
    assert f"kept in {default_folder() / STORE}" in printed
    report = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=BacklashReport)
    assert (report.board_serial, report.objective, report.store) == (
        1,
        "20x/0.75",
        str(default_folder() / STORE),
    )
    (found,) = report.axes
    assert (found.axis, found.before_um) == ("x", 60.0)
    assert found.play_um == pytest.approx(25.0, abs=1.0)
    kept = Store(default_folder(), Owner(1, "20x/0.75")).load().x_play_um
    assert kept is not None
    assert kept.value == found.play_um
    assert abs(kept.measured_at - datetime.now(timezone.utc)) < timedelta(hours=1)


def test_a_poor_measurement_ends_with_exit_code_5_in_one_line(run: Run, plain: Plain) -> None:
    plain._section = np.full_like(SECTION, 228)
    code, _, told = run("calibrate", "backlash")
    assert code == 5
    assert told.startswith("CalibPoor: upward focus curve of")
    assert told.count("\n") == 1
    assert not (default_folder() / STORE).exists()


def test_a_store_that_takes_no_file_is_refused_before_anything_moves(
    run: Run, plain: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/proc/none")
    before_s = plain.instrument.clock.now_s()
    for verb in (("backlash", "--axis", "z"), ("stage",), ("camera",)):
        code, _, told = run("calibrate", *verb)
        assert (code, "cannot be written to /proc/none/parfocal/calibration/board-1" in told) == (5, True)
    assert plain.instrument.clock.now_s() == before_s


def test_an_unknown_axis_is_a_usage_error(run: Run) -> None:
    assert run("calibrate", "backlash", "--axis", "w", "--sim")[0] == 2


def test_motors_are_driven_until_they_lose_steps_only_after_a_yes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_arguments: Any) -> None:  # noqa: ANN401
        raise AssertionError("nothing may be opened")

    monkeypatch.setattr(cli_calibrate, "opened_bench", opened)
    code, _, told = run("calibrate", "stage", "--fastest")
    assert code == 2
    assert "Nothing moved. Look at the stage, then answer yes, or give --yes." in told
    assert run("calibrate", "stage", "--fastest", "--yes", "--pitch-um", "10")[0] == 2


def test_calibrate_lens_needs_a_configured_lens(run: Run) -> None:
    code, _, told = run("calibrate", "lens", "--sim")
    assert (code, "set lens.kind to 'board' or 'optotune'" in told) == (2, True)


def test_calibrate_alone_shows_what_there_is(run: Run) -> None:
    _, printed, told = run("calibrate")
    assert "backlash" in printed + told


Z = Measured(20.0, 0.2, NOW - timedelta(days=40), "focus curves", "0.1.0", "raw.json")
FOUND = Calibration(1, 1, "20x/0.75", z_play_um=Z)


@pytest.mark.parametrize(
    ("found", "text", "verdict", "told", "code"),
    [
        (None, "", "missing", "the board did not answer", 3),
        (CalibMissing("no"), "", "ok", "none of this microscope; everything as configured. Run", 0),
        (CalibRefused("z_play_um.value = -1"), "", "wrong", "z_play_um.value = -1", 5),
        (FOUND, "", "ok", "play of 20.0 +- 0.2 um of 2026-10-17, 40 days old, by focus curves", 0),
        (FOUND, "[board.z]\nplay_um = 25.0\n", "ok", "not used, because board.z.play_um = 25 is configured", 0),
        (FOUND, "[board.z]\nplay_um = 14.0\n", "wrong", "is configured, which is too small. Remove that key.", 5),
        (Calibration(1, 1, "20x/0.75"), "", "ok", "20 um as configured. Run `parfocal calibrate backlash --axis z`", 0),
    ],
)  # fmt: skip
def test_doctor_says_how_old_a_calibration_is_and_whether_it_is_used(
    found: Calibration | CalibError | None, text: str, verdict: str, told: str, code: int
) -> None:
    config = config_from_toml(text, "t") if text else Config()
    finding = findings_of.of_calibration(found, config, NOW)[-1]
    assert (finding.verdict, finding.exit_code) == (verdict, code)
    assert told in finding.told


TRIGGERED = '[camera]\nkind = "aravis"\ntrigger_line = "Line1"\n'


@pytest.mark.parametrize(
    ("line", "text", "verdict", "told"),
    [
        (None, "", None, ""),
        (None, TRIGGERED, "ok", "flash as configured. Run `parfocal calibrate trigger`."),
        ("Line1", TRIGGERED, "ok", "trigger_delay_s 0.00048 +- 2e-05, trigger_room_s 0.0079 +- 2e-05; 40 days old"),
        ("Line2", TRIGGERED, "wrong", "measured, but not used: the delay of the trigger was measured with camera 0"),
    ],
)  # fmt: skip
def test_doctor_tells_of_the_trigger_where_there_is_one(
    line: str | None, text: str, verdict: str | None, told: str
) -> None:
    found = Calibration(1, 1, "20x/0.75")
    if line is not None:
        delay = msgspec.structs.replace(Z, value=0.00048, uncertainty=0.00002)
        found = msgspec.structs.replace(
            found,
            trigger=TriggeredInput("aravis", "0", line, 0.008),
            trigger_delay_s=delay,
            trigger_room_s=msgspec.structs.replace(delay, value=0.0079),
        )
    config = config_from_toml(text, "t")
    findings = [one for one in findings_of.of_calibration(found, config, NOW) if one.subject == "trigger"]
    assert [one.verdict for one in findings] == ([verdict] if verdict else [])
    assert all(one.told.startswith(told) for one in findings)


def test_a_measured_trigger_is_kept_and_the_plan_of_a_continuous_scan_says_that_it_flashes_by_it(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "parfocal.toml").write_text(
        "[camera]\nframe_period_s = 0.009\nwidth_px = 672\nheight_px = 672\n[scan]\nflash_brightness = 400.0\n"
    )
    code, printed, _ = run("calibrate", "trigger", "--sim", "--json", str(tmp_path / "trigger.json"))
    assert (code, "trigger: continuous scans flash 0.09 ms after it from now on" in printed) == (0, True)
    report = msgspec.json.decode((tmp_path / "trigger.json").read_bytes(), type=TriggerReport)
    assert report.window.delay_s == pytest.approx(0.00004, abs=report.window.uncertainty_s)
    store = Store(default_folder(), Owner(report.board_serial, "20x/0.75"))
    assert store.load().used == report.calibration
    for name in ("x_play_um", "y_play_um", "z_play_um"):
        store.keep(name, Z)
    plan = ("scan", "--sim", "--continuous", "--plan", "--out", str(tmp_path / "a.zarr"))
    region = ("--region", "20000", "10000", "21000", "10500")
    code, printed, _ = run(*plan, *region)
    now = datetime.now(timezone.utc)
    assert (code, f"0.09 ms after the trigger, as measured on {now:%Y-%m-%d}" in printed) == (0, True)


def test_doctor_reads_the_calibration_of_the_board_that_answers(run: Run) -> None:
    store = Store(default_folder(), Owner(stub_of(Config(), 1).unit_serial, "20x/0.75"))
    store.keep("z_play_um", Z)
    store.path.write_text(store.path.read_text().replace("version = 1", "version = 7"))
    code, printed, _ = run("doctor", "--sim")
    assert (code, "invalid calibration" in printed) == (5, True)


def test_a_measured_stage_is_shown_in_words_and_says_what_stays_in_use() -> None:
    config = config_from_toml("[board.y]\num_per_step = 1.25\n", "t")
    lines = {
        KeptValue("x_speed_um_per_s", 11424.4, 380.9, 10000.0, "r"): (
            "x: fastest safe speed 11424 +- 381 um/s (it was 10000)"
        ),
        KeptValue("x_um_per_step", 1.30, 0.004, 1.25, "r"): "x: 1.3000 +- 0.0040 um per step (it was 1.25)",
        KeptValue("x_um_per_step", 1.252, 0.004, 1.25, "r"): "1.25 as configured agrees and stays in use",
        KeptValue("y_um_per_step", 1.30, 0.004, 1.25, "r"): "board.y.um_per_step of the configuration stays",
        KeptValue(
            "z_settle_s", 0.04, 0.002, 0.05, "r"
        ): "at rest after 0.040 +- 0.002 s, 2 frames (it was 0.05)",
        KeptValue("camera_angle_deg", 3.0, 0.1, 0.0, "r"): "turned by +3.00 +- 0.10 degrees",
        KeptValue("camera_is_mirrored", 1.0, 0.0, 0.0, "r"): "its picture is mirrored",
        KeptValue(
            "z_home_um", 0.2, 0.1, None, "r"
        ): "comes back to 0.20 um (standard deviation) after homing",
    }
    for value, told in lines.items():
        assert told in stage_line(value, config)


def test_the_stage_is_measured_each_value_kept_at_once_and_written_for_programs(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Half the pixels of the bench: registration takes most of the time.
    camera = msgspec.structs.replace(CONFIG.camera, width_px=384, height_px=384)
    monkeypatch.setattr(stage_bench, "CONFIG", msgspec.structs.replace(CONFIG, camera=camera))
    truth = hidden(3)
    instrument = instrument_of(truth, rendered(drawn(3), truth, 3))
    store = Store(default_folder(), Owner(1, "20x/0.75"))
    kept_before: list[set[str]] = []
    sideways = settling.Settling.sideways

    @contextlib.contextmanager
    def opened(*_arguments: Any, **_named: Any) -> Iterator[Instrument]:  # noqa: ANN401
        yield instrument
        instrument.board.close()

    def looked(settling_of: settling.Settling) -> SettleFit:
        kept_before.append(set(store.load().values()))
        return sideways(settling_of)

    monkeypatch.setattr(cli_asked, "opened_instrument", opened)
    monkeypatch.setattr(settling.Settling, "sideways", looked)
    monkeypatch.setattr(chains, "N_CHAINS", 2)
    monkeypatch.setattr(chains, "FIELDS_LONG", 2.4)
    monkeypatch.setattr(returns, "N_TRIPS", 2)
    monkeypatch.setattr(returns, "N_HOMES", 2)
    monkeypatch.setattr(settling, "N_MOVES", 8)
    monkeypatch.setattr(register, "REFINE_ROUNDS", 3)
    (tmp_path / "parfocal.toml").write_text(
        "[camera]\nwidth_px = 384\nheight_px = 384\n"
        "[focus]\npatch_px = 192\nfirst_sweep_start_um = 2480.0\nfirst_sweep_stop_um = 2520.0\n"
    )
    code, printed, told = run("calibrate", "stage", "--json", "found.json")
    assert (code, told) == (0, "")
    assert "um away after 2 trips of 2000 um" in printed
    assert kept_before[0] == {"x_um_per_step", "y_um_per_step", "camera_angle_deg", "camera_is_mirrored"}
    report = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=StageReport)
    calibration = store.load()
    assert report.calibration == calibration.used
    assert [trip.axis for trip in report.trips] == ["x", "y"]
    found = {one.name: one for one in report.values}
    for name, true in truths(truth).items():
        share = next((share for end, share in LIMITS.items() if name.endswith(end)), None)
        limit = ANGLE_LIMIT_DEG if share is None else share * true
        assert abs(error_of(name, found[name].value, true)) <= limit, name
    kept = calibration.values()
    assert {name: (one.value, one.uncertainty, one.raw) for name, one in kept.items()} == {
        name: (one.value, one.uncertainty, one.raw) for name, one in found.items()
    }
    assert {(store.path.parent / one.raw).is_file() for one in kept.values()} == {True}
    # A frame shows the stage in the middle of its exposure, and none of them began before the last step.
    swings = json.loads((store.path.parent / found["x_settle_s"].raw).read_text())["swings"]
    assert min(swing["since_s"][0] for swing in swings) >= CONFIG.camera.exposure_s / 2.0 - 1e-6
    assert (found["x_um_per_step"].before, found["camera_angle_deg"].before) == (1.25, 0.0)
    assert found["z_settle_s"].before == 0.05
    assert {found[f"{name}_home_um"].value < 0.1 for name in ("x", "y", "z")} == {True}


def test_the_camera_is_measured_told_in_words_and_written_for_programs(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = camera_bench.CONFIG  # with half of its pixels: enough to tell processing by its noise
    camera = msgspec.structs.replace(config.camera, width_px=320, height_px=320)
    instrument = camera_bench.instrument_of(
        camera_bench.hidden(6)._replace(lag=0.0), 6, msgspec.structs.replace(config, camera=camera)
    )

    @contextlib.contextmanager
    def opened(*_arguments: Any, **_named: Any) -> Iterator[Instrument]:  # noqa: ANN401
        yield instrument
        instrument.board.close()

    monkeypatch.setattr(cli_asked, "opened_instrument", opened)
    (tmp_path / "parfocal.toml").write_text(
        "[camera]\nwidth_px = 320\nheight_px = 320\nexposure_s = 0.008\n[focus]\npatch_px = 160\n"
    )
    code, printed, told = run("calibrate", "camera", "--json", "found.json")
    assert (code, told) == (0, "")
    assert "camera.exposure_s of the configuration stays in use" in printed
    assert "processing: it leaves its pictures alone" in printed
    report = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=CameraReport)
    kept = Store(default_folder(), Owner(1, "20x/0.75")).load()
    assert {one.name for one in report.values} == set(kept.values())
    assert report.verdicts[0] == "processing: it leaves its pictures alone"
    assert report.calibration == kept.used
