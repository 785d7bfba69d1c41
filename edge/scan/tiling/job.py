"""One scan from its plan to its last tile: journal, survey, what is there already, and the tiles that are left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from parfocal.edge.config import Config
from parfocal.edge.focus.judging.rule import Seen as Sharp
from parfocal.edge.focus.picture.part import reduced
from parfocal.edge.focus.uneven.crispness import crispness_of
from parfocal.edge.focus.uneven.field import FOR_HEIGHTS, FOR_PICTURE, UnevenField
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.continuous.plan import SweepPlan
from parfocal.edge.scan.continuous.planes import PlaneSweeper, flash_of_planes
from parfocal.edge.scan.continuous.scanner import ContinuousScanner
from parfocal.edge.scan.continuous.survey import SurveySweeps, SweptSurvey
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.on_demand import on_demand
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import FieldReport
from parfocal.edge.scan.session import Session
from parfocal.edge.scan.survey import SurveyReport, is_by_single, survey_report, surveyed
from parfocal.edge.scan.tiles import ScannedTile, ScanSettings, scan_folder, tiles_folder
from parfocal.edge.scan.tiling.heights import Heights
from parfocal.edge.scan.tiling.journal import Journal, JournalNotWritten, about_scan, digest_of
from parfocal.edge.scan.tiling.judging.beside import Beside
from parfocal.edge.scan.tiling.judging.judge import TileJudge
from parfocal.edge.scan.tiling.judging.reading import Known
from parfocal.edge.scan.tiling.judging.uneven_tiles import UnevenTiles, Usual, UsualSpread
from parfocal.edge.scan.tiling.marks import Mark, SurveyMarks, marks_of_survey, marks_of_tiles
from parfocal.edge.scan.tiling.moving.going import Offset
from parfocal.edge.scan.tiling.moving.light import Light
from parfocal.edge.scan.tiling.registering import register
from parfocal.edge.scan.tiling.request import Request, keep_request
from parfocal.edge.scan.tiling.scanner import TWO_SHOT_SIGMA_UM, Scanner, Unevenness
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.scan.tiling.writer import TileWriter, write_whole
from parfocal.edge.scan.watch import CameraWatch, Due, watch_of
from parfocal.edge.surface.files import read_points, write_points
from parfocal.edge.surface.points import FocusPoint, SurfaceRefused
from parfocal.edge.surface.surface import FocalSurface, fit_surface
from parfocal.engines.predictor import Predictor

Write = Callable[[Path, bytes], None]


class Eyes(msgspec.Struct, frozen=True):
    """The models: a two-shot one to focus, and a single-shot one to judge tiles, None to judge by sharpness."""

    two_shot: Predictor
    single: Predictor | None


class Ways(msgspec.Struct, frozen=True):
    """How tiles are taken.

    `only_exposed`: the lamp is dark while nothing is exposed. `sweeps`: while the stage moves, None to stop for each.
    `composite`: an uneven tile is kept as an all-in-focus picture. `z_stack`: a stack of each is kept beside it.
    """

    only_exposed: bool = False
    sweeps: SweepPlan | None = None
    composite: bool = False
    z_stack: bool = False

    @property
    def is_dark_between(self) -> bool:
        """Whether the lamp is dark while nothing is exposed. In a sweep only the flash may give light."""
        return self.only_exposed or self.sweeps is not None


STOPPING = Ways()


def settings_of(request: Request, instrument: Instrument, config: Config, eyes: Eyes) -> ScanSettings:
    """What all tiles of this scan will have in common."""
    view, camera = instrument.view, config.camera
    single = instrument.single.calibrated(eyes.single)
    models = [eyes.two_shot.contract.name, *([single.contract.name] if single else [])]
    return ScanSettings(
        slide=request.slide,
        microscope=instrument.board.unit_serial,
        calibration=instrument.calibration,
        codec=request.codec,
        frame_px=(camera.width_px, camera.height_px),
        um_per_px=view.um_per_px,
        view_angle_deg=view.angle_deg,
        view_is_mirrored=view.is_mirrored,
        overlap_um=request.plan.overlap_um,
        exposure_s=camera.exposure_s,
        lamp_duty=config.scan.lamp_duty,
        objective=config.focus.objective,
        model=", ".join(models),
        plan_digest=digest_of(msgspec.json.encode(request.plan.tiles)),
        flat_field=None if instrument.flat_field is None else instrument.flat_field.flat,
    )


def surface_path(slide: Path) -> Path:
    """The focus points of a scan, which are there once it is surveyed."""
    return scan_folder(slide) / "surface.csv"


class ScanJob:
    """A scan that was begun or is continued. Close it at the end."""

    def __init__(
        self,
        slide: Path,
        request: Request,
        settings: ScanSettings,
        began_at: datetime,
        program_version: str,
        write: Write = write_whole,
    ) -> None:
        """Open the journal and check what is there. Nothing moves.

        `write` puts bytes at a path, on the disk when it returns. Raises ConfigError for another slide or other
        settings; OSError, JournalNotWritten.
        """
        self.slide, self.request, self._write = slide, request, write
        self.surveyed: SurveyReport | None = None
        self.offset = Offset()
        self.written: set[tuple[int, int]] = set()  # tiles of this session that are on the disk
        self._watch: CameraWatch | None = None
        about = about_scan(settings, request.plan.places, began_at, program_version)
        keep_request(slide, request)
        self.journal = Journal(slide, about)
        for part in tiles_folder(slide).glob("*.part"):
            part.unlink()
        good = self._good_tiles()
        self.finished = tuple(good[place] for place in request.plan.places if place in good)
        self.left = tuple(tile for tile in request.plan.tiles if (tile.row, tile.column) not in good)

    @property
    def due(self) -> tuple[Due, ...]:
        """The calibrations that the tiles of this session contradict."""
        return self._watch.due if self._watch else ()

    @property
    def confirmed(self) -> frozenset[str]:
        """The calibrations that the tiles of this session confirm."""
        return frozenset(self._watch.confirmed if self._watch else ())

    def kept_surface(self) -> FocalSurface | None:
        """The surface of this scan; None before its survey. Raises ConfigError, SurfaceRefused."""
        path = surface_path(self.slide)
        return fit_surface(read_points(path)) if path.exists() else None

    def keep_surface(self, points: tuple[FocusPoint, ...]) -> FocalSurface:
        """Use the surface through these points. Raises SurfaceRefused, OSError."""
        surface = fit_surface(points)
        write_points(surface_path(self.slide), surface.points)
        return surface

    def survey(
        self,
        instrument: Instrument,
        eyes: Eyes,
        config: Config,
        points: tuple[Field, ...],
        sweeps: SurveySweeps | None = None,
    ) -> Generator[FieldResult, None, None]:
        """Focus at `points`, and keep the surface through them. `sweeps`: how to sweep them, None to stop at each.

        Raises SurfaceRefused if they determine none; else as `Session.run` and `SweptSurvey.run`.
        """
        with on_demand(instrument, config.camera) as seeing:
            yield from self._surveyed(seeing, eyes, config, points, sweeps)

    def _surveyed(
        self,
        instrument: Instrument,
        eyes: Eyes,
        config: Config,
        points: tuple[Field, ...],
        sweeps: SurveySweeps | None,
    ) -> Generator[FieldResult, None, None]:
        judge, usual = self._judge(instrument, eyes, config), UsualSpread()
        session, marks = Session(instrument, eyes.two_shot, config, eyes.single, measures=True), SurveyMarks()
        fields: list[FieldReport] = []
        visits = (
            surveyed(session, points)
            if sweeps is None
            else SweptSurvey(session, instrument, config, sweeps).run()
        )
        with contextlib.closing(visits) as run:
            for done in run:
                fields.append(done.report)
                if done.outcome in ("focused", "recovered") and done.end is not None:
                    # What a single shot settled says nothing of how far single shots are off.
                    if not is_by_single(done.report):
                        judge.learn_field(done.focus, (done.report.x_um, done.report.y_um))
                    # A point that was only measured was left out of focus.
                    if abs(done.focus.left_um) <= 0.5 * judge.depth_um:
                        pixels = reduced(done.end.pixels, config.focus)
                        spread = crispness_of(pixels, config.focus.blank_contrast).spread
                        usual.learn(spread, (done.report.x_um, done.report.y_um))
                    x_um, y_um = done.passed_um or (instrument.board.x.stage_um, instrument.board.y.stage_um)
                    marks.see((x_um, y_um, done.z_um), done.end.sharpness, done.end.pixels)
                if judge.wants_field(len(fields) / len(points)):
                    session.verify_next()
                yield done
        report, surface = survey_report(fields, session.first_sweep_s)
        self.surveyed = report
        if surface is None:
            raise SurfaceRefused(report.refused)
        # Before the points: a survey counts once they are there.
        marks.keep(self.journal, self._write)
        write_points(surface_path(self.slide), report.points)
        self._keep(judge, usual)

    def tiles(
        self,
        instrument: Instrument,
        eyes: Eyes,
        config: Config,
        surface: FocalSurface,
        ways: Ways = STOPPING,
    ) -> Generator[TileDone, None, None]:
        """Take the tiles that are left. Close the iterator to end early: what was yielded is finished.

        Homes if the position is lost and the instrument may home by itself. A scan that is continued is registered
        against its first tiles first, or against its survey while there are none with tissue. Of a row that was
        interrupted in a sweep, the tiles that are not finished are swept again.

        Raises:
            ConfigError: sweeps, but board or camera cannot be triggered.
            SurfaceRefused: a tile lies far outside of the surface.
            ScanAborted: the slide is not found again, or a picture is black.
            TileNotWritten, BoardError, CameraFailed, EngineError: as they come.
        """
        with on_demand(instrument, config.camera) as seeing:
            yield from self._taken(seeing, eyes, config, surface, ways)

    def _taken(
        self, instrument: Instrument, eyes: Eyes, config: Config, surface: FocalSurface, ways: Ways
    ) -> Generator[TileDone, None, None]:
        heights = Heights(surface, self.request.plan.pitch_um)
        heights.check(self.left, instrument.board.z.limits_um)
        judge = self._judge(instrument, eyes, config, heights)
        judge.restore(msgspec.json.decode(self.journal.kept("known_singles") or "[]", type=tuple[Known, ...]))
        usual = UsualSpread(self._kept_usual())
        for point in surface.points:
            if point.status == "used" and point.z_um is not None:
                heights.learn(point.x_um, point.y_um, point.z_um, point.sigma_um or TWO_SHOT_SIGMA_UM)
        for tile in self.finished:
            _learn(heights, tile)
        self._watch = watch = watch_of(instrument, None if ways.sweeps else config.scan.lamp_duty)
        swept = (
            ContinuousScanner(instrument, config, ways.sweeps, heights, judge, watch) if ways.sweeps else None
        )
        light = Light(instrument, config.scan.lamp_duty, ways.is_dark_between)
        unevenness = self._unevenness(instrument, eyes, config, ways, usual, light)
        scanner = Scanner(instrument, eyes.two_shot, config, heights, judge, light, unevenness, watch)
        scanner.going.slide = self.slide
        instrument.home_if_allowed()
        with self._kept_at_the_end(judge, usual), light.scan():
            self.offset, found = register(scanner, self._marks(), instrument.view)
            scanner.going.offset = self.offset
            self.journal.keep(f"session {self.journal.session}", {"offset": self.offset, "found": found})
            with TileWriter(self.journal, self.request.codec, self._write, self.written) as writer:
                if swept is None:
                    yield from scanner.run(self.left, self.journal, writer)
                else:
                    yield from swept.run(self.left, scanner, self.journal, writer)
        watch.check_settings()

    def _marks(self) -> tuple[Mark, ...]:
        """By what the slide is known again; nothing right after its survey."""
        if self.surveyed is not None:
            return ()
        return marks_of_tiles(self.finished) or marks_of_survey(self.journal)

    def _unevenness(
        self,
        instrument: Instrument,
        eyes: Eyes,
        config: Config,
        ways: Ways,
        usual: UsualSpread,
        light: Light,
    ) -> Unevenness:
        """How uneven tiles are noticed and kept. Z does not stop for their planes where it need not."""
        two_shot, focus = instrument.calibrated(eyes.two_shot, config.focus)
        flash = ways.sweeps.flash if ways.sweeps else flash_of_planes(instrument, config)
        field = UnevenField(
            instrument.board.z,
            instrument.camera,
            two_shot,
            focus,
            instrument.view.um_per_px,
            FOR_PICTURE if ways.composite else FOR_HEIGHTS,
            PlaneSweeper(instrument, config, flash, light) if flash else None,
        )
        tiles = UnevenTiles(usual, field)
        return Unevenness(tiles, ways.composite, self._write if ways.z_stack else None)

    def _judge(
        self, instrument: Instrument, eyes: Eyes, config: Config, heights: Heights | None = None
    ) -> TileJudge:
        """The judge of the tiles: by a single-shot model, or without one by what neighbours share."""
        single, view = instrument.single.calibrated(eyes.single), instrument.view
        beside = None
        if single is None:
            surface_um = (lambda _x_um, _y_um: 0.0) if heights is None else heights.surface_um
            along, above_um = self.request.plan.along, instrument.above_sharpest_um
            beside = Beside(config.focus, view, along, surface_um, above_um)
            kept = self.journal.kept("focus_curve") or "[]"
            beside.restore(msgspec.json.decode(kept, type=tuple[tuple[Sharp, ...], ...]))
        return TileJudge(single, config.focus, view.um_per_px, beside)

    @contextlib.contextmanager
    def _kept_at_the_end(self, judge: TileJudge, usual: UsualSpread) -> Iterator[None]:
        """What is learned inside is kept however it ends. Where that fails too, the first error is told."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(JournalNotWritten):
                self._keep(judge, usual)
            raise
        self._keep(judge, usual)

    def _keep(self, judge: TileJudge, usual: UsualSpread) -> None:
        """Keep what was learned of this slide, for a session that goes on."""
        self.journal.keep("known_singles", judge.known)
        self.journal.keep("focus_curve", judge.known_curve)
        self.journal.keep("usual_spreads", usual.known)

    def _kept_usual(self) -> tuple[Usual, ...]:
        return msgspec.json.decode(self.journal.kept("usual_spreads") or "[]", type=tuple[Usual, ...])

    def close(self) -> None:
        """Close the journal. Idempotent."""
        self.journal.close()

    def _good_tiles(self) -> dict[tuple[int, int], ScannedTile]:
        """Finished tiles by place. Those whose file is missing or damaged leave the journal and are taken again."""
        good = {}
        for tile in self.journal.tiles():
            try:
                is_good = digest_of(tile.path.read_bytes()) == tile.digest
            except OSError:  # it is missing, or the disk cannot read it
                is_good = False
            if is_good:
                good[tile.row, tile.column] = tile
            else:
                self.journal.drop(tile)
        return good


def _learn(heights: Heights, tile: ScannedTile) -> None:
    if tile.focus_um is not None and tile.focus_sigma_um is not None and not tile.uneven:
        heights.learn(tile.x_um, tile.y_um, tile.z_um + tile.focus_um, tile.focus_sigma_um)
