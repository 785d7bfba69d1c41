"""The master of a slide: OME-Zarr (NGFF 0.4, zarr format 2), a pyramid of chunks, written aside and put in place whole.

https://ngff.openmicroscopy.org/0.4/
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from parfocal.edge.errors import EdgeError
from parfocal.edge.images.chunks import (
    CHUNK_PX,
    EMPTY,
    ChunkCodec,
    ChunkDamaged,
    array_of,
    codec_of,
    packed,
    unpacked,
)
from parfocal.edge.images.pyramid import cells, grown, halved, level_shapes
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.whole_file import whole_file, write_plainly
from parfocal.edge.words import named

# Pixels (h, w, 3) of a part of the whole picture, by (x, y, width, height); None where nothing is.
Block = Callable[[int, int, int, int], UInt8Array | None]

BLOCK_PX = 4 * CHUNK_PX  # a side of what is made at once: three levels of whole chunks
STRIP = 3  # blocks below each other before the next column
PART_NAME = "master.part"
ATTRIBUTES, GROUP, ARRAY = ".zattrs", ".zgroup", ".zarray"
PYRAMID_SHARE = 4.0 / 3.0  # of the pixels of a level and of all smaller ones
SAMPLE_PX = 128  # below, the head of a JPEG file counts


class MasterUnreadable(EdgeError):
    """A slide has no master yet, or a damaged one."""


class MasterAbout(msgspec.Struct, frozen=True):
    """What the master says of the slide. `origin_um`: X and Y of the stage at the middle of the first pixel.

    `origin_um` is None where the camera is turned or mirrored, so that pixels do not run along the axes of the stage.
    `details` go under the key `parfocal`.
    """

    name: str
    um_per_px: float
    origin_um: tuple[float, float] | None
    details: dict[str, Any]


def expected_bytes(samples: Iterable[UInt8Array], area_px: int, codec: ChunkCodec) -> int:
    """The size of a master whose tiles cover `area_px`, foretold from some of them (h, w, 3).

    Each sample is packed at each level down to `SAMPLE_PX` a side: a smaller level has more detail in a pixel for a
    JPEG file, and less noise for a lossless one, so its share is not that of its pixels. Samples are packed as they
    come, one by one: 24 tiles of 13 Mpx are a gigabyte.
    """
    return round(area_px * float(np.mean([_bytes_per_px(sample, codec) for sample in samples])))


def _bytes_per_px(sample: UInt8Array, codec: ChunkCodec) -> float:
    """Bytes of all levels for each pixel of the largest."""
    n_bytes, n_px, level = 0.0, sample.size / 3, sample
    while min(level.shape[:2]) >= 2 * SAMPLE_PX:
        n_bytes += len(packed(level, codec))
        level = halved(level)
    return (n_bytes + len(packed(level, codec)) * PYRAMID_SHARE) / n_px


def write_master(
    slide: Path,
    shape_px: tuple[int, int],
    block: Block,
    codec: ChunkCodec,
    about: MasterAbout,
    on_block: Callable[[int, int], None] = lambda _done, _all: None,
) -> None:
    """Write the master of `shape_px` (h, w) into the folder `slide`, and replace the one that is there, if any.

    Until it is complete nothing of the old one changes; if it fails, nothing of the new one stays. Raises OSError.
    """
    part, shapes = slide / PART_NAME, level_shapes(shape_px, CHUNK_PX)
    remove_remains(slide)
    try:
        _write_levels(part, shapes, block, codec, on_block)
        _put_in_place(slide, part, len(shapes), about)
    except BaseException:
        with contextlib.suppress(OSError):  # why it failed is what the user must see
            remove_remains(slide)
        raise


def blocks_of(shape_px: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """(row, column) of every block of a master of `shape_px` (h, w), in the order in which they are made.

    In strips: row by row a tile that reaches into two or three rows would be read for each of them.
    """
    n_rows, n_columns = (-(-side // BLOCK_PX) for side in shape_px)
    for top in range(0, n_rows, STRIP):
        for column in range(n_columns):
            for row in range(top, min(top + STRIP, n_rows)):
                yield row, column


def remove_remains(slide: Path) -> None:
    """Remove what a stitch that was killed has left in the folder `slide`: up to all of a master. Raises OSError."""
    _remove(slide / PART_NAME)
    if not (slide / ATTRIBUTES).exists():  # it was killed while levels were put in place: nobody reads these
        _remove_levels(slide)


class Master:
    """The master of a slide, for reading. `shapes_px` are (h, w) of its levels, the largest first."""

    def __init__(self, slide: Path) -> None:
        """Open it. Raises MasterUnreadable."""
        self._slide = slide
        if not slide.is_dir():
            why = "it is no folder" if slide.exists() else "no such folder"
            raise MasterUnreadable(
                f"there is no slide {named(slide)}: {why}. Give the folder of a slide, NAME.zarr."
            )
        if not (slide / ATTRIBUTES).is_file():
            raise MasterUnreadable(
                f"{named(slide)} has no master yet. Make it with `parfocal stitch {named(slide)}`."
            )
        try:
            attributes = msgspec.json.decode((slide / ATTRIBUTES).read_bytes())
            image = attributes["multiscales"][0]
            self.details: dict[str, Any] = attributes.get("parfocal", {})
            self.name = str(image["name"])
            scale = image["datasets"][0]["coordinateTransformations"][0]["scale"]
            self.um_per_px = float(scale[2])
            arrays = [
                msgspec.json.decode((slide / one["path"] / ARRAY).read_bytes()) for one in image["datasets"]
            ]
            self.codec = codec_of(arrays[0])
            self.shapes_px = [(int(array["shape"][1]), int(array["shape"][2])) for array in arrays]
        except OSError as error:
            raise _damaged(slide, f"{named(Path(error.filename or ATTRIBUTES))}: {error.strerror}") from error
        except ChunkDamaged as error:
            raise _damaged(slide, str(error)) from error
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(
                slide, f"{ATTRIBUTES} and the {ARRAY} of its levels do not describe one of parfocal"
            ) from error

    def chunk(self, level: int, row: int, column: int) -> UInt8Array:
        """The chunk (CHUNK_PX, CHUNK_PX, 3) of a level, RGB; past the rim it is filled up.

        Raises MasterUnreadable.
        """
        path = self._slide / str(level) / "0" / str(row) / str(column)
        try:
            return unpacked(path.read_bytes(), self.codec)
        except FileNotFoundError:
            return np.full((CHUNK_PX, CHUNK_PX, 3), EMPTY, np.uint8)
        except (OSError, ChunkDamaged) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise _damaged(self._slide, f"chunk {level}/0/{row}/{column}: {why}") from error

    def level(self, level: int) -> UInt8Array:
        """A whole level (h, w, 3), RGB; for the small ones. Raises MasterUnreadable."""
        height, width = self.shapes_px[level]
        rows, columns = -(-height // CHUNK_PX), -(-width // CHUNK_PX)
        whole = np.empty((rows * CHUNK_PX, columns * CHUNK_PX, 3), np.uint8)
        for row, column in cells((height, width), CHUNK_PX):
            y, x = row * CHUNK_PX, column * CHUNK_PX
            whole[y : y + CHUNK_PX, x : x + CHUNK_PX] = self.chunk(level, row, column)
        return whole[:height, :width]


def _write_levels(
    part: Path,
    shapes: list[tuple[int, int]],
    block: Block,
    codec: ChunkCodec,
    on_block: Callable[[int, int], None],
) -> None:
    """Write all levels into the folder `part`."""
    for level, shape in enumerate(shapes):
        (part / str(level)).mkdir(parents=True)
        _write_json(part / str(level) / ARRAY, array_of(shape, codec))
    blocks = list(blocks_of(shapes[0]))
    for done, (row, column) in enumerate(blocks, start=1):
        _write_block(part, shapes, block, codec, row, column)
        on_block(done, len(blocks))
    n_levels_of_block = (BLOCK_PX // CHUNK_PX).bit_length()
    for level in range(n_levels_of_block, len(shapes)):
        _write_halved(part, level, shapes[level], codec)


def _write_block(
    part: Path, shapes: list[tuple[int, int]], block: Block, codec: ChunkCodec, row: int, column: int
) -> None:
    """Write the chunks of a block in each level in which it has whole ones."""
    x, y = column * BLOCK_PX, row * BLOCK_PX
    height, width = min(BLOCK_PX, shapes[0][0] - y), min(BLOCK_PX, shapes[0][1] - x)
    pixels = block(x, y, width, height)
    side, level = BLOCK_PX // CHUNK_PX, 0
    while pixels is not None and side and level < len(shapes):
        for i, j in cells((pixels.shape[0], pixels.shape[1]), CHUNK_PX):
            chunk = pixels[i * CHUNK_PX : (i + 1) * CHUNK_PX, j * CHUNK_PX : (j + 1) * CHUNK_PX]
            _write_chunk(part / str(level), row * side + i, column * side + j, chunk, codec)
        pixels = halved(pixels)
        side, level = side // 2, level + 1


def _write_halved(part: Path, level: int, shape: tuple[int, int], codec: ChunkCodec) -> None:
    """Write a level from the chunks of the one before."""
    for row, column in cells(shape, CHUNK_PX):
        four = np.full((2 * CHUNK_PX, 2 * CHUNK_PX, 3), EMPTY, np.uint8)
        is_there = False
        for i, j in cells((2, 2), 1):
            path = part / str(level - 1) / "0" / str(2 * row + i) / str(2 * column + j)
            with contextlib.suppress(FileNotFoundError):
                chunk = unpacked(path.read_bytes(), codec)
                four[i * CHUNK_PX : (i + 1) * CHUNK_PX, j * CHUNK_PX : (j + 1) * CHUNK_PX] = chunk
                is_there = True
        if is_there:
            height, width = (
                min(CHUNK_PX, side - place * CHUNK_PX)
                for side, place in zip(shape, (row, column), strict=True)
            )
            _write_chunk(part / str(level), row, column, halved(four)[:height, :width], codec)


def _write_chunk(level: Path, row: int, column: int, pixels: UInt8Array, codec: ChunkCodec) -> None:
    """Write a chunk, unless all of it is empty: then readers fill it."""
    if (pixels == EMPTY).all():
        return
    folder = level / "0" / str(row)
    folder.mkdir(parents=True, exist_ok=True)
    write_plainly(folder / str(column), packed(grown(pixels, CHUNK_PX, CHUNK_PX), codec))


def _put_in_place(slide: Path, part: Path, n_levels: int, about: MasterAbout) -> None:
    """Replace the old master. Its attributes go first and come last: between, the slide has no master."""
    os.sync()  # thousands of chunks at once, instead of one after the other
    (slide / ATTRIBUTES).unlink(missing_ok=True)
    _remove_levels(slide)
    for level in range(n_levels):
        (part / str(level)).rename(slide / str(level))
    _remove(part)
    _write_json(slide / GROUP, {"zarr_format": 2})
    _write_json(slide / ATTRIBUTES, _attributes(about, n_levels))


def _attributes(about: MasterAbout, n_levels: int) -> dict[str, Any]:
    datasets = []
    for level in range(n_levels):
        step_um = about.um_per_px * 2**level
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": [1.0, step_um, step_um]}]
        if about.origin_um is not None:
            # The middle of the first pixel of a smaller level lies farther inside.
            inside_um = (step_um - about.um_per_px) / 2.0
            x_um, y_um = (origin + inside_um for origin in about.origin_um)
            steps.append({"type": "translation", "translation": [0.0, y_um, x_um]})
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    space = {"type": "space", "unit": "micrometer"}
    axes = [{"name": "c", "type": "channel"}, {"name": "y", **space}, {"name": "x", **space}]
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    colours = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
    return {
        "multiscales": [
            {"version": "0.4", "name": about.name, "type": "mean", "axes": axes, "datasets": datasets}
        ],
        "omero": {
            "version": "0.4",
            "name": about.name,
            "channels": [
                {"label": label, "color": colour, "window": window, "active": True}
                for label, colour in colours
            ],
            "rdefs": {"model": "color"},
        },
        "parfocal": about.details,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    with whole_file(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def _remove_levels(slide: Path) -> None:
    for level in [path for path in slide.iterdir() if path.name.isdecimal()]:
        _remove(level)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _damaged(slide: Path, why: str) -> MasterUnreadable:
    return MasterUnreadable(
        f"the master of {named(slide)} cannot be read: {why}. Make it anew with `parfocal stitch {named(slide)}`."
    )
