"""Where one picture lies on its neighbour, although the camera may be turned or mirrored against the stage."""

import cv2
import msgspec
import numpy as np

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stitch.layout import overlap_of
from parfocal.edge.stitch.shift import MIN_SIDE_PX, Grey, banded, shift_between

LONG_SIDE_PX = 512  # of a strip; longer ones are made smaller first
REACH_SHARE = 0.15  # of the way between two pictures: a turn of 8 degrees
MIN_NCC, MAX_RIVAL_SHARE = 0.5, 0.5
MIN_STRUCTURE = 2.0  # grey levels that both share
MIN_SHARED_PX = MIN_SIDE_PX + 4


# Two strips with so much structure of their own, grey levels, that are no more alike than this show other places.
TEXTURED, MAX_UNLIKE_NCC = 4.0, 0.5


class WideLook(msgspec.Struct, frozen=True):
    """Where a second picture lies on the first.

    `offset_px`: its corner from that of the first, right and down; None if they do not tell. `is_unlike`: both are full
    of structure, and show nothing in common.
    """

    offset_px: tuple[float, float] | None
    is_unlike: bool


def wide_look(first: UInt8Array, second: UInt8Array, expected_px: tuple[float, float]) -> WideLook:
    """Look where the second picture lies on the first, both RGB uint8 (h, w, 3).

    About `expected_px`, then about the same way turned by quarters: a camera that was put in otherwise, or whose
    picture is mirrored.
    """
    x, y = expected_px
    likeness = []
    for way in ((x, y), (-x, -y), (-y, x), (y, -x)):
        offset_px, ncc = _about(first, second, way)
        if offset_px is not None:
            return WideLook(offset_px, False)
        if ncc is not None:
            likeness.append(ncc)
    return WideLook(None, bool(likeness) and max(likeness) < MAX_UNLIKE_NCC)


def _about(
    first: UInt8Array, second: UInt8Array, way_px: tuple[float, float]
) -> tuple[tuple[float, float] | None, float | None]:
    """The offset about `way_px`, None if it is not to be believed; and how alike both are, None without structure."""
    x, y = (round(one) for one in way_px)
    height, width = first.shape[:2]
    of_first, of_second = overlap_of((x, y), (width, height))
    strips = first[of_first], second[of_second]
    long_side, short_side = max(strips[0].shape[:2]), min(strips[0].shape[:2])
    if short_side < MIN_SHARED_PX:
        return None, None
    smaller = max(1, min(-(-long_side // LONG_SIDE_PX), short_side // MIN_SHARED_PX))
    one, other = (_grey(strip, smaller) for strip in strips)
    shift = shift_between(one, other, REACH_SHARE * float(np.hypot(x, y)) / smaller)
    if shift is None:
        return None, None
    is_alike = shift.ncc >= MIN_NCC and shift.structure >= MIN_STRUCTURE
    if is_alike and shift.rival_ncc <= MAX_RIVAL_SHARE * shift.ncc:
        return (x + smaller * shift.dx_px, y + smaller * shift.dy_px), shift.ncc
    is_textured = min(float(banded(one).std()), float(banded(other).std())) > TEXTURED
    return None, shift.ncc if is_textured else None


def _grey(strip: UInt8Array, smaller: int) -> Grey:
    grey = cv2.cvtColor(np.ascontiguousarray(strip), cv2.COLOR_RGB2GRAY)
    if smaller > 1:
        size = max(1, grey.shape[1] // smaller), max(1, grey.shape[0] // smaller)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.float32)
