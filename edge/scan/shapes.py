"""Uneven fields of a run: each focused field is judged, and an all-in-focus picture of an uneven one is handed on."""

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.focus.picture.cells import CELL_PX
from parfocal.edge.focus.uneven.field import FieldShape, UnevenField
from parfocal.edge.focus.uneven.height_map import HeightMap
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.shape_report import HeightMapReport, ShapeReport

DECIMALS = 3  # of um in a map: nm

# Called with the number of a field, from 1, and its all-in-focus picture; returns the name of the file.
Keep = Callable[[int, UInt8Array], str]


def with_shapes(
    run: Iterator[FieldResult], uneven: UnevenField, um_per_px: float, keep: Keep
) -> Iterator[FieldResult]:
    """The fields of a run, each judged before the stage goes on; blank ones are passed on as they are.

    Also a lost field may be uneven: thick or folded tissue has no single focus.

    Raises BoardError, CameraFailed, EngineError.
    """
    for number, done in enumerate(run, start=1):
        shape = None if done.outcome == "blank" else uneven.examine(done.end)
        yield done if shape is None else _with_shape(done, shape, um_per_px, number, keep)


def _with_shape(
    done: FieldResult, shape: FieldShape, um_per_px: float, number: int, keep: Keep
) -> FieldResult:
    report = ShapeReport(
        verdict=shape.verdict,
        predicted=shape.predicted,
        z_um=shape.z_um,
        patches_um=shape.patches_um,
        images=shape.images,
        heights=None if shape.heights is None else _report_of(shape.heights, um_per_px),
        composite=None if shape.picture is None else keep(number, shape.picture),
    )
    return msgspec.structs.replace(done, report=msgspec.structs.replace(done.report, shape=report))


def _report_of(heights: HeightMap, um_per_px: float) -> HeightMapReport:
    return HeightMapReport(CELL_PX * um_per_px, _rows(heights.z_um), _rows(heights.sigma_um))


def _rows(values: NDArray[np.float64]) -> tuple[tuple[float | None, ...], ...]:
    return tuple(
        tuple(round(float(value), DECIMALS) if np.isfinite(value) else None for value in row)
        for row in values
    )
