"""What a camera makes of light: dark level, response curve, saturation, flicker, and how light falls to the corners."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.interval import half_width_95

Floats = NDArray[np.float64]

MIN_LEVELS = 6
HIGHEST_LEVEL = 250.0  # grey levels of 255; brighter ones are clipped in part
MIN_RANGE = 3.0  # the light must change by this factor below saturation
MAX_GAMMA_UNCERTAINTY = 0.05
GAMMA_STEP = 0.005
GAMMAS = np.arange(0.2, 2.2, GAMMA_STEP)
DARK_FLOOR = 0.05  # grey levels
GAMMA_FLOOR = 0.01  # levels are whole numbers, and a lamp's duty is not quite its light
# What a mean level may be off by: a share of it, by flicker, and a part of a grey level.
LEVEL_ERROR_SHARE, LEVEL_ERROR = 0.01, 0.1
N_CELLS = 9  # of a field along a side, for the light over it
LINEAR_WITHIN = 0.05  # a gamma closer to 1 than this is a linear camera


class Level(msgspec.Struct, frozen=True):
    """Mean grey level of a picture under `light`, any unit; `clipped` is the share of its values at the upper end."""

    light: float
    level: float
    clipped: float


class ResponseFit(msgspec.Struct, frozen=True):
    """`level = offset + scale * light ** gamma`; dark level and gamma with half their 95 % intervals.

    `dark_level` is what the camera shows in the dark. It lies above `offset_level` where noise below zero is cut off.
    `saturation_light`: the light at which the first values are clipped; None if none was. `largest_misfit`: the largest
    residual, grey levels.
    """

    dark_level: float
    dark_uncertainty: float
    offset_level: float
    gamma: float
    gamma_uncertainty: float
    scale: float
    saturation_light: float | None
    largest_misfit: float

    @property
    def is_linear(self) -> bool:
        """Whether the response is a straight line for all practical purposes."""
        return abs(self.gamma - 1.0) <= max(LINEAR_WITHIN, self.gamma_uncertainty)


def fit_response(dark: Sequence[float], levels: Sequence[Level]) -> ResponseFit:
    """The response from mean levels in the dark and under rising light.

    Raises CalibPoor where too little of the curve is seen, or it is no power of the light.
    """
    dark_level = float(np.mean(dark))
    dark_sd = float(np.std(dark, ddof=1)) if len(dark) > 1 else 0.0
    dark_uncertainty = half_width_95(dark_sd**2 / len(dark), len(dark) - 1) if len(dark) > 1 else 0.5
    clipped = [one.light for one in levels if one.clipped > 0.001]
    dark_uncertainty = math.hypot(dark_uncertainty, DARK_FLOOR)
    saturation_light = min(clipped, default=None)
    # Below 3 levels above the dark the steps of 8 bits decide; from the first clipped values on the camera does.
    usable = [
        one
        for one in levels
        if one.level - dark_level > 3.0
        and one.level < HIGHEST_LEVEL
        and (saturation_light is None or one.light < saturation_light)
    ]
    lights = [one.light for one in usable]
    if len(usable) < MIN_LEVELS or max(lights) < MIN_RANGE * min(lights):
        raise CalibPoor(
            f"response curve not measured: {len(usable)} brightnesses between dark and saturation, {MIN_LEVELS} over a "
            f"range of 1:{MIN_RANGE:g} are needed. The lamp does not change the picture enough: check that it is on, "
            "and lower or raise camera.exposure_s."
        )
    light, level = np.array(lights), np.array([one.level for one in usable])
    fits = [_at_gamma(gamma, light, level, dark_level) for gamma in GAMMAS]
    best = int(np.argmin([cost for cost, _, _ in fits]))
    best = min(max(best, 1), len(GAMMAS) - 2)
    below, cost, above = (fits[k][0] for k in (best - 1, best, best + 1))
    bend = (below - 2.0 * cost + above) / GAMMA_STEP**2
    gamma = float(GAMMAS[best]) + (
        GAMMA_STEP * 0.5 * (below - above) / (below - 2.0 * cost + above) if bend > 0 else 0
    )
    _, offset, scale = _at_gamma(gamma, light, level, dark_level)
    degrees = len(usable) - 3
    variance = 2.0 * cost / degrees / bend if bend > 0.0 else math.inf
    uncertainty = math.hypot(half_width_95(variance, degrees), GAMMA_FLOOR)
    if uncertainty > MAX_GAMMA_UNCERTAINTY:
        raise CalibPoor(
            f"gamma of {gamma:.2f} +- {uncertainty:.2f} refused: the interval must be +-{MAX_GAMMA_UNCERTAINTY:g} or "
            "less. The camera's exposure or gain changes by itself, or its response is no power of the light."
        )
    misfit = float(np.abs(level - offset - scale * light**gamma).max())
    return ResponseFit(
        dark_level, dark_uncertainty, offset, gamma, uncertainty, scale, saturation_light, misfit
    )


def _at_gamma(gamma: float, light: Floats, level: Floats, dark_level: float) -> tuple[float, float, float]:
    """Cost, offset and scale of the best curve with this gamma. The offset lies between 0 and the dark level."""
    weight = 1.0 / (LEVEL_ERROR_SHARE * level + LEVEL_ERROR)
    design = np.stack([np.ones_like(light), light**gamma], axis=1)
    found, *_ = np.linalg.lstsq(design * weight[:, None], level * weight, rcond=None)
    offset, scale = float(np.clip(found[0], 0.0, dark_level)), float(found[1])
    if offset != found[0]:
        power = light**gamma
        scale = float(((level - offset) * power * weight**2).sum() / ((power * weight) ** 2).sum())
    left = (level - offset - scale * light**gamma) * weight
    return float((left**2).sum()), offset, scale


def light_table(response: ResponseFit | None) -> Floats:
    """The light that each of the 256 grey levels stands for, 0..1, (256,); levels themselves without a response."""
    levels = np.arange(256, dtype=np.float64)
    if response is None:
        return levels / 255.0
    share: Floats = np.clip((levels - response.offset_level) / (255.0 - response.offset_level), 0.0, 1.0)
    return np.asarray(share ** (1.0 / response.gamma))


def flicker_of(means: Sequence[float]) -> tuple[float, float]:
    """Standard deviation of the light from frame to frame as a share, and half its 95 % interval.

    `means` are the mean light of frames (`light_table`) under the same lamp. Raises ValueError for too few.
    """
    if len(means) < 8:
        raise ValueError(f"{len(means)} frames given: it takes 8 or more")
    values = np.array(means)
    # A slow drift is no flicker: only what changes from one frame to the next counts.
    share = float(np.std(np.diff(values), ddof=1)) / math.sqrt(2.0) / max(float(values.mean()), 1e-9)
    # Neighbouring differences share a frame: they say half as much again less than as many frames of their own.
    return share, share * 1.96 * math.sqrt(1.5 / (2.0 * (len(means) - 2)))


def flat_field(
    pictures: Sequence[Floats], shifts: Sequence[tuple[float, float]]
) -> tuple[Floats, float, float]:
    """How bright each part of a field is, from grey pictures (h, w) of overlapping places, out of focus.

    `shifts`: where each place lies, right and down, as shares of a field; or the same turned or mirrored, as a camera
    may lie that nobody has measured yet. What lies on the slide moves with the place and the light does not, so parts
    that several pictures show tell both apart.
    Returns a grid of 9 by 9 shares of the brightest, the fall to the darkest corner as a share, and half its 95 %
    interval. Raises ValueError for fewer than four pictures, or where too little of them overlaps.
    """
    if len(pictures) < 4 or len(pictures) != len(shifts):
        raise ValueError(
            f"{len(pictures)} pictures of {len(shifts)} places given: it takes four or more, of as many"
        )
    logs = np.stack([np.log(np.maximum(grid_of(picture), 1e-6)) for picture in pictures])
    height_px, width_px = pictures[0].shape
    ways = [
        _cells(shifts, width_px / height_px, turned, signs)
        for turned in (False, True)
        for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1))
    ]
    cells = min(ways, key=lambda way: _light(logs, way)[1])
    surface = _at_corners(_light(logs, cells)[0])
    # One place left out at a time.
    falls = [
        _fall_of(_at_corners(_light(np.delete(logs, k, 0), np.delete(cells, k, 0))[0]))
        for k in range(len(logs))
    ]
    n = len(falls)
    spread = half_width_95((n - 1) * float(np.var(falls)), n - 1)
    return surface / surface.max(), _fall_of(surface), math.hypot(spread, 0.01)


def _cells(
    shifts: Sequence[tuple[float, float]], width_over_height: float, turned: bool, signs: tuple[int, int]
) -> NDArray[np.int64]:
    """Where the pictures lie on the slide, whole cells (n, 2) down and right, seen by a camera that lies so."""
    at = np.array([(row * signs[0], column * signs[1]) for column, row in shifts])
    if turned:
        at = at[:, ::-1] * (width_over_height, 1.0 / width_over_height)
    return np.asarray(np.rint(N_CELLS * at), np.int64)


def _light(logs: Floats, cells: NDArray[np.int64]) -> tuple[Floats, float]:
    """The logarithm of the light as terms of second order, (6,), and the variance of what it leaves unexplained.

    `logs` (n, 9, 9) of pictures that lie at `cells`. Every place of the slide has a brightness of its own.
    """
    middles = (np.arange(N_CELLS) + 0.5) / N_CELLS * 2.0 - 1.0
    terms = np.tile(_terms(middles, middles)[:, 1:], (len(logs), 1))
    rows, columns = np.meshgrid(np.arange(N_CELLS), np.arange(N_CELLS), indexing="ij")
    places = np.stack([rows.ravel(), columns.ravel()], axis=1)[None] + cells[:, None]
    _, place, n_seen = np.unique(places.reshape(-1, 2), axis=0, return_inverse=True, return_counts=True)
    place = place.ravel()
    values = np.column_stack([terms, logs.ravel()])
    # Less the mean of each place, which takes its own brightness away.
    means = np.stack([np.bincount(place, column) / n_seen for column in values.T], axis=1)
    left = (values - means[place])[n_seen[place] > 1]
    if len(left) < 2 * terms.shape[1]:
        raise ValueError("the pictures hardly overlap: take them closer together")
    found, *_ = np.linalg.lstsq(left[:, :-1], left[:, -1], rcond=None)
    return np.concatenate([[0.0], found]), float(np.mean((left[:, -1] - left[:, :-1] @ found) ** 2))


def _at_corners(terms: Floats) -> Floats:
    """The light over a grid of 9 by 9 from corner to corner, any scale, from the terms of its logarithm."""
    places = np.linspace(-1.0, 1.0, N_CELLS)
    return np.asarray(np.exp((_terms(places, places) @ terms).reshape(N_CELLS, N_CELLS)))


def _fall_of(surface: Floats) -> float:
    return float(1.0 - surface.min() / surface.max())


def grid_of(picture: Floats, n: int = N_CELLS) -> Floats:
    """Mean of each of n by n cells of a grey picture (h, w)."""
    rows = np.array_split(picture, n, axis=0)
    return np.array([[float(part.mean()) for part in np.array_split(row, n, axis=1)] for row in rows])


def smooth_grid(grid: Floats) -> Floats:
    """The grid as a surface of second order, which is what a lamp off the axis and the lens make."""
    # A cell shows the mean about its middle; the surface is drawn out to the very corners.
    middles = _terms(*((np.arange(n) + 0.5) / n * 2.0 - 1.0 for n in grid.shape))
    found, *_ = np.linalg.lstsq(middles, grid.ravel(), rcond=None)
    surface: Floats = (_terms(*(np.linspace(-1.0, 1.0, n) for n in grid.shape)) @ found).reshape(grid.shape)
    return surface


def _terms(rows: Floats, columns: Floats) -> Floats:
    y, x = (values.ravel() for values in np.meshgrid(rows, columns, indexing="ij"))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
