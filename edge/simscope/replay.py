"""A recorded z-stack in place of a slide: the plane nearest to the stage's true height."""

import csv
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.errors import ConfigError
from parfocal.edge.sharpness import peak_inside_um, variance_of_laplacian
from parfocal.edge.simscope.slide import image_from_file

UInt8Array = NDArray[np.uint8]

INDEX_NAME = "stack.csv"


class RecordedStack:
    """Planes of one field, a folder of images with `stack.csv` (columns `file,z_um`)."""

    def __init__(self, folder: Path) -> None:
        """Read the whole stack. Raises ConfigError naming the file that cannot be used."""
        self._folder = folder
        entries = self._entries()
        self.z_um = np.array([z for _, z in entries])
        self._planes = [image_from_file(folder / name) for name, _ in entries]
        for (name, _), plane in zip(entries, self._planes, strict=True):
            if plane.shape != self._planes[0].shape:
                raise self._refused(f"{name} is {_size(plane)}, {entries[0][0]} is {_size(self._planes[0])}")
        self.focus_z_um = self._sharpest_um()

    @property
    def shape_px(self) -> tuple[int, int]:
        """Height and width of the planes."""
        height, width = self._planes[0].shape[:2]
        return height, width

    def nearest(self, z_um: float) -> UInt8Array:
        """The plane nearest to ``z_um`` in the stack's own heights; (h, w, 3)."""
        return self._planes[int(np.abs(self.z_um - z_um).argmin())]

    def _sharpest_um(self) -> float:
        z_um = peak_inside_um(self.z_um.tolist(), [variance_of_laplacian(plane) for plane in self._planes])
        if z_um is None:
            raise self._refused("it is sharpest at one of its ends, so its focus lies outside")
        return z_um

    def _entries(self) -> list[tuple[str, float]]:
        path = self._folder / INDEX_NAME
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except OSError as error:
            raise self._refused(f"{INDEX_NAME} cannot be read: {error.strerror}") from error
        try:
            entries = [(row["file"], float(row["z_um"])) for row in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise self._refused(
                f"{INDEX_NAME} needs the columns file,z_um in every row ({error!r})"
            ) from error
        heights_um = [z for _, z in entries]
        if len(entries) < 5:
            raise self._refused(f"it has {len(entries)} planes, 5 or more are needed")
        if any(b <= a for a, b in itertools.pairwise(heights_um)):
            raise self._refused(f"the heights in {INDEX_NAME} do not rise from row to row")
        return entries

    def _refused(self, why: str) -> ConfigError:
        return ConfigError(
            f"stack {self._folder} cannot be replayed: {why}; nothing moved. Correct the stack."
        )


def _size(plane: UInt8Array) -> str:
    return f"{plane.shape[1]} x {plane.shape[0]} px"
