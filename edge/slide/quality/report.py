"""The figures of a scan's quality, and the pictures that go with them, from one look at each tile."""

from collections.abc import Callable, Sequence
from typing import Literal

import cv2
import msgspec
import numpy as np

from parfocal.calib.camera.view import View
from parfocal.calib.value import UsedCalibration
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiles import Scan, ScannedTile
from parfocal.edge.slide.held import stitch_of
from parfocal.edge.slide.master import MasterReport
from parfocal.edge.slide.quality.blur import blurred, fineness_of
from parfocal.edge.slide.tiles import TileDamaged, tile_pixels
from parfocal.edge.stitch.layout import StagePlace, nominal_px

THUMBNAIL_PX = 900  # longer side
SHOWN_PX = 300  # side of the part of a tile that is shown
N_WORST = 8
COARSE_PX = 8  # fine enough to find a part to show
MIN_MIDDLE_SHARE = 0.1  # of the variance of another part
EMPTY = 255

Fault = Literal["out of focus", "blurred", "uneven", "not measured", "damaged"]


class TileQuality(msgspec.Struct, frozen=True):
    """One tile. `fineness`: see `edge/slide/quality/blur.py`; None without enough detail. `fault`: the gravest one."""

    row: int
    column: int
    z_um: float
    focus_um: float | None
    fineness: float | None
    tissue: bool
    retaken: int
    reason: str | None
    fault: Fault | None


class QualityReport(msgspec.Struct, frozen=True):
    """A scan in figures.

    The focus figures are over tiles with tissue that are not uneven and whose own picture told the focus; the shares
    are of these. `by_two_shots`: the tiles that two shots focused, which have no such measurement of their own.
    `unmeasured`: the others of these, which hold too little to tell; they were taken where their neighbours have their
    focus. `slipped`: blurred by the independent measure, although the scan took them for sharp. Times are on the
    microscope's clock. `stitched_tiles`: how many of the finished tiles the master shows as they are now, None without
    a master; the figures of `stitched` are of the tiles in the master, which may be fewer or older.
    """

    slide: str
    planned: int
    finished: int
    tissue: int
    retaken: int
    uneven: int
    damaged: int
    depth_of_field_um: float
    measured: int
    unmeasured: int
    mean_abs_focus_um: float | None
    p95_abs_focus_um: float | None
    within_half_depth: float | None
    within_depth: float | None
    blurred: int
    slipped: int
    tiles_s: float
    retaken_s: float
    calibration: UsedCalibration | None
    stitched: MasterReport | None
    stitched_tiles: int | None = None
    by_two_shots: int = 0
    tiles: tuple[TileQuality, ...] = ()


class Shown(msgspec.Struct, frozen=True, eq=False):
    """A tile worth a look, with a part of its picture that holds something, RGB."""

    tile: TileQuality
    pixels: UInt8Array


class Pictures(msgspec.Struct, frozen=True, eq=False):
    """The whole slide as the stage lays it out, RGB (h, w, 3), and its worst tiles, the worst first."""

    thumbnail: UInt8Array
    worst: tuple[Shown, ...]


def quality_of(
    scan: Scan, depth_um: float, on_tile: Callable[[int], None] = lambda _: None
) -> tuple[QualityReport, Pictures]:
    """Judge a scan whose objective has a depth of field of `depth_um`. Each tile is read once."""
    montage = _Montage(scan)
    fineness: list[float | None] = []
    damaged: list[bool] = []
    for number, tile in enumerate(scan.tiles):
        try:
            pixels = tile_pixels(scan, tile)
        except TileDamaged:
            fineness.append(None)
            damaged.append(True)
        else:
            fineness.append(fineness_of(pixels) if tile.tissue else None)
            damaged.append(False)
            montage.add(number, pixels)
        on_tile(number)
    is_blurred = blurred([None if tile.uneven else f for tile, f in zip(scan.tiles, fineness, strict=True)])
    tiles = tuple(
        _judged(tile, fine, _fault_of(tile, soft, broken, depth_um))
        for tile, fine, soft, broken in zip(scan.tiles, fineness, is_blurred, damaged, strict=True)
    )
    report = _summed(scan, tiles, is_blurred, depth_um)
    return report, Pictures(montage.pixels, _worst(scan, tiles))


def _fault_of(tile: ScannedTile, is_blurred: bool, is_damaged: bool, depth_um: float) -> Fault | None:
    if is_damaged:
        return "damaged"
    if tile.uneven:
        return "uneven"
    if _is_out_of_focus(tile, depth_um):
        return "out of focus"
    if is_blurred:
        return "blurred"
    return "not measured" if tile.tissue and tile.focus_um is None else None


def _is_out_of_focus(tile: ScannedTile, depth_um: float) -> bool:
    return tile.focus_um is not None and abs(tile.focus_um) > depth_um / 2.0


def _judged(tile: ScannedTile, fineness: float | None, fault: Fault | None) -> TileQuality:
    return TileQuality(
        tile.row,
        tile.column,
        tile.z_um,
        tile.focus_um,
        fineness,
        tile.tissue,
        tile.retaken,
        tile.reason,
        fault,
    )


def _summed(
    scan: Scan, tiles: Sequence[TileQuality], is_blurred: Sequence[bool], depth_um: float
) -> QualityReport:
    told = [
        tile.focus_um for tile in scan.tiles if tile.tissue and not tile.uneven and tile.focus_um is not None
    ]
    # Where two shots ended is taken for the focus, and that picture was not measured: no error, and no sign of none.
    off = np.array([abs(focus_um) for focus_um in told if focus_um != 0.0])
    slipped = [
        soft and not _is_out_of_focus(tile, depth_um)
        for tile, soft in zip(scan.tiles, is_blurred, strict=True)
    ]
    stitched, held = stitch_of(scan)
    return QualityReport(
        slide=scan.settings.slide or scan.folder.stem,
        planned=len(scan.about.planned),
        finished=len(tiles),
        tissue=sum(tile.tissue for tile in tiles),
        retaken=sum(tile.retaken > 0 for tile in tiles),
        uneven=sum(tile.uneven for tile in scan.tiles),
        damaged=sum(tile.fault == "damaged" for tile in tiles),
        depth_of_field_um=depth_um,
        measured=len(off),
        by_two_shots=len(told) - len(off),
        unmeasured=sum(tile.fault == "not measured" for tile in tiles),
        mean_abs_focus_um=float(off.mean()) if len(off) else None,
        p95_abs_focus_um=float(np.percentile(off, 95)) if len(off) else None,
        within_half_depth=float((off <= depth_um / 2.0).mean()) if len(off) else None,
        within_depth=float((off <= depth_um).mean()) if len(off) else None,
        blurred=sum(is_blurred),
        slipped=sum(slipped),
        tiles_s=sum(tile.elapsed_s for tile in scan.tiles),
        retaken_s=sum(tile.elapsed_s for tile in scan.tiles if tile.retaken),
        calibration=scan.calibration,
        stitched=stitched,
        stitched_tiles=None if held is None else held.current,
        tiles=tuple(tiles),
    )


def _worst(scan: Scan, tiles: Sequence[TileQuality]) -> tuple[Shown, ...]:
    """Tiles with a fault, the farthest out of focus first, then the most blurred, then uneven ones."""
    order = {"out of focus": 0, "blurred": 1, "uneven": 2}
    faulty = [k for k, tile in enumerate(tiles) if tile.fault in order]
    faulty.sort(
        key=lambda k: (order[tiles[k].fault or ""], -abs(tiles[k].focus_um or 0.0), tiles[k].fineness or 0.0)
    )
    return tuple(Shown(tiles[k], part_to_show(tile_pixels(scan, scan.tiles[k]))) for k in faulty[:N_WORST])


def part_to_show(pixels: UInt8Array) -> UInt8Array:
    """The middle of a picture, RGB (h, w, 3); or the part with the most contrast, where the middle has little."""
    height, width = pixels.shape[:2]
    side = min(SHOWN_PX, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    small = cv2.resize(pixels, (width // COARSE_PX, height // COARSE_PX), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float64)
    box = max(1, side // COARSE_PX)
    sums, squares = cv2.integral2(grey, sdepth=cv2.CV_64F, sqdepth=cv2.CV_64F)
    mean, square = (
        (total[box:, box:] - total[:-box, box:] - total[box:, :-box] + total[:-box, :-box]) / box**2
        for total in (sums, squares)
    )
    variance = square - mean**2
    row, column = np.unravel_index(int(variance.argmax()), variance.shape)
    if variance[top // COARSE_PX, left // COARSE_PX] < MIN_MIDDLE_SHARE * variance[row, column]:
        top, left = int(row) * COARSE_PX, int(column) * COARSE_PX
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


class _Montage:
    """A small picture of the slide, its tiles where the stage took them."""

    def __init__(self, scan: Scan) -> None:
        settings = scan.settings
        view = View(scan.um_per_px, settings.view_angle_deg, settings.view_is_mirrored)
        places = [StagePlace(tile.row, tile.column, tile.x_um, tile.y_um) for tile in scan.tiles]
        corners = nominal_px(places, view) if places else np.zeros((1, 2))
        corners = corners - corners.min(axis=0)
        size = corners.max(axis=0) + scan.frame_px
        self._scale = min(1.0, THUMBNAIL_PX / float(size.max()))
        self._corners = np.rint(corners * self._scale).astype(int)
        # A pixel more, so that rounding leaves no gaps between tiles.
        self._side = tuple(int(np.ceil(side * self._scale)) for side in scan.frame_px)
        width, height = self._corners.max(axis=0) + self._side
        self.pixels: UInt8Array = np.full((height, width, 3), EMPTY, np.uint8)

    def add(self, number: int, pixels: UInt8Array) -> None:
        x, y = self._corners[number]
        width, height = self._side
        small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        self.pixels[y : y + height, x : x + width] = small
