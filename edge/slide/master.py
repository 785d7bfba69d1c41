"""Makes the master of a scan: places of the tiles, the mosaic, its pyramid, and what is known of them."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from parfocal.calib.camera.view import View
from parfocal.edge.errors import ConfigError
from parfocal.edge.images.chunks import ChunkCodec
from parfocal.edge.images.ome_zarr import MasterAbout, expected_bytes, remove_remains, write_master
from parfocal.edge.scan.tiles import Scan, scan_folder
from parfocal.edge.slide.tiles import tile_pixels
from parfocal.edge.stitch.layout import StagePlace
from parfocal.edge.stitch.light import gain_of_grid
from parfocal.edge.stitch.mosaic import Mosaic
from parfocal.edge.stitch.stitching import Seam, Stitching, StitchRefused, StitchReport, stitched
from parfocal.edge.whole_file import free_bytes, whole_file
from parfocal.edge.words import named, sized

STITCH_NAME = "stitch.json"
SPARE = 1.15  # room on the disk, over the size foretold
N_SAMPLES = 24  # tell the size within 6 %
FORMAT = 1

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much


class MasterReport(msgspec.Struct, frozen=True):
    """How a master was made."""

    stitch: StitchReport
    codec: ChunkCodec
    foretold_bytes: int
    written_bytes: int
    tile_bytes: int
    stitch_s: float
    write_s: float
    seams: tuple[Seam, ...] = ()


def usual_codec(scan: Scan) -> ChunkCodec:
    """The codec of a master whose tiles are as in this scan: nothing is lost that was kept."""
    return "jpeg" if scan.settings.codec == "jpg" else "lossless"


def make_master(
    scan: Scan, codec: ChunkCodec | None = None, on_step: Progress = lambda _what, _done, _all: None
) -> MasterReport:
    """Stitch the finished tiles of a scan and write the master into its folder.

    Raises StitchRefused, TileDamaged; ConfigError where the disk has no room, before anything is written; OSError.
    """
    if not scan.tiles:
        raise StitchRefused(
            "no tile to stitch: the scan has none yet. Finish it with "
            f"`parfocal scan --out {named(scan.folder)} --resume`."
        )
    remove_remains(scan.folder)  # first: they may fill the room that this one needs
    codec = codec or usual_codec(scan)
    began_s = time.monotonic()
    n_tiles = len(scan.tiles)

    def load(k: int) -> np.ndarray:
        return tile_pixels(scan, scan.tiles[k])

    settings = scan.settings
    view = View(scan.um_per_px, settings.view_angle_deg, settings.view_is_mirrored)
    places = [StagePlace(t.row, t.column, t.x_um, t.y_um) for t in scan.tiles]
    flat = settings.flat_field
    gain = None if flat is None else gain_of_grid(flat, scan.frame_px)
    stitching = stitched(
        places, load, view, gain=gain, on_tile=lambda k: on_step("stitching", k + 1, n_tiles)
    )
    mosaic = stitching.mosaic(load)
    every = math.ceil(n_tiles / N_SAMPLES)
    samples = (load(k) for k in range(0, n_tiles, every))
    foretold = expected_bytes(samples, _covered_px(scan, mosaic), codec)
    _check_room(scan.folder, foretold)
    stitched_s = time.monotonic()
    about = MasterAbout(
        name=settings.slide or scan.folder.stem,
        um_per_px=scan.um_per_px,
        origin_um=_origin_um(scan, mosaic),
        details=_details(scan, stitching, mosaic),
    )
    write_master(
        scan.folder, mosaic.shape_px, mosaic.block, codec, about, lambda done, n: on_step("writing", done, n)
    )
    report = MasterReport(
        stitch=stitching.report,
        codec=codec,
        foretold_bytes=foretold,
        written_bytes=_bytes_in(scan.folder),
        tile_bytes=sum(tile.path.stat().st_size for tile in scan.tiles),
        stitch_s=stitched_s - began_s,
        write_s=time.monotonic() - stitched_s,
        seams=stitching.seams,
    )
    with whole_file(stitch_path(scan.folder)) as file:
        file.write(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    return report


def stitch_path(slide: Path) -> Path:
    """Where the report of a master lies, for the report of the slide."""
    return scan_folder(slide) / STITCH_NAME


def read_stitch(slide: Path) -> MasterReport | None:
    """How the master of a slide was made; None if that is not known."""
    try:
        return msgspec.json.decode(stitch_path(slide).read_bytes(), type=MasterReport)
    except (OSError, msgspec.MsgspecError):
        return None


def _check_room(slide: Path, foretold: int) -> None:
    needed, free = round(SPARE * foretold), free_bytes(slide)
    if needed > free:
        raise ConfigError(
            f"the master of {named(slide)} needs {sized(needed)}, but its disk has {sized(free)} left; nothing was "
            "written. Make room, or give `--codec jpeg`, which needs about an eighth."
        )


def _covered_px(scan: Scan, mosaic: Mosaic) -> int:
    """How much of the mosaic has tiles: chunks without any are not stored."""
    return min(math.prod(mosaic.shape_px), len(scan.tiles) * math.prod(scan.frame_px))


def _bytes_in(slide: Path) -> int:
    """The size of the levels of a master."""
    levels = [path for path in slide.iterdir() if path.name.isdecimal()]
    return sum(file.stat().st_size for level in levels for file in level.rglob("*") if file.is_file())


def _origin_um(scan: Scan, mosaic: Mosaic) -> tuple[float, float] | None:
    """X and Y of the stage at the middle of the first pixel; None where pixels do not run along the axes."""
    settings = scan.settings
    if settings.view_is_mirrored or abs(settings.view_angle_deg) > 1.0:
        return None
    centres_um = np.array([(tile.x_um, tile.y_um) for tile in scan.tiles])
    middles_px = mosaic.corners_px + (np.array(scan.frame_px) - 1) / 2.0
    x_um, y_um = np.median(centres_um - middles_px * scan.um_per_px, axis=0)
    return float(x_um), float(y_um)


def _details(scan: Scan, stitching: Stitching, mosaic: Mosaic) -> dict[str, Any]:
    """What goes into the attributes: where each tile came from, and with which instrument."""
    return {
        "format": FORMAT,
        "program_version": scan.about.program_version,
        "began_at": scan.about.began_at,
        "settings": scan.settings,
        "settings_digest": scan.about.settings_digest,
        "stitch": stitching.report,
        "tiles": [
            {
                "row": tile.row,
                "column": tile.column,
                "x_um": tile.x_um,
                "y_um": tile.y_um,
                "z_um": tile.z_um,
                "focus_um": tile.focus_um,
                "focus_sigma_um": tile.focus_sigma_um,
                "digest": tile.digest,
                "x_px": int(x),
                "y_px": int(y),
            }
            for tile, (x, y) in zip(scan.tiles, mosaic.corners_px, strict=True)
        ],
    }
