"""The scan: tile after tile at the height of the surface, each picture judged, what is out of focus taken again."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from parfocal.edge.config import Config
from parfocal.edge.errors import CameraFailed
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.picture.part import reduced
from parfocal.edge.focus.picture.sharpness import variance_of_laplacian
from parfocal.edge.focus.result import FocusLost, FocusResult
from parfocal.edge.focus.shots import Shot
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.tiles import ScannedTile, stacks_folder, tile_name, tiles_folder
from parfocal.edge.scan.tiling.heights import Expected, Heights
from parfocal.edge.scan.tiling.journal import Journal
from parfocal.edge.scan.tiling.judging.judge import Judged, TileJudge
from parfocal.edge.scan.tiling.judging.uneven_tiles import (
    UnevenTiles,
    Write,
    stack_heights,
    write_planes,
)
from parfocal.edge.scan.tiling.moving.ahead import Ahead
from parfocal.edge.scan.tiling.moving.going import Going
from parfocal.edge.scan.tiling.moving.light import Light
from parfocal.edge.scan.tiling.plan import PlannedTile
from parfocal.edge.scan.tiling.taken import Taken, TileDone
from parfocal.edge.scan.tiling.uneven.examining import Examining
from parfocal.edge.scan.tiling.uneven.folds import Folds
from parfocal.edge.scan.tiling.writer import TileWriter, not_written
from parfocal.edge.scan.watch import CameraWatch
from parfocal.engines.predictor import Predictor

TWO_SHOT_SIGMA_UM = 0.25  # of a focused field (docs/focus.md)
GAIN_SIGMA = 0.15  # share by which a model may say too much or too little (engines/models/single-20x.md)
# Moves to where a tile's own pictures say the focus is; each takes a quarter of the time of two shots.
MAX_MOVES = 2
# Of the depth of field: so much nearer to where the focus is expected meanwhile does not pay for a move of Z.
SAME_HEIGHT_SHARE = 0.25
# Why a tile is focused anew and taken again, by its verdict.
_REASONS = {
    "predicted": "its picture was out of focus",
    "blurred": "it was less sharp than its neighbours",
    "unknown": "the focus of this slide had to be learned",
    "untold": "nothing told where its focus was",
}


class Unevenness(msgspec.Struct, frozen=True):
    """How uneven tiles are noticed, and what is kept of them beside their picture.

    `tiles`: None if nothing notices them. `composite`: an all-in-focus picture in place of theirs. `write`: writes a
    stack of each, None to keep none.
    """

    tiles: UnevenTiles | None = None
    composite: bool = False
    write: Write | None = None


NOTHING_UNEVEN = Unevenness()


class Scanner:
    """Takes the tiles of a plan that are not finished yet. Coordinates of a tile are those of the first session."""

    def __init__(
        self,
        instrument: Instrument,
        predictor: Predictor,
        config: Config,
        heights: Heights,
        judge: TileJudge,
        light: Light,
        unevenness: Unevenness = NOTHING_UNEVEN,
        watch: CameraWatch | None = None,
    ) -> None:
        """`predictor` is a two-shot one; it focuses what is out of focus. `watch` sees every tile. Nothing moves."""
        self._unevenness, self._watch = unevenness, watch
        self._instrument, self._config, self._light = instrument, config, light
        self._heights, self._judge = heights, judge
        corrected, focus = instrument.calibrated(predictor, config.focus)
        # Tiles are judged one by one already: what is focused here is what single shots could not settle.
        focus = msgspec.structs.replace(focus, strategy="two-shot")
        self._focuser = Focuser(instrument.board.z, instrument.camera, corrected, focus)
        self.going = Going(instrument, config, light, SAME_HEIGHT_SHARE * judge.depth_um)
        self._ahead = Ahead(instrument)
        self._folds = Folds(instrument, heights, judge, self.going, light)
        tiles, composite = unevenness.tiles, unevenness.composite
        self.parts = Examining(instrument, judge, self.going, light, self._folds, tiles, composite)

    def run(
        self,
        tiles: Sequence[PlannedTile],
        journal: Journal,
        writer: TileWriter,
        again: str | None = None,
        is_folded: bool = False,
    ) -> Generator[TileDone, None, None]:
        """Take `tiles` in order and hand each to `writer`. Close the iterator to end between two tiles.

        The axes must be homed and the light of the scan on. `again`: why these tiles are taken for a second time.
        `is_folded`: their parts differed in sharpness as they do on a fold.

        Raises:
            ScanAborted: a picture is black or saturated.
            TileNotWritten: the disk is full or gone.
            BoardError, CameraFailed, EngineError: as they come; tiles that were handed over are finished.
        """
        for number, planned in enumerate(tiles, start=1):
            began_s = self._instrument.clock.now_s()
            following = tiles[number] if number < len(tiles) else None
            taken = (self.parts.by_planes(planned) if is_folded else None) or self._take(planned, following)
            self._learn(planned, taken)
            if again is not None:
                reason = again if taken.reason is None else f"{again}; then {taken.reason}"
                taken = msgspec.structs.replace(taken, reason=reason, retaken=taken.retaken + 1)
            elapsed_s = self._instrument.clock.now_s() - began_s
            yield self.hand_over(planned, taken, journal, writer, elapsed_s)

    def hand_over(
        self, planned: PlannedTile, taken: Taken, journal: Journal, writer: TileWriter, elapsed_s: float
    ) -> TileDone:
        """Hand a tile to `writer`, with its stack if it is uneven. `elapsed_s`: the microscope's time for it.

        Raises as `run`.
        """
        tile = self._tile(planned, taken, journal, elapsed_s)
        write = self._unevenness.write
        if taken.range_um is not None and write is not None:
            self._write_stack(planned, taken.range_um, tile, journal.slide, write)
        if self._watch is not None:
            self._watch.look(tile.x_um, tile.y_um, taken.shot.pixels, not taken.seen.tissue)
        writer.put(tile, taken.pixels)
        return TileDone(tile, taken.error_um)

    def focus_near(self, pivot_um: float) -> FocusResult:
        """Focus the field under the objective by two shots. A lost one is a result too. Raises as `run`."""
        with self._light.exposure(self._instrument.clock.now_s()):
            try:
                return self._focuser.focus(self.going.allowed_um(pivot_um))
            except FocusLost as lost:
                if lost.result is None:
                    raise
                return lost.result

    def _take(self, planned: PlannedTile, following: PlannedTile | None) -> Taken:
        """The picture of a tile, taken again if it is out of focus, and examined if it may be uneven.

        `following`: the next tile, to which the stage may go on meanwhile.
        """
        was_there = self.going.has_gone_on
        expected = self._heights.expected(planned.x_um, planned.y_um)
        aim_um = expected.z_um + self._judge.aim_um(planned)
        exposed = self.going.expose_at(planned.x_um, planned.y_um, aim_um)
        if not was_there:
            self._ahead.moved(self.going.way_s)
        place_um, error_um = self.going.place_um, self._instrument.error_um()
        is_at_fold = self._folds.is_beside(planned)

        def looked_at(shot: Shot) -> Taken:
            seen = self._judge.look(shot, planned.place_um, planned)
            judged = self._judge.judge(seen, shot.z_um - self.going.offset.z_um, expected)
            return Taken(shot, seen, judged, error_um, place_um=place_um)

        def go_on(to: PlannedTile) -> None:
            z_um = self._heights.expected(to.x_um, to.y_um).z_um + self._judge.aim_um(to)
            self.going.go_on(to.x_um, to.y_um, z_um)

        go = None
        if following is not None and self._ahead.saves_time(expected.sigma_um, is_at_fold):
            go = partial(go_on, following)
        try:
            taken = self._ahead.seen(
                lambda: looked_at(exposed.shot()), go, exposed.has_come, partial(self._is_good, planned)
            )
        except CameraFailed:  # the frame was lost on its way
            self.going.be_back(planned.x_um, planned.y_um, aim_um)
            shot = self.going.take_at(planned.x_um, planned.y_um, aim_um)
            place_um, error_um = self.going.place_um, self._instrument.error_um()
            taken = looked_at(shot)
        taken = self._settled(planned, taken)
        self._ahead.judged(taken.reason is None and taken.above_um is None, expected.sigma_um, is_at_fold)
        return taken

    def _is_good(self, planned: PlannedTile, taken: Taken) -> bool:
        """Whether a tile needs no more than its first picture, so that the stage may leave it."""
        is_in_focus = taken.judged is None or taken.judged.verdict not in _REASONS
        return is_in_focus and not self.parts.is_due(planned, taken)

    def _be_back(self, planned: PlannedTile, shot: Shot) -> None:
        """Be where the picture of a tile was taken."""
        self.going.be_back(planned.x_um, planned.y_um, shot.z_um - self.going.offset.z_um)

    def _settled(self, planned: PlannedTile, taken: Taken) -> Taken:
        """The same tile, in focus, and examined if it may be uneven."""
        judged = taken.judged
        if judged is None or judged.verdict not in _REASONS:
            return self.parts.examined(planned, taken)
        if not self.parts.looks_uneven(planned, taken.seen):
            return self.parts.examined(planned, self._focused(planned, taken, judged))
        # To look for the focus of a fold takes longer than to see that it has none.
        examined = self.parts.examined(planned, taken)
        return examined if examined.range_um is not None else self._focused(planned, examined, judged)

    def _focused(self, planned: PlannedTile, first: Taken, judged: Judged) -> Taken:
        """The same tile in focus; `judged` says why it was not."""
        moved = self._moved(planned, first, judged) if judged.verdict == "predicted" else None
        return moved or self._again(first, judged, planned)

    def _learn(self, planned: PlannedTile, taken: Taken) -> None:
        """Learn what a tile shows of the focus. A fold says nothing about its neighbours but folds."""
        self._folds.learn(planned, taken)
        if taken.judged is None or taken.judged.verdict != "good" or taken.range_um is not None:
            return
        self._judge.accept(taken.seen)
        if taken.above_um is not None:
            self._judge.learn_tile(taken.seen, taken.above_um, planned.place_um)
        if _shows_focus(taken):
            distance_um, sigma_um = taken.judged.distance_um, taken.judged.sigma_um
            seen = taken.seen
            if taken.reason is None and seen.distance_um is not None and seen.sigma_um is not None:
                # What was expected came from the neighbours. Handed on to them as news, it would count again and again.
                distance_um, sigma_um = seen.distance_um, seen.sigma_um
            focus_um = taken.shot.z_um - self.going.offset.z_um + distance_um
            self._heights.learn(planned.x_um, planned.y_um, focus_um, sigma_um)

    def _write_stack(
        self,
        planned: PlannedTile,
        range_um: tuple[float, float],
        tile: ScannedTile,
        slide: Path,
        write: Write,
    ) -> None:
        """Take a stack through an uneven tile and write it. Raises TileNotWritten; else as `take_at`."""
        offset_um, depth_um = self.going.offset.z_um, self._judge.depth_um
        shots = [
            self.going.take_at(planned.x_um, planned.y_um, z_um - offset_um)
            for z_um in stack_heights(range_um, depth_um)
        ]
        planes = [(shot.z_um - offset_um, shot.pixels) for shot in shots]
        try:
            write_planes(stacks_folder(slide) / tile.path.stem, planes, write)
        except OSError as error:
            raise not_written(slide, error) from error

    def _moved(self, planned: PlannedTile, first: Taken, judged: Judged) -> Taken | None:
        """The picture from where the ones before it say the focus is (liao2021 2.2), or the first one if it is sharper.

        None if the pictures contradict each other, or do not come to an end: then two shots must tell.
        """
        best, moves_um = first, list[str]()
        for retaken in range(first.retaken + 1, first.retaken + 1 + MAX_MOVES):
            focus_um = best.shot.z_um - self.going.offset.z_um + judged.distance_um
            moves_um.append(f"{judged.distance_um:+.1f}")
            reason = f"{_REASONS['predicted']}; moved by {', '.join(moves_um)} um"
            shot = self.going.take_at(planned.x_um, planned.y_um, focus_um)
            seen = self._judge.look(shot, planned.place_um, planned)
            if seen.distance_um is None or seen.sigma_um is None:
                return None
            if not self._sharpness(shot) > self._sharpness(best.shot):
                if abs(judged.distance_um) > self._judge.depth_um:
                    return None
                # So short a move matters little: the sharper picture is nearer to the focus.
                known = Judged("good", 0.0, self._judge.depth_um / 2.0)
                return msgspec.structs.replace(best, judged=known, reason=reason, retaken=retaken)
            sigma_um = math.hypot(judged.sigma_um, GAIN_SIGMA * judged.distance_um)
            now = self._judge.judge(seen, shot.z_um - self.going.offset.z_um, Expected(focus_um, sigma_um))
            if now.verdict == "blurred" and not self._judge.tells_far_off:
                return None
            best = Taken(shot, seen, now, self._instrument.error_um(), reason, retaken)
            if now.verdict != "predicted":
                # What it shows is known by two pictures now, so it is not blurred.
                return msgspec.structs.replace(best, judged=Judged("good", now.distance_um, seen.sigma_um))
            judged = now
        return None

    def _again(self, first: Taken, judged: Judged, planned: PlannedTile) -> Taken:
        """Focus by two shots. The picture in focus, or the first one where the tile has no focus or was sharper."""
        self._be_back(planned, first.shot)
        result = self.focus_near(first.shot.z_um + judged.distance_um)
        reason = f"{_REASONS[judged.verdict]}; {result.outcome}"
        # A tile may hold something at its edge only, where two shots do not look.
        if result.outcome in ("lost", "blank") or result.end is None:
            return msgspec.structs.replace(first, judged=None, reason=reason)
        known = Judged("good", 0.0, result.sigma_um or TWO_SHOT_SIGMA_UM)
        if judged.verdict == "blurred":
            self._judge.accept_as_sharp(first.seen, result.z_um - first.shot.z_um)
        if self._sharpness(result.end) < self._sharpness(first.shot):
            # Never end blurrier than at the start: two shots that lead to a blurrier picture were wrong.
            known = Judged("good", 0.0, self._judge.depth_um / 2.0)
            return msgspec.structs.replace(first, judged=known, reason=reason, above_um=0.0)
        seen = self._judge.look(result.end, planned.place_um, planned)
        retaken = first.retaken + 1
        return Taken(result.end, seen, known, self._instrument.error_um(), reason, retaken, above_um=0.0)

    def _sharpness(self, shot: Shot) -> float:
        """Sharpness of the whole picture, grey levels squared; its middle may be empty."""
        return variance_of_laplacian(reduced(shot.pixels, self._config.focus))

    def _tile(self, planned: PlannedTile, taken: Taken, journal: Journal, elapsed_s: float) -> ScannedTile:
        judged = taken.judged
        x_um, y_um = taken.place_um or self.going.place_um
        is_known = judged is not None and judged.verdict == "good" and _shows_focus(taken)
        name = tile_name(planned.row, planned.column, journal.about.settings.codec)
        return ScannedTile(
            row=planned.row,
            column=planned.column,
            x_um=x_um,
            y_um=y_um,
            z_um=taken.shot.z_um - self.going.offset.z_um,
            path=tiles_folder(journal.slide) / name,
            focus_um=judged.distance_um if judged is not None and is_known else None,
            focus_sigma_um=judged.sigma_um if judged is not None and is_known else None,
            sharpness=taken.shot.sharpness,
            tissue=taken.seen.tissue,
            uneven=judged is None,
            retaken=taken.retaken,
            reason=taken.reason,
            elapsed_s=elapsed_s,
        )


def _shows_focus(taken: Taken) -> bool:
    """Whether the focus of a tile was measured, by its own picture or by two shots."""
    return taken.seen.tissue and (taken.seen.distance_um is not None or taken.reason is not None)
