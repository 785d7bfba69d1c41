"""One field focused through each kind of foreign board, in virtual time, with the play of the paper's stage."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.board.config import PORT_KINDS, BoardConfig
from parfocal.edge.config import Config
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.instrument import board_notes
from parfocal.edge.simscope.bench import Sample, in_virtual_time, stub_of
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract
from tests.edge.scope import FOCUS_Z_UM, small, tissue


@pytest.mark.parametrize(
    ("kind", "has_lamp"),
    [*((kind, True) for kind in PORT_KINDS if kind != "parfocal"), ("grbl", False)],  # then lit by hand
)
def test_a_field_is_focused_through_every_kind_of_board_at_a_port(kind: str, has_lamp: bool) -> None:
    board = BoardConfig(kind=kind, spindle_lamp=kind == "grbl" and has_lamp)
    if kind == "sangaboard":  # one speed for all its motors, in steps
        flat = msgspec.structs.replace(board.x, speed_um_per_s=4000.0, accel_um_per_s2=100_000.0)
        board = msgspec.structs.replace(board, x=flat, y=msgspec.structs.replace(flat, max_um=25_000.0))
    config = msgspec.structs.replace(small(Config()), board=board)
    slide = VirtualSlide(SlideImage(tissue(), 0.345), config.camera.um_per_px, seed=1, blank_share=0.0)
    shape_px = (config.camera.height_px, config.camera.width_px)
    scene = Scene(slide, Optics(um_per_px=config.camera.um_per_px), shape_px, seed=1)
    sample = Sample(
        lambda _x, _y, z, duty: scene.shot(2250.0, 2250.0, z - FOCUS_Z_UM, duty / config.scan.lamp_duty),
        lambda _x, _y: FOCUS_Z_UM,
    )
    with in_virtual_time(sample, config, stub_of(config, 1, 20.0)) as scope:
        scope.home_if_allowed()
        assert scope.truth_at is not None
        truth_at = scope.truth_at

        class KnowsTruth:
            contract = difference_contract(name="knows-truth")

            def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
                distance_um = FOCUS_Z_UM - truth_at(0.0, 0.0).stage_z_um
                return np.full((len(batch), 1), distance_um, np.float32)

        with scope.lit(config.scan.lamp_duty):
            focuser = Focuser(scope.board.z, scope.camera, Predictor(KnowsTruth()), config.focus)
            result = focuser.focus(FOCUS_Z_UM + 6.0)
        assert result.outcome == "focused"
        assert abs(truth_at(0.0, 0.0).stage_z_um - FOCUS_Z_UM) < 0.5
        assert board_notes(scope.board.capabilities)
