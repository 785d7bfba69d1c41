"""Chunks of an OME-Zarr picture: how one is packed, and what its array says of it (zarr format 2).

`lossless`: differences along a row, then Deflate. Both are core codecs of zarr. `jpeg`: each chunk is a JPEG file; the
codec is that of the imagecodecs package. Its order is Fortran's, since JPEG keeps the colours of a pixel together and
NGFF wants the channel first: the file is the chunk with rows and columns exchanged.
"""

import zlib
from typing import Any, Literal

import cv2
import numpy as np

from parfocal.edge.opencv_log import silenced
from parfocal.edge.pixels import UInt8Array

ChunkCodec = Literal["lossless", "jpeg"]

CHUNK_PX = 512
EMPTY = 255  # of a chunk that is not there: as bright as empty glass
DEFLATE_LEVEL = 1  # camera noise does not compress any better at higher ones
JPEG_QUALITY = 90


class ChunkDamaged(ValueError):
    """A chunk does not hold what its array says."""


def jpeg_of(pixels: UInt8Array, quality: int = JPEG_QUALITY) -> bytes:
    """An RGB picture (h, w, 3) as a JPEG file."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), parameters)
    return data.tobytes()


def packed(pixels: UInt8Array, codec: ChunkCodec) -> bytes:
    """An RGB chunk (CHUNK_PX, CHUNK_PX, 3) as the bytes of its file."""
    if codec == "jpeg":
        return jpeg_of(np.ascontiguousarray(pixels.transpose(1, 0, 2)))
    flat = pixels.transpose(2, 0, 1).ravel()
    differences = flat.copy()
    differences[1:] -= flat[:-1]
    return zlib.compress(differences.tobytes(), DEFLATE_LEVEL)


def unpacked(data: bytes, codec: ChunkCodec) -> UInt8Array:
    """The RGB chunk (CHUNK_PX, CHUNK_PX, 3) in the bytes of a file. Raises ChunkDamaged."""
    if codec == "jpeg":
        with silenced():
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if picture is None or picture.shape != (CHUNK_PX, CHUNK_PX, 3):
            raise ChunkDamaged("it is no JPEG file of a chunk")
        turned: UInt8Array = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).transpose(1, 0, 2)
        return turned
    try:
        differences = np.frombuffer(zlib.decompress(data), np.uint8)
    except zlib.error as error:
        raise ChunkDamaged(f"it cannot be inflated: {error}") from error
    if differences.size != 3 * CHUNK_PX**2:
        raise ChunkDamaged(f"it has {differences.size} values, expected {3 * CHUNK_PX**2}")
    planes = np.cumsum(differences, dtype=np.uint8).reshape(3, CHUNK_PX, CHUNK_PX)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def array_of(shape_px: tuple[int, int], codec: ChunkCodec) -> dict[str, Any]:
    """The `.zarray` of a level of `shape_px` (h, w): axes c, y, x."""
    lossless = codec == "lossless"
    return {
        "zarr_format": 2,
        "shape": [3, *shape_px],
        "chunks": [3, CHUNK_PX, CHUNK_PX],
        "dtype": "|u1",
        "order": "C" if lossless else "F",
        "filters": [{"id": "delta", "dtype": "|u1", "astype": "|u1"}] if lossless else None,
        "compressor": {"id": "zlib", "level": DEFLATE_LEVEL} if lossless else {"id": "imagecodecs_jpeg"},
        "fill_value": EMPTY,
        "dimension_separator": "/",
    }


def codec_of(array: dict[str, Any]) -> ChunkCodec:
    """The codec that a `.zarray` names. Raises ChunkDamaged for one of another program."""
    for codec in ("lossless", "jpeg"):
        expected = array_of((1, 1), codec)
        if all(array.get(key) == value for key, value in expected.items() if key != "shape"):
            return codec
    raise ChunkDamaged("its chunks were not packed by parfocal")
