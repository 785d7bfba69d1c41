"""`parfocal overview`: find the tissue in a picture of the whole slide, as polygons on the stage."""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from parfocal.edge.cli.options import finite
from parfocal.edge.cli.showing.output import (
    check_png,
    check_writable,
    console_for,
    naming_option,
    result_file,
)
from parfocal.edge.cli.showing.say import say
from parfocal.edge.errors import ConfigError
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.tissue.area import Area, write_area
from parfocal.edge.tissue.overview import Landmark, Placement, placed, tissue_area
from parfocal.edge.words import counted, named

GREEN_BGR = (0, 160, 0)


def overview(
    image: Annotated[Path, typer.Argument(help="Picture of the whole slide: PNG, JPEG, TIFF or BMP.")],
    landmark: Annotated[
        list[str],
        typer.Option(
            metavar="COLUMN,ROW,X,Y",
            help="A place that is known in the picture, px, and on the stage, um. Give two, better three or more.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Write the tissue to this GeoJSON file.")],
    picture: Annotated[Path | None, typer.Option(help="Draw the outlines to this PNG file.")] = None,
) -> None:
    """Find the tissue in a picture of the whole slide, for --mask of survey and scan."""
    placement = placed([_landmark(text) for text in landmark])
    check_writable(out, "--out")
    check_png(picture, "--picture")
    check_writable(picture, "--picture")
    try:
        pixels = rgb_from_file(image)
    except OSError as error:
        raise ConfigError(
            f"picture {named(image)} cannot be read: {error.strerror or error}. Give another path."
        ) from error
    except ValueError as error:
        raise ConfigError(f"picture {error}. Give another one.") from error
    area = tissue_area(pixels, placement)
    with naming_option(out, "--out"):
        write_area(out, area)
    if picture is not None:
        with result_file(picture, "--picture") as file:
            file.write(_drawn(pixels, area, placement))
    x0_um, y0_um, x1_um, y1_um = area.bounds_um
    say(
        console_for(None),
        f"tissue: {counted(len(area.polygons), 'polygon')} in {named(out)}, x={x0_um:.0f}..{x1_um:.0f} "
        f"y={y0_um:.0f}..{y1_um:.0f} um",
    )


def _landmark(text: str) -> Landmark:
    try:
        column_px, row_px, x_um, y_um = (float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"--landmark {text} is not COLUMN,ROW,X,Y") from error
    for value in (column_px, row_px, x_um, y_um):
        finite(value)
    return Landmark(column_px, row_px, x_um, y_um)


def _drawn(pixels: UInt8Array, area: Area, placement: Placement) -> bytes:
    """The picture with the outlines of the area, as PNG."""
    canvas = np.ascontiguousarray(pixels[..., ::-1])
    rings = [
        np.rint(placement.px_from_um(ring)).astype(np.int32)
        for polygon in area.polygons
        for ring in polygon.rings
    ]
    cv2.polylines(canvas, rings, True, GREEN_BGR, max(1, max(canvas.shape) // 500), cv2.LINE_AA)
    return cv2.imencode(".png", canvas)[1].tobytes()
