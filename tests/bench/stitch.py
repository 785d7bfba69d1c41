"""Stitching against truth: `python -m tests.bench.stitch`. Prints the errors of position and the time.

Tiles of real tissue (continued by its mirror image, with blank areas) at 0.345 um per px, seen by a camera with noise
and dark corners. The stage errs by +-50 um slowly and by 2 um, at most 5, from step to step.
"""

import argparse
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


def main() -> None:
    """Stitch once for each stain and overlap asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", type=int, nargs=2, default=(8, 10), metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--size-px", type=int, nargs=2, default=(1224, 1024))
    parser.add_argument("--overlap", type=float, nargs="+", default=[0.05, 0.10, 0.20])
    parser.add_argument("--stain", nargs="+", default=[*STAINS], choices=[*STAINS])
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for stain in given.stain:
        slide = VirtualSlide(SlideImage(STAINS[stain](), 0.5), UM_PER_PX, given.seed)

        def source(x: int, y: int, w: int, h: int, slide: VirtualSlide = slide) -> np.ndarray:
            density = slide.density((x + w / 2) * UM_PER_PX, (y + h / 2) * UM_PER_PX, (h, w))
            return np.asarray((240.0 * np.exp(-density)).transpose(1, 2, 0))

        for overlap in given.overlap:
            scan = cut(
                source,
                tuple(given.grid),
                tuple(given.size_px),
                overlap,
                UM_PER_PX,
                given.seed,
                start_px=20000,
            )
            view = View(UM_PER_PX)
            registration = Registration(
                scan.places, view, tuple(given.size_px), reach_um=REACH_SIGMAS * Trust().step_um
            )
            spent_s = 0.0
            for k in range(len(scan.places)):
                tile = scan.tile(k)
                began = time.process_time()
                registration.add(k, tile)
                spent_s += time.process_time() - began
            began = time.process_time()
            links, threshold = registration.links()
            learned_s = time.process_time() - began
            began = time.process_time()
            nominal = nominal_px(scan.places, view)
            solution = solved(scan.places, nominal, links, Trust(), UM_PER_PX)
            solved_s = time.process_time() - began
            errors = errors_px(solution.corners_px, scan.true_px)
            steps = np.array([scan.true_px[n.second] - scan.true_px[n.first] for n in links])
            off = np.hypot(*(np.array([n.offset_px for n in links]) - steps).T)
            believed = np.array([n.is_believed for n in links])
            used = np.array(solution.is_used)
            by_stage = errors_px(nominal, scan.true_px)
            sys.stdout.write(
                f"{stain}, overlap {overlap:.0%}: error median {np.median(errors):.2f} px, "
                f"p95 {np.percentile(errors, 95):.2f}, worst {errors.max():.2f} "
                f"(stage alone {np.median(by_stage):.0f}); {len(links)} links, {believed.sum()} believed "
                f"(of these wrong by 2 px: {(off[believed] > 2).sum()}), {used.sum()} used "
                f"(wrong: {(off[used] > 2).sum()}), median error of a used link {np.median(off[used]):.3f} px; "
                f"correlation needed {threshold:.2f}; "
                f"{1000 * spent_s / len(scan.places):.0f} ms of CPU a tile, "
                f"strangers {learned_s:.1f} s, solving {solved_s:.2f} s\n"
            )


if __name__ == "__main__":
    main()
