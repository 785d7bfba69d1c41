"""The head of a model: from the features that its graph computes to distances. Pure NumPy, in float32.

`NAME.head.npz` lies beside `NAME.onnx`, whose contract names its SHA-256. The head is applied outside of the engine, so
it takes the condenser of the instrument, and can be fitted to an instrument without a new engine. The file is a NumPy
archive of float32 arrays, for F features, I inputs (F, and one more if the head takes the condenser) and M members,
which are small networks trained separately:

    mean, deviation         (I)             to standardise the inputs
    w1, b1                  (M, H1, I), (M, H1)
    w2, b2                  (M, H2, H1), (M, H2)
    w3, b3                  (M, H3, H2), (M, H3)
    w4, b4                  (M, K, H3), (M, K)  K = 1: distance_um; K = 2: distance_um and log(sigma_um)

and, all three or none of them:

    whitening, feature_mean (F', F), (F)    whitening @ (features - feature_mean) has unit variance on the training
    strangeness_limit       ()              of the strangeness, the mean of its squares
"""

import functools
import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parfocal.engines.errors import BuildFailed, one_line
from parfocal.engines.model.contract import Contract, HeadTerms

FloatArray = NDArray[np.float32]
N_LAYERS: Final = 4
STRANGENESS: Final = ("whitening", "feature_mean", "strangeness_limit")


@dataclass(frozen=True)
class Prediction:
    """What a model says about each of n patches.

    Attributes:
        distance_um: distance to focus, float32 (n,).
        sigma_um: its standard uncertainty, float32 (n,); None for a model that does not predict it.
        strangeness: how far the features are from those of the training, float32 (n,), about 1 within it; None for a
            model that does not tell.
        strangeness_limit: strangeness above which a patch is outside what the model was made for.
    """

    distance_um: FloatArray
    sigma_um: FloatArray | None = None
    strangeness: FloatArray | None = None
    strangeness_limit: float = float("inf")

    def __getitem__(self, chosen: slice) -> "Prediction":
        """Return the predictions for some of the patches."""
        sigma_um, strangeness = (None if a is None else a[chosen] for a in (self.sigma_um, self.strangeness))
        return Prediction(self.distance_um[chosen], sigma_um, strangeness, self.strangeness_limit)

    @classmethod
    def of_parts(cls, parts: Sequence["Prediction"]) -> "Prediction":
        """Return the predictions of one head for some patches after others, at least one part."""
        return cls(
            np.concatenate([part.distance_um for part in parts]),
            _all_of([part.sigma_um for part in parts]),
            _all_of([part.strangeness for part in parts]),
            parts[0].strangeness_limit,
        )


def _all_of(parts: Sequence[FloatArray | None]) -> FloatArray | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None


@dataclass(frozen=True)
class Head:
    """The arrays of a head, as in its file. `layers` are the weights and biases of each layer, first to last.

    `taught` is not in the file: weights (M, H3) and a bias that an instrument adds for the distance, see `with_last`.
    """

    mean: FloatArray
    deviation: FloatArray
    layers: tuple[tuple[FloatArray, FloatArray], ...]
    whitening: FloatArray | None = None
    feature_mean: FloatArray | None = None
    strangeness_limit: float = float("inf")
    taught: tuple[FloatArray, float] | None = None

    def predict(self, features: FloatArray, condenser: float | None) -> Prediction:
        """Predict from features, float32 (n, F). `condenser` is None for a head that does not take it."""
        return self.predict_inputs(_with_condenser(features, condenser))

    def predict_inputs(self, inputs: FloatArray) -> Prediction:
        """Predict from inputs, float32 (n, I): features, followed by the condenser if the head takes it.

        The distance is the mean of the members. The variance of the prediction is the mean of the members' own
        variances plus the variance of their distances.
        """
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # features that are no numbers give distances that are none
            hidden = self._hidden(inputs)
            outputs = self._outputs(hidden)
            distances_um = outputs[:, :, 0]
            sigma_um = None
            distance_um = _mean(distances_um)
            if outputs.shape[2] == 2:
                apart = _mean(np.square(distances_um - distance_um))
                sigma_um = np.sqrt(_mean(np.exp(2.0 * outputs[:, :, 1])) + apart)
            if self.taught is not None:
                weights, bias_um = self.taught
                added_um = _mean(np.matmul(hidden, weights[:, :, None])[:, :, 0])
                distance_um = distance_um + added_um + np.float32(bias_um)
            return Prediction(distance_um, sigma_um, self._strangeness(inputs), self.strangeness_limit)

    def hidden(self, features: FloatArray, condenser: float | None) -> FloatArray:
        """Return what the last layer reads, float32 (M, n, H3), from features (n, F); `condenser` as in `predict`."""
        return self._hidden(_with_condenser(features, condenser))

    def with_last(self, weights: FloatArray, bias_um: float) -> "Head":
        """Return a head whose last layer has `weights`, float32 (M, H3), and `bias_um` added for the distance.

        They are fitted to the mean of the members. How far the members lie apart stays, and so does the uncertainty.
        """
        return replace(self, taught=(weights, bias_um))

    def _hidden(self, inputs: FloatArray) -> FloatArray:
        y: FloatArray = ((inputs - self.mean) / self.deviation)[None]
        for weight, bias in self._hidden_layers:
            y = np.maximum(np.matmul(y, weight) + bias, np.float32(0.0))
        return y

    @functools.cached_property
    def _hidden_layers(self) -> tuple[tuple[FloatArray, FloatArray], ...]:
        """Weights (M, inputs, outputs) and biases (M, 1, outputs) as a product reads them: a fifth of its time less."""
        return tuple(
            (np.ascontiguousarray(weight.transpose(0, 2, 1)), bias[:, None])
            for weight, bias in self.layers[:-1]
        )

    def _outputs(self, hidden: FloatArray) -> FloatArray:
        """Return the outputs of the members, float32 (M, n, K), from what the last layer reads."""
        weight, bias = self.layers[-1]
        outputs: FloatArray = np.matmul(hidden, weight.transpose(0, 2, 1)) + bias[:, None]
        return outputs

    def _strangeness(self, inputs: FloatArray) -> FloatArray | None:
        if self.whitening is None or self.feature_mean is None:
            return None
        n_features = len(self.feature_mean)
        white = (inputs[:, :n_features] - self.feature_mean) @ self.whitening.T
        strangeness: FloatArray = np.square(white).sum(axis=1) / np.float32(n_features)
        return strangeness

    def arrays(self) -> dict[str, FloatArray]:
        """Return the arrays of the file, by name."""
        found = {"mean": self.mean, "deviation": self.deviation}
        for number, (weight, bias) in enumerate(self.layers, start=1):
            found |= {f"w{number}": weight, f"b{number}": bias}
        if self.whitening is not None and self.feature_mean is not None:
            limit = np.array(self.strangeness_limit, np.float32)
            found |= dict(zip(STRANGENESS, (self.whitening, self.feature_mean, limit), strict=True))
        return {name: np.asarray(array, np.float32) for name, array in found.items()}


def _mean(of_members: FloatArray) -> FloatArray:
    """Return the mean of values (M, n) over the members, (n,): as `mean(axis=0)`, in a third of its time."""
    mean: FloatArray = np.add.reduce(of_members, axis=0) / np.float32(len(of_members))
    return mean


def _with_condenser(features: FloatArray, condenser: float | None) -> FloatArray:
    if condenser is None:
        return features
    return np.concatenate([features, np.full((len(features), 1), condenser, np.float32)], axis=1)


def head_path(model_path: Path) -> Path:
    """Return the path of the head of a model."""
    return model_path.with_suffix(".head.npz")


def save_head(model_path: Path, head: Head) -> str:
    """Write the head of a model beside it, and return its SHA-256 for the contract."""
    path = head_path(model_path)
    partial = path.with_suffix(".partial.npz")
    save: Callable[..., None] = np.savez  # NumPy's stub would take an array for allow_pickle
    arrays: dict[str, Any] = dict(head.arrays())
    save(partial, **arrays)
    partial.replace(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_head(model_path: Path, contract: Contract) -> Head | None:
    """Return the head of a model, None if its graph predicts distances by itself.

    Raises:
        BuildFailed: the head is missing, damaged, not the one that the contract names, or has other shapes.
    """
    if contract.head is None:
        return None
    path = head_path(model_path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BuildFailed(
            f"read the head of model {contract.name} failed: {path}: {error.strerror}. "
            f"Copy it again, together with {model_path.name}."
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != contract.head.sha256:
        raise BuildFailed(
            f"use of the head of model {contract.name} refused: {path} has SHA-256 {digest[:12]}..., {model_path.name} "
            f"names {contract.head.sha256[:12]}.... Copy both again from the same source."
        )
    try:
        return _head_in(content, contract.head)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BuildFailed(
            f"read the head of model {contract.name} failed: {path}: {one_line(error)}. "
            "Export the model again with the programs in tools/."
        ) from error


def _head_in(content: bytes, terms: HeadTerms) -> Head:
    """Return the head in a file. Raises ValueError or KeyError naming the array that does not fit."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: np.asarray(archive[name], np.float32) for name in archive.files}
    n_inputs = terms.features + (terms.condenser is not None)
    wanted: dict[str, tuple[int, ...]] = {"mean": (n_inputs,), "deviation": (n_inputs,)}
    members, width = len(arrays["w1"]), n_inputs
    for number in range(1, N_LAYERS + 1):
        made = arrays[f"w{number}"].shape[1] if arrays[f"w{number}"].ndim == 3 else 0
        wanted |= {f"w{number}": (members, made, width), f"b{number}": (members, made)}
        width = made
    if width not in (1, 2):
        raise ValueError(f"w{N_LAYERS} gives {width} outputs, must be 1 or 2")
    tells = [name for name in STRANGENESS if name in arrays]
    if tells:
        whitened = arrays["whitening"].shape[0] if arrays["whitening"].ndim == 2 else 0
        wanted |= dict(zip(STRANGENESS, ((whitened, terms.features), (terms.features,), ()), strict=True))
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} is {arrays[name].shape}, must be {shape}")
    return Head(
        arrays["mean"],
        arrays["deviation"],
        tuple((arrays[f"w{number}"], arrays[f"b{number}"]) for number in range(1, N_LAYERS + 1)),
        *((arrays["whitening"], arrays["feature_mean"], float(arrays["strangeness_limit"])) if tells else ()),
    )
