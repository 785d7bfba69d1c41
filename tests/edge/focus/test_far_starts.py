"""The shipped model in the loop, from as far away as the first fields of a slide are: real tissue, no chosen errors.

One picture comes with scikit-image, so that every clone keeps this promise; the tiles are more stains, where they are.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.config import Config, simulated_through
from parfocal.edge.engine import checked_engine
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.focus.judging.proof import Proof
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.simscope.bench import sample_image
from parfocal.edge.simscope.slide import density_from_image
from parfocal.engines.predictor import Predictor
from tests.edge.scope import FOCUS_Z_UM, TILES, Scope, small_for_models, with_camera

CONFIG = small_for_models(Config())
# Far below, where the model has long saturated, and above.
STARTS_UM = (-25.0, -15.0, -9.0, 15.0)
STAINS = {
    "he": ("he_cmu1/*.jpg", 0.499),
    "blood": ("blood_chula/257.jpg", 0.19),
    "marrow": ("stained_dsb2018/*.png", 0.35),
}


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return checked_engine(Config()).predictor


def faint(pixels: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """The same slide with ``share`` of its stain."""
    light: NDArray[np.float32] = 232.0 * np.exp(-share * density_from_image(pixels))
    return light.astype(np.uint8)


def ends_of(scope: Scope, predictor: Predictor) -> list[tuple[str, float]]:
    """Outcome and true error, um, from each of the starts."""
    scope.x_um = scope.y_um = 700.0  # where each of the pictures holds something
    focuser = Focuser(scope.board.z, scope.camera, predictor, scope.config.focus)
    ends: list[tuple[str, float]] = []
    for start_um in STARTS_UM:
        outcome = focuser.focus(FOCUS_Z_UM + start_um).outcome
        ends.append((outcome, scope.error_um()))
    return ends


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_no_start_ends_focused_and_wrong(predictor: Predictor, share: float) -> None:
    for outcome, error_um in ends_of(Scope(CONFIG, slide=(faint(sample_image(), share), 0.5)), predictor):
        assert outcome in ("focused", "recovered")
        assert abs(error_um) <= 1.0


def test_no_start_through_10x_ends_focused_and_out_of_its_depth_of_field() -> None:
    """All distances of the loop are depths of field, 6 um through this objective."""
    through = simulated_through("10x/0.3", CONFIG)
    scope = Scope(with_camera(through, width_px=712, height_px=712), slide=(sample_image(), 0.5))
    scope.x_um = scope.y_um = 700.0
    focus, engine = scope.config.focus, checked_engine(scope.config)
    focuser = Focuser(scope.board.z, scope.camera, engine.predictor, focus, engine.single, Proof())
    for start_um in (-90.0, 30.0, -20.0, 60.0):
        assert focuser.focus(FOCUS_Z_UM + start_um).outcome == "focused"
        assert abs(scope.error_um()) <= depth_of_field_um(focus.objective)


@pytest.mark.skipif(not TILES.exists(), reason="the real tiles are not on this machine")
@pytest.mark.parametrize("stain", STAINS)
def test_no_start_ends_focused_and_wrong_on_any_stain(predictor: Predictor, stain: str) -> None:
    pattern, um_per_px = STAINS[stain]
    pixels = rgb_from_file(sorted(TILES.glob(pattern))[0])[:1700, :1700]  # the field lies in there
    for outcome, error_um in ends_of(Scope(CONFIG, slide=(pixels, um_per_px)), predictor):
        assert outcome in ("focused", "recovered")
        assert abs(error_um) <= 1.0
