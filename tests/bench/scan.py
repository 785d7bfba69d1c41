"""A scan against its physical limit: `python -m tests.bench.scan`. Prints figures as JSON; scan_rows.py keeps them.

15 x 15 mm at 20x on the stage of the paper, in the microscope's time, over two focal surfaces: a smooth one (30 um of
tilt, a bend, waves of 3 mm, one fold) and the stepped one of the virtual slide. The field is the real one, 422 x 353
um, its pictures have 306 x 256 px, blur is Gaussian, and the models know the truth but for the noise of the real ones.
So time, journal and decisions are those of a scan, and the pictures are not. Each is scanned with stops and without:
a flash of 14 us at 6.1 mm/s, with the play of the gears measured, along the axis that takes less time. `--flash 600`
sweeps with a flash that is 600 times as bright as the steady lamp instead of 340. With `--side-mm` or `--high-mm` below
15 a smaller region is scanned, and the time for 15 x 15 mm is told at its rate. `--surface` takes one surface only;
"waves" is the smooth one without its fold.
"""

import argparse
import contextlib
import json
import math
import resource
import shutil
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.focus.uneven import crispness
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.scan.continuous.plan import quicker_plan, sweep_plan
from parfocal.edge.scan.tiling.job import Request, ScanJob, Ways, settings_of, survey_points
from parfocal.edge.scan.tiling.plan import field_of, foretell, overlap_for, plan_tiles
from parfocal.edge.scan.tiling.scanner import TileDone
from parfocal.edge.simscope.surface import FocusSurface
from parfocal.edge.tissue.area import rectangle
from tests.edge.scan.tiling.small_slide import CENTRE_UM, FOCUS_Z_UM, Focus, SmallSlide, drawn

CONFIG = config_from_toml(
    "[camera]\nwidth_px = 306\nheight_px = 256\num_per_px = 1.38\n[focus]\npatch_px = 56\n"
    "first_sweep_start_um = 2440.0\nfirst_sweep_stop_um = 2560.0\n"
    "[scan]\nflash_brightness = 85.0\n",
    "the bench",
)
# How many times brighter than the steady lamp the flash is: assumed, no lamp was measured. Large pixels may blur four
# times as much, so a quarter of it gives the speed of the real camera.
FLASH, BRIGHTER_FLASH = 340.0, 600.0
PLAYS = tuple(PlayInUse(name, 20.0 if name == "z" else 60.0, 0.45) for name in ("x", "y", "z"))
ORIGIN_UM = (20_000.0, 5_000.0)
FOLD_UM = 250.0
# Pictures are four times as coarse as those of the real camera, and so are the cells in which folds are looked for.
CELL_PX = 16
SURFACES = ("smooth", "waves", "stepped")


def smooth(x_um: float, y_um: float) -> float:
    """The same with a fold 6 um high across the slide."""
    return waves(x_um, y_um) + (6.0 if in_fold(x_um, y_um) else 0.0)


def waves(x_um: float, y_um: float) -> float:
    """30 um of tilt over 15 mm, a bend, and waves of 3 mm and 0.5 um."""
    x_mm, y_mm = (x_um - ORIGIN_UM[0]) / 1000.0, (y_um - ORIGIN_UM[1]) / 1000.0
    tilt_um = 1.6 * (x_mm - 7.5) + 1.2 * (y_mm - 7.5)
    bend_um = 0.05 * ((x_mm - 7.5) ** 2 + (y_mm - 7.5) ** 2)
    waves_um = 0.25 * (math.sin(2.0 * math.pi * x_mm / 3.0) + math.sin(2.0 * math.pi * y_mm / 3.0))
    return FOCUS_Z_UM + tilt_um + bend_um + waves_um


def in_fold(x_um: float, y_um: float) -> bool:
    """Whether a place lies on the fold."""
    return abs((x_um - ORIGIN_UM[0]) - 0.5 * (y_um - ORIGIN_UM[1]) - 3_000.0) < FOLD_UM


class LargeSlide(SmallSlide):
    """The drawn tissue, again and again, with islands of glass."""

    def render(self, x_um: float, y_um: float, z_um: float, duty: float) -> NDArray[np.uint8]:
        """A picture at a true position."""
        self.exposed_um.append((x_um, y_um, z_um))
        camera, side_px = self.config.camera, len(self._pixels)
        top, left = (round(at_um / camera.um_per_px) for at_um in (y_um, x_um))
        rows = np.arange(top, top + camera.height_px) % side_px
        columns = np.arange(left, left + camera.width_px) % side_px
        sharp = self._pixels[rows][:, columns]
        away_um = abs(z_um - self.focus(x_um, y_um))
        shown = cv2.GaussianBlur(sharp, (0, 0), 0.2 + 0.5 * min(away_um, 20.0)).astype(np.float32)
        return np.clip(
            np.rint(shown * (duty / self.config.scan.lamp_duty) + self._fresh_noise()), 0, 255
        ).astype(np.uint8)


def measured(
    name: str,
    focus: Focus,
    side_mm: float,
    high_mm: float,
    folder: Path,
    continuous: bool = False,
    flash: float = FLASH,
) -> dict[str, object]:
    """Scan a square and sum it up."""
    pixels = drawn(7, 1200)
    config = msgspec.structs.replace(
        CONFIG, scan=msgspec.structs.replace(CONFIG.scan, flash_brightness=flash / 4.0)
    )
    slide = LargeSlide(focus=focus, pixels=pixels, single_sigma_um=0.3, config=config)
    out = folder / f"scan-{name}.zarr"
    shutil.rmtree(out, ignore_errors=True)
    field_um = field_of(config.camera, config.camera.um_per_px)
    overlap = overlap_for(PLAYS, Config(), field_um)  # that of the real camera
    x_um, y_um = ORIGIN_UM
    area = rectangle(x_um, y_um, x_um + 1000.0 * side_mm, y_um + 1000.0 * high_mm)
    whole_area = rectangle(x_um, y_um, x_um + 15e3, y_um + 15e3)
    plan, whole = (
        quicker_plan(each, config, field_um, overlap, PLAYS)
        if continuous
        else plan_tiles(each, config, field_um, overlap)
        for each in (area, whole_area)
    )
    foretold = foretell(plan, config, 0.75, PLAYS)
    sweeps = sweep_plan(plan, config, PLAYS) if continuous else None
    began_s = time.monotonic()
    with slide.instrument(plays=PLAYS) as instrument:
        request = Request(name, "png", plan)
        settings = settings_of(request, instrument, config, slide.eyes)
        job = ScanJob(out, request, settings, datetime.now(timezone.utc), "bench")
        with contextlib.closing(job):
            survey_began_s = instrument.clock.now_s()
            points = survey_points(plan, config, None, 1000.0)
            list(job.survey(instrument, slide.eyes, config, points))
            scan_began_s = instrument.clock.now_s()
            surface = job.kept_surface()
            assert surface is not None
            done: list[TileDone] = []
            for tile in job.tiles(instrument, slide.eyes, config, surface, Ways(sweeps=sweeps)):
                done.append(tile)
                if len(done) % 200 == 0:
                    sys.stderr.write(f"{name}: {len(done)} of {len(plan.tiles)}\n")
            ended_s = instrument.clock.now_s()
    depth_um = depth_of_field_um(config.focus.objective)
    off = np.array([abs(d.error_um or 0.0) for d in done if d.tile.tissue])
    once = [d for d in done if d.tile.reason is None]
    again_s = sum(d.tile.elapsed_s for d in done if d.tile.reason is not None)
    scan_s = ended_s - scan_began_s
    limit_each_s = foretold.limit_s / len(done)
    return {
        "tiles": len(done),
        "speed_mm_per_s": sweeps.speed_um_per_s / 1000.0 if sweeps else None,
        "planned_s": sweeps.scan_s if sweeps else foretold.scan_s,
        "whole_15_mm_planned_s": sweep_plan(whole, config, PLAYS).scan_s if sweeps else None,
        "whole_15_mm_s": scan_s * len(whole.tiles) / len(plan.tiles),
        "rows_along": plan.along,
        "tissue": len(off),
        "overlap": overlap,
        "survey_points": len(points),
        "survey_s": scan_began_s - survey_began_s,
        "leave_one_out_um": surface.error.rms_um,
        "scan_s": scan_s,
        "limit_s": foretold.limit_s,
        "scan_over_limit": scan_s / foretold.limit_s,
        "tiles_taken_once_over_limit": sum(d.tile.elapsed_s for d in once) / (limit_each_s * len(once)),
        "focused_anew": len(done) - len(once),
        "focused_anew_s": again_s,
        "taken_again": sum(d.tile.retaken for d in done),
        "uneven": sum(d.tile.uneven for d in done),
        "mean_error_um": float(off.mean()),
        "p95_error_um": float(np.percentile(off, 95)),
        "within_depth_of_field": float((off <= depth_um).mean()),
        "wall_s": time.monotonic() - began_s,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000.0,
    }


def row_of(
    surface: str, side_mm: float, high_mm: float, folder: Path, continuous: bool, flash: float = FLASH
) -> dict[str, object]:
    """Scan over one of `SURFACES`. `flash`: how bright it is, times the steady lamp."""
    setattr(crispness, "CELL_PX", CELL_PX)  # noqa: B010  # it is a constant of the product
    stepped = FocusSurface(1, CENTRE_UM[0], CENTRE_UM[1], FOCUS_Z_UM)
    focus = {"smooth": smooth, "waves": waves, "stepped": stepped.z_um}[surface]
    name = f"{surface}-{'swept' if continuous else 'stops'}{'-bright' * (flash > FLASH)}"
    return measured(name, focus, side_mm, high_mm, folder, continuous, flash)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side-mm", type=float, default=15.0)
    parser.add_argument("--high-mm", type=float, help="height of the region, where it is not a square")
    parser.add_argument("--only", choices=("stops", "continuous"))
    parser.add_argument("--surface", choices=SURFACES)
    parser.add_argument("--flash", type=float, default=FLASH, help="how bright it is, times the steady lamp")
    given = parser.parse_args()
    folder = Path("build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    for surface in SURFACES:
        for continuous in (False, True):
            if given.surface in (None, surface) and given.only in (
                None,
                "continuous" if continuous else "stops",
            ):
                high_mm = given.high_mm or given.side_mm
                row = row_of(surface, given.side_mm, high_mm, folder, continuous, given.flash)
                sys.stdout.write(
                    json.dumps({f"{surface}{', continuous' * continuous}": row}, indent=1) + "\n"
                )


if __name__ == "__main__":
    main()
