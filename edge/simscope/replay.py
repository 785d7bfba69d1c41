"""A recorded z-stack in place of a slide: the plane nearest to the stage's true height."""

from pathlib import Path

import numpy as np

from parfocal.edge.focus.sharpness import peak_inside_um, variance_of_laplacian
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stacks.stack import StackRefused, read_stack
from parfocal.edge.words import counted

MIN_PLANES = 5


class RecordedStack:
    """Planes of one field: an OME-TIFF, or a folder of images with `stack.csv`."""

    def __init__(self, path: Path) -> None:
        """Read the whole stack. Raises ConfigError naming the file that cannot be used."""
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
        """The plane nearest to ``z_um`` in the stack's own heights; (h, w, 3)."""
        return self._stack.planes[int(np.abs(self.z_um - z_um).argmin())]

    def _sharpest_um(self) -> float:
        sharpness = [variance_of_laplacian(plane) for plane in self._stack.planes]
        z_um = peak_inside_um(self._stack.z_um, sharpness)
        if z_um is None:
            raise StackRefused(
                self._stack.path,
                "it is sharpest at one of its ends, so its focus lies outside; nothing moved",
            )
        return z_um
