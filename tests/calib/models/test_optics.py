"""Which level corrects a model: the simplest that stacks support on which it was not fitted."""

import re
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.models.levels import Condensers, Fitted, LevelFit, Limit, StackSeen, fit_line
from parfocal.calib.models.optics import SINGLE_SHOT, _simplest, fit_optics
from parfocal.calib.value import Level
from parfocal.edge.focus.judging.depth import depth_scale

Floats = NDArray[np.float64]
P, K, H = 17, 2, 8  # patches, what the last layer reads


def stack(
    seed: int,
    gain: float = 1.0,
    offset_um: float = 0.0,
    noise_um: float = 0.1,
    bend: float = 0.0,
    wrong: float = 0.0,
    has_head: bool = True,
) -> StackSeen:
    """A stack on which `true = gain * predicted + offset`; `bend` is an error that only the head's inputs show."""
    rng = np.random.default_rng([seed, 5])
    true_um = np.linspace(10.0, -10.0, P) + rng.uniform(-0.3, 0.3)
    patches_um = np.repeat(true_um[:, None], K, axis=1)
    hidden = rng.normal(size=(P, K, H))
    hidden[..., 0] = patches_um
    hidden[..., 1] = np.abs(patches_um) + rng.normal(0.0, 0.2, (P, K))
    said = (patches_um - offset_um) / gain + bend * np.abs(patches_um) + rng.normal(0.0, noise_um, (P, K))
    said[rng.random(P) < wrong] *= -1.0
    weights = rng.uniform(5.0, 20.0, (P, K))
    return StackSeen(true_um, weights, said, hidden if has_head else None)


def uneven(seed: int) -> StackSeen:
    """A stack on which every other distance is a third too long, and the others a third too short."""
    seen = stack(seed, has_head=False)
    factors = 1.0 + 0.35 * (-1.0) ** np.arange(P)
    return StackSeen(seen.true_um, seen.weights, np.repeat((factors * seen.true_um)[:, None], K, axis=1))


def stacks(n: int = 4, **of_all: float) -> list[StackSeen]:
    return [stack(seed, **of_all) for seed in range(n)]  # type: ignore[arg-type]


def test_a_model_that_fits_is_left_as_it_is() -> None:
    found = fit_optics(lambda _condenser: stacks(), None)
    assert [level.level for level in found.levels] == ["shipped", "line", "head"]
    assert (found.chosen.level, found.fitted.gain, found.fitted.offset_um) == ("shipped", 1.0, 0.0)
    assert found.chosen.error_um < 0.1


@pytest.mark.parametrize("n", [2, 6])
def test_another_scale_is_corrected_by_gain_and_offset_whose_intervals_hold_the_truth(n: int) -> None:
    seen = stacks(n, gain=0.74, offset_um=-0.39)
    found = fit_optics(lambda _condenser: seen, None)
    assert found.chosen.level == "line"
    assert found.fitted.gain == pytest.approx(0.74, abs=found.gain_uncertainty)
    assert found.fitted.offset_um == pytest.approx(-0.39, abs=found.offset_uncertainty_um)
    assert (found.levels[0].error_um > 1.5, found.chosen.error_um < 0.1) == (True, True)


def test_what_a_line_cannot_correct_is_taught_to_the_head() -> None:
    seen = stacks(gain=0.6, bend=0.4)
    found = fit_optics(lambda _condenser: seen, None)
    line, head = found.levels[1], found.levels[2]
    assert (found.chosen.level, line.error_um > 0.5, head.error_um < 0.2) == ("head", True, True)
    other = stack(99, gain=0.6, bend=0.4)
    assert np.abs(found.fitted.picture_um(other) - other.true_um).mean() < 0.2
    assert found.fitted.weights is not None
    assert found.fitted.weights.shape == (H,)


def test_a_model_without_a_head_is_not_taught() -> None:
    seen = [stack(seed, gain=0.8, has_head=False) for seed in range(3)]
    assert [level.level for level in fit_optics(lambda _condenser: seen, None).levels] == ["shipped", "line"]


def at_condenser(condenser: float | None) -> Sequence[StackSeen]:
    """A head that is right at a condenser of 0.43, and bent elsewhere; 0.6 is its default."""
    return stacks(4, bend=0.9 * ((condenser or 0.6) - 0.43), offset_um=-0.2)


def test_the_condenser_that_explains_the_stacks_is_found() -> None:
    found = fit_optics(at_condenser, Condensers(0.25, 0.95))
    assert [level.level for level in found.levels] == ["shipped", "line", "condenser", "head"]
    assert found.chosen.level == "condenser"
    assert found.fitted.condenser == pytest.approx(0.43, abs=0.03)
    assert found.fitted.offset_um == pytest.approx(-0.2, abs=found.offset_uncertainty_um)
    assert found.fitted.gain == 1.0


def test_a_head_taught_at_a_fitted_condenser_tells_how_well_that_is_known() -> None:
    def bent(condenser: float | None) -> Sequence[StackSeen]:
        return stacks(4, gain=0.6, bend=0.4 + 0.9 * abs((condenser or 0.6) - 0.43))

    found = fit_optics(bent, Condensers(0.25, 0.95))
    assert (found.chosen.level, found.condenser_uncertainty is None) == ("head", False)
    assert found.fitted.condenser == pytest.approx(0.43, abs=max(0.05, found.condenser_uncertainty or 0.0))


def test_a_level_is_judged_on_stacks_that_it_was_not_fitted_on() -> None:
    seen = [stack(1, gain=0.95, noise_um=0.0), stack(2, gain=1.05, noise_um=0.0)]
    line = fit_optics(lambda _condenser: seen, None).levels[1]
    # Each is 10 % off by what the other one says, and 5 % off by what both say.
    assert line.error_um == pytest.approx(0.1 * np.abs(seen[0].true_um).mean(), rel=0.1)


def level(name: Level, errors_um: tuple[float, ...], wrong_share: float = 0.0) -> LevelFit:
    return LevelFit(name, float(np.mean(errors_um)), 0.1, wrong_share, errors_um)


HEAD = level("head", (0.10, 0.10, 0.10, 0.10))


@pytest.mark.parametrize(
    ("line", "chosen"),
    [
        (level("line", (0.11, 0.12, 0.11, 0.12)), "line"),  # 0.015 um is not worth a head
        (level("line", (0.30, 0.00, 0.20, 0.10)), "line"),  # 0.05 um worse, which is chance
        (level("line", (0.16, 0.14, 0.15, 0.15)), "head"),
        (level("line", (0.70, 0.00, 0.20, 0.10)), "head"),  # by so much it is no chance, however they scatter
        (level("line", (0.11, 0.12, 0.11, 0.12), wrong_share=0.1), "head"),
    ],
)
def test_a_more_elaborate_level_is_taken_only_if_it_is_better_by_more_than_chance(
    line: LevelFit, chosen: Level
) -> None:
    assert _simplest([level("shipped", (1.0, 1.1, 1.0, 1.1)), line, HEAD]).level == chosen


def test_a_few_pictures_far_off_hardly_change_the_line() -> None:
    line = fit_line(stacks(gain=0.8, wrong=0.05))
    assert line.gain == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (stacks(1), "1 of the fields gave a stack with a clear focus, 2 or more are needed"),
        ([StackSeen(*(np.asarray(a)[:5] for a in (s.true_um, s.weights, s.predicted_um))) for s in stacks(3)],
         "a stack has 5 pictures"),
    ],
)  # fmt: skip
def test_too_few_stacks_or_pictures_are_refused(seen: list[StackSeen], why: str) -> None:
    with pytest.raises(CalibPoor, match=why):
        fit_optics(lambda _condenser: seen, None)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ([uneven(k) for k in range(4)], "the model errs by"),
        (stacks(gain=0.2), r"a gain of 0\.20 and an offset of [+-]0\.\d\d um would"),
        (stacks(wrong=0.1), "the wrong direction, and no correction helps"),
    ],
)
def test_a_model_that_no_level_makes_good_is_poor(seen: list[StackSeen], why: str) -> None:
    poor = fit_optics(lambda _condenser: seen, None).poor
    assert poor is not None
    assert re.search(why, poor)


def test_what_is_good_enough_for_two_shots_may_be_poor_for_one() -> None:
    seen = stacks(noise_um=0.5)
    assert fit_optics(lambda _condenser: seen, None).poor is None
    error_um = fit_optics(lambda _condenser: seen, None).chosen.error_um
    for limit, is_poor in ((0.9, True), (1.1, False)):
        assert bool(fit_optics(lambda _condenser: seen, None, Limit(limit * error_um)).poor) == is_poor
    # Nothing checks a single shot: all of the interval must be good.
    why = fit_optics(lambda _condenser: seen, None, Limit(1.1 * error_um, is_sure=True)).poor or ""
    assert re.search(r"errs by 0\.\d\d \+- 0\.\d\d um", why)


def unsure(seed: int, n: int) -> StackSeen:
    """A stack whose `n` farthest pictures the model takes for ones on the other side, and says that it is unsure."""
    seen = stack(seed)
    said, sigma_um = seen.predicted_um.copy(), np.full(P, 0.4)
    said[:n] *= -1.0
    sigma_um[:n] = 3.0
    return msgspec.structs.replace(seen, predicted_um=said, sigma_um=sigma_um)


def test_pictures_of_which_a_single_shot_is_unsure_are_not_judged_as_they_are_not_believed() -> None:
    seen = [unsure(seed, 1) for seed in range(4)]
    assert re.search("wrong direction", fit_optics(lambda _condenser: seen, None).poor or "")
    found = fit_optics(lambda _condenser: seen, None, SINGLE_SHOT)
    assert (found.poor, found.chosen.wrong_share) == (None, 0.0)
    assert found.chosen.unsure_share == pytest.approx(1 / P)
    assert found.chosen.error_um < 0.2
    # Without a picture that the model is sure of, a stack is judged as it is.
    nothing_sure = [*seen, msgspec.structs.replace(stack(9, offset_um=2.0), sigma_um=np.full(P, 3.0))]
    shipped = fit_optics(lambda _condenser: nothing_sure, None, SINGLE_SHOT).levels[0]
    assert shipped.stack_errors_um[-1] == pytest.approx(2.0, abs=0.1)


def test_a_model_that_is_unsure_of_many_pictures_is_poor() -> None:
    seen = [unsure(seed, 5) for seed in range(4)]
    poor = fit_optics(lambda _condenser: seen, None, SINGLE_SHOT).poor
    assert poor == "the model is unsure of 29 % of the pictures within 12 um by more than 1 um"


def test_a_model_may_be_unsure_of_pictures_so_far_away_that_nothing_relies_on_them() -> None:
    """As at 40x, where stacks reach 25 um."""
    seen = [unsure(seed, 5) for seed in range(4)]
    far = [
        msgspec.structs.replace(one, true_um=one.true_um.copy(), predicted_um=one.predicted_um.copy())
        for one in seen
    ]
    for one in far:
        one.true_um[:5] = np.linspace(25.0, 13.0, 5)
        one.predicted_um[:5] = one.true_um[:5, None]
    found = fit_optics(lambda _condenser: far, None, SINGLE_SHOT)
    assert (found.poor, found.chosen.unsure_share) == (None, 0.0)


def test_limits_are_wider_for_an_objective_with_a_larger_depth_of_field() -> None:
    limit = SINGLE_SHOT.at(depth_scale("40x/0.65"))
    assert (limit.error_um, limit.sigma_um) == pytest.approx((0.4, 1.33), rel=0.01)
    assert SINGLE_SHOT.at(depth_scale("20x/0.75")) == SINGLE_SHOT


@pytest.mark.parametrize(("told_um", "scale"), [(0.1, 1.0), (0.05, 2.0), (0.4, 0.25)])
def test_the_uncertainty_is_scaled_to_the_errors_on_held_out_stacks(told_um: float, scale: float) -> None:
    seen = [
        msgspec.structs.replace(
            stack(seed, gain=0.5, noise_um=0.1 * 2.0 * 2.0**0.5), sigma_um=np.full(P, told_um / 0.5)
        )
        for seed in range(8)
    ]
    line = fit_optics(lambda _condenser: seen, None).levels[1]
    assert line.sigma_scale == pytest.approx(scale, rel=0.15)
    assert fit_optics(lambda _condenser: stacks(), None).levels[1].sigma_scale is None


def test_patches_count_by_their_contrast() -> None:
    seen = StackSeen(np.zeros(1), np.array([[1.0, 3.0]]), np.array([[4.0, 0.0]]))
    assert Fitted(2.0, 0.5).picture_um(seen).tolist() == [2.5]
