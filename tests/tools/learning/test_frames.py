"""Pairs of whole frames. Needs the training extra."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.edge.simscope.optics import Optics  # noqa: E402
from tools.arrays import FloatArray  # noqa: E402
from tools.learning.data import frames  # noqa: E402
from tools.learning.data.features import Features  # noqa: E402
from tools.networks.compiled import Compiled  # noqa: E402
from tools.networks.spectrum import Spectrum  # noqa: E402
from tools.networks.standardising import standardised  # noqa: E402
from tools.rendering import parts  # noqa: E402
from tools.rendering.instruments import is_odd  # noqa: E402
from tools.rendering.objectives import OBJECTIVES  # noqa: E402
from tools.rendering.parts import ladder_um  # noqa: E402
from tools.rendering.seen import PATCH_PX  # noqa: E402


class Objects:
    """Draws grids of lines."""

    def draw(self, side: int, rng: np.random.Generator) -> tuple[str, FloatArray]:
        density = np.zeros((3, side, side), np.float32)
        density[:, int(rng.integers(8)) :: 11] = rng.uniform(0.5, 1.0)
        density[:, :, ::7] += np.float32(0.3)
        return "lines", density


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> dict[str, Features]:
    """A part of small frames, with means instead of networks."""

    def means(x: FloatArray) -> FloatArray:
        return np.asarray(x.mean(axis=(2, 3)), np.float32)

    monkeypatch.setattr(frames, "Networks", lambda _: SimpleNamespace(spectrum=means, maps=means))
    monkeypatch.setattr(frames, "TrainingObjects", lambda *_: Objects())
    monkeypatch.setattr(parts, "SAMPLE_PX", 256)
    for name, value in {"SAMPLE_PX": 256, "PATCH_PX": 40}.items():
        monkeypatch.setattr(frames, name, value)
    maker = frames.PairMaker(Path("tiles"), "20x/0.75", Path("pair.onnx"))
    return dict(maker.part(np.random.default_rng([1, 3])))


def test_planes_of_a_frame_are_together_and_those_of_two_frames_are_not(part: dict[str, Features]) -> None:
    pairs = part["pair"]
    for plane in np.unique(pairs.plane):
        same = pairs.plane == plane
        assert same.sum() <= frames.PAIRS_WITH_MAPS
        assert np.ptp(pairs.distance_um[same]) < 4.0  # thickness and tilt


def test_the_first_pairs_of_a_plane_have_maps_and_all_have_spectra(part: dict[str, Features]) -> None:
    pairs, others = part["pair"], part["spectral"]
    assert pairs.pooled.shape == (len(pairs), 6)
    assert others.pooled.shape == (len(others), 0)
    for found in (pairs, others):
        assert found.spectral.shape == (len(found), 6)
        assert found.distance_um.min() < -2.0
        assert found.distance_um.max() > 2.0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_pairs_without_a_body_have_spectra_alone() -> None:
    networks = frames.Networks(None)
    side_px = PATCH_PX
    x = np.random.default_rng(1).uniform(0.0, 255.0, (2, 6, side_px, side_px)).astype(np.float32)
    assert networks.maps(x).shape == (2, 0)
    assert np.ptp(networks.spectrum(x), axis=1).min() > 0.0


def test_the_ladder_of_an_objective_covers_its_range() -> None:
    rng = np.random.default_rng(1)
    for objective in OBJECTIVES.values():
        heights_um = ladder_um(objective, rng)
        assert heights_um[0] < -objective.range_um
        assert heights_um[-1] > objective.range_um
        assert np.diff(heights_um) == pytest.approx(objective.delta_um, rel=0.1)


def test_an_instrument_without_its_colours_or_aberration_is_odd() -> None:
    assert not is_odd(Optics(), Optics())
    assert is_odd(Optics(chromatic_shift_um=(-0.3, 0.0, 0.3)), Optics())
    assert is_odd(Optics(w040_waves=-0.1), Optics())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_spectra_are_those_of_the_network() -> None:
    patches = np.random.default_rng(1).uniform(0, 255, (2, 6, 64, 64)).astype(np.float32)
    found = Compiled(Spectrum(6, 64), 6, 64)(patches)
    with torch.no_grad():
        wanted: Any = Spectrum(6, 64)(standardised(torch.from_numpy(patches)))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-3)
