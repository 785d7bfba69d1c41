"""`parfocal scan` as a user types it."""

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from parfocal.edge.config import Config
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.tiles import read_scan
from parfocal.edge.scan.tiling import plan as tiling_plan
from parfocal.edge.scan.tiling.job import ScanJob, Ways
from parfocal.edge.scan.tiling.report import ScanReport
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.surface.files import write_points
from parfocal.edge.surface.points import FocusPoint
from parfocal.edge.tissue.area import rectangle, write_area
from tests.edge.cli.typed import SHORT_SWEEP, Run, configured, image
from tests.edge.scope import tissue

REGION = (20_000, 10_000, 20_200, 10_200)
SETTINGS = f"{SHORT_SWEEP}single_model = ''\nfirst_sweep_start_um = 2450.0\nfirst_sweep_stop_um = 2550.0\n"


@pytest.fixture
def scan(tmp_path: Path) -> list[object]:
    """A scan of a drawn section on a virtual microscope, without a region."""
    config = configured(tmp_path, SETTINGS)
    slide = image(tmp_path, tissue(600))
    return [
        *("scan", "--sim", "--slide", slide, "--um-per-px", 0.345),
        *("--config", config, "--out", "slide.zarr", "--spacing-um", 150),
    ]


def test_a_scan_is_planned_made_and_never_written_over(run: Run, scan: list[object], tmp_path: Path) -> None:
    code, printed, told = run(*scan, "--region", *REGION, "--plan", "--json", "plan.json")
    assert code == 0, told
    assert "plan: 4 tiles, 0 left out; overlap 16 x 16 um" in printed
    assert " s and the survey; the least" in printed
    assert not (tmp_path / "slide.zarr").exists()
    foretold = json.loads((tmp_path / "plan.json").read_text())
    assert foretold["n_tiles"] == 4
    assert foretold["limit_s"] < foretold["scan_s"]

    code, printed, told = run(*scan, "--region", *REGION, "--json", "scan.json")
    assert code == 0, told
    assert "4 of 4 tiles finished in slide.zarr" in printed
    report = msgspec.json.decode((tmp_path / "scan.json").read_bytes(), type=ScanReport)
    assert (report.planned, report.finished, report.taken) == (4, 4, 4)
    assert report.within_depth_of_field is not None
    assert report.within_depth_of_field == 1.0
    assert read_scan(tmp_path / "slide.zarr").is_complete

    code, _, told = run(*scan, "--region", *REGION)
    assert code == 2
    assert "holds a scan already; nothing moved. Go on with it by --resume" in told
    code, printed, told = run(*scan, "--resume")
    assert code == 0, told
    assert "4 of 4 tiles finished already" in printed
    assert "and the survey" not in printed  # it is done
    given = [option for option in scan if option not in ("--spacing-um", 150)]
    surface = ["--region", *REGION, "--surface", "slide.zarr/scan/surface.csv", "--plan"]
    code, printed, told = run(*given, *surface)
    assert code == 0, told
    assert "time: about" in printed
    assert "and the survey" not in printed
    code, _, told = run(*scan, "--resume", "--codec", "jpg")
    assert code == 2
    assert "leave out --region, --mask" in told


@pytest.mark.parametrize("option", ["--lamp-off-between", "--composite", "--z-stack"])
def test_a_scan_goes_on_in_the_way_it_was_begun(
    run: Run, scan: list[object], monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    seen, tiles = list[Ways](), ScanJob.tiles

    def noted(job: ScanJob, *given: Any, **named: Any) -> Iterator[TileDone]:  # noqa: ANN401  # as they came
        seen.append(given[-1])
        return tiles(job, *given, **named)

    monkeypatch.setattr(ScanJob, "tiles", noted)
    assert run(*scan, "--region", *REGION, option)[0] == 0
    assert run(*scan, "--resume")[0] == 0
    begun, gone_on = seen
    asked = (option == "--lamp-off-between", option == "--composite", option == "--z-stack")
    assert (begun.only_exposed, begun.composite, begun.z_stack) == asked
    assert gone_on == begun


def test_a_scan_is_planned_with_the_exposure_in_use(
    run: Run, scan: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foretold, used = [], Instrument.used_config
    for exposure_s in (0.008, 0.5):

        def with_exposure(instrument: Instrument, config: Config, exposure_s: float = exposure_s) -> Config:
            found = used(instrument, config)
            camera = msgspec.structs.replace(found.camera, exposure_s=exposure_s)
            return msgspec.structs.replace(found, camera=camera)

        monkeypatch.setattr(Instrument, "used_config", with_exposure)
        assert run(*scan, "--region", *REGION, "--plan", "--json", "plan.json")[0] == 0
        foretold.append(json.loads((tmp_path / "plan.json").read_text())["limit_s"])
    assert foretold[1] > foretold[0] + 4 * 0.4


def surface_about(path: Path, x_um: float, y_um: float) -> Path:
    """Focus points of a level surface, as `parfocal survey --out` writes them."""
    sides = [(x_um + dx, y_um + dy) for dx in (-200.0, 0.0, 200.0) for dy in (-200.0, 0.0, 200.0)]
    write_points(path, tuple(FocusPoint(x, y, 2500.0, 0.1) for x, y in sides))
    return path


def test_a_surface_that_does_not_reach_the_tiles_is_refused_in_the_plan_and_leaves_nothing(
    run: Run, scan: list[object], tmp_path: Path
) -> None:
    far, near = (
        surface_about(tmp_path / "far.csv", 30_000, 10_000),
        surface_about(tmp_path / "near.csv", 20_100, 10_100),
    )
    given = scan[:-2]  # a surface leaves no spacing of a survey
    for more in (["--plan"], []):
        code, _, told = run(*given, "--region", *REGION, "--surface", far, *more)
        assert code == 6
        assert "mm outside of the points of the focal surface" in told
        assert not (tmp_path / "slide.zarr").exists()
    assert run(*given, "--region", *REGION, "--surface", near)[0] == 0
    code, _, told = run(*given, "--resume", "--surface", near)
    assert code == 2
    assert "--surface is for a scan without tiles, and this one has 4 tiles by its own; nothing moved" in told


def test_tiles_that_were_never_written_are_not_counted(
    run: Run, scan: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ScanJob.__init__, "__defaults__", (full,))
    surface = surface_about(tmp_path / "near.csv", 20_100, 10_100)
    code, printed, told = run(*scan[:-2], "--region", *REGION, "--surface", surface, "--json", "scan.json")
    assert (code, "TileNotWritten" in told) == (6, True), told
    assert "0 of 4 tiles finished" in printed
    report = json.loads((tmp_path / "scan.json").read_text())
    assert (report["finished"], report["taken"]) == (0, 0)
    assert report["incomplete"].startswith("TileNotWritten")


def test_a_scan_goes_on_where_the_disk_has_room_for_what_is_left(
    run: Run, scan: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*scan, "--region", *REGION, "--plan", "--json", "plan.json")[0] == 0
    needed = json.loads((tmp_path / "plan.json").read_text())["needed_bytes"]
    with monkeypatch.context() as full:
        full.setattr(tiling_plan, "free_bytes", lambda _folder: needed - 1)
        code, _, told = run(*scan, "--region", *REGION)
        assert (code, "nothing moved. Make room" in told) == (2, True)
    assert run(*scan, "--region", *REGION)[0] == 0
    monkeypatch.setattr(tiling_plan, "free_bytes", lambda _folder: needed - 1)
    assert run(*scan, "--resume")[0] == 0


def test_a_mask_leaves_tiles_out(run: Run, scan: list[object], tmp_path: Path) -> None:
    corner = rectangle(20_000.0, 10_000.0, 20_010.0, 10_010.0)
    area = rectangle(20_300.0, 10_290.0, 20_390.0, 10_390.0)
    write_area(tmp_path / "tissue.geojson", type(area)((*corner.polygons, *area.polygons)))
    code, printed, told = run(*scan, "--mask", "tissue.geojson", "--plan")
    assert code == 0, told
    assert "left out" in printed
    assert ", 0 left out" not in printed


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "where to scan was not given"),
        (["--region", 20_000, 10_000, 19_000, 11_000], "--region is empty"),
        (["--region", 0, 0, 1000, 1000], "leaves the stage"),
        (["--region", *REGION, "--mask", "tissue.geojson"], "both say where to scan"),
        (["--mask", "missing.geojson"], "area missing.geojson cannot be used"),
        (["--region", *REGION, "--codec", "bmp"], "--codec bmp is not known: give png, jpg, webp"),
        (["--resume"], "no scan to continue in slide.zarr"),
        (["--resume", "--continuous"], "--slide-name, --continuous, --lamp-off-between"),
        (["--resume", "--lamp-off-between"], "leave out --region"),
        (["--resume", "--composite"], "leave out --region"),
        (["--resume", "--z-stack"], "leave out --region"),
        (["--region", *REGION, "--continuous"], "the play of x, y, z was not measured; nothing moved"),
        (["--region", *REGION, "--surface", "map.csv"], "--spacing-um is for a survey, and --surface gives"),
        (["--region", "nan", 0, 1000, 1000], "not a finite number"),
    ],
)
def test_a_scan_that_cannot_be_done_is_refused_before_anything_moves(
    run: Run, scan: list[object], tmp_path: Path, options: list[object], why: str
) -> None:
    code, _, told = run(*scan, *options)
    assert code == 2
    assert why in told
    assert told.count("\n") == 1
    assert not (tmp_path / "slide.zarr").exists()


def test_a_surface_that_cannot_be_read_is_refused(run: Run, scan: list[object], tmp_path: Path) -> None:
    given = [option for option in scan if option not in ("--spacing-um", 150)]
    code, _, told = run(*given, "--region", *REGION, "--surface", "missing.csv")
    assert (code, told.count("\n")) == (2, 1)
    assert "points missing.csv cannot be used" in told
    assert not (tmp_path / "slide.zarr").exists()
