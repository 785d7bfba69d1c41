"""Uneven fields of the virtual slide: their shape, and that each part of a shot is as sharp as its own height says."""

from pathlib import Path

import numpy as np
import pytest

from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.picture.sharpness import variance_of_laplacian
from parfocal.edge.simscope import scene
from parfocal.edge.simscope.bench import sample_from
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.relief import (
    FOLD_DENSITY,
    FOLD_UM,
    RELIEFS,
    STEP_UM,
    TILT_UM_PER_MM,
    Relief,
    ReliefName,
)
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from tests.edge.cli.typed import image
from tests.edge.scope import tissue, with_camera

ACROSS_UM = np.arange(0.0, 2000.0, 4.0)
SHAPE_PX = (150, 240)


def small(config: Config) -> Config:
    return with_camera(config, height_px=SHAPE_PX[0], width_px=SHAPE_PX[1])


def test_a_tilt_rises_evenly_a_step_has_two_heights_and_a_fold_rises_from_the_flat() -> None:
    tilt, step, fold = (Relief(name, 3).heights_um(ACROSS_UM, ACROSS_UM) for name in RELIEFS)
    rise = np.hypot(np.diff(tilt, axis=0)[:, :-1], np.diff(tilt, axis=1)[:-1]) / 4.0
    assert np.allclose(rise, TILT_UM_PER_MM / 1000.0, rtol=0.02)
    assert sorted(set(step.ravel().tolist())) == [-STEP_UM / 2.0, STEP_UM / 2.0]
    assert (fold.min(), fold.max()) == (0.0, FOLD_UM)
    assert 0.7 < (fold == 0.0).mean() < 0.8
    assert 0.05 < (fold == FOLD_UM).mean() < 0.15


def test_only_a_fold_is_denser_and_only_on_its_ridge() -> None:
    assert Relief("tilt", 1).density(ACROSS_UM, ACROSS_UM).max() == 1.0
    fold = Relief("fold", 1)
    density, height = fold.density(ACROSS_UM, ACROSS_UM), fold.heights_um(ACROSS_UM, ACROSS_UM)
    assert np.unique(density[height == FOLD_UM]).tolist() == [FOLD_DENSITY]
    assert np.unique(density[height == 0.0]).tolist() == [1.0]


def test_the_same_seed_gives_the_same_relief_and_another_seed_another() -> None:
    first, again, other = (Relief("step", seed).heights_um(ACROSS_UM, ACROSS_UM) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def drawn() -> Scene:
    return Scene(VirtualSlide(SlideImage(tissue(), 0.345), 0.345, 1, blank_share=0.0), Optics(), SHAPE_PX, 1)


@pytest.mark.parametrize("defocus_um", [-3.13, 0.6])
def test_an_uneven_shot_of_an_even_field_is_the_even_shot(defocus_um: float) -> None:
    # The same seed, so the same noise: what is left is the line between two planes.
    even = drawn().shot(900.0, 900.0, defocus_um, 1.0).astype(float)
    uneven = drawn().uneven_shot(900.0, 900.0, np.full(SHAPE_PX, defocus_um, np.float32), 1.0).astype(float)
    assert np.sqrt(np.square(even - uneven).mean()) < 0.5


def test_far_out_of_focus_an_uneven_shot_is_drawn_too() -> None:
    far = np.linspace(33.0, 60.0, SHAPE_PX[0] * SHAPE_PX[1], dtype=np.float32).reshape(SHAPE_PX)
    made = drawn()
    assert made.uneven_shot(900.0, 900.0, far, 1.0).shape == (*SHAPE_PX, 3)
    assert len(made._planes) <= scene.KEPT_PLANES


def test_each_half_of_two_depths_is_sharpest_at_its_own_height() -> None:
    made, heights_um = drawn(), np.zeros(SHAPE_PX, np.float32)
    left, right = np.s_[:, : SHAPE_PX[1] // 2], np.s_[:, SHAPE_PX[1] // 2 :]
    heights_um[right] = 3.0
    low, high = (
        made.uneven_shot(900.0, 900.0, np.float32(z_um) - heights_um, 1.0).astype(np.uint8)
        for z_um in (0.0, 3.0)
    )
    assert variance_of_laplacian(low[left]) > 1.5 * variance_of_laplacian(high[left])
    assert variance_of_laplacian(high[right]) > 1.5 * variance_of_laplacian(low[right])


@pytest.mark.parametrize("relief", RELIEFS)
def test_the_map_of_a_field_has_the_height_of_its_middle_there_and_shows_what_is_drawn(
    relief: ReliefName, tmp_path: Path
) -> None:
    config = small(Config())
    sample = sample_from(image(tmp_path, tissue()), 0.345, config, 4, relief)
    assert sample.focus_map_um is not None
    x_um, y_um = config.scan.origin_x_um, config.scan.origin_y_um
    truth = sample.focus_map_um(x_um, y_um)
    assert truth.shape == SHAPE_PX
    assert truth[SHAPE_PX[0] // 2, SHAPE_PX[1] // 2] == pytest.approx(sample.focus_z_um(x_um, y_um), abs=0.01)
    in_focus, above = (
        variance_of_laplacian(sample.render(x_um, y_um, float(truth.mean()) + up_um, config.scan.lamp_duty))
        for up_um in (0.0, 8.0)
    )
    assert in_focus > 2.0 * above


def test_a_slide_without_a_relief_tells_no_map(tmp_path: Path) -> None:
    assert sample_from(image(tmp_path, tissue()), 0.345, small(Config()), 1).focus_map_um is None


def test_a_recorded_stack_takes_no_relief(tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir()
    with pytest.raises(ConfigError, match="leave out --relief tilt"):
        sample_from(tmp_path / "stack", None, Config(), 1, "tilt")
