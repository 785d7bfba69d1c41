"""The file beside a calibration that holds the optics: stacks as the model saw them, and the weights of a taught head.

A NumPy archive of float32 arrays. For stack number i of p pictures and k patches:

    true_um_i   (p,)        distance to the sharpest plane
    contrast_i  (p, k)      weights of the patches
    outputs_i   (p, k, F)   what the engine computes

and, if the head was taught:

    weights     (M, H3)     added to the last layer of the head for the distance
    bias_um     ()          the same for all members
"""

import io
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class KeptStack(msgspec.Struct, frozen=True, eq=False):
    """One stack as a model saw it, as in the file."""

    true_um: Floats
    contrast: Floats
    outputs: Floats


class Taught(msgspec.Struct, frozen=True, eq=False):
    """What is added to the last layer of a head: weights (M, H3) and bias."""

    weights: Floats
    bias_um: float


def optics_bytes(stacks: tuple[KeptStack, ...], taught: Taught | None) -> bytes:
    """The file."""
    arrays: dict[str, Any] = {}
    for number, stack in enumerate(stacks):
        arrays |= {f"{name}_{number}": getattr(stack, name) for name in stack.__struct_fields__}
    if taught is not None:
        arrays |= {"weights": taught.weights, "bias_um": np.float32(taught.bias_um)}
    save: Callable[..., None] = np.savez  # NumPy's stub would take an array for allow_pickle
    written = io.BytesIO()
    save(written, **{name: np.asarray(array, np.float32) for name, array in arrays.items()})
    return written.getvalue()


def stacks_in(data: bytes) -> tuple[KeptStack, ...]:
    """The stacks in a file. Raises ValueError for one that is damaged."""
    arrays = _arrays(data)
    names = KeptStack.__struct_fields__
    stacks: list[KeptStack] = []
    while all(f"{name}_{len(stacks)}" in arrays for name in names):
        stacks.append(KeptStack(*(arrays[f"{name}_{len(stacks)}"] for name in names)))
    return tuple(stacks)


def taught_in(data: bytes) -> Taught | None:
    """What a file adds to the head; None if the head was not taught. Raises ValueError for one that is damaged."""
    arrays = _arrays(data)
    if "weights" not in arrays:
        return None
    return Taught(arrays["weights"], float(arrays["bias_um"]))


def _arrays(data: bytes) -> dict[str, Floats]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: np.asarray(archive[name], np.float32) for name in archive.files}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"it is no NumPy archive: {error}") from error
