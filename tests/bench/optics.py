"""What `parfocal calibrate optics` makes of instruments whose optics it does not know.

`python -m tests.bench.optics [--loop | --single] [ROWS]` prints a table in Markdown. Stacks of one slide are taken on a
simulated instrument and calibrated with, as the command does it; the corrected model is judged on stacks of other
slides and stains. `--single` judges the single-shot model instead, and `--loop` the loop over fields of another slide.
Everything is simulated in virtual time, and the models are the shipped ones. Beside other work run it with
`OPENBLAS_NUM_THREADS=1`: threads that wait for each other take 30 times as long for the heads.

The errors are against the sharpest plane, less the constant by which it lies above the plane of least wavefront
variance on each slide; in brackets against that plane itself, and against it with the constant removed as the
calibration estimated it (`focus.at_sharpest = false`). The loop is run in both ways with 12 stacks.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.calib.errors import CalibPoor
from parfocal.calib.models.levels import fit_line
from parfocal.calib.motion.play import peak_of
from parfocal.calib.store import Owner, Store
from parfocal.edge.calibrate.keeper import Stamp
from parfocal.edge.calibrate.optics.model_view import (
    Plane,
    SinglePlanes,
    curve_of,
    kept_stack,
    plane_heights,
    seen_by,
)
from parfocal.edge.calibrate.optics.one_model import LIMITS, ModelName, OneModel
from parfocal.edge.calibrate.optics.result import OpticsResult
from parfocal.edge.calibrate.optics.run import FIELDS_PER_STACK, Models, OpticsCalibration
from parfocal.edge.config import CameraConfig, Config, FocusConfig
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.shots import Shot
from parfocal.edge.instrument import FieldTruth, Instrument
from parfocal.edge.measured.optics_file import KeptStack, Taught, taught_in
from parfocal.edge.measured.optics_in_use import Which, model_digest, optics_of, single_of
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.plan import snake
from parfocal.edge.scan.report import FieldReport
from parfocal.edge.scan.session import Session
from parfocal.edge.simscope.bench import stub_of
from parfocal.edge.simscope.camera import Render, SimulatedCamera
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide, image_from_file
from parfocal.edge.simscope.surface import FocusSurface
from parfocal.engines.cpu.openvino import OpenVinoRunner
from parfocal.engines.model.head import load_head
from parfocal.engines.model.shipped import model_path
from parfocal.engines.predictor import Correction, Predictor
from tests.bench.play import drawn
from tests.edge.scope import TILES
from tests.stains import ihc
from tools.rendering.cameras import Camera, processed

FOCUS = FocusConfig(first_sweep_start_um=2440.0, first_sweep_stop_um=2560.0)
PX, SINGLE_PX = 452, 680  # sides of the frames; a single-shot model takes a patch of 672 px


def with_frames(side_px: int) -> Config:
    """A configuration with square frames."""
    return Config(camera=CameraConfig(width_px=side_px, height_px=side_px), focus=FOCUS)


MIDDLE_UM = 2500.0
ROWS: dict[str, Optics] = {
    "reference": Optics(),
    "condenser 0.30": Optics(condenser_sigma=0.30),
    "condenser 0.45": Optics(condenser_sigma=0.45),
    "condenser 0.75": Optics(condenser_sigma=0.75),
    "condenser 0.90": Optics(condenser_sigma=0.90),
    "NA 0.70": Optics(na=0.70),
    "NA 0.80": Optics(na=0.80),
    "0.30 um per px": Optics(um_per_px=0.30),
    "0.40 um per px": Optics(um_per_px=0.40),
    "JPEG 85": Optics(),
}
N_STACKS, N_FEW, N_TESTED, N_FIELDS = 12, 2, 3, 12
SEED = 11


class Tissue(NamedTuple):
    """A picture of a slide, RGB uint8 (h, w, 3), and its um per px."""

    pixels: UInt8Array
    um_per_px: float


def slides() -> tuple[Tissue, dict[str, Tissue]]:
    """The slide that stacks are taken of, and the others: real tiles where they are, else what packages bring."""
    others = {"drawn": Tissue(drawn(3), 0.345)}
    he = sorted((TILES / "he_cmu1").glob("*.png")) + sorted((TILES / "he_cmu1").glob("*.jpg"))
    if not he:
        return Tissue(ihc(), 0.5), others
    blood = sorted((TILES / "blood_chula").glob("*.jpg"))[0]
    return Tissue(image_from_file(he[0]), 0.499), {
        "IHC": Tissue(ihc(), 0.5),
        "blood": Tissue(image_from_file(blood), 0.19),
        **others,
    }


class Foreign:
    """An instrument with other optics than the model was made for, over a slide."""

    def __init__(self, row: str, tissue: Tissue, seed: int, config: Config) -> None:
        self._optics, self.config, camera = ROWS[row], config, config.camera
        slide = VirtualSlide(
            SlideImage(tissue.pixels, tissue.um_per_px), self._optics.um_per_px, seed, blank_share=0.0
        )
        self.scene = Scene(slide, self._optics, (camera.height_px, camera.width_px), seed)
        self._is_compressed = row.startswith("JPEG")

    def shot(self, x_um: float, y_um: float, above_um: float, light: float = 1.0) -> UInt8Array:
        """A frame with the stage this far above the plane of least wavefront variance."""
        pixels = self.scene.shot(x_um, y_um, above_um, light)
        return processed(pixels, Camera(jpeg_quality=85, chroma="4:2:0")) if self._is_compressed else pixels

    def instrument(self, seed: int) -> Instrument:
        """A stub with this microscope, not homed yet; its focal surface has steps and a tilt."""
        scan = self.config.scan
        surface = FocusSurface(seed, scan.origin_x_um, scan.origin_y_um, MIDDLE_UM)
        bench = VirtualBench(stub_of(self.config, seed))

        def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
            return self.shot(x_um, y_um, z_um - surface.z_um(x_um, y_um), duty / scan.lamp_duty)

        def truth_at(_x_um: float, _y_um: float, _time_s: float | None = None, /) -> FieldTruth:
            x_um, y_um, z_um = bench.true_um(bench.clock.now_s())
            return FieldTruth(surface.z_um(x_um, y_um), z_um)

        drawing: Render = render
        camera = SimulatedCamera(bench, bench.clock, self.config.camera, drawing)
        return Instrument(
            bench.open_board(self.config.board), camera, bench.clock, truth_at=truth_at, may_home=True
        )


class Tested(NamedTuple):
    """A stack of a slide that nothing was fitted on, and how far its sharpest plane lies above the wavefront's."""

    kept: KeptStack
    constant_um: float


def tested(foreign: Foreign, models: Models, which: Which, seed: int) -> Iterator[Tested]:
    """Stacks at other places of a slide; those of empty places are left out."""
    rng, n = np.random.default_rng([seed, 51]), 0
    while n < N_TESTED:
        x_um, y_um = (float(v) for v in rng.uniform(1000.0, 3000.0, 2))
        heights_um = plane_heights(float(rng.uniform(-0.3, 0.3)), models.two_shot.predictor, FOCUS, 0.3125)
        shots = [Shot(z, foreign.shot(x_um, y_um, z), FOCUS) for z in heights_um]
        planes = [Plane(shot) for shot in shots]
        try:
            peak_um = peak_of(curve_of(planes)).z_um
        except CalibPoor:
            continue
        if which == "optics":
            kept = kept_stack(planes, curve_of(planes), models.two_shot.predictor, FOCUS)
        elif (found := of_single(shots, peak_um, models)) is not None:
            kept = found
        else:
            continue
        n += 1
        yield Tested(kept, peak_um)


def of_single(shots: Sequence[Shot], focus_um: float, models: Models) -> KeptStack | None:
    """A stack as the single-shot model sees it."""
    if models.single is None:
        raise ValueError("there is no single-shot model")
    singles = SinglePlanes(models.single.predictor, FOCUS)
    for shot in shots:
        singles.see(shot)
    return singles.kept(focus_um)


class Errors(NamedTuple):
    """Mean absolute errors, um.

    Against the sharpest plane less its constant, against the wavefront plane, and against that with the constant
    removed as the calibration estimated it.
    """

    sharpest_um: float
    wavefront_um: float
    lowered_um: float
    wrong_share: float
    unsure_share: float

    def __str__(self) -> str:
        wrong = f", {100.0 * self.wrong_share:.1f} % wrong" if self.wrong_share >= 0.0005 else ""
        unsure = f", {100.0 * self.unsure_share:.0f} % left out" if self.unsure_share >= 0.005 else ""
        return f"{self.sharpest_um:.2f} ({self.wavefront_um:.2f}, {self.lowered_um:.2f}){wrong}{unsure}"


def errors_of(
    predictor: Predictor,
    aims_at_sharpest: bool,
    stacks: Sequence[Tested],
    apart_um: float = 0.0,
    most_sigma_um: float = np.inf,
) -> Errors:
    """How far a corrected model is off. One that was fitted aims at the sharpest plane; as shipped, the wavefront's.

    `apart_um`: how far the calibration says that the two lie apart. Pictures of which the model tells a larger
    uncertainty than `most_sigma_um` are left out, as the loop does not believe it then.
    """
    seen = seen_by([one.kept for one in stacks], predictor)
    constant_um = float(np.mean([one.constant_um for one in stacks]))
    aims_um = 0.0 if aims_at_sharpest else -constant_um
    true_um = np.concatenate([one.true_um for one in seen])
    said_um = np.concatenate([one.picture_um(one.predicted_um) for one in seen])
    own_um = np.concatenate(
        [np.full(len(s.true_um), one.constant_um) for s, one in zip(seen, stacks, strict=True)]
    )
    told_um = [s.sigma_um if s.sigma_um is not None else np.zeros_like(s.true_um) for s in seen]
    sure = np.concatenate(told_um) <= most_sigma_um
    true_um, said_um, own_um = true_um[sure], said_um[sure], own_um[sure]
    far = np.abs(true_um) > 1.0
    return Errors(
        float(np.abs(said_um - true_um - aims_um).mean()),
        float(np.abs(said_um - true_um + own_um).mean()),
        float(np.abs(said_um - apart_um - true_um + own_um).mean()),
        float((true_um * said_um < 0.0)[far].mean()),
        1.0 - float(sure.mean()),
    )


def looped(foreign: Foreign, predictor: Predictor, aim_um: float) -> str:
    """The loop over fields, against `aim_um` above the wavefront plane and, in brackets, against that plane."""
    session = Session(foreign.instrument(SEED), predictor, foreign.config)
    done: list[FieldReport] = [one.report for one in session.run(snake(N_FIELDS, foreign.config))]
    ended = [one for one in done if one.outcome in ("focused", "recovered") and one.error_um is not None]
    if not ended:
        return "all lost"
    n, off_um = sum(one.outcome != "blank" for one in done), np.array([one.error_um or 0.0 for one in ended])
    share = float((np.abs(off_um - aim_um) <= 1.0).sum()) / n
    mean_um, wavefront_um = float(np.abs(off_um - aim_um).mean()), float(np.abs(off_um).mean())
    images = float(np.mean([one.images for one in ended]))
    doubted = sum(any(attempt.doubt for attempt in one.attempts) for one in ended)
    told = f"{100.0 * share:.0f} %, {mean_um:.2f} ({wavefront_um:.2f}) um, {images:.1f} images"
    return f"{told}, {doubted} doubted" if doubted else told


class Calibrated(NamedTuple):
    """What the command made of stacks: the level and the model as the instrument has it from then on."""

    level: str
    predictor: Predictor
    aims_at_sharpest: bool
    elapsed_s: float
    apart_um: float = 0.0

    @property
    def lowered(self) -> Predictor:
        """The model as it is used with `focus.at_sharpest = false`."""
        correction = self.predictor.correction
        offset_um = correction.offset_um - self.apart_um
        return self.predictor.corrected(dataclasses.replace(correction, offset_um=offset_um))


class Measured:
    """An instrument of which stacks of one slide were taken, and what the command makes of the first few of them."""

    def __init__(self, row: str, models: Models, config: Config, folder: Path) -> None:
        self._row, self._models, self._config, self._folder = row, models, config, folder
        foreign = Foreign(row, slides()[0], SEED, config)
        self._taking = self._calibration(foreign.instrument(SEED), models, "all")
        plan = snake(FIELDS_PER_STACK * N_STACKS, config)
        self._taking.take([(field.x_um, field.y_um) for field in plan], N_STACKS, lambda _words: None)
        self.elapsed_s = self._taking.elapsed_s
        self._instrument = foreign.instrument(SEED)

    def of(self, n: int, which: Which) -> Calibrated:
        """Calibrate with the first `n` stacks."""
        single = self._models.single
        few = Models(first(self._models.two_shot, n), None if single is None else first(single, n))
        one = few.two_shot if which == "optics" or few.single is None else few.single
        began_s, name = time.process_time(), f"{self._row}-{n}".replace(" ", "-")
        running = self._calibration(self._instrument, few, name)
        try:
            results = running.fit()
        except CalibPoor as error:
            return Calibrated(f"refused: {str(error).split('. ')[0]}", one.predictor, False, 0.0)
        took_s, store = time.process_time() - began_s, self._store(name)
        calibration = store.load()
        if which == "optics":
            used, correction, _ = optics_of(calibration, self._config, store)
        else:
            of_single, _ = single_of(calibration, self._config, store)
            used, correction = of_single.optics, of_single.correction
            if (
                of_single.refused is not None
                and results.single is not None
                and calibration.single is not None
            ):
                would_be = correction_of(results.single, taught_in(store.read_file(calibration.single)))
                by = next(one for one in results.single.levels if one.level == results.single.chosen)
                told = f"refused ({by.error_um:.2f} +- {by.uncertainty_um:.2f}), it would be"
                return Calibrated(told, one.predictor.corrected(would_be), True, took_s)
        level = "shipped" if used is None else used.level
        apart, is_fitted = calibration.optics_sharpest_above_um, level != "shipped"
        apart_um = apart.value if apart is not None and is_fitted else 0.0
        return Calibrated(level, one.predictor.corrected(correction), is_fitted, took_s, apart_um)

    def _store(self, name: str) -> Store:
        return Store(self._folder / name, Owner(1, FOCUS.objective))

    def _calibration(self, instrument: Instrument, models: Models, name: str) -> OpticsCalibration:
        stamp = Stamp(datetime(2026, 11, 27, tzinfo=timezone.utc), "bench")
        return OpticsCalibration(instrument, self._config, self._store(name), stamp, models)


def correction_of(result: OpticsResult, taught: Taught | None) -> Correction:
    """What a refused model would have been corrected by."""
    weights = {} if taught is None else {"weights": taught.weights, "bias_um": taught.bias_um}
    return Correction(result.gain or 1.0, result.offset_um or 0.0, result.condenser, **weights)  # type: ignore[arg-type]


def first(model: OneModel, n: int) -> OneModel:
    """The model with its first `n` stacks alone."""
    few = OneModel(model.which, model.predictor, model.model)
    few.kept, few.curves = model.kept[:n], model.curves[:n]
    return few


def level_row(row: str, which: Which, models: Models, config: Config, folder: Path) -> Iterator[str]:
    """How far the model is off as it ships and calibrated with few and with many stacks, on other slides."""
    measured = Measured(row, models, config, folder)
    one = models.two_shot if which == "optics" or models.single is None else models.single
    others = {name: Foreign(row, tissue, SEED + 1, config) for name, tissue in slides()[1].items()}
    judged = [stack for made in others.values() for stack in tested(made, models, which, SEED)]
    yield row
    yield f"{float(np.mean([stack.constant_um for stack in judged])):+.2f}"
    most_um = LIMITS[which].at(depth_scale(config.focus.objective)).sigma_um
    yield str(errors_of(one.predictor, False, judged, most_sigma_um=most_um))
    line = fit_line(seen_by(one.kept, one.predictor))
    by_line = one.predictor.corrected(Correction(line.gain, line.offset_um))
    yield str(errors_of(by_line, True, judged, most_sigma_um=most_um))
    took_s = 0.0
    for n in (N_FEW, N_STACKS):
        found = measured.of(n, which)
        took_s = found.elapsed_s
        errors = errors_of(found.predictor, found.aims_at_sharpest, judged, found.apart_um, most_um)
        yield f"{found.level}: {errors}"
    yield f"{measured.elapsed_s:.0f} s, {took_s:.0f} s"


def loop_row(row: str, models: Models, config: Config, folder: Path) -> Iterator[str]:
    """The loop on another slide, as shipped and calibrated with few and with many stacks."""
    measured = Measured(row, models, config, folder)
    elsewhere = Foreign(row, next(iter(slides()[1].values())), SEED + 1, config)
    constant_um = float(np.mean([one.constant_um for one in tested(elsewhere, models, "optics", SEED)]))
    yield row
    yield f"{constant_um:+.2f}"
    yield looped(elsewhere, models.two_shot.predictor, 0.0)
    for n in (N_FEW, N_STACKS):
        found = measured.of(n, "optics")
        aim_um = constant_um if found.aims_at_sharpest else 0.0
        yield f"{found.level}: {looped(elsewhere, found.predictor, aim_um)}"
        if n == N_STACKS:
            yield f"{found.apart_um:+.2f}: {looped(elsewhere, found.lowered, 0.0)}"


def opened(name: str, which: Which) -> OneModel:
    """A shipped model on one thread."""
    path = model_path(name)
    runner = OpenVinoRunner(path, n_threads=1)
    return OneModel(
        which, Predictor(runner, load_head(path, runner.contract)), ModelName(name, model_digest(name) or "")
    )


LEVEL_HEADS = (
    "optics",
    "constant",
    "as shipped",
    "gain and offset, 12",
    "taken, 2",
    "taken, 12",
    "microscope, CPU",
)
LOOP_HEADS = (
    "optics",
    "constant",
    "as shipped",
    "calibrated, 2 stacks",
    "calibrated, 12 stacks",
    "the constant removed as it was estimated, 12 stacks",
)


def main() -> int:
    """Print the rows that the command line names, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", metavar="ROW", nargs="*", help=f"default: all of {', '.join(ROWS)}")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--loop", action="store_true", help="judge the loop")
    kinds.add_argument("--single", action="store_true", help="judge the single-shot model")
    args = parser.parse_args()
    if unknown := set(args.rows) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}")
    asked, is_loop, is_single = args.rows or list(ROWS), args.loop, args.single
    heads = LOOP_HEADS if is_loop else LEVEL_HEADS
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")  # noqa: T201
    which: Which = "single" if is_single else "optics"
    with tempfile.TemporaryDirectory() as folder:
        for row in asked:
            models = Models(
                opened(FOCUS.model, "optics"), opened(FOCUS.single_model, "single") if is_single else None
            )
            config = with_frames(SINGLE_PX if is_single else PX)
            made = loop_row if is_loop else partial(level_row, which=which)
            cells = " | ".join(made(row, models=models, config=config, folder=Path(folder)))
            print(f"| {cells} |", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
