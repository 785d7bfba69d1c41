"""What lines of Grbl mean, damaged ones included."""

from __future__ import annotations

import re

import msgspec
import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.foreign.grbl_text import (
    has_homed_mark,
    homed_mark,
    is_welcome,
    jog_line,
    machine_from,
    problems_of,
    settings_from_lines,
    status_from_line,
)
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.foreign.grbl_stub import grbl_settings

BOARD = BoardConfig(kind="grbl")
AXES = (BOARD.x, BOARD.y, BOARD.z)


def settings() -> dict[int, float]:
    return grbl_settings(StubConfig(), BOARD)


def test_reports_of_grbl_and_grblhal_are_read() -> None:
    plain = status_from_line("<Idle|MPos:0.000,-10.000,5.125|FS:0,600>")
    assert plain is not None
    assert (plain.state, plain.mpos_mm, plain.spindle, plain.is_homed) == (
        "Idle",
        (0.0, -10.0, 5.125),
        600.0,
        None,
    )
    more = status_from_line(
        "<Hold:1|MPos:1.000,2.000,3.000,4.000|Bf:35,1024|FS:0,0|Pn:PZ|WCO:0.000,0.000,0.000|H:1,7>"
    )
    assert more is not None
    assert (more.state, more.is_busy, more.is_homed, more.limits) == ("Hold", True, True, ("z",))


@pytest.mark.parametrize(
    "line",
    [
        "ok",
        "<Idle|MPos:0.000,-10.000,5.125|FS:0,0",
        "<Idle|MPos:0.000,-10.000|FS:0,0>",
        "<Idle|MPos:0.000,-10.00,5.125|FS:0,0>",
        "<Idle|MPos:0.000,-10.0000,5.125|FS:0,0>",
        "<Idl|MPos:0.000,-10.000,5.125|FS:0,0>",
        "<Idle|MPos:0.000,-1\ufffd.000,5.125|FS:0,0>",
        "<Idle|WPos:0.000,-10.000,5.125|FS:0,0>",
    ],
)
def test_a_damaged_report_is_none(line: str) -> None:
    assert status_from_line(line) is None


def test_welcome_lines() -> None:
    assert is_welcome("Grbl 1.1h ['$' for help]")
    assert is_welcome("GrblHAL 1.1f ['$' or '$HELP' for help]")
    assert not is_welcome("[MSG:'$H'|'$X' to unlock]")


def test_homed_mark_is_found_only_whole() -> None:
    assert homed_mark() == "F4217"
    assert has_homed_mark(["[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F4217 S0]"]) is True
    assert has_homed_mark(["[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F4217. S0.]"]) is True
    assert has_homed_mark(["[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F0 S4217]"]) is False
    assert has_homed_mark(["[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F42175 S0]"]) is False
    assert has_homed_mark(["[GC:G0 G54 G17 F4217"]) is None


def test_settings_that_are_damaged_are_left_out() -> None:
    assert settings_from_lines(["$0=10", "$100=250.000", "$1=2\ufffd", "$x=3", "[MSG:x]", "$27=-1"]) == {
        0: 10,
        100: 250.0,
        27: -1.0,
    }


def test_a_jog_is_absolute_in_machine_coordinates_and_finer_than_a_step() -> None:
    assert jog_line("z", -3.4996875, 60.0) == "$J=G21G90G53Z-3.49969F60.000"


def test_zero_is_where_homing_ends() -> None:
    found = settings() | {27: 1.0, 132: 6.0, 102: 3200.0}
    assert machine_from(found, has_fixed_origin=False).zero_steps[2] == -5 * 3200
    assert machine_from(found, has_fixed_origin=True).zero_steps[2] == 0
    assert machine_from(found, has_fixed_origin=False).top_steps[2] == 5 * 3200


def test_settings_of_the_stub_have_no_problem() -> None:
    assert problems_of(settings(), AXES, has_lamp=True) == ()


@pytest.mark.parametrize(
    ("number", "value", "told"),
    [
        (1, 25, r"\$1=25: the motors lose their current"),
        (10, 2, r"\$10=2: status reports lack the machine position; send \$10=1"),
        (13, 1, "in inches"),
        (20, 0, r"\$20=0: soft limits are off"),
        (22, 0, "homing is off"),
        (23, 3, "Z would home into the objective; send"),
        (44, 1, "Z does not home first"),
        (32, 1, "the lamp would go out"),
        (31, 5, "could not be dimmed"),
        (27, 0.05, r"\$27=0.05: the pull-off must be longer than board.x.play_um"),
        (102, 1600, r"\$102 means 0.625 um per step, board.z.um_per_step 0.3125"),
        (122, 10, r"\$122 means 10000 um/s2, board.z.accel_um_per_s2 25000"),
        (131, 0, r"\$131 is missing or not positive"),
    ],
)
def test_a_setting_that_does_not_fit_is_told(number: int, value: float, told: str) -> None:
    found = problems_of(settings() | {number: value}, AXES, has_lamp=True)
    assert re.search(told, found[0]), found
    assert len(found) == (2 if number == 27 else 1)  # both X and Y have more play


def test_lamp_settings_do_not_matter_without_a_lamp() -> None:
    assert problems_of(settings() | {31: 5, 32: 1}, AXES, has_lamp=False) == ()


def test_keys_of_another_kind_of_board_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="spindle_lamp is a key of kind = 'grbl' only"):
        msgspec.toml.decode("spindle_lamp = true\n", type=BoardConfig)
    with pytest.raises(ValueError, match="watchdog_s is a key of kind = 'parfocal' only, and kind = 'grbl'"):
        BoardConfig(kind="grbl", watchdog_s=0.5)
