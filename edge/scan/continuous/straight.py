"""The straight parts that Z goes along in a sweep, so that the tiles are in focus. Pure."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

OUT_SHARE = 0.5  # of the depth of field, beyond which a tile is taken again
SIGMA_UM = 0.12  # standard deviation of what steps, screw and play of Z put on top
LEVELS = 2  # steps of Z above and below the expected focus that are tried at each knot
MIN_STEP_UM = 1.0  # between two tiles: there two knots are tried, so that Z need not swing behind a step
STEP_SHARE = 0.15  # of the way between the tiles, from each of them: where these two knots lie


class Wanted(msgspec.Struct, frozen=True, eq=False):
    """Where the focus of the tiles of a row is expected: way from the first one, height, uncertainty, um, (n,).

    `beyond_um`: where it lies just as probably, NaN if nowhere else.
    """

    along_um: Floats
    z_um: Floats
    sigma_um: Floats
    beyond_um: Floats


class Pace(msgspec.Struct, frozen=True):
    """How fast a sweep goes, and how fast Z may be."""

    speed_um_per_s: float
    z_speed_um_per_s: float
    z_accel_um_per_s2: float

    def most_rise_um(self, length_um: float) -> float:
        """How far Z gets, from rest to rest, while the sweep passes a part of this length."""
        lasts_s, ramp_s = length_um / self.speed_um_per_s, self.z_speed_um_per_s / self.z_accel_um_per_s2
        if lasts_s < 2.0 * ramp_s:
            return self.z_accel_um_per_s2 * lasts_s**2 / 4.0
        return self.z_speed_um_per_s * (lasts_s - ramp_s)


class Costs(msgspec.Struct, frozen=True):
    """What takes time in a sweep, s: one straight part more, a stop, Z that turns round, a tile that is taken again.

    To turn round takes a stop too. `pace`: where Z is too slow for a part, the stage stops before and behind it.
    """

    part_s: float
    stop_s: float
    reversal_s: float
    again_s: float
    pace: Pace


def straight_parts(wanted: Wanted, costs: Costs, depth_um: float, step_um: float) -> tuple[Floats, Floats]:
    """Knots along a row and heights there, whole steps of Z: the first and the last one at the ends of the row.

    Of all broken lines with knots between tiles the one that takes least time: a part more costs a request, Z that
    turns round a stop and its play, and a tile a second picture as probably as it will be out of focus. So a line does
    not follow what is hardly known, as a fold that the row before has shown: the fold lies elsewhere in this one.
    """
    knots_um, levels_um = _tried(wanted, step_um)
    n, n_levels = levels_um.shape
    # By knot, level, and whether Z falls there: the least time, and knot, level and direction before.
    least_s = np.full((n, n_levels, 2), np.inf)
    before = np.zeros((n, n_levels, 2, 3), np.intp)
    least_s[0] = 0.0
    for j in range(1, n):
        for i in range(j):
            ends = i, j if j < n - 1 else None
            out, way = _part(wanted, knots_um, levels_um, ends, depth_um, step_um)
            rise_um = np.abs(levels_um[j][None, :] - levels_um[i][:, None])
            is_steep = rise_um > costs.pace.most_rise_um(float(knots_um[j] - knots_um[i]))
            cost_s = costs.part_s + 2.0 * costs.stop_s * is_steep + costs.again_s * out
            for was in (0, 1):
                for now in (0, 1):
                    is_possible = (way == (-1.0 if now else 1.0)) | ((way == 0.0) & (was == now))
                    total_s = least_s[i, :, was, None] + cost_s + costs.reversal_s * (was != now)
                    total_s = np.where(is_possible, total_s, np.inf)
                    first = total_s.argmin(axis=0)
                    found_s = total_s[first, np.arange(n_levels)]
                    better = found_s < least_s[j, :, now]
                    least_s[j, better, now] = found_s[better]
                    before[j, better, now] = np.stack(
                        [np.full(n_levels, i), first, np.full(n_levels, was)], 1
                    )[better]
    level, falls = np.unravel_index(int(least_s[-1].argmin()), least_s[-1].shape)
    chosen = [(n - 1, int(level), int(falls))]
    while chosen[-1][0] > 0:
        knot, level, falls = before[chosen[-1]].tolist()
        chosen.append((knot, level, falls))
    chosen.reverse()
    heights_um = np.array([levels_um[knot, level] for knot, level, _ in chosen])
    return knots_um[[knot for knot, _, _ in chosen]], heights_um


def _part(
    wanted: Wanted,
    knots_um: Floats,
    levels_um: Floats,
    ends: tuple[int, int | None],
    depth_um: float,
    step_um: float,
) -> tuple[Floats, Floats]:
    """How many tiles of a straight part will be out of focus, and whether Z rises or falls, 1 or -1: (from, to).

    Both by the levels of its knots. `ends`: the numbers of these, None for the last one, beyond which there is none.
    """
    i, last = ends
    j = len(knots_um) - 1 if last is None else last
    is_on = wanted.along_um >= knots_um[i]
    if last is not None:
        is_on &= wanted.along_um < knots_um[j]
    share = (wanted.along_um[is_on] - knots_um[i]) / (knots_um[j] - knots_um[i])
    way = np.sign(levels_um[j][None, :] - levels_um[i][:, None])
    at_um = levels_um[i][:, None, None] * (1.0 - share) + levels_um[j][None, :, None] * share
    # Between two steps the stage is half a step behind, on average.
    at_um = at_um - 0.5 * step_um * way[..., None]
    out = _is_out(at_um - wanted.z_um[is_on], wanted.sigma_um[is_on], depth_um)
    beyond = ~np.isnan(wanted.beyond_um[is_on])
    off_um = at_um[..., beyond] - wanted.beyond_um[is_on][beyond]
    out[..., beyond] = 0.5 * (
        out[..., beyond] + _is_out(off_um, np.full(off_um.shape[-1], SIGMA_UM), depth_um)
    )
    return out.sum(axis=-1), way


def _is_out(off_um: Floats, sigma_um: Floats, depth_um: float) -> Floats:
    """How probably a tile is out of focus whose line lies `off_um` from where its focus is expected."""
    spread_um = np.hypot(sigma_um, SIGMA_UM)

    def below(limit_um: float) -> Floats:
        # The logistic function is the normal distribution to within 0.01.
        return np.asarray(
            1.0 / (1.0 + np.exp(-1.702 * np.clip((limit_um - off_um) / spread_um, -40.0, 40.0)))
        )

    return 1.0 - below(OUT_SHARE * depth_um) + below(-OUT_SHARE * depth_um)


def _tried(wanted: Wanted, step_um: float) -> tuple[Floats, Floats]:
    """Places of the knots that are tried (k,), and the heights at each (k, levels), whole steps."""
    along_um = wanted.along_um
    padded = np.pad(wanted.z_um, 1, mode="edge")
    z_um = np.median(np.lib.stride_tricks.sliding_window_view(padded, 3), axis=1)
    knots = [(float(along_um[0]), float(z_um[0]))]
    for k in range(len(along_um) - 1):
        gap_um = float(along_um[k + 1] - along_um[k])
        if abs(z_um[k + 1] - z_um[k]) >= MIN_STEP_UM:
            knots += [
                (float(along_um[k]) + STEP_SHARE * gap_um, float(z_um[k])),
                (float(along_um[k]) + (1.0 - STEP_SHARE) * gap_um, float(z_um[k + 1])),
            ]
        else:
            knots.append((float(along_um[k]) + gap_um / 2.0, float(z_um[k] + z_um[k + 1]) / 2.0))
    knots.append((float(along_um[-1]), float(z_um[-1])))
    at_um, middle_um = np.array(knots).T
    levels = np.rint(middle_um / step_um)[:, None] + np.arange(-LEVELS, LEVELS + 1)
    return at_um, levels * step_um
