"""Notices tiles whose parts differ in sharpness, and tells whether they have a single focus."""

from __future__ import annotations

import msgspec

from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.tiling.judging.judge import Seen, TileJudge
from parfocal.edge.scan.tiling.judging.uneven_tiles import Doubt, UnevenTiles, doubt_about, spread_of
from parfocal.edge.scan.tiling.moving.going import Going
from parfocal.edge.scan.tiling.moving.light import Light
from parfocal.edge.scan.tiling.plan import PlannedTile
from parfocal.edge.scan.tiling.taken import Taken
from parfocal.edge.scan.tiling.uneven.folds import Folds


class Examining:
    """Examines tiles where their picture was taken."""

    def __init__(
        self,
        instrument: Instrument,
        judge: TileJudge,
        going: Going,
        light: Light,
        folds: Folds,
        tiles: UnevenTiles | None,
        composite: bool,
    ) -> None:
        """`tiles`: None if nothing notices uneven ones; `composite`: their all-in-focus picture is kept."""
        self._instrument, self._judge, self._going, self._light = instrument, judge, going, light
        self._folds, self._tiles, self._composite = folds, tiles, composite

    def may_be_uneven_in_sweep(self, planned: PlannedTile, seen: Seen) -> bool:
        """Whether the parts of a picture of a sweep differ in sharpness as they do where a tile has no single focus."""
        if self._tiles is None or not seen.tissue:
            return False
        return self._tiles.usual.is_unusual_in_sweep(seen.crispness_spread, planned.place_um)

    def learn_even(self, planned: PlannedTile, seen: Seen) -> None:
        """Learn how a tile looks that was taken for even."""
        if self._tiles is not None and seen.tissue:
            self._tiles.usual.learn(seen.crispness_spread, planned.place_um)

    def looks_uneven(self, planned: PlannedTile, seen: Seen) -> bool:
        """Whether the parts of a picture differ in sharpness by more than is usual on this slide."""
        if self._tiles is None or not self._tiles.usual.is_ready:
            return False
        return self._tiles.usual.is_unusual(seen.crispness_spread, planned.place_um)

    def is_due(self, planned: PlannedTile, taken: Taken) -> bool:
        """Whether a tile is to be `examined`, where its picture was taken."""
        if self._tiles is None or not taken.seen.tissue:
            return False
        spread, doubt = taken.seen.crispness_spread, self._doubt_about(taken)
        return self._tiles.may_be_uneven(spread, planned.place_um, doubt, self._going.has_gone_on)

    def by_planes(self, planned: PlannedTile) -> Taken | None:
        """A tile by planes alone; None where nothing tells between which heights, or it does not tell its focus."""
        if self._tiles is None or not self._tiles.usual.is_ready:
            return None
        return self._folds.taken(planned, self._tiles, self._composite)

    def examined(self, planned: PlannedTile, taken: Taken) -> Taken:
        """The same tile, with its focus by two shots if they show that it has one.

        If it has none: with its shape, and the picture in which most of it is near its focus. The stage may have gone
        on. Raises BoardError, CameraFailed, EngineError.
        """
        tiles, going = self._tiles, self._going
        if tiles is None or not taken.seen.tissue:
            return taken
        doubt, has_left = self._doubt_about(taken), going.has_gone_on
        spread, place_um = taken.seen.crispness_spread, planned.place_um
        passed = None
        is_like_fold = tiles.usual.is_ready and tiles.usual.is_unusual_in_sweep(spread, place_um)
        if doubt is None and is_like_fold:
            # So unusual and beside a fold it is one: two shots would only tell between which heights to look.
            passed = self._folds.passed(planned, tiles.field)
        if passed is not None:
            if passed.is_uneven:
                return taken.uneven(passed.best, passed.range_um, passed.picture if self._composite else None)
            tiles.usual.learn(spread, place_um, is_even=True)
            return taken
        if tiles.may_be_uneven(spread, place_um, doubt, has_left):
            going.be_back(planned.x_um, planned.y_um, taken.shot.z_um - going.offset.z_um)
        with self._light.exposure(self._instrument.clock.now_s()):
            shape = tiles.shape_of(taken.shot, spread, place_um, doubt, has_left)
        if shape is None:
            return taken
        if shape.verdict == "even":
            return msgspec.structs.replace(taken, above_um=shape.z_um - taken.shot.z_um)
        if shape.verdict == "not confirmed":
            return taken
        best = shape.best or taken.shot
        return taken.uneven(best, spread_of(shape), shape.picture if self._composite else None)

    def _doubt_about(self, taken: Taken) -> Doubt | None:
        """What speaks against a single focus of a tile, beside its parts."""
        # Half-way between two heights both parts are as blurred as each other, and two shots may take that for a focus.
        is_soft = taken.reason is not None and self._judge.is_blurred(taken.seen)
        is_known, depth_um = taken.judged is not None and not is_soft, self._judge.depth_um
        return doubt_about(is_known, taken.reason is None, taken.seen.spread_um, depth_um)
