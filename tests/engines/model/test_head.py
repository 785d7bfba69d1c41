"""The head: what it computes, and which files are refused."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.engines.errors import BuildFailed
from parfocal.engines.model.contract import CondenserTerms, Contract, HeadTerms
from parfocal.engines.model.head import Head, Prediction, head_path, load_head, save_head
from tests.contracts import difference_contract
from tests.heads import made_head

F = 7
CONDENSER = CondenserTerms(default=0.6, least=0.25, most=0.95)


def features(n: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(size=(n, F)).astype(np.float32)


def kept(folder: Path, head: Head, condenser: CondenserTerms | None = None) -> tuple[Path, Contract]:
    """Write a head, and return the path of its model and the contract that names it."""
    path = folder / "small.onnx"
    terms = HeadTerms(sha256=save_head(path, head), features=F, condenser=condenser)
    return path, difference_contract(head=terms, output_name="features")


def by_hand(head: Head, given: NDArray[np.float32], condenser: float | None) -> NDArray[np.float64]:
    """Return the outputs of each member for each patch, (M, n, K), one number at a time."""
    results = []
    for member in range(len(head.layers[0][0])):
        rows = []
        for row in given.astype(np.float64):
            x = row if condenser is None else np.append(row, condenser)
            y = (x - head.mean) / head.deviation
            for weight, bias in head.layers[:-1]:
                y = np.maximum(weight[member].astype(np.float64) @ y + bias[member], 0.0)
            weight, bias = head.layers[-1]
            rows.append(weight[member].astype(np.float64) @ y + bias[member])
        results.append(rows)
    return np.array(results)


@pytest.mark.parametrize("condenser", [None, 0.45])
@pytest.mark.parametrize("tells_sigma", [False, True])
def test_prediction_is_the_mean_of_the_members(condenser: float | None, tells_sigma: bool) -> None:
    head = made_head(F, takes_condenser=condenser is not None, tells_sigma=tells_sigma)
    found = head.predict(features(), condenser)
    outputs = by_hand(head, features(), condenser)
    np.testing.assert_allclose(found.distance_um, outputs[:, :, 0].mean(axis=0), atol=1e-5)
    assert found.distance_um.dtype == np.float32
    assert np.ptp(found.distance_um) > 0.1
    if not tells_sigma:
        assert found.sigma_um is None
        return
    variance = np.exp(2.0 * outputs[:, :, 1]).mean(axis=0) + outputs[:, :, 0].var(axis=0)
    assert found.sigma_um is not None
    np.testing.assert_allclose(found.sigma_um, np.sqrt(variance), rtol=1e-4)


def test_condenser_changes_the_prediction() -> None:
    head = made_head(F, takes_condenser=True)
    apart_um = head.predict(features(), 0.3).distance_um - head.predict(features(), 0.9).distance_um
    assert np.abs(apart_um).max() > 0.05


def test_strangeness_is_the_mean_square_of_the_whitened_features() -> None:
    head = made_head(F, tells_strangeness=True)
    found = head.predict(features(), None)
    assert head.whitening is not None
    assert head.feature_mean is not None
    expected = [np.sum((head.whitening @ (row - head.feature_mean)) ** 2) / F for row in features()]
    assert found.strangeness is not None
    np.testing.assert_allclose(found.strangeness, expected, rtol=1e-5)
    assert found.strangeness_limit == 2.5
    without = made_head(F).predict(features(), None)
    assert without.strangeness is None


def test_features_that_are_no_numbers_give_no_number_and_no_warning() -> None:
    head = made_head(F, tells_sigma=True, tells_strangeness=True)
    broken = features(2)
    broken[0] = np.nan
    found = head.predict(broken, None)
    assert np.isnan(found.distance_um).tolist() == [True, False]
    assert found.strangeness is not None
    assert np.isnan(found.strangeness).tolist() == [True, False]
    huge = np.full((1, F), 1e30, np.float32)
    head.predict(huge, None)


@pytest.mark.parametrize("tells", [False, True])
def test_head_is_loaded_as_it_was_saved(tmp_path: Path, tells: bool) -> None:
    head = made_head(F, takes_condenser=True, tells_sigma=tells, tells_strangeness=tells)
    path, contract = kept(tmp_path, head, CONDENSER)
    again = load_head(path, contract)
    assert again is not None
    for name, array in head.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
    assert set(again.arrays()) == set(head.arrays())


def test_same_head_gives_the_same_file(tmp_path: Path) -> None:
    digests = {save_head(tmp_path / name, made_head(F)) for name in ("a.onnx", "b.onnx")}
    assert digests == {hashlib.sha256(head_path(tmp_path / "a.onnx").read_bytes()).hexdigest()}


def test_model_that_predicts_distances_has_no_head(tmp_path: Path) -> None:
    assert load_head(tmp_path / "small.onnx", difference_contract()) is None


def test_another_head_is_refused(tmp_path: Path) -> None:
    path, contract = kept(tmp_path, made_head(F))
    save_head(path, made_head(F, seed=2))
    with pytest.raises(
        BuildFailed,
        match=r"use of the head of model small refused: .*small\.head\.npz has SHA-256 .*Copy both",
    ):
        load_head(path, contract)


def test_missing_head_is_named(tmp_path: Path) -> None:
    path, contract = kept(tmp_path, made_head(F))
    head_path(path).unlink()
    with pytest.raises(BuildFailed, match=r"small\.head\.npz: No such file or directory\. Copy it again"):
        load_head(path, contract)


def without(head: Head, name: str) -> dict[str, NDArray[np.float32]]:
    return {key: array for key, array in head.arrays().items() if key != name}


def reshaped(head: Head, name: str, shape: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    return {**head.arrays(), name: np.zeros(shape, np.float32)}


WHOLE = made_head(F, tells_strangeness=True)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (without(WHOLE, "w3"), "w3"),
        (without(WHOLE, "b4"), "b4"),
        (without(WHOLE, "feature_mean"), "feature_mean"),
        (without(WHOLE, "strangeness_limit"), "strangeness_limit"),
        (reshaped(WHOLE, "mean", (F + 1,)), r"mean is \(8,\), must be \(7,\)"),
        (reshaped(WHOLE, "w1", (3, 6, F + 1)), r"w1 is \(3, 6, 8\), must be \(3, 6, 7\)"),
        (reshaped(WHOLE, "w2", (3, 5)), "w2 is"),
        (reshaped(WHOLE, "b3", (2, 4)), r"b3 is \(2, 4\), must be \(3, 4\)"),
        (reshaped(WHOLE, "w4", (3, 3, 4)), "w4 gives 3 outputs, must be 1 or 2"),
        (reshaped(WHOLE, "whitening", (6, 2)), r"whitening is \(6, 2\), must be \(6, 7\)"),
    ],
)
def test_head_of_other_shapes_is_refused(
    tmp_path: Path, arrays: dict[str, NDArray[np.float32]], said: str
) -> None:
    path, contract = kept(tmp_path, WHOLE)
    save: Callable[..., None] = np.savez
    save(head_path(path), **arrays)
    assert contract.head is not None
    sha256 = hashlib.sha256(head_path(path).read_bytes()).hexdigest()
    renamed = msgspec.structs.replace(contract, head=msgspec.structs.replace(contract.head, sha256=sha256))
    with pytest.raises(BuildFailed, match=rf"{said}.*Export the model again"):
        load_head(path, renamed)


def test_head_cut_off_is_refused_in_one_line(tmp_path: Path) -> None:
    path, contract = kept(tmp_path, made_head(F))
    content = head_path(path).read_bytes()
    for n_bytes in (0, 3, 200, len(content) - 10):
        head_path(path).write_bytes(content[:n_bytes])
        assert contract.head is not None
        sha256 = hashlib.sha256(content[:n_bytes]).hexdigest()
        renamed = msgspec.structs.replace(
            contract, head=msgspec.structs.replace(contract.head, sha256=sha256)
        )
        with pytest.raises(BuildFailed) as refusal:
            load_head(path, renamed)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("is_unsure", [True, False])
def test_predictions_of_parts_are_those_of_the_whole(is_unsure: bool) -> None:
    um = np.arange(7, dtype=np.float32)
    whole = Prediction(um, um / 10.0 if is_unsure else None, um + 1.0 if is_unsure else None, 3.0)
    found = Prediction.of_parts([whole[:3], whole[3:4], whole[4:]])
    assert found.strangeness_limit == 3.0
    np.testing.assert_array_equal(found.distance_um, um)
    for one, other in ((found.sigma_um, whole.sigma_um), (found.strangeness, whole.strangeness)):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_array_equal(one, other)
