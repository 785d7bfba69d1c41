"""What a run reports of the shape of its fields."""

import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from parfocal.edge.cli.focusing import composites
from parfocal.edge.config import Config
from parfocal.edge.focus.result import FocusResult, Outcome
from parfocal.edge.focus.shots import Shot
from parfocal.edge.focus.uneven.field import FieldShape, UnevenField
from parfocal.edge.focus.uneven.height_map import HeightMap
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.report import FieldReport
from parfocal.edge.scan.shapes import with_shapes
from parfocal.engines.predictor import Predictor
from tests.edge.scope import FOCUS_Z_UM, KnowsTruth, Scope, small

PICTURE = np.full((4, 6, 3), (10, 20, 30), np.uint8)
NONE = np.zeros((1, 2), bool)
HEIGHTS = HeightMap(np.array([[1.0, np.nan]]), np.array([[0.12345, np.nan]]), NONE, NONE)
UNEVEN = FieldShape("uneven", "plane", 5.0, (4.0, 6.0), 12, HEIGHTS, PICTURE)
EVEN = FieldShape("even", "even", 5.0, (5.0, 5.0), 0)


class Examined(UnevenField):
    """Gives the shapes it was given, and keeps the shots it was asked about."""

    def __init__(self, *shapes: FieldShape | None) -> None:
        self._left = list(shapes)
        self.asked: list[Shot | None] = []

    def examine(self, shot: Shot | None = None) -> FieldShape | None:
        self.asked.append(shot)
        return self._left.pop(0)


def field(outcome: Outcome, end: Shot | None = None) -> FieldResult:
    result = FocusResult(outcome, 5.0, 4, (), (), end=end)
    report = FieldReport(0.0, 0.0, 5.0, None, None, None, 4, 1.0, outcome, (), ())
    return FieldResult(report, result)


def test_each_field_that_holds_something_is_judged_by_its_last_shot() -> None:
    shot = Shot(5.0, PICTURE, Config().focus)
    fields = [field("focused", shot), field("blank", shot), field("lost"), field("recovered", shot)]
    examined, kept = Examined(EVEN, UNEVEN, None), list[tuple[int, UInt8Array]]()

    def keep(number: int, picture: UInt8Array) -> str:
        kept.append((number, picture))
        return f"{number}.png"

    even, blank, lost, empty = (done.report.shape for done in with_shapes(iter(fields), examined, 0.5, keep))
    # A lost field has no last shot, so one is taken.
    assert examined.asked == [shot, None, shot]
    assert blank is empty is None
    assert even is not None
    assert (even.verdict, even.images, even.heights, even.composite) == ("even", 0, None, None)
    assert lost is not None
    assert (lost.verdict, lost.predicted, lost.images, lost.composite) == ("uneven", "plane", 12, "3.png")
    assert lost.heights is not None
    assert lost.heights.cell_um == 32.0
    assert [number for number, _ in kept] == [3]


def test_what_is_not_known_of_a_map_is_null_in_json_and_the_rest_is_rounded() -> None:
    (done,) = with_shapes(iter([field("focused")]), Examined(UNEVEN), 0.5, lambda _number, _picture: "a.png")
    shape = json.loads(msgspec.json.encode(done.report))["shape"]
    assert shape["heights"]["z_um"] == [[1.0, None]]
    assert shape["heights"]["sigma_um"] == [[0.123, None]]


def test_the_picture_of_an_uneven_field_is_written_with_the_number_of_the_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composites, "UnevenField", lambda *_: Examined(EVEN, UNEVEN))
    scope = Scope(small(Config()))
    examine = composites.examine_into(
        tmp_path / "new", Predictor(KnowsTruth(scope.bench, FOCUS_Z_UM)), scope.config
    )
    done = list(examine(scope.instrument(), iter([field("focused"), field("focused")])))
    assert [d.report.shape and d.report.shape.composite for d in done] == [None, "field-0002.png"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["field-0002.png"]
    read = cv2.imread(str(tmp_path / "new" / "field-0002.png"))
    assert read is not None
    assert read[0, 0].tolist() == [30, 20, 10]  # OpenCV reads BGR
