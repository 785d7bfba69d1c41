"""Areas on the stage as polygons, and their GeoJSON: found in an overview, drawn up or edited by hand."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.errors import ConfigError
from parfocal.edge.whole_file import whole_file
from parfocal.edge.words import named

Floats = NDArray[np.float64]

MAX_FILE_BYTES = 20_000_000  # a picture, given by mistake, is not read to its end
MAX_UM = 1e7  # ten metres: no stage is larger


class Polygon(msgspec.Struct, frozen=True, eq=False):
    """Rings of corners (n, 2), um of the stage. A place inside of an even number of rings is in a hole."""

    rings: tuple[Floats, ...]

    def contains(self, x_um: Floats, y_um: Floats) -> NDArray[np.bool_]:
        """Whether places of any shape lie inside."""
        inside = np.zeros(np.broadcast(x_um, y_um).shape, bool)
        for ring in self.rings:
            for (ax, ay), (bx, by) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if ay == by:
                    continue
                crosses = (ay > y_um) != (by > y_um)
                inside ^= crosses & (x_um < ax + (bx - ax) * (y_um - ay) / (by - ay))
        return inside


class Area(msgspec.Struct, frozen=True, eq=False):
    """One polygon or several, which may overlap."""

    polygons: tuple[Polygon, ...]

    @property
    def bounds_um(self) -> tuple[float, float, float, float]:
        """Least x and y, greatest x and y. Raises ValueError for an empty area."""
        corners = np.concatenate([ring for polygon in self.polygons for ring in polygon.rings])
        (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)

    def contains(self, x_um: Floats, y_um: Floats) -> NDArray[np.bool_]:
        """Whether places of any shape lie in one of the polygons."""
        inside = np.zeros(np.broadcast(x_um, y_um).shape, bool)
        for polygon in self.polygons:
            inside |= polygon.contains(x_um, y_um)
        return inside

    def outline_um(self, step_um: float) -> Floats:
        """Places on the edges of all rings, (n, 2), no farther apart than `step_um`."""
        places = []
        for ring in (ring for polygon in self.polygons for ring in polygon.rings):
            for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                n = 1 + math.ceil(float(np.hypot(*(end - start))) / step_um)
                places.append(start + np.linspace(0.0, 1.0, n, endpoint=False)[:, None] * (end - start))
        return np.concatenate(places) if places else np.empty((0, 2))


def rectangle(x0_um: float, y0_um: float, x1_um: float, y1_um: float) -> Area:
    """The area of a rectangle."""
    corners = np.array([[x0_um, y0_um], [x1_um, y0_um], [x1_um, y1_um], [x0_um, y1_um]])
    return Area((Polygon((corners,)),))


def geojson_of(area: Area) -> str:
    """The area as a GeoJSON FeatureCollection, a feature for each polygon. Coordinates are um of the stage."""
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [np.round([*ring, ring[0]], 1).tolist() for ring in polygon.rings],
            },
            "properties": {},
        }
        for polygon in area.polygons
    ]
    encoded = msgspec.json.encode({"type": "FeatureCollection", "features": features})
    return msgspec.json.format(encoded, indent=1).decode() + "\n"


def write_area(path: Path, area: Area) -> None:
    """Write the area as GeoJSON. Raises OSError."""
    with whole_file(path) as file:
        file.write(geojson_of(area).encode())


def read_area(path: Path) -> Area:
    """Read polygons from a GeoJSON file. Raises ConfigError naming the file and the feature."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    if len(data) > MAX_FILE_BYTES:
        raise _unusable(path, f"it is larger than {MAX_FILE_BYTES:,} bytes")
    try:
        return area_of_geojson(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _unusable(path, "it is not UTF-8 text") from error
    except ValueError as error:
        raise _unusable(path, str(error)) from error


def area_of_geojson(text: str) -> Area:
    """The area of a GeoJSON geometry, feature or collection of features. Raises ValueError naming the feature."""
    try:
        given = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    features = given.get("features") if isinstance(given, dict) and "features" in given else [given]
    if not isinstance(features, list):
        raise ValueError("it is not a GeoJSON FeatureCollection")
    polygons = [
        polygon
        for number, feature in enumerate(features, start=1)
        for polygon in _of_feature(feature, f"feature {number}")
    ]
    if not polygons:
        raise ValueError("it has no polygon")
    return Area(tuple(polygons))


def _of_feature(feature: Any, where: str) -> list[Polygon]:  # noqa: ANN401  # decoded JSON
    geometry = feature.get("geometry", feature) if isinstance(feature, dict) else None
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"{where} is neither a Polygon nor a MultiPolygon")
    given = geometry.get("coordinates")
    polygons = [given] if kind == "Polygon" else given
    if not isinstance(polygons, list):
        raise ValueError(f"{where} has no coordinates")
    return [_polygon(rings, where) for rings in polygons]


def _polygon(rings: Any, where: str) -> Polygon:  # noqa: ANN401  # decoded JSON
    if not isinstance(rings, list) or not rings:
        raise ValueError(f"{where} has a polygon without rings")
    return Polygon(tuple(_ring(ring, where) for ring in rings))


def _ring(places: Sequence[Any], where: str) -> Floats:
    try:
        corners = np.array([[float(place[0]), float(place[1])] for place in places], np.float64)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise ValueError(f"{where} has a corner that is not a pair of numbers") from error
    if corners.ndim == 2 and len(corners) > 1 and np.array_equal(corners[0], corners[-1]):
        corners = corners[:-1]
    if len(corners) < 3:
        raise ValueError(f"{where} has a ring of fewer than three corners")
    if not (np.abs(corners) <= MAX_UM).all():
        raise ValueError(f"{where} has a corner that is not a number of um")
    return corners


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"area {named(path)} cannot be used: {why}; nothing moved. Correct the file, or give another one."
    )
