"""Single shots of small samples. Needs the training extra."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.engines.model.shipped import model_path  # noqa: E402
from tools.arrays import FloatArray  # noqa: E402
from tools.learning.data import shots  # noqa: E402
from tools.learning.data.features import Features  # noqa: E402
from tools.learning.recipe import Recipe  # noqa: E402
from tools.learning.start import body_from  # noqa: E402
from tools.networks.spectrum import n_spectral  # noqa: E402
from tools.networks.standardising import standardised  # noqa: E402
from tools.rendering import small as samples  # noqa: E402
from tools.rendering.objectives import OBJECTIVES  # noqa: E402

OBJECTIVE = OBJECTIVES["10x/0.3"]


def lines(side: int, rng: np.random.Generator) -> tuple[str, FloatArray]:
    is_dark = (np.arange(side) + rng.integers(60)) % 60 < 30  # wide enough to be seen 50 um from the focus
    density = np.zeros((3, side, side), np.float32)
    density[:, is_dark] = rng.uniform(0.5, 1.0)
    return "lines", density


def means(x: FloatArray) -> FloatArray:
    assert x.shape[1] == 3
    return np.asarray(x.mean(axis=(2, 3)), np.float32)


def part(seed: int, maps: shots.Network = shots.no_maps) -> dict[str, Features]:
    whole, block = (shots.Networks(side_px, means, maps) for side_px in (80, 40))
    return shots.part_of(OBJECTIVE, lines, whole, block, np.random.default_rng(seed))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shots, "SAMPLES", 2)
    monkeypatch.setattr(samples, "USUAL_SHARE", 0.0)
    monkeypatch.setattr(samples, "COMPRESSED_SHARE", 1.0)


def test_a_part_shows_each_sample_through_an_instrument_of_its_own_over_the_whole_range() -> None:
    found, again, other = part(1), part(1), part(2)
    whole, blocks = found["single"], found["block"]
    assert len(np.unique(whole.condenser)) == 2
    assert whole.distance_um.min() < -OBJECTIVE.range_um
    assert whole.distance_um.max() > OBJECTIVE.range_um
    seen = np.unique(whole.plane, return_counts=True)[1]
    assert seen.max() == 2  # each height through every camera
    assert set(blocks.plane) <= set(whole.plane)
    assert whole.pooled.shape == (len(whole), 0)
    for kind, features in found.items():
        for name, values in vars(features).items():
            np.testing.assert_array_equal(values, getattr(again[kind], name))
    assert not np.isin(other["single"].condenser, whole.condenser).any()


def test_with_a_body_whole_shots_and_their_blocks_have_its_maps() -> None:
    for features in part(1, lambda x: 2.0 * means(x)).values():
        np.testing.assert_allclose(features.pooled, 2.0 * features.spectral)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_maps_are_those_of_the_body_of_the_model_at_both_sizes() -> None:
    body = Recipe(kind="single").network()
    body_from(body, model_path("single-20x"))
    body.eval()
    for side_px in (64, 96):
        networks = shots.networks_of(side_px, model_path("single-20x"))
        patches = np.random.default_rng(1).uniform(0, 255, (2, 3, side_px, side_px)).astype(np.float32)
        with torch.no_grad():
            wanted = body.pooled(standardised(torch.from_numpy(patches))).numpy()
        np.testing.assert_allclose(networks.maps(patches), wanted, rtol=1e-3, atol=1e-3)
        assert networks.spectrum(patches).shape == (2, n_spectral(3))
