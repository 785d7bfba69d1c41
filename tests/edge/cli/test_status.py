"""What `parfocal status` prints for each state."""

import msgspec

from parfocal.board.status import AxisStatus, BoardStatus
from parfocal.edge.cli.status import status_lines

AT_REST = AxisStatus(
    position_um=2500.3125,
    limits_um=(0.0, 4999.5),
    is_homed=True,
    is_moving=False,
    is_motor_on=True,
    switches=(),
)
WELL = BoardStatus(
    x=AT_REST,
    y=AT_REST,
    z=AT_REST,
    lamp_duty=0.6,
    faults=(),
    last_result="home_failed",
    board_time_s=1.0,
    frames_done=0,
    lens_ma=0.0,
)


def test_an_axis_line_shows_motion_and_pressed_switches() -> None:
    z = msgspec.structs.replace(AT_REST, is_moving=True, switches=("lower", "upper"))
    lines = status_lines(msgspec.structs.replace(WELL, z=z))
    assert lines[1:] == [
        "y: 2500.31 um, limits 0.00..4999.50 um",
        "z: 2500.31 um, limits 0.00..4999.50 um, moving, lower switch pressed, upper switch pressed",
        "lamp: 60 %",
        "faults: none",
        "last motion: home failed",
    ]


def test_a_stuck_switch_has_a_remedy_and_a_watchdog_that_fired_needs_none() -> None:
    fired = status_lines(msgspec.structs.replace(WELL, faults=("watchdog",)))
    stuck = status_lines(msgspec.structs.replace(WELL, faults=("watchdog", "stuck_switch")))
    assert "faults: watchdog" in fired
    assert "faults: watchdog, stuck switch; find the cause, then run `parfocal home --clear-faults`" in stuck
