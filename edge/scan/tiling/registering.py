"""Find a slide again after an interruption: where it lies on the stage now, and at what height."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.camera.view import View
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiling.marks import Mark
from parfocal.edge.scan.tiling.moving.going import Offset, ScanAborted
from parfocal.edge.scan.tiling.scanner import Scanner
from parfocal.edge.stitch.shift import shift_between
from parfocal.edge.words import counted

# Pictures of one field taken twice correlate by 0.7 and more, with another field by 0.1 and less.
MIN_RESPONSE = 0.35
MAX_APART_UM = 3.0  # between the offsets of two marks
LONG_SIDE_PX = 640
SAME_PLACE_PX = 2.0  # the two ways to find a shift differ by less, or they have found different places


class Found(msgspec.Struct, frozen=True):
    """Where one mark was found again."""

    offset: Offset
    response: float


def register(scanner: Scanner, marks: Sequence[Mark], view: View) -> tuple[Offset, tuple[Found, ...]]:
    """How far the slide lies from where it lay, by pictures that it gave.

    Without a mark there is nothing to compare with, and nothing that could be mixed up.
    Raises ScanAborted if the marks are not found again: another slide, or one that was moved. BoardError, CameraFailed,
    EngineError as they come.
    """
    if not marks:
        return Offset(), ()
    scanner.going.offset = Offset()
    found = tuple(_found_again(scanner, mark, view) for mark in marks)
    good = [each for each in found if each.response >= MIN_RESPONSE]
    if not good:
        best = max(each.response for each in found)
        raise ScanAborted(
            f"the slide is not the one of this scan, or it was moved: {counted(len(found), 'place')} looked at again, "
            f"best correlation {best:.2f}, needed {MIN_RESPONSE:g}; nothing was scanned. Put the slide back as "
            "it was, or scan it anew with another --out."
        )
    offsets = np.array([msgspec.structs.astuple(each.offset) for each in good])
    middle = np.median(offsets, axis=0)
    if np.abs(offsets - middle).max() > MAX_APART_UM:
        raise ScanAborted(
            f"places were found again {np.abs(offsets - middle).max():.1f} um apart from each other, at most "
            f"{MAX_APART_UM:g} um are allowed; nothing was scanned. The stage has lost its position: run "
            "`parfocal home`, then continue."
        )
    return Offset(*(float(value) for value in middle)), found


def shift_px(first: UInt8Array, second: UInt8Array) -> tuple[float, float, float]:
    """By how far the content lies right of and below where it lay in `first`, px, and how well both correlate, 0..1.

    Phase correlation finds the place, and gradients the part of a pixel, which phase correlation draws to whole ones.
    """
    factor = max(1.0, max(first.shape[:2]) / LONG_SIDE_PX)
    one, other = _prepared(first, factor), _prepared(second, factor)
    window = cv2.createHanningWindow((one.shape[1], one.shape[0]), cv2.CV_32F)
    (dx, dy), response = cv2.phaseCorrelate(one, other, window)
    fine = shift_between(one, other, max(abs(dx), abs(dy)) + SAME_PLACE_PX)
    # A view that moves to the right shows its content farther left.
    if fine is not None and math.hypot(fine.dx_px + dx, fine.dy_px + dy) <= SAME_PLACE_PX:
        dx, dy = -fine.dx_px, -fine.dy_px
    return dx * factor, dy * factor, response


def _found_again(scanner: Scanner, mark: Mark, view: View) -> Found:
    """Take a picture once more, in focus, and compare both pictures; once more from where it was found.

    The first comparison is off where the pictures share only a part, so the second, of nearly the same place, counts.
    """
    stored, focus_um = rgb_from_file(mark.path), mark.focus_um
    scanner.going.take_at(mark.x_um, mark.y_um, focus_um)
    result = scanner.focus_near(focus_um)
    if result.end is None:
        return Found(Offset(), 0.0)
    away = _away(scanner, mark, view, stored, result.end.pixels)
    offset = away.offset
    shot = scanner.going.take_at(mark.x_um + offset.x_um, mark.y_um + offset.y_um, result.z_um)
    again = _away(scanner, mark, view, stored, shot.pixels)
    # The right place looks more alike than a wrong guess did.
    best = again if again.response >= min(away.response, MIN_RESPONSE) else away
    return Found(msgspec.structs.replace(best.offset, z_um=result.z_um - focus_um), best.response)


def _away(scanner: Scanner, mark: Mark, view: View, stored: UInt8Array, pixels: UInt8Array) -> Found:
    """How far the content of a mark lies from where it lay, by a picture taken where the stage stands now.

    The stage stands at whole steps, which is up to half a step from where it was sent.
    """
    *away_px, response = shift_px(stored, pixels)
    x_um, y_um = view.um_from_px(*away_px)
    at_x_um, at_y_um = scanner.going.stage_um
    return Found(Offset(at_x_um + x_um - mark.x_um, at_y_um + y_um - mark.y_um), response)


def _prepared(pixels: UInt8Array, factor: float) -> NDArray[np.float32]:
    """Grey, without the noise of single pixels."""
    size = (round(pixels.shape[1] / factor), round(pixels.shape[0] / factor))
    grey = cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5).astype(np.float32, copy=False)
