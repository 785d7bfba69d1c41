"""Pictures cut into tiles whose true places are known: a stage with errors, a camera with noise."""

from collections.abc import Callable

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.stitch.layout import StagePlace

UInt8Array = NDArray[np.uint8]
# Pixels (h, w, 3) around a place: (x, y) of the corner, px, whole; (w, h).
Source = Callable[[int, int, int, int], UInt8Array]


SLIDE_UM = 15000.0  # over such a length the slow error of the stage runs once through its range


class Cut(msgspec.Struct, frozen=True, eq=False):
    """A scan: what the stage said, where the tiles truly are (n, 2) px, and how to get tile number k."""

    places: tuple[StagePlace, ...]
    true_px: NDArray[np.float64]
    tile: Callable[[int], UInt8Array]


class StageErrors(msgspec.Struct, frozen=True):
    """`slow_um`: amplitude of an error that varies over the slide. Steps are off by `step_um`, at most `worst_um`."""

    slow_um: float = 50.0
    step_um: float = 2.0
    worst_um: float = 5.0


USUAL = StageErrors()


def cut(
    source: Source,
    grid: tuple[int, int],
    size_px: tuple[int, int],
    overlap: float,
    um_per_px: float,
    seed: int,
    errors: StageErrors = USUAL,
    noise: float = 1.5,
    fall: float = 0.1,
    start_px: int = 0,
) -> Cut:
    """Tiles of `size_px` (w, h) over `grid` (rows, columns), with noise in grey levels and corners darker by `fall`."""
    rng = np.random.default_rng(seed)
    rows, columns = grid
    step = np.array([round(side * (1.0 - overlap)) for side in size_px])
    slow_px, margin = errors.slow_um / um_per_px, 4
    phases = rng.uniform(0.0, 2.0 * np.pi, 4)
    true, places = [], []
    # A walk along the snake: each step is off by a little, and the stage does not know.
    jitter = np.zeros((rows, columns, 2))
    for axis in range(2):
        off = np.clip(rng.normal(0.0, errors.step_um, (rows, columns)), -errors.worst_um, errors.worst_um)
        jitter[..., axis] = off / um_per_px / np.sqrt(2.0)
    for row in range(rows):
        for k in range(columns):
            column = k if row % 2 == 0 else columns - 1 - k
            said = np.array([column, row]) * step
            u, v = said * um_per_px / SLIDE_UM
            slow = slow_px * np.array(
                [np.sin(1.5 * u + 0.8 * v + phases[0]), np.sin(0.9 * u + 1.4 * v + phases[1])]
            )
            true.append(said + slow + jitter[row, column] + slow_px + margin + start_px)
            x_um, y_um = said * um_per_px
            places.append(StagePlace(row, column, 20000.0 + float(x_um), 10000.0 + float(y_um)))
    true_px = np.array(true)
    width, height = size_px
    y, x = np.mgrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j]
    light = (1.0 - fall * ((x - 0.2) ** 2 + (y + 0.1) ** 2) / 2.0)[..., None]

    def tile(number: int) -> UInt8Array:
        place = true_px[number]
        whole = np.floor(place).astype(int)
        rest = place - whole
        area = source(whole[0] - margin, whole[1] - margin, width + 2 * margin, height + 2 * margin)
        there = np.array([[1.0, 0.0, rest[0] + margin], [0.0, 1.0, rest[1] + margin]])
        moved = cv2.warpAffine(
            area.astype(np.float32), there, (width, height), flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
        )
        seen = moved * light + np.random.default_rng([seed, number]).normal(0.0, noise, moved.shape)
        pixels: UInt8Array = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
        return pixels

    return Cut(tuple(places), true_px, tile)


def errors_px(corners: NDArray[np.float64], true_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each tile is from its true place, px, once the shift of the whole is taken off."""
    off = corners - true_px
    return np.asarray(np.hypot(*(off - np.median(off, axis=0)).T), np.float64)
