"""Neighbours registered against each other as the tiles go by, and which of these registrations to believe.

Only the strips that wait for a neighbour are in memory: about one row of tiles' lower edges.
"""

import itertools
import math
from collections.abc import Sequence

import cv2
import msgspec
import numpy as np

from parfocal.calib.camera.view import View
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stitch.layout import Floats, StagePlace, neighbours, nominal_px, overlap_of
from parfocal.edge.stitch.shift import Grey, Shift, shift_between

N_SAMPLES = 16  # strips of either side that are kept for the comparison of strangers
N_STRANGERS = 60
MIN_STRANGERS = 8
# Above what strangers reach by chance: their median and so many robust standard deviations, in Fisher's z.
STRANGER_SIGMAS = 5.0
MIN_NCC = 0.1
NCC_WITHOUT_STRANGERS = 0.5  # a scan of a few tiles has none to learn from
# Of the correlation: a second shift more than half as good means that the structure repeats itself.
MAX_RIVAL_SHARE = 0.5
# Grey levels that both share. Less is what the camera itself adds: steps of its 8 bits in uneven light, stripes.
MIN_STRUCTURE = 0.5


class Link(msgspec.Struct, frozen=True, eq=False):
    """Two neighbours, and the corner of the second from that of the first as their pictures say, px (x, y).

    `shift` is None where they share too little. `is_believed`: alike beyond chance and beyond what the
    camera adds, and in one way only.
    """

    first: int
    second: int
    offset_px: tuple[float, float]
    shift: Shift | None
    is_believed: bool


class Registration:
    """Takes tiles in any order; each pair of neighbours is registered once both are there."""

    def __init__(
        self, places: Sequence[StagePlace], view: View, size_px: tuple[int, int], reach_um: float
    ) -> None:
        """`size_px` (w, h) of every tile; `reach_um`: how far a step between neighbours may be off."""
        self._pairs: dict[int, list[tuple[int, int]]] = {}
        for pair in neighbours(places):
            for k in pair:
                self._pairs.setdefault(k, []).append(pair)
        self._nominal, self._size_px = nominal_px(places, view), size_px
        self._reach_px = reach_um / view.um_per_px
        self._waiting: dict[tuple[int, int], Grey] = {}
        self._found: dict[tuple[int, int], Shift | None] = {}
        self._samples: dict[tuple[bool, int], list[tuple[int, Grey]]] = {}
        self._n_seen: dict[tuple[bool, int], int] = {}
        self._rng = np.random.default_rng(len(places))

    def add(self, tile: int, pixels: UInt8Array) -> None:
        """Register tile number `tile`, RGB uint8 (h, w, 3), with those of its neighbours that were added before."""
        for pair in self._pairs.get(tile, ()):
            side = pair.index(tile)
            strip = pixels[overlap_of(self._whole_offset(pair), self._size_px)[side]]
            if 0 in strip.shape:
                self._found[pair] = None
                continue
            grey = cv2.cvtColor(np.ascontiguousarray(strip), cv2.COLOR_RGB2GRAY).astype(np.float32)
            self._sample(pair, side, grey)
            beside = self._waiting.pop(pair, None)
            if beside is None:
                self._waiting[pair] = grey
                continue
            both = (beside, grey) if side == 1 else (grey, beside)
            self._found[pair] = shift_between(both[0], both[1], self._reach_px)

    def links(self) -> tuple[list[Link], float]:
        """Every pair that was registered, and the correlation from which on one is believed."""
        threshold = threshold_from(self._strangers())
        links = []
        for pair, shift in sorted(self._found.items()):
            x, y = self._whole_offset(pair)
            if shift is None:
                links.append(Link(*pair, (float(x), float(y)), None, is_believed=False))
                continue
            is_unique = shift.rival_ncc < MAX_RIVAL_SHARE * shift.ncc
            is_alike = shift.ncc > threshold and shift.structure > MIN_STRUCTURE
            is_inside = max(abs(shift.dx_px), abs(shift.dy_px)) < self._reach_px
            links.append(
                Link(
                    *pair,
                    (x + shift.dx_px, y + shift.dy_px),
                    shift,
                    is_believed=is_alike and is_unique and is_inside,
                )
            )
        return links, threshold

    def _whole_offset(self, pair: tuple[int, int]) -> tuple[int, int]:
        x, y = self._nominal[pair[1]] - self._nominal[pair[0]]
        return round(float(x)), round(float(y))

    def _sample(self, pair: tuple[int, int], side: int, strip: Grey) -> None:
        """Keep a strip, or not, so that those kept are a fair sample of all (reservoir view)."""
        x, y = self._whole_offset(pair)
        key = (abs(x) > abs(y), side)
        kept = self._samples.setdefault(key, [])
        seen = self._n_seen[key] = self._n_seen.get(key, 0) + 1
        if len(kept) < N_SAMPLES:
            kept.append((pair[side], strip))
        elif (k := int(self._rng.integers(seen))) < N_SAMPLES:
            kept[k] = (pair[side], strip)

    def _strangers(self) -> list[float]:
        """Correlations of strips that do not show the same place, found in the same way as those of neighbours."""
        pairs = []
        for is_beside in (True, False):
            firsts, seconds = (self._samples.get((is_beside, side), []) for side in (0, 1))
            pairs += [
                (one, other)
                for (i, one), (j, other) in itertools.product(firsts, seconds)
                if i != j and (i, j) not in self._found
            ]
        chosen = self._rng.permutation(len(pairs))[:N_STRANGERS]
        found = []
        for k in chosen:
            one, other = pairs[k]
            height, width = (min(sides) for sides in zip(one.shape, other.shape, strict=True))
            shift = shift_between(one[:height, :width], other[:height, :width], self._reach_px)
            if shift is not None:
                found.append(shift.ncc)
        return found


def threshold_from(strangers: Sequence[float]) -> float:
    """The correlation above which two tiles are believed to show the same, from those of tiles that do not."""
    if len(strangers) < MIN_STRANGERS:
        return NCC_WITHOUT_STRANGERS
    z: Floats = np.arctanh(np.clip(np.asarray(strangers, np.float64), -0.999, 0.999))
    middle = float(np.median(z))
    spread = 1.4826 * float(np.median(np.abs(z - middle)))
    return max(MIN_NCC, math.tanh(middle + STRANGER_SIGMAS * spread))
