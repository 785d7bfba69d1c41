"""Pairs of planes that are delta apart, as first and second shot of a prediction."""

from collections.abc import Sequence

import msgspec
import numpy as np

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stacks.stack import Stack

# How far from delta two planes of a pair may be: the stage's own pairs are rounded to whole motor steps.
PAIR_TOLERANCE_SHARE = 0.1


class Pair(msgspec.Struct, frozen=True):
    """First and second shot, RGB uint8 (h, w, 3), with their heights. For a single-shot model both are the same."""

    first: UInt8Array
    second: UInt8Array
    z1_um: float
    z2_um: float


def pair_indices(z_um: Sequence[float], delta_um: float) -> list[tuple[int, int]]:
    """Indices of first and second shot for each plane that has another one delta below it, to within a tenth."""
    heights_um = np.asarray(z_um)
    indices = []
    for second, z2_um in enumerate(heights_um):
        first = int(np.abs(heights_um - (z2_um - delta_um)).argmin())
        if abs(z2_um - heights_um[first] - delta_um) <= PAIR_TOLERANCE_SHARE * delta_um + 1e-6:
            indices.append((first, second))
    return indices


def pairs_of(stack: Stack, delta_um: float) -> list[Pair]:
    """The pairs of a stack; with a `delta_um` of 0 each plane is a pair with itself."""
    return [
        Pair(stack.planes[first], stack.planes[second], stack.z_um[first], stack.z_um[second])
        for first, second in pair_indices(stack.z_um, delta_um)
    ]
