"""`parfocal focus` with a tunable lens: the Z motor finds the slide, the lens focuses it."""

from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import pytest

import parfocal
from parfocal.board.stub.optics.tunable_lens import drawn_lens
from parfocal.calib.lens.table import LensTable
from parfocal.calib.store import Owner, Store, default_folder
from parfocal.calib.value import Measured
from parfocal.edge.config import Config
from parfocal.edge.scan.report import RunReport
from parfocal.edge.scan.tiles import read_scan
from parfocal.edge.scan.tiling.report import ScanReport
from parfocal.edge.simscope.bench import stub_of
from parfocal.edge.stacks.record import Recording
from tests.edge.cli.typed import SHORT_SWEEP, Run, configured, image
from tests.edge.scope import tissue

NOW = datetime(2026, 11, 27, tzinfo=timezone.utc)
LENS = SHORT_SWEEP + 'single_model = ""\n[lens]\nkind = "optotune"\nfocuses = true\n'
SEED = 3


@pytest.fixture
def lensed(tmp_path: Path) -> list[object]:
    """The options of a virtual microscope that focuses with a lens."""
    slide, config = image(tmp_path, tissue(600)), configured(tmp_path, LENS)
    return ["--sim", "--slide", slide, "--um-per-px", 0.345, "--seed", SEED, "--config", config]


@pytest.fixture
def measured() -> None:
    """The lens of that microscope, as a calibration would measure it."""
    true = drawn_lens(SEED)
    sign = float(np.sign(true.um_per_ma))
    half_ma = sign * true.hysteresis_ma / 2.0
    currents_ma = tuple((sign * np.linspace(-120.0, 120.0, 97)).tolist())
    heights_um = tuple(true.height_um(ma - half_ma) - true.height_um(-half_ma) for ma in currents_ma)
    store = Store(default_folder(), Owner(stub_of(Config(), SEED).unit_serial, "20x/0.75"))
    values = {
        name: Measured(value, 0.1, NOW, "m", "1", "r.json")
        for name, value in (("lens_error_um", 0.03), ("lens_play_um", 2.5))
    }
    store.keep_all({"lens": LensTable("optotune STUB0001", currents_ma, heights_um), **values})


def is_of_lens(z_um: float) -> bool:
    """Whether a height is one of the lens: it lies between the steps of the motor."""
    return abs(z_um / 0.3125 - round(z_um / 0.3125)) > 0.1


@pytest.mark.usefixtures("measured")
def test_a_lens_focuses_within_its_depth_of_field_while_the_motor_stands(
    run: Run, lensed: list[object], tmp_path: Path
) -> None:
    code, printed, told = run("focus", *lensed, "--fields", 2, "--json", tmp_path / "run.json")
    assert (code, told) == (0, "")
    assert "lens: the Z motor looks for the focus first" in printed
    assert "lens: focuses in place of the Z motor" in printed
    report = msgspec.json.decode((tmp_path / "run.json").read_bytes(), type=RunReport)
    assert [field.outcome for field in report.fields] == ["focused", "focused"]
    assert max(abs(field.error_um or 9.0) for field in report.fields) <= 1.0
    assert any(is_of_lens(field.z_um) for field in report.fields)
    assert [(play.axis, play.play_um) for play in report.plays][-1] == ("z", 2.6)


@pytest.mark.usefixtures("measured")
def test_a_lens_takes_the_planes_of_a_stack(run: Run, lensed: list[object]) -> None:
    code, printed, told = run(
        *("record", *lensed, "--fields", 1, "--out", "stacks", "--json", "record.json"),
        *("--reach-um", 3, "--step-um", 1.5),
    )
    assert code == 0, told
    assert "1 field of 5 planes" in printed
    (field,) = msgspec.json.decode(Path("record.json").read_bytes(), type=Recording).fields
    steps_um = np.diff(field.z_um)
    assert steps_um == pytest.approx([1.5] * 4, abs=0.01)
    assert any(is_of_lens(z_um) for z_um in field.z_um)
    assert field.focus_z_um == pytest.approx(field.z_um[2], abs=2.0)


@pytest.mark.usefixtures("measured")
def test_a_survey_and_a_scan_use_the_lens_and_a_continuous_one_is_refused(
    run: Run, lensed: list[object], tmp_path: Path
) -> None:
    scan = (
        "scan",
        *lensed,
        "--region",
        20_000,
        10_000,
        20_200,
        10_100,
        "--spacing-um",
        150,
        "--out",
        "s.zarr",
    )
    code, _, told = run(*scan, "--continuous")
    assert (code, "set lens.focuses = false" in told) == (2, True)
    code, printed, told = run(*scan, "--json", "scan.json")
    assert code == 0, told
    assert "lens: focuses in place of the Z motor" in printed
    report = msgspec.json.decode(Path("scan.json").read_bytes(), type=ScanReport)
    assert report.within_depth_of_field == 1.0
    assert any(is_of_lens(tile.z_um) for tile in read_scan(tmp_path / "s.zarr").tiles)


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("park", ["", "park_um = 2515.0\n"])
def test_a_program_focuses_with_the_lens_from_its_first_field_on(tmp_path: Path, park: str) -> None:
    config, slide = configured(tmp_path, LENS + park), image(tmp_path, tissue(600))
    with parfocal.simulated(seed=SEED, slide=slide, um_per_px=0.345, config=config) as scope:
        for x_um in (20_000.0, 20_100.0):
            assert abs(scope.focus(x_um, 10_000.0).error_um or 9.0) <= 1.0
        assert is_of_lens(scope.position.z_um + 0.1) or is_of_lens(scope.position.z_um)
        assert scope.move(z_um=2520.05).z_um == pytest.approx(2520.05)
        with pytest.raises(parfocal.BoardError, match="limit is"):
            scope.move(z_um=2300.0)  # within the travel of the motor


def test_without_its_curve_a_lens_is_refused_with_what_makes_it(
    run: Run, lensed: list[object], tmp_path: Path
) -> None:
    for verb in (
        ("focus",),
        ("record", "--out", "stacks"),
        ("survey", "--region", 20_000, 10_000, 20_200, 10_200),
    ):
        code, _, told = run(*verb, *lensed)
        assert (code, "Run `parfocal calibrate lens`" in told) == (5, True), told
    with pytest.raises(parfocal.CalibError, match="Run `parfocal calibrate lens`"):
        parfocal.simulated(seed=SEED, slide=tmp_path / "slide.png", um_per_px=0.345, config=str(lensed[-1]))
