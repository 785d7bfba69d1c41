"""A stack of planes in memory, and the error of an unusable stack."""

from pathlib import Path

import msgspec

from parfocal.calib.value import UsedCalibration
from parfocal.edge.errors import ConfigError
from parfocal.edge.images.eight_bits import RawPixels
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.words import counted, sized

# Names of the same values in an OME-TIFF and in `stack.csv`.
FOCUS_KEY, CONDENSER_KEY = "focus_z_um", "condenser_sigma"
MOVED_KEY = "focus_moved_um"
# Names of the two parts of the calibration's name in an OME-TIFF.
CALIBRATION_KEY, CALIBRATED_KEY = "calibration_id", "calibration_measured_at"

# Planes as RGB. A TIFF is in memory twice while its colours are sorted, so 4 GB of a Jetson's 8 are in use at worst;
# 41 planes of 13 megapixels take 1.6 GB.
MAX_STACK_BYTES = 2 * 10**9
PLANE_OVERHEAD_BYTES = 2000  # an array and its entry in the file's directory: counts where planes are tiny

CORRECT_THE_STACK = "Correct the stack or record it again."
GIVE_THE_HEIGHTS = "Give the distance between its planes: `parfocal evaluate --step-um`."


class StackRefused(ConfigError):
    """An unusable stack. `why` is the reason without the path."""

    def __init__(self, path: Path, why: str, remedy: str = CORRECT_THE_STACK) -> None:
        """`remedy` is a sentence that says what to do."""
        super().__init__(f"stack {path} cannot be used: {why}. {remedy}")
        self.why = why


class StackDamaged(StackRefused):
    """A stack that is truncated or otherwise damaged."""


class Stack(msgspec.Struct, frozen=True):
    """Planes of one field, RGB uint8 (h, w, 3) each, with their heights in um.

    `um_per_px`, `focus_z_um` and `condenser_sigma` are None where the stack does not give them. `condenser_sigma` is
    the aperture of the condenser divided by that of the objective. `calibration` names the one in force when the stack
    was recorded. `notes` say how the file was interpreted, one sentence each. `focus_moved_um`: how far the focus
    was away when it was looked at again after the stack, None if nobody looked.
    """

    path: Path
    z_um: tuple[float, ...]
    planes: tuple[UInt8Array, ...]
    um_per_px: float | None = None
    focus_z_um: float | None = None
    condenser_sigma: float | None = None
    notes: tuple[str, ...] = ()
    calibration: UsedCalibration | None = None
    focus_moved_um: float | None = None

    @property
    def shape_px(self) -> tuple[int, int]:
        """Height and width of the planes."""
        height, width = self.planes[0].shape[:2]
        return height, width


class RawStack(msgspec.Struct, frozen=True):
    """A stack as its file has it: planes of 8 or 16 bits, RGB (h, w, 3) each.

    `z_um` is None where the file gives no heights; `no_heights` then says why. `significant_bits` is 0 where the file
    does not say how many of 16 bits are in use.
    """

    planes: tuple[RawPixels, ...]
    z_um: tuple[float, ...] | None
    no_heights: str = ""
    um_per_px: float | None = None
    significant_bits: int = 0
    focus_z_um: float | None = None
    condenser_sigma: float | None = None
    notes: tuple[str, ...] = ()
    calibration: UsedCalibration | None = None
    focus_moved_um: float | None = None


def too_large(n_planes: int, plane_bytes: int) -> str | None:
    """Why a stack would not fit into memory, to follow "its planes"; None if it fits."""
    n_bytes = n_planes * (plane_bytes + PLANE_OVERHEAD_BYTES)
    if n_bytes <= MAX_STACK_BYTES:
        return None
    return f"take {sized(n_bytes)} of memory, the limit is {sized(MAX_STACK_BYTES)}"


def check_memory(path: Path, n_planes: int, plane_bytes: int) -> None:
    """Refuse a stack that would not fit into memory, before it is read. Raises StackRefused."""
    why = too_large(n_planes, plane_bytes)
    if why:
        raise StackRefused(path, f"its {counted(n_planes, 'plane')} {why}", "Use fewer planes, or crop them.")
