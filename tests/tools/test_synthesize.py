"""Synthetic stacks follow the optics, and depend on their number only."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from parfocal.edge.simscope.optics import Optics
from parfocal.edge.stacks.read import read_stack
from tools import synthesize
from tools.arrays import FloatArray
from tools.rendering.imaging import Grid, Imaged, Instrument
from tools.rendering.samples import flat_sample

PATCH_PX = 64
MARGIN_PX = 48


def images(optics: Optics, heights_um: tuple[float, float], phase: float) -> list[FloatArray]:
    grid = Grid(PATCH_PX + 2 * MARGIN_PX, MARGIN_PX)
    density = np.zeros((3, grid.side_px, grid.side_px), np.float32)
    density[:, 71:85, 76:92] = 0.8
    imaged = Imaged(flat_sample(density, "spot", phase), Instrument(optics, 6.0), grid)
    return [imaged.density(z_um) for z_um in heights_um]


def test_without_phase_and_aberrations_both_sides_of_the_focus_look_the_same() -> None:
    optics = synthesize.random_optics(Optics(), np.random.default_rng(1), symmetric=True)
    above, below = images(optics, (5.0, -5.0), phase=0.0)
    assert np.allclose(above, below, atol=1e-4)


@pytest.mark.parametrize(("symmetric", "phase"), [(True, 0.5), (False, 0.0)])
def test_phase_or_aberrations_alone_distinguish_the_sides(symmetric: bool, phase: float) -> None:
    optics = synthesize.random_optics(Optics(), np.random.default_rng(1), symmetric)
    above, below = images(optics, (5.0, -5.0), phase)
    assert np.abs(above - below).max() > 0.02


def test_a_resumed_run_makes_the_same_stacks(packaged_tiles: Path, tmp_path: Path) -> None:
    def made(folder: Path, first: int, stacks: int) -> None:
        synthesize.make(
            argparse.Namespace(
                tiles=packaged_tiles, out=folder, stacks=stacks, first=first, seed=3, objective="20x/0.75",
                patch_px=PATCH_PX, held_out=True, symmetric=False, phase=None, jpeg=None, condenser=0.6,
            )
        )  # fmt: skip

    made(tmp_path / "one", 0, 2)
    made(tmp_path / "two", 1, 1)
    (second,) = (tmp_path / "two").rglob("*.ome.tiff")
    ours = read_stack(tmp_path / "one" / second.relative_to(tmp_path / "two"))
    theirs = read_stack(second)
    assert ours.z_um == theirs.z_um
    assert all(np.array_equal(a, b) for a, b in zip(ours.planes, theirs.planes, strict=True))
    assert ours.focus_z_um is not None
    assert abs(ours.focus_z_um) <= 2.0
    assert ours.condenser_sigma == pytest.approx(0.6, rel=0.05)
    assert ours.um_per_px == pytest.approx(0.345)
    assert -14.0 <= ours.z_um[0] <= -12.0
    steps_um = np.diff(ours.z_um)
    assert np.allclose(steps_um, steps_um[0], atol=1e-4)
    assert 1.8 <= steps_um[0] <= 2.1
