"""The report on uncertainties tells a model that knows when it errs from one that does not."""

from pathlib import Path

import numpy as np
import pytest

from tools.learning.judged.reliability import Estimates, bins_of, draw, lines_of, off_and_accepted

RNG = np.random.default_rng(4)


def estimates(claimed: float) -> Estimates:
    """Errors of a normal distribution, whose deviation is predicted `claimed` times as large."""
    true_um = RNG.uniform(0.1, 1.2, 4000).astype(np.float32)
    error_um = (true_um * RNG.standard_normal(4000)).astype(np.float32)
    return Estimates(error_um, claimed * true_um, np.ones(4000, np.bool_))


@pytest.mark.parametrize("claimed", [0.5, 1.0, 2.0])
def test_an_uncertainty_that_is_too_small_or_too_large_shows_in_every_bin(claimed: float) -> None:
    bins = bins_of(estimates(claimed))
    assert len(bins) >= 4
    for found in bins:
        assert found.rms_error_um * claimed == pytest.approx(found.sigma_um, rel=0.15)
    assert [found.sigma_um for found in bins] == sorted(found.sigma_um for found in bins)


def test_two_thirds_of_the_errors_are_within_a_right_uncertainty() -> None:
    bins = bins_of(estimates(1.0))
    share = sum(found.within * found.n for found in bins) / sum(found.n for found in bins)
    assert share == pytest.approx(0.683, abs=0.03)


def test_few_estimates_make_no_point_of_the_diagram() -> None:
    few = Estimates(np.full(9, 0.1), np.full(9, 0.25), np.ones(9, np.bool_))
    assert bins_of(few) == []
    ten = Estimates(np.full(10, 0.1), np.full(10, 0.25), np.ones(10, np.bool_))
    (found,) = bins_of(ten)
    assert found.sigma_um == pytest.approx(0.25)
    assert found.rms_error_um == pytest.approx(0.1)
    assert (found.within, found.n) == (1.0, 10)


def test_what_is_off_counts_as_accepted_only_where_one_estimate_would_end_the_field(tmp_path: Path) -> None:
    some = Estimates(
        np.array([0.5, 1.2, -1.2, 1.6, -9.0]), np.full(5, 0.3), np.array([True, True, False, True, False])
    )
    assert off_and_accepted(some) == [(4, 2), (2, 1)]
    assert "off by more than 1.5 um: 2, of which one estimate would accept 1" in lines_of(some)
    draw([("a model", [("nothing changed", some)])], tmp_path / "diagram.png")
    assert (tmp_path / "diagram.png").stat().st_size > 5_000
