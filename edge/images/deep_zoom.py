"""Slides as DeepZoom: a folder of JPEG tiles and a description, for OpenSeadragon on a page."""

import contextlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.chunks import CHUNK_PX, jpeg_of
from parfocal.edge.images.ome_zarr import Master
from parfocal.edge.images.pyramid import cells, halved
from parfocal.edge.whole_file import part_of, whole_file, write_plainly
from parfocal.edge.words import named

TILE = re.compile(r"\d+/\d+_\d+\.jpg")  # LEVEL/COLUMN_ROW.jpg

DESCRIPTION = """<?xml version="1.0" encoding="UTF-8"?>
<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="jpg" Overlap="0" TileSize="{side}">
  <Size Width="{width}" Height="{height}"/>
</Image>
"""


def tiles_folder_of(path: Path) -> Path:
    """The folder of tiles that belongs to a description `NAME.dzi`."""
    return path.with_name(f"{path.stem}_files")


def write_deep_zoom(master: Master, path: Path, quality: int, on_tile: Callable[[], None]) -> None:
    """Write `NAME.dzi` and the folder `NAME_files` beside it; those of an earlier export are replaced.

    Raises ConfigError where that folder is of something else, before anything is written; OSError, MasterUnreadable.
    """
    folder = tiles_folder_of(path)
    part = part_of(folder)
    _check_own(folder, path)
    _check_own(part, path)
    if part.exists():
        shutil.rmtree(part)
    with contextlib.ExitStack() as if_it_fails:
        if_it_fails.callback(shutil.rmtree, part, ignore_errors=True)
        _write_levels(master, part, quality, on_tile)
        if folder.exists():
            path.unlink(missing_ok=True)  # it would name tiles that are being replaced
            shutil.rmtree(folder)
        part.rename(folder)
        if_it_fails.pop_all()
    height, width = master.shapes_px[0]
    with whole_file(path) as file:
        file.write(DESCRIPTION.format(side=CHUNK_PX, width=width, height=height).encode())


def _check_own(folder: Path, path: Path) -> None:
    """Refuse a folder that no export has written: browsers keep the parts of a saved page in `NAME_files`, too."""
    if folder == tiles_folder_of(path) and path.is_file() and folder.is_dir() and not folder.is_symlink():
        return
    if (what := _other(folder)) is not None:
        raise ConfigError(
            f"the tiles of {named(path)} belong into {named(folder)}, where {what} is that is no export of parfocal; "
            "nothing was written. Move it away, or give another name by --out."
        )


def _other(folder: Path) -> str | None:
    """What is there; None for nothing, and for tiles alone, which an export that was killed leaves."""
    if folder.is_symlink():
        return "a link"
    if folder.is_file():
        return "a file"
    files = (file.relative_to(folder) for file in folder.rglob("*") if not file.is_dir())
    other = next((file for file in files if not TILE.fullmatch(file.as_posix())), None)
    return None if other is None else f"a folder with {named(other)}"


def _write_levels(master: Master, part: Path, quality: int, on_tile: Callable[[], None]) -> None:
    """Write the tiles of all levels into the folder `part`."""
    height, width = master.shapes_px[0]
    top = max(height, width, 1)
    n_levels = (top - 1).bit_length() + 1  # down to a single pixel
    for level, shape in enumerate(master.shapes_px):
        to = part / str(n_levels - 1 - level)
        to.mkdir(parents=True)
        for row, column in cells(shape, CHUNK_PX):
            chunk = master.chunk(level, row, column)
            inside = chunk[: shape[0] - row * CHUNK_PX, : shape[1] - column * CHUNK_PX]
            write_plainly(to / f"{column}_{row}.jpg", jpeg_of(inside, quality))
            on_tile()
    small = master.level(len(master.shapes_px) - 1)
    for level in range(n_levels - 1 - len(master.shapes_px), -1, -1):
        small = halved(small)
        (part / str(level)).mkdir()
        write_plainly(part / str(level) / "0_0.jpg", jpeg_of(small, quality))
