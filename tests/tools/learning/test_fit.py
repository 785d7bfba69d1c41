"""Training of the head. Needs the training extra."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.engines.model.contract import CondenserTerms  # noqa: E402
from tools.learning import fit  # noqa: E402
from tools.learning.data.features import Features  # noqa: E402
from tools.learning.judged import tables  # noqa: E402
from tools.networks.focus import SUMMARY, FocusNet, Head  # noqa: E402

SPECTRAL, POOLED = 20, 64
CONDENSERS = CondenserTerms(default=0.6, least=0.4, most=0.8)


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


def prepared(features: Features, condensers: CondenserTerms | None) -> tuple[FocusNet, Head, fit.Inputs]:
    """Return a network without its spectra and body, a head, and the inputs of the head."""
    net = FocusNet.__new__(FocusNet)
    torch.nn.Module.__init__(net)
    net.summary, net.n_features = torch.nn.Linear(POOLED, SUMMARY), SPECTRAL + SUMMARY
    fit.prepare_summary(net, features)
    head = Head(net.n_features, condensers is not None)
    given = fit.inputs_of(net, features, condensers)
    fit.prepare_head(head, given)
    return net, head, given


def trained_head(features: Features, told: bool) -> tuple[Head, fit.Inputs]:
    _, head, given = prepared(features, CONDENSERS if told else None)
    fit.train_members(head, given, fit.FitRecipe(epochs=10, fit_batch=64), lambda *_: None)
    return head, given


def test_a_head_learns_from_spectra_first_and_does_not_read_the_maps_then() -> None:
    features = made(2000, condenser=True)
    _, head, given = prepared(features, CONDENSERS)
    alone = fit.without_maps(head, features, CONDENSERS)
    fit.train_members(head, alone, fit.FitRecipe(epochs=10, fit_batch=64), lambda *_: None)
    first, with_maps = (fit.predicted(head, inputs).distance_um for inputs in (alone, given))
    np.testing.assert_allclose(first, with_maps, atol=1e-4)
    assert np.abs(first - features.distance_um).mean() < 0.9


@pytest.mark.parametrize("told", [False, True])
def test_a_head_learns_from_its_features(told: bool) -> None:
    features = made(4000, condenser=told)
    head, given = trained_head(features, told)
    error_um = np.abs(fit.predicted(head, given).distance_um - features.distance_um)
    assert error_um.mean() < 0.8
    assert np.abs(features.distance_um).mean() > 3.0


def test_the_product_applies_the_head_as_it_was_trained() -> None:
    features = made(200, condenser=True)
    head, given = trained_head(features, told=True)
    for condenser in (0.45, 0.7):
        with torch.no_grad():
            expected = head(given.features, torch.full((len(features), 1), condenser)).numpy()
        found = head.arrays().predict(given.features.numpy(), condenser)
        np.testing.assert_allclose(found.distance_um, expected, atol=1e-4)


def test_predictions_in_parts_are_those_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, head, given = prepared(made(50, condenser=True), CONDENSERS)
    whole = fit.predicted(head, given)
    monkeypatch.setattr(fit, "PREDICTED_AT_ONCE", 7)
    parts = fit.predicted(head, given)
    for name in ("distance_um", "sigma_um", "strangeness"):
        found, expected = getattr(parts, name), getattr(whole, name)
        assert (found is None) == (expected is None)
        if found is not None:
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_head_is_restored_from_its_file(outputs: int) -> None:
    features = made(200, condenser=True)
    head, given = trained_head(features, told=True)
    arrays = head.arrays()
    *hidden, (weight, bias) = arrays.layers
    arrays = dataclasses.replace(arrays, layers=(*hidden, (weight[:, :outputs], bias[:, :outputs])))
    begun = Head(SPECTRAL + SUMMARY, takes_condenser=True)
    begun.load(arrays)
    found, expected = (fit.predicted(h, given) for h in (begun, head))
    np.testing.assert_allclose(found.distance_um, expected.distance_um, atol=1e-5)
    assert found.sigma_um is not None
    assert expected.sigma_um is not None
    if outputs == 2:
        np.testing.assert_allclose(found.sigma_um, expected.sigma_um, atol=1e-5)
    with pytest.raises(ValueError, match="the layers of the head take"):
        Head(SPECTRAL + SUMMARY + 1, takes_condenser=True).load(arrays)


def test_two_thirds_of_the_errors_are_within_the_predicted_uncertainty() -> None:
    features = made(3000, condenser=False)
    noise_um = np.random.default_rng(5).normal(0, 0.1 + 2.0 * (features.spectral[:, 1] > 0), len(features))
    noisy = dataclasses.replace(features, distance_um=(features.distance_um + noise_um).astype(np.float32))
    _, head, given = prepared(noisy, None)
    fit.train_members(head, given, fit.FitRecipe(epochs=6, fit_batch=64), lambda *_: None)
    fit.calibrate_sigma(head, given)
    found = fit.predicted(head, given)
    assert found.sigma_um is not None
    within = np.abs(found.distance_um - noisy.distance_um) <= found.sigma_um
    assert within.mean() == pytest.approx(0.683, abs=0.02)
    assert (
        found.sigma_um[features.spectral[:, 1] > 0].mean()
        > 1.05 * found.sigma_um[features.spectral[:, 1] < 0].mean()
    )


def test_the_uncertainty_is_scaled_on_changed_images_where_there_are_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for picture in ("draw_learning", "draw_scatter"):
        monkeypatch.setattr(fit, picture, lambda *_: None)
    features = made(400, condenser=True)
    noise_um = np.random.default_rng(5).normal(0, 9.0, len(features)).astype(np.float32)
    changed = dataclasses.replace(features, distance_um=features.distance_um + noise_um)
    recipe = fit.FitRecipe(epochs=1, fit_batch=64)
    net, head, _ = prepared(features, CONDENSERS)
    fit.fit(
        net,
        head,
        CONDENSERS,
        {},
        recipe,
        features,
        features,
        tmp_path,
        lambda _: None,
        10.0,
        changed=changed,
    )
    seen = [entry["patches"] for entry in json.loads((tmp_path / "log.json").read_text())["log"]]
    assert seen == sorted(seen)
    assert seen[-1] == 400 // 64 * 64
    found = fit.predicted(head, fit.inputs_of(net, changed, CONDENSERS))
    assert found.sigma_um is not None
    within = np.abs(found.distance_um - changed.distance_um) <= found.sigma_um
    assert within.mean() == pytest.approx(0.683, abs=0.02)


def test_a_head_for_a_large_depth_of_field_learns_large_distances_as_fast() -> None:
    features = made(1000, condenser=True)
    far = dataclasses.replace(features, distance_um=10.0 * features.distance_um)
    errors_um = []
    for unit_um in (1.0, 10.0):
        net, _, given = prepared(far, CONDENSERS)
        head = Head(net.n_features, takes_condenser=True, unit_um=unit_um)
        fit.prepare_head(head, given)
        fit.train_members(head, given, fit.FitRecipe(epochs=8, fit_batch=64), lambda *_: None)
        found = fit.predicted(head, given)
        with torch.no_grad():
            x = head.standardised(head.inputs(given.features, given.condenser))
            outputs = torch.stack([head.outputs_of(member, x) for member in range(len(head.members))]).numpy()
        variance = np.exp(2.0 * outputs[:, :, 1]).mean(axis=0) + outputs[:, :, 0].var(axis=0)
        np.testing.assert_allclose(found.distance_um, outputs[:, :, 0].mean(axis=0), atol=1e-3)
        assert found.sigma_um is not None
        np.testing.assert_allclose(found.sigma_um, np.sqrt(variance), rtol=1e-3)
        errors_um.append(float(np.abs(found.distance_um - far.distance_um).mean()))
    assert errors_um[1] < 0.6 * errors_um[0]


def test_features_unlike_those_of_the_training_are_strange() -> None:
    _, head, given = prepared(made(3000, condenser=False), None)
    fit.prepare_strangeness(head, given, given)
    found = fit.predicted(head, given)
    assert found.strangeness is not None
    assert found.strangeness.mean() == pytest.approx(1.0, abs=0.1)
    assert float((found.strangeness > found.strangeness_limit).mean()) == pytest.approx(0.005, abs=0.002)
    moved = dataclasses.replace(given, features=given.features + 4.0)
    strange = fit.predicted(head, moved).strangeness
    assert strange is not None
    assert (strange > found.strangeness_limit).all()


def test_held_out_patches_are_not_strange_after_a_training_on_few() -> None:
    _, head, given = prepared(made(60, condenser=False), None)
    more = fit.Inputs(
        *(
            torch.from_numpy(
                np.random.default_rng(7).normal(0, 1, (500, SPECTRAL + SUMMARY)).astype(np.float32)
            ),
            None,
        ),
        torch.zeros(500),
        torch.ones(500),
    )
    fit.prepare_strangeness(head, given, more)
    found = fit.predicted(head, more)
    assert found.strangeness is not None
    assert float((found.strangeness > found.strangeness_limit).mean()) <= 0.011


def test_inputs_are_standardised_and_summaries_uncorrelated() -> None:
    _, head, given = prepared(made(3000, condenser=True), CONDENSERS)
    inputs = head.standardised(head.inputs(given.features, given.condenser)).numpy()
    assert np.allclose(inputs.mean(axis=0), 0.0, atol=1e-2)
    assert np.allclose(inputs.std(axis=0), 1.0, atol=2e-2)
    summaries = inputs[:, SPECTRAL : SPECTRAL + SUMMARY]
    assert np.abs(np.corrcoef(summaries.T) - np.eye(SUMMARY)).max() < 0.1


def test_a_condenser_that_is_not_known_is_the_default() -> None:
    _, _, given = prepared(made(10, condenser=False), CONDENSERS)
    assert given.condenser is not None
    assert given.condenser.numpy().ravel().tolist() == pytest.approx([0.6] * 10)


def test_a_head_takes_the_condenser_only_if_all_stacks_have_it_and_it_varies() -> None:
    found = fit.condensers_of(made(500, condenser=True))
    assert found is not None
    assert (found.default, found.least, found.most) == pytest.approx((0.6, 0.4, 0.8), abs=0.01)
    assert fit.condensers_of(made(50, condenser=False)) is None


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
    head, given = trained_head(made(50, condenser=False), told=False)
    with torch.no_grad():
        x = head.standardised(given.features)
        alone = torch.stack([head.outputs_of(k, x)[:, 0] for k in range(len(head.members))])
        assert torch.allclose(head(given.features), alone.mean(dim=0), atol=1e-5)
    assert float(alone.std(dim=0).min()) > 0.0
