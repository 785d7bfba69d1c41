"""How well `parfocal calibrate backlash` measures the play, on stages whose play it does not know.

`python -m tests.bench.play [z] [xy] [refused]` prints tables in Markdown. Everything is simulated in virtual time:
drawn tissue under simulated optics with camera noise, a stub motor board with swing and an error of the screw, a stage
that drifts by 0.5 um a minute, and a field whose halves lie 0.6 um apart in height (a tilt of 1.5 um per mm).
"""

import functools
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import msgspec
import numpy as np

from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.calib.errors import CalibPoor
from parfocal.edge.calibrate.curves import Curves
from parfocal.edge.calibrate.motion.xy_play import Staircases
from parfocal.edge.calibrate.motion.z_play import measure_z_play
from parfocal.edge.config import CameraConfig, Config, FocusConfig
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import Render, SimulatedCamera
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide

FOCUS_Z_UM = 2500.0
X_UM = Y_UM = 6750.0  # the middle of a cell of the slide, where a blank area lies if there is one
Z_PLAYS_UM = (0.0, 3.0, 8.0, 15.0, 20.0)
XY_PLAYS_UM = (0.0, 10.0, 35.0, 60.0, 100.0)
SEEDS = (1, 2, 3)
TILT_UM, LAYERS_UM = 0.6, 8.0
DRIFT_UM, DRIFT_TAU_S = 15.0, 1800.0  # 0.5 um a minute at first
CONFIG = Config(
    camera=CameraConfig(width_px=452, height_px=452),
    focus=FocusConfig(first_sweep_start_um=2460.0, first_sweep_stop_um=2540.0),
)


class Measurement(NamedTuple):
    """A measured play and half the width of its 95 % interval."""

    play_um: float
    uncertainty_um: float


@functools.cache
def drawn(seed: int) -> UInt8Array:
    """A drawn section, (h, w, 3): pink ground with dark nuclei of several sizes. It is shared: read only."""
    rng = np.random.default_rng([seed, 41])
    pixels = np.full((1200, 1200, 3), (225, 190, 215), np.uint8)
    for _ in range(2800):
        centre = tuple(int(v) for v in rng.integers(0, 1200, 2))
        colour = tuple(int(v) for v in rng.integers((60, 30, 90), (140, 100, 170)))
        cv2.circle(pixels, centre, int(rng.integers(2, 9)), colour, -1, cv2.LINE_AA)
    section = cv2.GaussianBlur(pixels, (0, 0), 0.7).astype(np.uint8)
    section.flags.writeable = False
    return section


def scene_of(seed: int, blank: bool = False) -> Scene:
    """A slide under the reference objective."""
    camera = CONFIG.camera
    slide = VirtualSlide(
        SlideImage(drawn(seed), camera.um_per_px), camera.um_per_px, seed, blank_share=1.0 if blank else 0.0
    )
    return Scene(slide, Optics(um_per_px=camera.um_per_px), (camera.height_px, camera.width_px), seed)


def tilted(scene: Scene, light: float = 1.0) -> Render:
    """A field whose left half lies lower than its right half."""

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        shots = [
            scene.shot(
                x_um, y_um, z_um - FOCUS_Z_UM + side * TILT_UM / 2.0, light * duty / CONFIG.scan.lamp_duty
            )
            for side in (1.0, -1.0)
        ]
        middle = shots[0].shape[1] // 2
        return np.ascontiguousarray(np.concatenate((shots[0][:, :middle], shots[1][:, middle:]), axis=1))

    return render


def layered(scene: Scene) -> Render:
    """Two layers of the same tissue, one above the other."""

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        light = duty / CONFIG.scan.lamp_duty
        low, high = (
            scene.shot(x_um, y_um, z_um - FOCUS_Z_UM + side * LAYERS_UM / 2.0, light) for side in (1, -1)
        )
        return cv2.addWeighted(low, 0.5, high, 0.5, 0.0).astype(np.uint8)

    return render


def opened(render: Render, seed: int, **plays_um: float) -> Instrument:
    """A homed, lit instrument at the field, whose axes have the play of `x`, `y` and `z`."""
    stub = StubConfig(seed=seed)
    changed = {
        name: msgspec.structs.replace(getattr(stub, name), play_um=play_um, lead_error_um=0.5)
        for name, play_um in plays_um.items()
    }
    z = changed.get("z", stub.z)
    changed["z"] = msgspec.structs.replace(z, drift_um=DRIFT_UM, drift_tau_s=DRIFT_TAU_S)
    bench = VirtualBench(msgspec.structs.replace(stub, **changed))
    board = bench.open_board(CONFIG.board)
    board.home()
    board.lamp(CONFIG.scan.lamp_duty)
    camera = SimulatedCamera(bench, bench.clock, CONFIG.camera, render)
    instrument = Instrument(board, camera, bench.clock)
    instrument.go_to(X_UM, Y_UM)
    return instrument


def z_play(render: Render, seed: int, play_um: float) -> Measurement:
    """Measure the play of Z. Raises CalibPoor."""
    instrument = opened(render, seed, z=play_um)
    fitted = measure_z_play(Curves(instrument, CONFIG.focus, lambda _words: None))
    return Measurement(fitted.play_um, fitted.uncertainty_um)


def xy_play(scene: Scene, seed: int, axis: str, play_um: float) -> Measurement:
    """Measure the play of X or Y. Raises CalibPoor."""

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        return scene.shot(x_um, y_um, z_um - FOCUS_Z_UM, duty / CONFIG.scan.lamp_duty)

    instrument = opened(render, seed, **{axis: play_um})
    instrument.board.z.approach_up(FOCUS_Z_UM)
    fitted = Staircases(instrument.board.axes[axis], instrument, CONFIG.camera, lambda _words: None).measure()
    return Measurement(fitted.play_um, fitted.uncertainty_um)


def rows(plays_um: tuple[float, ...], measure: Callable[[int, float], list[Measurement]]) -> Iterator[str]:
    """A line for each true play: what was measured, the largest error, how many intervals hold the truth."""
    yield "| true play um | measured um | largest error um | +- um | interval holds the truth |"
    yield "|---|---|---|---|---|"
    held = n = 0
    for play_um in plays_um:
        found = [one for seed in SEEDS for one in measure(seed, play_um)]
        errors_um = [abs(one.play_um - play_um) for one in found]
        holds = [error <= one.uncertainty_um for error, one in zip(errors_um, found, strict=True)]
        held, n = held + sum(holds), n + len(holds)
        measured = " ".join(f"{one.play_um:.2f}" for one in found)
        widest = max(one.uncertainty_um for one in found)
        yield f"| {play_um:g} | {measured} | {max(errors_um):.2f} | {widest:.2f} | {sum(holds)} of {len(holds)} |"
    yield f"\nThe interval holds the truth in {held} of {n} runs ({100.0 * held / n:.0f} %).\n"


def refusals() -> Iterator[str]:
    """A line for each field that must be refused, with what was said."""
    yield "| field | refused with |"
    yield "|---|---|"
    fields = {
        "blank": tilted(scene_of(1, blank=True)),
        "saturated": tilted(scene_of(1), light=1.6),
        "two-peaked": layered(scene_of(1)),
    }
    for name, render in fields.items():
        yield f"| {name} | {refusal(render)} |"


def refusal(render: Render) -> str:
    """Why the play of Z is not measured in this field."""
    try:
        found = z_play(render, 1, 8.0)
    except CalibPoor as error:
        return str(error)
    return f"NOT REFUSED: {found.play_um:.2f} +- {found.uncertainty_um:.2f} um"


def main() -> int:
    """Print the tables that the command line names, or all."""
    asked = sys.argv[1:] or ["z", "xy", "refused"]
    if "z" in asked:
        print("\n".join(rows(Z_PLAYS_UM, lambda seed, um: [z_play(tilted(scene_of(seed)), seed, um)])))  # noqa: T201
    if "xy" in asked:
        both = rows(
            XY_PLAYS_UM, lambda seed, um: [xy_play(scene_of(seed), seed, axis, um) for axis in ("x", "y")]
        )
        print("\n".join(both))  # noqa: T201
    if "refused" in asked:
        print("\n".join(refusals()))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
