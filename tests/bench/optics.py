"""What `parfocal calibrate optics` makes of instruments whose optics it does not know.

`python -m tests.bench.optics [--no-loop] [ROWS]` prints a table in Markdown. Stacks of one slide are taken on a
simulated instrument, as the command takes them; the corrected model is judged on stacks of other slides and stains, and
its loop on fields of one of them. Everything is simulated in virtual time, and the model is the shipped one.

The errors are against the sharpest plane, less the constant by which it lies below the plane of least wavefront
variance on each slide, and in brackets against that plane itself.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np

from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.calib import optics as fits
from parfocal.calib.errors import CalibPoor
from parfocal.calib.optics import Fitted, StackSeen
from parfocal.calib.play import peak_of
from parfocal.calib.store import Owner, Store
from parfocal.edge.calibrate.keeper import Stamp
from parfocal.edge.calibrate.model_view import Plane, curve_of, kept_stack, plane_heights, seen_by
from parfocal.edge.calibrate.optics import FIELDS_PER_STACK, ModelName, OpticsCalibration
from parfocal.edge.config import CameraConfig, Config, FocusConfig
from parfocal.edge.focus.shots import Shot
from parfocal.edge.instrument import FieldTruth, Instrument
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
from tools.cameras import Camera, processed

CONFIG = Config(
    camera=CameraConfig(width_px=452, height_px=452),
    focus=FocusConfig(first_sweep_start_um=2440.0, first_sweep_stop_um=2560.0),
)
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

    def __init__(self, row: str, tissue: Tissue, seed: int) -> None:
        self._optics, camera = ROWS[row], CONFIG.camera
        slide = VirtualSlide(
            SlideImage(tissue.pixels, tissue.um_per_px), self._optics.um_per_px, seed, blank_share=0.0
        )
        self.scene = Scene(slide, self._optics, (camera.height_px, camera.width_px), seed)
        self._is_compressed = row.startswith("JPEG")

    def shot(self, x_um: float, y_um: float, above_um: float, light: float = 1.0) -> UInt8Array:
        """A frame with the stage this far above the plane of least wavefront variance."""
        pixels = self.scene.shot(x_um, y_um, above_um, light)
        return processed(pixels, Camera(jpeg_quality=85)) if self._is_compressed else pixels

    def instrument(self, seed: int) -> Instrument:
        """A stub with this microscope, not homed yet; its focal surface has steps and a tilt."""
        scan = CONFIG.scan
        surface = FocusSurface(seed, scan.origin_x_um, scan.origin_y_um, MIDDLE_UM)
        bench = VirtualBench(stub_of(CONFIG, seed))

        def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
            return self.shot(x_um, y_um, z_um - surface.z_um(x_um, y_um), duty / scan.lamp_duty)

        def truth_at(_x_um: float, _y_um: float, _time_s: float | None = None, /) -> FieldTruth:
            x_um, y_um, z_um = bench.true_um(bench.clock.now_s())
            return FieldTruth(surface.z_um(x_um, y_um), z_um)

        drawing: Render = render
        camera = SimulatedCamera(bench, bench.clock, CONFIG.camera, drawing)
        return Instrument(
            bench.open_board(CONFIG.board), camera, bench.clock, truth_at=truth_at, may_home=True
        )


class Tested(NamedTuple):
    """A stack of a slide that nothing was fitted on, and how far its sharpest plane lies above the wavefront's."""

    seen: StackSeen
    constant_um: float


def tested(foreign: Foreign, predictor: Predictor, seed: int) -> Iterator[Tested]:
    """Stacks at other places of a slide; those of empty places are left out."""
    rng, n = np.random.default_rng([seed, 51]), 0
    while n < N_TESTED:
        x_um, y_um = (float(v) for v in rng.uniform(1000.0, 3000.0, 2))
        heights_um = plane_heights(float(rng.uniform(-0.3, 0.3)), predictor, CONFIG.focus, 0.3125)
        planes = [Plane(Shot(z, foreign.shot(x_um, y_um, z), CONFIG.focus)) for z in heights_um]
        try:
            kept = kept_stack(planes, curve_of(planes), predictor, CONFIG.focus)
        except CalibPoor:
            continue
        n += 1
        yield Tested(seen_by([kept], predictor)[0], peak_of(curve_of(planes)).z_um)


class Errors(NamedTuple):
    """Mean absolute errors against the sharpest plane less its constant, and against the wavefront plane, um."""

    sharpest_um: float
    wavefront_um: float
    wrong_share: float

    def __str__(self) -> str:
        wrong = f", {100.0 * self.wrong_share:.0f} % wrong" if self.wrong_share >= 0.005 else ""
        return f"{self.sharpest_um:.2f} ({self.wavefront_um:.2f}){wrong}"


def errors_of(fitted: Fitted, stacks: Sequence[Tested]) -> Errors:
    """How far a fit is off. A fit to stacks says how far the sharpest plane is; the model, the wavefront's."""
    off_um = [fitted.picture_um(one.seen) - one.seen.true_um for one in stacks]
    constant_um = float(np.mean([one.constant_um for one in stacks]))
    aims_um = 0.0 if fitted.offset_um else -constant_um
    true_um = np.concatenate([one.seen.true_um for one in stacks])
    said_um = np.concatenate([fitted.picture_um(one.seen) for one in stacks])
    far = np.abs(true_um) > 1.0
    wavefront_um = [off + one.constant_um for off, one in zip(off_um, stacks, strict=True)]
    return Errors(
        float(np.abs(np.concatenate(off_um) - aims_um).mean()),
        float(np.abs(np.concatenate(wavefront_um)).mean()),
        float((true_um * said_um < 0.0)[far].mean()),
    )


def correction_of(fitted: Fitted, predictor: Predictor) -> Correction:
    """The fit as the product applies it."""
    weights = fitted.weights
    if weights is None or predictor.head is None:
        return Correction(fitted.gain, fitted.offset_um)
    members = len(predictor.head.layers[-1][0])
    taught = weights.reshape(members, -1).astype(np.float32)
    return Correction(fitted.gain, fitted.offset_um, weights=taught, bias_um=fitted.bias_um)


def looped(foreign: Foreign, predictor: Predictor) -> str:
    """The loop over fields: share within 1 um of the wavefront plane, mean error, images a field."""
    session = Session(foreign.instrument(SEED), predictor, CONFIG)
    done: list[FieldReport] = [one.report for one in session.run(snake(N_FIELDS, CONFIG))]
    ended = [one for one in done if one.outcome in ("focused", "recovered") and one.error_um is not None]
    off_um = [abs(one.error_um or 0.0) for one in ended]
    if not off_um:
        return "all lost"
    within = sum(off <= 1.0 for off in off_um) / max(1, sum(one.outcome != "blank" for one in done))
    return f"{100.0 * within:.0f} %, {np.mean(off_um):.2f} um, {np.mean([one.images for one in ended]):.1f} images"


def row_of(row: str, predictor: Predictor, folder: Path, with_loop: bool) -> Iterator[str]:
    """The cells of a row."""
    one, others = slides()
    foreign = Foreign(row, one, SEED)
    instrument = foreign.instrument(SEED)
    store = Store(folder / row.replace(" ", "-"), Owner(1, CONFIG.focus.objective))
    stamp = Stamp(datetime(2026, 11, 27, tzinfo=timezone.utc), "bench")
    running = OpticsCalibration(instrument, CONFIG, store, stamp, predictor, ModelName("cut", "0" * 64))
    plan = snake(FIELDS_PER_STACK * N_STACKS, CONFIG)
    running.take([(field.x_um, field.y_um) for field in plan], N_STACKS, lambda _words: None)
    stacks = seen_by(running._kept, predictor)
    elsewhere = {name: Foreign(row, tissue, SEED + 1) for name, tissue in others.items()}
    judged = [stack for made in elsewhere.values() for stack in tested(made, predictor, SEED)]
    constant_um = float(np.mean([stack.constant_um for stack in judged]))
    yield row
    yield f"{constant_um:+.2f}"
    yield str(errors_of(Fitted(), judged))
    for n in (N_FEW, N_STACKS):
        yield str(errors_of(fits.fit_line(stacks[:n]), judged))
    took_s, line = 0.0, fits.fit_line(stacks)
    taken = line
    for n in (N_FEW, N_STACKS):
        began_s = time.process_time()
        try:
            found = fits.fit_optics(lambda _condenser, n=n: stacks[:n], None)  # type: ignore[misc]
        except CalibPoor as error:
            yield f"refused: {error}"
            continue
        took_s, taken = time.process_time() - began_s, found.fitted
        yield f"{found.chosen.level}: {errors_of(taken, judged)}"
    yield f"{running.elapsed_s:.0f} s, {took_s:.0f} s"
    loop = next(iter(elsewhere.values()))
    if not with_loop:
        return
    for fitted in (Fitted(), line, taken):
        yield looped(loop, predictor.corrected(correction_of(fitted, predictor)))


def main() -> int:
    """Print the rows that the command line names, or all."""
    with_loop = "--no-loop" not in sys.argv
    asked = [one for one in sys.argv[1:] if one != "--no-loop"] or list(ROWS)
    heads = ["optics", "sharpest plane um", "as shipped", "line, 2", "line, 12", "taken, 2", "taken, 12"]
    heads += ["microscope, CPU"]
    heads += ["loop before", "loop, line", "loop, taken"] if with_loop else []
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")  # noqa: T201
    path = model_path(FocusConfig().model)
    runner = OpenVinoRunner(path, n_threads=1)
    predictor = Predictor(runner, load_head(path, runner.contract))
    with tempfile.TemporaryDirectory() as folder:
        for row in asked:
            print(f"| {' | '.join(row_of(row, predictor, Path(folder), with_loop))} |", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
