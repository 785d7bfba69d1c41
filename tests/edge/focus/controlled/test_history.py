"""What earlier fields say about the claims of a single-shot model."""

import msgspec
import pytest

from parfocal.edge.focus.controlled.history import (
    KEPT_FIELDS,
    KEPT_RECORDS,
    MAX_UNVERIFIED,
    MIN_RECORDS,
    History,
    Record,
    Verified,
)
from parfocal.edge.focus.estimate import Estimate

DEPTH_UM = 0.96


def single(distance_um: float, sigma_um: float | None = None, doubt: str | None = None) -> Estimate:
    found = Estimate(distance_um, 0.0, (distance_um,), (1.0,), sigma_um)
    return msgspec.structs.replace(found, doubt=doubt)


def history(*claimed_and_true_um: tuple[float, float], shifts_um: tuple[float, ...] = ()) -> History:
    records = tuple(Record(*pair) for pair in claimed_and_true_um)
    return History(DEPTH_UM, records, tuple(Verified(shift_um, 1.0) for shift_um in shifts_um))


def test_nothing_is_believed_before_enough_claims_of_its_size_were_verified() -> None:
    one = (1.0, 1.0)
    assert history().claim_of(single(1.0)) is None
    assert history(*[one] * (MIN_RECORDS - 1)).claim_of(single(1.0)) is None
    assert history(*[one] * MIN_RECORDS).claim_of(single(1.0)) is not None
    assert history(*[one] * MIN_RECORDS).claim_of(single(5.0)) is None  # nobody knows about claims of 5 um
    assert history(*[one] * MIN_RECORDS).claim_of(single(-1.0)) is None  # nor of the other direction
    assert history(*[one] * MIN_RECORDS).claim_of(None) is None


@pytest.mark.parametrize("doubted", [single(1.0, doubt="strange"), single(float("nan"))])
def test_an_estimate_that_is_doubted_is_no_claim(doubted: Estimate) -> None:
    assert history(*[(1.0, 1.0)] * 20).claim_of(doubted) is None


def test_a_bias_is_taken_out_on_each_side_for_itself() -> None:
    # Says 0.6 um too much below the focus and above it.
    known = history(*[(1.6, 1.0)] * 8, *[(-1.6, -1.0)] * 8)
    for claimed_um, true_um in ((1.8, 1.2), (-1.8, -1.2), (0.3, 0.0), (-0.3, 0.0), (0.7, 0.1)):
        claim = known.claim_of(single(claimed_um))
        assert claim is not None
        assert claim.distance_um == pytest.approx(true_um, abs=1e-6)


def test_claims_that_scatter_are_less_certain_than_those_that_do_not() -> None:
    quiet = history(*[(1.0, 1.0)] * 24).claim_of(single(1.0))
    scattered = history(*[(1.0, 0.5), (1.0, 1.5)] * 12).claim_of(single(1.0))
    wrong_once = history(*[(1.0, 1.0)] * 23, (1.0, -2.0)).claim_of(single(1.0))
    assert quiet is not None
    assert scattered is not None
    assert wrong_once is not None
    assert quiet.sigma_um < 0.2 < 0.45 < scattered.sigma_um
    assert wrong_once.sigma_um > 0.5  # one wrong direction costs the trust
    few = history(*[(1.0, 1.0)] * MIN_RECORDS).claim_of(single(1.0))
    assert few is not None
    assert few.sigma_um > quiet.sigma_um


def test_a_model_is_not_taken_for_more_certain_than_it_says() -> None:
    claim = history(*[(1.0, 1.0)] * 24).claim_of(single(1.0, sigma_um=0.7, doubt=""))
    assert claim is not None
    assert claim.sigma_um == 0.7


def test_pivots_are_near_once_three_fields_were() -> None:
    assert not history(shifts_um=(0.1, 0.1)).is_near(9.0)
    assert history(shifts_um=(1.0, -2.0, 1.0)).is_near(9.0)
    assert not history(shifts_um=(1.0, -8.0, 1.0)).is_near(9.0)


def test_a_picture_less_clear_than_any_in_focus_is_not_clear() -> None:
    known = history(shifts_um=(0.0,))
    assert known.is_clear(0.5)
    assert not known.is_clear(0.49)
    assert not history().is_clear(100.0)


def test_single_shots_settle_a_number_of_fields_and_then_one_is_verified() -> None:
    known = history()
    for _ in range(MAX_UNVERIFIED):
        assert not known.is_verification_due
        known = known.with_unverified()
    assert known.is_verification_due
    assert not known.with_verified((), Verified(0.0, 1.0)).is_verification_due


def test_old_fields_are_forgotten() -> None:
    known = history()
    for k in range(100):
        known = known.with_verified((Record(float(k), 0.0), Record(float(k), 0.0)), Verified(float(k), 1.0))
    assert (len(known.records), len(known.fields)) == (KEPT_RECORDS, KEPT_FIELDS)
    assert known.records[-1].claimed_um == 99.0
    assert known.fields[-1].shift_um == 99.0
