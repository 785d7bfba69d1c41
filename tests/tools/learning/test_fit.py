"""Training of the head. Needs the training extra."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from tools.learning import fit, tables  # noqa: E402
from tools.learning.features import Features  # noqa: E402
from tools.networks.focus import SUMMARY, Head  # noqa: E402

SPECTRAL, POOLED = 20, 64


def made(n: int, condenser: bool) -> Features:
    """Return patches whose distance is a feature, scaled by the condenser if there is one."""
    rng = np.random.default_rng(2)
    spectral, pooled = (rng.normal(0, 1, (n, k)).astype(np.float32) for k in (SPECTRAL, POOLED))
    sigma = rng.uniform(0.4, 0.8, n).astype(np.float32)
    scale = sigma / 0.6 if condenser else np.ones(n, np.float32)
    return Features(
        spectral,
        3.0 * pooled + 1.0,
        (4.0 * spectral[:, 0] * scale).astype(np.float32),
        np.full(n, 20.0, np.float32),
        sigma if condenser else np.full(n, np.nan, np.float32),
        np.full(n, "made"),
        np.arange(n),
    )


def trained_head(features: Features, told: bool) -> Head:
    head = Head(SPECTRAL, POOLED, told)
    fit.prepare_head(head, features)
    fit.train_members(head, features, fit.FitRecipe(epochs=10, fit_batch=64), lambda *_: None)
    return head


@pytest.mark.parametrize("told", [False, True])
def test_a_head_learns_from_its_features(told: bool) -> None:
    features = made(4000, condenser=told)
    head = trained_head(features, told)
    at_reference = np.abs(features.condenser - 0.6) < 0.03 if told else np.ones(len(features), bool)
    error_um = np.abs(fit.predict(head, features) - features.distance_um)[at_reference]
    assert error_um.mean() < 0.8
    assert np.abs(features.distance_um).mean() > 3.0


def test_a_head_for_one_condenser_predicts_what_the_general_one_does() -> None:
    features = made(1000, condenser=True)
    head = trained_head(features, told=True).eval()
    spectral, pooled = torch.from_numpy(features.spectral), torch.from_numpy(features.pooled)
    for sigma in (0.45, 0.7):
        with torch.no_grad():
            told = head(spectral, pooled, torch.full((len(features), 1), sigma))
            baked = head.for_condenser(sigma).eval()(spectral, pooled)
        assert torch.allclose(told, baked, atol=1e-4)


def test_inputs_are_standardised_and_summaries_uncorrelated() -> None:
    features = made(3000, condenser=True)
    head = Head(SPECTRAL, POOLED, takes_condenser=True)
    fit.prepare_head(head, features)
    with torch.no_grad():
        inputs = head.inputs(
            torch.from_numpy(features.spectral),
            torch.from_numpy(features.pooled),
            torch.from_numpy(features.condenser)[:, None],
        ).numpy()
    assert np.allclose(inputs.mean(axis=0), 0.0, atol=1e-2)
    assert np.allclose(inputs.std(axis=0), 1.0, atol=2e-2)
    summaries = inputs[:, SPECTRAL : SPECTRAL + SUMMARY]
    assert np.abs(np.corrcoef(summaries.T) - np.eye(SUMMARY)).max() < 0.1


def test_a_head_takes_the_condenser_only_if_all_stacks_have_it_and_it_varies() -> None:
    assert fit.varies_condenser(made(50, condenser=True))
    assert not fit.varies_condenser(made(50, condenser=False))


def test_an_image_is_the_mean_of_its_patches_weighted_by_contrast_without_blank_ones() -> None:
    patches = Features(
        np.zeros((4, 1), np.float32),
        np.zeros((4, 1), np.float32),
        np.array([2.0, 2.0, 2.0, -1.0], np.float32),
        np.array([10.0, 30.0, 1.0, 8.0], np.float32),
        np.zeros(4, np.float32),
        np.array(["a", "a", "a", "b"]),
        np.array([7, 7, 7, 3]),
    )
    found = tables.images_of(patches, np.array([1.0, 3.0, 90.0, -2.0], np.float32))
    assert found.group.tolist() == ["b", "a"]
    assert found.predicted_um.tolist() == pytest.approx([-2.0, (10.0 + 90.0) / 40.0])
    assert found.distance_um.tolist() == [-1.0, 2.0]
    assert found.contrast.tolist() == [8.0, 30.0]


def test_a_head_predicts_the_mean_of_its_members() -> None:
    features = made(50, condenser=False)
    head = trained_head(features, told=False).eval()
    spectral, pooled = torch.from_numpy(features.spectral), torch.from_numpy(features.pooled)
    with torch.no_grad():
        x = head.inputs(spectral, pooled)
        alone = torch.stack([head.distance_by(k, x) for k in range(len(head.members))])
        assert torch.allclose(head(spectral, pooled), alone.mean(dim=0), atol=1e-5)
    assert float(alone.std(dim=0).min()) > 0.0
