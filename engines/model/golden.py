"""Golden patches of a model, stored beside it as NAME.golden.npz: the test set for every engine of the model.

The file is a NumPy archive (np.savez_compressed) of five arrays:

    difference      int8 (n, 3, h, w)   held-out patches in grey levels, before normalisation;
                                        for a model of pairs: pair, int8 (n, 6, h, w), the second shot minus 128
                                        for a model of single shots: shot, uint8
    distance_um     float32 (n,)        their true distances
    reference_um    float32 (n,)        their predictions by ONNX Runtime with the FP32 graph
    calibration     int8 (m, 3, h, w)   patches of OTHER objects, for INT8 only; stored in the same way
    model_sha256    str                 SHA-256 of the ONNX file that gave reference_um

Patches are stored in grey levels: integers lose nothing and compress to a quarter of the size of float16. Camera noise
hardly compresses, and a whole patch of 672 px would take 0.7 MB. So large patches are stored cropped, and extended by
their mirror image when they are loaded, which keeps their defocus.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from parfocal.engines.errors import BuildFailed, one_line
from parfocal.engines.model.contract import Contract, Kind, contract_from_onnx

Patches = NDArray[np.int8] | NDArray[np.uint8]

# By kind of model: the name of its patches in the file, and their type.
STORED: Final[dict[Kind, tuple[str, type[np.generic]]]] = {
    "difference": ("difference", np.int8),
    "pair": ("pair", np.int8),
    "single": ("shot", np.uint8),
}
# As in edge/focus/picture/prepare.py, which this folder must not import. A test keeps both equal.
MIN_STANDARD_DEVIATION: Final = 1e-3


@dataclass(frozen=True)
class Golden:
    """The golden patches of one model, normalised as `Runner.infer` takes them.

    Attributes:
        batch: held-out patches, float32 (n, channels, patch_px, patch_px).
        distance_um: true distances, float32 (n,).
        reference_um: predictions of the FP32 graph on ONNX Runtime, float32 (n,).
        calibration: patches of other objects, float32 (m, channels, patch_px, patch_px).
    """

    batch: NDArray[np.float32]
    distance_um: NDArray[np.float32]
    reference_um: NDArray[np.float32]
    calibration: NDArray[np.float32]


def golden_path(model_path: Path) -> Path:
    """Return the path of the golden patches of a model."""
    return model_path.with_suffix(".golden.npz")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        BuildFailed: the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BuildFailed(
            f"read {path} failed: {error.strerror}. Restore the file or name another one."
        ) from error


def save_golden(
    model_path: Path,
    patches: Patches,
    distance_um: NDArray[np.float32],
    reference_um: NDArray[np.float32],
    calibration: Patches,
) -> Path:
    """Write the golden patches of a model beside it. The docstring of this module gives shapes and types.

    Raises:
        BuildFailed: the model has no contract.
        ValueError: an array has the wrong type or shape.
    """
    contract = contract_from_onnx(model_path)
    stored, dtype = STORED[contract.kind]
    for name, given in ((stored, patches), ("calibration", calibration)):
        fits = (
            given.ndim == 4
            and given.shape[1] == contract.channels
            and max(given.shape[2:]) <= contract.patch_px
        )
        if not fits or given.dtype != dtype:
            raise ValueError(
                f"{name} is {given.dtype} {given.shape}, must be {dtype.__name__} (n, {contract.channels}, h, w) "
                f"of at most {contract.patch_px} px"
            )
    if not distance_um.shape == reference_um.shape == (len(patches),):
        raise ValueError(
            f"{len(patches)} patches with {distance_um.shape} and {reference_um.shape} distances"
        )
    path = golden_path(model_path)
    partial = path.with_suffix(".partial.npz")
    arrays: dict[str, NDArray[Any]] = {
        stored: patches,
        "distance_um": distance_um.astype(np.float32),
        "reference_um": reference_um.astype(np.float32),
        "calibration": calibration,
        "model_sha256": np.array(sha256_of(model_path)),
    }
    save: Callable[..., None] = np.savez_compressed  # NumPy's stub would take an array for allow_pickle
    save(partial, **arrays)
    partial.replace(path)
    return path


def load_golden(model_path: Path) -> Golden:
    """Read the golden patches of a model.

    Raises:
        BuildFailed: they are missing, damaged, or were made with another model.
    """
    path, contract = golden_path(model_path), contract_from_onnx(model_path)
    names = (STORED[contract.kind][0], "distance_um", "reference_um", "calibration", "model_sha256")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            patches, distance_um, reference_um, calibration, model_sha256 = (archive[name] for name in names)
    except FileNotFoundError as error:
        raise BuildFailed(
            f"check of model {model_path} failed: it has no golden patches ({path.name}), so its engines "
            "cannot be checked. Run `python -m tools.export`, which writes them."
        ) from error
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BuildFailed(f"read {path} failed: {one_line(error)}. Copy it again from its source.") from error
    if str(model_sha256) != sha256_of(model_path):
        raise BuildFailed(
            f"check of model {model_path} failed: {path.name} was made with another {model_path.name}. "
            "Run `python -m tools.export` again, which writes both."
        )
    return Golden(batch_of(patches, contract), distance_um, reference_um, batch_of(calibration, contract))


def batch_of(patches: NDArray[np.generic], contract: Contract) -> NDArray[np.float32]:
    """Return patches in grey levels (n, channels, h, w) as a model takes them.

    The result is float32 (n, channels, patch_px, patch_px): mirrored up to the size of a patch, and standardised.
    """
    missing_px = [contract.patch_px - size_px for size_px in patches.shape[2:]]
    margins = ((0, 0), (0, 0), *((0, size_px) for size_px in missing_px))
    whole = np.pad(patches, margins, mode="symmetric")
    return standardised(whole)


def standardised(patches: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return patches (n, channels, h, w) with each channel at mean 0 and deviation 1 ("channel-standardised")."""
    values = patches.astype(np.float32)
    values -= values.mean(axis=(2, 3), keepdims=True)
    values /= np.maximum(values.std(axis=(2, 3), keepdims=True), MIN_STANDARD_DEVIATION)
    return values
