"""What earlier fields say about the claims of a single-shot model."""

import msgspec
import pytest

from parfocal.edge.focus.controlled.claims import KEPT_OTHERS, KEPT_RECORDS, Claim, ClaimErrors, Record
from parfocal.edge.focus.controlled.curve import curve_before
from parfocal.edge.focus.controlled.history import (
    KEPT_FIELDS,
    MAX_UNVERIFIED,
    History,
    Verified,
)
from parfocal.edge.focus.judging.estimate import Estimate
from parfocal.edge.focus.judging.rule import Seen

DEPTH_UM = 0.96


def single(distance_um: float, sigma_um: float | None = None, doubt: str | None = None) -> Estimate:
    found = Estimate(distance_um, 0.0, (distance_um,), (1.0,), sigma_um)
    return msgspec.structs.replace(found, doubt=doubt)


def history(*claimed_and_true_um: tuple[float, float], shifts_um: tuple[float, ...] = ()) -> History:
    records = tuple(Record(*pair) for pair in claimed_and_true_um)
    return History(DEPTH_UM, ClaimErrors(records), tuple(Verified(shift_um, 1.0) for shift_um in shifts_um))


@pytest.mark.parametrize("doubted", [single(1.0, doubt="strange"), single(float("nan"))])
def test_an_estimate_that_is_doubted_is_no_claim(doubted: Estimate) -> None:
    assert history(*[(1.0, 1.0)] * 20).claim_of(doubted) is None


def test_an_estimate_is_a_claim_corrected_by_the_records() -> None:
    known = history(*[(1.6, 1.0), (0.6, 0.0), (-0.4, -1.0)] * 8)
    claim = known.claim_of(single(1.1, sigma_um=0.4, doubt=""))
    assert claim is not None
    assert claim.distance_um == pytest.approx(0.5, abs=0.05)
    assert known.claim_of(None) is None
    assert history().claim_of(single(1.1)) is None


def test_pivots_are_near_once_three_fields_were() -> None:
    assert not history(shifts_um=(0.1, 0.1)).is_near(9.0)
    assert history(shifts_um=(1.0, -2.0, 1.0)).is_near(9.0)
    assert not history(shifts_um=(1.0, -8.0, 1.0)).is_near(9.0)


def test_fields_on_a_fold_do_not_hide_that_most_pivots_are_near() -> None:
    fold = (0.5, 9.0, -0.5, 0.4, -8.0)
    assert not history(shifts_um=fold).is_near(9.0)
    assert history(shifts_um=fold).is_mostly_near(9.0)
    assert not history(shifts_um=(2.5, -3.0, 2.1)).is_mostly_near(9.0)
    assert not history(shifts_um=(0.1, 0.1)).is_mostly_near(9.0)


def test_a_picture_less_clear_than_any_in_focus_is_not_clear() -> None:
    known = history(shifts_um=(0.0,))
    assert known.is_clear(0.5)
    assert not known.is_clear(0.49)
    assert not history().is_clear(100.0)


def test_three_fields_establish_single_shots_and_one_where_the_curve_is_calibrated() -> None:
    measured = curve_before(DEPTH_UM, 0.35)
    for n, uncalibrated, calibrated in (
        (0, False, False),
        (1, False, True),
        (2, False, True),
        (3, True, True),
    ):
        known = history(shifts_um=(0.0,) * n)
        assert known.is_established is uncalibrated
        unmeasured = msgspec.structs.replace(known, curve=curve_before(DEPTH_UM))
        assert unmeasured.is_established is uncalibrated
        assert msgspec.structs.replace(known, curve=measured).is_established is calibrated


@pytest.mark.parametrize(("above_um", "counted"), [(None, 1), (0.35, 0)])
def test_a_field_whose_sharpness_tells_its_focus_counts_as_verified_where_the_curve_is_calibrated(
    above_um: float | None, counted: int
) -> None:
    known = msgspec.structs.replace(history(), curve=curve_before(DEPTH_UM, above_um))
    assert known.with_unverified((), is_by_sharpness=True).unverified == counted
    assert known.with_unverified().unverified == 1


def test_fields_without_a_pair_are_kept_apart() -> None:
    known = history((1.0, 1.0)).with_unverified((Record(2.0, 1.8), Record(0.1, 0.0)))
    errors = known.claim_errors
    assert (len(errors.verified), [record.field for record in errors.others]) == (1, [0, 0])
    known = known.with_verified((Record(0.0, 0.0),), Verified(0.0, 1.0))
    assert known.claim_errors.verified[-1].field == 1
    for _ in range(50):
        known = known.with_unverified((Record(2.0, 1.8), Record(0.1, 0.0)))
    assert len(known.claim_errors.others) == KEPT_OTHERS


def test_without_a_curve_sharpness_tells_nothing() -> None:
    seen = (Seen(0.0, 100.0), Seen(1.0, 200.0))
    assert history().by_sharpness(seen, Claim(0.0, 0.3)) is None
    assert history().with_curve(seen, 1.0) == history()
    known = msgspec.structs.replace(history(), curve=curve_before(DEPTH_UM))
    assert known.by_sharpness(seen, Claim(0.0, 0.3)) is not None
    assert known.with_curve(seen, 1.0).curve is not known.curve


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
    assert (len(known.claim_errors.verified), len(known.fields)) == (KEPT_RECORDS, KEPT_FIELDS)
    assert known.claim_errors.verified[-1].claimed_um == 99.0
    assert known.fields[-1].shift_um == 99.0
