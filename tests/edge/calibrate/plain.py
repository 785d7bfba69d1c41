"""A microscope that is quick to draw: defocus is a Gaussian blur, the stage is the stub board's.

What calibration measures lies in the mechanics; the optics need no more than a peak, a field and noise, in grey. Blur
grows with the distance in depths of field.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import cv2
import msgspec
import numpy as np
import pytest

from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.calibrate.optics import model_view
from parfocal.edge.calibrate.optics.model_view import Plane
from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.instrument import FieldTruth, Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import SimulatedCamera
from tests.edge.scope import SIDE_PX, small, tissue

FOCUS_Z_UM = 2501.3
WIDE_PX = 1700  # the drawn section; a field is the middle part, and a move of 200 um is 580 px
# A short first sweep, so that a test takes a second.
CONFIG = small(Config(focus=FocusConfig(first_sweep_start_um=2480.0, first_sweep_stop_um=2510.0)))

# Through 20x/0.75. Far from the focus only the light is left. Nearer the blur stays small: it takes time.
FAR_UM, FAR_BLUR_PX = 50.0, 25.0

Look = Callable[[UInt8Array], UInt8Array]
SECTION = cv2.cvtColor(tissue(WIDE_PX), cv2.COLOR_RGB2GRAY).astype(np.uint8)
NOISE = np.random.default_rng(3).integers(0, 5, (8, SIDE_PX, SIDE_PX)).astype(np.uint8)


class Plain:
    """The microscope over a drawn section. `look` changes each picture, `focus_um` has its one or two layers."""

    def __init__(
        self,
        plays_um: dict[str, float],
        focus_um: tuple[float, ...] = (FOCUS_Z_UM,),
        look: Look | None = None,
        section: UInt8Array = SECTION,
        drift_um_per_min: float = 0.0,
        config: Config = CONFIG,
        seed: int = 1,
    ) -> None:
        """`plays_um`: true play of axes by name; others have that of the stub."""
        stub, self.config, self.frames = StubConfig(seed=seed), config, 0
        axes = {
            name: msgspec.structs.replace(getattr(stub, name), play_um=um) for name, um in plays_um.items()
        }
        z = msgspec.structs.replace(axes.get("z", stub.z), drift_um=30.0 * drift_um_per_min)  # over 1800 s
        self.bench = VirtualBench(msgspec.structs.replace(stub, **{**axes, "z": z}))
        self.board = self.bench.open_board(config.board)
        self._focus_um, self._look, self._section = focus_um, look, section
        self.highest_um = -np.inf
        camera = SimulatedCamera(self.bench, self.bench.clock, config.camera, self._render)
        self.instrument = Instrument(self.board, camera, self.bench.clock, may_home=True)

    def truth(self) -> FieldTruth:
        """The true height of focus and stage."""
        return FieldTruth(self._focus_um[0], self.bench.true_um(self.bench.clock.now_s())[2])

    def _render(self, x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        self.frames += 1
        self.highest_um = max(self.highest_um, z_um)
        scan, um_per_px = self.config.scan, self.config.camera.um_per_px
        middle_px = (
            WIDE_PX / 2.0 + (x_um - scan.origin_x_um) / um_per_px,
            WIDE_PX / 2.0 + (y_um - scan.origin_y_um) / um_per_px,
        )
        sharp = cv2.getRectSubPix(self._section, (SIDE_PX, SIDE_PX), middle_px)
        aside_um = [abs(z_um - um) / depth_scale(self.config.focus.objective) for um in self._focus_um]
        sigmas = [FAR_BLUR_PX if um > FAR_UM else min(0.4 + 0.5 * um, 4.0) for um in aside_um]
        layers = [cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in sigmas]
        image = cv2.addWeighted(layers[0], 0.5, layers[-1], 0.5, 0.0)
        lit = cv2.convertScaleAbs(image, alpha=duty / scan.lamp_duty)
        grey = cv2.add(lit, NOISE[self.frames % len(NOISE)])
        shot = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
        return shot if self._look is None else self._look(shot)


class SeesPairs(Protocol):
    """A runner that may be told the height of the second shot that it is asked about, um; None for the present one."""

    z2_um: float | None


def told_pairs(runner: SeesPairs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell a runner the height of the second shot of each pair of a stack, which it is asked about later."""
    pairs = model_view.pairs_of

    def told(planes: list[Plane], delta_um: float) -> Iterator[tuple[Plane, Plane]]:
        for first, second in pairs(planes, delta_um):
            runner.z2_um = second.z_um
            yield first, second
        runner.z2_um = None

    monkeypatch.setattr(model_view, "pairs_of", told)
