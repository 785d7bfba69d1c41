"""The search for the fastest safe pair: close below the limit, whatever that is, in few trials."""

import pytest

from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.fastest import MARGIN, RatesTrial, fit_fastest, held_share, next_share


def tried(limit: float, refused_from: float = 9.0) -> list[RatesTrial]:
    """The trials of a motor that holds up to `limit`, at a board that refuses from `refused_from` on."""
    trials: list[RatesTrial] = []
    while (share := next_share(trials)) is not None:
        lost_um = None if share >= refused_from else 0.1 if share <= limit else 90.0
        trials.append(RatesTrial(share, lost_um, lost_um == 0.1))
    return trials


@pytest.mark.parametrize("limit", [0.3, 0.5, 0.51, 0.77, 1.0, 1.327, 2.0, 4.0])
def test_what_is_found_is_at_most_the_limit_less_its_margin_and_not_much_less(limit: float) -> None:
    trials = tried(limit)
    fit = fit_fastest("x", trials)
    assert 0.95 * MARGIN * limit <= fit.share <= MARGIN * limit
    assert fit.share + fit.uncertainty >= MARGIN * limit
    assert fit.held <= limit < fit.failed
    assert len(trials) <= 14
    # It comes from below: no trial goes far beyond the limit.
    assert max(one.share for one in trials) <= max(0.5, 1.3 * limit + 1e-9)


def test_a_pair_that_the_board_refuses_counts_as_not_held() -> None:
    fit = fit_fastest("x", tried(limit=2.0, refused_from=1.4))
    assert 0.95 * MARGIN * 1.4 <= fit.share <= MARGIN * 1.4


def test_a_motor_that_loses_steps_at_a_quarter_has_no_safe_speed() -> None:
    trials = tried(limit=0.2)
    assert held_share(trials) == 0.0
    with pytest.raises(
        CalibPoor, match=r"even 30 % of the configured one loses steps.*board\.x\.accel_um_per_s2"
    ):
        fit_fastest("x", trials)


def test_a_pair_above_one_that_failed_does_not_count() -> None:
    trials = [RatesTrial(0.5, 90.0, False), RatesTrial(0.65, 0.0, True), RatesTrial(0.3, 0.0, True)]
    assert held_share(trials) == 0.3
