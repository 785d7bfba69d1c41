"""Stacks of planes, recorded or made: an OME-TIFF, or a folder of images with `stack.csv` (`file,z_um`).

Heights rise from plane to plane, in um of the stage. A stack that knows its focus carries it as `focus_z_um`: a
map annotation of the OME-TIFF, a third column of `stack.csv` that is the same in every row. In the same way it may
carry `condenser_sigma`, the aperture of the condenser over that of the objective: depth of field hangs on it.
"""

import csv
import itertools
import logging
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tifffile
from numpy.typing import NDArray

from parfocal.edge.errors import ConfigError
from parfocal.edge.image_file import rgb_from_file
from parfocal.edge.whole_file import whole_file
from parfocal.edge.words import counted

UInt8Array = NDArray[np.uint8]

INDEX_NAME = "stack.csv"
# In the Software tag of what `write_stack` writes, at its very beginning: also a part of such a file tells whose it is.
WRITTEN_BY = "parfocal"
HEAD_BYTES = 1024
FOCUS_KEY, CONDENSER_KEY = "focus_z_um", "condenser_sigma"
MIN_PLANES = 2
UM_PER_UNIT = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3}  # both signs for micro are in use
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

# What is wrong with a file is told in one line by the error, not by the library's log on stderr as well.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class StackRefused(ConfigError):
    """A stack that cannot be used; `why` alone."""

    def __init__(self, path: Path, why: str, remedy: str = "Correct the stack or record it again.") -> None:
        """``remedy``: what to do, a sentence."""
        super().__init__(f"stack {path} cannot be used: {why}. {remedy}")
        self.why = why


class StackDamaged(StackRefused):
    """A stack that cannot be read because it is cut short or otherwise damaged."""


class Stack(msgspec.Struct, frozen=True):
    """Planes, RGB uint8 (h, w, 3) each, with their heights, um.

    `um_per_px`, `focus_z_um` and `condenser_sigma` are None where the stack does not say.
    """

    path: Path
    z_um: tuple[float, ...]
    planes: tuple[UInt8Array, ...]
    um_per_px: float | None = None
    focus_z_um: float | None = None
    condenser_sigma: float | None = None

    @property
    def shape_px(self) -> tuple[int, int]:
        """Height and width of the planes."""
        height, width = self.planes[0].shape[:2]
        return height, width


def read_stack(path: Path) -> Stack:
    """Read a whole stack: a folder, or an OME-TIFF.

    Raises StackRefused naming the file that cannot be used, and why.
    """
    stack = _from_folder(path) if path.is_dir() else _from_tiff(path)
    if len(stack.z_um) < MIN_PLANES:
        raise StackRefused(
            path, f"it has {counted(len(stack.z_um), 'plane')}, {MIN_PLANES} or more are needed"
        )
    for number, (below, above) in enumerate(itertools.pairwise(stack.z_um), start=1):
        if not above > below:
            raise StackRefused(
                path,
                f"heights must rise from plane to plane, but plane {number + 1} at z={above} um follows z={below} um",
            )
    return stack


def write_stack(
    path: Path,
    planes: Sequence[UInt8Array],
    z_um: Sequence[float],
    um_per_px: float,
    focus_z_um: float | None = None,
    condenser_sigma: float | None = None,
) -> None:
    """Write planes, RGB uint8 (h, w, 3) each, as an OME-TIFF: whole, or not at all.

    Raises ConfigError where the file cannot be written; ValueError where heights and planes are no stack.
    """
    if len(planes) != len(z_um) or len(planes) < MIN_PLANES:
        raise ValueError(f"{len(planes)} planes at {len(z_um)} heights are no stack")
    metadata: dict[str, Any] = {
        "axes": "ZYXS",
        "PhysicalSizeX": um_per_px,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": um_per_px,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": (z_um[-1] - z_um[0]) / (len(z_um) - 1),
        "PhysicalSizeZUnit": "µm",
        "Plane": {"PositionZ": [float(z) for z in z_um], "PositionZUnit": ["µm"] * len(z_um)},
    }
    known = {FOCUS_KEY: focus_z_um, CONDENSER_KEY: condenser_sigma}
    annotations = {key: repr(float(value)) for key, value in known.items() if value is not None}
    if annotations:
        metadata["MapAnnotation"] = {"Namespace": "parfocal", **annotations}
    try:
        with whole_file(path) as file:
            tifffile.imwrite(
                file,
                iter(planes),
                shape=(len(planes), *planes[0].shape),
                dtype=np.uint8,
                photometric="rgb",
                ome=True,
                software=WRITTEN_BY,
                metadata=metadata,
            )
    except OSError as error:
        raise ConfigError(
            f"stack {path} cannot be written: {error.strerror or error}. Make room, or give another folder."
        ) from error


def is_begun(path: Path) -> bool:
    """Whether a file is one that `write_stack` began: a file, no link, with our mark or empty. Raises OSError."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return not head or WRITTEN_BY.encode() in head


def _from_folder(folder: Path) -> Stack:
    rows = _rows_of(folder)
    try:
        entries = [(row["file"], float(row["z_um"])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise StackRefused(
            folder, f"{INDEX_NAME} needs the columns file,z_um in every row ({error!r})"
        ) from error
    if not all(np.isfinite(z) for _, z in entries):
        raise StackRefused(folder, f"{INDEX_NAME} holds a height that is no number of um")
    planes: list[UInt8Array] = []
    for name, _ in entries:
        try:
            plane = rgb_from_file(folder / name)
        except OSError as error:
            raise StackRefused(folder, f"{name} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise StackRefused(folder, str(error)) from error
        if planes and plane.shape != planes[0].shape:
            raise StackRefused(folder, f"{name} is {_size(plane)}, {entries[0][0]} is {_size(planes[0])}")
        planes.append(plane)
    return Stack(
        folder,
        tuple(z for _, z in entries),
        tuple(planes),
        focus_z_um=_told_by_rows(folder, rows, FOCUS_KEY),
        condenser_sigma=_told_by_rows(folder, rows, CONDENSER_KEY),
    )


def _rows_of(folder: Path) -> list[dict[str, str]]:
    try:
        with (folder / INDEX_NAME).open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise StackRefused(folder, f"{INDEX_NAME} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise StackRefused(folder, f"{INDEX_NAME} is no table ({error})") from error


def _told_by_rows(folder: Path, rows: list[dict[str, str]], key: str) -> float | None:
    told = {row[key] for row in rows if row.get(key)}
    if not told:
        return None
    try:
        (value,) = {float(text) for text in told}
    except ValueError as error:
        raise StackRefused(
            folder, f"{key} in {INDEX_NAME} must be one number, it says {', '.join(sorted(told))}"
        ) from error
    return value


def _from_tiff(path: Path) -> Stack:
    try:
        with tifffile.TiffFile(path) as tiff:
            ome_xml = tiff.ome_metadata
            if not ome_xml:
                raise StackDamaged(path, "it has no OME metadata: it is truncated, or no OME-TIFF")
            ome = tifffile.xml2dict(ome_xml)["OME"] or {}
            pixels = _pixels_of(path, ome)
            z_um = _heights_um(path, pixels)
            planes = tuple(_planes_of(path, tiff, len(z_um)))
            um_per_px = _length_um(path, pixels, "PhysicalSizeX")
    except FileNotFoundError as error:
        raise StackRefused(path, "there is no such file or folder") from error
    except OSError as error:
        raise StackRefused(path, f"it cannot be read: {error.strerror or error}") from error
    except DAMAGED as error:
        raise StackDamaged(
            path, f"it is truncated, damaged or no TIFF ({' '.join(str(error).split())})"
        ) from error
    return Stack(
        path, z_um, planes, um_per_px, _annotated(path, ome, FOCUS_KEY), _annotated(path, ome, CONDENSER_KEY)
    )


def _pixels_of(path: Path, ome: dict[str, Any]) -> dict[str, Any]:
    images = _as_list(ome.get("Image"))
    if len(images) != 1:
        raise StackRefused(path, f"it holds {len(images)} images, a stack is one")
    pixels: dict[str, Any] = images[0]["Pixels"]
    if int(pixels["SizeT"]) != 1 or len(_as_list(pixels.get("Channel"))) > 1:
        raise StackRefused(
            path, "it holds several times or separate channels, a stack has one RGB or grey image a plane"
        )
    return pixels


def _heights_um(path: Path, pixels: dict[str, Any]) -> tuple[float, ...]:
    """Heights from the planes' positions where every plane has one, else from the distance of the planes."""
    n_planes = int(pixels["SizeZ"])
    planes = sorted(_as_list(pixels.get("Plane")), key=lambda plane: int(plane["TheZ"]))
    if len(planes) == n_planes and all("PositionZ" in plane for plane in planes):
        # OME's own default is a `reference frame` of no known size.
        return tuple(_um(path, plane, "PositionZ", "reference frame") for plane in planes)
    step_um = _length_um(path, pixels, "PhysicalSizeZ")
    if step_um is None:
        raise StackRefused(path, "it does not say the heights of its planes: no PositionZ, no PhysicalSizeZ")
    return tuple(number * step_um for number in range(n_planes))


def _length_um(path: Path, pixels: dict[str, Any], name: str) -> float | None:
    return _um(path, pixels, name, "µm") if name in pixels else None


def _um(path: Path, element: dict[str, Any], name: str, default_unit: str) -> float:
    unit = str(element.get(f"{name}Unit", default_unit))
    if unit not in UM_PER_UNIT:
        raise StackRefused(
            path, f"{name} is given in {unit!r}, not in um, nm or mm: the heights have no unit"
        )
    return float(element[name]) * UM_PER_UNIT[unit]


def _planes_of(path: Path, tiff: tifffile.TiffFile, n_planes: int) -> Iterator[UInt8Array]:
    if len(tiff.pages) != n_planes:
        raise StackDamaged(path, f"it is truncated: {len(tiff.pages)} of {n_planes} planes are there")
    first_shape: tuple[int, ...] | None = None
    for number, page in enumerate(tiff.pages, start=1):
        plane = page.asarray()
        first_shape = first_shape or plane.shape
        if plane.dtype != np.uint8 or plane.ndim not in (2, 3) or plane.shape[2:] not in ((), (3,)):
            raise StackRefused(
                path, f"plane {number} is {plane.dtype} of shape {plane.shape}, not 8 bit RGB or grey"
            )
        if plane.shape != first_shape:
            raise StackRefused(
                path,
                f"plane {number} is {plane.shape[1]} x {plane.shape[0]} px, "
                f"plane 1 is {first_shape[1]} x {first_shape[0]} px",
            )
        yield plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2)


def _annotated(path: Path, ome: dict[str, Any], key: str) -> float | None:
    for annotation in _as_list((ome.get("StructuredAnnotations") or {}).get("MapAnnotation")):
        for entry in _as_list((annotation.get("Value") or {}).get("M")):
            if isinstance(entry, dict) and entry.get("K") == key:
                try:
                    return float(entry["value"])
                except (KeyError, TypeError, ValueError) as error:
                    raise StackRefused(path, f"its annotation {key} is no number") from error
    return None


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401 - what xml2dict gives: nothing, one, or a list
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _size(plane: UInt8Array) -> str:
    return f"{plane.shape[1]} x {plane.shape[0]} px"
