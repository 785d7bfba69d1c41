"""The continuous scan: row after row, each picture judged, and what came out blurred taken again in a second pass."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence

import msgspec

from parfocal.edge.config import Config
from parfocal.edge.focus.picture.exposure import MIN_MEAN_LEVEL, exposure_fault
from parfocal.edge.focus.shots import Shot
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.scan.continuous.engagement import Engagement
from parfocal.edge.scan.continuous.plan import SweepPlan
from parfocal.edge.scan.continuous.rows import (
    Row,
    line_of,
    nearest_first,
    nearest_run,
    room_for_rows,
    rows_of,
    runs_of,
)
from parfocal.edge.scan.continuous.sweep import Caught, Sweeper
from parfocal.edge.scan.tiling.heights import Expected, Heights
from parfocal.edge.scan.tiling.journal import Journal
from parfocal.edge.scan.tiling.judging.judge import RETAKE_SHARE_SWEPT, Judged, Seen, TileJudge
from parfocal.edge.scan.tiling.plan import PlannedTile
from parfocal.edge.scan.tiling.scanner import Scanner
from parfocal.edge.scan.tiling.taken import Taken, TileDone
from parfocal.edge.scan.tiling.writer import TileWriter
from parfocal.edge.scan.watch import CameraWatch

MISSED = "its trigger or its frame was missed in the sweep"
LOST = "a frame of its sweep was lost between camera and computer"
DARK = "its flash was missing in the sweep"
BLURRED = "its picture of the sweep was out of focus"
GOOD = ("good", "blank")
# How much less sure a picture of a sweep is where it contradicts its neighbours. Without a step there, it is one of the
# few of thousands that err most.
DOUBT = 2.0
# Pictures that are kept until it is known whether they are blurred: so many after a row, and so much within one.
MAX_SOFT, MAX_SOFT_BYTES = 24, 400_000_000
UNTOLD = "nothing told where its focus was in the sweep"
CONTRADICTED = "its neighbours contradicted each other in the sweep"
SOFT = "its picture of the sweep was less sharp than its neighbours"
FOLDED = "parts of its picture of the sweep were less sharp than others"


class ContinuousScanner:
    """Takes the tiles of a plan in sweeps, and what they leave by `Scanner`."""

    def __init__(
        self,
        instrument: Instrument,
        config: Config,
        plan: SweepPlan,
        heights: Heights,
        judge: TileJudge,
        watch: CameraWatch,
    ) -> None:
        """`watch` is told which pictures the flash has missed. Nothing moves.

        Raises ConfigError if board or camera cannot be triggered.
        """
        self._sweeper = Sweeper(instrument, config, plan)
        self._instrument, self._config, self._plan = instrument, config, plan
        self._heights, self._judge, self._watch = heights, judge, watch
        # The last tile that has shown its focus, and how far above the surface, um.
        self._before: tuple[PlannedTile, float] | None = None
        self._engagement = Engagement(_sigma_um(instrument.plays, "z"))

    def run(
        self, tiles: Sequence[PlannedTile], scanner: Scanner, journal: Journal, writer: TileWriter
    ) -> Generator[TileDone, None, None]:
        """Take `tiles` and hand each to `writer`: those of a row while it is swept, others in the second pass.

        Tiles that the model needs to learn the slide are taken one by one first. Close the iterator to end between two
        tiles. The axes must be homed and the steady lamp off while nothing is exposed. Raises as `Scanner.run`, and
        CameraFailed if a sweep brings no frame.
        """
        n_first = 0
        while n_first < len(tiles) and not self._judge.is_ready:
            yield from scanner.run(tiles[n_first : n_first + 1], journal, writer)
            n_first += 1
        rows, others = rows_of(tiles[n_first:], self._plan.along, self._room_um(scanner))
        left: dict[PlannedTile, str] = dict.fromkeys(others, "")
        soft = list[tuple[_Looked, str]]()
        for row in rows:
            yield from self._swept(row, scanner, journal, writer, left, soft)
            if len(soft) >= MAX_SOFT:
                yield from self._proven(soft, scanner, journal, writer, left)
                soft.clear()
        yield from self._proven(soft, scanner, journal, writer, left)
        yield from self._second_pass(left, scanner, journal, writer)

    def _room_um(self, scanner: Scanner) -> tuple[float, float]:
        """Where tiles may lie that are swept, with the slide where it lies now."""
        along, offset = self._plan.along, scanner.going.offset
        axis = self._instrument.board.axes[along]
        off_um = offset.x_um if along == "x" else offset.y_um
        return room_for_rows(axis.limits_um, axis.config, self._plan.ends, off_um)

    def _second_pass(
        self, left: dict[PlannedTile, str], scanner: Scanner, journal: Journal, writer: TileWriter
    ) -> Iterator[TileDone]:
        """Tiles that are left, the nearest one first, each with the reason why.

        Those that were out of focus and lie side by side are swept again, where their pictures have shown the focus.
        What is alone, and what the second sweep has not settled, is taken at rest.
        """
        shown = [
            tile
            for tile, why in left.items()
            # What was not told in the first row, the second one has told.
            if (why == BLURRED and self._heights.has_shown(tile)) or why == UNTOLD
        ]
        along = self._plan.along
        runs = runs_of(shown, along) + [Row((tile,), 1, along) for tile in left if tile not in shown]
        while runs:
            run = nearest_run(runs, scanner.going.stage_um)
            runs = [each for each in runs if each.tiles[0] not in run.tiles]
            if len(run.tiles) == 1:
                yield from _anew(run.tiles[0], left[run.tiles[0]], scanner, journal, writer)
                continue
            soft = list[tuple[_Looked, str]]()
            yield from self._swept(run, scanner, journal, writer, left, soft, is_again=True)
            left.update({looked.caught.tile: reason for looked, reason in soft})
            runs += [Row((tile,), 1, along) for tile in run.tiles if tile in left]

    def _swept(
        self,
        row: Row,
        scanner: Scanner,
        journal: Journal,
        writer: TileWriter,
        left: dict[PlannedTile, str],
        soft: list[tuple[_Looked, str]],
        is_again: bool = False,
    ) -> list[TileDone]:
        """Sweep a row and hand over its good tiles, each as soon as it was seen, while the stage goes on.

        The others are put into `left`, each with its reason; or into `soft`, where only their sharpness, or that of
        their parts, speaks against them. `is_again`: they were out of focus in another sweep.
        """
        clock, done = self._instrument.clock, list[TileDone]()
        handed_s = clock.now_s()
        z, costs = self._config.board.z, self._plan.costs(self._config.board.z)
        aim_um = self._judge.aim_um(row.tiles[0])

        def aimed(x_um: float, y_um: float) -> Expected:
            expected = self._heights.expected(x_um, y_um)
            beyond_um = None if expected.beyond_um is None else expected.beyond_um + aim_um
            return Expected(expected.z_um + aim_um, expected.sigma_um, beyond_um)

        def see(caught: Caught) -> None:
            nonlocal handed_s
            looked = self._lit(caught, scanner, left)
            judged = None if looked is None else self._sorted(looked, scanner, left, soft)
            if looked is None or judged is None:
                return
            taken = looked.taken(judged)
            if is_again:
                taken = msgspec.structs.replace(taken, reason=BLURRED, retaken=1)
            elapsed_s, handed_s = clock.now_s() - handed_s, clock.now_s()
            done.append(scanner.hand_over(caught.tile, taken, journal, writer, elapsed_s))

        line = line_of(row, aimed, self._plan.ends, costs, self._judge.depth_um, z.um_per_step)
        left.update(dict.fromkeys(row.tiles, MISSED))
        self._sweeper.sweep_seeing(row, line, scanner.going.offset, see, self._engagement.above_um)
        if self._sweeper.n_lost:
            left.update({tile: LOST for tile in row.tiles if left.get(tile) == MISSED})
        return done

    def _lit(self, caught: Caught, scanner: Scanner, left: dict[PlannedTile, str]) -> _Looked | None:
        """What a picture shows that the flash has lit; another one goes to `left`, as what it is."""
        is_faulty = exposure_fault(caught.pixels) is not None
        self._watch.seen_flash(is_faulty and caught.pixels.mean() < MIN_MEAN_LEVEL)
        if is_faulty:
            left[caught.tile] = DARK
            return None
        del left[caught.tile]
        return self._looked(caught, scanner)

    def _proven(
        self,
        soft: list[tuple[_Looked, str]],
        scanner: Scanner,
        journal: Journal,
        writer: TileWriter,
        left: dict[PlannedTile, str],
    ) -> Iterator[TileDone]:
        """Tiles that only sharpness speaks against, the nearest one first.

        Taken at rest, the first one shows whether this content has little detail, or much of it here and little there.
        Then so have others like it, and their pictures are good.
        """
        while soft:
            reasons = {looked.caught.tile: reason for looked, reason in soft}
            nearest = next(nearest_first(reasons, scanner.going.stage_um))
            rest, soft = soft, list[tuple[_Looked, str]]()
            yield from _anew(nearest, reasons[nearest], scanner, journal, writer)
            for looked, _ in rest:
                if looked.caught.tile == nearest:
                    continue
                judged = self._sorted(looked, scanner, left, soft)
                if judged is not None:
                    yield scanner.hand_over(looked.caught.tile, looked.taken(judged), journal, writer, 0.0)

    def _looked(self, caught: Caught, scanner: Scanner) -> _Looked:
        """What the picture of a tile shows."""
        shot = Shot(caught.z_um + scanner.going.offset.z_um, caught.pixels, self._config.focus)
        return _Looked(caught, shot, self._judge.look(shot, (caught.x_um, caught.y_um), caught.tile))

    def _sorted(
        self,
        looked: _Looked,
        scanner: Scanner,
        left: dict[PlannedTile, str],
        soft: list[tuple[_Looked, str]],
    ) -> Judged | None:
        """The verdict on a good picture. Others are put into `left` or `soft`, with the reason.

        What the picture shows of the focus is learned, unless it may have more than one.
        """
        caught, seen = looked.caught, looked.seen
        expected = self._heights.expected_of(caught.tile, caught.x_um, caught.y_um)
        # The height of a picture is as uncertain as the play, and so is where the focus is expected from there; not so
        # what the picture itself shows.
        play_um = self._judge.play_um(self._engagement.sigma_um, caught.is_falling)
        expected = Expected(expected.z_um, math.hypot(expected.sigma_um, play_um))
        judged = self._judge.judge(seen, caught.z_um, expected, RETAKE_SHARE_SWEPT)
        if self._judge.is_contradicted(seen):
            left[caught.tile] = CONTRADICTED
            return None
        may_be_uneven = scanner.parts.may_be_uneven_in_sweep(caught.tile, seen)
        is_folded = judged.verdict == "good" and may_be_uneven
        if judged.verdict in ("good", "predicted") and not is_folded:
            self._learn(caught, seen, judged, expected, play_um)
        if judged.verdict == "blurred" or is_folded:
            reason = FOLDED if may_be_uneven else SOFT
            if (1 + len(soft)) * caught.pixels.nbytes > MAX_SOFT_BYTES:
                left[caught.tile] = reason  # a row of 13 Mpx may have gigabytes of them
            else:
                soft.append((looked, reason))
        elif judged.verdict == "untold":
            left[caught.tile] = UNTOLD
        elif judged.verdict not in GOOD:
            left[caught.tile] = FOLDED if may_be_uneven else BLURRED
        else:
            if judged.verdict == "good":
                self._judge.accept(seen)
            scanner.parts.learn_even(caught.tile, seen)
            return judged
        return None

    def _learn(self, caught: Caught, seen: Seen, judged: Judged, expected: Expected, play_um: float) -> None:
        """Learn what a picture shows of the focus: for its neighbours, and for its tile, should it be taken again."""
        if seen.distance_um is None or seen.sigma_um is None:
            return
        # What was expected came from the neighbours. Handed on to them as news, it would count again and again.
        shown_um = caught.z_um + seen.distance_um
        self._heights.learn(caught.x_um, caught.y_um, shown_um, math.hypot(seen.sigma_um, play_um))
        contradicts = self._judge.contradicts(seen, caught.z_um, expected)
        doubt = DOUBT if contradicts else 1.0
        sigma_um = math.hypot(judged.sigma_um, play_um)
        self._heights.learn_swept(caught.tile, caught.z_um + judged.distance_um, doubt * sigma_um)
        if not contradicts and self._judge.shows_play:
            self._engagement.learn(caught.above_um + expected.z_um - shown_um, caught.is_falling)
        above_um = shown_um - self._heights.surface_um(caught.x_um, caught.y_um)
        if self._before is not None and _are_beside(self._before[0], caught.tile):
            self._judge.learn_beside(above_um - self._before[1])
        self._before = caught.tile, above_um


class _Looked(msgspec.Struct, frozen=True):
    """A picture of a sweep, and what it shows."""

    caught: Caught
    shot: Shot
    seen: Seen

    def taken(self, judged: Judged) -> Taken:
        """The tile with this picture."""
        place_um = (self.caught.x_um, self.caught.y_um)
        return Taken(self.shot, self.seen, judged, self.caught.error_um, place_um=place_um)


def _anew(
    tile: PlannedTile, why: str, scanner: Scanner, journal: Journal, writer: TileWriter
) -> Iterator[TileDone]:
    """A tile at rest, or by planes if it may lie on a fold. `why` its picture of the sweep will not do, "" for none."""
    yield from scanner.run((tile,), journal, writer, why or None, is_folded=why == FOLDED)


def _are_beside(a: PlannedTile, b: PlannedTile) -> bool:
    return abs(a.row - b.row) + abs(a.column - b.column) == 1


def _sigma_um(plays: Sequence[PlayInUse], axis: str) -> float:
    return next((play.uncertainty_um or 0.0 for play in plays if play.axis == axis), 0.0)
