"""A small virtual microscope, and a predictor that knows the truth: what the loop makes of a prediction is
tested apart from how good the network is.
"""

import functools
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.instrument import Instrument
from parfocal.edge.simscope.bench import Sample, stub_of
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.objectives import simulated_optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.engines.model.contract import Contract
from parfocal.engines.model.head import Prediction
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract, single_contract
from tests.near_home import near_home

TILES = Path(__file__).parents[2].parent / "shared" / "tiles"
FOCUS_Z_UM = 2500.0
SIDE_PX, PATCH_PX = 260, 128  # of `small`


def small(config: Config) -> Config:
    """The same instrument with a camera just large enough for four small patches: twenty times faster to render.

    For predictors that know the truth.
    """
    return with_camera(with_focus(config, patch_px=PATCH_PX), width_px=SIDE_PX, height_px=SIDE_PX)


def small_for_models(config: Config) -> Config:
    """The same instrument with a camera just large enough for four patches of the shipped models."""
    return with_camera(config, width_px=452, height_px=452)


def with_camera(config: Config, **changes: object) -> Config:
    """The configuration with another camera."""
    return msgspec.structs.replace(config, camera=msgspec.structs.replace(config.camera, **changes))


def with_focus(config: Config, **changes: object) -> Config:
    """The configuration with other numbers for the rule."""
    return msgspec.structs.replace(config, focus=msgspec.structs.replace(config.focus, **changes))


def with_scan(config: Config, **changes: object) -> Config:
    """The configuration with other numbers for a scan."""
    return msgspec.structs.replace(config, scan=msgspec.structs.replace(config.scan, **changes))


@functools.cache
def tissue(side_px: int = 600) -> NDArray[np.uint8]:
    """A drawn section: pink ground with dark nuclei of several sizes. All tests share it, so it is read-only."""
    rng = np.random.default_rng(7)
    pixels = np.full((side_px, side_px, 3), (225, 190, 215), np.uint8)
    for _ in range(700):
        centre = tuple(int(v) for v in rng.integers(0, side_px, 2))
        colour = tuple(int(v) for v in rng.integers((60, 30, 90), (140, 100, 170)))
        cv2.circle(pixels, centre, int(rng.integers(2, 9)), colour, -1, cv2.LINE_AA)
    section = cv2.GaussianBlur(pixels, (0, 0), 0.7).astype(np.uint8)
    section.flags.writeable = False
    return section


class KnowsTruth:
    """A runner that looks at the true stage. ``errors_um`` are added, one for each call in turn, then the last.

    As a trained network does, it says ``saturates_um`` and no more from farther away: the shipped model, trained within
    +-10 um, says 10.4 to 15 um from 11 to 35 um away. ``gain``: the distance that it says over the true one.
    """

    def __init__(
        self,
        bench: VirtualBench,
        focus_z_um: float,
        errors_um: list[list[float]] | None = None,
        saturates_um: float = np.inf,
        gain: float = 1.0,
    ) -> None:
        self._gain = gain
        self._bench, self._focus_z_um = bench, focus_z_um
        self._errors_um = errors_um or [[0.0] * 4]
        self._saturates_um = saturates_um
        self.calls = 0

    @property
    def contract(self) -> Contract:
        return difference_contract(name="knows-truth", patch_px=PATCH_PX)

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        errors_um = self._errors_um[min(self.calls, len(self._errors_um) - 1)]
        self.calls += 1
        z_um = self._bench.true_um(self._bench.clock.now_s())[2]
        distance_um = float(
            np.clip(self._gain * (self._focus_z_um - z_um), -self._saturates_um, self._saturates_um)
        )
        return np.array([[distance_um + e] for e in errors_um], np.float32)[: len(batch)]


class KnowsTruthOfOne(KnowsTruth):
    """The same as a single-shot model: one patch, a bias added."""

    @property
    def contract(self) -> Contract:
        return single_contract(name="knows-truth-of-one", patch_px=PATCH_PX)


class Tells(Predictor):
    """A predictor that also tells an uncertainty and a strangeness, the same for every patch. Its limit is 3."""

    def __init__(self, runner: KnowsTruth, sigma_um: float, strangeness: float = 1.0) -> None:
        super().__init__(runner)
        self._sigma_um, self._strangeness = sigma_um, strangeness

    def predict(self, batch: NDArray[np.float32]) -> Prediction:
        distance_um = super().predict(batch).distance_um
        same = np.ones_like(distance_um)
        return Prediction(distance_um, self._sigma_um * same, self._strangeness * same, 3.0)


def put_under(slide: tuple[NDArray[np.uint8], float], um_per_px: float, blank: bool) -> VirtualSlide:
    """A picture and its um per px as a slide, under a camera that samples at `um_per_px`."""
    return VirtualSlide(SlideImage(*slide), um_per_px, seed=1, blank_share=1.0 if blank else 0.0)


@functools.cache
def section(um_per_px: float, blank: bool) -> VirtualSlide:
    """The drawn section as a slide. All tests share it: a third of the time of a new microscope."""
    return put_under((tissue(), 0.345), um_per_px, blank)


class Scope:
    """A homed virtual microscope over one field whose focus lies at ``FOCUS_Z_UM``."""

    def __init__(
        self,
        config: Config,
        z_play_um: float = 20.0,
        blank: bool = False,
        slide: tuple[NDArray[np.uint8], float] | None = None,
    ) -> None:
        """``slide``: another picture than the drawn one, RGB uint8 (h, w, 3), and its um per px."""
        self.config = config
        self.bench = VirtualBench(near_home(stub_of(config, 1, z_play_um)))
        self.board = self.bench.open_board(config.board)
        self.board.home()
        self.board.lamp(config.scan.lamp_duty)
        um_per_px = config.camera.um_per_px
        laid = section(um_per_px, blank) if slide is None else put_under(slide, um_per_px, blank)
        shape_px = (config.camera.height_px, config.camera.width_px)
        scene = Scene(laid, simulated_optics(config.focus.objective, um_per_px), shape_px, seed=1)
        # The middle of a cell of the slide's blank areas: empty through and through when ``blank``.
        self.x_um = self.y_um = 2250.0
        self.sample = Sample(
            lambda _x, _y, z, duty: scene.shot(
                self.x_um, self.y_um, z - FOCUS_Z_UM, duty / config.scan.lamp_duty
            ),
            lambda _x, _y: FOCUS_Z_UM,
        )
        self.camera = SimulatedCamera(self.bench, self.bench.clock, config.camera, self.sample.render)

    def instrument(self) -> Instrument:
        return Instrument(self.board, self.camera, self.bench.clock)

    def focuser(self, errors_um: list[list[float]] | None = None, saturates_um: float = np.inf) -> Focuser:
        predictor = Predictor(KnowsTruth(self.bench, FOCUS_Z_UM, errors_um, saturates_um))
        return Focuser(self.board.z, self.camera, predictor, self._two_shot)

    def controlled(
        self,
        errors_um: list[list[float]] | None = None,
        single_errors_um: list[list[float]] | None = None,
        saturates_um: float = np.inf,
        measures: bool = False,
        above_sharpest_um: float | None = None,
    ) -> Focuser:
        """A focuser with the controller, and a single-shot model that is off by `single_errors_um`."""
        config = msgspec.structs.replace(self.config.focus, strategy="controller")
        pair = KnowsTruth(self.bench, FOCUS_Z_UM, errors_um, saturates_um)
        single = KnowsTruthOfOne(self.bench, FOCUS_Z_UM, single_errors_um, saturates_um)
        return Focuser(
            self.board.z,
            self.camera,
            Predictor(pair),
            config,
            Predictor(single),
            measures=measures,
            above_sharpest_um=above_sharpest_um,
        )

    def focuser_that_tells(
        self,
        errors_um: list[list[float]] | None = None,
        sigma_um: float = 0.2,
        strangeness: float = 1.0,
        gain: float = 1.0,
    ) -> Focuser:
        predictor = Tells(KnowsTruth(self.bench, FOCUS_Z_UM, errors_um, gain=gain), sigma_um, strangeness)
        return Focuser(self.board.z, self.camera, predictor, self._two_shot)

    @property
    def _two_shot(self) -> FocusConfig:
        return msgspec.structs.replace(self.config.focus, strategy="two-shot")

    def true_z_um(self) -> float:
        return self.bench.true_um(self.bench.clock.now_s())[2]

    def error_um(self) -> float:
        return self.true_z_um() - FOCUS_Z_UM
