"""A stack of planes, what its readers find in a file, and the errors about one that cannot be used."""

from pathlib import Path

import msgspec
import numpy as np

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.eight_bits import Picture
from parfocal.edge.pixels import UInt8Array

FOCUS_KEY, CONDENSER_KEY = "focus_z_um", "condenser_sigma"
UM_PER_UNIT = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns"), 1.0),  # both signs for micro are in use
    "nm": 1e-3,
    "mm": 1e3,
}
TO_CORRECT = "Correct the stack or record it again."
TO_GIVE_HEIGHTS = "Give the distance of its planes: `parfocal evaluate --step-um`."


class StackRefused(ConfigError):
    """A stack that cannot be used; `why` alone."""

    def __init__(self, path: Path, why: str, remedy: str = TO_CORRECT) -> None:
        """``remedy``: what to do, a sentence."""
        super().__init__(f"stack {path} cannot be used: {why}. {remedy}")
        self.why = why


class StackDamaged(StackRefused):
    """A stack that cannot be read because it is cut short or otherwise damaged."""


class Stack(msgspec.Struct, frozen=True):
    """Pictures, RGB uint8 (h, w, 3) each, with their heights, um.

    `um_per_px`, `focus_z_um` and `condenser_sigma` are None where the stack does not say. `notes`: how what it holds
    was understood, a sentence each.
    """

    path: Path
    z_um: tuple[float, ...]
    planes: tuple[UInt8Array, ...]
    um_per_px: float | None = None
    focus_z_um: float | None = None
    condenser_sigma: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def shape_px(self) -> tuple[int, int]:
        """Height and width of the planes."""
        height, width = self.planes[0].shape[:2]
        return height, width


class Raw(msgspec.Struct, frozen=True):
    """What a file says of itself: planes of 8 or 16 bits, RGB (h, w, 3) each.

    `z_um` is None where it says nothing of heights, and then `no_heights` why. `significant_bits` is 0 where it does
    not say how many of 16 bits are in use.
    """

    planes: tuple[Picture, ...]
    z_um: tuple[float, ...] | None
    no_heights: str = ""
    um_per_px: float | None = None
    significant_bits: int = 0
    focus_z_um: float | None = None
    condenser_sigma: float | None = None
    notes: tuple[str, ...] = ()


def size_of(plane: Picture) -> str:
    """Width and height of a plane, as text."""
    return f"{plane.shape[1]} x {plane.shape[0]} px"


def positive_um(path: Path, name: str, value_um: float) -> float:
    """A length that must be more than nothing. Raises StackRefused."""
    if not (np.isfinite(value_um) and value_um > 0.0):
        raise StackRefused(path, f"{name} is {value_um:g} um, which is no length")
    return value_um
