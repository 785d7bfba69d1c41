"""`parfocal doctor`: its findings and its exit codes."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from parfocal.board import gpio
from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardNotFound, LinkTimeout, ProtocolMismatch
from parfocal.board.gpio import GpioConfig, GpioFailed
from parfocal.board.link.ports import UsbPort
from parfocal.board.link.probe import Probed
from parfocal.board.wire.messages import AxisBit, Fault
from parfocal.edge.cli import app as cli
from parfocal.edge.cli import doctor as cli_doctor
from parfocal.edge.cli import findings as findings_of
from parfocal.edge.cli.findings import Finding, first_exit_code
from parfocal.edge.cli.focusing.demo import stub_process
from parfocal.edge.config import CameraConfig, Config
from parfocal.edge.errors import CameraFailed, ConfigError
from parfocal.engines import build as build_module
from parfocal.engines.backends import OpenVinoMaker
from parfocal.engines.cache import EngineCache, default_cache_folder
from parfocal.engines.choose import load_choices, save_choices
from parfocal.engines.errors import BuildFailed, EngineStale
from parfocal.engines.model.shipped import list_models
from tests.board.strict_gpio import StrictGpio
from tests.edge.scope import with_focus
from tests.engines.building import build_all

PICO = UsbPort("/dev/ttyACM1", 0x2E8A, 0x000A, "E66118", "Raspberry Pi", "Pico")
ADAPTER = UsbPort("/dev/ttyUSB0", 0x0403, 0x6001, "", "", "")
ANSWER = Probed(1, 7, 42, AxisBit.X | AxisBit.Y | AxisBit.Z, AxisBit.Z, Fault(0))
ESTOP = GpioConfig(estop_pin=11)
SMALL = Config(camera=CameraConfig(width_px=640, height_px=360))  # a mode that most USB cameras have
CONTRACT = next(model.contract for model in list_models() if model.contract.name == "difference-20x")


@pytest.mark.parametrize(
    ("finding", "verdict", "told", "code"),
    [
        (findings_of.of_software("0.1.0"), "ok", "parfocal 0.1.0, Python 3", 0),
        (findings_of.of_software(None), "wrong", "pip install", 2),
        (findings_of.of_configuration(None, None), "ok", "no parfocal.toml in this folder", 0),
        (findings_of.of_configuration(Path("a.toml"), None), "ok", "read from a.toml", 0),
        (
            findings_of.of_configuration(Path("a.toml"), ConfigError("No.")),
            "wrong",
            "No. The checks below",
            2,
        ),
        (findings_of.of_port(BoardConfig(), Path("/dev/null")), "ok", "/dev/null exists, found as", 0),
        (findings_of.of_port(BoardConfig(), Path("/dev/none")), "missing", "set board.port", 3),
        (findings_of.of_port(BoardConfig(), BoardNotFound("two such")), "missing", "two such", 3),
        (
            findings_of.of_port(BoardConfig(), ValueError("port 'usb:' asked")),
            "wrong",
            "board.port 'usb:'",
            2,
        ),
        (
            findings_of.of_board(ANSWER),
            "ok",
            "version 1, firmware 7, unit 42; axes: x, y, z; homed: z; faults: none",
            0,
        ),
        (findings_of.of_board(None), "missing", "not checked", 3),
        (findings_of.of_board(LinkTimeout("no answer")), "wrong", "no answer", 3),
        (findings_of.of_board(ProtocolMismatch("Flash it.")), "wrong", "Flash it.", 3),
        (findings_of.of_camera(Config(), True, None), "ok", "camera 0 gives 1224 x 1024 px", 0),
        (findings_of.of_camera(Config(), True, None, ("no gain",)), "ok", "1024 px; no gain", 0),
        (findings_of.of_camera(Config(), False, None), "missing", "set camera.device", 3),
        (findings_of.of_camera(Config(), True, CameraFailed("360 px")), "wrong", "360 px", 3),
        (findings_of.of_camera(SMALL, True, None), "wrong", "Set camera.width_px and camera.height_px", 2),
        (findings_of.of_simulated_camera(Config()), "ok", "simulated (--sim)", 0),
        (findings_of.of_simulated_camera(SMALL), "wrong", "frames of 640 x 360 px", 2),
        (findings_of.of_models(list_models(), CONTRACT, Config()), "ok", "difference-20x", 0),
        (findings_of.of_models([], BuildFailed("damaged"), Config()), "wrong", "damaged", 4),
        (findings_of.of_engine("m on openvino in fp32"), "ok", "m on openvino in fp32", 0),
        (findings_of.of_engine(EngineStale("unusable")), "wrong", "unusable", 4),
        (findings_of.of_engine(None), "missing", "the model is unusable", 4),
        (findings_of.of_gpio(GpioConfig(), False, GpioFailed("no library")), "ok", "none configured", 0),
        (findings_of.of_gpio(GpioConfig(), True, None), "ok", "RPi.GPIO is available", 0),
        (findings_of.of_gpio(ESTOP, False, GpioFailed("Install")), "missing", "Install", 3),
        (findings_of.of_gpio(ESTOP, True, GpioFailed("Check pins")), "wrong", "Check pins", 3),
        (findings_of.of_gpio(ESTOP, True, True), "wrong", "wire to pin 11 is broken. Release it", 3),
        (findings_of.of_gpio(ESTOP, True, False), "ok", "estop_pin 11; the emergency stop is not pressed", 0),
        (findings_of.of_gpio(GpioConfig(reset_pin=13), True, None), "ok", "reset_pin 13", 0),
    ],
)
def test_every_finding_says_what_was_found_and_what_to_do(
    finding: Finding, verdict: str, told: str, code: int
) -> None:
    assert (finding.verdict, finding.exit_code) == (verdict, code)
    assert told in finding.told


def test_a_model_for_another_instrument_is_wrong() -> None:
    finding = findings_of.of_models([], CONTRACT, with_focus(Config(), delta_um=3.0))
    assert (finding.verdict, finding.exit_code) == ("wrong", 4)
    assert "delta_um is 2 in the model, 3 in the configuration" in finding.told


@pytest.mark.parametrize("fault", [Fault.ESTOP, Fault.STUCK_SWITCH, Fault.LIMIT_SWITCH])
def test_a_fault_that_needs_clearing_is_wrong(fault: Fault) -> None:
    finding = findings_of.of_board(msgspec.structs.replace(ANSWER, faults=fault | Fault.WATCHDOG))
    assert finding.verdict == "wrong"
    assert str(fault.name).lower() in finding.told
    assert "parfocal home --clear-faults" in finding.told


def test_a_watchdog_that_fired_is_ok() -> None:
    assert findings_of.of_board(msgspec.structs.replace(ANSWER, faults=Fault.WATCHDOG)).verdict == "ok"


def test_usb_ports_say_which_one_is_the_board_or_may_be() -> None:
    here, other = findings_of.of_usb_ports([PICO, ADAPTER], Path("/dev/ttyACM1"))
    assert here.told == ("/dev/ttyACM1: Raspberry Pi Pico, usb:2e8a:000a:E66118; this is board.port")
    assert other.told == "/dev/ttyUSB0: unnamed device, usb:0403:6001"
    pico, adapter = (finding.told for finding in findings_of.of_usb_ports([PICO, ADAPTER], None))
    assert 'looks like a motor board: if this is the board, set board.port = "usb:2e8a:000a:E66118"' in pico
    assert "a serial adapter: if this is the board" in adapter


def test_no_usb_port_is_missing_only_if_the_board_port_is_missing() -> None:
    assert [f.verdict for f in findings_of.of_usb_ports([], None)] == ["missing"]
    assert [f.verdict for f in findings_of.of_usb_ports([], Path("/dev/pts/3"))] == ["ok"]


def test_the_exit_code_is_that_of_the_first_finding_that_is_not_ok() -> None:
    ok, board, engine = (
        Finding("a", "ok", ""),
        Finding("b", "missing", "", 3),
        Finding("c", "wrong", "", 4),
    )
    assert first_exit_code([ok, ok]) == 0
    assert first_exit_code([ok, board, engine]) == 3
    assert first_exit_code([engine, board]) == 4


Run = Callable[..., tuple[int, dict[str, Finding], str]]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `parfocal doctor` in an empty folder: exit code, findings by subject, standard output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_doctor, "usb_ports", lambda: [PICO])

    def call(*arguments: object) -> tuple[int, dict[str, Finding], str]:
        monkeypatch.setattr(sys, "argv", ["parfocal", "doctor", "--json", "found.json", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert printed.err == ""
        found = msgspec.convert(json.loads(Path("found.json").read_text()), list[Finding])
        return int(ended.value.code or 0), {finding.subject: finding for finding in found}, printed.out

    return call


def test_a_simulation_is_ok(doctor: Run) -> None:
    code, found, printed = doctor("--sim")
    assert code == 0, printed
    assert {finding.verdict for finding in found.values()} == {"ok"}
    assert "protocol version 1" in found["motor board"].told
    assert found["camera"].told == "simulated (--sim)"
    assert printed.count("\n") == len(found)


def test_a_camera_mode_too_small_for_the_model_is_wrong_in_a_simulation_too(
    doctor: Run, tmp_path: Path
) -> None:
    (tmp_path / "parfocal.toml").write_text("[camera]\nwidth_px = 640\nheight_px = 360\n")
    code, found, _ = doctor("--sim")
    assert (code, found["camera"].verdict) == (2, "wrong")
    assert "448 x 448 px" in found["camera"].told


def test_standard_output_holds_only_the_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["parfocal", "doctor", "--sim", "--json", "-"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    assert ended.value.code == 0
    assert {f.subject for f in msgspec.json.decode(printed.out, type=list[Finding])} >= {"camera", "engine"}
    assert "simulated (--sim)" in printed.err
    assert list(tmp_path.iterdir()) == []


def test_without_an_instrument_the_rest_is_still_checked(doctor: Run) -> None:
    code, found, _ = doctor("--port", "/dev/parfocal-is-not-here")
    assert code == 3
    assert found["board port"].verdict == "missing"
    assert found["motor board"].told == "not checked: its port does not exist"
    assert "set board.port" in found["USB serial port"].told
    assert found["models"].verdict == "ok"


def test_an_invalid_configuration_comes_first_and_decides_the_exit_code(doctor: Run, tmp_path: Path) -> None:
    (tmp_path / "parfocal.toml").write_text("[focus]\nhaste = 1\n")
    code, found, _ = doctor("--port", "/dev/parfocal-is-not-here")
    assert code == 2
    assert "haste" in found["configuration"].told
    assert "/dev/parfocal-is-not-here" in found["board port"].told


def test_only_the_e_stop_line_is_set_up_and_no_line_is_driven(
    doctor: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = StrictGpio()
    header.outside[11] = StrictGpio.HIGH
    monkeypatch.setattr(gpio, "imported_library", lambda: header)
    monkeypatch.setattr(cli_doctor, "imported_library", lambda: header)
    (tmp_path / "parfocal.toml").write_text(
        "[board.gpio]\nestop_pin = 11\nreset_pin = 13\ntrigger_pin = 15\n"
    )
    code, found, _ = doctor("--port", "/dev/parfocal-is-not-here")
    assert code == 3
    assert "emergency stop is pressed" in found["GPIO lines"].told
    assert (header.log, header.directions) == ([], {})


def test_a_missing_model_is_reported_with_those_installed(doctor: Run, tmp_path: Path) -> None:
    (tmp_path / "parfocal.toml").write_text("[focus]\nmodel = 'nobody'\n")
    code, found, _ = doctor("--sim")
    assert code == 4
    assert "'nobody' not found" in found["models"].told
    assert "difference-20x" in found["models"].told


@pytest.fixture(scope="module")
def built_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with an engine chosen for the configured model."""
    folder = tmp_path_factory.mktemp("built")
    model = next(model for model in list_models() if model.contract == CONTRACT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_module, "N_TIMED", 3)
        build_all([model], OpenVinoMaker(1), EngineCache(folder), precision="fp32")
    return folder


def cache_with(engine: Path) -> EngineCache:
    """The command's cache, with the content of the folder `engine`."""
    return EngineCache(Path(shutil.copytree(engine, default_cache_folder(), dirs_exist_ok=True)))


def test_an_engine_that_does_not_open_is_wrong(doctor: Run, built_engine: Path) -> None:
    assert "difference-20x on openvino in fp32 (no engine chosen yet" in doctor("--sim")[1]["engine"].told
    cache = cache_with(built_engine)
    code, found, _ = doctor("--sim")
    assert (code, found["engine"].verdict) == (0, "ok")
    assert "precision asked for" in found["engine"].told

    (engine,) = cache.folder.glob("*.engine")
    engine.write_bytes(engine.read_bytes()[:-1])
    code, found, _ = doctor("--sim")
    assert (code, found["engine"].verdict) == (4, "wrong")
    assert "is damaged" in found["engine"].told
    assert "parfocal engine build" in found["engine"].told

    engine.unlink()
    code, found, _ = doctor("--sim")
    assert (code, found["engine"].verdict) == (4, "wrong")
    assert "cannot be read" in found["engine"].told


def test_an_engine_of_another_machine_is_wrong(doctor: Run, built_engine: Path) -> None:
    cache = cache_with(built_engine)
    choice = load_choices(cache)[CONTRACT.name]
    key = msgspec.structs.replace(choice.key, device="another CPU")
    save_choices(cache, {CONTRACT.name: msgspec.structs.replace(choice, key=key)})
    code, found, _ = doctor("--sim")
    assert (code, found["engine"].verdict) == (4, "wrong")
    assert "device was 'another CPU'" in found["engine"].told


def test_pins_without_their_library_are_missing(doctor: Run, tmp_path: Path) -> None:
    (tmp_path / "parfocal.toml").write_text("[board.gpio]\nestop_pin = 11\n")
    _, found, _ = doctor()
    assert found["GPIO lines"].verdict == "missing"
    assert "parfocal[jetson]" in found["GPIO lines"].told


def test_a_camera_that_does_not_open_is_wrong(
    doctor: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_config: CameraConfig) -> None:
        raise CameraFailed("camera 0 gives 360 px")

    monkeypatch.setattr(cli_doctor, "device_path", lambda _config: tmp_path)
    monkeypatch.setattr(cli_doctor, "open_camera", refuse)
    assert doctor()[1]["camera"].told == "camera 0 gives 360 px"


def test_a_board_that_answers_is_described_and_left_unchanged(doctor: Run, tmp_path: Path) -> None:
    """Over a real pseudo-terminal, in real time."""
    link = tmp_path / "board"
    with stub_process(link):
        code, found, _ = doctor("--sim", "--port", link)
        assert code == 0
        assert found["board port"].told == f"{link} exists"
        assert "homed: none; faults: none" in found["motor board"].told
        assert doctor("--sim", "--port", link)[0] == 0


def test_a_port_without_a_board_is_wrong(doctor: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no tty")
    code, found, _ = doctor("--sim", "--port", tmp_path / "notes.txt")
    assert code == 3
    assert found["motor board"].verdict == "wrong"


def test_a_file_name_that_is_not_text_is_escaped_in_the_line_and_in_json(doctor: Run, tmp_path: Path) -> None:
    code, found, printed = doctor("--sim", "--port", tmp_path / "a\nb\udcff")
    assert code == 3
    assert "a\\nb\\udcff does not exist" in found["board port"].told
    assert printed.count("\n") == len(found)


def test_an_invalid_port_name_is_a_usage_error(doctor: Run) -> None:
    code, found, _ = doctor("--sim", "--port", "usb:xyz")
    assert (code, found["board port"].verdict) == (2, "wrong")
