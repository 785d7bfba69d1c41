"""Focus points as CSV and GeoJSON: written for other programs, and read back or drawn up by hand."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from parfocal.edge.errors import ConfigError
from parfocal.edge.surface.points import FocusPoint, Status
from parfocal.edge.whole_file import whole_file
from parfocal.edge.words import named

ENDINGS = (".csv", ".geojson")
MAX_FILE_BYTES = 5_000_000  # a picture, given by mistake, is not read to its end
MAX_UM = 1e7  # ten metres: no stage is larger, and squares of it are exact enough
COLUMNS = FocusPoint.__struct_fields__
_NUMBERS = ("x_um", "y_um", "z_um", "sigma_um", "residual_um")


def check_ending(path: Path, option: str) -> None:
    """Refuse a name that is neither `.csv` nor `.geojson`. Raises ConfigError naming the `option`."""
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(
            f"{option} {named(path)} is neither .csv nor .geojson: give a name with one of these"
        )


def write_points(path: Path, points: Sequence[FocusPoint]) -> None:
    """Write the points, as CSV or GeoJSON by the ending of `path`. Raises OSError."""
    text = geojson_of(points) if path.suffix.lower() == ".geojson" else csv_of(points)
    with whole_file(path) as file:
        file.write(text.encode())


def read_points(path: Path) -> tuple[FocusPoint, ...]:
    """Read the points of a file that was written by `write_points` or by hand.

    A CSV file needs the columns `x_um`, `y_um` and `z_um`; others may be missing, and unknown ones are ignored. A
    GeoJSON file needs points with the property `z_um`, or with three coordinates.

    Raises ConfigError naming the file and the row or feature.
    """
    check_ending(path, "file of points")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    if len(data) > MAX_FILE_BYTES:
        raise _unusable(path, f"it is larger than {MAX_FILE_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
        return points_of_geojson(text) if path.suffix.lower() == ".geojson" else points_of_csv(text)
    except UnicodeDecodeError as error:
        raise _unusable(path, "it is not UTF-8 text") from error
    except ValueError as error:
        raise _unusable(path, str(error)) from error


def csv_of(points: Sequence[FocusPoint]) -> str:
    """The points as CSV, a header and a row each. A value that is not known is empty."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows([["" if value is None else value for value in msgspec.structs.astuple(p)] for p in points])
    return out.getvalue()


def points_of_csv(text: str) -> tuple[FocusPoint, ...]:
    """The points of a CSV file. Raises ValueError naming the row."""
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        missing = [name for name in ("x_um", "y_um", "z_um") if name not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"its first row lacks {', '.join(missing)}")
        return tuple(_point(row.get, f"row {number}") for number, row in enumerate(rows, start=2))
    except csv.Error as error:
        raise ValueError(f"it is not CSV: {error}") from error


def geojson_of(points: Sequence[FocusPoint]) -> str:
    """The points as a GeoJSON FeatureCollection. Coordinates are um of the stage."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [point.x_um, point.y_um]},
            "properties": {
                name: value
                for name, value in msgspec.structs.asdict(point).items()
                if name not in ("x_um", "y_um")
            },
        }
        for point in points
    ]
    encoded = msgspec.json.encode({"type": "FeatureCollection", "features": features})
    return msgspec.json.format(encoded, indent=1).decode() + "\n"


def points_of_geojson(text: str) -> tuple[FocusPoint, ...]:
    """The points of a GeoJSON file. Raises ValueError naming the feature."""
    try:
        given = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    features = given.get("features") if isinstance(given, dict) else None
    if not isinstance(features, list):
        raise ValueError("it is not a GeoJSON FeatureCollection")
    return tuple(
        _of_feature(feature, f"feature {number}") for number, feature in enumerate(features, start=1)
    )


def _of_feature(feature: Any, where: str) -> FocusPoint:  # noqa: ANN401  # decoded JSON
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    place = geometry.get("coordinates") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or geometry.get("type") != "Point" or not isinstance(place, list):
        raise ValueError(f"{where} is not a point")
    properties = feature.get("properties")
    values = {**dict(zip(("x_um", "y_um", "z_um"), place, strict=False))}
    values.update(properties if isinstance(properties, dict) else {})
    return _point(values.get, where)


def _point(value_of: Callable[[str], Any], where: str) -> FocusPoint:
    """One point from its values by name. Raises ValueError saying `where` it is wrong."""
    numbers = {name: _number(value_of(name), name, where) for name in _NUMBERS}
    x_um, y_um, z_um = numbers["x_um"], numbers["y_um"], numbers["z_um"]
    if x_um is None or y_um is None:
        raise ValueError(f"{where} has no x_um or no y_um")
    status = _status(value_of("status") or ("used" if z_um is not None else "lost"), where)
    if (status in ("used", "rejected")) != (z_um is not None):
        raise ValueError(
            f"{where}: a point that is {status} {'has a' if z_um is not None else 'needs a'} z_um"
        )
    sigma_um = numbers["sigma_um"]
    if sigma_um is not None and sigma_um < 0.0:
        raise ValueError(f"{where}: sigma_um = {sigma_um:g} is negative")
    reason = value_of("reason")
    return FocusPoint(
        x_um, y_um, z_um, sigma_um, numbers["residual_um"], status, str(reason) if reason else None
    )


def _status(value: object, where: str) -> Status:
    known: tuple[Status, ...] = get_args(Status)
    for status in known:
        if value == status:
            return status
    raise ValueError(f"{where}: status {value!r} is none of {', '.join(known)}")


def _number(value: Any, name: str, where: str) -> float | None:  # noqa: ANN401  # text, decoded JSON or None
    if value is None or value == "":
        return None
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= MAX_UM:
        raise ValueError(f"{where}: {name} = {value!r} is not a number of um")
    return number


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"points {named(path)} cannot be used: {why}; nothing moved. Correct the file, or survey the slide again."
    )
