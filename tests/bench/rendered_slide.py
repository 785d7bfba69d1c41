"""The rendered slide of `tests.bench.whole_slide`: four stains in its quarters, dust, empty glass, and one fold.

It is 15 x 15 mm large, with 30 um of tilt, a bend and waves of 3 mm. The edges of the fold lie inside of fields.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.config import CameraConfig, Config
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiles import ScannedTile
from parfocal.edge.simscope.bench import Sample
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.relief import points_um
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.edge.simscope.surface import FocusSurface
from tests.bench.scan import FOLD_UM, ORIGIN_UM, in_fold, smooth
from tests.stains import faint, h_and_e, ihc

SIDE_UM = 15_000.0
IMAGE_UM_PER_PX = 0.5
FOLD_HIGH_UM = 6.0  # as `smooth` has it
CAMERA = CameraConfig()  # whose fields are rendered
GLASS_LEVEL = 222  # of the darkest channel, slightly blurred; tissue is darker


def dusty(picture: UInt8Array, seed: int) -> UInt8Array:
    """The picture with a stripe of empty glass and grains of dust."""
    rng, made = np.random.default_rng(seed), picture.copy()
    made[:, :90] = 238
    for _ in range(6):
        x, y = (int(value) for value in rng.integers(0, len(made), 2))
        cv2.circle(made, (x, y), int(rng.integers(3, 12)), (60, 55, 50), -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(made, (0, 0), 0.6), np.uint8)


def sample(config: Config, surface: FocusSurface | None) -> Sample:
    """Four stains by the quarter, each field in one of them. `surface`: the stepped one, None for the smooth one."""
    shape_px = (CAMERA.height_px, CAMERA.width_px)
    stains = (ihc(), h_and_e(), faint(), np.ascontiguousarray(ihc()[..., ::-1]))
    scenes = [
        Scene(
            VirtualSlide(SlideImage(dusty(stain, k), IMAGE_UM_PER_PX), CAMERA.um_per_px, k),
            Optics(um_per_px=CAMERA.um_per_px),
            shape_px,
            k,
        )
        for k, stain in enumerate(stains)
    ]
    focus_z_um = smooth if surface is None else surface.z_um

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        right, low = (
            int(at > zero + SIDE_UM / 2.0) for at, zero in zip((x_um, y_um), ORIGIN_UM, strict=True)
        )
        scene, light = scenes[2 * low + right], duty / config.scan.lamp_duty
        away_um = z_um - focus_z_um(x_um, y_um)
        if surface is not None or share_on_fold(x_um, y_um) in (0.0, 1.0):
            return scene.shot(x_um, y_um, away_um, light)
        above_um = FOLD_HIGH_UM * (on_fold(x_um, y_um).astype(np.float32) - float(in_fold(x_um, y_um)))
        return scene.uneven_shot(x_um, y_um, np.float32(away_um) - above_um, light)

    return Sample(render, focus_z_um)


def on_fold(x_um: float, y_um: float) -> NDArray[np.bool_]:
    """Which pixels of a field lie on the fold, (h, w)."""
    shape_px = (CAMERA.height_px, CAMERA.width_px)
    xs_um, ys_um = points_um(x_um, y_um, shape_px, CAMERA.um_per_px)
    along_um = (xs_um - ORIGIN_UM[0])[None, :] - 0.5 * (ys_um - ORIGIN_UM[1])[:, None]
    return np.asarray(np.abs(along_um - 3_000.0) < FOLD_UM, np.bool_)


def share_on_fold(x_um: float, y_um: float) -> float:
    """How much of a field lies on the fold."""
    return float(on_fold(x_um, y_um).mean())


def share_of_tissue_on_fold(tile: ScannedTile) -> float:
    """How much of the tissue of a tile lies on the fold."""
    darkest = cv2.GaussianBlur(rgb_from_file(tile.path), (0, 0), 8.0).min(axis=2)
    held = on_fold(tile.x_um, tile.y_um)[darkest < GLASS_LEVEL]
    return float(held.mean()) if held.size else 0.0
