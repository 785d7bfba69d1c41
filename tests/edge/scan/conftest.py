"""Scans of the small slide."""

import contextlib
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest

from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.scan.continuous.plan import SweepPlan
from parfocal.edge.scan.grid import Region, points_of_region
from parfocal.edge.scan.tiles import Codec
from parfocal.edge.scan.tiling.job import ScanJob, Ways, Write, settings_of
from parfocal.edge.scan.tiling.judging.reading import Known
from parfocal.edge.scan.tiling.plan import TilePlan, field_of, plan_tiles
from parfocal.edge.scan.tiling.request import Request
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.scan.tiling.writer import write_whole
from parfocal.edge.surface.points import FocusPoint
from parfocal.edge.tissue.area import rectangle
from tests.edge.scan.tiling.small_slide import CONFIG, SmallSlide

Scan = Callable[..., list[TileDone]]

PLAYS = tuple(PlayInUse(name, play_um, 0.3) for name, play_um in (("x", 60.0), ("y", 60.0), ("z", 20.0)))

# 5 x 4 tiles, the left column on empty glass.
REGION = (19_850.0, 9_940.0, 20_090.0, 10_090.0)


class Surveyed(msgspec.Struct, frozen=True):
    """What a survey of the small slide has left.

    Its points, what single shots said of pictures in focus, and the folder of a scan that ended after its survey.
    """

    points: tuple[FocusPoint, ...]
    known: tuple[Known, ...]
    folder: Path


@pytest.fixture(scope="session")
def plan() -> TilePlan:
    return plan_tiles(rectangle(*REGION), CONFIG, field_of(CONFIG.camera, 0.345), 0.1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "slide.zarr"


@pytest.fixture(scope="session")
def surveyed(plan: TilePlan, tmp_path_factory: pytest.TempPathFactory) -> Surveyed:
    """The survey of the slide with its bent surface, made once."""
    small, folder = SmallSlide(), tmp_path_factory.mktemp("survey") / "slide.zarr"
    xs_um, ys_um = ([getattr(tile, name) for tile in plan.tiles] for name in ("x_um", "y_um"))
    with (
        small.instrument() as instrument,
        contextlib.closing(_job(folder, "A1", plan, small, instrument)) as job,
    ):
        corners_um = (min(xs_um), min(ys_um), max(xs_um), max(ys_um))
        points = points_of_region(Region(*corners_um), small.config, 8, 60.0)
        list(job.survey(instrument, small.eyes, small.config, points))
        known = msgspec.json.decode(job.journal.kept("known_singles") or "", type=tuple[Known, ...])
        surface = job.kept_surface()
    assert surface is not None
    return Surveyed(surface.points, known, folder)


@pytest.fixture
def scan(out: Path, plan: TilePlan, surveyed: Surveyed) -> Scan:
    """Scan the plan into `out`, all of it or `n_tiles` more, as the command does.

    `is_free`: the camera runs freely. `each` is called after each tile, with how many there are.
    """

    def scanned(
        small: SmallSlide,
        n_tiles: int | None = None,
        write: Write = write_whole,
        slide: str = "A1",
        only_exposed: bool = False,
        sweeps: SweepPlan | None = None,
        ways: Ways | None = None,
        told: list[str] | None = None,
        tiles: TilePlan = plan,
        codec: Codec = "png",
        known: tuple[Known, ...] = surveyed.known,
        is_free: bool = False,
        each: Callable[[Instrument, int], None] = lambda _instrument, _n: None,
    ) -> list[TileDone]:
        taken: list[TileDone] = []
        with (
            small.instrument(PLAYS if sweeps else ()) as instrument,
            contextlib.closing(_job(out, slide, tiles, small, instrument, write, codec)) as job,
        ):
            triggered = None if is_free else instrument.triggered
            seeing = msgspec.structs.replace(instrument, triggered=triggered)
            surface = job.kept_surface()
            if surface is None:
                job.journal.keep("known_singles", known)
                surface = job.keep_surface(surveyed.points)
            run = job.tiles(seeing, small.eyes, small.config, surface, ways or Ways(only_exposed, sweeps))
            with contextlib.closing(run):
                for done in run:
                    taken.append(done)
                    each(instrument, len(taken))
                    if len(taken) == n_tiles:
                        break
            if told is not None:
                told += [due.told for due in job.due]
        return taken

    return scanned


def _job(
    out: Path,
    slide: str,
    plan: TilePlan,
    small: SmallSlide,
    instrument: Instrument,
    write: Write = write_whole,
    codec: Codec = "png",
) -> ScanJob:
    request = Request(slide, codec, plan)
    settings = settings_of(request, instrument, small.config, small.eyes)
    return ScanJob(out, request, settings, datetime(2026, 11, 27, tzinfo=timezone.utc), "0.1", write)
