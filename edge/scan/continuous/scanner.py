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
from parfocal.edge.scan.continuous.plan import SweepPlan
from parfocal.edge.scan.continuous.rows import Row, line_of, nearest_first, rows_of
from parfocal.edge.scan.continuous.sweep import Caught, Sweeper
from parfocal.edge.scan.tiling.heights import Expected, Heights
from parfocal.edge.scan.tiling.journal import Journal
from parfocal.edge.scan.tiling.judge import Judged, Seen, TileJudge
from parfocal.edge.scan.tiling.plan import PlannedTile
from parfocal.edge.scan.tiling.scanner import Scanner, Taken, TileDone
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
# A picture of a sweep is taken again where it is out of focus by more than this share of the depth of field. A second
# picture costs five times as much as the first; with 0.5, as at rest, twice as many are, for noise alone.
OUT_OF_FOCUS_SHARE = 0.6
MAX_SOFT = 24  # pictures that are kept until it is known whether they are blurred, 90 MB at 1224 x 1024
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
        self._play_sigma_um = _sigma_um(instrument.plays, "z")

    def run(
        self, tiles: Sequence[PlannedTile], scanner: Scanner, journal: Journal, writer: TileWriter
    ) -> Generator[TileDone, None, None]:
        """Take `tiles` and hand each to `writer`: those of a row after its sweep, others in the second pass.

        Tiles that the model needs to learn the slide are taken one by one first. Close the iterator to end between two
        tiles. The axes must be homed and the steady lamp off while nothing is exposed. Raises as `Scanner.run`, and
        CameraFailed if a sweep brings no frame.
        """
        n_first = 0
        while n_first < len(tiles) and not self._judge.is_ready:
            yield from scanner.run(tiles[n_first : n_first + 1], journal, writer)
            n_first += 1
        rows, others = rows_of(tiles[n_first:], self._plan.along)
        left: dict[PlannedTile, str] = dict.fromkeys(others, "")
        soft = list[tuple[_Looked, str]]()
        for row in rows:
            for tile, taken, elapsed_s in self._swept(row, scanner, left, soft):
                yield scanner.hand_over(tile, taken, journal, writer, elapsed_s)
            if len(soft) >= MAX_SOFT:
                yield from self._proven(soft, scanner, journal, writer, left)
                soft.clear()
        yield from self._proven(soft, scanner, journal, writer, left)
        for planned in nearest_first(left, scanner.stage_um):
            yield from scanner.run((planned,), journal, writer, left[planned] or None)

    def _swept(
        self, row: Row, scanner: Scanner, left: dict[PlannedTile, str], soft: list[tuple[_Looked, str]]
    ) -> Iterator[tuple[PlannedTile, Taken, float]]:
        """The good tiles of a row, each with its share of the time of the sweep.

        The others are put into `left`, each with its reason; or into `soft`, where only their sharpness, or that of
        their parts, speaks against them.
        """
        began_s = self._instrument.clock.now_s()
        z_step_um = self._config.board.z.um_per_step
        line = line_of(row, self._height_um, self._plan.ends, self._judge.depth_um, z_step_um)
        left.update(dict.fromkeys(row.tiles, MISSED))
        for caught in self._sweeper.sweep(row, line, scanner.offset):
            elapsed_s = (self._instrument.clock.now_s() - began_s) / len(row.tiles)
            is_faulty = exposure_fault(caught.pixels) is not None
            self._watch.seen_flash(is_faulty and caught.pixels.mean() < MIN_MEAN_LEVEL)
            if is_faulty:
                left[caught.tile] = DARK
                continue
            looked = self._looked(caught, scanner)
            del left[caught.tile]
            judged = self._sorted(looked, scanner, left, soft)
            if judged is not None:
                yield caught.tile, looked.taken(judged), elapsed_s
        if self._sweeper.n_lost:
            left.update({tile: LOST for tile in row.tiles if left.get(tile) == MISSED})

    def _proven(
        self,
        soft: list[tuple[_Looked, str]],
        scanner: Scanner,
        journal: Journal,
        writer: TileWriter,
        left: dict[PlannedTile, str],
    ) -> Iterator[TileDone]:
        """Tiles that only sharpness speaks against.

        Taken at rest, the first one shows whether this content has little detail, or much of it here and little there.
        Then so have others like it, and their pictures are good.
        """
        while soft:
            (first, reason), rest, soft = soft[0], soft[1:], list[tuple[_Looked, str]]()
            yield from scanner.run((first.caught.tile,), journal, writer, reason)
            for looked, _ in rest:
                judged = self._sorted(looked, scanner, left, soft)
                if judged is not None:
                    yield scanner.hand_over(looked.caught.tile, looked.taken(judged), journal, writer, 0.0)

    def _height_um(self, x_um: float, y_um: float) -> float:
        return self._heights.expected(x_um, y_um).z_um

    def _looked(self, caught: Caught, scanner: Scanner) -> _Looked:
        """What the picture of a tile shows."""
        shot = Shot(caught.z_um + scanner.offset.z_um, caught.pixels, self._config.focus)
        return _Looked(caught, shot, self._judge.look(shot))

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
        expected = self._heights.expected(caught.x_um, caught.y_um)
        # Engaged downwards, the height of a picture is as uncertain as the play, and so is where the focus is expected
        # from there; not so what the picture itself shows.
        play_um = self._play_sigma_um if caught.is_falling else 0.0
        expected = Expected(expected.z_um, math.hypot(expected.sigma_um, play_um))
        judged = self._judge.judge(seen, caught.z_um, expected, OUT_OF_FOCUS_SHARE)
        is_folded = judged.verdict == "good" and scanner.may_be_uneven(seen)
        if judged.verdict in ("good", "predicted") and seen.distance_um is not None and not is_folded:
            focus_um, sigma_um = caught.z_um + judged.distance_um, math.hypot(judged.sigma_um, play_um)
            self._heights.learn(caught.x_um, caught.y_um, focus_um, sigma_um)
            doubt = DOUBT if self._judge.contradicts(seen, caught.z_um, expected) else 1.0
            self._heights.learn_swept(caught.tile, focus_um, doubt * sigma_um)
        if judged.verdict == "blurred" or is_folded:
            soft.append((looked, FOLDED if is_folded else SOFT))
        elif judged.verdict not in GOOD:
            left[caught.tile] = BLURRED
        else:
            if judged.verdict == "good":
                self._judge.accept(seen)
            scanner.learn_even(seen)
            return judged
        return None


class _Looked(msgspec.Struct, frozen=True):
    """A picture of a sweep, and what it shows."""

    caught: Caught
    shot: Shot
    seen: Seen

    def taken(self, judged: Judged) -> Taken:
        """The tile with this picture."""
        place_um = (self.caught.x_um, self.caught.y_um)
        return Taken(self.shot, self.seen, judged, self.caught.error_um, place_um=place_um)


def _sigma_um(plays: Sequence[PlayInUse], axis: str) -> float:
    return next((play.uncertainty_um or 0.0 for play in plays if play.axis == axis), 0.0)
