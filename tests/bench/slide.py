"""A scan of real size into a master and its exports: `python -m tests.bench.slide FOLDER`. Sizes, time, memory.

Tiles of real tissue of 1224 x 1024 px at 0.345 um per px, as in `tests/bench/stitch.py`, are written to FOLDER first.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

from parfocal.edge.scan.tiles import read_scan
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.edge.slide.export import FORMS, export, export_path
from parfocal.edge.slide.master import make_master
from tests.edge.slide.made import write_scan
from tests.edge.stitch.cut import cut
from tests.stains import ihc

UM_PER_PX, SIZE_PX = 0.345, (1224, 1024)


def main() -> None:
    """Make the tiles in one call (`--tiles`), and the rest in another, so that its memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiles", choices=["png", "jpg"], help="write tiles in this form, and nothing else")
    parser.add_argument("--grid", type=int, nargs=2, default=(10, 12), metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--overlap", type=float, default=0.05)
    given = parser.parse_args()
    slide = given.folder / "slide.zarr"
    if given.tiles:
        drawn = VirtualSlide(SlideImage(ihc(), 0.5), UM_PER_PX, 1)

        def source(x: int, y: int, w: int, h: int) -> np.ndarray:
            density = drawn.density((x + w / 2) * UM_PER_PX, (y + h / 2) * UM_PER_PX, (h, w))
            return np.asarray((240.0 * np.exp(-density)).transpose(1, 2, 0))

        scan = cut(source, tuple(given.grid), SIZE_PX, given.overlap, UM_PER_PX, 1, start_px=20000)
        write_scan(slide, scan, given.tiles, "A1", SIZE_PX, UM_PER_PX)
        return
    began = time.process_time()
    report = make_master(read_scan(slide))
    fit = report.stitch
    sys.stdout.write(
        f"{fit.tiles} tiles, {fit.width_px} x {fit.height_px} px: master {report.codec}, {report.written_bytes} bytes, "
        f"{report.written_bytes / report.tile_bytes:.2f} of the tiles, "
        f"{report.written_bytes / report.foretold_bytes:.2f} of what was foretold; {fit.seams_used} of {fit.seams} "
        f"seams used, residual {fit.median_residual_px} px; "
        f"{1000 * (time.process_time() - began) / fit.tiles:.0f} ms of CPU a tile; {_peak_mb()} MB\n"
    )
    for form in FORMS:
        began = time.process_time()
        done = export(slide, form, export_path(slide, form, None), 85)
        sys.stdout.write(
            f"{form}: {done.n_bytes} bytes, {done.n_bytes / report.tile_bytes:.2f} of the tiles; "
            f"{1000 * (time.process_time() - began) / fit.tiles:.0f} ms of CPU a tile; {_peak_mb()} MB\n"
        )


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
