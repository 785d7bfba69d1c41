"""One field focused through Micro-Manager: its demo stages and its camera, which sees a virtual slide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parfocal.board.clock import MonotonicClock
from parfocal.board.foreign import mmcore
from parfocal.edge.camera.opened import open_camera
from parfocal.edge.config import CameraConfig, Config, FocusConfig
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.session import Session
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.engines.predictor import Predictor
from tests.board.foreign.micromanager import DEVICES, UPWARDS, board_config, declared, file_of
from tests.edge.scope import FOCUS_Z_UM, KnowsTruth, tissue

SIDE_PX, DECLARED_Z_UM = 452, 2450.0  # the demo drive goes 300 um either way
CAMERA = f"Property,Camera,OnCameraCCDXSize,{SIDE_PX}\nProperty,Camera,OnCameraCCDYSize,{SIDE_PX}\n"


class TrueStages:
    """Where the devices say that they are, in the coordinates of the declaration."""

    def __init__(self) -> None:
        (shared,) = mmcore._open.values()
        self.core, self.clock = shared.core, MonotonicClock()

    def true_um(self, _: float) -> tuple[float, float, float]:
        x_um, y_um = self.core.getXYPosition()
        return 20_000.0 + x_um, 10_000.0 + y_um, DECLARED_Z_UM + self.core.getPosition()


def test_one_field_is_focused_through_the_demo_stages_and_the_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = file_of(tmp_path, DEVICES + CAMERA + UPWARDS)
    monkeypatch.setenv("MICROMANAGER_PATH", pytest.importorskip("mm_test_adapters").device_adapter_path())
    config = Config(
        board=board_config(file),
        camera=CameraConfig(
            kind="micromanager", micromanager=file, width_px=SIDE_PX, height_px=SIDE_PX, exposure_s=0.001
        ),
        focus=FocusConfig(first_sweep_start_um=2480.0, first_sweep_stop_um=2520.0),
    )
    laid = VirtualSlide(SlideImage(tissue(), 0.345), config.camera.um_per_px, seed=1, blank_share=0.0)
    scene = Scene(laid, Optics(um_per_px=config.camera.um_per_px), (SIDE_PX, SIDE_PX), seed=1)
    with declared(file, z_um=DECLARED_Z_UM) as board:
        camera, _ = open_camera(config.camera)
        stages = TrueStages()

        def image() -> np.ndarray:
            x_um, y_um, z_um = stages.true_um(0.0)
            rgb = scene.shot(x_um, y_um, z_um - FOCUS_Z_UM, 1.0).astype(np.uint32)
            return rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]

        monkeypatch.setattr(stages.core, "getImage", image, raising=False)
        instrument = Instrument(board, camera, stages.clock)
        predictor = Predictor(KnowsTruth(stages, FOCUS_Z_UM))  # type: ignore[arg-type]  # what it needs of a bench
        session = Session(instrument, predictor, config)
        done = session.visit(Field(20_250.0, 10_250.0))
        camera.close()
        assert done.outcome == "focused"
        assert stages.true_um(0.0)[2] == pytest.approx(FOCUS_Z_UM, abs=0.5)
        assert done.report.z_um == pytest.approx(stages.true_um(0.0)[2], abs=0.01)
        assert stages.true_um(0.0)[:2] == pytest.approx((20_250.0, 10_250.0), abs=0.02)
