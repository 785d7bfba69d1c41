"""When a triggered camera exposes, from how bright flashes look that come sooner or later after the trigger. Pure."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor

Floats = NDArray[np.float64]

MIN_CONTRAST = 10.0  # grey levels between a flash in the exposure and none
_PLATEAU = 0.85  # share of the brightest sample from which on a flash lies in the exposure as a whole
_LEVEL_ERROR = 0.02  # what a level may be off by, as a share of a whole flash


class ExposureWindow(msgspec.Struct, frozen=True):
    """When the lines of a sensor expose, s after the trigger; with half the 95 % interval.

    From `delay_s` until `delay_s + room_s` all of them do. They begin one after the other over `read_out_s`, about 0
    with a global shutter.
    """

    delay_s: float
    room_s: float
    read_out_s: float
    uncertainty_s: float

    @property
    def is_rolling(self) -> bool:
        """Whether the lines begin one after the other."""
        return self.read_out_s > 3.0 * self.uncertainty_s


def window_from_levels(delays_s: Floats, levels: Floats, width_s: float) -> ExposureWindow:
    """The exposure, from flashes of `width_s` that begin `delays_s` after the trigger, at most `width_s` apart.

    `delays_s`: (n,), rising. `levels`: (n, bands), mean grey level of each band of lines. Raises CalibPoor.
    """
    dark, brightest = levels.min(axis=0), levels.max(axis=0)
    if (brightest - dark).min() < MIN_CONTRAST:
        raise CalibPoor(
            f"flashes of {1e3 * width_s:.2g} ms change the picture by {(brightest - dark).min():.1f} grey levels, and "
            f"{MIN_CONTRAST:g} are needed. Use a brighter flash, an empty part of the slide, or a longer "
            "camera.exposure_s."
        )
    shares = (levels - dark) / (brightest - dark)
    edges = [_edges(delays_s, _of_whole_flash(share), width_s) for share in shares.T]
    begins_s, ends_s = np.array(edges).T
    delay_s, room_s = float(begins_s.max()), float(ends_s.min() - begins_s.max())
    if room_s <= width_s:
        raise CalibPoor(
            f"the lines of the camera begin one after the other over {1e3 * np.ptp(begins_s):.3g} ms, and there is no "
            f"time at which all of them expose. Set camera.exposure_s above {np.ptp(begins_s) + width_s:.3g}, or use a "
            "camera with a global shutter."
        )
    return ExposureWindow(delay_s, room_s, float(np.ptp(begins_s)), 2.0 * _LEVEL_ERROR * width_s)


def _of_whole_flash(share: Floats) -> Floats:
    """Levels as shares of a flash that lies in the exposure as a whole, (n,), within 0..1."""
    return np.clip(share / np.median(share[share > _PLATEAU]), 0.0, 1.0)


def _edges(delays_s: Floats, share: Floats, width_s: float) -> tuple[float, float]:
    """When the exposure of a band begins and ends, s. Raises CalibPoor."""
    inside = np.flatnonzero(share >= 0.5)
    first, last = int(inside[0]), int(inside[-1])
    if last + 1 == len(delays_s):
        raise CalibPoor(
            f"a flash {1e3 * delays_s[-1]:.3g} ms after the trigger is still in the exposure. Set camera.exposure_s "
            "and camera.frame_period_s to those of the camera."
        )
    # A flash that an edge cuts tells by its share where the edge is.
    rising = min(range(max(first - 1, 0), first + 1), key=lambda k: abs(share[k] - 0.5))
    falling = min((last, last + 1), key=lambda k: abs(share[k] - 0.5))
    return (
        float(delays_s[rising] + (1.0 - share[rising]) * width_s),
        float(delays_s[falling] + share[falling] * width_s),
    )
