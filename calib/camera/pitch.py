"""The size of a pixel on the sample, from pictures of lines or a grid of known pitch."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.interval import half_width_95

Floats = NDArray[np.float64]

SEARCHED_FACTOR = 1.45  # about the configured size; less than the step to the first harmonic
MIN_PERIODS = 5.0  # in the shorter side of a picture
MIN_PROMINENCE = 30.0  # power of the peak over the median of the frequencies searched
FLOOR_SHARE = 0.001  # what the peak of a spectrum may be off by, whatever the pictures agree on
MAX_UNCERTAINTY_SHARE = 0.005


def fit_pitch(pictures: Sequence[Floats], pitch_um: float, um_per_px: float) -> tuple[float, float]:
    """Um per px and half its 95 % interval, from grey pictures (h, w) of lines `pitch_um` apart, at any angle.

    `um_per_px` is the configured size. Raises CalibPoor where no such lines are seen, ValueError for one picture.
    """
    if len(pictures) < 2:
        raise ValueError(f"{len(pictures)} pictures given: it takes two or more")
    found = np.array([pitch_um / _period_px(picture, pitch_um / um_per_px) for picture in pictures])
    spread = half_width_95(float(found.var(ddof=1)) / len(found), len(found) - 1)
    value = float(found.mean())
    uncertainty = math.hypot(spread, FLOOR_SHARE * value)
    if uncertainty > MAX_UNCERTAINTY_SHARE * value:
        raise CalibPoor(
            f"{value:.4f} +- {uncertainty:.4f} um per px refused: the interval must be "
            f"{100.0 * MAX_UNCERTAINTY_SHARE:g} % or less. Clean the slide, and choose a place with lines all over."
        )
    return value, uncertainty


def _period_px(picture: Floats, expected_px: float) -> float:
    """The period of the strongest wave near the expected one."""
    height, width = picture.shape
    if min(height, width) < MIN_PERIODS * expected_px:
        raise CalibPoor(
            f"lines of {expected_px:.0f} px are too far apart: a picture of {width} x {height} px shows fewer than "
            f"{MIN_PERIODS:g} of them. Use a finer pitch."
        )
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((picture - picture.mean()) * window)) ** 2
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    frequency = np.hypot(rows, columns) * expected_px
    near = (frequency > 1.0 / SEARCHED_FACTOR) & (frequency < SEARCHED_FACTOR)
    row, column = (int(k) for k in np.unravel_index(np.where(near, power, 0.0).argmax(), power.shape))
    if power[row, column] < MIN_PROMINENCE * float(np.median(power[near])):
        raise CalibPoor(
            f"no lines about {expected_px:.1f} px apart are seen. Put the slide with the lines under the objective and "
            "check the pitch, camera.um_per_px and the focus."
        )
    y = (row + _offset(power[:, column], row) + height // 2) % height - height // 2
    x = (column + _offset(power[row], column) + width // 2) % width - width // 2
    return 1.0 / math.hypot(y / height, x / width)


def _offset(line: Floats, top: int) -> float:
    """Where between the samples the peak of a windowed wave lies."""
    below, middle, above = np.log(np.maximum(line[[top - 1, top, (top + 1) % len(line)]], 1e-30))
    bend = below - 2.0 * middle + above
    return float(0.5 * (below - above) / bend) if bend < 0.0 else 0.0
