"""What is fitted through an objective with four times the depth of field is the same, and four times as long.

Four times a float is exact, so that most results must be equal to the last bit.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from parfocal.calib.errors import CalibPoor
from parfocal.calib.lens.curve import FocalPlane, fit_lens
from parfocal.calib.models import stack_faults
from parfocal.calib.models.learning import Learned, Observation, gain_between, learned_from, peak_of_shots
from parfocal.calib.models.levels import Condensers, Limit, StackSeen
from parfocal.calib.models.loop import choose_spacing, fit_loop
from parfocal.calib.models.optics import SINGLE_SHOT, TWO_SHOTS, _simplest, fit_optics
from parfocal.calib.models.planes import planes_apart
from parfocal.calib.motion.play import FocusCurve, fit_play
from tests.calib.lens.test_curve import bent
from tests.calib.lens.test_curve import planes as focal_planes
from tests.calib.models import test_learning, test_loop, test_optics, test_planes
from tests.calib.models.test_loop import approaches, judged
from tests.calib.models.test_optics import HEAD, level, stacks, unsure
from tests.calib.motion.test_play import measured

SCALE = 4.0


def deep_curve(curve: FocusCurve) -> FocusCurve:
    """A focus curve that is as many times as wide."""
    return msgspec.structs.replace(curve, z_um=tuple(SCALE * z for z in curve.z_um))


def deep_stack(seen: StackSeen) -> StackSeen:
    """A stack of an objective and a model that see as many times as far."""
    sigma_um = None if seen.sigma_um is None else SCALE * seen.sigma_um
    return msgspec.structs.replace(
        seen, true_um=SCALE * seen.true_um, predicted_um=SCALE * seen.predicted_um, sigma_um=sigma_um
    )


@pytest.mark.parametrize(("seed", "is_refused"), [(1, False), (3, True)])
def test_play_may_be_uncertain_by_as_many_depths_of_field(seed: int, is_refused: bool) -> None:
    curves = measured(8.0, wobble_um=0.9 if is_refused else 0.3, seed=seed)
    deep = [deep_curve(curve) for curve in curves]
    if is_refused:
        with pytest.raises(CalibPoor, match=r"interval must be \+-0\.5 um or less"):
            fit_play(curves)
        with pytest.raises(CalibPoor, match=r"interval must be \+-2 um or less"):
            fit_play(deep, SCALE)
        return
    found, deeper = fit_play(curves), fit_play(deep, SCALE)
    assert 0.5 / SCALE < found.uncertainty_um < 0.5
    assert SCALE * found.play_um == pytest.approx(deeper.play_um, abs=1e-6)
    assert SCALE * found.uncertainty_um == pytest.approx(deeper.uncertainty_um, rel=1e-6)


def test_the_loop_may_scatter_by_as_many_depths_of_field() -> None:
    planes = [msgspec.structs.replace(one, z_um=SCALE * one.z_um) for one in test_loop.PLANES]
    deep, scattered = (
        [msgspec.structs.replace(one, z_um=SCALE * one.z_um) for one in approaches(um)] for um in (0.3, 0.9)
    )
    found = fit_loop(approaches(0.3), test_loop.PLANES)
    assert found.repeatability_um > 0.5 / SCALE
    assert SCALE * found.repeatability_um == fit_loop(deep, planes, SCALE).repeatability_um
    with pytest.raises(CalibPoor, match="2 um is the limit"):
        fit_loop(scattered, planes, SCALE)


@pytest.mark.parametrize("best_um", [0.0, 6.0])
def test_shots_are_taken_as_many_depths_of_field_below_the_pivot_and_the_run_up_is_that_of_the_gear(
    best_um: float,
) -> None:
    near = choose_spacing(judged(best_um), 2.0, 4.8, 14.0)
    deep = [
        msgspec.structs.replace(one, distance_um=SCALE * one.distance_um, error_um=SCALE * one.error_um)
        for one in judged(best_um)
    ]
    found = choose_spacing(deep, SCALE * 2.0, SCALE * 4.8, 14.0, SCALE)
    assert (SCALE * near.z1_below_um, SCALE * near.error_um) == pytest.approx(
        (found.z1_below_um, found.error_um)
    )
    for one in (near, found):
        assert 16.0 <= one.z0_below_um - one.z1_below_um <= 16.5


def wrong_near_the_focus(seed: int) -> StackSeen:
    """A stack of which no picture is within 0.3 um of the focus; those within 0.9 um have the wrong direction."""
    seen = test_optics.stack(seed)
    return msgspec.structs.replace(
        seen, true_um=seen.true_um + 0.6, predicted_um=np.round(seen.predicted_um) - 0.6
    )


def faint(seed: int) -> StackSeen:
    """A stack whose bend only a weakly held head can learn, from inputs that hardly vary."""
    seen = test_optics.stack(seed, bend=0.2)
    assert seen.hidden is not None
    hidden = seen.hidden.copy()
    hidden[..., 1] *= 0.05
    return msgspec.structs.replace(seen, hidden=hidden)


@pytest.mark.parametrize(
    ("seen", "limit"),
    [
        ([faint(seed) for seed in range(4)], TWO_SHOTS),
        ([wrong_near_the_focus(seed) for seed in range(4)], TWO_SHOTS),
        (stacks(gain=0.6, bend=0.4, noise_um=0.2), TWO_SHOTS),
        ([unsure(seed, 5) for seed in range(4)], SINGLE_SHOT),
    ],
    ids=["head", "near", "noisy", "unsure"],
)
def test_the_same_level_corrects_a_model_that_sees_as_many_times_as_far(
    seen: Sequence[StackSeen], limit: Limit
) -> None:
    deep = [deep_stack(one) for one in seen]
    near, far = fit_optics(lambda _: seen, None, limit), fit_optics(lambda _: deep, None, limit.at(SCALE))
    assert (near.chosen.level, near.poor is None) == (far.chosen.level, far.poor is None)
    for one, other in zip(near.levels, far.levels, strict=True):
        assert (one.wrong_share, one.unsure_share) == (other.wrong_share, other.unsure_share)
        assert SCALE * one.error_um == pytest.approx(other.error_um, rel=1e-4)
    assert near.fitted.gain == pytest.approx(far.fitted.gain, rel=1e-4)
    if near.fitted.weights is not None and far.fitted.weights is not None:
        assert SCALE * near.fitted.weights == pytest.approx(far.fitted.weights, rel=1e-3, abs=1e-4)
    lengths = (near.fitted.offset_um, near.offset_uncertainty_um, near.fitted.bias_um)
    deeper = (far.fitted.offset_um, far.offset_uncertainty_um, far.fitted.bias_um)
    assert SCALE * np.array(lengths) == pytest.approx(np.array(deeper), rel=1e-3, abs=1e-4)


def test_a_fitted_condenser_is_as_certain_and_its_offset_as_many_depths_of_field() -> None:
    condensers = Condensers(0.25, 0.95)
    near = fit_optics(test_optics.at_condenser, condensers)
    far = fit_optics(
        lambda one: [deep_stack(seen) for seen in test_optics.at_condenser(one)],
        condensers,
        TWO_SHOTS.at(SCALE),
    )
    assert near.chosen.level == far.chosen.level == "condenser"
    assert (near.fitted.condenser, near.condenser_uncertainty) == (
        far.fitted.condenser,
        far.condenser_uncertainty,
    )
    assert SCALE * near.offset_uncertainty_um == far.offset_uncertainty_um


@pytest.mark.parametrize("reason", ["offset", "error", "unsure"])
def test_a_poor_model_is_refused_with_the_limits_of_its_objective(reason: str) -> None:
    seen, told = {
        "offset": (stacks(offset_um=8.0), "0.3 to 3 and 20 um are the limits"),
        "error": ([test_optics.uneven(k) for k in range(4)], "2.4 um is the limit"),
        "unsure": ([unsure(k, 5) for k in range(4)], "within 48 um by more than 4 um"),
    }[reason]
    limit = (SINGLE_SHOT if reason == "unsure" else TWO_SHOTS).at(SCALE)
    assert told in (fit_optics(lambda _: [deep_stack(one) for one in seen], None, limit).poor or "")


@pytest.mark.parametrize(
    "errors_um",
    [(0.11, 0.12, 0.11, 0.12), (0.30, 0.00, 0.20, 0.10), (0.16, 0.14, 0.15, 0.15), (0.70, 0.00, 0.20, 0.10)],
)
def test_a_level_is_worth_its_while_by_as_many_depths_of_field(errors_um: tuple[float, ...]) -> None:
    def deep(um: Sequence[float]) -> tuple[float, ...]:
        return tuple(SCALE * one for one in um)

    near = _simplest([level("line", errors_um), HEAD])
    far = _simplest([level("line", deep(errors_um)), level("head", deep(HEAD.stack_errors_um))], SCALE)
    assert near.level == far.level


def test_the_planes_are_as_many_depths_of_field_apart() -> None:
    seen_at = test_planes.seen_at()

    def deep_at(condenser: float | None) -> list[StackSeen]:
        return [deep_stack(one) for one in seen_at(condenser)]

    near = planes_apart(seen_at, test_planes.CONDENSERS)
    far = planes_apart(deep_at, test_planes.CONDENSERS, SCALE)
    assert near is not None
    assert far is not None
    assert (SCALE * near.above_um, SCALE * near.uncertainty_um) == pytest.approx(
        (far.above_um, far.uncertainty_um)
    )


def test_faults_of_a_stack_are_as_many_depths_of_field_long() -> None:
    z_um = tuple(float(z) for z in np.arange(-10.0, 10.1, 0.625))
    near = FocusCurve("up", z_um, tuple(0.2 + 1.0 / (1.0 + z * z) for z in z_um), (0.0,) * len(z_um), 0.0)
    deep = deep_curve(near)
    again = stack_faults.heights_again(near.z_um, 0.5)
    assert again is not None
    assert stack_faults.heights_again(deep.z_um, SCALE * 0.5, SCALE) == tuple(SCALE * z for z in again)
    stack_faults.check_steady(deep, 1.1, SCALE)
    with pytest.raises(stack_faults.StackDrifts, match=r"by \+1\.30 um .*; 1\.2 um is the limit"):
        stack_faults.check_steady(deep, 1.3, SCALE)
    with pytest.raises(stack_faults.StackStaysSharp):
        stack_faults.check_fixed(deep, SCALE * 10.0, SCALE)
    half = slice(4, -4)  # it reaches 7.5 um, or 30 um
    short = FocusCurve("up", deep.z_um[half], deep.sharpness[half], deep.white_share[half], 0.0)
    stack_faults.check_fixed(short, SCALE * 10.0, SCALE)


def test_dust_is_seen_in_a_stack_that_ends_with_the_range_of_its_model() -> None:
    # As `calibrate optics` takes them through 10x/0.3, with six times the depth of field and a model for +-36 um.
    z_um = tuple(float(z) for z in np.arange(-45.0, 35.1, 2.5))

    def stack(dust: float, of: slice = slice(None)) -> FocusCurve:
        sharpness = tuple(dust + 1.0 / (1.0 + (z / 6.0) ** 2) ** 2 for z in z_um[of])
        return FocusCurve("up", z_um[of], sharpness, (0.0,) * len(z_um[of]), 0.0)

    stack_faults.check_fixed(stack(0.05), 36.0, 6.25)
    with pytest.raises(stack_faults.StackStaysSharp, match="17 % as sharp"):
        stack_faults.check_fixed(stack(0.2), 36.0, 6.25)
    stack_faults.check_fixed(stack(0.2, slice(None, -3)), 36.0, 6.25)  # it ends 27.5 um above its focus


@pytest.mark.parametrize("jump_um", [0.0, 0.2, 0.5])
def test_a_drift_is_followed_by_as_many_depths_of_field(jump_um: float) -> None:
    near, far = Learned(), Learned()
    for k in range(60):
        too_high_um = 0.006 * k + (jump_um if k > 20 else 0.0) + 0.02 * float(np.sin(9.0 * k))
        near = learned_from(near, Observation(below_um=too_high_um + near.offset_um))
        far = learned_from(far, Observation(below_um=SCALE * too_high_um + far.offset_um), SCALE)
        assert SCALE * near.offset_um == pytest.approx(far.offset_um)
        assert bool(near.told) == bool(far.told)
    assert near.told.startswith("the optics changed suddenly") is (jump_um > 0.3)


def test_a_gain_needs_a_move_of_as_many_depths_of_field() -> None:
    for moved_um in (1.25, 2.0):
        near = gain_between((2490.0, 2490.0 + moved_um), (10.0, 8.0))
        far = gain_between((9960.0, 9960.0 + SCALE * moved_um), (40.0, 32.0), SCALE)
        assert near == far


@pytest.mark.parametrize("below_um", [4.5, 7.0])
def test_shots_as_many_depths_of_field_apart_tell_the_sharpest_plane(below_um: float) -> None:
    z_um = [2502.0, 2502.0 - below_um, 2498.9, 2500.3]
    sharpness = [test_learning.sharp(z) for z in z_um]
    near, far = peak_of_shots(z_um, sharpness), peak_of_shots([SCALE * z for z in z_um], sharpness, SCALE)
    assert near is not None
    assert far == SCALE * near


@pytest.mark.parametrize(
    ("um_per_ma", "noise_um", "told"),
    [(0.33, 0.05, None), (0.03, 0.03, "less than 40 um"), (0.33, 0.3, "at most 1.2 um")],
)
def test_a_lens_is_measured_to_as_many_depths_of_field(
    um_per_ma: float, noise_um: float, told: str | None
) -> None:
    near = focal_planes(bent(um_per_ma), noise_um=noise_um)
    deep = [FocalPlane(one.current_ma, SCALE * one.z_um, one.is_rising, one.time_s) for one in near]
    if told is not None:
        with pytest.raises(CalibPoor, match=told):
            fit_lens(deep, SCALE)
        return
    found, deeper = fit_lens(near), fit_lens(deep, SCALE)
    assert (
        SCALE * found.uncertainty_um,
        SCALE * found.play_uncertainty_um,
        SCALE * found.um_per_ma,
    ) == pytest.approx((deeper.uncertainty_um, deeper.play_uncertainty_um, deeper.um_per_ma))
