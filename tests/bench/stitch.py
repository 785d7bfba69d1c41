"""Stitching against truth: `python -m tests.bench.stitch`. Prints the errors of position and the time, as JSON.

Tiles of real tissue (continued by its mirror image, with blank areas) at 0.345 um per px, seen by a camera with noise
and dark corners. The stage errs by +-50 um slowly and by 2 um, at most 5, from step to step.
"""

import argparse
import json
import sys
import time

import numpy as np

from parfocal.calib.camera.view import View
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.edge.stitch.layout import nominal_px
from parfocal.edge.stitch.links import Registration
from parfocal.edge.stitch.solve import Trust, solved
from parfocal.edge.stitch.stitching import REACH_SIGMAS
from tests.edge.stitch.cut import cut, errors_px
from tests.stains import faint, h_and_e, ihc

UM_PER_PX = 0.345
STAINS = {"ihc": ihc, "h_and_e": h_and_e, "faint": faint}
GRID, SIZE_PX = (8, 9), (1224, 1024)
WRONG_PX = 2.0


def measured(
    stain: str,
    overlap: float,
    grid: tuple[int, int] = GRID,
    size_px: tuple[int, int] = SIZE_PX,
    seed: int = 1,
) -> dict[str, object]:
    """Stitch tiles of one stain and overlap, and hold their places against the truth. Errors in px."""
    slide = VirtualSlide(SlideImage(STAINS[stain](), 0.5), UM_PER_PX, seed)

    def source(x: int, y: int, w: int, h: int) -> np.ndarray:
        density = slide.density((x + w / 2) * UM_PER_PX, (y + h / 2) * UM_PER_PX, (h, w))
        return np.asarray((240.0 * np.exp(-density)).transpose(1, 2, 0))

    scan = cut(source, grid, size_px, overlap, UM_PER_PX, seed, start_px=20000)
    view = View(UM_PER_PX)
    registration = Registration(scan.places, view, size_px, reach_um=REACH_SIGMAS * Trust().step_um)
    spent_s = 0.0
    for k in range(len(scan.places)):
        tile = scan.tile(k)
        began_s = time.process_time()
        registration.add(k, tile)
        spent_s += time.process_time() - began_s
    began_s = time.process_time()
    links, threshold = registration.links()
    learned_s = time.process_time() - began_s
    began_s = time.process_time()
    nominal = nominal_px(scan.places, view)
    solution = solved(scan.places, nominal, links, Trust(), UM_PER_PX)
    solved_s = time.process_time() - began_s
    errors = errors_px(solution.corners_px, scan.true_px)
    steps = np.array([scan.true_px[n.second] - scan.true_px[n.first] for n in links])
    off = np.hypot(*(np.array([n.offset_px for n in links]) - steps).T)
    believed, used = np.array([n.is_believed for n in links]), np.array(solution.is_used)
    return {
        "tiles": len(scan.places),
        "error_px_median": float(np.median(errors)),
        "error_px_p95": float(np.percentile(errors, 95)),
        "error_px_max": float(errors.max()),
        "by_stage_alone_px_median": float(np.median(errors_px(nominal, scan.true_px))),
        "seams": len(links),
        "believed": int(believed.sum()),
        "believed_wrong": int((off[believed] > WRONG_PX).sum()),
        "used": int(used.sum()),
        "used_wrong": int((off[used] > WRONG_PX).sum()),
        "used_error_px_median": float(np.median(off[used])),
        "needed_correlation": threshold,
        "processor_ms_a_tile": 1000.0 * spent_s / len(scan.places),
        "strangers_s": learned_s,
        "solving_s": solved_s,
    }


def main() -> None:
    """Stitch once for each stain and overlap asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", type=int, nargs=2, default=GRID, metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--size-px", type=int, nargs=2, default=SIZE_PX)
    parser.add_argument("--overlap", type=float, nargs="+", default=[0.05, 0.10, 0.20])
    parser.add_argument("--stain", nargs="+", default=[*STAINS], choices=[*STAINS])
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for stain in given.stain:
        for overlap in given.overlap:
            row = measured(stain, overlap, tuple(given.grid), tuple(given.size_px), given.seed)
            sys.stdout.write(json.dumps({f"{stain}, overlap {overlap:.0%}": row}, indent=1) + "\n")


if __name__ == "__main__":
    main()
