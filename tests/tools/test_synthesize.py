"""Synthetic stacks follow the optics. Needs the training extra."""

import argparse
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.edge.simscope.optics import Optics  # noqa: E402
from parfocal.edge.stacks.read import read_stack  # noqa: E402
from tools import synthesize  # noqa: E402
from tools.arrays import FloatArray  # noqa: E402
from tools.tissue import thickness  # noqa: E402

PATCH_PX = 64


def an_object(side_px: int) -> FloatArray:
    density = np.zeros((3, side_px, side_px), np.float32)
    density[:, side_px // 2 - 9 : side_px // 2 + 5, side_px // 2 - 4 : side_px // 2 + 12] = 0.8
    return density


def images(optics: Optics, z_um: tuple[float, ...], phase_share: float) -> FloatArray:
    renderer = synthesize.Renderer(PATCH_PX, "cpu")
    density = an_object(renderer.side_px)
    flat = [thickness.Layer(0.0, density, np.float32(0.5 * phase_share) * density[1])]
    heights = np.array(z_um, np.float32)
    still = np.zeros((len(z_um), 2), np.float32)
    return renderer.densities(synthesize.setting_of(optics, "cpu"), flat, heights, still)


def test_without_phase_and_aberrations_both_sides_of_the_focus_look_the_same() -> None:
    optics = synthesize.random_optics(np.random.default_rng(1), symmetric=True)
    above, below = images(optics, (5.0, -5.0), phase_share=0.0)
    assert np.allclose(above, below, atol=1e-4)


@pytest.mark.parametrize(("symmetric", "phase_share"), [(True, 1.0), (False, 0.0)])
def test_phase_or_aberrations_alone_distinguish_the_sides(symmetric: bool, phase_share: float) -> None:
    optics = synthesize.random_optics(np.random.default_rng(1), symmetric)
    above, below = images(optics, (5.0, -5.0), phase_share)
    assert np.abs(above - below).max() > 0.02


@pytest.mark.parametrize("seed", range(12))
def test_layers_contain_the_whole_object_with_its_mass_at_the_focus(seed: int) -> None:
    density = an_object(96)
    parts = thickness.random_layers(density, None, np.random.default_rng(seed))
    assert np.allclose(sum(part.density for part in parts), density, atol=1e-5)
    moment = sum(part.height_um * float(part.density[1].sum()) for part in parts)
    assert moment / float(density[1].sum()) == pytest.approx(0.0, abs=1e-3)


def test_a_resumed_run_makes_the_same_stacks(tiles: Path, tmp_path: Path) -> None:
    def made(folder: Path, first: int, stacks: int) -> None:
        synthesize.make(
            argparse.Namespace(
                tiles=tiles, out=folder, stacks=stacks, first=first, seed=3, delta_um=2.0, patch_px=PATCH_PX,
                held_out=True, symmetric=False, phase=None, jpeg=None, condenser=0.6, device="cpu",
            )
        )  # fmt: skip

    made(tmp_path / "one", 0, 2)
    made(tmp_path / "two", 1, 1)
    (second,) = (tmp_path / "two").rglob("*.ome.tiff")
    ours = read_stack(tmp_path / "one" / second.relative_to(tmp_path / "two"))
    theirs = read_stack(second)
    assert ours.z_um == theirs.z_um
    assert all(np.array_equal(a, b) for a, b in zip(ours.planes, theirs.planes, strict=True))
    assert ours.focus_z_um == 0.0
    assert ours.condenser_sigma == pytest.approx(0.6, rel=0.05)
    assert ours.um_per_px == pytest.approx(0.345)
    assert -14.0 <= ours.z_um[0] <= -12.0
    steps_um = np.diff(ours.z_um)
    assert np.allclose(steps_um, steps_um[0], atol=1e-4)
    assert 1.8 <= steps_um[0] <= 2.1


def phase_per_density(density: FloatArray, given_rad: float | None, seed: int) -> float:
    layers = thickness.random_layers(density, given_rad, np.random.default_rng(seed))
    phase_rad = np.sum([layer.phase_rad for layer in layers], axis=0)
    return float(np.vdot(density[1], phase_rad) / np.vdot(density[1], density[1]))


def test_phase_follows_the_density_as_given_or_mostly_positive() -> None:
    density = an_object(96)
    assert phase_per_density(density, 0.5, seed=1) == pytest.approx(0.5, rel=1e-4)
    slopes = np.array([phase_per_density(density, None, seed) for seed in range(150)])
    assert 0.65 < np.mean(slopes > 0.05) < 0.95
    assert slopes.min() < -0.1
    assert slopes.max() < 2.0  # where phase is added that nothing absorbs
