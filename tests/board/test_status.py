"""The state of a board in micrometres and names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from parfocal.board.status import names_of
from parfocal.board.stub.config import StubConfig
from parfocal.board.wire.messages import AxisBit, Fault, Switch

if TYPE_CHECKING:
    from tests.board.conftest import HealthyBoard

pytestmark = pytest.mark.usefixtures("far_side")


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (Fault(0), ()),
        (Fault.ESTOP | Fault.WATCHDOG, ("watchdog", "estop")),
        (AxisBit.X | AxisBit.Z, ("x", "z")),
        (Switch.Z_LOWER, ("z_lower",)),
        (Fault(0x50 | Fault.LIMIT_SWITCH), ("limit_switch", "0x10", "0x40")),
    ],
)
def test_flags_become_names(flags: Fault | AxisBit | Switch, names: tuple[str, ...]) -> None:
    assert names_of(flags) == names


def test_a_status_has_positions_in_um_and_flags_as_names(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (_, board):
        board.z.approach_up(300.0)
        board.x.approach_up(1000.0)
        board.lamp(0.5)
        status = board.status()
        assert (status.x.position_um, status.y.position_um, status.z.position_um) == (1000.0, 0.0, 300.0)
        assert status.z.limits_um == board.z.limits_um
        assert (status.z.is_homed, status.z.is_moving, status.z.is_motor_on) == (True, False, True)
        assert (status.faults, status.last_result, status.lamp_duty) == ((), "done", 0.5)
        decoded = msgspec.json.decode(msgspec.json.encode(status))
        assert decoded["z"]["position_um"] == 300.0
        assert decoded["faults"] == []


def test_an_axis_that_is_not_homed_has_no_position(healthy_board: HealthyBoard) -> None:
    stub = StubConfig()
    pressed = msgspec.structs.replace(stub, z=msgspec.structs.replace(stub.z, start_um=-200.0))
    with healthy_board(pressed, homed=False) as (_, board):
        status = board.status()
        assert (status.z.position_um, status.z.is_homed, status.z.switches) == (None, False, ("lower",))
        assert (status.x.switches, status.last_result) == ((), "none")


def test_a_status_during_a_move_shows_where_the_stage_is_and_which_axis_moves(
    healthy_board: HealthyBoard,
) -> None:
    with healthy_board() as (bench, board):
        found = []
        bench.clock.call_at(bench.clock.now_s() + 0.5, lambda: found.append(board.status()))
        board.y.move_to(10000.0)
        (status,) = found
        assert (status.x.is_moving, status.y.is_moving, status.last_result) == (False, True, "running")
        assert status.y.position_um is not None
        assert 1000.0 < status.y.position_um < 9000.0


def test_a_status_after_an_emergency_stop_names_it_and_no_position(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (_, board):
        board.estop()
        status = board.status()
        assert status.faults == ("estop",)
        assert (status.z.position_um, status.z.is_motor_on) == (None, False)
