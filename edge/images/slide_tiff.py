"""Slides as tiled pyramidal TIFF with JPEG tiles: as OME-TIFF, and as OpenSlide reads it.

OME-TIFF keeps the smaller levels in sub-directories of the first; OpenSlide looks for them as pages of their own, and
sees one level of an OME-TIFF. No file can serve both.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import quoteattr

from parfocal.edge.images.big_tiff import TiffLevel, write_pyramid
from parfocal.edge.images.chunks import CHUNK_PX, jpeg_of
from parfocal.edge.images.ome_zarr import Master
from parfocal.edge.images.pyramid import cells
from parfocal.edge.whole_file import whole_file

SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def write_ome_tiff(master: Master, path: Path, quality: int, on_tile: Callable[[], None]) -> None:
    """Write a pyramidal OME-TIFF, for QuPath, Bio-Formats, napari. Raises OSError, MasterUnreadable."""
    with whole_file(path) as file:
        write_pyramid(file, _levels(master, quality, on_tile), ome_xml(master), in_sub_directories=True)


def write_openslide_tiff(master: Master, path: Path, quality: int, on_tile: Callable[[], None]) -> None:
    """Write a tiled TIFF whose levels OpenSlide sees all. Raises OSError, MasterUnreadable."""
    with whole_file(path) as file:
        name = master.name.encode("ascii", "replace").decode()
        write_pyramid(file, _levels(master, quality, on_tile), name, in_sub_directories=False)


def ome_xml(master: Master) -> str:
    """The OME description of a master, without character references: Bio-Formats 7.3 takes none (`sanitizeXML`)."""
    height, width = master.shapes_px[0]
    name = quoteattr("".join(sign if sign.isprintable() else " " for sign in master.name))
    size = f'"{master.um_per_px:.9g}"'
    unit = '"\u00b5m"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{SCHEMA}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" Creator="parfocal" '
        f'xsi:schemaLocation="{SCHEMA} {SCHEMA}/ome.xsd">'
        f'<Image ID="Image:0" Name={name}>'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" Interleaved="true" '
        f'SizeX="{width}" SizeY="{height}" SizeC="3" SizeZ="1" SizeT="1" '
        f"PhysicalSizeX={size} PhysicalSizeXUnit={unit} PhysicalSizeY={size} PhysicalSizeYUnit={unit}>"
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/>'
        "</Pixels></Image></OME>"
    )


def _levels(master: Master, quality: int, on_tile: Callable[[], None]) -> list[TiffLevel]:
    return [
        TiffLevel(
            width, height, master.um_per_px * 2**level, CHUNK_PX, _tiles(master, level, quality, on_tile)
        )
        for level, (height, width) in enumerate(master.shapes_px)
    ]


def _tiles(master: Master, level: int, quality: int, on_tile: Callable[[], None]) -> Iterator[bytes]:
    for row, column in cells(master.shapes_px[level], CHUNK_PX):
        yield jpeg_of(master.chunk(level, row, column), quality)
        on_tile()
