"""A small virtual microscope over a slide with tissue, glass and a bent focal surface; cheap to render.

The camera has 160 x 128 px. Defocus is a Gaussian blur, and the predictors know the truth but for noise: what the scan
makes of pictures and predictions is tested apart from how good a network is.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.stub.faults import Faults
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.calib.camera.view import View
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.instrument import FieldTruth, Instrument
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.measured.trigger_in_use import TriggerInUse
from parfocal.edge.scan.tiling.job import Eyes
from parfocal.edge.simscope.bench import stub_of
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.triggered_camera import TriggeredCamera
from parfocal.engines.model.contract import Contract
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract, single_contract
from tests.edge.scope import with_scan
from tests.near_home import near_home

FOCUS_Z_UM = 2500.0
CENTRE_UM = (20_000.0, 10_000.0)
UM_PER_PX = 0.345
CONFIG = config_from_toml(
    "[camera]\nwidth_px = 160\nheight_px = 128\n[focus]\nstrategy = 'two-shot'\npatch_px = 56\n"
    "first_sweep_start_um = 2485.0\nfirst_sweep_stop_um = 2515.0\nfirst_sweep_step_um = 4.0\n",
    "the small slide",
)
# With a flash that is bright enough for sweeps.
BRIGHT = with_scan(CONFIG, flash_brightness=100.0, flash_delay_s=1e-5)
STRAIGHT = View(UM_PER_PX)
SLIDE_PX = 900  # a side, 0.31 mm

Focus = Callable[[float, float], float]


def bent(x_um: float, y_um: float) -> float:
    """A tilt of 6 um/mm and a bend, in um of the stage."""
    x_mm, y_mm = (x_um - CENTRE_UM[0]) / 1000.0, (y_um - CENTRE_UM[1]) / 1000.0
    return FOCUS_Z_UM + 6.0 * x_mm - 4.0 * y_mm + 3.0 * x_mm * y_mm


@functools.lru_cache
def drawn(seed: int = 7, side_px: int = SLIDE_PX) -> NDArray[np.uint8]:
    """Tissue as a picture (side_px, side_px, 3), with a stripe of empty glass at the left."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0.0, 1.0, (side_px // 20, side_px // 20)).astype(np.float32)
    small = cv2.resize(coarse, (side_px, side_px))
    fine = cv2.GaussianBlur(rng.normal(0.0, 1.0, (side_px, side_px)).astype(np.float32), (0, 0), 1.2)
    grey = 150.0 + 25.0 * small + 130.0 * fine
    pixels: NDArray[np.uint8] = np.empty((side_px, side_px, 3), np.uint8)
    for channel, more in enumerate((30.0, -20.0, 20.0)):  # one by one, for a large slide
        pixels[..., channel] = np.clip(grey.astype(np.float64) + more, 0, 235)
    pixels[:, : side_px // 8] = 235
    return pixels


def _cut(pixels: NDArray[np.uint8], left: float, top: float, width: int, height: int) -> NDArray[np.float32]:
    """A part of a picture that begins at a fraction of a pixel; beyond the edge the picture goes on as at its edge."""
    x, y = int(np.floor(left)), int(np.floor(top))
    last = len(pixels) - 1
    back = np.array([[1.0, 0.0, 2.0 + left - x], [0.0, 1.0, 2.0 + top - y]])
    part = pixels[max(y - 2, 0) : y + height + 3, max(x - 2, 0) : x + width + 3].astype(np.float32)
    if part.shape[:2] != (height + 5, width + 5):
        rows = np.clip(np.arange(y - 2, y + height + 3), 0, last)
        columns = np.clip(np.arange(x - 2, x + width + 3), 0, last)
        part = pixels[rows][:, columns].astype(np.float32)
    cut: NDArray[np.float32] = cv2.warpAffine(
        part, back, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    ).astype(np.float32, copy=False)
    return cut


class Knows:
    """A runner that knows the true distance where the last picture was exposed, but for noise.

    `off_um` is its constant error.
    """

    def __init__(
        self,
        exposed_um: list[tuple[float, float, float]],
        focus: Focus,
        contract: Contract,
        sigma_um: float = 0.0,
        off_um: float = 0.0,
    ) -> None:
        self._exposed_um, self._focus, self.contract = exposed_um, focus, contract
        self._sigma_um, self._off_um = sigma_um, off_um
        self._rng = np.random.default_rng(3)

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        x_um, y_um, z_um = self._exposed_um[-1]
        distance_um = self._focus(x_um, y_um) - z_um + self._off_um
        noise_um = self._sigma_um * self._rng.normal()
        return np.full((len(batch), 1), distance_um + noise_um, np.float32)


class SmallSlide:
    """The microscope, its slide and its models. `blur_px_per_um`: how blurred it is out of focus."""

    blur_px_per_um = 0.9

    def __init__(
        self,
        focus: Focus = bent,
        pixels: NDArray[np.uint8] | None = None,
        moved_um: tuple[float, float, float] = (0.0, 0.0, 0.0),
        single_sigma_um: float = 0.25,
        has_single: bool = True,
        faults: Faults | None = None,
        config: Config = CONFIG,
        view: View = STRAIGHT,
        trigger_delay_s: float = 0.0,
        pair_sigma_um: float = 0.1,
        pair_range_um: float = 10.0,
        is_exposure_measured: bool = False,
    ) -> None:
        """`moved_um`: how far the slide lies from where it lay; `single_sigma_um`, `pair_sigma_um`: noise of one shot
        and of two; `pair_range_um`: of the model that takes two.

        `view`: how the camera lies by its calibration; in truth it is straight. `trigger_delay_s`: how long after a
        trigger the camera exposes. `is_exposure_measured`: it is known when an exposure is over.
        """
        self._trigger_delay_s = trigger_delay_s
        self._exposed_s = trigger_delay_s + config.camera.exposure_s if is_exposure_measured else None
        self.config, self.view = config, view
        self._pixels = drawn() if pixels is None else pixels
        self._moved_um = moved_um
        shape = (config.camera.height_px, config.camera.width_px, 3)
        self._noise = np.random.default_rng(1).normal(0.0, 0.8, shape)
        self.focus: Focus = lambda x, y: focus(x - moved_um[0], y - moved_um[1]) + moved_um[2]
        self.bench = VirtualBench(near_home(stub_of(config, 1)), faults)
        self.exposed_um: list[tuple[float, float, float]] = []
        pair = difference_contract(
            name="knows-two",
            objective=config.focus.objective,
            delta_um=config.focus.delta_um,
            range_um=pair_range_um,
        )
        two_shot = Knows(self.exposed_um, self.focus, pair, pair_sigma_um)
        single = Knows(
            self.exposed_um,
            self.focus,
            msgspec.structs.replace(single_contract(), patch_px=112, name="knows-one"),
            single_sigma_um,
            off_um=-0.7,
        )
        self.eyes = Eyes(Predictor(two_shot), Predictor(single) if has_single else None)
        self._reboots_at: int | None = None

    def reboot_at(self, n_pictures: int) -> None:
        """Let the board reboot as it takes its picture of that number, from 1 on."""
        self._reboots_at = n_pictures

    def render(self, x_um: float, y_um: float, z_um: float, duty: float) -> NDArray[np.uint8]:
        """A picture at a true position."""
        self.exposed_um.append((x_um, y_um, z_um))
        if len(self.exposed_um) == self._reboots_at:
            self.bench.stub.reboot()
        camera, side_px = self.config.camera, len(self._pixels)
        left = (x_um - self._moved_um[0] - CENTRE_UM[0]) / UM_PER_PX + (side_px - camera.width_px) // 2
        top = (y_um - self._moved_um[1] - CENTRE_UM[1]) / UM_PER_PX + (side_px - camera.height_px) // 2
        sharp = _cut(self._pixels, left, top, camera.width_px, camera.height_px)
        away_um = abs(z_um - self.focus(x_um, y_um))
        blurred = cv2.GaussianBlur(sharp, (0, 0), 0.2 + self.blur_px_per_um * min(away_um, 20.0))
        noisy = blurred * (duty / self.config.scan.lamp_duty) + self._fresh_noise()
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

    def _fresh_noise(self) -> NDArray[np.float64]:
        """Noise that differs from frame to frame, as a camera's does: the same values in other rows."""
        self._noise = np.roll(self._noise, 7, axis=0)
        return self._noise

    @contextlib.contextmanager
    def instrument(self, plays: tuple[PlayInUse, ...] = ()) -> Iterator[Instrument]:
        """The microscope, open and not homed."""
        with self.bench.open_board(self.config.board) as board:
            clock = self.bench.clock
            camera = SimulatedCamera(self.bench, clock, self.config.camera, self.render)

            def truth_at(_x_um: float, _y_um: float, time_s: float | None = None, /) -> FieldTruth:
                x_um, y_um, z_um = self.bench.true_um(clock.now_s() if time_s is None else time_s)
                return FieldTruth(self.focus(x_um, y_um), z_um)

            brightness = self.config.scan.flash_brightness
            triggered = TriggeredCamera(
                camera,
                self.bench,
                clock,
                self.config.camera,
                self.render,
                brightness,
                self._trigger_delay_s,
            )
            trigger = TriggerInUse(
                self.config.scan.flash_delay_s,
                room_s=None if self._exposed_s is None else self.config.camera.exposure_s,
                exposed_s=self._exposed_s,
            )
            yield Instrument(
                board,
                camera,
                clock,
                truth_at,
                may_home=True,
                plays=plays,
                view=self.view,
                # Calibrated: a proof takes pictures after the last one, and the predictors know only the last one.
                above_sharpest_um=0.0,
                triggered=triggered,
                trigger=trigger,
            )
