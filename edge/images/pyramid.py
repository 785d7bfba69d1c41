"""A picture at half, a quarter, ... of its size."""

from collections.abc import Iterator

import cv2
import numpy as np

from parfocal.edge.pixels import UInt8Array


def level_shapes(shape_px: tuple[int, int], smallest_px: int) -> list[tuple[int, int]]:
    """(h, w) of each level, from the whole down to one that fits `smallest_px` a side; halves are rounded up."""
    shapes = [shape_px]
    while max(shapes[-1]) > smallest_px:
        shapes.append(((shapes[-1][0] + 1) // 2, (shapes[-1][1] + 1) // 2))
    return shapes


def halved(pixels: UInt8Array) -> UInt8Array:
    """A picture (h, w, 3) at half its size, rounded up: means of four pixels; a last row or column counts twice."""
    height, width = pixels.shape[:2]
    even = grown(pixels, height + height % 2, width + width % 2)
    half_px = (even.shape[1] // 2, even.shape[0] // 2)
    return np.asarray(cv2.resize(even, half_px, interpolation=cv2.INTER_AREA), np.uint8)


def grown(pixels: UInt8Array, height_px: int, width_px: int) -> UInt8Array:
    """A picture (h, w, 3) continued by its last row and column to `height_px` and `width_px`."""
    if pixels.shape[:2] == (height_px, width_px):
        return pixels
    below, right = height_px - pixels.shape[0], width_px - pixels.shape[1]
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), "edge")


def cells(shape_px: tuple[int, int], side_px: int) -> Iterator[tuple[int, int]]:
    """(row, column) of every cell of `side_px` that a level of `shape_px` (h, w) has, row by row."""
    n_rows, n_columns = (-(-side // side_px) for side in shape_px)
    for row in range(n_rows):
        for column in range(n_columns):
            yield row, column
