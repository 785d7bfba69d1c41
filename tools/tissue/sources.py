"""Which images a training may see and which are held out, by slide and never by patch."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

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

# Held out of every training: another H&E slide, an IHC stain, and by file a fifth of the other two sets.
HELD_OUT_FOLDER = "he_cmu1"
HELD_OUT_SHARE = 5

# What one pixel of a set's files measures in um; None where it was not recorded (tiles/README.md).
SAMPLING_UM: dict[str, float | None] = {"he_cmu1": 0.499, "blood_chula": 0.19}
ASSUMED_SAMPLING_UM = 0.4

PHOTOGRAPHS = ("astronaut", "brick", "camera", "cell", "coffee", "coins", "grass", "gravel", "page", "retina")


@dataclass(frozen=True)
class Source:
    """One sharp image as optical density (3, h, w) and the group that its results are reported under."""

    group: str
    density: FloatArray
    um_per_px: float


def held_out(path: Path) -> bool:
    """Whether a tile belongs to the held-out set: decided by its folder or its rank there, never at random."""
    if path.parent.name == HELD_OUT_FOLDER:
        return True
    if path.parent.name not in ("blood_chula", "cytology_dsb2018"):
        return False
    rank = sorted(p.name for p in path.parent.iterdir()).index(path.name)
    return rank % HELD_OUT_SHARE == 0


def tile_sources(tiles: Path, want_held_out: bool) -> list[Source]:
    """The real tiles of one side of the split. Raises ValueError if the folder holds none."""
    sources = []
    for folder in ("he_cmu1", "he_histolab", "blood_chula", "cytology_dsb2018"):
        for path in sorted((tiles / folder).glob("*.*")):
            if held_out(path) != want_held_out:
                continue
            sampling_um = SAMPLING_UM.get(folder) or ASSUMED_SAMPLING_UM
            sources.append(Source(folder, density_from_image(read_rgb(path)), sampling_um))
    if not sources:
        raise ValueError(
            f"no tiles under {tiles}; give the folder with he_cmu1/, blood_chula/ ... as --tiles"
        )
    return sources


def photograph_sources() -> list[Source]:
    """Photographs that come with scikit-image, as objects of every structure but no slide's."""
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
    """The IHC image of scikit-image: never trained on."""
    from skimage import data

    return Source("ihc", density_from_image(np.asarray(data.immunohistochemistry())), 0.5)


class TrainingObjects:
    """Draws objects for training: real tiles recoloured and rescaled, photographs, drawn textures."""

    SHARES: ClassVar = {
        "drawn": 0.45,
        "he_histolab": 0.2,
        "blood_chula": 0.13,
        "cytology_dsb2018": 0.12,
        "photograph": 0.1,
    }

    def __init__(self, tiles: Path) -> None:
        self._by_group: dict[str, list[Source]] = {}
        for source in tile_sources(tiles, want_held_out=False) + photograph_sources():
            self._by_group.setdefault(source.group, []).append(source)

    def draw(self, side: int, rng: Rng) -> tuple[str, FloatArray]:
        """A group's name and an object's density (3, side, side)."""
        group = str(rng.choice(list(self.SHARES), p=list(self.SHARES.values())))
        if group == "drawn":
            return group, drawn(side, rng)
        sources = self._by_group[group]
        source = sources[int(rng.integers(len(sources)))]
        scale = float(np.exp(rng.uniform(np.log(0.4), np.log(1.6))))
        density = window(source.density, side, scale, rng)
        return group, recoloured(density, rng) if rng.random() < 0.75 else density


class HeldOutObjects:
    """Draws objects for testing: slides and stains never trained on, in their own colours and at their size."""

    def __init__(self, tiles: Path) -> None:
        self._by_group: dict[str, list[Source]] = {}
        for source in [*tile_sources(tiles, want_held_out=True), ihc_source()]:
            self._by_group.setdefault(source.group, []).append(source)

    def draw(self, side: int, rng: Rng) -> tuple[str, FloatArray]:
        """A group's name and an object's density (3, side, side); windows without structure are skipped."""
        group = str(rng.choice(sorted(self._by_group)))
        sources = self._by_group[group]
        density = np.zeros((3, side, side), np.float32)
        for _ in range(20):
            source = sources[int(rng.integers(len(sources)))]
            scale = source.um_per_px / UM_PER_PX * float(rng.uniform(0.9, 1.1))
            density = window(source.density, side, scale, rng)
            if float(density.mean(axis=0).std()) > 0.03:
                break
        return group, density
