"""Stacks of planes, recorded or made: a TIFF of planes, or a folder of images.

A TIFF is an OME-TIFF, a hyperstack of ImageJ, or says nothing of itself; a folder holds a table `stack.csv`
(`file,z_um`) or numbered images. What a stack does not say of heights and sampling can be given beside it.

Heights rise from plane to plane, in um of the stage. A stack that knows its focus carries it as `focus_z_um`: a
map annotation of the OME-TIFF, a third column of `stack.csv` that is the same in every row. In the same way it may
carry `condenser_sigma`, the aperture of the condenser over that of the objective: depth of field hangs on it.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tifffile

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.eight_bits import in_eight_bits
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stacks.data import (
    CONDENSER_KEY,
    FOCUS_KEY,
    TO_GIVE_HEIGHTS,
    Raw,
    Stack,
    StackDamaged,
    StackRefused,
)
from parfocal.edge.stacks.folder import INDEX_NAME, from_folder
from parfocal.edge.stacks.tiff import from_tiff
from parfocal.edge.whole_file import whole_file
from parfocal.edge.words import counted

__all__ = [
    "INDEX_NAME",
    "Given",
    "Stack",
    "StackDamaged",
    "StackRefused",
    "is_begun",
    "read_stack",
    "write_stack",
]

# In the Software tag of what `write_stack` writes, at its very beginning: also a part of such a file tells whose it is.
WRITTEN_BY = "parfocal"
HEAD_BYTES = 1024
MIN_PLANES = 2


class Given(msgspec.Struct, frozen=True):
    """What is said beside a stack, in place of what it says itself; None for nothing.

    `step_um` from plane to plane, less than nothing where each plane lies below the one before it.
    """

    step_um: float | None = None
    um_per_px: float | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError where it cannot be."""
        if self.step_um is not None and not (math.isfinite(self.step_um) and self.step_um != 0.0):
            raise ConfigError(
                f"planes every {self.step_um} um given: that is no distance. Correct --step-um."
            )
        if self.um_per_px is not None and not (math.isfinite(self.um_per_px) and self.um_per_px > 0.0):
            raise ConfigError(
                f"sampling of {self.um_per_px} um per px given: it must be positive. Correct --um-per-px."
            )


NOTHING = Given()


def read_stack(path: Path, given: Given = NOTHING) -> Stack:
    """Read a whole stack, a folder or a TIFF; values of 16 bits become 8, all planes by one measure.

    Raises StackRefused naming the file that cannot be used, and why.
    """
    raw = from_folder(path) if path.is_dir() else from_tiff(path)
    if len(raw.planes) < MIN_PLANES:
        raise StackRefused(
            path, f"it has {counted(len(raw.planes), 'plane')}, {MIN_PLANES} or more are needed"
        )
    raw = _with_heights(path, raw, given)
    z_um = raw.z_um or ()
    for number, (below, above) in enumerate(itertools.pairwise(z_um), start=1):
        if not above > below:
            raise StackRefused(
                path,
                f"heights must rise from plane to plane, but plane {number + 1} at z={above} um follows z={below} um",
            )
    planes, notes = _in_eight_bits(raw)
    return Stack(
        path,
        z_um,
        planes,
        raw.um_per_px if given.um_per_px is None else given.um_per_px,
        raw.focus_z_um,
        raw.condenser_sigma,
        (*raw.notes, *notes),
    )


def _with_heights(path: Path, raw: Raw, given: Given) -> Raw:
    """The same with the heights that are given, lowest plane first. Raises StackRefused where there are none at all."""
    if given.step_um is None:
        if raw.z_um is None:
            why = f"it does not say the heights of its planes: {raw.no_heights}"
            raise StackRefused(path, why, TO_GIVE_HEIGHTS)
        return raw
    if raw.focus_z_um is not None:
        why = f"its focus is known at z={raw.focus_z_um:g} um, by heights of its own"
        raise StackRefused(path, why, "Leave --step-um out.")
    z_um = tuple(number * abs(given.step_um) for number in range(len(raw.planes)))
    planes = raw.planes if given.step_um > 0.0 else raw.planes[::-1]
    return msgspec.structs.replace(raw, planes=planes, z_um=z_um, notes=())


def _in_eight_bits(raw: Raw) -> tuple[tuple[UInt8Array, ...], tuple[str, ...]]:
    planes, bits = in_eight_bits(raw.planes, raw.significant_bits)
    if raw.planes[0].dtype == np.uint8:
        return planes, ()
    brightest = max(int(plane.max()) for plane in raw.planes)
    return planes, (f"its values, up to {brightest}, were read as those of {bits} bits",)


def write_stack(
    path: Path,
    planes: Sequence[UInt8Array],
    z_um: Sequence[float],
    um_per_px: float,
    focus_z_um: float | None = None,
    condenser_sigma: float | None = None,
) -> None:
    """Write planes, RGB uint8 (h, w, 3) each, as an OME-TIFF: whole, or not at all.

    Raises ConfigError where the file cannot be written; ValueError where heights and planes are no stack.
    """
    if len(planes) != len(z_um) or len(planes) < MIN_PLANES:
        raise ValueError(f"{counted(len(planes), 'plane')} at {counted(len(z_um), 'height')} are no stack")
    metadata: dict[str, Any] = {
        "axes": "ZYXS",
        "PhysicalSizeX": um_per_px,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": um_per_px,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": (z_um[-1] - z_um[0]) / (len(z_um) - 1),
        "PhysicalSizeZUnit": "µm",
        "Plane": {"PositionZ": [float(z) for z in z_um], "PositionZUnit": ["µm"] * len(z_um)},
    }
    known = {FOCUS_KEY: focus_z_um, CONDENSER_KEY: condenser_sigma}
    annotations = {key: repr(float(value)) for key, value in known.items() if value is not None}
    if annotations:
        metadata["MapAnnotation"] = {"Namespace": "parfocal", **annotations}
    try:
        with whole_file(path) as file:
            tifffile.imwrite(
                file,
                iter(planes),
                shape=(len(planes), *planes[0].shape),
                dtype=np.uint8,
                photometric="rgb",
                ome=True,
                software=WRITTEN_BY,
                metadata=metadata,
            )
    except OSError as error:
        raise ConfigError(
            f"stack {path} cannot be written: {error.strerror or error}. Make room, or give another folder."
        ) from error


def is_begun(path: Path) -> bool:
    """Whether a file is one that `write_stack` began: a file, no link, with our mark or empty. Raises OSError."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return not head or WRITTEN_BY.encode() in head
