"""`parfocal init` writes a configuration that can be read, from what it found and what it was told."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from parfocal.board.config import AXIS_NAMES
from parfocal.board.errors import LinkTimeout
from parfocal.board.foreign.dialect import Recognised
from parfocal.board.link.ports import UsbPort
from parfocal.board.link.probe import Probed
from parfocal.board.wire.messages import AxisBit, Fault
from parfocal.edge.camera.devices import VideoDevice
from parfocal.edge.camera.v4l2 import Mode
from parfocal.edge.cli.setting_up import found
from parfocal.edge.cli.setting_up import init as init_of
from parfocal.edge.cli.setting_up.answers import (
    SCREWS,
    Screw,
    axes_from_screws,
    axis_from_screw,
    best_mode,
    magnification_of,
    um_per_px,
)
from parfocal.edge.cli.setting_up.found import FoundBoard, FoundCamera, FoundGenicam
from parfocal.edge.cli.setting_up.written import Instrument, sweep_um, toml_of
from parfocal.edge.config import CameraConfig, Config, config_from_file, config_from_toml
from tests.edge.cli.typed import Run

BIG, FITTING, PACKED = (
    Mode("YUYV", 1920, 1080, False, 0.2),
    Mode("YUYV", 1280, 720, False, 1 / 30),
    Mode("MJPG", 1224, 1024, True, 1 / 60),
)
WEBCAM = FoundCamera(VideoDevice(2, "MER2: MER2", "FDC01"), (BIG, FITTING, PACKED))
BOARD = FoundBoard("parfocal", "usb:1209:0001:00000007", "board 7 with firmware 1", (60000, 20000, 16000))


def instrument(**changes: object) -> Instrument:
    screws = dict(SCREWS)
    fields: dict[str, object] = {
        "board": BOARD, "camera": WEBCAM, "mode": FITTING, "objective": "20x/0.75", "um_per_px": 0.345,
        "screws": screws, "axes": axes_from_screws(screws, BOARD.travel_steps), **changes,
    }  # fmt: skip
    return Instrument(**fields)  # type: ignore[arg-type]


def test_an_instrument_as_in_the_paper_is_the_default_configuration() -> None:
    written = config_from_toml(toml_of(instrument(board=None, camera=None, mode=None)), "written")
    assert written == Config()


def test_what_was_found_and_answered_is_in_the_file() -> None:
    text = toml_of(instrument(objective='a "20x"', um_per_px=0.23))
    written = config_from_toml(text, "written")
    assert (written.board.kind, written.board.port) == ("parfocal", BOARD.port)
    assert (written.camera.device, written.camera.width_px, written.camera.height_px) == ("FDC01", 1280, 720)
    assert (written.camera.um_per_px, written.focus.objective) == (0.23, 'a "20x"')
    assert written.calibration.keep_scale == ()  # what is measured holds
    assert "# other mode: 1920 x 1080 YUYV, 5 frames/s" in text
    assert "is compressed" not in text
    packed = toml_of(instrument(mode=PACKED))
    assert "# MJPG is compressed, which raises the error of single shots by a third." in packed
    slow = config_from_toml(toml_of(instrument(mode=BIG)), "written")
    assert slow.camera.frame_period_s == 0.2


def test_a_foreign_board_and_a_camera_without_a_name_are_written_as_they_are_found() -> None:
    grbl = FoundBoard("grbl", "usb:1a86:7523", "Grbl 1.1h")
    nameless = FoundCamera(VideoDevice(3, "", ""), ())
    written = config_from_toml(toml_of(instrument(board=grbl, camera=nameless, mode=None)), "written")
    assert (written.board.kind, written.board.port, written.camera.device) == ("grbl", "usb:1a86:7523", 3)
    assert (written.camera.width_px, written.camera.height_px) == (1224, 1024)


@pytest.mark.parametrize("lead_mm", [0.25, 0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("microsteps", [1, 16, 256])
def test_every_screw_gives_a_valid_axis_that_the_motor_follows(lead_mm: float, microsteps: int) -> None:
    screws = dict.fromkeys(AXIS_NAMES, Screw(lead_mm, 200, microsteps))
    if screws["z"].um_per_step > Config().focus.delta_um:  # too coarse for a pair of shots
        screws["z"] = SCREWS["z"]
    axes = axes_from_screws(screws, None)
    assert axes["x"].um_per_step == lead_mm * 1000 / (200 * microsteps)
    written = config_from_toml(toml_of(instrument(screws=screws, axes=axes)), "written")
    for name in AXIS_NAMES:
        axis = written.board.axis(name)
        assert axis.um_per_step == screws[name].um_per_step
        default = axis_from_screw(name, SCREWS[name], None)
        assert axis.speed_um_per_s / axis.um_per_step <= default.speed_um_per_s / default.um_per_step * 1.0001
        assert (
            axis.accel_um_per_s2 / axis.um_per_step <= default.accel_um_per_s2 / default.um_per_step * 1.0001
        )
    assert written.calibration.keep_scale == tuple(
        n for n in AXIS_NAMES if screws[n].um_per_step != SCREWS[n].um_per_step
    )


def test_a_short_stage_is_swept_and_scanned_within_its_travel() -> None:
    axes = axes_from_screws(SCREWS, (8000, 4000, 3200))  # 10, 5 and 1 mm
    written = config_from_toml(toml_of(instrument(axes=axes)), "written")
    assert (written.board.z.max_um, written.board.x.max_um) == (1000.0, 10000.0)
    assert (written.focus.first_sweep_start_um, written.focus.first_sweep_stop_um) == (400.0, 600.0)
    assert (written.scan.origin_x_um, written.scan.origin_y_um) == (5000.0, 2500.0)
    tiny = axis_from_screw("z", SCREWS["z"], 120.0)
    assert sweep_um(tiny) == (30.0, 90.0)


def test_pixels_on_the_sample_follow_from_sensor_objective_and_adapter() -> None:
    assert um_per_px(3.45, magnification_of("20x/0.75"), 0.5) == 0.345
    assert um_per_px(2.4, magnification_of("40x/0.95"), 1.0) == 0.06
    assert magnification_of("4x") == 4.0
    for objective in ("20", "x/0.75", "0x/0.1", "20x0.75"):
        with pytest.raises(ValueError, match="such as 20x/0.75"):
            magnification_of(objective)
    with pytest.raises(ValueError, match="must be positive"):
        um_per_px(0.0, 20.0, 1.0)


def test_the_mode_to_begin_with_is_uncompressed_and_near_the_default_size() -> None:
    assert best_mode((BIG, PACKED, FITTING), CameraConfig()) == FITTING
    assert best_mode((PACKED,), CameraConfig()) == PACKED
    assert best_mode((), CameraConfig()) is None


# --- finding boards


def test_a_port_is_asked_in_every_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def probe(config: object, _clock: object) -> Recognised:
        kind = config.kind  # type: ignore[attr-defined]
        asked.append(kind)
        if kind != "grbl":
            raise LinkTimeout(f"no answer in {kind}")
        return Recognised("grbl", "Grbl 1.1h", "Idle", is_homed=False)

    monkeypatch.setattr(found, "probe_board", probe)
    assert found.board_at("usb:1a86:7523") == FoundBoard("grbl", "usb:1a86:7523", "Grbl 1.1h")
    assert asked == ["parfocal", "grbl"]
    monkeypatch.setattr(found, "PORT_KINDS", ("parfocal", "sangaboard"))
    assert found.board_at("usb:1a86:7523") == "no answer in parfocal"


def test_our_own_board_says_how_far_it_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Probed(1, 1, 7, AxisBit(7), AxisBit(0), Fault(0), (60000, 20000, 16000))
    monkeypatch.setattr(found, "probe_board", lambda *_: answer)
    assert found.board_at(BOARD.port) == BOARD


# --- the command


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One of our boards and an adapter are plugged in, and one camera; the ports that are asked are listed."""
    asked: list[str] = []
    ours = UsbPort("/dev/ttyACM0", 0x1209, 1, "00000007", "parfocal", "")
    adapter = UsbPort("/dev/ttyUSB0", 0x1A86, 0x7523, "", "", "")

    def board_at(port: str) -> FoundBoard | str:
        asked.append(port)
        return BOARD if port == BOARD.port else "heard nothing."

    monkeypatch.setattr(init_of, "usb_ports", lambda: [ours, adapter])
    monkeypatch.setattr(found, "board_at", board_at)
    monkeypatch.setattr(found, "cameras", lambda: [WEBCAM])
    monkeypatch.setattr(found, "genicam_cameras", list)
    monkeypatch.setattr(init_of, "doctor", lambda config: asked.append(f"doctor {config}"))
    return asked


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def answers(monkeypatch: pytest.MonkeyPatch, *typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("".join(f"{line}\n" for line in typed)))


def test_defaults_are_taken_without_a_question(run: Run, parts: list[str], tmp_path: Path) -> None:
    code, printed, error = run("init", "--yes")
    assert (code, error) == (0, "")
    assert parts == [BOARD.port, "usb:1a86:7523", "doctor parfocal.toml"]
    assert "board 7 with firmware 1" in printed
    written = config_from_file(tmp_path / "parfocal.toml")
    assert (written.board.port, written.camera.device, written.camera.width_px) == (BOARD.port, "FDC01", 1280)


def test_an_industrial_camera_is_written_with_its_inputs(
    run: Run, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = FoundGenicam("Maker-4001", "Maker M1, serial 4001, USB3Vision", (1920, 1000), ("Line1", "Line3"))
    monkeypatch.setattr(found, "cameras", list)
    monkeypatch.setattr(found, "genicam_cameras", lambda: [small])
    code, printed, error = run("init", "--yes")
    assert (code, error, parts[-1]) == (0, "", "doctor parfocal.toml")
    assert "cameras: Maker-4001 (Maker M1, serial 4001, USB3Vision)" in printed
    text = (tmp_path / "parfocal.toml").read_text()
    camera = config_from_toml(text, "written").camera
    assert (camera.kind, camera.device, camera.trigger_line) == ("aravis", "Maker-4001", "")
    assert (camera.width_px, camera.height_px) == (1224, 1000)
    wired = config_from_toml(
        text.replace('# trigger_line = "Line3"', 'trigger_line = "Line3"'), "wired"
    ).camera
    assert wired.trigger_line == "Line3"


def test_answers_are_written_and_wrong_ones_asked_again(
    run: Run, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, "n", "9", "1", "big", "40x/0.95", "2.4", "1", "8", "8", "-1", "0.5", "200", "32")
    code, printed, _ = run("init")
    assert code == 0
    assert parts == [BOARD.port, "doctor parfocal.toml"]  # the adapter was not to be asked
    assert "1 to 3, please" in printed
    assert "such as 20x/0.75" in printed
    assert "a positive number, please" in printed
    written = config_from_file(tmp_path / "parfocal.toml")
    assert (written.focus.objective, written.camera.um_per_px) == ("40x/0.95", 0.06)
    assert (written.board.x.um_per_step, written.board.z.um_per_step) == (1.25, 0.078125)


def test_answers_that_make_no_instrument_together_are_asked_again_with_the_reason(
    run: Run, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ("n", "1", "20x/0.75", "3.45", "1e9", "20x/0.75", "3.45", "0.5")
    absurd = ("inf", "4", "1", "200", "16")
    too_finely_driven = ("4", "4", "1", "200", "512")
    too_coarse = ("4", "4", "2", "200", "2")
    answers(monkeypatch, *start, *absurd, *too_finely_driven, *too_coarse, "4", "4", "2", "200", "16")
    code, printed, _ = run("init")
    assert (code, parts[-1]) == (0, "doctor parfocal.toml")
    told = " ".join(printed.split())
    assert "seen through 20x and 1e+09x, is 0 um on the sample" in told
    assert (
        "X with a screw of inf mm a turn, 200 steps a turn and 16 microsteps, on the inf um of travel" in told
    )
    assert "is not possible: um_per_step = inf: it must be" in told
    assert "is not possible: microsteps = 512: it must be 1..256. Once more, please:" in told
    assert "with these screws: board.z.um_per_step = 5: the two shots of a pair" in told
    assert config_from_file(tmp_path / "parfocal.toml").board.z.um_per_step == 0.625


def test_a_board_that_states_an_absurd_travel_is_refused_where_nothing_may_be_asked(
    run: Run, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = FoundBoard("parfocal", BOARD.port, "board 7", (60000, 20000, 3))
    monkeypatch.setattr(found, "board_at", lambda port: stuck if port == BOARD.port else "heard nothing.")
    code, _, error = run("init", "--yes")
    assert (code, parts) == (2, [])  # the doctor was not called
    assert "the defaults do not fit: Z with a screw of 1 mm a turn" in error
    assert "leave no room for one step" in error
    assert not (tmp_path / "parfocal.toml").exists()


def test_an_existing_file_is_left_without_a_yes(
    run: Run, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "parfocal.toml"
    mine.write_text("# mine\n")
    code, _, error = run("init", "--yes")
    assert code == 2
    assert "parfocal.toml exists and was left as it is. Name another file with --out" in error
    answers(monkeypatch, "n")
    assert run("init")[0] == 2
    assert (mine.read_text(), parts) == ("# mine\n", [])
    assert run("init", "--yes", "--out", "other.toml")[0] == 0
    assert config_from_file(tmp_path / "other.toml").board.port == BOARD.port


def test_without_a_terminal_nothing_is_guessed(run: Run, parts: list[str]) -> None:
    code, _, error = run("init")
    assert code == 2
    assert "there is no terminal to answer them. Use --yes for the defaults" in error
    assert parts == []
