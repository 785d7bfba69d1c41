"""A scan of real size into a master and its exports: `python -m tests.bench.slide FOLDER`. Sizes, time, memory.

Tiles of real tissue of 1224 x 1024 px at 0.345 um per px, as in `tests/bench/stitch.py`, are written to FOLDER first.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from parfocal.edge.scan.tiles import Codec, read_scan
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.edge.slide.export import FORMS, export, export_path
from parfocal.edge.slide.master import make_master
from tests.edge.slide.made import write_scan
from tests.edge.stitch.cut import cut
from tests.stains import ihc

UM_PER_PX, SIZE_PX, GRID = 0.345, (1224, 1024), (10, 12)


def write_tiles(slide: Path, codec: Codec, grid: tuple[int, int] = GRID, overlap: float = 0.05) -> None:
    """The tiles of a scan, and its journal."""
    drawn = VirtualSlide(SlideImage(ihc(), 0.5), UM_PER_PX, 1)

    def source(x: int, y: int, w: int, h: int) -> np.ndarray:
        density = drawn.density((x + w / 2) * UM_PER_PX, (y + h / 2) * UM_PER_PX, (h, w))
        return np.asarray((240.0 * np.exp(-density)).transpose(1, 2, 0))

    scan = cut(source, grid, SIZE_PX, overlap, UM_PER_PX, 1, start_px=20000)
    write_scan(slide, scan, codec, "A1", SIZE_PX, UM_PER_PX)


def measured(slide: Path) -> dict[str, object]:
    """The master and all exports of a scan: sizes, processor time, memory of this process."""
    began_s = time.process_time()
    report = make_master(read_scan(slide))
    fit = report.stitch
    row: dict[str, object] = {
        "tiles": fit.tiles,
        "width_px": fit.width_px,
        "height_px": fit.height_px,
        "codec": report.codec,
        "master_over_tiles": report.written_bytes / report.tile_bytes,
        "master_over_foretold": report.written_bytes / report.foretold_bytes,
        "seams": fit.seams,
        "seams_used": fit.seams_used,
        "residual_px_median": fit.median_residual_px,
        "master_processor_ms_a_tile": 1000.0 * (time.process_time() - began_s) / fit.tiles,
    }
    for form in FORMS:
        began_s = time.process_time()
        done = export(slide, form, export_path(slide, form, None), 85)
        row[f"{form}_over_tiles"] = done.n_bytes / report.tile_bytes
        row[f"{form}_processor_ms_a_tile"] = 1000.0 * (time.process_time() - began_s) / fit.tiles
    row["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return row


def main() -> None:
    """Make the tiles in one call (`--tiles`), and the rest in another, so that its memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiles", choices=["png", "jpg"], help="write tiles in this form, and nothing else")
    parser.add_argument("--grid", type=int, nargs=2, default=GRID, metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--overlap", type=float, default=0.05)
    given = parser.parse_args()
    slide = given.folder / "slide.zarr"
    if given.tiles:
        write_tiles(slide, given.tiles, tuple(given.grid), given.overlap)
        return
    sys.stdout.write(json.dumps(measured(slide), indent=1) + "\n")


if __name__ == "__main__":
    main()
