"""The play of the Z gear on one field: focus curves in the order up, down, down, up (dastidar2020 4.1; boddeke1997)."""

from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.play import Direction, PlayFit, fit_play, peak_of
from parfocal.edge.calibrate.curves import MAX_PLAY_UM, Curves

METHOD = "focus curves up, down, down, up, twice"
ORDER: tuple[Direction, ...] = ("up", "down", "down", "up") * 2
N_CURVES = 3 + len(ORDER)
# Through 20x/0.75, and as many depths of field through another objective; the play is that of the gear.
REACH_UM, STEP_UM = 5.0, 0.625
SEARCH_STEP_UM = 2.5
SPARE_UM = 3.0  # more than the search may be wrong by
_TOO_MUCH = f"Play of more than {MAX_PLAY_UM:g} um is not measured: look at the gear."


def measure_z_play(curves: Curves) -> PlayFit:
    """The play of the Z gear. Ends at the focus, approached upwards.

    Above the focus the stage goes by at most `REACH_UM` and `SPARE_UM`, as many depths of field as through 20x/0.75,
    apart from the first sweep.
    Raises CalibPoor, BoardError, CameraFailed; `curves.taken` then holds the curves so far.
    """
    focus_um = curves.focus_um()
    start_um = focus_um + curves.scale * (REACH_UM + SPARE_UM)
    lower_um = _found_downwards_um(curves, focus_um, start_um)
    first = len(curves.taken)
    for direction in ORDER:
        if direction == "up":
            curves.upward(curves.near(focus_um, REACH_UM, STEP_UM))
        else:
            curves.downward(start_um, curves.near(lower_um, REACH_UM, STEP_UM)[::-1])
    fitted = fit_play(curves.taken[first:], curves.scale)
    if fitted.play_um > MAX_PLAY_UM:
        raise CalibPoor(f"play of {fitted.play_um:.1f} um refused. {_TOO_MUCH}")
    curves.leave_at(focus_um)
    return fitted


def _found_downwards_um(curves: Curves, focus_um: float, start_um: float) -> float:
    """About where the peak lies in a downward sweep."""
    low_um = focus_um - MAX_PLAY_UM - 2.0 * curves.scale * REACH_UM
    middle_um, reach_um = (low_um + start_um) / 2.0, (start_um - low_um) / 2.0
    heights_um = curves.heights(middle_um, reach_um, curves.scale * SEARCH_STEP_UM)
    found = curves.downward(start_um, tuple(z_um for z_um in heights_um[::-1] if z_um < start_um))
    try:
        return peak_of(found).z_um
    except CalibPoor as error:
        raise CalibPoor(
            f"no play of Z: the focus at {focus_um:.1f} um upwards was not found again downwards. {error} "
            f"{_TOO_MUCH}"
        ) from error
