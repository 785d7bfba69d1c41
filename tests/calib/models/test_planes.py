"""How far the sharpest plane lies above that of least wavefront variance, by models that are given a condenser."""

import numpy as np
import pytest

from parfocal.calib.models.levels import Condensers, SeenAt, StackSeen
from parfocal.calib.models.planes import FLOOR_UM, planes_apart

CONDENSERS, RIGHT, APART_UM = Condensers(0.3, 0.9), 0.45, 0.5


def seen_at(n: int = 3, n_pictures: int = 33, apart_um: float = APART_UM) -> SeenAt:
    """A model that is right near the focus with a condenser of 0.45; with others it has another focus."""
    rng = np.random.default_rng(3)
    off_um = rng.normal(0.0, 0.05, (n, n_pictures, 1))

    def seen(condenser: float | None) -> tuple[StackSeen, ...]:
        wrong = (0.9 if condenser is None else condenser) - RIGHT
        true_um = np.linspace(-10.0, 10.0, n_pictures)
        said_um = (1.0 + 2.0 * wrong) * (true_um - apart_um) + 3.0 * wrong
        # Far from its focus the model says too little.
        said_um = np.sign(said_um) * np.minimum(np.abs(said_um), 5.0 + 0.5 * np.abs(said_um))
        return tuple(StackSeen(true_um, np.ones((n_pictures, 1)), said_um[:, None] + off) for off in off_um)

    return seen


@pytest.mark.parametrize("apart_um", [-0.2, 0.0, 0.9])
def test_the_planes_are_as_far_apart_as_they_are(apart_um: float) -> None:
    found = planes_apart(seen_at(apart_um=apart_um), CONDENSERS)
    assert found is not None
    assert found.above_um == pytest.approx(apart_um, abs=0.12)
    assert FLOOR_UM <= found.uncertainty_um < 0.6


def test_a_condenser_that_the_user_gives_is_not_fitted() -> None:
    right = seen_at()
    told = planes_apart(lambda _tried: right(RIGHT), None)
    wrong = planes_apart(right, None)
    assert told is not None
    assert wrong is not None
    assert told.above_um == pytest.approx(APART_UM, abs=0.05)
    assert abs(wrong.above_um - APART_UM) > 0.5


def test_stacks_that_do_not_say_it_give_nothing() -> None:
    assert planes_apart(seen_at(n=1), CONDENSERS) is None
    assert planes_apart(seen_at(n_pictures=5), CONDENSERS) is None  # 5 um apart
