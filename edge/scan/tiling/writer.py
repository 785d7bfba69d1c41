"""Writes tiles in a thread of its own: encode, flush to the disk, then enter into the journal. In this order.

The stage does not wait for the disk, unless the disk is slower than the stage for several tiles.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec

from parfocal.edge.errors import EdgeError
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiles import Codec, ScannedTile
from parfocal.edge.scan.tiling.journal import Journal, digest_of
from parfocal.edge.whole_file import whole_file
from parfocal.edge.words import named

QUEUED = 4  # tiles in memory at most, beside the one that is being written

# Camera noise repeats nothing, so PNG does not look for what repeats: 56 ms instead of 93 for 1224 x 1024 px, and 0.51
# of the pixels instead of 0.58. Older versions of OpenCV choose the filter of each row themselves, which takes 79 ms.
# Quality 90 costs no detail that a pathologist sees; 101 of WebP is lossless.
_FILTER = getattr(cv2, "IMWRITE_PNG_FILTER", None)
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
_PARAMETERS = {
    "png": _PNG if _FILTER is None else [*_PNG, _FILTER, cv2.IMWRITE_PNG_FILTER_PAETH],
    "jpg": [cv2.IMWRITE_JPEG_QUALITY, 90],
    "webp": [cv2.IMWRITE_WEBP_QUALITY, 101],
}
# Size of a tile over that of its pixels, as measured on the virtual slide; with room to spare for busier slides.
EXPECTED_SHARE = {"png": 0.75, "jpg": 0.15, "webp": 0.65}


class TileNotWritten(EdgeError):
    """A tile could not be written: the disk is full or gone. What the journal holds is good; continue later."""


def encoded(pixels: UInt8Array, codec: Codec) -> bytes:
    """An image, RGB uint8 (h, w, 3), as a file of that codec."""
    _, data = cv2.imencode(f".{codec}", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _PARAMETERS[codec])
    return data.tobytes()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is on the disk, under its name, when this returns. Raises OSError."""
    with whole_file(path) as file:
        file.write(data)


class TileWriter:
    """Takes tiles and writes them in order. Use it as a context: at its end all that were taken are written.

    After an error nothing more is written; `put` and the end of the context raise TileNotWritten.
    """

    def __init__(
        self,
        journal: Journal,
        codec: Codec,
        write: Callable[[Path, bytes], None] = write_whole,
        written: set[tuple[int, int]] | None = None,
    ) -> None:
        """`write` puts bytes at a path, on the disk when it returns; it raises OSError.

        Rows and columns of tiles go to `written` once they are in the journal.
        """
        self._written = set[tuple[int, int]]() if written is None else written
        self._journal, self._codec, self._write = journal, codec, write
        self._waiting: queue.Queue[tuple[ScannedTile, UInt8Array] | None] = queue.Queue(QUEUED)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="parfocal-tiles", daemon=True)

    def put(self, tile: ScannedTile, pixels: UInt8Array) -> None:
        """Have a tile written; waits while the disk is `QUEUED` tiles behind. Raises TileNotWritten."""
        self._check()
        self._waiting.put((tile, pixels))

    def __enter__(self) -> TileWriter:  # noqa: PYI034  # Self needs Python 3.11
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what was taken. Raises TileNotWritten, unless another error is on its way."""
        self._waiting.put(None)
        self._thread.join()
        if kind is None:
            self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise not_written(self._journal.slide, self._error) from self._error

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self._error is not None:
                continue  # keep taking tiles, so that nobody waits for ever
            try:
                self._finish(*item)
            except Exception as error:  # noqa: BLE001  # raised again in the thread of the scan
                self._error = error

    def _finish(self, tile: ScannedTile, pixels: UInt8Array) -> None:
        data = encoded(pixels, self._codec)
        self._write(tile.path, data)
        self._journal.add(msgspec.structs.replace(tile, digest=digest_of(data)), len(data))
        self._written.add((tile.row, tile.column))


def not_written(slide: Path, error: Exception) -> TileNotWritten:
    """The error of a tile of `slide` that could not be written."""
    where = f" {named(Path(error.filename))}" if isinstance(error, OSError) and error.filename else ""
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return TileNotWritten(
        f"the scan ended since a tile could not be written{where}: {why}. Finished tiles are safe. Make room, then go "
        f"on with `parfocal scan --out {named(slide)} --resume`."
    )
