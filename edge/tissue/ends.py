"""Ends of a slide that are brighter than the rest, with a light of their own: a label, or glass beside a mount."""

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.tissue.glass import FloatArray, density_over_glass, mean_of, range_of

MIN_STEP = 0.015  # optical density: by so much an end is brighter, along nearly all of a straight edge
EDGE_SHARE = 0.8
# Paper and a mounting medium change all channels alike; a stain changes them by different shares.
MAX_COLOUR, COLOUR_NOISE = 0.35, 0.01
MOST_OF_SIDE = 0.4  # an end reaches no farther into the picture than this
STEP_PX, GAP_PX = 4, 2  # means of so many columns are compared, on both sides of a soft edge
SLANTS = np.linspace(-0.1, 0.1, 21)  # columns per row
ROWS_LOOKED_AT = 200
LEAST_PX = 40


def density_by_parts(pixels: UInt8Array) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Optical density of each channel over the glass, (h, w, 3), with bright ends and the rest each by its own light.

    And where these ends lie, (h, w).

    A label of paper brighter than the slide would else make glass beside it look like tissue, and so would a mount that
    is darker than the glass around it. In a grey picture a stained smear may have such an edge too, so it is one part.
    """
    if np.array_equal(pixels[..., 0], pixels[..., 2]):
        return density_over_glass(pixels), np.zeros(pixels.shape[:2], bool)
    density, ends = np.empty(pixels.shape, np.float32), np.zeros(pixels.shape[:2], bool)
    _fill(density, ends, pixels, 0)
    return density, ends


def _fill(density: FloatArray, ends: NDArray[np.bool_], pixels: UInt8Array, turns: int) -> None:
    """Cut a bright end off each side in turn; all three are views of the same part."""
    if turns == 4:
        density[...] = density_over_glass(pixels, is_tinted=True)
        return
    end = bright_end(pixels)
    if end is not None:
        first, last = end
        density[:, :first] = density_over_glass(np.ascontiguousarray(pixels[:, :first]), is_tinted=True)
        density[:, first:last] = 0.0  # the edge itself, which may lie aslant
        ends[:, :last] = True
        density, ends, pixels = density[:, last:], ends[:, last:], pixels[:, last:]
    _fill(np.rot90(density), np.rot90(ends), np.rot90(pixels), turns + 1)


def bright_end(pixels: UInt8Array) -> tuple[int, int] | None:
    """First and last column of the edge of an end at the left that is brighter; None without one."""
    height, width = pixels.shape[:2]
    if min(height, width) < LEAST_PX:
        return None
    step = max(1, height // ROWS_LOOKED_AT)
    rows = np.arange(step // 2, height, step)
    reach = int(MOST_OF_SIDE * width) + STEP_PX + GAP_PX
    looked_at = np.log(pixels[rows][:, :reach].astype(np.float32) + 1.0)
    falls = _falls(looked_at)
    mean = mean_of(falls)
    is_edge = (mean > MIN_STEP) & (range_of(falls) < MAX_COLOUR * mean + COLOUR_NOISE)
    if is_edge.any(axis=1).mean() < EDGE_SHARE:
        return None  # on no line, whatever its slant
    first = STEP_PX + GAP_PX
    best = 0.0, 0.0, 0
    edge_row, edge_column = np.nonzero(is_edge)
    for slant in SLANTS:
        # The column in which a line of this slant through each place crosses the middle.
        crosses = edge_column - np.rint(slant * (rows - height / 2.0)).astype(int)[edge_row]
        is_inside = (crosses >= 0) & (crosses < is_edge.shape[1])
        share = np.bincount(crosses[is_inside], minlength=is_edge.shape[1]) / len(rows)
        at = round(float(np.flatnonzero(share == share.max()).mean()))  # the middle of a soft edge
        best = max(best, (float(share.max()), -abs(float(slant)), at))
    share_at, slant, column = best
    if share_at < EDGE_SHARE:
        return None
    aside = abs(slant) * height / 2.0
    middle = column + first
    low, high = int(middle - aside) - first, int(np.ceil(middle + aside)) + first
    return (low, high) if low >= LEAST_PX // 4 and width - high >= LEAST_PX else None


def _falls(light: FloatArray) -> NDArray[np.float32]:
    """By how much each place is darker on its right than on its left, (rows, columns, 3)."""
    summed = np.cumsum(light, axis=1)
    means = (summed[:, STEP_PX:] - summed[:, :-STEP_PX]) / STEP_PX
    apart = STEP_PX + 2 * GAP_PX
    return np.asarray(means[:, :-apart] - means[:, apart:], np.float32)
