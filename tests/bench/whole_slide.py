"""A whole slide with the shipped models: `python -m tests.bench.whole_slide`, into build/bench/whole_slide.json.

15 x 15 mm at 20x: four stains in its quarters, dust, empty glass, 30 um of tilt, a bend, waves of 3 mm, and one fold.
Plan and time are those of the whole. `--rows` of its rows are rendered and scanned, spread over it, since a tile takes
about a second to render; the microscope's time for the whole is told at their rate.
"""

import argparse
import contextlib
import json
import shutil
import sys
from datetime import datetime, timezone
from pathlib import Path

import cv2
import msgspec
import numpy as np

from parfocal.edge.calibration import PlayInUse
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.engine import checked_engine, checked_single_engine
from parfocal.edge.focus.depth import depth_of_field_um
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.continuous.plan import sweep_plan
from parfocal.edge.scan.tiling.job import Eyes, Request, ScanJob, Ways, settings_of, survey_points
from parfocal.edge.scan.tiling.plan import TilePlan, field_of, foretell, overlap_for, plan_tiles
from parfocal.edge.simscope.bench import Sample, in_virtual_time, stub_of
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.edge.tissue.area import rectangle
from tests.bench.scan import ORIGIN_UM, in_fold, smooth
from tests.stains import faint, h_and_e, ihc

SIDE_UM = 15_000.0
IMAGE_UM_PER_PX = 0.5
CONFIG = config_from_toml("[scan]\nflash_brightness = 340.0\n", "the bench")
PLAYS = tuple(PlayInUse(name, 20.0 if name == "z" else 60.0, 0.3) for name in ("x", "y", "z"))


def dusty(picture: UInt8Array, seed: int) -> UInt8Array:
    """The picture with a stripe of empty glass and grains of dust."""
    rng, made = np.random.default_rng(seed), picture.copy()
    made[:, :90] = 238
    for _ in range(6):
        x, y = (int(value) for value in rng.integers(0, len(made), 2))
        cv2.circle(made, (x, y), int(rng.integers(3, 12)), (60, 55, 50), -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(made, (0, 0), 0.6), np.uint8)


def sample(config: Config) -> Sample:
    """Four stains by the quarter, each field in one of them."""
    camera = config.camera
    stains = (ihc(), h_and_e(), faint(), np.ascontiguousarray(ihc()[..., ::-1]))
    scenes = [
        Scene(
            VirtualSlide(SlideImage(dusty(stain, k), IMAGE_UM_PER_PX), camera.um_per_px, k),
            Optics(um_per_px=camera.um_per_px),
            (camera.height_px, camera.width_px),
            k,
        )
        for k, stain in enumerate(stains)
    ]

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        right, low = (
            int(at > zero + SIDE_UM / 2.0) for at, zero in zip((x_um, y_um), ORIGIN_UM, strict=True)
        )
        away_um = z_um - smooth(x_um, y_um)
        return scenes[2 * low + right].shot(x_um, y_um, away_um, duty / config.scan.lamp_duty)

    return Sample(render, smooth)


def part_of(plan: TilePlan, n_rows: int) -> TilePlan:
    """Pairs of neighbouring rows, spread over the plan."""
    last = plan.tiles[-1].row
    firsts = np.linspace(0.15 * last, 0.85 * last, max(1, n_rows // 2)).round().astype(int)
    rows = {int(first) + k for first in firsts for k in (0, 1)}
    return msgspec.structs.replace(plan, tiles=tuple(tile for tile in plan.tiles if tile.row in rows))


def measured(n_rows: int, continuous: bool, folder: Path) -> dict[str, object]:
    """Scan some rows and sum them up."""
    field_um = field_of(CONFIG.camera, CONFIG.camera.um_per_px)
    x_um, y_um = ORIGIN_UM
    area = rectangle(x_um, y_um, x_um + SIDE_UM, y_um + SIDE_UM)
    whole = plan_tiles(area, CONFIG, field_um, overlap_for(PLAYS, CONFIG, field_um))
    part = part_of(whole, n_rows)
    sweeps = sweep_plan(whole, CONFIG, PLAYS) if continuous else None
    eyes = Eyes(checked_engine(CONFIG).predictor, checked_single_engine(CONFIG).predictor)
    out = folder / "whole.zarr"
    shutil.rmtree(out, ignore_errors=True)
    with in_virtual_time(sample(CONFIG), CONFIG, stub_of(CONFIG, 1)) as opened:
        instrument = msgspec.structs.replace(opened, plays=PLAYS)
        request = Request("whole", "jpg", part, continuous)
        settings = settings_of(request, instrument, CONFIG, eyes)
        job = ScanJob(out, request, settings, datetime.now(timezone.utc), "bench")
        with contextlib.closing(job):
            surveyed_s = -instrument.clock.now_s()
            list(job.survey(instrument, eyes, CONFIG, survey_points(part, CONFIG, None, 2000.0)))
            surveyed_s += instrument.clock.now_s()
            surface = job.kept_surface()
            assert surface is not None
            scan_s = -instrument.clock.now_s()
            done = []
            for tile in job.tiles(instrument, eyes, CONFIG, surface, Ways(sweeps=sweeps)):
                done.append(tile)
                if len(done) % 20 == 0:
                    sys.stderr.write(f"{len(done)} of {len(part.tiles)}\n")
            scan_s += instrument.clock.now_s()
    outside = [d for d in done if d.tile.tissue and not in_fold(d.tile.x_um, d.tile.y_um)]
    off = np.array([abs(d.error_um or 0.0) for d in outside])
    depth_um = depth_of_field_um(CONFIG.focus.objective)
    return {
        "whole_tiles": len(whole.tiles),
        "whole_limit_s": foretell(whole, CONFIG, 0.15).limit_s,
        "whole_planned_s": sweeps.scan_s if sweeps else foretell(whole, CONFIG, 0.15).scan_s,
        "scanned": len(done),
        "tissue": sum(d.tile.tissue for d in done),
        "survey_s": surveyed_s,
        "leave_one_out_um": surface.error.rms_um,
        "scan_s": scan_s,
        "whole_s_at_this_rate": scan_s * len(whole.tiles) / len(done),
        "focused_anew": sum(d.tile.reason is not None for d in done),
        "uneven": sum(d.tile.uneven for d in done),
        "mean_error_um": float(off.mean()),
        "p95_error_um": float(np.percentile(off, 95)),
        "within_depth_of_field": float((off <= depth_um).mean()),
        "worst": sorted(
            ((round(d.error_um or 0.0, 2), d.tile.reason) for d in outside), key=lambda e: -abs(e[0])
        )[:6],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--continuous", action="store_true")
    given = parser.parse_args()
    folder = Path("build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    result = measured(given.rows, given.continuous, folder)
    name = "whole_slide_continuous" if given.continuous else "whole_slide"
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1))
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
