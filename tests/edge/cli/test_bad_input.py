"""Invalid input: one line on stderr that says what to do, and an exit code."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from parfocal.edge.stacks.stack import Stack
from parfocal.edge.stacks.write import write_stack
from tests.edge.cli.typed import Run, configured, image
from tests.edge.scope import tissue


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
        (frames_too_small, 2, r"ConfigError: .*frames of 640 x 360 px .* 448 x 448 px"),
        (record_frames_too_small, 2, r"ConfigError: .*frames of 640 x 360 px .* 448 x 448 px"),
    ],
)
def test_invalid_input_gives_one_line_with_the_remedy_and_an_exit_code(
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
def test_a_usage_error_gives_one_line_that_names_the_help(
    run: Run, arguments: list[str], told: str, helped: str
) -> None:
    code, printed, error = run(*arguments)
    assert (code, printed, error.count("\n")) == (2, "", 1), error
    assert error.startswith("UsageError: ")
    assert error.endswith(f". See `parfocal {helped}--help`.\n")
    assert told in error.lower()  # the case of argument names depends on the version of typer


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
        (["stub", "--firmware", "--speed", 2], "it cannot run at speed 2.0. Leave out --speed"),
        (["stub", "--speed", 0], "'--speed'"),
        (["stub", "--speed", "nan"], "'--speed'"),
        (["stub", "--speed", "inf"], "'--speed'"),
        (["stub", "--speed", "1e300"], "'--speed'"),
        (["stub", "--speed", -1], "'--speed'"),
    ],
)
def test_an_invalid_number_gives_one_line_that_names_it(
    run: Run, tmp_path: Path, arguments: list[object], told: str
) -> None:
    image(tmp_path, tissue(200))
    code, printed, error = run(*arguments)
    assert (code, error.count("\n")) == (2, 1), error
    assert told in error
    assert "fields" not in printed
    assert {path.name for path in tmp_path.iterdir()} == {"slide.png"}
