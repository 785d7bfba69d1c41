"""How well `parfocal calibrate stage` measures a stage whose mechanics it does not know.

`python -m tests.bench.stage [SEEDS]` prints a table in Markdown. Each seed draws the scale of X and Y, the angle of the
camera and whether it is mirrored, the play, how the axes swing after a move, and the noise. Everything is simulated in
virtual time; the section is drawn and moves by fractions of a pixel, defocus is a Gaussian blur.
"""

import math
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import cv2
import msgspec
import numpy as np

from parfocal.board.stub.config import StubAxisConfig, StubConfig
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.calib.camera.view import View
from parfocal.calib.store import Owner, Store
from parfocal.edge.calibrate.keeper import KeptValue, Stamp
from parfocal.edge.calibrate.motion.settling import LIMIT_PX, LIMIT_Z_UM, SIDE_MOVE_UM, Z_MOVE_UM
from parfocal.edge.calibrate.motion.stage import StageCalibration
from parfocal.edge.config import CameraConfig, Config, FocusConfig
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import Render, SimulatedCamera
from tests.bench.play import drawn

FOCUS_Z_UM = 2501.3
CONFIG = Config(
    camera=CameraConfig(width_px=452, height_px=452),
    focus=FocusConfig(first_sweep_start_um=2480.0, first_sweep_stop_um=2520.0),
)
BLUR_PX, BLUR_PX_PER_UM = 0.6, 0.5
LIMITS = {"um_per_step": 0.005, "settle_s": 0.2}  # of the truth, as a share
ANGLE_LIMIT_DEG = 0.2


class Hidden(NamedTuple):
    """What only the bench knows: the mechanics, and how the camera is turned."""

    stub: StubConfig
    view: View
    noise: float


def hidden(seed: int) -> Hidden:
    """Mechanics, camera and noise that `seed` draws."""
    rng = np.random.default_rng([seed, 43])
    stub = StubConfig(seed=seed)
    axes = {}
    for name in ("x", "y", "z"):
        axis: StubAxisConfig = getattr(stub, name)
        # Amplitudes are those of a stop from the stub's top speed, twice that of the configuration.
        largest_um = 3.0 if name == "z" else 8.0
        axes[name] = msgspec.structs.replace(
            axis,
            um_per_step=axis.um_per_step * (1.0 if name == "z" else rng.uniform(0.94, 1.06)),
            play_um=float(rng.uniform(0.0, 25.0 if name == "z" else 100.0)),
            lead_error_um=float(rng.uniform(0.0, 1.0)) if name != "z" else 0.3,
            settle_amplitude_um=float(rng.uniform(0.4, 1.0) * largest_um),
            settle_tau_s=float(rng.uniform(0.01, 0.05)),
            settle_hz=float(rng.uniform(15.0, 70.0)),
        )
    angle_deg = float(rng.choice([0.0, 90.0, 180.0]) + rng.uniform(-6.0, 6.0))
    view = View(CONFIG.camera.um_per_px, angle_deg, bool(rng.random() < 0.5))
    return Hidden(msgspec.structs.replace(stub, **axes), view, float(rng.uniform(1.0, 4.0)))


def rendered(section: UInt8Array, truth: Hidden, seed: int) -> Render:
    """A camera that is turned over a drawn section, which continues as its mirror image."""
    rng, scan, camera = np.random.default_rng([seed, 44]), CONFIG.scan, CONFIG.camera
    # As many pictures of noise as make no two shots in a row alike; drawing it anew takes most of the time of a shot.
    noise = rng.standard_normal((8, camera.height_px, camera.width_px, 3), np.float32) * np.float32(
        truth.noise
    )
    middle_px = np.array(section.shape[1::-1]) / 2.0
    half_px = np.array([camera.width_px - 1, camera.height_px - 1]) / 2.0
    columns = [np.array(truth.view.um_from_px(*unit)) / camera.um_per_px for unit in ((1.0, 0.0), (0.0, 1.0))]
    turn = np.stack(columns, axis=1)
    # Where the stage truly stands at the configured origin, by its own scale.
    origin_um = np.array([scan.origin_x_um, scan.origin_y_um]) * [
        getattr(truth.stub, name).um_per_step / CONFIG.board.axis(name).um_per_step for name in ("x", "y")
    ]

    kept: dict[tuple[float, float], UInt8Array] = {}  # a sweep in Z shows the same place

    def turned(x_um: float, y_um: float) -> UInt8Array:
        if (x_um, y_um) not in kept:
            kept.clear()
            at_px = middle_px + (np.array([x_um, y_um]) - origin_um) / camera.um_per_px - turn @ half_px
            kept[x_um, y_um] = cv2.warpAffine(
                section,
                np.concatenate([turn, at_px[:, None]], axis=1),
                (camera.width_px, camera.height_px),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT,
            ).astype(np.uint8, copy=False)
        return kept[x_um, y_um]

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        sigma = min(math.hypot(BLUR_PX, BLUR_PX_PER_UM * (z_um - FOCUS_Z_UM)), 6.0)
        shot = cv2.GaussianBlur(turned(x_um, y_um), (0, 0), sigma).astype(np.float32)
        shot *= np.float32(duty / scan.lamp_duty)
        way = rng.choice((-1, 1), 2)
        shot += noise[rng.integers(len(noise)), :: way[0], :: way[1]]
        return np.clip(shot, 0.0, 255.0, out=shot).astype(np.uint8)

    return render


def instrument_of(truth: Hidden, render: Render) -> Instrument:
    """An instrument with these mechanics, not homed yet."""
    bench = VirtualBench(truth.stub)
    board = bench.open_board(CONFIG.board)
    camera = SimulatedCamera(bench, bench.clock, CONFIG.camera, render)
    return Instrument(board, camera, bench.clock, may_home=True, view=View(CONFIG.camera.um_per_px))


def true_settle_s(axis: StubAxisConfig, name: str) -> float:
    """When the swing of an axis stays within the limit after the move that is watched."""
    config = CONFIG.board.axis(name)
    moved_um = Z_MOVE_UM if name == "z" else SIDE_MOVE_UM
    scale = axis.um_per_step / config.um_per_step
    peak_um_per_s = min(config.speed_um_per_s, math.sqrt(config.accel_um_per_s2 * moved_um)) * scale
    amplitude_um = axis.settle_amplitude_um * peak_um_per_s / axis.max_speed_um_per_s
    limit_um = LIMIT_Z_UM if name == "z" else LIMIT_PX * CONFIG.camera.um_per_px
    return max(0.0, axis.settle_tau_s * math.log(amplitude_um / limit_um))


def truths(truth: Hidden) -> dict[str, float]:
    """The true values, by their names in the store."""
    axes = {name: getattr(truth.stub, name) for name in ("x", "y", "z")}
    return {
        **{f"{name}_um_per_step": axes[name].um_per_step for name in ("x", "y")},
        **{f"{name}_settle_s": true_settle_s(axis, name) for name, axis in axes.items()},
        "camera_angle_deg": (truth.view.angle_deg + 180.0) % 360.0 - 180.0,
        "camera_is_mirrored": float(truth.view.is_mirrored),
    }


def measured(seed: int, folder: Path) -> tuple[dict[str, KeptValue], Instrument]:
    """What the calibration finds on the stage of `seed`. Raises CalibPoor."""
    truth = hidden(seed)
    instrument = instrument_of(truth, rendered(drawn(seed), truth, seed))
    store = Store(folder, Owner(seed, CONFIG.focus.objective))
    stamp = Stamp(datetime(2026, 11, 26, tzinfo=timezone.utc), "bench")
    running = StageCalibration(instrument, CONFIG, store, stamp, lambda _words: None)
    return {one.name: one for one in running.run()}, instrument


def error_of(name: str, value: float, truth: float) -> float:
    """By how much a value is off; of an angle, the short way round."""
    return (value - truth + 180.0) % 360.0 - 180.0 if name.endswith("deg") else value - truth


def main() -> int:
    """Print a line for each value and seed, and how many intervals hold the truth."""
    seeds = range(1, 1 + (int(sys.argv[1]) if len(sys.argv) > 1 else 6))
    print("| seed | value | truth | measured | +- | error | within | interval holds the truth |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|")  # noqa: T201
    held = within = n = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            found, instrument = measured(seed, Path(folder))
        for name, truth in truths(hidden(seed)).items():
            one = found[name]
            error = error_of(name, one.value, truth)
            share = next((share for end, share in LIMITS.items() if name.endswith(end)), None)
            limit = ANGLE_LIMIT_DEG if share is None else share * truth
            holds, close = abs(error) <= one.uncertainty, abs(error) <= limit
            held, within, n = held + holds, within + close, n + 1
            cells = (
                seed,
                name,
                f"{truth:.4f}",
                f"{one.value:.4f}",
                f"{one.uncertainty:.4f}",
                f"{error:+.4f}",
            )
            print(f"| {' | '.join(map(str, cells))} | {close} | {holds} |", flush=True)  # noqa: T201
        print(f"| {seed} | microscope time | | {instrument.clock.now_s():.0f} s | | | | |")  # noqa: T201
    print(f"\nwithin its limit: {within} of {n}; the interval holds the truth: {held} of {n}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
