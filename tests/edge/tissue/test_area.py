"""Areas on the stage and their GeoJSON."""

from pathlib import Path

import numpy as np
import pytest

from parfocal.edge.errors import ConfigError
from parfocal.edge.tissue.area import Area, Polygon, area_of_geojson, read_area, rectangle, write_area

RING = np.array([[0.0, 0.0], [100.0, 0.0], [100.0, 80.0], [0.0, 80.0]])
HOLE = np.array([[40.0, 30.0], [60.0, 30.0], [50.0, 60.0]])


def test_a_place_in_a_hole_is_outside_and_polygons_may_overlap() -> None:
    holed = Area((Polygon((RING, HOLE)),))
    x, y = np.array([50.0, 10.0, 150.0]), np.array([40.0, 40.0, 40.0])
    assert holed.contains(x, y).tolist() == [False, True, False]
    both = Area((*holed.polygons, *rectangle(20.0, 20.0, 200.0, 60.0).polygons))
    assert both.contains(x, y).tolist() == [True, True, True]
    assert both.bounds_um == (0.0, 0.0, 200.0, 80.0)


def test_an_area_is_the_same_after_it_was_written_and_read(tmp_path: Path) -> None:
    area = Area((Polygon((RING, HOLE)), *rectangle(200.0, 0.0, 300.0, 10.5).polygons))
    path = tmp_path / "tissue.geojson"
    write_area(path, area)
    again = read_area(path)
    assert [[ring.tolist() for ring in p.rings] for p in again.polygons] == [
        [ring.tolist() for ring in p.rings] for p in area.polygons
    ]


def test_geometries_drawn_up_by_hand_are_read() -> None:
    square = "[[[0,0],[9,0],[9,9],[0,0]]]"
    for text in (
        f'{{"type":"Polygon","coordinates":{square}}}',
        f'{{"type":"Feature","geometry":{{"type":"MultiPolygon","coordinates":[{square},{square}]}}}}',
    ):
        assert len(area_of_geojson(text).polygons[0].rings[0]) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nonsense", "it is not JSON"),
        ("[1]", "feature 1 is neither"),
        ('{"features":[{"geometry":{"type":"Point","coordinates":[1,2]}}]}', "feature 1 is neither"),
        ('{"features":[]}', "it has no polygon"),
        ('{"type":"Polygon","coordinates":[[[0,0],[1,1]]]}', "fewer than three corners"),
        ('{"type":"Polygon","coordinates":[[[0,0],[1,1],["a",3]]]}', "not a pair of numbers"),
        ('{"type":"Polygon","coordinates":[[[0,0],[1,1],[1e99,3]]]}', "not a number of um"),
        ('{"type":"Polygon","coordinates":[]}', "without rings"),
    ],
)
def test_a_file_that_is_no_area_is_refused_with_its_fault(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "bad.geojson"
    path.write_text(text)
    with pytest.raises(ConfigError, match=why):
        read_area(path)
