"""Stacks in one TIFF file: OME-TIFF, a hyperstack of ImageJ, or planes without a word on them.

Colours are samples of a pixel or three separate channels, values have 8 or 16 bits.
"""

import logging
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from parfocal.edge.images.eight_bits import Picture
from parfocal.edge.stacks.data import (
    CONDENSER_KEY,
    FOCUS_KEY,
    TO_GIVE_HEIGHTS,
    UM_PER_UNIT,
    Raw,
    StackDamaged,
    StackRefused,
    positive_um,
)
from parfocal.edge.words import counted

# What comes of files that are damaged; SyntaxError is that of XML as well, MemoryError comes of senseless sizes.
DAMAGED = (
    tifffile.TiffFileError,
    ValueError,
    TypeError,
    LookupError,
    SyntaxError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
    EOFError,
)
UNKNOWN_AXES = "IQ"  # tifffile's names for pages that nothing is said of
READABLE = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)


class _Complaints(logging.Handler):
    """Collects what tifffile says of a file; it would go to stderr otherwise, beside our error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def from_tiff(path: Path) -> Raw:
    """Read a TIFF file. Raises StackRefused, StackDamaged."""
    log, complaints = logging.getLogger("tifffile"), _Complaints()
    log.addHandler(complaints)
    propagates, log.propagate = log.propagate, False
    try:
        with tifffile.TiffFile(path) as tiff:
            if tiff.ome_metadata:
                return _from_ome(path, tiff)
            if tiff.imagej_metadata:
                return _from_imagej(path, tiff)
            return _from_plain(path, tiff, complaints)
    except FileNotFoundError as error:
        raise StackRefused(path, "there is no such file or folder", "Give another path.") from error
    except OSError as error:
        raise StackRefused(path, f"it cannot be read: {error.strerror or error}") from error
    except DAMAGED as error:
        why = " ".join(str(error).split())
        if "imagecodecs" in why:
            raise StackRefused(
                path,
                "its compression cannot be read here",
                "Save it without compression, or with Deflate (zip).",
            ) from error
        raise StackDamaged(path, f"it is truncated, damaged or no TIFF ({why})") from error
    finally:
        log.propagate = propagates
        log.removeHandler(complaints)


def _from_ome(path: Path, tiff: tifffile.TiffFile) -> Raw:
    ome = tifffile.xml2dict(tiff.ome_metadata or "")["OME"] or {}
    images = _as_list(ome.get("Image"))
    if len(images) != 1:
        raise StackRefused(path, f"it holds {counted(len(images), 'image')}, a stack is one")
    pixels: dict[str, Any] = images[0]["Pixels"]
    names = [str(channel.get("Name", "")) for channel in _as_list(pixels.get("Channel"))]
    planes = _planes_of(path, tiff, names)
    if tiff.series[0].kind != "ome":
        raise StackDamaged(path, "it is truncated or damaged: its OME description is not one of its pages")
    um_per_px = _length_um(path, pixels, "PhysicalSizeX")
    return Raw(
        planes,
        _ome_heights_um(path, pixels),
        "no PositionZ, no PhysicalSizeZ",
        um_per_px=None if um_per_px is None else positive_um(path, "PhysicalSizeX", um_per_px),
        significant_bits=int(pixels.get("SignificantBits", 0)),
        focus_z_um=_annotated(path, ome, FOCUS_KEY),
        condenser_sigma=_annotated(path, ome, CONDENSER_KEY),
    )


def _ome_heights_um(path: Path, pixels: dict[str, Any]) -> tuple[float, ...] | None:
    """Heights from the planes' positions where every plane has one, else from the distance of the planes."""
    n_planes = int(pixels["SizeZ"])
    # With separate channels every plane is there once for each: those of the first one tell.
    planes = [plane for plane in _as_list(pixels.get("Plane")) if int(plane.get("TheC", 0)) == 0]
    planes = sorted(planes, key=lambda plane: int(plane["TheZ"]))
    if len(planes) == n_planes and all("PositionZ" in plane for plane in planes):
        # OME's own default is a `reference frame` of no known size.
        return tuple(_um(path, plane, "PositionZ", "reference frame") for plane in planes)
    step_um = _length_um(path, pixels, "PhysicalSizeZ")
    return None if step_um is None else tuple(number * step_um for number in range(n_planes))


def _length_um(path: Path, pixels: dict[str, Any], name: str) -> float | None:
    return _um(path, pixels, name, "µm") if name in pixels else None


def _um(path: Path, element: dict[str, Any], name: str, default_unit: str) -> float:
    unit = str(element.get(f"{name}Unit", default_unit))
    if unit not in UM_PER_UNIT:
        why = f"{name} is given in {unit!r}, not in um, nm or mm: the heights have no unit"
        raise StackRefused(path, why, TO_GIVE_HEIGHTS)
    value_um = float(element[name]) * UM_PER_UNIT[unit]
    if not math.isfinite(value_um):
        raise StackRefused(path, f"{name} is {element[name]}, which is no number of um")
    return value_um


def _annotated(path: Path, ome: dict[str, Any], key: str) -> float | None:
    for annotation in _as_list((ome.get("StructuredAnnotations") or {}).get("MapAnnotation")):
        for entry in _as_list((annotation.get("Value") or {}).get("M")):
            if isinstance(entry, dict) and entry.get("K") == key:
                try:
                    value = float(entry["value"])
                except (KeyError, TypeError, ValueError) as error:
                    raise StackRefused(path, f"its annotation {key} is no number") from error
                if not math.isfinite(value):
                    raise StackRefused(path, f"its annotation {key} is no number, but {value}")
                return value
    return None


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401 - what xml2dict gives: nothing, one, or a list
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _from_imagej(path: Path, tiff: tifffile.TiffFile) -> Raw:
    """A stack as ImageJ writes it (its FileSaver): `spacing` of the planes and resolution in `unit`."""
    said = tiff.imagej_metadata or {}
    n_images = int(said.get("images", 1))
    series = tiff.series[0]
    n_there = math.prod(series.shape) // math.prod(tiff.pages.first.shape)
    if n_there != n_images:
        raise StackDamaged(path, f"it is truncated: {n_there} of {n_images} images are there")
    planes = _planes_of(path, tiff, [])
    unit = str(said.get("unit", "")).encode("latin-1", "replace").decode("unicode_escape")
    um = UM_PER_UNIT.get(unit)
    if um is None:
        where = (
            "it is not calibrated in ImageJ" if unit in ("", "pixel", "pixels") else f"its unit is {unit!r}"
        )
        return Raw(planes, None, where)
    # ImageJ leaves the spacing out where it is 1.
    step_um = float(said.get("spacing", 1.0)) * um
    notes = (
        () if "spacing" in said else (f"no spacing of its planes is written, which in ImageJ means 1 {unit}",)
    )
    if not (math.isfinite(step_um) and step_um != 0.0):
        raise StackRefused(path, f"the spacing of its planes is {step_um:g} um", TO_GIVE_HEIGHTS)
    heights_um = tuple(number * abs(step_um) for number in range(len(planes)))
    if step_um < 0.0:
        planes = planes[::-1]
    return Raw(planes, heights_um, um_per_px=_imagej_sampling_um(path, tiff, um), notes=notes)


def _imagej_sampling_um(path: Path, tiff: tifffile.TiffFile, um: float) -> float | None:
    tag = tiff.pages.first.tags.get("XResolution")
    if tag is None or 0 in tag.value:
        return None
    return positive_um(path, "XResolution", um * tag.value[1] / tag.value[0])


def _from_plain(path: Path, tiff: tifffile.TiffFile, complaints: _Complaints) -> Raw:
    """Planes without a word on them. Nothing says how many there should be, so nothing may look cut short."""
    n_pages = len(tiff.pages)  # looks at every page, and complains of those that are not there
    if complaints.said:
        raise StackDamaged(
            path, f"it is truncated or damaged after {counted(n_pages, 'page')} ({complaints.said[0]})"
        )
    return Raw(_planes_of(path, tiff, []), None, "it is no OME-TIFF and not of ImageJ")


def _planes_of(path: Path, tiff: tifffile.TiffFile, channel_names: list[str]) -> tuple[Picture, ...]:
    """The planes of the first series, RGB (h, w, 3), in its order. Raises StackRefused, StackDamaged."""
    _check_alike(path, tiff)
    series = tiff.series[0]
    if any(page is None for page in series.pages):
        raise StackDamaged(path, "it is truncated: planes that it tells of are not there")
    _check_readable(path, series)
    pixels = series.asarray()
    axes, pixels = _squeezed(series.axes, pixels)
    others = [axis for axis in axes if axis not in "YXSC"]
    if len(others) > 1 or (others and others[0] not in f"Z{UNKNOWN_AXES}"):
        raise StackRefused(
            path,
            f"it has the axes {axes}, a stack has one of planes: several times or places, or times that are planes",
            "Save one stack, with its planes as slices (in ImageJ: Image > Properties, slices and frames).",
        )
    order = [axes.index(axis) for axis in (*others, "Y", "X", *(axis for axis in "CS" if axis in axes))]
    pixels = pixels.transpose(order)
    pixels = pixels if others else pixels[None]
    return tuple(_coloured(path, plane, channel_names, "C" in axes) for plane in pixels)


def _check_alike(path: Path, tiff: tifffile.TiffFile) -> None:
    """Refuse pages of different sizes, which tifffile sorts into different series."""
    first = tiff.pages.first
    for number, page in enumerate(tiff.pages, start=1):
        if page.shape != first.shape:
            raise StackRefused(
                path,
                f"plane {number} is {page.shape[1]} x {page.shape[0]} px, "
                f"plane 1 is {first.shape[1]} x {first.shape[0]} px",
            )


def _check_readable(path: Path, series: tifffile.TiffPageSeries) -> None:
    photometric = series.keyframe.photometric
    if series.dtype not in (np.uint8, np.uint16):
        raise StackRefused(path, f"its values are of type {series.dtype}", "Save it with 8 or 16 bits.")
    if photometric not in READABLE:
        name = getattr(photometric, "name", str(photometric))
        raise StackRefused(path, f"its colours are kept as {name}", "Save it as RGB or as grey values.")


def _squeezed(axes: str, pixels: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """Without the axes that have one entry, but for rows and columns."""
    kept = [k for k, axis in enumerate(axes) if axis in "YX" or pixels.shape[k] > 1]
    shape = [pixels.shape[k] for k in kept]
    return "".join(axes[k] for k in kept), pixels.reshape(shape)


def _coloured(path: Path, plane: NDArray[Any], channel_names: list[str], is_separate: bool) -> Picture:
    """A plane (h, w) or (h, w, channels) as RGB (h, w, 3); a fourth sample is opacity. Raises StackRefused."""
    if plane.ndim == 2:
        return np.repeat(plane[..., None], 3, axis=2)
    if plane.ndim != 3 or plane.shape[2] not in ((3,) if is_separate else (3, 4)):
        raise StackRefused(
            path,
            f"its planes are of {counted(math.prod(plane.shape[2:]), 'channel')}: grey values have one, colours three",
            "Save it as grey values or RGB.",
        )
    result: Picture = np.ascontiguousarray(plane[..., _order_of(channel_names)])
    return result


def _order_of(channel_names: list[str]) -> list[int]:
    """Where red, green and blue are: where their channels bear those names, there, else in this order."""
    names = [name.strip().lower() for name in channel_names]
    for colours in (("red", "green", "blue"), ("r", "g", "b")):
        if sorted(names) == sorted(colours):
            return [names.index(colour) for colour in colours]
    return [0, 1, 2]
