"""Reads stacks from one TIFF file: OME-TIFF, an ImageJ hyperstack, or planes without a description.

Colours are samples of a pixel or three separate channels; values have 8 or 16 bits.
"""

import logging
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tifffile
from numpy.typing import NDArray

from parfocal.calib.value import UsedCalibration
from parfocal.edge.images.eight_bits import RawPixels
from parfocal.edge.stacks.stack import (
    CALIBRATED_KEY,
    CALIBRATION_KEY,
    CONDENSER_KEY,
    FOCUS_KEY,
    GIVE_THE_HEIGHTS,
    MOVED_KEY,
    RawStack,
    StackDamaged,
    StackRefused,
    check_memory,
)
from parfocal.edge.words import counted

UM_PER_UNIT = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns"), 1.0),  # both signs for micro are in use
    "nm": 1e-3,
    "mm": 1e3,
}
# What tifffile raises on damaged files. SyntaxError is also that of XML, RuntimeError of pages that do not match;
# MemoryError comes from absurd sizes.
DAMAGED = (
    tifffile.TiffFileError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    SyntaxError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    EOFError,
)
UNKNOWN_AXES = "IQ"  # tifffile's names for pages without a description
READABLE = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
OME_16_BITS = "uint16"


class _LoggedErrors(logging.Handler):
    """Collects what tifffile logs about a file; it would go to stderr otherwise, beside our error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def from_tiff(path: Path) -> RawStack:
    """Read a TIFF file. Raises StackRefused, StackDamaged."""
    log, logged = logging.getLogger("tifffile"), _LoggedErrors()
    log.addHandler(logged)
    propagates, log.propagate = log.propagate, False
    try:
        with tifffile.TiffFile(path) as tiff:
            if tiff.ome_metadata:
                return _from_ome(path, tiff)
            if tiff.imagej_metadata:
                return _from_imagej(path, tiff)
            return _from_plain(path, tiff, logged)
    except FileNotFoundError as error:
        raise StackRefused(path, "there is no such file or folder", "Give another path.") from error
    except OSError as error:
        raise StackRefused(path, f"it cannot be read: {error.strerror or error}") from error
    except DAMAGED as error:
        why = " ".join(str(error).split())
        if "imagecodecs" in why:
            raise StackRefused(
                path,
                "its compression is not supported",
                "Save it without compression, or with Deflate (zip).",
            ) from error
        raise StackDamaged(path, f"it is truncated, damaged or not a TIFF ({why})") from error
    finally:
        log.propagate = propagates
        log.removeHandler(logged)


def _from_ome(path: Path, tiff: tifffile.TiffFile) -> RawStack:
    ome = tifffile.xml2dict(tiff.ome_metadata or "")["OME"] or {}
    images = _as_list(ome.get("Image"))
    if len(images) != 1:
        raise StackRefused(path, f"it has {counted(len(images), 'image')}, a stack is one")
    pixels: dict[str, Any] = images[0]["Pixels"]
    _check_ome_memory(path, pixels)
    names = [str(channel.get("Name", "")) for channel in _as_list(pixels.get("Channel"))]
    planes = _planes_of(path, tiff, names)
    if tiff.series[0].kind != "ome":
        raise StackDamaged(path, "it is truncated or damaged: its OME description does not match its pages")
    return RawStack(
        planes,
        _ome_heights_um(path, pixels),
        "no PositionZ, no PhysicalSizeZ",
        um_per_px=_ome_sampling_um(path, pixels),
        significant_bits=int(pixels.get("SignificantBits", 0)),
        focus_z_um=_annotated(path, ome, FOCUS_KEY),
        condenser_sigma=_annotated(path, ome, CONDENSER_KEY),
        focus_moved_um=_annotated(path, ome, MOVED_KEY),
        calibration=_calibration(path, ome),
    )


def _check_ome_memory(path: Path, pixels: dict[str, Any]) -> None:
    """Check the sizes in the description, for which tifffile lays out a table before it looks at the pages."""
    sizes = {axis: abs(int(pixels.get(f"Size{axis}", 1))) for axis in "XYZCT"}
    bytes_per_value = 2 if pixels.get("Type") == OME_16_BITS else 1
    plane_bytes = sizes["X"] * sizes["Y"] * max(3, sizes["C"]) * bytes_per_value
    check_memory(path, sizes["Z"] * sizes["T"], plane_bytes)


def _ome_heights_um(path: Path, pixels: dict[str, Any]) -> tuple[float, ...] | None:
    """Heights from the positions of the planes where each has one, else from the distance between planes."""
    n_planes = int(pixels["SizeZ"])
    # With separate channels every plane is listed once for each channel; the first channel is enough.
    planes = [plane for plane in _as_list(pixels.get("Plane")) if int(plane.get("TheC", 0)) == 0]
    planes = sorted(planes, key=lambda plane: int(plane["TheZ"]))
    if len(planes) == n_planes and all("PositionZ" in plane for plane in planes):
        # OME's own default is a `reference frame` of unknown scale.
        return tuple(_um(path, plane, "PositionZ", "reference frame") for plane in planes)
    if "PhysicalSizeZ" not in pixels:
        return None
    step_um = _um(path, pixels, "PhysicalSizeZ", "µm")
    return tuple(number * step_um for number in range(n_planes))


def _ome_sampling_um(path: Path, pixels: dict[str, Any]) -> float | None:
    if "PhysicalSizeX" not in pixels:
        return None
    return _positive_um(path, "PhysicalSizeX", _um(path, pixels, "PhysicalSizeX", "µm"))


def _um(path: Path, element: dict[str, Any], name: str, default_unit: str) -> float:
    """A length of an OME element in um. Raises StackRefused."""
    unit = str(element.get(f"{name}Unit", default_unit))
    if unit not in UM_PER_UNIT:
        why = f"{name} is given in {unit!r}, not in um, nm or mm: the heights have no unit"
        raise StackRefused(path, why, GIVE_THE_HEIGHTS)
    value_um = float(element[name]) * UM_PER_UNIT[unit]
    if not math.isfinite(value_um):
        raise StackRefused(path, f"{name} is {element[name]}, which is not a finite number")
    return value_um


def _positive_um(path: Path, name: str, value_um: float) -> float:
    """The length itself. Raises StackRefused where it is not positive."""
    if not (math.isfinite(value_um) and value_um > 0.0):
        raise StackRefused(path, f"{name} is {value_um:g} um, but must be positive")
    return value_um


def _annotated(path: Path, ome: dict[str, Any], key: str) -> float | None:
    """The number in a map annotation, None where there is none. Raises StackRefused."""
    entry = _annotation(ome, key)
    if entry is None:
        return None
    try:
        value = float(entry["value"])
    except (KeyError, TypeError, ValueError) as error:
        raise StackRefused(path, f"its annotation {key} is not a number") from error
    if not math.isfinite(value):
        raise StackRefused(path, f"its annotation {key} is {value}, which is not a finite number")
    return value


def _calibration(path: Path, ome: dict[str, Any]) -> UsedCalibration | None:
    """The calibration that the stack was recorded with, None where it names none. Raises StackRefused."""
    entries = {key: _annotation(ome, key) for key in (CALIBRATION_KEY, CALIBRATED_KEY)}
    if None in entries.values():
        return None
    name, date = (str((entry or {}).get("value", "")) for entry in entries.values())
    try:
        return msgspec.convert({"id": name, "measured_at": date}, UsedCalibration)
    except msgspec.ValidationError as error:
        keys = " and ".join(entries)
        raise StackRefused(path, f"its annotations {keys} do not name a calibration") from error


def _annotation(ome: dict[str, Any], key: str) -> dict[str, Any] | None:
    for annotation in _as_list((ome.get("StructuredAnnotations") or {}).get("MapAnnotation")):
        for entry in _as_list((annotation.get("Value") or {}).get("M")):
            if isinstance(entry, dict) and entry.get("K") == key:
                return entry
    return None


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401 - xml2dict gives None, one element, or a list
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _from_imagej(path: Path, tiff: tifffile.TiffFile) -> RawStack:
    """A stack from ImageJ (its FileSaver): `spacing` of the planes and resolution in `unit`."""
    description = tiff.imagej_metadata or {}
    first, n_images = tiff.pages.first, int(description.get("images", 1))
    check_memory(path, n_images, first.nbytes)
    series = tiff.series[0]
    n_found = math.prod(series.shape) // math.prod(first.shape)
    if n_found != n_images:
        raise StackDamaged(path, f"it is truncated: {n_found} of {n_images} images found")
    planes = _planes_of(path, tiff, [])
    unit = str(description.get("unit", "")).encode("latin-1", "replace").decode("unicode_escape")
    um_per_unit = UM_PER_UNIT.get(unit)
    if um_per_unit is None:
        uncalibrated = unit in ("", "pixel", "pixels")
        no_heights = "it is not calibrated in ImageJ" if uncalibrated else f"its unit is {unit!r}"
        return RawStack(planes, None, no_heights)
    # ImageJ leaves the spacing out where it is 1.
    step_um = float(description.get("spacing", 1.0)) * um_per_unit
    if not (math.isfinite(step_um) and step_um != 0.0):
        raise StackRefused(path, f"the spacing of its planes is {step_um:g} um", GIVE_THE_HEIGHTS)
    default_spacing = f"it has no spacing of its planes, which in ImageJ means 1 {unit}"
    return RawStack(
        planes if step_um > 0.0 else planes[::-1],
        tuple(number * abs(step_um) for number in range(len(planes))),
        um_per_px=_imagej_sampling_um(path, tiff, um_per_unit),
        notes=() if "spacing" in description else (default_spacing,),
    )


def _imagej_sampling_um(path: Path, tiff: tifffile.TiffFile, um_per_unit: float) -> float | None:
    tag = tiff.pages.first.tags.get("XResolution")
    if tag is None or 0 in tag.value:
        return None
    return _positive_um(path, "XResolution", um_per_unit * tag.value[1] / tag.value[0])


def _from_plain(path: Path, tiff: tifffile.TiffFile, logged: _LoggedErrors) -> RawStack:
    """Planes without a description. Nothing says how many there should be, so any sign of truncation counts."""
    n_pages = len(tiff.pages)  # walks through all pages, and logs those that are missing
    if logged.messages:
        raise StackDamaged(
            path, f"it is truncated or damaged after {counted(n_pages, 'page')} ({logged.messages[0]})"
        )
    return RawStack(_planes_of(path, tiff, []), None, "it is neither OME-TIFF nor from ImageJ")


def _planes_of(path: Path, tiff: tifffile.TiffFile, channel_names: list[str]) -> tuple[RawPixels, ...]:
    """The planes of the first series in its order, RGB (h, w, 3). Raises StackRefused, StackDamaged."""
    _check_alike(path, tiff)
    series = tiff.series[0]
    if any(page is None for page in series.pages):
        raise StackDamaged(path, "it is truncated: planes of its description are missing")
    _check_readable(path, series)
    _check_series_memory(path, series)
    axes, pixels = _squeezed(series.axes, series.asarray())
    others = [axis for axis in axes if axis not in "YXSC"]
    if len(others) > 1 or (others and others[0] not in f"Z{UNKNOWN_AXES}"):
        raise StackRefused(
            path,
            f"it has the axes {axes}: several times or positions, or its planes are marked as times",
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
        raise StackRefused(path, f"its colours are stored as {name}", "Save it as RGB or grey values.")


def _check_series_memory(path: Path, series: tifffile.TiffPageSeries) -> None:
    sizes = dict(zip(series.axes, series.shape, strict=True))
    n_values = max(3, math.prod(sizes.get(axis, 1) for axis in "CS"))
    plane_bytes = sizes["Y"] * sizes["X"] * n_values * np.dtype(series.dtype).itemsize
    check_memory(path, math.prod(n for axis, n in sizes.items() if axis not in "YXCS"), plane_bytes)


def _squeezed(axes: str, pixels: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """Without axes of length one, except rows and columns."""
    kept = [k for k, axis in enumerate(axes) if axis in "YX" or pixels.shape[k] > 1]
    shape = [pixels.shape[k] for k in kept]
    return "".join(axes[k] for k in kept), pixels.reshape(shape)


def _coloured(path: Path, plane: NDArray[Any], channel_names: list[str], is_separate: bool) -> RawPixels:
    """A plane (h, w) or (h, w, channels) as RGB (h, w, 3), without opacity. Raises StackRefused."""
    if plane.ndim == 2:
        return np.repeat(plane[..., None], 3, axis=2)
    # Only a fourth sample of a pixel is opacity; a fourth channel is something else.
    if plane.ndim != 3 or plane.shape[2] not in ((3,) if is_separate else (3, 4)):
        raise StackRefused(
            path,
            f"its planes have {counted(math.prod(plane.shape[2:]), 'channel')}: grey values have one, colours three",
            "Save it as grey values or RGB.",
        )
    result: RawPixels = np.ascontiguousarray(plane[..., _order_of(channel_names)])
    return result


def _order_of(channel_names: list[str]) -> list[int]:
    """Indices of red, green and blue: by the names of the channels, else in this order."""
    names = [name.strip().lower() for name in channel_names]
    for colours in (("red", "green", "blue"), ("r", "g", "b")):
        if sorted(names) == sorted(colours):
            return [names.index(colour) for colour in colours]
    return [0, 1, 2]
