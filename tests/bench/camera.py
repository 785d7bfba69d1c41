"""What `parfocal calibrate camera` finds out about cameras whose faults it does not know.

`python -m tests.bench.camera [SEEDS]` prints a table in Markdown; with `costs`, what each fault does to predictions.
Each seed draws a camera of `tools/rendering/cameras.py` (gamma, sharpening, demosaicing, JPEG), a dark level, the fall
of light to the corners, flicker, noise, and a light that is too bright or too dim for the configured exposure.
Everything is simulated in virtual time, over a drawn section.
"""

import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.calib.store import Owner, Store
from parfocal.edge.calibrate.camera import CameraCalibration
from parfocal.edge.calibrate.keeper import KeptValue, Stamp
from parfocal.edge.config import CameraConfig, Config, FocusConfig
from parfocal.edge.engine import checked_engine
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import Render, SimulatedCamera
from parfocal.edge.stacks.judging.evaluate import evaluate_stacks
from parfocal.edge.stacks.stack import Stack
from tests.bench import play
from tests.bench.noise import NoisePool
from tests.bench.play import drawn
from tools.rendering.cameras import Camera, processed

FOCUS_Z_UM = 2500.0
CONFIG = Config(
    camera=CameraConfig(width_px=452, height_px=452),
    focus=FocusConfig(first_sweep_start_um=2480.0, first_sweep_stop_um=2520.0),
)
WHITE = 225.0  # of an empty place, before the light is too bright or too dim
LIMITS = {
    "camera_gamma": 0.05,
    "camera_dark_level": 1.0,
    "camera_falloff_share": 0.03,
    "camera_lag_share": 0.1,
}
N_KEPT = 16  # pictures of places
MIXED = 12  # frames: what lies before them has no share left
LAGS = (0.0, 0.2, 0.4, 0.6)
FLICKER_LIMIT = 0.5  # of the truth, as a share


class Hidden(NamedTuple):
    """A camera that only the bench knows. `light` is 1 where the configured exposure fits."""

    camera: Camera
    dark_level: float
    fall: float
    flicker: float
    light: float
    full_well: float
    lag: float = 0.0


def hidden(seed: int) -> Hidden:
    """The camera that `seed` draws. Each kind of processing comes in turn, alone and with a gamma."""
    rng = np.random.default_rng([seed, 47])
    kind = seed % 6
    gamma = float(rng.uniform(0.45, 0.85)) if rng.random() < 0.5 else 1.0
    camera = Camera(
        demosaiced=kind in (1, 5),
        gamma=gamma,
        sharpening=float(rng.uniform(0.3, 0.8)) if kind in (2, 5) else 0.0,
        jpeg_quality=int(rng.integers(70, 96)) if kind in (3, 5) else None,
        chroma="4:2:0" if rng.random() >= 0.5 and kind in (3, 5) else "4:4:4",
    )
    return Hidden(
        camera,
        float(rng.uniform(0.0, 8.0)),
        float(rng.uniform(0.0, 0.35)),
        float(rng.uniform(0.002, 0.02)),
        float(np.exp(rng.uniform(np.log(0.4), np.log(2.5)))),
        float(np.exp(rng.uniform(np.log(5000.0), np.log(20000.0)))),
        LAGS[seed // 2 % len(LAGS)],
    )


class LaggingCamera(SimulatedCamera):
    """Reduces noise over time: gives a share of what it gave before, and for the rest the new frame.

    As the recursive filters in the image processors of webcams, a Raspberry Pi 5 (temporal denoise) and a Jetson
    (`tnr-mode`), where nothing moves: these follow motion, and mix less of it.
    """

    lag = 0.0
    _given: NDArray[np.float32] | None = None
    _last = -1

    def _exposed(self, number: int) -> Callable[[], UInt8Array]:
        if not self.lag:
            return super()._exposed(number)
        since = max(self._last + 1, number - MIXED)
        frames = [super(LaggingCamera, self)._exposed(one) for one in range(since, number + 1)]

        def mixed() -> UInt8Array:
            given = self._given
            for frame in frames:
                new = frame().astype(np.float32)
                given = new if given is None else self.lag * given + np.float32(1.0 - self.lag) * new
            self._given, self._last = given, number
            rounded: UInt8Array = np.rint(np.asarray(given)).astype(np.uint8)
            return rounded

        return mixed


def rendered(section: UInt8Array, truth: Hidden, seed: int, config: CameraConfig = CONFIG.camera) -> Render:
    """What the camera makes of a drawn section, which continues as its mirror image."""
    rng, scan = np.random.default_rng([seed, 48]), CONFIG.scan
    pool = NoisePool(rng)
    shape = (config.height_px, config.width_px)
    y, x = np.meshgrid(*(np.linspace(-1.0, 1.0, n, dtype=np.float32) for n in shape), indexing="ij")
    fall = 1.0 - truth.fall * (x * x + y * y) / 2.0
    kept: dict[tuple[float, float, float], UInt8Array] = {}  # the calibration comes back to its nine places

    def blurred(x_um: float, y_um: float, z_um: float) -> UInt8Array:
        key = (round(x_um, 1), round(y_um, 1), round(z_um, 1))
        if key not in kept:
            if len(kept) == N_KEPT:
                kept.clear()
            size = (shape[1], shape[0])
            at_px = [section.shape[1] / 2.0 + (x_um - scan.origin_x_um) / config.um_per_px - size[0] / 2.0]
            at_px.append(
                section.shape[0] / 2.0 + (y_um - scan.origin_y_um) / config.um_per_px - size[1] / 2.0
            )
            turn = np.array([[1.0, 0.0, at_px[0]], [0.0, 1.0, at_px[1]]])
            sharp = cv2.warpAffine(
                section,
                turn,
                size,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,
            )
            sigma = float(np.clip(0.4 * abs(z_um - FOCUS_Z_UM), 0.6, 14.0))
            kept[key] = cv2.GaussianBlur(sharp, (0, 0), sigma).astype(np.uint8)
        return kept[key]

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        light = truth.light * duty / scan.lamp_duty * (1.0 + truth.flicker * rng.standard_normal())
        electrons = (
            blurred(x_um, y_um, z_um)
            * np.float32(light * WHITE / 255.0 / 232.0 * truth.full_well)
            * fall[..., None]
        )
        noise = np.sqrt(electrons + np.float32(40.0**2)) * pool.of(electrons.shape)
        share = np.clip((electrons + noise) / truth.full_well, 0.0, 1.0)
        if truth.camera.gamma != 1.0:
            share **= np.float32(truth.camera.gamma)
        shot = np.rint(truth.dark_level + (255.0 - truth.dark_level) * share).clip(0, 255).astype(np.uint8)
        return processed(np.ascontiguousarray(shot), truth.camera)

    return render


def instrument_of(truth: Hidden, seed: int, config: Config = CONFIG) -> Instrument:
    """An instrument with this camera, not homed yet."""
    bench = VirtualBench(StubConfig(seed=seed))
    render = rendered(drawn(seed), truth, seed, config.camera)
    camera = LaggingCamera(bench, bench.clock, config.camera, render)
    camera.lag = truth.lag
    return Instrument(bench.open_board(config.board), camera, bench.clock, may_home=True)


def measured(seed: int, folder: Path) -> tuple[dict[str, KeptValue], CameraCalibration]:
    """What the calibration finds about the camera of `seed`. Raises CalibPoor."""
    store = Store(folder, Owner(seed, CONFIG.focus.objective))
    stamp = Stamp(datetime(2026, 11, 26, tzinfo=timezone.utc), "bench")
    instrument = instrument_of(hidden(seed), seed)
    running = CameraCalibration(instrument, CONFIG, store, stamp, lambda _words: None)
    return {one.name: one for one in running.run()}, running


def truths(truth: Hidden, seed: int) -> dict[str, float]:
    """The true values, by their names in the store."""
    # Noise below zero is cut off, so the dark is brighter than the offset alone.
    render = rendered(drawn(seed), truth, 1000 + seed)
    dark_level = float(np.mean([render(0.0, 0.0, 0.0, 0.0).mean() for _ in range(3)]))
    return {
        "camera_gamma": truth.camera.gamma,
        "camera_dark_level": dark_level,
        "camera_falloff_share": truth.fall,
        # Of pictures two frames apart, whose light a camera that mixes frames evens out.
        "camera_flicker_share": truth.flicker * (1.0 - truth.lag),
        "camera_lag_share": truth.lag,
    }


def processing_in_words(running: CameraCalibration) -> str:
    """What was found to be done by the camera."""
    found = running.seen.processing
    if found is None or not found.is_told:
        return "not told"
    kinds = {
        "JPEG": found.is_compressed,
        "demosaiced": found.is_demosaiced,
        "sharpened": found.is_sharpened,
        "smoothed": found.is_smoothed,
    }
    return ", ".join(kind for kind, is_found in kinds.items() if is_found) or "nothing"


def expected_in_words(camera: Camera) -> str:
    """What can be found of this camera: a JPEG hides what was done before, a colour filter hides sharpening."""
    if camera.jpeg_quality is not None:
        return "JPEG"
    if camera.demosaiced:
        return "demosaiced"
    return "sharpened" if camera.sharpening else "nothing"


COSTLY = {
    "nothing": Camera(),
    "JPEG 95": Camera(jpeg_quality=95, chroma="4:2:0"),
    "JPEG 85": Camera(jpeg_quality=85, chroma="4:2:0"),
    "demosaiced": Camera(demosaiced=True),
    "sharpened by 0.5": Camera(sharpening=0.5),
    "gamma 0.45": Camera(gamma=0.45),
}


def costs() -> None:
    """Print how far the configured model is off on pictures of a camera that does these things to them."""
    config, heights_um = play.CONFIG, tuple(float(z) for z in range(-10, 11))
    predictor = checked_engine(config).predictor
    scenes = [play.scene_of(seed) for seed in (1, 2)]
    shots = [[scene.shot(play.X_UM, play.Y_UM, z_um, 1.0) for z_um in heights_um] for scene in scenes]
    print("| done by the camera | mean error um |\n|---|---|")  # noqa: T201
    for name, camera in COSTLY.items():
        stacks = []
        for planes in shots:
            bent = [np.rint(255.0 * (plane / 255.0) ** camera.gamma).astype(np.uint8) for plane in planes]
            made = tuple(processed(plane, camera) for plane in bent)
            stacks.append(Stack(Path(name), heights_um, made, config.camera.um_per_px, 0.0))
        figures = evaluate_stacks(stacks, predictor, config).figures
        print(f"| {name} | {figures.mean_um:.2f} |" if figures else f"| {name} | - |")  # noqa: T201


def main() -> int:
    """Print a line for each camera, and how many values are within their limits and intervals."""
    if sys.argv[1:] == ["costs"]:
        costs()
        return 0
    seeds = range(1, 1 + (int(sys.argv[1]) if len(sys.argv) > 1 else 12))
    print("| seed | light | exposure s | gamma | dark | fall | flicker | lag | done by the camera | found |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|---|---|")  # noqa: T201
    held = within = n = right = 0
    for seed in seeds:
        truth = hidden(seed)
        with tempfile.TemporaryDirectory() as folder:
            found, running = measured(seed, Path(folder))
        cells = []
        for name, value in truths(truth, seed).items():
            one = found[name]
            error = one.value - value
            limit = LIMITS.get(name, FLICKER_LIMIT * value)
            held, within, n = held + (abs(error) <= one.uncertainty), within + (abs(error) <= limit), n + 1
            cells.append(f"{value:.3f}: {one.value:.3f} +- {one.uncertainty:.3f}")
        done, told = expected_in_words(truth.camera), processing_in_words(running)
        right += done == told
        exposure_s = found["camera_exposure_s"].value
        row = (seed, f"{truth.light:.2f}", f"{exposure_s:.4f}", *cells, done, told)
        print(f"| {' | '.join(map(str, row))} |", flush=True)  # noqa: T201
    print(  # noqa: T201
        f"\nwithin its limit: {within} of {n}; the interval holds the truth: {held} of {n}; "
        f"processing told rightly: {right} of {len(seeds)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
