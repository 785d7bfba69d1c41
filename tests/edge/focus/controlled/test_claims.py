"""The claims of a single shot, corrected by earlier ones of the same slide."""

import msgspec
import numpy as np
import pytest

from parfocal.edge.focus.controlled.claims import SHARED_UM, UNKNOWN_UM, Claim, ClaimErrors, Record, together


def records(*claimed_and_true_um: tuple[float, float], sigma_um: float | None = None) -> list[Record]:
    return [Record(claimed_um, true_um, sigma_um) for claimed_um, true_um in claimed_and_true_um]


def corrected(
    claimed_um: float, sigma_um: float | None, known: list[Record], others: list[Record] | None = None
) -> Claim | None:
    return ClaimErrors(tuple(known), tuple(others or ())).corrected(claimed_um, sigma_um)


def claim(claimed_um: float, known: list[Record], sigma_um: float | None = None) -> Claim:
    found = corrected(claimed_um, sigma_um, known)
    assert found is not None
    return found


def test_nothing_is_claimed_before_a_field_was_verified() -> None:
    one = (1.0, 1.0)
    assert corrected(1.0, None, []) is None
    assert corrected(1.0, None, records(one, one)) is None
    assert corrected(1.0, None, records(one, one, one)) is not None


def test_what_a_field_adds_counts_in_the_next_claim() -> None:
    one, off = records((1.0, 1.0)) * 3, records((1.0, 0.2)) * 3
    known = ClaimErrors(tuple(one))
    before = known.corrected(1.0, 0.3)
    for after in (
        known.with_verified(tuple(off)),
        known.with_others(tuple(moved((1.0, 0.2), focus_sigma_um=0.2))),
    ):
        assert before == known.corrected(1.0, 0.3) != after.corrected(1.0, 0.3)
    assert known.with_verified(tuple(off)).corrected(1.0, 0.3) == corrected(1.0, 0.3, one + off)


def test_a_claim_unlike_all_records_stands_as_it_is_and_is_less_certain() -> None:
    known = records(*[(true_um + 0.3, true_um) for true_um in np.linspace(-1.5, 1.5, 12)])
    near, far = claim(0.3, known), claim(7.0, known)
    assert near.distance_um == pytest.approx(0.0, abs=0.05)
    assert far.distance_um == pytest.approx(7.0, abs=0.4)
    assert far.sigma_um > 2.0 * near.sigma_um


def test_records_of_one_field_share_the_error_of_what_they_are_held_against() -> None:
    known = records(*[(0.5, 0.0), (0.0, -0.5), (-0.5, -1.0)] * 3)
    of_three = [msgspec.structs.replace(record, field=k // 3) for k, record in enumerate(known)]
    assert claim(0.0, of_three).sigma_um < 0.85 * claim(0.0, known).sigma_um


def test_an_offset_is_taken_out() -> None:
    known = records(*[(true_um + 0.6, true_um) for true_um in np.linspace(-3.0, 3.0, 24)])
    for true_um in (-1.2, 0.0, 1.5):
        assert claim(true_um + 0.6, known).distance_um == pytest.approx(true_um, abs=0.04)


def test_a_model_that_says_too_much_is_scaled_down() -> None:
    # A foreign condenser stretches distances, and the near ones as much as the far ones.
    known = records(*[(1.4 * true_um, true_um) for true_um in np.linspace(-3.0, 3.0, 48)])
    for true_um in (-2.0, -0.5, 0.5, 2.0):
        assert claim(1.4 * true_um, known).distance_um == pytest.approx(true_um, abs=0.1)


def test_the_uncertainty_is_that_of_the_scatter() -> None:
    rng = np.random.default_rng(1)
    for scatter_um in (0.2, 0.4):
        true_um = rng.uniform(-2.0, 2.0, 48)
        noise_um = rng.normal(0.0, scatter_um, 48)
        known = records(*zip((true_um + noise_um).tolist(), true_um.tolist(), strict=True))
        of_fields = [msgspec.structs.replace(record, field=k // 3) for k, record in enumerate(known)]
        assert claim(0.3, of_fields).sigma_um == pytest.approx(scatter_um, rel=0.35)


def test_few_claims_are_less_certain_than_many() -> None:
    pairs = [(-0.5, -0.5), (0.5, 0.5), (1.0, 1.0), (0.0, 0.0)]
    few, many = records(*pairs), records(*pairs * 10)
    assert 2.0 * claim(0.2, many).sigma_um < claim(0.2, few).sigma_um


def test_one_wrong_direction_costs_the_trust() -> None:
    known = records(*[(1.0, 1.0)] * 23, (1.0, -2.0))
    assert claim(1.0, known).sigma_um > 0.5


def test_a_picture_that_makes_the_model_less_certain_makes_the_claim_less_certain() -> None:
    known = records(*[(1.0, 1.0), (0.0, 0.0), (-1.0, -1.0)] * 8, sigma_um=0.4)
    usual = claim(0.5, known, sigma_um=0.4)
    assert claim(0.5, known, sigma_um=0.25).sigma_um < usual.sigma_um < 0.2
    assert claim(0.5, known, sigma_um=0.8).sigma_um > 2.0 * usual.sigma_um


def test_a_record_counts_less_where_the_model_was_less_certain() -> None:
    sure = records((0.0, 0.0), (0.1, 0.1), (-0.1, -0.1), sigma_um=0.3)
    off = [msgspec.structs.replace(record, field=1) for record in records((0.0, 0.8), sigma_um=0.3)]
    unsure = [msgspec.structs.replace(record, sigma_um=1.2) for record in off]
    assert claim(0.0, [*sure, *unsure]).distance_um < 0.5 * claim(0.0, [*sure, *off]).distance_um


def moved(*claimed_and_true_um: tuple[float, float], focus_sigma_um: float = UNKNOWN_UM) -> list[Record]:
    """Records of fields without a pair, two of each."""
    return [
        msgspec.structs.replace(record, field=100 + k // 2, focus_sigma_um=focus_sigma_um)
        for k, record in enumerate(records(*claimed_and_true_um))
    ]


def test_a_move_tells_by_how_much_claims_shrink_and_nothing_about_their_offset() -> None:
    known = records((0.1, 0.0), (0.0, 0.0), (-0.1, 0.0))
    # From 3 um away a move of 2.5 um made the claim shrink to 0; these fields are said to end 0.4 um too high.
    others = moved(*[(3.0, 2.5 - 0.4), (0.0, -0.4)] * 4)
    before, after = claim(3.0, known), corrected(3.0, None, known, others)
    assert after is not None
    assert before.distance_um == pytest.approx(3.0, abs=0.1)
    assert after.distance_um == pytest.approx(2.5, abs=0.1)
    assert after.sigma_um < 0.6 * before.sigma_um
    near = corrected(0.0, None, known, others)
    assert near is not None
    assert near.distance_um == pytest.approx(0.0, abs=0.05)
    assert near.sigma_um > 0.9 * claim(0.0, known).sigma_um


def test_fields_whose_focus_sharpness_tells_take_an_offset_out_but_share_the_error_of_their_curve() -> None:
    known = records((0.1, 0.0), (0.0, 0.0), (-0.1, 0.0))
    few, many = ((-1.0, -0.6), (0.0, 0.4)), ((-1.0, -0.6), (0.0, 0.4)) * 12
    after = corrected(0.0, 0.3, known, moved(*many, focus_sigma_um=0.2))
    assert after is not None
    assert after.distance_um == pytest.approx(0.4, abs=0.12)
    of_few = corrected(0.0, 0.3, known, moved(*few, focus_sigma_um=0.2))
    assert of_few is not None
    assert 1.15 * SHARED_UM < after.sigma_um < of_few.sigma_um


def test_fields_that_ended_because_claims_agreed_do_not_tell_how_well_claims_agree() -> None:
    known = records(*[(1.0, 1.0)] * 5, (1.0, -2.0))
    others = moved(*[(2.0, 2.0), (0.0, 0.0)] * 12)
    after = corrected(1.0, None, known, others)
    assert after is not None
    assert after.sigma_um > 0.5


def test_claims_together_are_nearer_to_the_more_certain_one() -> None:
    one = together(Claim(0.0, 0.2), Claim(1.0, 0.4))
    assert (one.distance_um, one.sigma_um) == pytest.approx((0.2, 0.179), abs=0.001)
    assert together(Claim(0.5, 0.3)).sigma_um == pytest.approx(0.3)


def test_far_claims_are_corrected_by_those_of_half_their_size() -> None:
    known = records(*[(true_um + 0.5, true_um) for true_um in (-4.5, -5.0, -3.5, -4.0)] * 3)
    far = claim(-8.0, known)
    assert far.distance_um == pytest.approx(-8.5, abs=1.0)
    assert far.sigma_um > 2.0 * claim(-4.0, known).sigma_um  # no record is near
