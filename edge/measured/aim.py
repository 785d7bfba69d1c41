"""At which plane the corrected models end: the sharpest one, or that of least wavefront variance.

A model as it ships ends at the plane of least wavefront variance. One whose optics were fitted ends at the sharpest
plane, since the stacks are labelled by it. `parfocal calibrate optics` estimates how far the two lie apart.
`parfocal calibrate focus` measures how far the loop ends above the sharpest plane with whatever was fitted, and without
`focus.at_sharpest`: so no part is removed twice.
"""

import dataclasses

import msgspec

from parfocal.calib.store import Calibration
from parfocal.calib.value import Measured
from parfocal.edge.measured.optics_in_use import OpticsInUse, SingleInUse
from parfocal.engines.predictor import Correction


class Aim(msgspec.Struct, frozen=True):
    """The corrections that end at the chosen plane, and remarks for the user, a sentence each.

    `above_sharpest_um`: how far the two-shot model then ends above the sharpest plane, None if nobody knows.
    """

    correction: Correction
    single: SingleInUse
    above_sharpest_um: float | None
    notes: tuple[str, ...] = ()


def aimed(
    calibration: Calibration,
    at_sharpest: bool | None,
    optics: OpticsInUse | None,
    correction: Correction,
    single: SingleInUse,
) -> Aim:
    """Let the models end where the user wants.

    Args:
        calibration: what was measured.
        at_sharpest: `focus.at_sharpest`; None leaves the models where they end.
        optics: how the two-shot model is corrected, None if it is not.
        correction: what does it.
        single: the same of the single-shot model.
    """
    above, is_fitted = calibration.focus_above_sharpest_um, _is_fitted(optics)
    ends_um = above.value if above is not None else 0.0 if is_fitted else None
    as_it_is = Aim(correction, single, ends_um)
    if at_sharpest is None:
        return as_it_is
    used = f"calibration {calibration.used}"
    if not at_sharpest:
        return _at_wavefront(as_it_is, calibration.optics_sharpest_above_um, is_fitted, used)
    if above is None:
        return as_it_is if is_fitted else _without(as_it_is, "true", "how far the loop ends from it", "focus")
    # What was measured is of two shots. Before a fit both models end at the same plane, after it each has its own.
    lowered = single if is_fitted or _is_fitted(single.optics) else _single_moved(single, -above.value)
    told = f"{used}: the loop ends {above.value:+.2f} um lower, at the sharpest plane"
    return Aim(_moved(correction, -above.value), lowered, 0.0, (told,))


def _at_wavefront(as_it_is: Aim, apart: Measured | None, is_fitted: bool, used: str) -> Aim:
    """Models that were fitted end at the sharpest plane, and are lowered; the others are there already."""
    single = as_it_is.single
    if not is_fitted and not _is_fitted(single.optics):
        return as_it_is
    if apart is None:
        return _without(as_it_is, "false", "how far the sharpest plane lies above the other", "optics")
    ends_um, correction = as_it_is.above_sharpest_um, as_it_is.correction
    if is_fitted:
        correction = _moved(correction, -apart.value)
        ends_um = (ends_um or 0.0) - apart.value
    if _is_fitted(single.optics):
        single = _single_moved(single, -apart.value)
    told = f"{used}: the loop ends {apart.value:+.2f} um lower, at the plane of least wavefront variance"
    return Aim(correction, single, ends_um, (told,))


def _without(as_it_is: Aim, key: str, what: str, verb: str) -> Aim:
    told = (
        f"focus.at_sharpest = {key} has no effect: {what} was not measured. Run `parfocal calibrate {verb}`."
    )
    return msgspec.structs.replace(as_it_is, notes=(f"calibration: {told}",))


def _is_fitted(optics: OpticsInUse | None) -> bool:
    return optics is not None and optics.level != "shipped"


def _moved(correction: Correction, by_um: float) -> Correction:
    return dataclasses.replace(correction, offset_um=correction.offset_um + by_um)


def _single_moved(single: SingleInUse, by_um: float) -> SingleInUse:
    return msgspec.structs.replace(single, correction=_moved(single.correction, by_um))
