"""Files of focus points: nothing is lost on the way, and a damaged file is named with the place of the damage."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.edge.errors import ConfigError
from parfocal.edge.surface.files import (
    csv_of,
    geojson_of,
    points_of_csv,
    points_of_geojson,
    read_points,
    write_points,
)
from parfocal.edge.surface.points import FocusPoint
from parfocal.edge.surface.surface import fit_surface

UM = st.floats(-1e5, 1e5)
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)
FOUND = st.builds(
    FocusPoint,
    UM,
    UM,
    UM,
    st.none() | st.floats(0.0, 10.0),
    st.none() | UM,
    st.sampled_from(["used", "rejected"]),
)
NOT_FOUND = st.builds(
    FocusPoint,
    UM,
    UM,
    st.none(),
    st.none(),
    st.none(),
    st.sampled_from(["blank", "lost"]),
    st.none() | WORDS,
)


@given(st.lists(FOUND | NOT_FOUND))
def test_points_come_back_as_they_were(points: list[FocusPoint]) -> None:
    assert list(points_of_csv(csv_of(points))) == points
    assert list(points_of_geojson(geojson_of(points))) == points


@pytest.mark.parametrize("name", ["map.csv", "map.geojson"])
def test_a_surface_that_is_read_back_is_the_same_surface(tmp_path: Path, name: str) -> None:
    places = [(1000.0 * i, 700.0 * j) for i in range(4) for j in range(4)]
    points = [
        FocusPoint(x, y, 2500.0 + 0.001 * x - 0.0003 * y + 0.1 * (i % 3)) for i, (x, y) in enumerate(places)
    ]
    points[5] = FocusPoint(*places[5], 2540.0)
    first = fit_surface([*points, FocusPoint(5000.0, 0.0, status="blank", reason="the field is empty")])
    write_points(tmp_path / name, first.points)
    again = fit_surface(read_points(tmp_path / name))
    assert again.points == first.points
    assert again.z_um(1234.0, 567.0) == first.z_um(1234.0, 567.0)


def test_a_table_drawn_up_by_hand_needs_three_columns(tmp_path: Path) -> None:
    path = tmp_path / "by-hand.csv"
    path.write_text("\ufeffnote,z_um,y_um,x_um\nleft,2500,10,20\n", encoding="utf-8")
    assert read_points(path) == (FocusPoint(20.0, 10.0, 2500.0),)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.csv", "", "its first row lacks x_um, y_um, z_um"),
        ("a.csv", "x_um,y_um\n1,2\n", "its first row lacks z_um"),
        ("a.csv", "x_um,y_um,z_um\n1,2,3\n1,two,3\n", "row 3: y_um = 'two' is not a number of um"),
        ("a.csv", "x_um,y_um,z_um\n1,2,nan\n", "row 2: z_um = 'nan' is not a number"),
        ("a.csv", "x_um,y_um,z_um\n1,2,1e300\n", "row 2: z_um = '1e300' is not a number of um"),
        ("a.csv", "x_um,y_um,z_um\n1\n", "row 2 has no x_um or no y_um"),
        (
            "a.csv",
            "x_um,y_um,z_um,status\n1,2,3,good\n",
            "status 'good' is none of used, rejected, blank, lost",
        ),
        ("a.csv", "x_um,y_um,z_um,status\n1,2,,used\n", "row 2: a point that is used needs a z_um"),
        ("a.csv", "x_um,y_um,z_um,status\n1,2,3,blank\n", "row 2: a point that is blank has a z_um"),
        ("a.csv", "x_um,y_um,z_um,sigma_um\n1,2,3,-1\n", "sigma_um = -1 is negative"),
        ("a.csv", 'x_um,y_um,z_um\n1,2,"3\n', "it is not CSV"),
        ("a.csv", "\udcff", "it is not UTF-8 text"),
        ("a.geojson", "{", "it is not JSON"),
        ("a.geojson", "[" * 100_000, "it is not JSON"),
        ("a.geojson", "[]", "it is not a GeoJSON FeatureCollection"),
        (
            "a.geojson",
            '{"features": [{"geometry": {"type": "Polygon", "coordinates": []}}]}',
            "feature 1 is not a",
        ),
        (
            "a.geojson",
            '{"features": [{"geometry": {"type": "Point", "coordinates": [1, true, 3]}}]}',
            "feature 1: y_um = True is not a number",
        ),
    ],
)
def test_a_damaged_file_is_named_with_the_place(tmp_path: Path, name: str, text: str, why: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=rf"points .*{name} cannot be used: .*nothing moved") as refused:
        read_points(path)
    assert why in str(refused.value)


def test_a_file_that_is_missing_or_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.csv cannot be used: No such file"):
        read_points(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match=r"map\.png is neither \.csv nor \.geojson"):
        read_points(tmp_path / "map.png")


@given(st.text(), st.sampled_from([points_of_csv, points_of_geojson]))
def test_any_text_is_read_or_refused(text: str, read: Callable[[str], object]) -> None:
    with contextlib.suppress(ValueError):  # either is fine, a crash is not
        read(text)
