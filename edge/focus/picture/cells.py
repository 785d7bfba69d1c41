"""Means over the cells of a picture, in which its parts are judged. Pure."""

import cv2
import numpy as np
from numpy.typing import NDArray

CELL_PX = 64  # of the frame: 22 um at 0.345 um/px, a few cells wide


def cell_means(values: NDArray[np.float32], side_px: int) -> NDArray[np.float64]:
    """Means over the square cells of values (h, w); (rows, columns). What is left at the edges belongs to no cell."""
    rows, columns = values.shape[0] // side_px, values.shape[1] // side_px
    whole = values[: rows * side_px, : columns * side_px]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float64)
