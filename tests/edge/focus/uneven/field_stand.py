"""A field of given heights under a small virtual microscope, with a predictor that knows the heights of its patches."""

from collections.abc import Callable

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.config import Config
from parfocal.edge.focus.picture.cells import CELL_PX
from parfocal.edge.focus.uneven.field import FOR_PICTURE, PassThrough, Planes, UnevenField
from parfocal.edge.instrument import Instrument
from parfocal.edge.simscope.bench import stub_of
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.edge.simscope.triggered_camera import TriggeredCamera
from parfocal.engines.model.contract import Contract
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract
from tests.edge.scope import tissue

HEIGHT_PX, WIDTH_PX, PATCH_PX = 192, 256, 64
FOCUS_Z_UM = 2500.0
PLACES = [(top, left) for top in range(0, HEIGHT_PX, PATCH_PX) for left in range(0, WIDTH_PX, PATCH_PX)]
EVEN = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
STEP = np.where(np.arange(WIDTH_PX) < WIDTH_PX // 2, 0.0, 3.5).astype(np.float32)[None, :] + EVEN

Predicts = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class KnowsHeights:
    """A runner that looks at the true stage and at the true heights of the patches; `predicts` makes of them what it
    will.
    """

    def __init__(self, bench: VirtualBench, heights_um: NDArray[np.float32], predicts: Predicts) -> None:
        self._bench, self._predicts, self._next = bench, predicts, 0
        self._true_um = np.array(
            [heights_um[top : top + PATCH_PX, left : left + PATCH_PX].mean() for top, left in PLACES],
            np.float64,
        )

    @property
    def contract(self) -> Contract:
        return difference_contract()

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        z_um = self._bench.true_um(self._bench.clock.now_s())[2]
        present = np.arange(self._next, self._next + len(batch))
        self._next = (self._next + len(batch)) % len(PLACES)
        distance_um = FOCUS_Z_UM + self._predicts(self._true_um) - z_um
        return distance_um[present].astype(np.float32)[:, None]


class Field:
    """One field with the given heights under a lit microscope with 20 um of play, the stage in focus at 0."""

    def __init__(
        self,
        heights_um: NDArray[np.float32] = STEP,
        predicts: Predicts = lambda true_um: true_um,
        max_um: float = 5000.0,
        blank: bool = False,
        planes: Planes = FOR_PICTURE,
        flash_brightness: float = 340.0,
    ) -> None:
        base = Config()
        camera_config = msgspec.structs.replace(base.camera, height_px=HEIGHT_PX, width_px=WIDTH_PX)
        z = msgspec.structs.replace(base.board.z, max_um=max_um)
        self.config = msgspec.structs.replace(
            base,
            camera=camera_config,
            board=msgspec.structs.replace(base.board, z=z),
            focus=msgspec.structs.replace(base.focus, patch_px=PATCH_PX),
            scan=msgspec.structs.replace(base.scan, flash_brightness=flash_brightness),
        )
        self.bench = VirtualBench(stub_of(self.config, 1))
        self.board = self.bench.open_board(self.config.board)
        self.board.home()
        self.board.lamp(self.config.scan.lamp_duty)
        laid = VirtualSlide(SlideImage(tissue(), 0.345), 0.345, seed=1, blank_share=1.0 if blank else 0.0)
        scene = Scene(laid, Optics(), (HEIGHT_PX, WIDTH_PX), seed=1)
        self.exposed_um: list[float] = []

        def render(_x_um: float, _y_um: float, z_um: float, duty: float) -> NDArray[np.uint8]:
            self.exposed_um.append(z_um)
            light = duty / self.config.scan.lamp_duty
            return scene.uneven_shot(2250.0, 2250.0, np.float32(z_um - FOCUS_Z_UM) - heights_um, light)

        clock, brightness = self.bench.clock, self.config.scan.flash_brightness
        free = SimulatedCamera(self.bench, clock, camera_config, render)
        self.instrument = Instrument(
            self.board,
            free,
            clock,
            triggered=TriggeredCamera(free, self.bench, clock, camera_config, render, brightness),
        )
        self.axis = self.board.z
        self.axis.approach_up(FOCUS_Z_UM)
        self._predictor = Predictor(KnowsHeights(self.bench, heights_um, predicts))
        self._planes = planes
        self.uneven = self.passed_by(None)
        self.true_um = cv2.resize(
            heights_um[:, : WIDTH_PX // CELL_PX * CELL_PX],
            (WIDTH_PX // CELL_PX, HEIGHT_PX // CELL_PX),
            interpolation=cv2.INTER_AREA,
        )

    def passed_by(self, pass_through: PassThrough | None) -> UnevenField:
        """What judges the field, with planes taken by `pass_through`; None to stop for each."""
        camera, config = self.instrument.camera, self.config
        return UnevenField(
            self.axis,
            camera,
            self._predictor,
            config.focus,
            config.camera.um_per_px,
            self._planes,
            pass_through,
        )
