"""What `parfocal status` prints."""

from parfocal.board.motor import DECLARE, HOME
from parfocal.board.status import AxisStatus, BoardStatus


def status_lines(status: BoardStatus, has_homing: bool = True) -> list[str]:
    """The state of a board in a few lines; positions in um. `has_homing`: the board can home."""
    axes = (("x", status.x), ("y", status.y), ("z", status.z))
    lines = [
        *(_axis_line(name, axis) for name, axis in axes),
        f"lamp: {100.0 * status.lamp_duty:.0f} %",
        f"faults: {', '.join(status.faults).replace('_', ' ') or 'none'}{_remedy(status)}",
        f"last motion: {status.last_result.replace('_', ' ')}",
    ]
    lines.extend(f"cannot promise: {sentence}" for sentence in status.cannot)
    if any(axis.position_um is None for _, axis in axes):
        homes = f"{HOME} homes the axes: Z first, away from the objective."
        declares = f"{DECLARE} says where the stage stands, in um: this board has no switches to home to."
        lines.append(homes if has_homing else declares)
    return lines


def shown_um(position_um: float) -> str:
    """A position with two decimals, finer than any motor step."""
    return f"{position_um:.2f} um"


def _axis_line(name: str, axis: AxisStatus) -> str:
    where = "not homed" if axis.position_um is None else shown_um(axis.position_um)
    lowest_um, highest_um = axis.limits_um
    parts = [where, f"limits {lowest_um:.2f}..{highest_um:.2f} um"]
    if axis.is_moving:
        parts.append("moving")
    parts.extend(f"{switch} switch pressed" for switch in axis.switches)
    return f"{name}: {', '.join(parts)}"


def _remedy(status: BoardStatus) -> str:
    # A watchdog that fired needs no action: it fires whenever a host exits, and the next host re-arms it.
    if set(status.faults) <= {"watchdog"}:
        return ""
    return "; find the cause, then run `parfocal home --clear-faults`"
