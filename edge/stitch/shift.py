"""By how much two pictures of the same place are shifted, how sure that is, and along which direction."""

import math

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.stitch.layout import Floats
from parfocal.edge.subpixel import moved_back

Grey = NDArray[np.float32]

# Structure of these sizes counts, px: below is noise, above are light and stain that change slowly.
FINE_PX, COARSE_PX = 1.0, 6.0
N_CANDIDATES = 4
APART_PX = 5.0  # two peaks closer than this are one
MIN_SIDE_PX = 12  # of what both pictures share; less structure than that decides nothing
ROUNDS, MARGIN_PX = 5, 3
MAX_REFINED_PX = 1.5
# Smoothing makes neighbouring pixels alike: so many count as one measurement.
PX_PER_MEASUREMENT = 4.0 * np.pi * FINE_PX**2


class Shift(msgspec.Struct, frozen=True, eq=False):
    """The second picture shows what the first shows (dx, dy) px further to the right and below.

    `ncc`: correlation of what both show, -1..1, structure of middle size only. `rival_ncc`: that of the best other
    shift. `structure`: grey levels (rms) that both have in common. `information`: inverse covariance (2, 2) of
    (dx, dy), 1/px2, from noise alone.
    """

    dx_px: float
    dy_px: float
    ncc: float
    rival_ncc: float
    structure: float
    information: Floats


def shift_between(first: Grey, second: Grey, reach_px: float) -> Shift | None:
    """The shift between two grey pictures (h, w) of nominally the same place, at most `reach_px` in X and Y.

    Phase correlation proposes whole pixels, the correlation of what is shared decides between them, and least squares
    on the gradients finds the rest (Lucas and Kanade). None where the pictures are too small.
    """
    one, other = banded(first), banded(second)
    found = [
        (ncc, k) for k in _candidates(one, other, reach_px) if (ncc := _ncc_at(one, other, k)) is not None
    ]
    if not found:
        return None
    ncc, (x, y) = max(found)
    rival = max((n for n, (i, j) in found if np.hypot(i - x, j - y) >= APART_PX), default=-1.0)
    rest, information = _refined(*_shared(one, other, (x, y)))
    structure = math.sqrt(max(ncc, 0.0) * float(one.std()) * float(other.std()))
    return Shift(x + float(rest[0]), y + float(rest[1]), ncc, rival, structure, information)


def banded(picture: Grey) -> Grey:
    """Structure of middle size only, with zero mean."""
    fine = cv2.GaussianBlur(picture, (0, 0), FINE_PX, borderType=cv2.BORDER_REFLECT)
    coarse = cv2.GaussianBlur(picture, (0, 0), COARSE_PX, borderType=cv2.BORDER_REFLECT)
    return np.asarray(fine - coarse, np.float32)


def _candidates(one: Grey, other: Grey, reach_px: float) -> list[tuple[int, int]]:
    """Whole shifts (x, y) at the highest peaks of the phase correlation."""
    reach = [min(round(reach_px), side - MIN_SIDE_PX) for side in one.shape]
    if min(reach) < 0:
        return []
    import scipy.fft  # here: SciPy takes a third of the time in which the command line starts

    # Padded, so that what leaves on one side does not come back on the other.
    shape = [scipy.fft.next_fast_len(side + r, real=True) for side, r in zip(one.shape, reach, strict=True)]
    cross = scipy.fft.rfft2(one, shape) * np.conj(scipy.fft.rfft2(other, shape))
    strength = np.abs(cross)
    # Half-way to white: plain whitening lets the noise between the structure's frequencies speak as loud.
    cross /= np.sqrt(strength) + 1e-6 * float(strength.max()) ** 0.5 + 1e-30
    surface = scipy.fft.irfft2(cross, shape)
    rows, columns = (np.arange(-r, r + 1) for r in reach)
    window = surface[np.ix_(rows, columns)]
    is_peak = window >= cv2.dilate(window, np.ones((3, 3), np.uint8))
    order = np.argsort(np.where(is_peak, window, -np.inf), axis=None)[::-1][: 4 * N_CANDIDATES]
    peaks: list[tuple[int, int]] = []
    for index in order:
        row, column = divmod(int(index), len(columns))
        place = (int(columns[column]), int(rows[row]))
        if all(np.hypot(place[0] - x, place[1] - y) >= APART_PX for x, y in peaks):
            peaks.append(place)
    return peaks[:N_CANDIDATES]


def _shared(one: Grey, other: Grey, shift: tuple[int, int]) -> tuple[Grey, Grey]:
    """The parts of both pictures that show the same, if `other` is shifted by whole px (x, y)."""
    height, width = one.shape
    x, y = shift
    of_one = one[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
    of_other = other[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
    return of_one, of_other


def _ncc_at(one: Grey, other: Grey, shift: tuple[int, int]) -> float | None:
    a, b = _shared(one, other, shift)
    if min(a.shape) < MIN_SIDE_PX:
        return None
    a, b = a - a.mean(), b - b.mean()
    power = float(np.vdot(a, a)) * float(np.vdot(b, b))
    return float(np.vdot(a, b)) / power**0.5 if power > 0.0 else 0.0


def _refined(one: Grey, other: Grey) -> tuple[Floats, Floats]:
    """The rest of a shift, (x, y) px, and its inverse covariance: `one` at p + rest is `other` at p."""
    height, width = other.shape
    inside = (slice(MARGIN_PX, height - MARGIN_PX), slice(MARGIN_PX, width - MARGIN_PX))
    slopes = [
        cv2.Sobel(other, cv2.CV_32F, *order, ksize=3)[inside].ravel() / 8.0 for order in ((1, 0), (0, 1))
    ]
    design = np.stack(slopes, axis=1).astype(np.float64)
    normal = design.T @ design
    rest = np.zeros(2)
    difference = np.zeros(len(design))
    for _ in range(ROUNDS):
        difference = (other - moved_back(one, *rest))[inside].ravel().astype(np.float64)
        step = np.linalg.lstsq(normal, design.T @ difference, rcond=1e-3)[0]
        rest = np.clip(rest + step, -MAX_REFINED_PX, MAX_REFINED_PX)
        if np.abs(step).max() < 0.005:
            break
    variance = float(np.mean(difference**2)) * PX_PER_MEASUREMENT
    return rest, normal / max(variance, 1e-12)
