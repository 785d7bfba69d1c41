"""Frames survive the way from the process that renders them, and know where their mass is."""

from pathlib import Path

import numpy as np
import pytest

from tools.arrays import FloatArray
from tools.rendering import parts, renderers
from tools.rendering.cameras import Camera
from tools.rendering.imaging import Grid
from tools.rendering.objectives import OBJECTIVES
from tools.rendering.samples import flat_sample


def lines(side_px: int, rng: np.random.Generator) -> tuple[str, FloatArray]:
    density = np.zeros((3, side_px, side_px), np.float32)
    density[:, :: int(rng.integers(5, 9))] = 0.8
    return "lines", density


def test_frames_come_back_as_they_were_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SAMPLE_PX", 256)
    objective = OBJECTIVES["20x/0.75"]
    grid = Grid(256, objective.margin_px)
    made = parts.frames_of(objective, grid, lines, lambda _: Camera(), np.random.default_rng(1))
    renderers._write(made, tmp_path / "0.npz")
    for frame, again in zip(made, renderers._frames_in(tmp_path / "0.npz"), strict=True):
        assert (frame.shots == again.shots).all()
        assert (frame.z_um == again.z_um).all()
        assert (frame.mass == again.mass).all()
        assert (frame.objects, frame.condenser, frame.odd) == (again.objects, again.condenser, again.odd)
    assert [frame.objects for frame in made] == [1, 4]
    assert made[0].shots.shape == (len(made[0].z_um), grid.image_px, grid.image_px, 3)


def test_the_mass_of_a_square_is_the_density_of_green_in_it() -> None:
    density = np.zeros((3, 16, 16), np.float32)
    density[1, 4:8, 8:12] = 0.5
    density[0] = 1.0
    mass = parts.mass_of(flat_sample(density, "square", 0.3))
    assert mass.shape == (1, 4, 4)
    assert mass[0, 1, 2] == pytest.approx(8.0)
    assert mass.sum() == pytest.approx(8.0)
