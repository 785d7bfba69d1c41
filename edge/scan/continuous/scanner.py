"""The continuous scan: row after row, each picture judged, and what came out blurred taken again in a second pass."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import msgspec

from parfocal.edge.calibration import PlayInUse
from parfocal.edge.config import Config
from parfocal.edge.focus.exposure import exposure_fault
from parfocal.edge.focus.shots import Shot
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.continuous.plan import SweepPlan
from parfocal.edge.scan.continuous.rows import Row, line_of, rows_of
from parfocal.edge.scan.continuous.sweep import Caught, Sweeper
from parfocal.edge.scan.tiling.heights import Heights
from parfocal.edge.scan.tiling.journal import Journal
from parfocal.edge.scan.tiling.judge import TileJudge
from parfocal.edge.scan.tiling.plan import PlannedTile
from parfocal.edge.scan.tiling.scanner import Scanner, Taken, TileDone
from parfocal.edge.scan.tiling.writer import TileWriter

MISSED = "its trigger or its frame was missed in the sweep"
DARK = "its flash was missing in the sweep"
BLURRED = "its picture of the sweep was out of focus"
SOFT = "its picture of the sweep was less sharp than its neighbours"


class ContinuousScanner:
    """Takes the tiles of a plan in sweeps, and what they leave by `Scanner`."""

    def __init__(
        self, instrument: Instrument, config: Config, plan: SweepPlan, heights: Heights, judge: TileJudge
    ) -> None:
        """Nothing moves. Raises ConfigError if board or camera cannot be triggered."""
        self._sweeper = Sweeper(instrument, config, plan)
        self._instrument, self._config, self._plan = instrument, config, plan
        self._heights, self._judge = heights, judge
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
        rows, others = rows_of(tiles[n_first:])
        left: dict[PlannedTile, str] = dict.fromkeys(others, "")
        for row in rows:
            soft = list[Caught]()
            for good in self._swept(row, scanner, left, soft):
                yield self._put(good, scanner, journal, writer)
            # Taken at rest, the first one shows whether this content has little detail; then so have others like it.
            while soft:
                yield from scanner.run((soft.pop(0).tile,), journal, writer, SOFT)
                found = [(caught, self._judged(caught, scanner)) for caught in soft]
                soft = [caught for caught, taken in found if taken == SOFT]
                for caught, taken in found:
                    if isinstance(taken, Taken):
                        yield self._put(_Good(caught.tile, taken, 0.0), scanner, journal, writer)
                    elif taken != SOFT:
                        left[caught.tile] = taken
        again = tuple(tile for tile in tiles if tile in left)
        for planned in again:
            yield from scanner.run((planned,), journal, writer, left[planned] or None)

    @staticmethod
    def _put(good: _Good, scanner: Scanner, journal: Journal, writer: TileWriter) -> TileDone:
        tile = scanner.tile(good.tile, good.taken, journal, good.elapsed_s)
        writer.put(tile, good.taken.shot.pixels)
        return TileDone(tile, good.taken.error_um)

    def _swept(
        self, row: Row, scanner: Scanner, left: dict[PlannedTile, str], soft: list[Caught]
    ) -> Iterator[_Good]:
        """The good tiles of a row.

        The others are put into `left`, each with its reason; or into `soft`, where only sharpness speaks against them.
        """
        began_s = self._instrument.clock.now_s()
        z_step_um = self._config.board.z.um_per_step
        line = line_of(row, self._height_um, self._plan.ends, self._judge.depth_um, z_step_um)
        missed = dict.fromkeys(row.tiles, MISSED)
        for caught in self._sweeper.sweep(row, line, scanner.offset):
            elapsed_s = (self._instrument.clock.now_s() - began_s) / len(row.tiles)
            del missed[caught.tile]
            found = self._judged(caught, scanner)
            if found == SOFT:
                soft.append(caught)
            elif isinstance(found, str):
                left[caught.tile] = found
            else:
                yield _Good(caught.tile, found, elapsed_s)
        left.update(missed)

    def _height_um(self, x_um: float, y_um: float) -> float:
        return self._heights.expected(x_um, y_um).z_um

    def _judged(self, caught: Caught, scanner: Scanner) -> Taken | str:
        """The tile if it is good, else why it is to be taken again. What it shows of the focus is learned."""
        if exposure_fault(caught.pixels) is not None:
            return DARK
        offset = scanner.offset
        shot = Shot(caught.z_um + offset.z_um, caught.pixels, self._config.focus)
        seen = self._judge.look(shot)
        if caught.is_falling and seen.sigma_um is not None:
            # Engaged downwards, the height is as uncertain as the play.
            sigma_um = (seen.sigma_um**2 + self._play_sigma_um**2) ** 0.5
            seen = msgspec.structs.replace(seen, sigma_um=sigma_um)
        expected = self._heights.expected(caught.x_um, caught.y_um)
        judged = self._judge.judge(seen, caught.z_um, expected)
        if judged.verdict in ("good", "predicted") and seen.distance_um is not None:
            focus_um = caught.z_um + judged.distance_um
            self._heights.learn(caught.x_um, caught.y_um, focus_um, judged.sigma_um)
        if judged.verdict not in ("good", "blank"):
            return SOFT if judged.verdict == "blurred" else BLURRED
        if judged.verdict == "good":
            self._judge.accept(seen)
        place_um = (caught.x_um, caught.y_um)
        return Taken(shot, seen, judged, self._error_um(caught), place_um=place_um)

    def _error_um(self, caught: Caught) -> float | None:
        """True height of the stage above the true focus in the flash; None on a real microscope."""
        truth_at = self._instrument.truth_at
        if truth_at is None:
            return None
        truth = truth_at(caught.x_um, caught.y_um, caught.flash_s)
        return truth.stage_z_um - truth.focus_z_um


class _Good(msgspec.Struct, frozen=True):
    """A tile that a sweep has taken well, and its share of the time of the sweep."""

    tile: PlannedTile
    taken: Taken
    elapsed_s: float


def _sigma_um(plays: Sequence[PlayInUse], axis: str) -> float:
    return next((play.uncertainty_um or 0.0 for play in plays if play.axis == axis), 0.0)
