"""The focus by the sharpness of a few shots, on a slide whose focus curve is known."""

import msgspec
import pytest

from parfocal.edge.focus.controlled.claims import Claim
from parfocal.edge.focus.controlled.curve import Curve, claim_by_sharpness, curve_after, curve_before
from parfocal.edge.focus.judging.rule import Seen

DEPTH_UM = 0.96
ABOVE_UM = 0.5  # of the sharpest plane over the focus
HEIGHTS_UM = (-0.5, 1.5, -0.2)  # above the focus: the shots of a field that a pair settles
ABOUT = Claim(0.0, 0.3)


def seen(*above_um: float, focus_um: float = 100.0, most: float = 400.0, width_um: float = 2.9) -> list[Seen]:
    """Shots so far above the focus of a field whose sharpest plane has the sharpness `most`."""
    return [
        Seen(focus_um + z_um, most / (1.0 + ((z_um - ABOVE_UM) / width_um) ** 2) ** 2) for z_um in above_um
    ]


def learned(above_um: float | None, n: int = 3, pair_error_um: float = 0.0) -> Curve:
    """The curve after `n` fields whose pairs were off by `pair_error_um`."""
    curve = curve_before(DEPTH_UM, above_um)
    for _ in range(n):
        curve = curve_after(curve, seen(*HEIGHTS_UM), 100.0 + pair_error_um)
    return curve


@pytest.mark.parametrize("start_um", [-1.5, 1.2, 3.0])
@pytest.mark.parametrize("end_um", [-0.3, 0.0, 0.6])
def test_the_fall_of_sharpness_tells_the_focus_of_another_field(start_um: float, end_um: float) -> None:
    field = seen(start_um, end_um, focus_um=50.0, most=90.0)
    found = claim_by_sharpness(learned(None), field, Claim(-end_um + 0.3, 0.3))
    assert found is not None
    assert found.distance_um == pytest.approx(-end_um, abs=0.2)
    assert found.sigma_um < 0.35


def test_shots_far_on_one_side_tell_little_and_say_so() -> None:
    field = seen(-3.0, -1.2)
    found = claim_by_sharpness(learned(None), field, Claim(1.5, 0.3))
    assert found is not None
    assert 0.5 * abs(found.distance_um - 1.2) < found.sigma_um
    assert found.sigma_um > 0.5


def test_a_slide_tells_the_width_of_its_curve_and_how_far_its_peak_is_from_the_focus() -> None:
    curve = learned(None, n=8)
    assert curve.width_um == pytest.approx(2.9, abs=0.15)
    assert curve.above_um == pytest.approx(ABOVE_UM, abs=0.05)
    assert curve.above_sigma_um < 0.5 * curve_before(DEPTH_UM).above_sigma_um
    assert not curve.is_calibrated


def test_a_calibrated_peak_outweighs_a_first_pair_that_was_wrong() -> None:
    field = seen(-1.0, 0.0)
    off_um = []
    for above_um in (None, ABOVE_UM):
        found = claim_by_sharpness(learned(above_um, n=1, pair_error_um=0.6), field, ABOUT)
        assert found is not None
        off_um.append(abs(found.distance_um))
    assert off_um[1] < 0.2 < 0.3 < off_um[0]
    assert learned(ABOVE_UM).is_calibrated


def test_a_claim_by_sharpness_is_as_uncertain_as_the_height_of_the_peak() -> None:
    curves = curve_before(DEPTH_UM, 0.35), curve_before(DEPTH_UM)
    found = [claim_by_sharpness(curve, seen(-2.0, 0.0), ABOUT) for curve in curves]
    sure, unsure = (0.0 if one is None else one.sigma_um**2 for one in found)
    assert unsure - sure == pytest.approx(
        curves[1].above_sigma_um ** 2 - curves[0].above_sigma_um ** 2, abs=0.005
    )


def test_shots_at_one_height_tell_nothing() -> None:
    curve = learned(None, n=1)
    assert claim_by_sharpness(curve, seen(0.0), ABOUT) is None
    assert claim_by_sharpness(curve, seen(0.1, 0.0), ABOUT) is None
    assert curve_after(curve, seen(0.0, 0.1), 100.0) is curve
    black = [msgspec.structs.replace(one, sharpness=0.0) for one in seen(0.0, 2.0)]
    assert claim_by_sharpness(curve, black, ABOUT) is None
    assert curve_after(curve, black, 100.0) is curve


def test_shots_far_from_the_focus_are_left_out_as_noise_fills_the_tail_of_the_curve() -> None:
    curve = learned(None, n=1)
    noisy = [Seen(92.0, 200.0), *seen(0.0)]
    assert claim_by_sharpness(curve, noisy, ABOUT) is None
    assert curve_after(curve, noisy, 100.0) is curve
    with_others, without = ([*first, *seen(-2.0, 0.0)] for first in (noisy[:1], []))
    assert claim_by_sharpness(curve, with_others, ABOUT) == claim_by_sharpness(curve, without, ABOUT)


def test_one_field_unlike_the_others_does_not_turn_what_is_known() -> None:
    curve = learned(None, n=6)
    folded = [Seen(99.5, 300.0), Seen(101.5, 20.0), Seen(99.8, 80.0)]
    assert curve_after(curve, folded, 100.0).above_um == pytest.approx(curve.above_um, abs=0.1)
