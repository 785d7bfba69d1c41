"""How single shots read on a slide: a constant, from place to place, and a gain near the focus."""

import numpy as np
import pytest

from parfocal.edge.scan.tiling.judging.reading import Known, Reading


def taught(gain: float, true_um: tuple[float, float], right_um: float = 0.0, n: int = 40) -> Reading:
    """From fields between two distances; the constant is 0.5 um, on the right half more by `right_um`. Every eighth is
    wrong by 4 um.
    """
    rng, made = np.random.default_rng(2), Reading()
    known = []
    for k in range(n):
        x_um, away_um = 15_000.0 * rng.random(), float(rng.uniform(*true_um))
        told_um = 0.5 + gain * away_um + float(rng.normal(0.0, 0.3)) + (4.0 if k % 8 == 0 else 0.0)
        known.append(Known(told_um + right_um * (x_um > 7_500.0), away_um, x_um, 0.0))
    made.learn(known)
    return made


def test_the_constant_is_that_in_focus_although_fields_were_seen_from_one_side() -> None:
    """With a gain of 1.8, what is said at 0.7 um is off by 0.56 um more."""
    made = taught(1.8, (0.3, 0.95))
    assert made.constant_um((5_000.0, 0.0)) == pytest.approx(0.5, abs=0.25)
    assert made.distance_um(0.5 + 1.8 * 0.4, (5_000.0, 0.0)) == pytest.approx(0.4, abs=0.15)


def test_the_gain_near_the_focus_is_taken_off_and_far_away_there_is_none() -> None:
    made = taught(1.8, (-0.95, 0.95))
    assert made.gain == pytest.approx(1.8, abs=0.25)
    assert made.scatter_um == pytest.approx(0.3, abs=0.1)
    assert made.distance_um(0.5 + 1.8 * 0.5, (0.0, 0.0)) == pytest.approx(0.5, abs=0.15)
    assert made.distance_um(5.5, (0.0, 0.0)) == pytest.approx(5.0, abs=0.2)
    assert taught(1.0, (-0.95, 0.95)).gain == pytest.approx(1.0, abs=0.2)


def test_the_constant_follows_the_tissue_and_is_that_of_the_slide_where_nothing_is_known() -> None:
    made = taught(1.0, (-0.5, 0.5), right_um=0.8, n=60)
    left_um, right_um = (made.constant_um((x_um, 0.0)) for x_um in (3_000.0, 12_000.0))
    assert left_um == pytest.approx(0.5, abs=0.25)
    assert right_um == pytest.approx(1.3, abs=0.25)
    assert left_um < made.constant_um((0.0, 90_000.0)) < right_um
    assert Reading().distance_um(1.0, (0.0, 0.0)) == 1.0


def beside_another_stain(right_um: float) -> Reading:
    """Thirty fields of one stain, and five of another on a quarter of the slide, there off by `right_um` more."""
    rng, made = np.random.default_rng(4), Reading()
    for k in range(35):
        x_um, y_um = (
            rng.uniform(7_500.0, 15_000.0, 2) if k < 5 else rng.uniform((0.0, 0.0), (7_500.0, 15_000.0))
        )
        said_um = -0.2 + float(rng.normal(0.0, 0.3)) + right_um * (k < 5)
        made.learn([Known(said_um, 0.0, float(x_um), float(y_um))])
    return made


def test_another_stain_on_a_part_of_the_slide_has_its_own_constant_by_five_fields() -> None:
    made = beside_another_stain(1.3)
    assert made.constant_um((11_000.0, 11_000.0)) > 0.6
    assert made.constant_um((3_000.0, 7_500.0)) == pytest.approx(-0.2, abs=0.25)
    assert not made.is_alike
    assert beside_another_stain(0.0).is_alike


def test_the_constant_is_less_certain_where_nothing_was_learned() -> None:
    made = beside_another_stain(1.3)
    near_um, far_um = (made.constant_sigma_um((3_000.0, y_um)) for y_um in (7_500.0, 60_000.0))
    assert near_um < 0.25
    assert far_um >= 0.4
