"""Made stacks and runners that the tests of stacks share."""

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.edge.stacks.stack import Stack
from parfocal.engines.model.contract import Contract
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract, single_contract
from tests.edge.scope import tissue

# Planes of random colours, for the file formats -----------------------------------------------------------

N_PLANES = 4


def colours(full: int = 255, dtype: type = np.uint8) -> NDArray[np.integer]:
    """Planes (z, h, w, 3) that differ everywhere; the brightest value is `full`."""
    made = np.random.default_rng(3).integers(0, full, (N_PLANES, 40, 50, 3))
    made[0, 0, 0, 0] = full
    return made.astype(dtype)


def same(stack_planes: tuple[UInt8Array, ...], wanted: NDArray[np.integer]) -> bool:
    return np.array_equal(np.stack(stack_planes), wanted)


def scaled(planes: NDArray[np.integer], bits: int) -> NDArray[np.integer]:
    wanted: NDArray[np.integer] = np.rint(planes * (255.0 / (2**bits - 1))).astype(np.uint8)
    return wanted


# Planes of tissue whose focus is known, for label and evaluation ------------------------------------------

FOCUS_Z_UM = 100.0
Z_UM = tuple(float(z) for z in np.arange(94.0, 106.1, 1.0))
TRUE_UM = [FOCUS_Z_UM - z for z in Z_UM[2:]]  # of the planes that have another one 2 um below


def scene(blank_share: float = 0.0) -> Scene:
    slide = VirtualSlide(SlideImage(tissue(), 0.345), 0.345, seed=1, blank_share=blank_share)
    return Scene(slide, Optics(um_per_px=0.345), (240, 240), seed=1)


@functools.cache
def shots(blank: bool) -> tuple[UInt8Array, ...]:
    made = scene(blank_share=1.0 if blank else 0.0)
    return tuple(made.shot(2250.0, 2250.0, z - FOCUS_Z_UM, 1.0) for z in Z_UM)


def tissue_stack(
    focus_z_um: float | None = FOCUS_Z_UM, um_per_px: float | None = 0.345, blank: bool = False
) -> Stack:
    return Stack(Path("made.ome.tiff"), Z_UM, shots(blank), um_per_px, focus_z_um)


class Says:
    """A two-shot runner that predicts the given distances in turn.

    Its patches are off by `spread_um`, one upwards, the next downwards.
    """

    def __init__(self, distances_um: list[float], spread_um: float = 0.0) -> None:
        self._distances_um, self._spread_um = iter(distances_um), spread_um

    @property
    def contract(self) -> Contract:
        return difference_contract(name="says", patch_px=120, range_um=5.0)

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        distance_um = next(self._distances_um)
        return np.array([[distance_um + self._spread_um * (-1) ** k] for k in range(len(batch))], np.float32)


class SaysOfSingles(Says):
    """The same as a single-shot model, which sees one patch in the middle."""

    @property
    def contract(self) -> Contract:
        return single_contract(patch_px=240, range_um=5.0)


def says(distances_um: list[float], spread_um: float = 0.0) -> Predictor:
    """A predictor on `Says`."""
    return Predictor(Says(distances_um, spread_um))
