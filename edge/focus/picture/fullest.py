"""Where a picture holds most: a patch there tells the focus of a tile whose middle is empty, or half empty."""

import cv2
import numpy as np

from parfocal.edge.focus.picture.cells import CELL_PX, cell_means
from parfocal.edge.focus.picture.places import Place
from parfocal.edge.pixels import UInt8Array

# Of 24 tiles at the edge of tissues of four stains, 6 um below to 6 um above the focus, the single-shot model erred by
# at most 1.4 um where a quarter of the cells or more held something, and by up to 16 um where fewer did.
MIN_HELD_SHARE = 0.25
# An edge of the tissue in a patch looks like more defocus, or less. On 188 pictures of the same stains within 0.8 um of
# the focus, whose middle held less than this, single shots erred by 0.67 um (rms) in the middle and by 0.43 um where
# most is; where it held more, the middle was as good or better.
ENOUGH_SHARE = 0.8


def fullest_place(pixels: UInt8Array, side_px: int, min_contrast: float) -> Place | None:
    """Top and left corner, px, of the square of `side_px` in which most of a picture RGB uint8 (h, w, 3) lies.

    Cells of 64 px with a contrast of `min_contrast` grey levels or more hold something. None where nothing is gained:
    they are four fifths of the square in the middle, or fewer than a quarter of every square.
    """
    rows, columns = (length // CELL_PX for length in pixels.shape[:2])
    n = side_px // CELL_PX
    if n == 0 or min(rows, columns) < n:
        return None
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    variance = cell_means(np.square(grey), CELL_PX) - np.square(cell_means(grey, CELL_PX))
    sums = cv2.integral((variance >= min_contrast**2).astype(np.uint8))
    held = (sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]) / n**2
    row, column = (int(at) for at in np.unravel_index(np.argmax(held), held.shape))
    in_the_middle = held[(rows - n) // 2, (columns - n) // 2]
    if held[row, column] < MIN_HELD_SHARE or in_the_middle >= ENOUGH_SHARE:
        return None
    height_px, width_px = pixels.shape[:2]
    return min(row * CELL_PX, height_px - side_px), min(column * CELL_PX, width_px - side_px)
