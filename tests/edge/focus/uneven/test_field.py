"""An uneven field on a small virtual microscope, with a predictor that knows the heights of its patches."""

from collections.abc import Callable

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.board.motion.gear import Engagement
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.config import Config
from parfocal.edge.focus.picture.sharpness import variance_of_laplacian
from parfocal.edge.focus.shots import Shot
from parfocal.edge.focus.uneven.field import (
    FOR_HEIGHTS,
    FOR_PICTURE,
    MAX_PLANES,
    PATCH_SIGMA_UM,
    Planes,
    UnevenField,
)
from parfocal.edge.focus.uneven.height_map import CELL_PX
from parfocal.edge.simscope.bench import stub_of
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
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
    ) -> None:
        base = Config()
        camera_config = msgspec.structs.replace(base.camera, height_px=HEIGHT_PX, width_px=WIDTH_PX)
        z = msgspec.structs.replace(base.board.z, max_um=max_um)
        self.config = msgspec.structs.replace(
            base,
            camera=camera_config,
            board=msgspec.structs.replace(base.board, z=z),
            focus=msgspec.structs.replace(base.focus, patch_px=PATCH_PX),
        )
        self.bench = VirtualBench(stub_of(self.config, 1))
        self.board = self.bench.open_board(self.config.board)
        self.board.home()
        self.board.lamp(self.config.scan.lamp_duty)
        laid = VirtualSlide(SlideImage(tissue(), 0.345), 0.345, seed=1, blank_share=1.0 if blank else 0.0)
        scene = Scene(laid, Optics(), (HEIGHT_PX, WIDTH_PX), seed=1)
        self.exposed_um: list[float] = []

        def render(_x_um: float, _y_um: float, z_um: float, _duty: float) -> NDArray[np.uint8]:
            self.exposed_um.append(z_um)
            return scene.uneven_shot(2250.0, 2250.0, np.float32(z_um - FOCUS_Z_UM) - heights_um, 1.0)

        camera = SimulatedCamera(self.bench, self.bench.clock, camera_config, render)
        self.axis = self.board.z
        self.axis.approach_up(FOCUS_Z_UM)
        predictor = Predictor(KnowsHeights(self.bench, heights_um, predicts))
        self.uneven = UnevenField(
            self.axis, camera, predictor, self.config.focus, self.config.camera.um_per_px, planes
        )
        self.true_um = cv2.resize(
            heights_um[:, : WIDTH_PX // CELL_PX * CELL_PX],
            (WIDTH_PX // CELL_PX, HEIGHT_PX // CELL_PX),
            interpolation=cv2.INTER_AREA,
        )


def test_an_even_field_costs_two_images_and_the_stage_comes_back() -> None:
    field = Field(EVEN, lambda true_um: true_um + 0.8)
    shape = field.uneven.examine()
    assert shape is not None
    assert (shape.verdict, shape.predicted, shape.images) == ("even", "even", 2)
    assert shape.z_um == pytest.approx(FOCUS_Z_UM + 0.8, abs=0.3)
    assert (shape.heights, shape.picture) == (None, None)
    assert field.exposed_um == pytest.approx([FOCUS_Z_UM, FOCUS_Z_UM + 2.0], abs=0.35)
    assert field.axis.position_um == pytest.approx(FOCUS_Z_UM, abs=0.16)
    assert field.axis.engagement is Engagement.UP


def test_a_shot_that_was_taken_before_is_the_first_of_the_two() -> None:
    field = Field(EVEN)
    pixels = tissue(300)[:HEIGHT_PX, :WIDTH_PX]
    shape = field.uneven.examine(Shot(field.axis.position_um, pixels, field.config.focus))
    assert shape is not None
    assert shape.images == 1
    assert field.exposed_um == pytest.approx([FOCUS_Z_UM + 2.0], abs=0.35)


def test_on_the_way_to_the_next_field_the_stage_stays_at_the_second_shot() -> None:
    field = Field(EVEN)
    shape = field.uneven.examine_and_stay(field.uneven._shots.take(FOCUS_Z_UM))
    assert shape is not None
    assert (shape.verdict, shape.images) == ("even", 1)
    assert field.axis.position_um == pytest.approx(FOCUS_Z_UM + 2.0, abs=0.35)


def test_an_uneven_field_is_scanned_from_below_and_mapped() -> None:
    field = Field()
    shape = field.uneven.examine()
    assert shape is not None
    assert shape.verdict == "uneven"
    assert shape.heights is not None
    error_um = shape.heights.z_um - FOCUS_Z_UM - field.true_um
    assert np.isfinite(error_um).mean() > 0.9
    assert (np.abs(error_um[np.isfinite(error_um)]) <= 0.5).mean() >= 0.9
    # Every plane with the gear engaged upwards: from the second shot on, then from the lowest one up to it. And back.
    second_um, scan_um = field.exposed_um[1], field.exposed_um[2:]
    n_above = sum(z_um > second_um for z_um in scan_um)
    above_um, below_um = scan_um[:n_above], scan_um[n_above:]
    assert above_um == sorted(above_um)
    assert below_um == sorted(below_um)
    assert below_um[0] < FOCUS_Z_UM < FOCUS_Z_UM + 3.5 < above_um[-1]
    assert np.diff([*below_um, second_um, *above_um]) == pytest.approx(0.625, abs=0.01)
    assert shape.images == len(field.exposed_um) < 21
    assert field.axis.position_um == pytest.approx(FOCUS_Z_UM, abs=0.16)
    assert field.axis.engagement is Engagement.UP
    assert field.bench.true_um(field.bench.clock.now_s())[2] == pytest.approx(FOCUS_Z_UM, abs=0.6)


def test_heights_alone_take_half_of_the_planes_and_the_shot_that_shows_most_is_kept() -> None:
    heights_um = np.where(np.arange(WIDTH_PX) < 0.3 * WIDTH_PX, 0.0, 6.0)
    field = Field(np.tile(heights_um.astype(np.float32), (HEIGHT_PX, 1)), planes=FOR_HEIGHTS)
    shape = field.uneven.examine()
    assert shape is not None
    assert (shape.verdict, shape.picture) == ("uneven", None)
    assert shape.images <= 12
    assert shape.heights is not None
    assert shape.heights.range_um == pytest.approx((FOCUS_Z_UM, FOCUS_Z_UM + 6.0), abs=0.6)
    # The stage began where the smaller part is in focus.
    assert shape.best is not None
    assert shape.best.z_um == pytest.approx(FOCUS_Z_UM + 6.0, abs=1.0)


def test_the_picture_of_an_uneven_field_is_as_sharp_as_that_of_an_even_one() -> None:
    field = Field()
    shape = field.uneven.examine()
    assert shape is not None
    assert shape.picture is not None
    assert shape.picture.shape == (HEIGHT_PX, WIDTH_PX, 3)
    in_focus = Field(EVEN).uneven._shots.take(FOCUS_Z_UM)
    assert variance_of_laplacian(shape.picture) > 0.9 * variance_of_laplacian(in_focus.pixels)


@pytest.mark.parametrize("off_um", [-5.0, 5.0])
def test_a_scan_goes_on_where_the_predictions_ended_too_early(off_um: float) -> None:
    field = Field(predicts=lambda true_um: true_um + off_um)
    shape = field.uneven.examine()
    assert shape is not None
    assert shape.verdict == "uneven"
    assert shape.heights is not None
    error_um = shape.heights.z_um - FOCUS_Z_UM - field.true_um
    assert (np.abs(error_um[np.isfinite(error_um)]) <= 0.5).mean() >= 0.9
    assert shape.images < MAX_PLANES


def test_what_only_the_predictions_say_is_not_confirmed() -> None:
    field = Field(EVEN, lambda true_um: true_um + np.linspace(-2.0, 2.0, len(true_um)))
    shape = field.uneven.examine()
    assert shape is not None
    assert (shape.verdict, shape.picture) == ("not confirmed", None)
    assert shape.predicted != "even"
    assert shape.heights is not None


def test_a_scan_stays_within_the_limits() -> None:
    # Limits end a little above the lower half: its planes are taken, and no others.
    field = Field(max_um=FOCUS_Z_UM + 7.0)
    shape = field.uneven.examine()
    assert shape is not None
    assert max(field.exposed_um) <= field.axis.limits_um[1] + 0.5
    assert field.axis.limits_um[1] < FOCUS_Z_UM + 3.5
    assert field.axis.position_um == pytest.approx(FOCUS_Z_UM, abs=0.16)


def test_an_empty_field_has_no_shape() -> None:
    assert Field(EVEN, blank=True).uneven.examine() is None


def test_a_model_that_tells_nothing_has_the_uncertainty_of_its_card() -> None:
    field = Field()
    patches, found = field.uneven.look(field.uneven._shots.take(FOCUS_Z_UM))
    assert found is not None
    assert patches.sigma_um.tolist() == pytest.approx([PATCH_SIGMA_UM] * len(PLACES))
    assert patches.xy_um.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-6)
    assert np.ptp(patches.xy_um[:, 0]) == pytest.approx((WIDTH_PX - PATCH_PX) * 0.345)
