"""Golden patches of a model: what every engine of it is held against, beside the model as NAME.golden.npz.

The file is a NumPy archive (np.savez_compressed) of five arrays:

    difference      int8 (n, 3, h, w)   held-out patches in grey levels, before normalisation;
                                        of a model of pairs: pair, int8 (n, 6, h, w), the second shot less 128
                                        of a model of single shots: shot, uint8
    distance_um     float32 (n,)        the true distances of those
    reference_um    float32 (n,)        what ONNX Runtime predicts of them with the FP32 graph
    calibration     int8 (m, 3, h, w)   patches of OTHER objects, for INT8 only; stored in the same way
    model_sha256    str                 of the ONNX file that gave reference_um

Grey levels, because whole numbers compress to a quarter of what float16 takes, and lose nothing. The noise of a
camera hardly compresses, so that whole patches of 672 px would take 0.7 MB each: smaller ones are continued by
their mirror image up to the patch of the model, which keeps their defocus.
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

# By kind of model, what its patches are called in the file, and their type.
STORED: Final[dict[Kind, tuple[str, type[np.generic]]]] = {
    "difference": ("difference", np.int8),
    "pair": ("pair", np.int8),
    "single": ("shot", np.uint8),
}
# As in edge/focus/prepare.py, which this folder must not import; a test holds the two together.
MIN_STANDARD_DEVIATION: Final = 1e-3


@dataclass(frozen=True)
class Golden:
    """The golden patches of one model, normalised: what `Runner.infer` takes.

    Attributes:
        batch: float32 (n, 3, patch_px, patch_px), held out.
        distance_um: float32 (n,), true.
        reference_um: float32 (n,), predicted by the FP32 graph on ONNX Runtime.
        calibration: float32 (m, 3, patch_px, patch_px), of other objects.
    """

    batch: NDArray[np.float32]
    distance_um: NDArray[np.float32]
    reference_um: NDArray[np.float32]
    calibration: NDArray[np.float32]


def golden_path(model_path: Path) -> Path:
    """Return where the golden patches of a model lie."""
    return model_path.with_suffix(".golden.npz")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        BuildFailed: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BuildFailed(
            f"read {path} failed: {error.strerror}. Put the file back or name another."
        ) from error


def save_golden(
    model_path: Path,
    patches: Patches,
    distance_um: NDArray[np.float32],
    reference_um: NDArray[np.float32],
    calibration: Patches,
) -> Path:
    """Write the golden patches of a model beside it; shapes and types as the head of this file says.

    Raises:
        BuildFailed: the model carries no contract.
        ValueError: an array has another type or length.
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
    save: Callable[..., None] = np.savez_compressed  # typed as if an array could be its allow_pickle
    save(partial, **arrays)
    partial.replace(path)
    return path


def load_golden(model_path: Path) -> Golden:
    """Read the golden patches of a model.

    Raises:
        BuildFailed: they are not there, are damaged, or were made with another model.
    """
    path, contract = golden_path(model_path), contract_from_onnx(model_path)
    names = (STORED[contract.kind][0], "distance_um", "reference_um", "calibration", "model_sha256")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            patches, distance_um, reference_um, calibration, model_sha256 = (archive[name] for name in names)
    except FileNotFoundError as error:
        raise BuildFailed(
            f"check of model {model_path} failed: it has no golden patches ({path.name}), so no engine of it "
            "can be judged. Run tools.export, which writes them."
        ) from error
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BuildFailed(f"read {path} failed: {one_line(error)}. Copy it again from its source.") from error
    if str(model_sha256) != sha256_of(model_path):
        raise BuildFailed(
            f"check of model {model_path} failed: {path.name} was made with another file of that name. "
            "Run tools.export again, which writes both."
        )
    return Golden(batch_of(patches, contract), distance_um, reference_um, batch_of(calibration, contract))


def batch_of(patches: NDArray[np.generic], contract: Contract) -> NDArray[np.float32]:
    """Return patches in grey levels (n, channels, h, w) as the model takes them, float32 (n, 3, patch_px, patch_px)."""
    missing_px = [contract.patch_px - size_px for size_px in patches.shape[2:]]
    margins = ((0, 0), (0, 0), *((0, size_px) for size_px in missing_px))
    whole = np.pad(patches, margins, mode="symmetric")
    return standardised(whole)


def standardised(patches: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return each channel of each patch (n, 3, h, w) with mean 0 and deviation 1 ("channel-standardised")."""
    values = patches.astype(np.float32)
    values -= values.mean(axis=(2, 3), keepdims=True)
    values /= np.maximum(values.std(axis=(2, 3), keepdims=True), MIN_STANDARD_DEVIATION)
    return values
