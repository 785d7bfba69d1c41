"""Whether a single-shot model may be used on an instrument: stacks that it was not fitted on decide.

The stand-ins work on pictures of packaged tissue. The model judges which colour is sharper, as a network can where the
objective focuses each colour at a height of its own; an objective that does not leaves it nothing to judge.
"""

import functools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.store import Store
from parfocal.edge.calibrate.optics.one_model import OneModel
from parfocal.edge.calibrate.optics.run import Models, OpticsCalibration
from parfocal.edge.focus.shots import Shot
from parfocal.edge.measured.optics_in_use import optics_of, single_of
from parfocal.engines.predictor import Predictor
from tests.contracts import single_contract
from tests.edge.calibrate.optics.test_optics import OWNER, STAMP, SaysTooMuch, runner, two_shot
from tests.edge.calibrate.optics.test_single import NAME, single
from tests.edge.calibrate.plain import CONFIG, FOCUS_Z_UM, Plain
from tests.edge.scope import with_focus
from tests.stains import ihc

__all__ = ["runner"]  # the fixture: the two-shot model knows where the stage is

SIDE_PX, RANGE_UM = 224, 4.0
SMALL = with_focus(CONFIG, patch_px=SIDE_PX // 2)
# Blur in focus and for each um of defocus. Colours this far from green make the model linear over its range.
IN_FOCUS_PX, PX_PER_UM = 1.2, 0.45
APART_UM = 1.73 * IN_FOCUS_PX / PX_PER_UM


class ByColour:
    """A runner that says how much sharper red is than blue; a gain makes um of it."""

    contract = single_contract(name=NAME, patch_px=SIDE_PX, range_um=RANGE_UM)

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        red, blue = ([cv2.Laplacian(patch[k], cv2.CV_32F).var() for patch in batch] for k in (0, 2))
        return np.asarray(np.log(np.array(red) / np.array(blue))[:, None], np.float32)


@functools.cache
def tissue() -> NDArray[np.uint8]:
    """The packaged tissue in grey, so that all colours show the same."""
    return np.asarray(cv2.cvtColor(ihc(), cv2.COLOR_RGB2GRAY), np.uint8)


def shots(apart_um: float, corner: tuple[int, int], seed: int) -> Iterator[Shot]:
    """A stack of a part of the tissue. Red is in focus this far below green, and blue this far above."""
    top, left = corner
    grey = tissue()[top : top + SIDE_PX, left : left + SIDE_PX]
    rng = np.random.default_rng(seed)
    for below_um in np.arange(6.0, -4.1, -0.5):
        colours = [
            cv2.GaussianBlur(grey, (0, 0), float(np.hypot(IN_FOCUS_PX, PX_PER_UM * (below_um - of_um))))
            for of_um in (apart_um, 0.0, -apart_um)
        ]
        noisy = np.stack(colours, axis=2) + rng.integers(0, 3, (SIDE_PX, SIDE_PX, 3))
        yield Shot(FOCUS_Z_UM - float(below_um), noisy.clip(0, 255).astype(np.uint8), SMALL.focus)


def calibrated(store: Store, runner: SaysTooMuch, apart_um: float) -> OpticsCalibration:
    by_colour = OneModel("single", Predictor(ByColour()), single().model)
    models = Models(two_shot(Predictor(runner)), by_colour)
    running = OpticsCalibration(Plain({}).instrument, SMALL, store, STAMP, models)
    for number, corner in enumerate(((0, 0), (0, 288), (288, 0), (288, 288))):
        running.take_recorded(f"{number}.tif", shots(apart_um, corner, number))
    assert running.passed_over == ()
    return running


def test_a_single_shot_model_is_accepted_where_held_out_stacks_support_it(
    runner: SaysTooMuch, tmp_path: Path
) -> None:
    store = Store(tmp_path, OWNER)
    found = calibrated(store, runner, APART_UM).fit().single
    assert found is not None
    assert (found.refused, found.chosen, found.n_stacks) == (None, "line", 4)
    used, (note,) = single_of(store.load(), SMALL, store)
    corrected = used.calibrated(Predictor(ByColour()))
    assert (corrected is None, used.refused) == (False, None)
    assert "single shots: distances times" in note


def test_a_single_shot_model_that_held_out_stacks_contradict_is_refused_and_two_shots_are_calibrated(
    runner: SaysTooMuch, tmp_path: Path
) -> None:
    store = Store(tmp_path, OWNER)
    found = calibrated(store, runner, apart_um=0.0).fit()
    assert found.single is not None
    assert found.single.refused is not None
    used, (note,) = single_of(store.load(), SMALL, store)
    assert used.calibrated(Predictor(ByColour())) is None
    assert "single shots are not used on this microscope" in note
    assert "two shots and sharpness do their work" in note
    # The two-shot model works with the same stacks.
    assert found.two_shot.gain == pytest.approx(0.8, abs=0.02)
    in_force, _, (note,) = optics_of(store.load(), SMALL, store)
    assert in_force is not None
    assert "optics: distances times 0.80" in note
