"""A scan against its physical limit: `python -m tests.bench.scan`. Prints figures as JSON; scan_rows.py keeps them.

15 x 15 mm at 20x on the stage of the paper, in the microscope's time, over two focal surfaces: a smooth one (30 um of
tilt, a bend, waves of 3 mm, one fold) and the stepped one of the virtual slide. The field is the real one, 422 x 353
um, its pictures have 306 x 256 px, blur is Gaussian, and the models know the truth but for the noise of the real ones.
So time, journal and decisions are those of a scan, and the pictures are not. Each is scanned with stops and without:
a flash of 14 us at 6.1 mm/s, with the play of the gears measured, along the axis that takes less time. `--flash 600`
sweeps with a flash that is 600 times as bright as the steady lamp instead of 340. With `--side-mm` or `--high-mm` below
15 a smaller region is scanned, and the time for 15 x 15 mm is told at its rate. `--surface` takes one surface only;
"waves" is the smooth one without its fold. `--overlap` gives another overlap than the play asks for.

`--through 40x-13mpx` or `40x` scans at 40x/0.65 with models that err as those that ship for it near the focus. The one
has the camera of its paper, 4208 x 3120 px of 0.08625 um and 10 frames/s, the other one 1224 x 1024 px of 0.1725 um.
`--frames-per-s 60` gives the camera another frame rate, so each frame is there 17 ms after its exposure; with
`--exposure-not-measured` the stage waits for it. `--two-shots-alone` scans without the single-shot model, by what
neighbouring tiles share.
"""

import argparse
import contextlib
import functools
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

from parfocal.edge.config import Config, FocusConfig, config_from_toml
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.focus.picture.cells import CELL_PX
from parfocal.edge.focus.uneven import crispness
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.scan.continuous.plan import blur_um_of, quicker_plan, sweep_plan
from parfocal.edge.scan.continuous.survey import sweeps_if_quicker
from parfocal.edge.scan.tiling.job import ScanJob, Ways, settings_of
from parfocal.edge.scan.tiling.plan import field_of, foretell, overlap_for, plan_tiles
from parfocal.edge.scan.tiling.points import survey_points
from parfocal.edge.scan.tiling.request import Request
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.simscope.surface import FocusSurface
from parfocal.edge.tissue.area import rectangle
from tests.edge.scan.tiling.small_slide import CENTRE_UM, FOCUS_Z_UM, Focus, SmallSlide, drawn
from tests.edge.scope import with_camera, with_scan

# How many times brighter than the steady lamp the flash is: assumed, no lamp was measured.
FLASH, BRIGHTER_FLASH = 340.0, 600.0
DRAWN = "first_sweep_start_um = 2440.0\nfirst_sweep_stop_um = 2560.0\n"


class Through(msgspec.Struct, frozen=True):
    """An objective and a camera: as a user configures them, and as the bench draws their pictures.

    Pictures have larger pixels. Such pixels may blur more in a flash, so a flash that is so much darker gives the speed
    of the real camera. `pair_sigma_um` and `single_sigma_um`: by how much two
    shots and one err, as standard deviations, and `pair_range_um` is the range of the model of the two; `is_sloping`:
    the focus slopes inside of the fields.
    """

    real: Config
    drawn: Config
    pair_sigma_um: float
    pair_range_um: float
    single_sigma_um: float
    is_sloping: bool


def _through(toml: str, drawn: str, objective: str, models: tuple[float, float, float]) -> Through:
    focus = f"objective = '{objective}'\n"
    real = config_from_toml(
        f"[camera]\n{toml}[focus]\n{focus}[scan]\nflash_brightness = {FLASH}", "the bench"
    )
    seen = config_from_toml(f"[camera]\n{drawn}{focus}downsample = 1\n{DRAWN}", "the bench")
    scan = msgspec.structs.replace(seen.scan, flash_brightness=FLASH * blur_um_of(real) / blur_um_of(seen))
    return Through(
        real,
        msgspec.structs.replace(seen, scan=scan),
        *models,
        is_sloping=objective != "20x/0.75",
    )


# Near the focus single shots at 20x err by 0.3 um; at 40x by 0.24 um on flat samples (engines/models/single-40x.md),
# and are taken to err by 0.4 um. Two shots at 40x err by 0.3 um (engines/models/difference-40x.md: 0.35 um of a single
# patch, 0.25 um of nine together).
THROUGH = {
    "20x": _through(
        "",
        "width_px = 306\nheight_px = 256\num_per_px = 1.38\n[focus]\npatch_px = 56\n",
        "20x/0.75",
        (0.1, 10.0, 0.3),
    ),
    "40x": _through(
        "um_per_px = 0.1725\n",
        "width_px = 612\nheight_px = 512\num_per_px = 0.345\n[focus]\n",
        "40x/0.65",
        (0.3, 25.0, 0.4),
    ),
    "40x-13mpx": _through(
        "width_px = 4208\nheight_px = 3120\num_per_px = 0.08625\nframe_period_s = 0.1\n",
        "width_px = 1052\nheight_px = 780\num_per_px = 0.345\nframe_period_s = 0.1\n[focus]\n",
        "40x/0.65",
        (0.3, 25.0, 0.4),
    ),
}
CONFIG = THROUGH["20x"].drawn
PLAYS = tuple(PlayInUse(name, 20.0 if name == "z" else 60.0, 0.45) for name in ("x", "y", "z"))
ORIGIN_UM = (20_000.0, 5_000.0)
FOLD_UM = 250.0
# The drawn tissue repeats itself after this. An eighth of it is a stripe of glass.
TISSUE_UM = 1656.0
# Where the focus slopes inside a field: the places of it that are asked for, and how far apart the planes are that its
# picture is made of, um. Farther than the last from the focus all looks alike.
GRID, LEVEL_UM, FAR_UM = 4, 0.4, 6.0
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
    """The drawn tissue, again and again, with islands of glass.

    `is_sloping`: the focus slopes inside of fields as it does across the slide. Else each field has one.
    """

    is_sloping = False
    _n_noise = 0

    def render(self, x_um: float, y_um: float, z_um: float, duty: float) -> NDArray[np.uint8]:
        """A picture at a true position."""
        self.exposed_um.append((x_um, y_um, z_um))
        camera, side_px = self.config.camera, len(self._pixels)
        top, left = (round(at_um / camera.um_per_px) for at_um in (y_um, x_um))
        rows = np.arange(top, top + camera.height_px) % side_px
        columns = np.arange(left, left + camera.width_px) % side_px
        sharp = self._pixels[rows][:, columns]
        if self.is_sloping:
            return self._sloping(sharp[..., 1], x_um, y_um, z_um, duty / self.config.scan.lamp_duty)
        shown = self._blurred(sharp, z_um - self.focus(x_um, y_um))
        return np.clip(
            np.rint(shown * (duty / self.config.scan.lamp_duty) + self._fresh_noise()), 0, 255
        ).astype(np.uint8)

    def _blurred(self, sharp: NDArray[np.uint8], away_um: float) -> NDArray[np.float32]:
        away_um = min(abs(away_um), 20.0)
        # Drawn tissue at 40x keeps as much of its sharpness as rendered tissue of four stains: 0.86, 0.6 and 0.33 at
        # 1, 2 and 3 um from the focus. At 20x nothing compares the sharpness of two heights.
        sigma_px = math.hypot(0.5, 0.46 * away_um) if self.is_sloping else 0.2 + 0.5 * away_um
        return np.asarray(cv2.GaussianBlur(sharp, (0, 0), sigma_px), np.float32)

    def range_um(self, x_um: float, y_um: float) -> float:
        """How far the focus lies apart within a field, um."""
        return float(np.ptp(self._grid_um(x_um, y_um))) if self.is_sloping else 0.0

    def _grid_um(self, x_um: float, y_um: float) -> NDArray[np.float32]:
        """The focus at `GRID` x `GRID` places of a field, um."""
        width_um, height_um = self.config.camera.field_um
        shares = (np.arange(GRID) + 0.5) / GRID - 0.5
        heights_um = [[self.focus(x_um + a * width_um, y_um + b * height_um) for a in shares] for b in shares]
        return np.array(heights_um, np.float32)

    def _sloping(
        self, sharp: NDArray[np.uint8], x_um: float, y_um: float, z_um: float, light: float
    ) -> NDArray[np.uint8]:
        """The picture of a field in which the focus slopes, or lies at two heights.

        What two tiles share has one focus, whichever of them shows it. Colours differ by a constant, which is cheap.
        """
        away_um = np.float32(z_um) - self._grid_um(x_um, y_um)
        if np.abs(away_um).min() > FAR_UM or np.ptp(away_um) < LEVEL_UM / 4.0:
            shown = self._blurred(sharp, float(away_um.mean()))
        else:
            level = cv2.resize(away_um / LEVEL_UM, sharp.shape[::-1], interpolation=cv2.INTER_LINEAR)
            shown = np.zeros(sharp.shape, np.float32)
            for number in range(math.floor(float(level.min())), math.ceil(float(level.max())) + 1):
                share = np.maximum(1.0 - np.abs(level - np.float32(number)), 0.0)
                shown += share * self._blurred(sharp, number * LEVEL_UM)
        self._n_noise = (self._n_noise + 7) % sharp.shape[0]
        shown = shown * np.float32(light) + self._plain_noise[self._n_noise : self._n_noise + sharp.shape[0]]
        return np.asarray(
            cv2.merge([cv2.convertScaleAbs(shown, beta=beta) for beta in (20.0, 0.0, 10.0)]), np.uint8
        )

    @functools.cached_property
    def _plain_noise(self) -> NDArray[np.float32]:
        """Noise of a camera, of which each picture takes other rows."""
        camera = self.config.camera
        shape = (2 * camera.height_px, camera.width_px)
        return np.random.default_rng(1).normal(0.0, 0.8, shape).astype(np.float32)


class Wanted(msgspec.Struct, frozen=True):
    """What to scan, and how. `flash`: times the steady lamp; `overlap`: None for what the play needs.

    `is_exposure_measured`: it is known when an exposure is over.
    """

    surface: str
    continuous: bool = False
    through: str = "20x"
    flash: float = FLASH
    overlap: float | None = None
    has_single: bool = True
    is_exposure_measured: bool = True
    side_mm: float = 15.0
    high_mm: float = 15.0
    frames_per_s: float | None = None

    @property
    def name(self) -> str:
        """The name of its row."""
        given = (
            self.through if self.through != "20x" else "",
            self.surface,
            "continuous" if self.continuous else "",
            f"flash {self.flash:.0f}" if self.flash != FLASH else "",
            f"overlap {self.overlap:.0%}" if self.overlap is not None else "",
            "" if self.has_single else "two shots alone",
            "" if self.is_exposure_measured else "exposure not measured",
            f"{self.frames_per_s:.0f} frames per s" if self.frames_per_s is not None else "",
        )
        return ", ".join(part for part in given if part)


def measured(wanted: Wanted, focus: Focus, folder: Path) -> dict[str, object]:
    """Scan a square and sum it up."""
    through, continuous = THROUGH[wanted.through], wanted.continuous
    brightness = through.drawn.scan.flash_brightness * wanted.flash / FLASH
    config = with_scan(through.drawn, flash_brightness=brightness)
    if wanted.frames_per_s is not None:
        config = with_camera(config, frame_period_s=1.0 / wanted.frames_per_s)
    slide = LargeSlide(
        focus=focus,
        pixels=drawn(7, round(TISSUE_UM / config.camera.um_per_px)),
        single_sigma_um=through.single_sigma_um,
        has_single=wanted.has_single,
        config=config,
        pair_sigma_um=through.pair_sigma_um,
        pair_range_um=through.pair_range_um,
        is_exposure_measured=wanted.is_exposure_measured,
    )
    slide.is_sloping = through.is_sloping
    out = folder / f"scan-{file_name(wanted.name)}.zarr"
    shutil.rmtree(out, ignore_errors=True)
    field_um = field_of(config.camera, config.camera.um_per_px)
    overlap = wanted.overlap
    if overlap is None:
        overlap = overlap_for(PLAYS, through.real, field_um)
    x_um, y_um = ORIGIN_UM
    area = rectangle(x_um, y_um, x_um + 1000.0 * wanted.side_mm, y_um + 1000.0 * wanted.high_mm)
    whole_area = rectangle(x_um, y_um, x_um + 15e3, y_um + 15e3)
    plan, whole = (
        quicker_plan(each, config, field_um, overlap, PLAYS)
        if continuous
        else plan_tiles(each, config, field_um, overlap)
        for each in (area, whole_area)
    )
    foretold = foretell(plan, config, 0.75, PLAYS, is_triggered=True)
    sweeps = sweep_plan(plan, config, PLAYS) if continuous else None
    began_s = time.monotonic()
    with slide.instrument(plays=PLAYS) as instrument:
        request = Request(wanted.name, "jpg" if through.is_sloping else "png", plan)
        settings = settings_of(request, instrument, config, slide.eyes)
        job = ScanJob(out, request, settings, datetime.now(timezone.utc), "bench")
        with contextlib.closing(job):
            survey_began_s = instrument.clock.now_s()
            points = survey_points(plan, config)
            swept = sweeps_if_quicker(points, config, slide.eyes.single, PLAYS) if continuous else None
            for _ in job.survey(instrument, slide.eyes, config, points, swept):
                pass
            scan_began_s = instrument.clock.now_s()
            surface = job.kept_surface()
            assert surface is not None
            done: list[TileDone] = []
            for tile in job.tiles(instrument, slide.eyes, config, surface, Ways(sweeps=sweeps)):
                done.append(tile)
                if len(done) % 200 == 0:
                    sys.stderr.write(f"{wanted.name}: {len(done)} of {len(plan.tiles)}\n")
            ended_s = instrument.clock.now_s()
    depth_um = depth_of_field_um(config.focus.objective)
    tissue = [d for d in done if d.tile.tissue]
    even = [d for d in tissue if slide.range_um(d.tile.x_um, d.tile.y_um) <= depth_um]
    off = np.array([abs(d.error_um or 0.0) for d in even])
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
        "tissue": len(tissue),
        "even": len(even),
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


def file_name(row: str) -> str:
    """A name of files for a row."""
    return row.replace(", ", "-").replace("%", "").replace(" ", "-")


def row_of(wanted: Wanted, folder: Path) -> dict[str, object]:
    """Scan over one of `SURFACES`."""
    # At 20x pictures are four times as coarse as those that the focus uses, and so are the cells in which folds are
    # looked for.
    cell_px = CELL_PX * THROUGH[wanted.through].drawn.focus.patch_px // FocusConfig().patch_px
    setattr(crispness, "CELL_PX", cell_px)  # noqa: B010  # it is a constant of the product
    stepped = FocusSurface(1, CENTRE_UM[0], CENTRE_UM[1], FOCUS_Z_UM)
    focus = {"smooth": smooth, "waves": waves, "stepped": stepped.z_um}[wanted.surface]
    return measured(wanted, focus, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side-mm", type=float, default=15.0)
    parser.add_argument("--high-mm", type=float, help="height of the region, where it is not a square")
    parser.add_argument("--only", choices=("stops", "continuous"))
    parser.add_argument("--surface", choices=SURFACES)
    parser.add_argument("--through", choices=[*THROUGH], default="20x", help="objective and camera")
    parser.add_argument("--flash", type=float, default=FLASH, help="how bright it is, times the steady lamp")
    parser.add_argument("--overlap", type=float, help="share of a tile that neighbours have in common")
    parser.add_argument(
        "--exposure-not-measured", action="store_true", help="the stage waits for each frame to come"
    )
    parser.add_argument("--two-shots-alone", action="store_true", help="without the single-shot model")
    parser.add_argument("--frames-per-s", type=float, help="of the camera")
    given = parser.parse_args()
    folder = Path("build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    for surface in SURFACES:
        for continuous in (False, True):
            wanted = Wanted(
                surface,
                continuous,
                given.through,
                given.flash,
                given.overlap,
                not given.two_shots_alone,
                not given.exposure_not_measured,
                given.side_mm,
                given.high_mm or given.side_mm,
                given.frames_per_s,
            )
            only = "continuous" if continuous else "stops"
            if given.surface in (None, surface) and given.only in (None, only):
                row = row_of(wanted, folder)
                sys.stdout.write(json.dumps({wanted.name: row}, indent=1) + "\n")


if __name__ == "__main__":
    main()
