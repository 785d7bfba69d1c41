"""Reads stacks: a TIFF of planes, or a folder of images.

A TIFF is an OME-TIFF, an ImageJ hyperstack, or has no description. A folder has a table `stack.csv` (`file,z_um`) or
numbered images. Heights and sampling that a stack does not give can be given with `Overrides`.

Heights rise from plane to plane, in um of the stage. A stack may also give `focus_z_um`, the height of its focus, and
`condenser_sigma`, on which the depth of field depends: as a map annotation of the OME-TIFF, or as a column of
`stack.csv` with the same value in every row.
"""

import itertools
import math
from pathlib import Path

import msgspec
import numpy as np

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.eight_bits import in_eight_bits
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stacks.folder import from_folder
from parfocal.edge.stacks.stack import GIVE_THE_HEIGHTS, RawStack, Stack, StackRefused
from parfocal.edge.stacks.tiff import from_tiff
from parfocal.edge.words import counted

MIN_PLANES = 2


class Overrides(msgspec.Struct, frozen=True):
    """What the user gives in place of a stack's own values; None keeps those.

    `step_um` is the distance from plane to plane, negative where each plane lies below the one before.
    """

    step_um: float | None = None
    um_per_px: float | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError where a value is impossible."""
        if self.step_um is not None and not (math.isfinite(self.step_um) and self.step_um != 0.0):
            raise ConfigError(
                f"planes every {self.step_um} um given: the distance must not be zero. Correct --step-um."
            )
        if self.um_per_px is not None and not (math.isfinite(self.um_per_px) and self.um_per_px > 0.0):
            raise ConfigError(
                f"sampling of {self.um_per_px} um per px given: it must be positive. Correct --um-per-px."
            )


NO_OVERRIDES = Overrides()


def read_stack(path: Path, overrides: Overrides = NO_OVERRIDES) -> Stack:
    """Read a whole stack, a folder or a TIFF. Values of 16 bits become 8, all planes on the same scale.

    Raises StackRefused, which names the file and the reason.
    """
    raw = from_folder(path) if path.is_dir() else from_tiff(path)
    if len(raw.planes) < MIN_PLANES:
        raise StackRefused(
            path, f"it has {counted(len(raw.planes), 'plane')}, {MIN_PLANES} or more are needed"
        )
    raw = _with_heights(path, raw, overrides)
    z_um = raw.z_um or ()
    for number, (below_um, above_um) in enumerate(itertools.pairwise(z_um), start=2):
        if not above_um > below_um:
            raise StackRefused(
                path,
                f"heights must rise from plane to plane, but plane {number} at z={above_um} um follows z={below_um} um",
            )
    planes, notes = _in_eight_bits(raw)
    return Stack(
        path=path,
        z_um=z_um,
        planes=planes,
        um_per_px=raw.um_per_px if overrides.um_per_px is None else overrides.um_per_px,
        focus_z_um=raw.focus_z_um,
        condenser_sigma=raw.condenser_sigma,
        notes=(*raw.notes, *notes),
        calibration=raw.calibration,
        focus_moved_um=raw.focus_moved_um,
    )


def _with_heights(path: Path, raw: RawStack, overrides: Overrides) -> RawStack:
    """The stack with the heights to use, lowest plane first. Raises StackRefused where it has none."""
    if overrides.step_um is None:
        if raw.z_um is None:
            why = f"it does not give the heights of its planes: {raw.no_heights}"
            raise StackRefused(path, why, GIVE_THE_HEIGHTS)
        return raw
    if raw.focus_z_um is not None:
        why = f"it gives its focus, z={raw.focus_z_um:g} um, in its own heights"
        raise StackRefused(path, why, "Leave --step-um out.")
    z_um = tuple(number * abs(overrides.step_um) for number in range(len(raw.planes)))
    planes = raw.planes if overrides.step_um > 0.0 else raw.planes[::-1]
    # Notes so far are about the heights that are replaced.
    return msgspec.structs.replace(raw, planes=planes, z_um=z_um, notes=())


def _in_eight_bits(raw: RawStack) -> tuple[tuple[UInt8Array, ...], tuple[str, ...]]:
    """The planes in 8 bits, and a note where they had 16."""
    planes, bits = in_eight_bits(raw.planes, raw.significant_bits)
    if raw.planes[0].dtype == np.uint8:
        return planes, ()
    brightest = max(int(plane.max()) for plane in raw.planes)
    return planes, (f"values up to {brightest} were read as {bits}-bit values",)
