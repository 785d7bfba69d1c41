"""An uneven field on a small virtual microscope, with a predictor that knows the heights of its patches."""

import numpy as np
import pytest

from parfocal.board.motion.gear import Engagement
from parfocal.edge.focus.picture.sharpness import variance_of_laplacian
from parfocal.edge.focus.shots import Shot
from parfocal.edge.focus.uneven.field import (
    FOR_HEIGHTS,
    MAX_PLANES,
    PATCH_SIGMA_UM,
)
from tests.edge.focus.uneven.field_stand import (
    EVEN,
    FOCUS_Z_UM,
    HEIGHT_PX,
    PATCH_PX,
    PLACES,
    WIDTH_PX,
    Field,
)
from tests.edge.scope import tissue


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


def test_planes_alone_between_known_heights_tell_the_focus_of_both_parts_and_go_up_only() -> None:
    field = Field(planes=FOR_HEIGHTS)
    begin_um = field.uneven.begin_um(FOCUS_Z_UM, FOCUS_Z_UM + 3.5)
    assert begin_um < FOCUS_Z_UM
    field.axis.approach_up(begin_um)
    passed = field.uneven.through(FOCUS_Z_UM, FOCUS_Z_UM + 3.5)
    assert passed is not None
    assert passed.is_uneven
    assert passed.range_um == pytest.approx((FOCUS_Z_UM, FOCUS_Z_UM + 3.5), abs=0.6)
    assert passed.picture is None
    assert field.exposed_um == sorted(field.exposed_um)
    assert field.exposed_um[0] == pytest.approx(begin_um, abs=0.35)
    assert len(field.exposed_um) <= 8
    assert Field().uneven.through(FOCUS_Z_UM, FOCUS_Z_UM + 3.5).picture is not None  # type: ignore[union-attr]


def test_planes_alone_go_on_where_a_neighbour_was_lower() -> None:
    passed = Field(planes=FOR_HEIGHTS).uneven.through(FOCUS_Z_UM, FOCUS_Z_UM + 0.5)
    assert passed is not None
    assert passed.range_um == pytest.approx((FOCUS_Z_UM, FOCUS_Z_UM + 3.5), abs=0.6)


def test_planes_alone_show_an_even_field_too_and_nothing_of_an_empty_one() -> None:
    passed = Field(EVEN, planes=FOR_HEIGHTS).uneven.through(FOCUS_Z_UM - 1.0, FOCUS_Z_UM + 3.5)
    assert passed is not None
    assert not passed.is_uneven
    assert sum(passed.range_um) / 2.0 == pytest.approx(FOCUS_Z_UM, abs=0.4)
    assert Field(EVEN, blank=True, planes=FOR_HEIGHTS).uneven.through(FOCUS_Z_UM, FOCUS_Z_UM + 3.5) is None
    low = Field(EVEN, planes=FOR_HEIGHTS, max_um=FOCUS_Z_UM + 10.0)
    assert low.uneven.through(FOCUS_Z_UM + 50.0, FOCUS_Z_UM + 60.0) is None
    assert low.exposed_um == []
