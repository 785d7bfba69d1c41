"""Planes through a tile of a fold, without two shots before, between the heights that a tile beside it has shown."""

from __future__ import annotations

from parfocal.edge.focus.uneven.field import Passed
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.tiling.heights import Expected, Heights
from parfocal.edge.scan.tiling.judging.judge import TileJudge
from parfocal.edge.scan.tiling.judging.uneven_tiles import Field, UnevenTiles
from parfocal.edge.scan.tiling.moving.going import Going
from parfocal.edge.scan.tiling.moving.light import Light
from parfocal.edge.scan.tiling.plan import PlannedTile
from parfocal.edge.scan.tiling.taken import Taken

NEAR_TILES = 2  # rows and columns; farther off, a fold is another one, or as high elsewhere
_NEAR = range(-NEAR_TILES, NEAR_TILES + 1)
# The places about a tile, the nearest first, itself not.
_AROUND = sorted(
    ((row, column) for row in _NEAR for column in _NEAR if row or column),
    key=lambda place: max(map(abs, place)),
)
PLANES_SIGMA_SHARE = 0.25  # of the depth of field: how well planes tell the one focus of a tile


class Folds:
    """What uneven tiles have shown of their heights, and planes through the tiles beside them.

    In a second pass they need no picture at rest before: Z goes below them while X and Y move.
    """

    def __init__(
        self,
        instrument: Instrument,
        heights: Heights,
        judge: TileJudge,
        going: Going,
        light: Light,
    ) -> None:
        """Nothing moves."""
        self._instrument, self._heights, self._judge = instrument, heights, judge
        self._going, self._light = going, light
        # By row and column of an uneven tile, how far its lowest and highest focus lie above the surface, um.
        self._known_um = dict[tuple[int, int], tuple[float, float]]()
        self._passed = set[tuple[int, int]]()  # once is enough: then two shots must tell

    def learn(self, planned: PlannedTile, taken: Taken) -> None:
        """Learn from a tile that was taken, if it is uneven."""
        if taken.range_um is not None:
            (low_um, high_um), surface_um = taken.range_um, self._surface_um(planned)
            self._known_um[planned.row, planned.column] = low_um - surface_um, high_um - surface_um

    def is_beside(self, planned: PlannedTile) -> bool:
        """Whether one of the eight tiles around this one is uneven."""
        return any(_place_at(planned, place) in self._known_um for place in _AROUND[:8])

    def passed(self, planned: PlannedTile, field: Field) -> Passed | None:
        """What planes through a tile show; None where no neighbour told between which heights, or they show nothing.

        The stage may stand elsewhere before. Raises BoardError, CameraFailed.
        """
        known_um, place = self._nearest_um(planned), (planned.row, planned.column)
        if known_um is None or place in self._passed:
            return None
        self._passed.add(place)
        low_um, high_um = (self._surface_um(planned) + above_um for above_um in known_um)
        self._going.come(*planned.place_um, field.begin_um(low_um, high_um) - self._going.offset.z_um)
        with self._light.exposure(self._instrument.clock.now_s()):
            return field.through(low_um, high_um)

    def taken(self, planned: PlannedTile, tiles: UnevenTiles, composite: bool) -> Taken | None:
        """A tile by planes. None where no neighbour has told between which heights, or planes do not tell its focus.

        `composite`: its all-in-focus picture is kept. Raises BoardError, CameraFailed, EngineError, ScanAborted.
        """
        passed = self.passed(planned, tiles.field)
        if passed is None:
            return None
        going, offset_um = self._going, self._going.offset.z_um
        place_um, error_um = going.place_um, self._instrument.error_um()
        if passed.is_uneven:
            shot = passed.best
            if error_um is not None:
                error_um += shot.z_um - self._instrument.board.z.position_um
            seen = self._judge.look(shot, planned.place_um, planned)
            first = Taken(shot, seen, None, error_um, place_um=place_um)
            return first.uneven(shot, passed.range_um, passed.picture if composite else None)
        middle_um = sum(passed.range_um) / 2.0 - offset_um
        shot = going.take_at(*planned.place_um, middle_um)
        seen = self._judge.look(shot, planned.place_um, planned)
        expected = Expected(middle_um, PLANES_SIGMA_SHARE * self._judge.depth_um)
        judged = self._judge.judge(seen, shot.z_um - offset_um, expected)
        if judged.verdict != "good":
            return None
        tiles.usual.learn(seen.crispness_spread, planned.place_um, is_even=True)
        return Taken(shot, seen, judged, self._instrument.error_um(), place_um=going.place_um)

    def _surface_um(self, planned: PlannedTile) -> float:
        """Height of the surface, um of the stage. Where the focus is expected may lie on the fold or beside it."""
        return self._heights.surface_um(*planned.place_um) + self._going.offset.z_um

    def _nearest_um(self, planned: PlannedTile) -> tuple[float, float] | None:
        """What is known of the nearest uneven tile; None without one nearby."""
        places = (_place_at(planned, place) for place in _AROUND)
        return next((self._known_um[place] for place in places if place in self._known_um), None)


def _place_at(planned: PlannedTile, place: tuple[int, int]) -> tuple[int, int]:
    """Row and column of the tile that lies so many rows and columns from this one."""
    return planned.row + place[0], planned.column + place[1]
