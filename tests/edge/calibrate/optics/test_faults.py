"""Stacks that are not what they seem: the stage drifts while they are taken, or there is dust in the camera."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from parfocal.calib.motion.play import peak_of
from parfocal.calib.store import Store
from parfocal.edge.calibrate.optics.run import Models, OpticsCalibration
from parfocal.engines.predictor import Predictor
from tests.edge.calibrate.optics.test_optics import OWNER, STAMP, SaysTooMuch, places, two_shot
from tests.edge.calibrate.plain import CONFIG, SIDE_PX, Look, Plain


def taken(plain: Plain, folder: Path) -> tuple[tuple[str, ...], list[float]]:
    """Why a field gave no stack, and where the sharpest plane of the stack is otherwise, um."""
    model = two_shot(Predictor(SaysTooMuch()))
    running = OpticsCalibration(plain.instrument, CONFIG, Store(folder, OWNER), STAMP, Models(model))
    running.take(places(n=1), 1, lambda _words: None)
    return running.passed_over, [peak_of(curve).z_um for curve in model.curves]


def dust(n: int, level: int) -> Look:
    """What `n` specks on the sensor, of 8 px, make of a picture; `level` of 255 of the light passes through them."""
    light = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    for x_px, y_px in np.random.default_rng(5).integers(20, SIDE_PX - 20, (n, 2)).tolist():
        cv2.circle(light, (x_px, y_px), 4, (level, level, level), -1, cv2.LINE_AA)
    return lambda shot: np.asarray(cv2.multiply(shot, light, scale=1.0 / 255.0), np.uint8)


few, many = dust(3, 220), dust(12, 115)


def test_a_stack_that_drifts_while_it_is_taken_is_passed_over(tmp_path: Path) -> None:
    (why,), stacks = taken(Plain({}, drift_um_per_min=-9.0), tmp_path)
    assert "refused: its focus moved by +" in why
    assert "check that the stage does not sink" in why
    assert stacks == []


@pytest.fixture(scope="module")
def warming_um(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The sharpest planes of a microscope that drifts as it does while it warms up, um."""
    passed_over, stacks_um = taken(Plain({}, drift_um_per_min=0.5), tmp_path_factory.mktemp("warming"))
    assert passed_over == ()
    return stacks_um


def test_a_stack_that_drifts_as_a_warming_microscope_does_is_used(warming_um: list[float]) -> None:
    assert len(warming_um) == 1


def test_dust_in_the_camera_does_not_move_the_labels_of_a_field_with_structure(
    warming_um: list[float], tmp_path: Path
) -> None:
    passed_over, dusty_um = taken(Plain({}, look=few, drift_um_per_min=0.5), tmp_path)
    assert passed_over == ()
    assert dusty_um == pytest.approx(warming_um, abs=0.05)


def test_a_field_that_dust_in_the_camera_outweighs_is_passed_over(tmp_path: Path) -> None:
    (why,), stacks = taken(Plain({}, look=many), tmp_path)
    assert "refused: far from its focus it is still" in why
    assert "clean the camera" in why
    assert stacks == []
