"""The master of a slide in the forms that other programs open."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import msgspec

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.chunks import CHUNK_PX
from parfocal.edge.images.deep_zoom import tiles_folder_of, write_deep_zoom
from parfocal.edge.images.ome_zarr import ATTRIBUTES, Master
from parfocal.edge.images.pyramid import cells
from parfocal.edge.images.slide_tiff import write_ome_tiff, write_openslide_tiff
from parfocal.edge.scan.tiles import read_scan
from parfocal.edge.slide.held import check_current
from parfocal.edge.words import named

Form = Literal["ome-tiff", "openslide-tiff", "deepzoom"]
FORMS: tuple[Form, ...] = get_args(Form)
ENDINGS: dict[Form, str] = {"ome-tiff": ".ome.tif", "openslide-tiff": ".tif", "deepzoom": ".dzi"}
ALSO = {"ome-tiff": (".ome.tiff",), "openslide-tiff": (".tiff",), "deepzoom": ()}
WRITERS = {"ome-tiff": write_ome_tiff, "openslide-tiff": write_openslide_tiff, "deepzoom": write_deep_zoom}


class ExportReport(msgspec.Struct, frozen=True):
    """What was written. `tiles` of the `planned` ones are in it; None where there is no scan beside the master."""

    form: Form
    path: str
    width_px: int
    height_px: int
    levels: int
    n_bytes: int
    tiles: int | None = None
    planned: int | None = None


def export_path(slide: Path, form: Form, out: Path | None) -> Path:
    """Where an export goes: `out`, else beside the slide. Raises ConfigError for another program's ending."""
    if out is None:
        return slide.resolve().with_name(f"{slide.resolve().stem}{ENDINGS[form]}")
    endings = (ENDINGS[form], *ALSO[form])
    is_ome = out.name.lower().endswith((".ome.tif", ".ome.tiff"))
    if not out.name.lower().endswith(endings) or (is_ome and form != "ome-tiff"):
        raise ConfigError(
            f"--out {named(out)} does not end in {' or '.join(endings)}, by which programs know {form}. "
            "Give such a name."
        )
    return out


def export(
    slide: Path,
    form: Form,
    path: Path,
    quality: int,
    on_tile: Callable[[int, int], None] = lambda _done, _all: None,
) -> ExportReport:
    """Write the master of `slide` as `form` to `path`. Memory does not grow with the slide.

    Raises ScanUnreadable, MasterUnreadable; MasterOutdated where the scan has gone on since it was stitched; OSError;
    ConfigError where something else has the place of the tiles of a deepzoom.
    """
    if slide.is_dir() and not (slide / ATTRIBUTES).exists():
        read_scan(slide)  # a folder that is no slide has nothing to stitch either
    master = Master(slide)
    held = check_current(master, slide)
    n_tiles = sum(1 for shape in master.shapes_px for _ in cells(shape, CHUNK_PX))
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        on_tile(done, n_tiles)

    WRITERS[form](master, path, quality, count)
    height, width = master.shapes_px[0]
    return ExportReport(
        form=form,
        path=named(path),
        width_px=width,
        height_px=height,
        levels=len(master.shapes_px),
        n_bytes=_bytes_of(form, path),
        tiles=None if held is None else held.tiles,
        planned=None if held is None else held.planned,
    )


def _bytes_of(form: Form, path: Path) -> int:
    files = [path]
    if form == "deepzoom":
        files += [file for file in tiles_folder_of(path).rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
