"""What all pictures of a camera show at the same place: dust on its window. Pure functions on arrays.

Dust does not go out of focus. A calibration of the optics on dusty pictures is wrong far from the focus, where little
else is sharp: thirty specks made the gain 3 to 25 % too large, and the offset up to 1.3 um.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.models.levels import Floats

Maps = NDArray[np.float32]

# Light and shading change slowly over a window of this side, px; a speck is smaller.
WINDOW_PX = 41
GROWN_PX = 4  # the soft edge of a speck
# A pixel of a speck is darker than those around it by this share, and by this many standard deviations. With a
# condenser of 0.3 the sample still makes a difference of 0.06 far from the focus, at other places in each field.
LEAST_SHARE, N_DEVIATIONS = 0.03, 6.0
MAX_COVERED = 0.2  # more is no dust
DARKEST = 0.2  # of the light; what lies behind a darker speck is lost
N_ROUNDS = 3  # until what surrounds the specks is free of them
# Correlation of the lowest planes of different fields. Without dust it was at most 0.02 over ten pairs, 0.08 in one.
MAX_CORRELATION = 0.1
# Fields whose sharp detail correlates by more show the same: a place that was visited twice, or a grid.
SAME_FIELD = 0.3
NEAR_PX = 3  # a speck correlates at no other shift than this
PEAK_FACTOR = 1.5  # by which the correlation without a shift exceeds those at other shifts


def light_through(far: Sequence[Maps]) -> Maps | None:
    """How much light dust lets through, from pictures of different fields far out of focus.

    Args:
        far: grey levels, (h, w) each; three or more.

    Returns:
        Shares of the light (h, w), exactly 1 where there is no speck; None without any.
    """
    means = [_mean_about(one) for one in far]
    is_speck = np.zeros(far[0].shape, np.bool_)
    for _ in range(N_ROUNDS):
        # Nothing of a speck may enter into what surrounds it.
        filled = [np.where(is_speck, mean, one) for one, mean in zip(far, means, strict=True)]
        means = [_mean_about(one) for one in filled]
        is_speck = _specks([one / mean for one, mean in zip(far, means, strict=True)])
    if not 0.0 < float(is_speck.mean()) <= MAX_COVERED:
        return None
    ratio: Maps = np.median([one / mean for one, mean in zip(far, means, strict=True)], axis=0)
    light: Maps = np.where(is_speck, np.maximum(ratio, np.float32(DARKEST)), np.float32(1.0))
    return light


def _specks(ratios: Sequence[Maps]) -> NDArray[np.bool_]:
    """Where all pictures are darker than around, with the soft edges; what is left of the sample differs."""
    ratio = np.median(ratios, axis=0)
    deviation = 1.4826 * float(np.median(np.abs(ratio - 1.0)))
    is_dark = 1.0 - ratio > max(N_DEVIATIONS * deviation, LEAST_SHARE)
    is_dark &= 1.0 - np.max(ratios, axis=0) > LEAST_SHARE / 2.0
    grown: NDArray[np.bool_] = _mean_about(is_dark.astype(np.float32), 2 * GROWN_PX + 1) > 2e-3
    return grown


def _mean_about(of: Maps, side_px: int = WINDOW_PX) -> Maps:
    """The mean over a window about each pixel, at least 1e-3. A slope goes on beyond the edges."""
    half = side_px // 2
    found = np.pad(of.astype(np.float64), half, mode="reflect", reflect_type="odd")
    for axis in (0, 1):
        total = np.cumsum(found, axis)
        total = np.concatenate([np.zeros_like(total.take([0], axis)), total], axis)
        n = of.shape[axis]
        found = total.take(np.arange(n) + side_px, axis) - total.take(np.arange(n), axis)
    return np.maximum(found / side_px**2, 1e-3).astype(np.float32)


class FineDetail(msgspec.Struct, frozen=True, eq=False):
    """Second derivatives of two planes of a stack, (h, w): the lowest, and the sharpest less the lowest."""

    low: Maps
    sharp: Maps


def check_dust(stacks: Sequence[FineDetail]) -> None:
    """Refuse stacks whose lowest planes show the same although their fields differ. Raises CalibPoor."""
    found = correlation_of(stacks)
    if found is not None and found > MAX_CORRELATION:
        raise CalibPoor(
            f"optics refused: far out of focus, pictures of different fields show the same detail (correlation "
            f"{found:.2f}; {MAX_CORRELATION:g} is the limit). That is dust on the camera's window: clean it, run "
            "`parfocal calibrate camera`, and take stacks again."
        )


def correlation_of(stacks: Sequence[FineDetail]) -> float | None:
    """The mean correlation of the lowest planes over all pairs of different fields; None without such a pair.

    0 unless it is higher than with any other shift: texture repeats itself.
    """
    found = [
        _correlated(one.low, other.low)
        for k, one in enumerate(stacks)
        for other in stacks[:k]
        if one.low.shape == other.low.shape and not _is_same(one.sharp, other.sharp)
    ]
    if not found:
        return None
    surface: Floats = np.mean(found, axis=0)
    fixed = float(surface[0, 0])
    return fixed if fixed > PEAK_FACTOR * _elsewhere(surface) else 0.0


def _is_same(one: Maps, other: Maps) -> bool:
    """Whether two fields show the same structures at about the same place."""
    surface = np.roll(_correlated(one, other), (NEAR_PX, NEAR_PX), (0, 1))
    return float(surface[: 2 * NEAR_PX + 1, : 2 * NEAR_PX + 1].max()) > SAME_FIELD


def _elsewhere(surface: Floats) -> float:
    """The highest correlation with a shift of more than `NEAR_PX`."""
    height, width = surface.shape
    rows, columns = (np.minimum(np.arange(n), n - np.arange(n)) for n in (height, width))
    far: NDArray[np.bool_] = np.maximum(rows[:, None], columns[None, :]) > NEAR_PX
    return float(surface[far].max())


def _correlated(one: Maps, other: Maps) -> Floats:
    """Correlation of two maps with every cyclic shift, (h, w); that without a shift comes first."""
    spectra = [np.fft.rfft2(of - of.mean()) for of in (one, other)]
    scale = float(one.std()) * float(other.std()) * one.size
    surface: Floats = np.fft.irfft2(spectra[0] * np.conj(spectra[1]), one.shape) / max(scale, 1e-12)
    return surface
