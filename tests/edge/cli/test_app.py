"""The commands as a user types them: results, one-line errors, exit codes."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

import parfocal
from parfocal.board.stub.virtual_bench import VirtualBench, VirtualTransport
from parfocal.edge.camera.frame import Camera, Frame
from parfocal.edge.cli import app as cli
from parfocal.edge.cli import focus as cli_focus
from parfocal.edge.cli import options as cli_options
from parfocal.edge.cli import stage as cli_stage
from parfocal.edge.config import Config
from parfocal.edge.errors import CameraFailed
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.report import RunReport
from parfocal.edge.simscope import bench as simscope_bench
from parfocal.edge.stacks.stack import Stack
from parfocal.edge.stacks.write import write_stack
from tests.edge.scope import TILES, tissue

Run = Callable[..., tuple[int, str, str]]

SHORT_SWEEP = "[focus]\nfirst_sweep_step_um = 6.25\n"
SMALL_CAMERA = "[camera]\nwidth_px = 452\nheight_px = 452\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty folder; exit code, stdout, stderr. No command may write a crash report."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["parfocal", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert not (tmp_path / "state").exists(), printed.err
        return int(ended.value.code or 0), printed.out, printed.err

    return call


def configured(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "instrument.toml"
    path.write_text(SMALL_CAMERA + text)
    return path


def test_a_whole_run_focuses_a_slide_and_reports_every_field(run: Run, tmp_path: Path) -> None:
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
def test_a_slide_of_another_stain_is_focused_as_well(run: Run, tmp_path: Path) -> None:
    slide = TILES / "he_cmu1" / "cmu-1-small-region_level0.jpg"
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
    """What every run on a virtual slide must show."""
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


def test_json_on_standard_output_is_the_json_alone(run: Run, short_run: list[object]) -> None:
    code, printed, told = run(*short_run, "--json", "-")
    assert code == 0, told
    assert len(msgspec.json.decode(printed, type=RunReport).fields) == 3
    assert "3 fields" in told


class GivesUp:
    """A camera that is unplugged when a file is there."""

    def __init__(self, camera: Camera, file: Path) -> None:
        self._camera, self._file = camera, file

    def grab(self) -> Frame:
        if self._file.exists():
            raise CameraFailed("camera 0 gave no frame")
        return self._camera.grab()

    def close(self) -> None:
        """Nothing to let go of."""


def test_fields_that_were_focused_are_kept_and_shown_when_a_run_ends_early(
    run: Run, short_run: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cli_options.opened_instrument

    @contextlib.contextmanager
    def unplugged(*arguments: Any, **named: Any) -> Iterator[Instrument]:  # noqa: ANN401
        with real(*arguments, **named) as instrument:
            yield msgspec.structs.replace(
                instrument, camera=GivesUp(instrument.camera, tmp_path / "run.json")
            )

    monkeypatch.setattr(cli_focus, "opened_instrument", unplugged)
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
    run("focus", "--sim", "--fields", 1, "--config", config, "--json", "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
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
    assert {"z1_um", "z2_um", "predictions_um", "distance_um", "spread_um", "rule"} == set(
        report["fields"][0]["attempts"][0]
    )
    assert {
        *("fields", "focused", "recovered", "blank", "lost", "mean_abs_error_um", "p95_abs_error_um"),
        *("images_per_focus", "s_per_focus"),
    } <= set(report["summary"])


def image(tmp_path: Path, pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> Path:
    path = tmp_path / "slide.png"
    cv2.imwrite(str(path), pixels)
    return path


def no_image(tmp_path: Path) -> list[object]:
    (tmp_path / "notes.txt").write_text("hello")
    return ["focus", "--sim", "--slide", tmp_path / "notes.txt", "--um-per-px", 0.5]


def one_colour(tmp_path: Path) -> list[object]:
    slide = image(tmp_path, np.full((300, 300, 3), 150, np.uint8))
    return ["focus", "--sim", "--slide", slide, "--um-per-px", 0.5]


def no_sampling(tmp_path: Path) -> list[object]:
    return ["focus", "--sim", "--slide", image(tmp_path, tissue(200))]


def no_slide(_tmp_path: Path) -> list[object]:
    return ["focus", "--sim", "--slide", "missing.png"]


def slide_without_sim(tmp_path: Path) -> list[object]:
    return ["focus", "--slide", image(tmp_path, tissue(200)), "--um-per-px", 0.5]


def no_port(_tmp_path: Path) -> list[object]:
    return ["focus", "--port", "/dev/parfocal-is-not-here"]


def no_stub(tmp_path: Path) -> list[object]:
    return [
        "focus",
        "--sim",
        "--slide",
        image(tmp_path, tissue(200)),
        "--um-per-px",
        0.5,
        *no_port(tmp_path)[1:],
    ]


def no_serial_port(tmp_path: Path) -> list[object]:
    return ["focus", "--port", image(tmp_path, tissue(200))]


def no_port_name(_tmp_path: Path) -> list[object]:
    return ["status", "--port", "usb:1"]


def no_folder_for_a_link(tmp_path: Path) -> list[object]:
    return ["stub", "--link", tmp_path / "none" / "board"]


def link_too_long(tmp_path: Path) -> list[object]:
    return ["stub", "--link", tmp_path / ("b" * 200)]


def no_faults(_tmp_path: Path) -> list[object]:
    return ["stub", "--faults", "none.toml"]


def limit_forbids_z0(tmp_path: Path) -> list[object]:
    config = configured(tmp_path, "[board.z]\nmin_um = 2380.0\n")
    return ["focus", "--sim", "--slide", image(tmp_path, tissue(200)), "--um-per-px", 0.5, "--config", config]


def other_delta(tmp_path: Path) -> list[object]:
    config = configured(tmp_path, "[focus]\ndelta_um = 3.0\n")
    return ["focus", "--sim", "--slide", image(tmp_path, tissue(200)), "--um-per-px", 0.5, "--config", config]


def no_model(tmp_path: Path) -> list[object]:
    config = configured(tmp_path, "[focus]\nmodel = 'nobody'\n")
    return ["focus", "--sim", "--slide", image(tmp_path, tissue(200)), "--um-per-px", 0.5, "--config", config]


def unknown_key(tmp_path: Path) -> list[object]:
    return ["status", "--config", configured(tmp_path, "[focus]\nhaste = 1\n")]


def no_axis(_tmp_path: Path) -> list[object]:
    return ["move", "w", 10]


def json_nowhere(tmp_path: Path) -> list[object]:
    slide = image(tmp_path, tissue(200))
    return ["focus", "--sim", "--slide", slide, "--um-per-px", 0.5, "--json", "/proc/none/r.json"]


def stack_cut_short(tmp_path: Path) -> list[object]:
    path = tmp_path / "cut.ome.tiff"
    write_stack(Stack(path, (0.0, 1.0, 2.0), (tissue(200),) * 3, 0.345))
    path.write_bytes(path.read_bytes()[:100_000])
    return ["evaluate", path]


def stack_not_there(tmp_path: Path) -> list[object]:
    return ["evaluate", tmp_path / "nothing.ome.tiff"]


def planes_that_go_down(tmp_path: Path) -> list[object]:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), tissue(200))
    return ["evaluate", tmp_path, "--step-um", "-0.5", "--um-per-px", "0.345"]


def planes_without_distance(tmp_path: Path) -> list[object]:
    return planes_that_go_down(tmp_path)[:2]


def record_slide_without_sim(tmp_path: Path) -> list[object]:
    return ["record", "--out", tmp_path / "s", "--slide", image(tmp_path, tissue(200)), "--um-per-px", 0.5]


def record_finer_than_a_step(tmp_path: Path) -> list[object]:
    return ["record", "--sim", "--out", tmp_path / "s", "--step-um", 0.1]


SMALLER_THAN_PATCHES = "[camera]\nwidth_px = 640\nheight_px = 360\n"


def frames_too_small(tmp_path: Path) -> list[object]:
    (tmp_path / "small.toml").write_text(SMALLER_THAN_PATCHES)
    return ["focus", "--config", tmp_path / "small.toml", "--port", "/dev/parfocal-is-not-here"]


def record_frames_too_small(tmp_path: Path) -> list[object]:
    (tmp_path / "small.toml").write_text(SMALLER_THAN_PATCHES)
    return ["record", "--sim", "--out", tmp_path / "s", "--config", tmp_path / "small.toml"]


def link_taken(tmp_path: Path) -> list[object]:
    (tmp_path / "board").write_text("a file of the user's")
    return ["stub", "--link", tmp_path / "board"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (no_image, 2, r"ConfigError: slide .*notes\.txt is not an image"),
        (one_colour, 2, "ConfigError: the slide image is of one colour"),
        (no_slide, 2, "slide missing.png cannot be read: No such file or directory; nothing moved"),
        (no_sampling, 2, "--um-per-px"),
        (slide_without_sim, 2, "add --sim"),
        (no_port, 3, r"BoardNotFound: .*/dev/parfocal-is-not-here .* add --sim\.$"),
        (
            no_stub,
            3,
            r"^(?!.*add --sim)BoardNotFound: .*`parfocal stub --link /dev/parfocal-is-not-here`\.$",
        ),
        (no_serial_port, 3, r"BoardNotFound: .*slide\.png not opened: .* Set the port of the board\.$"),
        (no_port_name, 2, r"BadPort: .*'usb:1'"),
        (no_folder_for_a_link, 2, r"ConfigError: .*folder"),
        (link_too_long, 2, r"ConfigError: .*Choose a shorter --link"),
        (no_faults, 2, r"ConfigError: .*none\.toml"),
        (limit_forbids_z0, 3, r"MoveRefused: .*nothing moved"),
        (other_delta, 4, r"InputMismatch: .*delta_um is 2 in the model, 3 in the configuration"),
        (no_model, 4, "nobody"),
        (unknown_key, 2, "haste"),
        (no_axis, 2, "give x, y or z"),
        (json_nowhere, 2, "--json"),
        (link_taken, 2, "board"),
        (stack_cut_short, 2, r"StackDamaged: stack .*cut\.ome\.tiff .*truncated"),
        (stack_not_there, 2, r"StackRefused: stack .*nothing\.ome\.tiff"),
        (
            planes_that_go_down,
            2,
            r"StackRefused: .*200 x 200 px, model .* needs 448 x 448 px\. Record larger",
        ),
        (planes_without_distance, 2, r"StackRefused: .*has no stack\.csv\. .*`parfocal evaluate --step-um`"),
        (record_slide_without_sim, 2, "add --sim"),
        (record_finer_than_a_step, 2, "--step-um"),
        (frames_too_small, 2, r"ConfigError: frames of 640 x 360 px .* middle 448 x 448 px"),
        (record_frames_too_small, 2, r"ConfigError: frames of 640 x 360 px .* middle 448 x 448 px"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do_and_an_exit_code(
    run: Run, tmp_path: Path, arguments: Callable[[Path], list[object]], code: int, told: str
) -> None:
    import re

    found, printed, error = run(*arguments(tmp_path))
    assert found == code, error
    assert error.count("\n") == 1, error
    assert re.search(told, error), error
    assert "fields" not in printed


@pytest.mark.parametrize(
    ("arguments", "told", "helped"),
    [
        (["--nosuch"], "--nosuch", ""),
        (["nosuch"], "'nosuch'", ""),
        (["engine", "nosuch"], "'nosuch'", "engine "),
        (["focus", "--nosuch"], "--nosuch", "focus "),
        (["focus", "--fields", "three"], "'--fields'", "focus "),
        (["focus", "--fields"], "--fields", ""),
        (["focus", "slide.png"], "slide.png", "focus "),
        (["record"], "'--out'", "record "),
        (["move", "z"], "to_um", "move "),
        (["move", "z", "high"], "to_um", "move "),
        (["move", "z", "-5", "--prt", "x"], "--prt", "move "),
        (["evaluate"], "stacks", "evaluate "),
        (["engine", "build", "--precision", "int4"], "--precision", "engine build "),
        (["engine", "build", "--threads", "-1"], "--threads", "engine build "),
    ],
)
def test_a_command_line_that_is_not_understood_is_one_line_that_names_the_help(
    run: Run, arguments: list[str], told: str, helped: str
) -> None:
    code, printed, error = run(*arguments)
    assert (code, printed, error.count("\n")) == (2, "", 1), error
    assert error.startswith("UsageError: ")
    assert error.endswith(f". See `parfocal {helped}--help`.\n")
    assert told in error.lower()  # versions of typer write names of arguments in their own way


SIM = ["focus", "--sim"]
SLIDE = [*SIM, "--slide", "slide.png"]  # tissue of 200 px


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([*SIM, "--seed", -1], "'--seed'"),
        ([*SIM, "--seed", 2**31], "'--seed'"),
        ([*SIM, "--seed", 10**30], "'--seed'"),
        ([*SIM, "--seed", 1.5], "'--seed'"),
        ([*SIM, "--fields", 0], "'--fields'"),
        ([*SIM, "--fields", -1], "'--fields'"),
        ([*SIM, "--fields", 10**9], "'--fields'"),
        ([*SIM, "--fields", 10**5], "the stage allows"),
        ([*SIM, "--z-play-um", "nan"], "'--z-play-um'"),
        ([*SIM, "--z-play-um", "inf"], "'--z-play-um'"),
        ([*SIM, "--z-play-um", -1], "'--z-play-um'"),
        ([*SIM, "--z-play-um", "1e9"], "'--z-play-um'"),
        ([*SLIDE, "--um-per-px", "nan"], "'--um-per-px'"),
        ([*SLIDE, "--um-per-px", 0], "'--um-per-px'"),
        ([*SLIDE, "--um-per-px", -1], "'--um-per-px'"),
        ([*SLIDE, "--um-per-px", "inf"], "'--um-per-px'"),
        ([*SLIDE, "--um-per-px", "1e9"], "'--um-per-px'"),
        ([*SLIDE, "--um-per-px", 100], "covers 57971 x 57971 camera pixels"),
        ([*SLIDE, "--um-per-px", 0.001], "smaller than 32 camera pixels"),
        (["demo", "--seed", -1], "'--seed'"),
        (["demo", "--fields", 0], "'--fields'"),
        (["record", "--sim", "--out", "s", "--seed", -1], "'--seed'"),
        (["record", "--sim", "--out", "s", "--z-play-um", "nan"], "'--z-play-um'"),
        (["move", "z", "nan"], "nan is not a finite number"),
        (["move", "z", "inf"], "inf is not a finite number"),
        (["move", "z", "-inf"], "-inf is not a finite number"),
        (["move", "z", "1e999"], "inf is not a finite number"),
        (["stub", "--speed", 0], "'--speed'"),
        (["stub", "--speed", "nan"], "'--speed'"),
        (["stub", "--speed", "inf"], "'--speed'"),
        (["stub", "--speed", "1e300"], "'--speed'"),
        (["stub", "--speed", -1], "'--speed'"),
    ],
)
def test_a_number_that_makes_no_sense_is_one_line_that_names_it(
    run: Run, tmp_path: Path, arguments: list[object], told: str
) -> None:
    image(tmp_path, tissue(200))
    code, printed, error = run(*arguments)
    assert (code, error.count("\n")) == (2, 1), error
    assert told in error
    assert "fields" not in printed
    assert {path.name for path in tmp_path.iterdir()} == {"slide.png"}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("parfocal eng", {"engine"}),
        ("parfocal engine ", {"list", "build"}),
        ("parfocal focus --z", {"--z-play-um"}),
    ],
)
def test_the_shell_completes_commands_and_options(
    run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, offered: set[str]
) -> None:
    monkeypatch.setenv("_PARFOCAL_COMPLETE", "complete_bash")  # as the script of --show-completion asks
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    code, printed, error = run()
    assert (code, error) == (0, "")
    assert set(printed.split()) == offered


def test_the_script_of_the_shell_can_be_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    code, printed, error = run("--show-completion")
    assert (code, error) == (0, "")
    assert "_PARFOCAL_COMPLETE=complete_bash" in printed


@pytest.mark.parametrize(
    ("arguments", "z_um"),
    [
        (["z", "-5"], "-5.0"),
        (["z", "-5.25e-1"], "-0.525"),
        (["z", "-5", "--port", "/dev/parfocal-is-not-here"], "-5.0"),
        (["--", "z", "-5"], "-5.0"),
    ],
)
def test_a_negative_number_is_a_position_and_no_option(
    run: Run, bench: VirtualBench, arguments: list[str], z_um: str
) -> None:
    with bench.open_board(Config().board) as board:
        board.home()
    code, _, error = run("move", *arguments)
    assert code == 3
    assert f"MoveRefused: move to z={z_um} um refused: limit is 0.0" in error


def test_without_a_command_the_commands_are_shown(run: Run) -> None:
    code, printed, error = run()
    assert (code, error) == (0, "")
    assert "doctor" in printed
    assert "Usage: parfocal" in printed


def test_version_is_the_package_s(run: Run) -> None:
    assert run("--version") == (0, f"parfocal {parfocal.__version__}\n", "")


@pytest.mark.parametrize("verb", [["status"], ["home"], ["move", "z", "10"]])
def test_every_verb_of_the_stage_refuses_a_port_that_is_not_there(run: Run, verb: list[str]) -> None:
    code, _, error = run(*verb, "--port", "/dev/parfocal-is-not-here")
    assert code == 3
    assert "BoardNotFound" in error


def test_home_clears_a_latched_emergency_stop_only_when_it_is_told_to(run: Run, bench: VirtualBench) -> None:
    bench.stub.machine.press_estop(pressed=True)
    bench.stub.machine.press_estop(pressed=False)
    code, _, error = run("home")
    assert (code, "emergency stop is latched" in error) == (3, True)
    code, printed, error = run("home", "--clear-faults")
    assert (code, printed) == (0, "homed: x=0.00 um, y=0.00 um, z=0.00 um\n"), error


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> VirtualBench:
    """What the commands of the stage find at their port: a board in virtual time."""
    bench = VirtualBench()
    monkeypatch.setattr(cli_stage, "opened_board", lambda config: bench.open_board(config.board))
    return bench


def test_status_tells_positions_in_um_and_names_on_the_terminal_and_in_json(
    run: Run, bench: VirtualBench
) -> None:
    assert run("home")[0] == 0
    assert run("move", "z", 2500.2)[1] == "z=2500.31 um\n"
    bench.stub.machine.press_estop(pressed=True)
    code, printed, error = run("status", "--json", "-")
    assert code == 0
    assert error.startswith(f"x: not homed, limits 0.00..{Config().board.x.highest_um:.2f} um\n")
    assert "lamp: 0 %\nfaults: estop; find the cause, then run `parfocal home --clear-faults`\n" in error
    assert "last motion: done\n`parfocal home` homes the axes" in error
    found = json.loads(printed)
    assert (found["faults"], found["last_result"]) == (["estop"], "done")
    assert (found["z"]["position_um"], found["z"]["is_homed"]) == (None, False)


@pytest.mark.usefixtures("bench")
def test_status_of_a_homed_board_shows_where_it_stands_and_no_fault(run: Run) -> None:
    run("home")
    run("move", "z", 2500.0)
    code, printed, error = run("status", "--json", "status.json")
    assert (code, error) == (0, "")
    highest_um = [axis.highest_um for axis in (Config().board.x, Config().board.y, Config().board.z)]
    assert printed.splitlines() == [
        f"x: 0.00 um, limits 0.00..{highest_um[0]:.2f} um",
        f"y: 0.00 um, limits 0.00..{highest_um[1]:.2f} um",
        f"z: 2500.00 um, limits 0.00..{highest_um[2]:.2f} um",
        "lamp: 0 %",
        "faults: none",
        "last motion: done",
    ]
    assert json.loads(Path("status.json").read_text())["z"]["position_um"] == 2500.0


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_motion_stops_the_stage_and_turns_the_lamp_off(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    bench = VirtualBench()
    read, sent = VirtualTransport.read, 0

    def read_and_interrupt(transport: VirtualTransport, timeout_s: float) -> bytes:
        """The signal comes while a motor runs under a lit lamp; an impatient Ctrl-C follows it at each read."""
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


def test_engine_list_shows_what_each_model_was_made_for(run: Run, tmp_path: Path) -> None:
    code, printed, _ = run("engine", "list", "--json", "models.json")
    assert code == 0
    assert "difference-20x" in printed
    assert any(m["name"] == "difference-20x" for m in json.loads((tmp_path / "models.json").read_text()))
