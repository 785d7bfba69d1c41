"""Textures are structured optical density, and training and held-out objects are separate."""

from pathlib import Path

import numpy as np
import pytest

from tools.arrays import FloatArray
from tools.tissue import sources
from tools.tissue.sources import FOLDERS, HeldOutObjects, TrainingObjects, tile_paths
from tools.tissue.textures import (
    DRAWN,
    MAX_DENSITY,
    UM_PER_PX,
    density_from_image,
    drawn,
    recoloured,
    window,
)


@pytest.mark.parametrize("draw", DRAWN, ids=lambda f: f.__name__)
def test_every_drawn_texture_is_structured_optical_density(draw: object) -> None:
    assert callable(draw)
    for seed in range(3):
        density = recoloured(
            np.clip(draw(96, np.random.default_rng(seed)), 0, MAX_DENSITY), np.random.default_rng(seed)
        )
        assert density.shape == (3, 96, 96)
        assert density.dtype == np.float32
        assert density.min() >= 0.0
        assert density.max() <= MAX_DENSITY
        assert density.std() > 0.003


def test_the_same_generator_draws_the_same_texture() -> None:
    assert np.array_equal(drawn(64, np.random.default_rng(5)), drawn(64, np.random.default_rng(5)))


def test_density_is_zero_on_the_background_and_large_where_it_is_dark() -> None:
    pixels = np.full((40, 40, 3), 240, np.uint8)
    pixels[10:20, 10:20] = (120, 80, 60)
    density = density_from_image(pixels)
    assert np.allclose(density[:, 0, 0], 0.0)
    assert np.allclose(density[:, 15, 15], -np.log(np.array([121, 81, 61]) / 241.0), atol=1e-4)


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.6])
def test_a_window_has_the_requested_size_even_on_a_small_tile(scale: float) -> None:
    tile = np.random.default_rng(0).random((3, 50, 60)).astype(np.float32)
    assert window(tile, 96, scale, np.random.default_rng(1)).shape == (3, 96, 96)


def test_no_slide_is_on_both_sides_of_the_split(tiles: Path) -> None:
    paths = {path for folder in FOLDERS for path in (tiles / folder).iterdir()}
    inside, outside = tile_paths(tiles, want_held_out=False), tile_paths(tiles, want_held_out=True)
    assert len(inside) + len(outside) == len(paths)
    assert {*inside, *outside} == paths
    assert {path.parent.name for path in outside} == {"he_cmu1", "blood_chula", "cytology_dsb2018"}
    assert "he_cmu1" not in {path.parent.name for path in inside}


def test_training_never_draws_held_out_objects(packaged_tiles: Path) -> None:
    pytest.importorskip("skimage", reason="photographs and IHC come with the demo extra")
    rng = np.random.default_rng(0)
    training, testing = TrainingObjects(packaged_tiles), HeldOutObjects(packaged_tiles)
    trained = {training.draw(64, rng)[0] for _ in range(25)}
    tested = {testing.draw(64, rng)[0] for _ in range(25)}
    assert {"ihc", "he_cmu1"} <= tested
    assert not {"ihc", "he_cmu1"} & trained


def test_a_camera_with_larger_pixels_sees_finer_structures(
    packaged_tiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales: list[float] = []
    sides: list[int] = []

    def windowed(density: FloatArray, side: int, scale: float, rng: np.random.Generator) -> FloatArray:
        scales.append(scale)
        return window(density, side, scale, rng)

    def drew(side: int, _rng: np.random.Generator) -> FloatArray:
        sides.append(side)
        return np.full((3, side, side), 0.5, np.float32)

    monkeypatch.setattr(sources, "window", windowed)
    monkeypatch.setattr(sources, "drawn", drew)
    for um_per_px in (UM_PER_PX, 2.0 * UM_PER_PX):
        objects = TrainingObjects(packaged_tiles, um_per_px)
        rng = np.random.default_rng(3)
        assert {objects.draw(32, rng)[1].shape for _ in range(12)} == {(3, 32, 32)}
    halves = len(scales) // 2
    np.testing.assert_allclose(scales[halves:], 0.5 * np.array(scales[:halves]))
    assert sides == [32] * (len(sides) // 2) + [64] * (len(sides) // 2)
    assert sides
