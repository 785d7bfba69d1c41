"""Parts of rendered features depend on their number only. Needs the training extra."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.edge.simscope.optics import Optics  # noqa: E402
from tools.arrays import FloatArray  # noqa: E402
from tools.learning.data import frames  # noqa: E402
from tools.networks.compiled import Compiled  # noqa: E402
from tools.networks.spectrum import Spectrum, n_spectral  # noqa: E402
from tools.networks.standardising import standardised  # noqa: E402
from tools.rendering import parts  # noqa: E402
from tools.rendering.instruments import is_odd  # noqa: E402
from tools.rendering.objectives import OBJECTIVES  # noqa: E402
from tools.rendering.parts import ladder_um  # noqa: E402


def making(out: Path, seed: int = 1) -> frames.Making:
    return frames.Making(Path("tiles"), Path("pair.onnx"), Path("single.onnx"), "20x/0.75", out, seed)


class Objects:
    """Draws grids of lines."""

    def draw(self, side: int, rng: np.random.Generator) -> tuple[str, FloatArray]:
        density = np.zeros((3, side, side), np.float32)
        density[:, int(rng.integers(8)) :: 11] = rng.uniform(0.5, 1.0)
        density[:, :, ::7] += np.float32(0.3)
        return "lines", density


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small frames, with means instead of networks."""

    def means(x: FloatArray) -> FloatArray:
        return np.repeat(x.mean(axis=(2, 3)), n_spectral(x.shape[1]) // x.shape[1] + 1, axis=1)[
            :, : n_spectral(x.shape[1])
        ]

    names = ("pair_spectrum", "single_spectrum", "pair_maps", "block_maps", "single_maps")
    monkeypatch.setattr(frames, "Networks", lambda _: SimpleNamespace(**dict.fromkeys(names, means)))
    monkeypatch.setattr(frames, "TrainingObjects", lambda *_: Objects())
    monkeypatch.setattr(parts, "SAMPLE_PX", 256)
    for name, value in {"SAMPLE_PX": 256, "PATCH_PX": 40, "SINGLE_PX": 120}.items():
        monkeypatch.setattr(frames, name, value)


@pytest.mark.usefixtures("small")
def test_a_stopped_run_goes_on_and_makes_the_same_parts(tmp_path: Path) -> None:
    frames.make_parts(making(tmp_path / "one"), range(2))
    frames.make_parts(making(tmp_path / "two"), [1])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "two").rglob("*.npz")}
    frames.make_parts(making(tmp_path / "two"), range(2))
    said: list[str] = []
    for kind in frames.KINDS:
        ours, theirs = (frames.made(tmp_path / name, kind, said.append) for name in ("one", "two"))
        for name, values in vars(ours).items():
            np.testing.assert_array_equal(values, vars(theirs)[name], err_msg=f"{kind} {name}")
        assert ((ours.condenser > 0.2) & (ours.condenser < 1.0)).all()
        assert ours.distance_um.min() < -2.0
        assert ours.distance_um.max() > 2.0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(said) == 2 * len(frames.KINDS)
    with pytest.raises(SystemExit, match="has no parts of kind pair"):
        frames.made(tmp_path, "pair", said.append)


@pytest.mark.usefixtures("small")
def test_planes_of_a_frame_are_together_and_those_of_two_frames_are_not(tmp_path: Path) -> None:
    found = frames.Maker(making(tmp_path)).part(3)["pair"]
    assert found is not None
    for plane in np.unique(found.plane):
        same = found.plane == plane
        assert same.sum() <= frames.PAIRS_WITH_MAPS
        assert np.ptp(found.distance_um[same]) < 4.0  # thickness and tilt


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
def test_compiled_spectra_are_those_of_the_network_and_a_second_shot_has_its_own() -> None:
    patches = np.random.default_rng(1).uniform(0, 255, (2, 6, 64, 64)).astype(np.float32)
    found = Compiled(Spectrum(6, 64), 6, 64)(patches)
    with torch.no_grad():
        wanted: Any = Spectrum(6, 64)(standardised(torch.from_numpy(patches)))
        second: Any = Spectrum(3, 64)(standardised(torch.from_numpy(patches[:, 3:])))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-3)
    np.testing.assert_allclose(found[:, frames.OF_SECOND_SHOT], second.numpy(), atol=1e-3)
