"""The autofocus patterns of other open microscopes, written anew as policies over the stand's stage and camera.

Each keeps what its program does about play: some go back from below, some move straight. Step sizes are theirs for a
20x objective.
"""

import math

import numpy as np

from parfocal.edge.focus.judging.estimate import Estimate, estimate
from parfocal.edge.focus.picture.sharpness import parabola_vertex
from parfocal.edge.focus.shots import Shot
from parfocal.engines.predictor import Predictor
from tests.bench.focus_stand import Stand

Done = tuple[int, str]


def _sharpness_at(stand: Stand, z_um: float) -> float:
    """Move straight to a height, from either side, and take the sharpness there."""
    stand.axis.move_to(z_um)
    return stand.shoot().sharpness


def step_and_climb(stand: Stand) -> Done:
    """Down by half of the range, climb in 20 steps of 1.5 um, stop once it falls to 85 %, back from below (Squid)."""
    step_um, n = 1.524, 20
    low_um = stand.axis.position_um - n / 2 * step_um
    stand.axis.approach_up(low_um)
    seen: list[tuple[float, float]] = []
    for k in range(n):
        seen.append((low_um + k * step_um, _sharpness_at(stand, low_um + k * step_um)))
        best = max(sharpness for _, sharpness in seen)
        if seen[-1][1] < 0.85 * best:
            break
    stand.axis.approach_up(max(seen, key=lambda one: one[1])[0])
    return stand.images, "focused"


def fast_sweep(stand: Stand) -> Done:
    """One slow climb of 40 um that takes 25 frames without stopping, back by a sweep's way and up (OpenFlexure)."""
    pivot_um = stand.axis.position_um
    stand.axis.approach_up(pivot_um - 20.0)
    frames = stand.exposed_while_moving(pivot_um + 20.0, 40.0 * 30.0 / 25.0)
    heights_um, sizes = [z for z, _ in frames], [shot.sharpness for _, shot in frames]
    top = int(np.argmax(sizes))
    z_um = heights_um[top]
    if 0 < top < len(sizes) - 1:
        z_um = parabola_vertex(heights_um[top - 1 : top + 2], sizes[top - 1 : top + 2])
    stand.axis.approach_up(z_um)
    return stand.images, "focused"


def two_stage_sweep(stand: Stand) -> Done:
    """Eleven planes over 40 um, eleven about the best of them, straight to the best (ImSwitch)."""
    z_um = stand.axis.position_um
    for half_um in (20.0, 4.0):
        heights_um = np.linspace(z_um - half_um, z_um + half_um, 11).tolist()
        values = [_sharpness_at(stand, at_um) for at_um in heights_um]
        z_um = heights_um[int(np.argmax(values))]
    stand.axis.move_to(z_um)
    return stand.images, "focused"


def coarse_and_fine(stand: Stand) -> Done:
    """Seven planes of 4 um, seven of 1 um about the best, straight to the best (pyuscope)."""
    z_um = stand.axis.position_um
    for step_um in (4.0, 1.0):
        heights_um = [z_um + k * step_um for k in range(-3, 4)]
        values = [_sharpness_at(stand, at_um) for at_um in heights_um]
        z_um = heights_um[int(np.argmax(values))]
    stand.axis.move_to(z_um)
    return stand.images, "focused"


def brent(stand: Stand) -> Done:
    """Brent's search for the maximum within +-20 um to 1 um, by straight moves (Micro-Manager's OughtaFocus)."""
    golden, tolerance_um = 0.3819660, 1.0
    middle_um = stand.axis.position_um
    low, high = middle_um - 20.0, middle_um + 20.0
    x = w = v = middle_um
    fx = fw = fv = -_sharpness_at(stand, x)
    step = before = 0.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        if abs(x - middle) <= 2.0 * tolerance_um - 0.5 * (high - low):
            break
        p = q = 0.0
        if abs(before) > tolerance_um:
            r, q = (x - w) * (fx - fv), (x - v) * (fx - fw)
            p, q = (x - v) * q - (x - w) * r, 2.0 * (q - r)
            p, q = (-p if q > 0.0 else p), abs(q)
        if abs(p) < abs(0.5 * q * before) and q * (low - x) < p < q * (high - x):
            before, step = step, p / q
        else:
            before = (high if x < middle else low) - x
            step = golden * before
        u = x + (step if abs(step) >= tolerance_um else math.copysign(tolerance_um, step))
        fu = -_sharpness_at(stand, u)
        if fu <= fx:
            low, high = (x, high) if u >= x else (low, x)
            v, w, x, fv, fw, fx = w, x, u, fw, fx, fu
        else:
            low, high = (u, high) if u < x else (low, u)
            if fu <= fw or w == x:
                v, w, fv, fw = w, u, fw, fu
            elif fu <= fv or v in (x, w):
                v, fv = u, fu
    stand.axis.move_to(x)
    return stand.images, "focused"


def z_stack(stand: Stand) -> Done:
    """Forty-one planes of 1 um from below, a Gaussian through the five about the best, back from below."""
    low_um = stand.axis.position_um - 20.0
    stand.axis.approach_up(low_um)
    heights_um = [low_um + k for k in range(41)]
    values = np.array([_sharpness_at(stand, at_um) for at_um in heights_um])
    top = int(np.clip(values.argmax(), 2, 38))
    excess = np.maximum(values[top - 2 : top + 3] - values.min(), 1e-6)
    bend, slope, _ = np.polyfit(np.arange(-2.0, 3.0), np.log(excess), 2)
    offset_um = float(np.clip(-slope / (2.0 * bend), -2.0, 2.0)) if bend < 0.0 else 0.0
    stand.axis.approach_up(heights_um[top] + offset_um)
    return stand.images, "focused"


class PaperToTheLetter:
    """dastidar2020 4.3 and nothing else: z0 22 um and z1 8 um below the pivot, half the way if uncertain, twice the way
    if the focus lies below. No shot on arrival, no check of the end, mean and spread by contrast.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def __call__(self, stand: Stand) -> Done:
        focus = stand.config.focus
        z1_um = stand.axis.position_um - 8.0
        stand.axis.approach_up(z1_um, min(z1_um - 14.0, z1_um - stand.axis.overshoot_um))
        for _ in range(10):
            first = stand.shoot()
            stand.axis.approach_up(first.z_um + focus.delta_um)
            second = stand.shoot()
            found = _by_contrast(first, second, self._predictor, stand)
            at_um, distance_um = second.z_um, found.distance_um
            if found.spread_um > 1.0 or abs(distance_um) > 12.0:
                stand.axis.approach_up(at_um + 0.5 * distance_um)
            elif distance_um < 0.0:
                stand.axis.approach_up(at_um + 2.0 * distance_um - focus.delta_um)
            else:
                stand.axis.approach_up(at_um + distance_um)
                return stand.images, "focused"
        return stand.images, "lost"


def _by_contrast(first: Shot, second: Shot, predictor: Predictor, stand: Stand) -> Estimate:
    return estimate(first.part, second.part, predictor, stand.config.focus)
