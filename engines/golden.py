"""Golden patches of a model: what every engine of it is held against, beside the model as NAME.golden.npz.

The file is a NumPy archive (np.savez_compressed) of five arrays:

    difference      int8 (n, 3, patch_px, patch_px)   held-out patches in grey levels, before normalisation;
                                                      uint8 for a model of single shots
    distance_um     float32 (n,)                      the true distances of those
    reference_um    float32 (n,)                      what ONNX Runtime predicts of them with the FP32 graph
    calibration     int8 (m, 3, patch_px, patch_px)   patches of OTHER objects, for INT8 only
    model_sha256    str                               of the ONNX file that gave reference_um

Grey levels, because whole numbers compress to a quarter of what float16 takes, and lose nothing.
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parfocal.engines.errors import BuildFailed, one_line

FORMAT: Final = ("difference", "distance_um", "reference_um", "calibration", "model_sha256")
# As in edge/prepare.py, which this folder must not import; a test holds the two together.
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
    difference: NDArray[np.int8] | NDArray[np.uint8],
    distance_um: NDArray[np.float32],
    reference_um: NDArray[np.float32],
    calibration: NDArray[np.int8] | NDArray[np.uint8],
) -> Path:
    """Write the golden patches of a model beside it; shapes and types as the head of this file says.

    Raises:
        ValueError: an array has another type or length.
    """
    for name, patches in (("difference", difference), ("calibration", calibration)):
        if patches.ndim != 4 or patches.dtype not in (np.dtype(np.int8), np.dtype(np.uint8)):
            raise ValueError(f"{name} is {patches.dtype} {patches.shape}, must be int8 or uint8 (n, 3, h, w)")
    if not distance_um.shape == reference_um.shape == (len(difference),):
        raise ValueError(
            f"{len(difference)} patches with {distance_um.shape} and {reference_um.shape} distances"
        )
    path = golden_path(model_path)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        difference=difference,
        distance_um=distance_um.astype(np.float32),
        reference_um=reference_um.astype(np.float32),
        calibration=calibration,
        model_sha256=np.array(sha256_of(model_path)),
    )
    partial.replace(path)
    return path


def load_golden(model_path: Path) -> Golden:
    """Read the golden patches of a model.

    Raises:
        BuildFailed: they are not there, are damaged, or were made with another model.
    """
    path = golden_path(model_path)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            difference, distance_um, reference_um, calibration, model_sha256 = (
                archive[name] for name in FORMAT
            )
    except FileNotFoundError as error:
        raise BuildFailed(
            f"check of model {model_path} failed: it has no golden patches ({path.name}), so no engine of it "
            "can be judged. Run tools.export, which writes them."
        ) from error
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BuildFailed(f"read {path} failed: {one_line(error)}. Copy it again from its source.") from error
    if str(model_sha256) != sha256_of(model_path):
        raise BuildFailed(
            f"check of model {model_path} failed: {path.name} was made with another file of that name. "
            "Run tools.export again, which writes both."
        )
    return Golden(standardised(difference), distance_um, reference_um, standardised(calibration))


def standardised(patches: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return each channel of each patch (n, 3, h, w) with mean 0 and deviation 1 ("channel-standardised")."""
    values = patches.astype(np.float32)
    values -= values.mean(axis=(2, 3), keepdims=True)
    values /= np.maximum(values.std(axis=(2, 3), keepdims=True), MIN_STANDARD_DEVIATION)
    return values
