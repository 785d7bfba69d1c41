"""`parfocal survey` as a user types it."""

import importlib.util
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.edge.config import config_from_file
from parfocal.edge.scan.survey import SurveyReport
from parfocal.edge.simscope.surface import FocusSurface
from parfocal.edge.surface.files import read_points
from parfocal.edge.surface.surface import fit_surface
from tests.edge.cli.typed import SHORT_SWEEP, Run, configured, image
from tests.edge.scope import tissue

REGION = (20_000, 10_000, 23_000, 12_000)


@pytest.fixture
def survey(tmp_path: Path) -> list[object]:
    """A survey of a drawn section on a virtual microscope."""
    config = configured(tmp_path, SHORT_SWEEP)
    slide = image(tmp_path, tissue(600))
    return [
        "survey",
        "--sim",
        "--slide",
        slide,
        "--um-per-px",
        0.345,
        "--config",
        config,
        "--region",
        *REGION,
    ]


def test_a_survey_finds_the_focal_surface_of_the_slide(
    run: Run, survey: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "map.csv"
    drawn = ["--picture", "map.png"] if importlib.util.find_spec("matplotlib") else []  # of the demo extra
    code, printed, told = run(*survey, "--points", 20, "--out", out, "--json", "survey.json", *drawn)
    assert code == 0, told
    assert not drawn or (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert "leave-one-out error" in printed
    report = msgspec.json.decode((tmp_path / "survey.json").read_bytes(), type=SurveyReport)
    assert report.surface is not None
    assert len(report.points) == len(report.fields) == 20
    assert read_points(out) == report.points
    # Each point has its focus to within a depth of field.
    for field in report.fields:
        if field.outcome in ("focused", "recovered"):
            assert field.error_um is not None
            assert abs(field.error_um) < 1.0
    surface = fit_surface(read_points(out))
    config = config_from_file(tmp_path / "instrument.toml")
    truth = FocusSurface(1, config.scan.origin_x_um, config.scan.origin_y_um, 2500.0)
    places = [
        (x, y)
        for x in np.arange(REGION[0], REGION[2], 250.0)
        for y in np.arange(REGION[1], REGION[3], 250.0)
        if surface.covers(x, y)
    ]
    off_um = np.array([surface.z_um(x, y) - truth.z_um(x, y) for x, y in places])
    assert len(places) > 60
    # The slide has steps of +-2 um, 1.15 um rms, that no smooth surface follows. The stated error knows of them.
    rms_um = float(np.sqrt(np.mean(off_um**2)))
    assert rms_um < 1.4
    assert report.surface.leave_one_out.low_um < rms_um < report.surface.leave_one_out.high_um


def test_a_survey_of_three_points_keeps_them_and_says_what_is_missing(
    run: Run, survey: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parfocal.edge.surface.surface.MIN_POINTS", 5)
    code, _, told = run(*survey, "--points", 4, "--out", "map.geojson", "--json", "survey.json")
    assert code == 6
    assert "no focal surface from 4 points" in told
    assert told.count("\n") == 1
    assert len(read_points(tmp_path / "map.geojson")) == 4
    assert "no focal surface" in json.loads((tmp_path / "survey.json").read_text())["refused"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--points", 9, "--spacing-um", 500], "--points and --spacing-um both say"),
        (["--out", "map.txt"], "neither .csv nor .geojson"),
        (["--picture", "map.jpg"], "--picture map.jpg does not end in .png"),
        (["--out", "/proc/map.csv"], "Give another --out path"),
        (["--points", 3], "--points"),
        (["--spacing-um", "nan"], "--spacing-um"),
        (["--region", 0, 0, 1000, 1000], "leaves the stage"),
        (["--region", "nan", 0, 1000, 1000], "not a finite number"),
    ],
)
def test_a_survey_that_cannot_be_done_is_refused_before_anything_moves(
    run: Run, survey: list[object], options: list[object], why: str
) -> None:
    code, printed, told = run(*survey, *options)
    assert (code, printed) == (2, "")
    assert why in told


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ("[focus]\nsingle_model = ''\n", "--continuous takes heights from single shots"),
        ("[focus]\nstrategy = 'two-shot'\n", "--continuous takes heights from single shots"),
        ("", "the play of x, y, z was not measured; nothing moved"),
    ],
)
def test_a_survey_without_stops_is_refused_where_it_cannot_be_done(
    run: Run, tmp_path: Path, toml: str, why: str
) -> None:
    config = configured(tmp_path, toml)
    code, _, told = run("survey", "--sim", "--config", config, "--region", *REGION, "--continuous")
    assert code == 2, told
    assert why in told


def test_a_run_starts_each_field_at_the_height_of_the_surface(
    run: Run, survey: list[object], tmp_path: Path
) -> None:
    truth = FocusSurface(1, 20_000.0, 10_000.0, 2500.0)
    places = [(x, y) for x in (20_000.0, 21_500.0, 23_000.0) for y in (10_000.0, 12_000.0)]
    rows = [f"{x},{y},{truth.z_um(x, y)}" for x, y in places]
    (tmp_path / "map.csv").write_text("\n".join(["x_um,y_um,z_um", *rows]))
    focus = ["focus", *survey[1:8], "--fields", 4, "--surface", "map.csv", "--json", "run.json"]
    code, _, told = run(*focus)
    assert code == 0, told
    surface = fit_surface(read_points(tmp_path / "map.csv"))
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["summary"]["first_sweep_images"] == 0
    assert report["summary"]["focused"] == 4
    for field in report["fields"]:
        expected_um = surface.z_um(field["x_um"], field["y_um"])
        # The first height, or the second if the first takes up the play; within half a step.
        assert any(abs(z_um - expected_um) < 0.16 for z_um in field["path_um"][:2])


def test_a_run_beyond_its_surface_is_refused_before_anything_moves(
    run: Run, survey: list[object], tmp_path: Path
) -> None:
    places = [(20_000 + 100 * i, 10_000 + 100 * j) for i in range(3) for j in range(3)]
    for z_um, fields, code, why in ((2500.0, 9, 6, "no focal height at"), (9000.0, 1, 2, "the stage allows")):
        rows = [f"{x},{y},{z_um}" for x, y in places]
        (tmp_path / "map.csv").write_text("\n".join(["x_um,y_um,z_um", *rows]))
        ended, printed, told = run("focus", *survey[1:8], "--fields", fields, "--surface", "map.csv")
        assert (ended, printed) == (code, "")
        assert why in told
