"""A whole slide with the shipped models: `python -m tests.bench.whole_slide`, into build/bench/whole_slide.json.

15 x 15 mm at 20x: four stains in its quarters, dust, empty glass, 30 um of tilt, a bend, waves of 3 mm, and one fold
whose edges lie inside of fields. Plan and time are those of the whole. `--parts` pairs of its rows, spread over it, are
rendered and scanned, since a tile takes about a second to render; the microscope's time for the whole is told at their
rate. A part that is finished is kept in build/bench/whole_slide/, so the bench goes on where it was stopped; `--only K`
does one part. `--stepped` takes the stepped surface of the virtual slide.

`--whole` scans all of it, as much as `--minutes` of processor time allow, and goes on with the same scan when it is
started again, as `parfocal scan --resume` does. The scan stays in build/bench/whole_slide/whole.zarr, to be stitched.

`--flash 600` sweeps with a flash that is 600 times as bright as the steady lamp instead of 340, `--frames-per-s 60`
gives the camera another frame rate. With `--computing` the microscope waits for what is computed for each tile, as long
as that takes on this machine.

`limit_s` is one picture a tile: X/Y, settling, exposure. A folded tile needs more, since
nothing but planes through its heights shows that it has no single focus: `limit_with_folds_s` adds a plane a depth of
field.
"""

import argparse
import contextlib
import json
import math
import shutil
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from parfocal.board.motion.profile import Trapezoid
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.engine import checked_engine, checked_single_engine
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.measured.trigger_in_use import TriggerInUse
from parfocal.edge.scan.continuous.plan import quicker_plan, sweep_plan
from parfocal.edge.scan.continuous.survey import sweeps_if_quicker
from parfocal.edge.scan.tiles import read_scan
from parfocal.edge.scan.tiling.job import Eyes, ScanJob, Ways, settings_of
from parfocal.edge.scan.tiling.plan import TilePlan, field_of, foretell, overlap_for, plan_tiles
from parfocal.edge.scan.tiling.points import survey_points
from parfocal.edge.scan.tiling.request import Request
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.simscope.bench import in_virtual_time, stub_of
from parfocal.edge.simscope.surface import FocusSurface
from parfocal.edge.tissue.area import rectangle
from tests.bench.charged import computing_charged
from tests.bench.rendered_slide import (
    FOLD_HIGH_UM,
    SIDE_UM,
    sample,
    share_of_tissue_on_fold,
    share_on_fold,
)
from tests.bench.scan import ORIGIN_UM
from tests.edge.scope import with_camera, with_scan

# Less of a tile's tissue than this on the fold, or beside it, is not counted as folded: a strip of 0.04 mm.
FOLD_SHARE = 0.10
CONFIG = config_from_toml("[scan]\nflash_brightness = 340.0\n", "the bench")
# As `parfocal calibrate trigger --sim` measures it.
TRIGGER = TriggerInUse(
    0.00009, 0.00004, 0.00795, datetime(2026, 11, 28, tzinfo=timezone.utc), exposed_s=0.00809
)
PLAYS = tuple(PlayInUse(name, 20.0 if name == "z" else 60.0, 0.3) for name in ("x", "y", "z"))


def planes_s() -> float:
    """The least time of the planes of a folded tile, a depth of field apart from its lowest to its highest focus, s."""
    depth_um, camera, z = depth_of_field_um(CONFIG.focus.objective), CONFIG.camera, CONFIG.board.z
    steps = round(depth_um / z.um_per_step)
    moved = Trapezoid(steps, z.speed_um_per_s / z.um_per_step, z.accel_um_per_s2 / z.um_per_step)
    each_s = moved.duration_s + z.settle_s + camera.exposure_s
    return (math.ceil(FOLD_HIGH_UM / depth_um) + 1) * each_s


def part_of(plan: TilePlan, part: int, n_parts: int) -> TilePlan:
    """A pair of neighbouring rows, one of `n_parts` that are spread over the plan."""
    numbers = {tile: tile.row if plan.along == "x" else tile.column for tile in plan.tiles}
    last = max(numbers.values())
    first = round(float(np.linspace(0.1 * last, 0.9 * last, max(2, n_parts))[part]))
    return msgspec.structs.replace(
        plan, tiles=tuple(tile for tile in plan.tiles if numbers[tile] in (first, first + 1))
    )


def survey(
    job: ScanJob, instrument: Instrument, eyes: Eyes, plan: TilePlan, given: argparse.Namespace
) -> None:
    """Survey the tiles of a plan, as `parfocal scan` does."""
    config: Config = given.config
    points = survey_points(plan, config)
    sweeps = sweeps_if_quicker(points, config, eyes.single, PLAYS) if given.continuous else None
    list(job.survey(instrument, eyes, config, points, sweeps))


def go_on(given: argparse.Namespace, folder: Path) -> None:
    """Scan on in the whole slide for a while, and note each tile."""
    config: Config = given.config
    plan, noted = whole_plan(config, given.continuous), folder / "whole.jsonl"
    sweeps = sweep_plan(plan, config, PLAYS) if given.continuous else None
    surface = FocusSurface(1, *ORIGIN_UM, 2500.0) if given.stepped else None
    eyes = Eyes(checked_engine(config).predictor, checked_single_engine(config).predictor)
    until_s = time.process_time() + 60.0 * given.minutes
    with (
        noted.open("a") as notes,
        in_virtual_time(sample(config, surface), config, stub_of(config, 1)) as opened,
    ):
        instrument = msgspec.structs.replace(opened, plays=PLAYS, trigger=TRIGGER)
        request = Request("whole", "jpg", plan, given.continuous)
        settings = settings_of(request, instrument, config, eyes)
        job = ScanJob(folder / "whole.zarr", request, settings, datetime.now(timezone.utc), "bench")
        with contextlib.closing(job):
            before_s = instrument.clock.now_s()
            if job.kept_surface() is None:
                survey(job, instrument, eyes, plan, given)
                notes.write(json.dumps({"survey_s": instrument.clock.now_s() - before_s}) + "\n")
            fitted, is_first = job.kept_surface(), bool(job.finished)
            assert fitted is not None
            computing: contextlib.AbstractContextManager[list[float]] = contextlib.nullcontext([])
            if given.computing:
                computing = computing_charged(instrument.clock)
            tiles = job.tiles(instrument, eyes, config, fitted, Ways(sweeps=sweeps))
            before_s = instrument.clock.now_s()
            with computing as computed_s, contextlib.closing(tiles) as run:
                for done in run:
                    # Before the first tile of a session the slide is found again.
                    now_s = instrument.clock.now_s()
                    spent_s = done.tile.elapsed_s if is_first else now_s - before_s
                    before_s, is_first = now_s, False
                    notes.write(json.dumps(noted_tile(done, spent_s, given.stepped)) + "\n")
                    if time.process_time() > until_s:
                        break
            notes.write(json.dumps({"computed_s": sum(computed_s)}) + "\n")


def noted_tile(done: TileDone, spent_s: float, stepped: bool) -> dict[str, object]:
    """What is kept of one tile."""
    tile = done.tile
    return {
        "place": [tile.row, tile.column],
        "spent_s": spent_s,
        "tissue": tile.tissue,
        "uneven": tile.uneven,
        "measured": tile.focus_um is not None,
        "reason": tile.reason,
        "retaken": tile.retaken,
        "error_um": abs(done.error_um or 0.0),
        "on_fold": 0.0 if stepped else share_on_fold(tile.x_um, tile.y_um),
    }


def whole_so_far(folder: Path, config: Config, continuous: bool) -> dict[str, object]:
    """The whole slide as far as it was scanned."""
    lines = [json.loads(line) for line in (folder / "whole.jsonl").read_text().splitlines()]
    tiles = list({tuple(line["place"]): line for line in lines if "place" in line}.values())
    whole = whole_plan(config, continuous)
    foretold = foretell(whole, config, 0.15, PLAYS, is_triggered=True)
    tissue = [tile for tile in tiles if tile["tissue"]]
    even = [tile for tile in tissue if tile["on_fold"] in (0.0, 1.0)]
    pictures = {(tile.row, tile.column): tile for tile in read_scan(folder / "whole.zarr").tiles}
    folded = [
        tile
        for tile in tissue
        if 0.0 < tile["on_fold"] < 1.0
        and FOLD_SHARE < share_of_tissue_on_fold(pictures[tuple(tile["place"])]) < 1.0 - FOLD_SHARE
    ]
    counted_um = np.array([tile["error_um"] for tile in even if not tile["uneven"]])
    scan_s = sum(tile["spent_s"] for tile in tiles)
    limit_s = foretold.limit_s * len(tiles) / len(whole.tiles)
    depth_um = depth_of_field_um(config.focus.objective)
    return {
        "planned": len(whole.tiles),
        "scanned": len(tiles),
        "tissue": len(tissue),
        "survey_s": sum(line.get("survey_s", 0.0) for line in lines),
        "computed_s": sum(line.get("computed_s", 0.0) for line in lines),
        "scan_s": scan_s,
        "limit_s": limit_s,
        "planned_s": sweep_plan(whole, config, PLAYS).scan_s if continuous else foretold.scan_s,
        "over_limit": scan_s / limit_s,
        "limit_with_folds_s": limit_s + len(folded) * planes_s(),
        "over_limit_with_folds": scan_s / (limit_s + len(folded) * planes_s()),
        "focused_anew": sum(tile["reason"] is not None for tile in tiles),
        "focused_anew_s": sum(tile["spent_s"] for tile in tiles if tile["reason"] is not None),
        "even": len(even),
        "even_called_uneven": sum(tile["uneven"] for tile in even),
        "even_lost": int((counted_um > depth_um).sum()),
        "folded": len(folded),
        "folded_called_uneven": sum(tile["uneven"] for tile in folded),
        "folded_lost": sum(tile["measured"] and tile["error_um"] > depth_um for tile in folded),
        "unmeasured": sum(not (tile["measured"] or tile["uneven"]) for tile in tissue),
        "unmeasured_out_of_focus": sum(
            not (tile["measured"] or tile["uneven"]) and tile["error_um"] > depth_um for tile in tissue
        ),
        "mean_error_um": float(counted_um.mean()),
        "p95_error_um": float(np.percentile(counted_um, 95)),
        "within_depth_of_field": float((counted_um <= depth_um).mean()),
    }


def measured(part: int, given: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Scan one part and sum it up."""
    config: Config = given.config
    whole = whole_plan(config, given.continuous)
    plan = part_of(whole, part, given.parts)
    sweeps = sweep_plan(whole, config, PLAYS) if given.continuous else None
    surface = FocusSurface(1, *ORIGIN_UM, 2500.0) if given.stepped else None
    eyes = Eyes(checked_engine(config).predictor, checked_single_engine(config).predictor)
    out = folder / f"part-{part}.zarr"
    shutil.rmtree(out, ignore_errors=True)
    began_s = time.process_time()
    with in_virtual_time(sample(config, surface), config, stub_of(config, 1)) as opened:
        instrument = msgspec.structs.replace(opened, plays=PLAYS, trigger=TRIGGER)
        request = Request("whole", "jpg", plan, given.continuous)
        settings = settings_of(request, instrument, config, eyes)
        job = ScanJob(out, request, settings, datetime.now(timezone.utc), "bench")
        with contextlib.closing(job):
            surveyed_s = -instrument.clock.now_s()
            survey(job, instrument, eyes, plan, given)
            surveyed_s += instrument.clock.now_s()
            fitted = job.kept_surface()
            assert fitted is not None
            scan_s = -instrument.clock.now_s()
            done = list(job.tiles(instrument, eyes, config, fitted, Ways(sweeps=sweeps)))
            scan_s += instrument.clock.now_s()
    depth_um = depth_of_field_um(config.focus.objective)
    tissue = [d for d in done if d.tile.tissue]
    share = {d: 0.0 if given.stepped else share_on_fold(d.tile.x_um, d.tile.y_um) for d in tissue}
    even = [d for d in tissue if share[d] in (0.0, 1.0)]
    folded = [
        d
        for d in tissue
        if 0.0 < share[d] < 1.0 and FOLD_SHARE < share_of_tissue_on_fold(d.tile) < 1.0 - FOLD_SHARE
    ]
    shutil.rmtree(out)
    return {
        "scanned": len(done),
        "tissue": len(tissue),
        "survey_s": surveyed_s,
        "leave_one_out_um": fitted.error.rms_um,
        "scan_s": scan_s,
        "focused_anew": sum(d.tile.reason is not None for d in done),
        "even": len(even),
        "even_called_uneven": sum(d.tile.uneven for d in even),
        "even_errors_um": [round(abs(d.error_um or 0.0), 3) for d in even if not d.tile.uneven],
        "even_lost": sum(not d.tile.uneven and abs(d.error_um or 0.0) > depth_um for d in even),
        "folded": len(folded),
        "folded_called_uneven": sum(d.tile.uneven for d in folded),
        "processor_s": time.process_time() - began_s,
    }


def whole_plan(config: Config, continuous: bool) -> TilePlan:
    """The tiles of the whole slide; swept, in rows as `parfocal scan --continuous` lays them."""
    field_um, (x_um, y_um) = field_of(config.camera, config.camera.um_per_px), ORIGIN_UM
    area = rectangle(x_um, y_um, x_um + SIDE_UM, y_um + SIDE_UM)
    overlap = overlap_for(PLAYS, config, field_um)
    if continuous:
        return quicker_plan(area, config, field_um, overlap, PLAYS)
    return plan_tiles(area, config, field_um, overlap)


def summed(parts: list[dict[str, Any]], config: Config, continuous: bool) -> dict[str, object]:
    """The parts together, and the time for the whole at their rate."""
    whole = whole_plan(config, continuous)
    foretold = foretell(whole, config, 0.15, PLAYS, is_triggered=True)
    total = {
        name: sum(part[name] for part in parts)
        for name in parts[0]
        if name not in ("even_errors_um", "leave_one_out_um")
    }
    off_um = np.array([error for part in parts for error in part["even_errors_um"]])
    scan_s, limit_s = total["scan_s"], foretold.limit_s * total["scanned"] / len(whole.tiles)
    return {
        "whole_tiles": len(whole.tiles),
        "whole_limit_s": foretold.limit_s,
        "whole_planned_s": sweep_plan(whole, config, PLAYS).scan_s if continuous else foretold.scan_s,
        "whole_s_at_this_rate": scan_s * len(whole.tiles) / total["scanned"],
        "over_limit": scan_s / limit_s,
        "over_limit_with_folds": scan_s / (limit_s + total["folded"] * planes_s()),
        "parts": len(parts),
        **total,
        "mean_error_um": float(off_um.mean()),
        "p95_error_um": float(np.percentile(off_um, 95)),
        "within_depth_of_field": 1.0 - total["even_lost"] / len(off_um),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=4, help="how many pairs of rows")
    parser.add_argument("--only", type=int, help="scan this part only, from 0 on")
    parser.add_argument("--continuous", action="store_true")
    parser.add_argument("--stepped", action="store_true")
    parser.add_argument("--whole", action="store_true", help="scan all of it, a while in each call")
    parser.add_argument("--computing", action="store_true", help="charge what is computed, for --whole")
    parser.add_argument("--minutes", type=float, default=9.0, help="of processor time, for --whole")
    flash, frames_per_s = CONFIG.scan.flash_brightness, round(1.0 / CONFIG.camera.frame_period_s)
    parser.add_argument("--flash", type=float, default=flash, help="how bright it is, times the steady lamp")
    parser.add_argument("--frames-per-s", type=int, default=frames_per_s, help="of the camera")
    given = parser.parse_args()
    name = f"whole_slide{'_stepped' * given.stepped}{'_continuous' * given.continuous}{'_computing' * given.computing}"
    given.config = with_scan(CONFIG, flash_brightness=given.flash)
    given.config = with_camera(given.config, frame_period_s=1.0 / given.frames_per_s)
    if given.flash != flash:
        name += f"_flash_{given.flash:.0f}"
    if given.frames_per_s != frames_per_s:
        name += f"_{given.frames_per_s}_frames_per_s"
    folder = Path("build/bench") / name
    folder.mkdir(parents=True, exist_ok=True)
    if given.whole:
        go_on(given, folder)
        told = json.dumps(whole_so_far(folder, given.config, given.continuous), indent=1)
        (folder.parent / f"{name}_all.json").write_text(told)
        sys.stdout.write(told + "\n")
        return
    kept = [folder / f"part-{part}-of-{given.parts}.json" for part in range(given.parts)]
    for part, path in enumerate(kept):
        if not path.exists() and given.only in (None, part):
            path.write_text(json.dumps(measured(part, given, folder)))
            sys.stderr.write(f"part {part} of {given.parts} is done\n")
    result = summed(
        [json.loads(path.read_text()) for path in kept if path.exists()], given.config, given.continuous
    )
    (folder.parent / f"{name}.json").write_text(json.dumps(result, indent=1))
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
