"""`parfocal overview` as a user types it."""

from pathlib import Path

import numpy as np
import pytest

from parfocal.edge.tissue.area import read_area
from tests.edge.cli.typed import Run, image
from tests.edge.tissue.test_overview import STAINS, overview

LANDMARKS = ("--landmark", "0,0,0,0", "--landmark", "600,0,30000,0")


def test_the_tissue_of_a_picture_is_written_as_polygons_and_drawn(run: Run, tmp_path: Path) -> None:
    slide = image(tmp_path, np.ascontiguousarray(overview(STAINS["H&E"], extras=True)[..., ::-1]))
    code, printed, told = run(
        "overview", slide, *LANDMARKS, "--out", "tissue.geojson", "--picture", "tissue.png"
    )
    assert code == 0, told
    refused, _, why = run("overview", slide, *LANDMARKS, "--out", "other.geojson", "--picture", "tissue.jpg")
    assert refused == 2
    assert "--picture tissue.jpg does not end in .png" in why
    assert not (tmp_path / "other.geojson").exists()
    assert "tissue: 2 polygons in tissue.geojson, x=5" in printed
    area = read_area(tmp_path / "tissue.geojson")
    assert area.contains(np.array(10_000.0), np.array(7_500.0))
    assert (tmp_path / "tissue.png").read_bytes().startswith(b"\x89PNG")


def test_points_outside_of_the_tissue_are_not_surveyed(run: Run, tmp_path: Path) -> None:
    slide = image(tmp_path, np.ascontiguousarray(overview(STAINS["pale"])[..., ::-1]))
    assert run("overview", slide, *LANDMARKS, "--out", "tissue.geojson")[0] == 0
    code, _, told = run(
        *("survey", "--sim", "--region", 1_000, 1_000, 12_000, 4_000, "--points", 6),
        *("--mask", "tissue.geojson"),
    )
    assert code == 2
    assert "focus points of 6 lie in the polygons of tissue.geojson, 4 or more are needed" in told


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["missing.png", *LANDMARKS], "picture missing.png cannot be read"),
        (["missing.png", "--landmark", "0,0,0,0"], "give two landmarks or more"),
        (["missing.png", "--landmark", "0,0,zero,0"], "is not COLUMN,ROW,X,Y"),
    ],
)
def test_a_picture_that_cannot_be_used_is_refused(run: Run, arguments: list[object], why: str) -> None:
    code, _, told = run("overview", *arguments, "--out", "tissue.geojson")
    assert code == 2
    assert why in told
