"""How the camera lies by steps between neighbours: right, turned, mirrored, and where nothing is to be concluded."""

import re

import numpy as np
import pytest

from parfocal.calib.camera.seen_view import SeenStep, contradiction, seen_view
from parfocal.calib.camera.view import View

IN_USE = View(0.5)
MOVES = ((200.0, 0.0), (200.0, 0.0), (0.0, 150.0), (-200.0, 0.0), (-200.0, 0.0), (0.0, 150.0))


def steps_of(
    view: View, off_um: float = 1.0, moves: tuple[tuple[float, float], ...] = MOVES
) -> list[SeenStep]:
    """Steps of a camera that lies so, on a stage that repeats them to `off_um`."""
    rng = np.random.default_rng(2)
    matrix = np.linalg.inv(np.array([view.um_from_px(1.0, 0.0), view.um_from_px(0.0, 1.0)]).T)
    found = []
    for move in moves:
        x, y = matrix @ (np.array(move) + rng.uniform(-off_um, off_um, 2))
        found.append(SeenStep(move, (float(x), float(y))))
    return found


@pytest.mark.parametrize(
    ("truth", "told"),
    [
        (View(0.5), None),
        (View(0.5, 0.6), None),  # less than a degree: the overlap of tiles is wide enough
        (View(0.505), None),
        (View(0.5, 1.6), r"turned by \+1\.\d degrees .* 6 of 6 steps .* \+0\.0 degrees are in use"),
        (View(0.5, -90.0), r"turned by -9\d\.\d|-89\.\d"),
        (View(0.5, 0.0, is_mirrored=True), "the picture is mirrored .* not mirrored is in use"),
        (View(0.5, 180.0), r"turned by [+-]1(79|80)"),
        (View(0.53), r"a pixel shows 0\.5[23]\d* um .* 0\.5000 um are in use"),
    ],
)
def test_what_contradicts_the_calibration_is_told(truth: View, told: str | None) -> None:
    found = seen_view(steps_of(truth), IN_USE)
    assert found is not None
    why = contradiction(found, IN_USE)
    if told is None:
        assert why is None
    else:
        assert why is not None
        assert re.search(told, why), why


def test_a_calibrated_turn_is_no_contradiction() -> None:
    turned = View(0.5, 91.5, is_mirrored=True)
    found = seen_view(steps_of(turned), turned)
    assert found is not None
    assert contradiction(found, turned) is None
    assert found.view.angle_deg == pytest.approx(91.5, abs=0.5)


def test_steps_that_disagree_tell_nothing() -> None:
    rng = np.random.default_rng(1)
    strangers = [SeenStep((200.0, 0.0), (float(x), float(y))) for x, y in rng.uniform(-400, 400, (8, 2))]
    assert seen_view(strangers, IN_USE) is None
    assert seen_view([*steps_of(View(0.5, 3.0))[:3]], IN_USE) is None  # three are too few
    found = seen_view([*steps_of(View(0.5, 3.0)), *strangers[:2]], IN_USE)
    assert found is not None
    assert (found.n_steps, found.n_told) == (6, 8)


def test_one_axis_alone_tells_no_mirror() -> None:
    along_x = steps_of(View(0.5, 0.0, is_mirrored=True), moves=((200.0, 0.0),) * 5)
    found = seen_view(along_x, IN_USE)
    assert found is not None
    assert contradiction(found, IN_USE) is None
