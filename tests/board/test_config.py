"""Invalid numbers of a configuration are refused in one line that names them, before a board is opened."""

from __future__ import annotations

import math

import msgspec
import pytest

from parfocal.board.config import X_DEFAULT, Z_DEFAULT, AxisConfig, BoardConfig

NUMBERS = [name for name in AxisConfig.__struct_fields__ if name != "microsteps"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -1e300])
@pytest.mark.parametrize("name", NUMBERS)
def test_an_absurd_number_of_an_axis_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name} = .*: it must be \S+\.\.\S+$"):
        msgspec.structs.replace(Z_DEFAULT, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speed_um_per_s", 0.0),
        ("speed_um_per_s", 5e-324),
        ("speed_um_per_s", 2e6),
        ("accel_um_per_s2", -1.0),
        ("accel_um_per_s2", 1e9),
        ("um_per_step", 0.0),
        ("um_per_step", 1e-300),
        ("play_um", -0.1),
        ("settle_s", 61.0),
        ("microsteps", 0),
        ("microsteps", 257),
        ("microsteps", 10**400),
    ],
)
def test_a_value_that_no_stage_has_is_refused_in_a_short_line(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} = ") as refused:
        msgspec.structs.replace(Z_DEFAULT, **{name: value})
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize("name", ["speed_um_per_s", "accel_um_per_s2"])
def test_less_than_a_step_a_second_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} = 1.0: it must be a step of 1.25 um or more"):
        msgspec.structs.replace(X_DEFAULT, **{name: 1.0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("watchdog_s", math.nan),
        ("lamp_watchdog_s", math.nan),
        ("reconnect_s", math.nan),
        ("reconnect_s", -1.0),
        ("baud", 0),
        ("baud", -9600),
        ("baud", 10**400),
    ],
)
def test_an_invalid_number_of_the_board_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"\b{name} = ") as refused:
        msgspec.structs.replace(BoardConfig(), **{name: value})
    assert "\n" not in str(refused.value)
