"""At which plane models end: each constant is removed once, or not at all."""

from datetime import datetime, timezone

import pytest

from parfocal.calib.store import Calibration
from parfocal.calib.value import Level, Measured
from parfocal.edge.measured.aim import Aim, aimed
from parfocal.edge.measured.optics_in_use import OpticsInUse, SingleInUse
from parfocal.engines.predictor import AS_SHIPPED, Correction

NOW = datetime(2026, 11, 27, tzinfo=timezone.utc)
APART_UM, ENDS_UM = 0.35, 0.1  # the sharpest plane above the other; the fitted loop above the sharpest plane
FITTED = Correction(0.8, -0.3)


def measured(value: float) -> Measured:
    return Measured(value, 0.1, NOW, "m", "1", "r.json")


def used(level: Level) -> OpticsInUse:
    return OpticsInUse(level, 0.8, -0.3, None, 0.1, NOW)


def aim(
    at_sharpest: bool | None, level: Level | None, ends_um: float | None, apart_um: float | None = APART_UM
) -> Aim:
    """Both models at one level, with what was measured of the loop and of the planes."""
    calibration = Calibration(
        1,
        1,
        "20x/0.75",
        focus_above_sharpest_um=None if ends_um is None else measured(ends_um),
        optics_sharpest_above_um=None if apart_um is None else measured(apart_um),
    )
    if level is None:
        return aimed(calibration, at_sharpest, None, AS_SHIPPED, SingleInUse())
    optics = used(level)
    correction = AS_SHIPPED if level == "shipped" else FITTED
    return aimed(calibration, at_sharpest, optics, correction, SingleInUse(optics, correction))


@pytest.mark.parametrize(
    ("at_sharpest", "level", "ends_um", "pair_um", "single_um", "above_um"),
    [
        # A model as it ships ends at the plane of least wavefront variance, -APART_UM above the sharpest.
        (None, None, None, 0.0, 0.0, None),
        (False, None, None, 0.0, 0.0, None),
        (True, None, None, 0.0, 0.0, None),
        (None, None, -APART_UM, 0.0, 0.0, -APART_UM),
        (False, None, -APART_UM, 0.0, 0.0, -APART_UM),
        (True, None, -APART_UM, APART_UM, APART_UM, 0.0),
        (True, "shipped", -APART_UM, APART_UM, APART_UM, 0.0),
        (False, "shipped", -APART_UM, 0.0, 0.0, -APART_UM),
        # One that was fitted ends at the sharpest plane, but for what the loop adds.
        (None, "line", None, -0.3, -0.3, 0.0),
        (True, "head", None, -0.3, -0.3, 0.0),
        (False, "line", None, -0.3 - APART_UM, -0.3 - APART_UM, -APART_UM),
        (None, "head", ENDS_UM, -0.3, -0.3, ENDS_UM),
        (True, "line", ENDS_UM, -0.3 - ENDS_UM, -0.3, 0.0),
        (False, "head", ENDS_UM, -0.3 - APART_UM, -0.3 - APART_UM, ENDS_UM - APART_UM),
    ],
)
def test_a_constant_is_removed_once_or_not_at_all(
    at_sharpest: bool | None,
    level: Level | None,
    ends_um: float | None,
    pair_um: float,
    single_um: float,
    above_um: float | None,
) -> None:
    found = aim(at_sharpest, level, ends_um)
    assert found.correction.offset_um == pytest.approx(pair_um)
    assert found.single.correction.offset_um == pytest.approx(single_um)
    assert found.above_sharpest_um == (None if above_um is None else pytest.approx(above_um))
    is_moved = pair_um not in (0.0, -0.3)
    assert [note for note in found.notes if "no effect" not in note] == [
        note for note in found.notes if is_moved
    ]


def test_a_single_shot_model_that_was_fitted_alone_is_lowered_alone() -> None:
    calibration = Calibration(1, 1, "20x/0.75", optics_sharpest_above_um=measured(APART_UM))
    single = SingleInUse(used("line"), FITTED)
    found = aimed(calibration, False, used("shipped"), AS_SHIPPED, single)
    assert found.correction is AS_SHIPPED
    assert found.single.correction.offset_um == pytest.approx(-0.3 - APART_UM)
    assert found.above_sharpest_um is None


def test_a_choice_that_has_no_effect_is_said_with_the_command_that_helps() -> None:
    (told,) = aim(True, None, None).notes
    assert told.startswith("calibration: focus.at_sharpest = true has no effect: how far the loop ends")
    assert told.endswith("Run `parfocal calibrate focus`.")
    (told,) = aim(False, "line", None, None).notes
    assert "= false has no effect: how far the sharpest plane lies above the other was not" in told
    assert told.endswith("Run `parfocal calibrate optics`.")
    assert aim(True, "line", None).notes == aim(False, None, None).notes == aim(None, "line", 0.1).notes == ()
