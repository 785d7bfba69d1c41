"""A recorded stack in place of a slide: it shows the plane nearest to the true height of the stage."""

from pathlib import Path

import numpy as np

from parfocal.edge.focus.picture.sharpness import peak_inside_um, variance_of_laplacian
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stacks.read import read_stack
from parfocal.edge.stacks.stack import StackRefused
from parfocal.edge.words import counted

MIN_PLANES = 5


class RecordedStack:
    """A stack of one field, a TIFF or a folder, whose focus is known or can be seen."""

    def __init__(self, path: Path) -> None:
        """Read the whole stack. Raises StackRefused."""
        self._stack = read_stack(path)
        n_planes = len(self._stack.planes)
        if n_planes < MIN_PLANES:
            raise StackRefused(path, f"it has {counted(n_planes, 'plane')}, {MIN_PLANES} or more are needed")
        self.z_um = np.array(self._stack.z_um)
        known_um = self._stack.focus_z_um
        self.focus_z_um = self._sharpest_um() if known_um is None else known_um

    @property
    def shape_px(self) -> tuple[int, int]:
        """Height and width of the planes."""
        return self._stack.shape_px

    def nearest(self, z_um: float) -> UInt8Array:
        """The plane nearest to `z_um` in the stack's own heights; (h, w, 3)."""
        return self._stack.planes[int(np.abs(self.z_um - z_um).argmin())]

    def _sharpest_um(self) -> float:
        sharpness = [variance_of_laplacian(plane) for plane in self._stack.planes]
        z_um = peak_inside_um(self._stack.z_um, sharpness)
        if z_um is None:
            raise StackRefused(
                self._stack.path,
                "it is sharpest at one of its ends, so its focus is outside; nothing moved",
            )
        return z_um
