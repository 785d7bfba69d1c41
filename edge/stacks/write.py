"""Writes stacks as OME-TIFF."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from parfocal.edge.errors import ConfigError
from parfocal.edge.stacks.read import MIN_PLANES
from parfocal.edge.stacks.stack import (
    CALIBRATED_KEY,
    CALIBRATION_KEY,
    CONDENSER_KEY,
    FOCUS_KEY,
    MOVED_KEY,
    Stack,
)
from parfocal.edge.whole_file import whole_file
from parfocal.edge.words import counted

# The Software tag, at the very beginning of the file: it shows who wrote even a truncated one.
WRITTEN_BY = "parfocal"
HEAD_BYTES = 1024


def write_stack(stack: Stack) -> None:
    """Write a stack to its path as an OME-TIFF, completely or not at all. Its notes are not written.

    Raises:
        ConfigError: the file cannot be written.
        ValueError: there are fewer than two planes, or not one height for each.
    """
    n_planes, n_heights = len(stack.planes), len(stack.z_um)
    if n_planes != n_heights or n_planes < MIN_PLANES:
        raise ValueError(
            f"a stack has {MIN_PLANES} or more planes and a height for each: "
            f"{counted(n_planes, 'plane')} and {counted(n_heights, 'height')} given"
        )
    try:
        with whole_file(stack.path) as file:
            tifffile.imwrite(
                file,
                iter(stack.planes),
                shape=(n_planes, *stack.planes[0].shape),
                dtype=np.uint8,
                photometric="rgb",
                ome=True,
                software=WRITTEN_BY,
                metadata=_metadata(stack),
            )
    except OSError as error:
        raise ConfigError(
            f"stack {stack.path} cannot be written: {error.strerror or error}. Free some space, or give another folder."
        ) from error


def _metadata(stack: Stack) -> dict[str, Any]:
    """The OME description, as tifffile takes it."""
    z_um = [float(z) for z in stack.z_um]
    metadata: dict[str, Any] = {"axes": "ZYXS"}
    if stack.um_per_px is not None:
        metadata |= {
            "PhysicalSizeX": stack.um_per_px,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": stack.um_per_px,
            "PhysicalSizeYUnit": "µm",
        }
    metadata |= {
        "PhysicalSizeZ": (z_um[-1] - z_um[0]) / (len(z_um) - 1),
        "PhysicalSizeZUnit": "µm",
        "Plane": {"PositionZ": z_um, "PositionZUnit": ["µm"] * len(z_um)},
    }
    known = {
        FOCUS_KEY: stack.focus_z_um,
        CONDENSER_KEY: stack.condenser_sigma,
        MOVED_KEY: stack.focus_moved_um,
    }
    annotations = {key: repr(float(value)) for key, value in known.items() if value is not None}
    if stack.calibration is not None:
        annotations[CALIBRATION_KEY] = stack.calibration.id
        annotations[CALIBRATED_KEY] = stack.calibration.measured_at.isoformat()
    if annotations:
        metadata["MapAnnotation"] = {"Namespace": "parfocal", **annotations}
    return metadata


def is_begun(path: Path) -> bool:
    """Whether `write_stack` began this file: a regular file, not a link, that has our mark or is empty.

    Raises OSError.
    """
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return not head or WRITTEN_BY.encode() in head
