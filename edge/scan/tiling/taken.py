"""A tile that was taken: its picture, and what is known of it."""

from __future__ import annotations

import msgspec

from parfocal.edge.focus.shots import Shot
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiles import ScannedTile
from parfocal.edge.scan.tiling.judging.judge import Judged, Seen

UNEVEN = "uneven: its focus"


class TileDone(msgspec.Struct, frozen=True):
    """A tile that was taken, and what only a simulation knows: how far it is out of focus, um."""

    tile: ScannedTile
    error_um: float | None = None


class Taken(msgspec.Struct, frozen=True):
    """A picture of a tile, and what is known of it.

    `judged` is None for a tile whose focus was not found. `place_um`: where its middle lies on the slide, None for
    where the stage stands now. `above_um`: how far above the picture the focus is by two shots, None where only single
    ones were taken. `range_um`: the lowest and the highest focus of an uneven tile, and `composite` its all-in-focus
    picture, where one is to be kept.
    """

    shot: Shot
    seen: Seen
    judged: Judged | None
    error_um: float | None
    reason: str | None = None
    retaken: int = 0
    place_um: tuple[float, float] | None = None
    above_um: float | None = None
    range_um: tuple[float, float] | None = None
    composite: UInt8Array | None = None

    def uneven(self, best: Shot, range_um: tuple[float, float], composite: UInt8Array | None) -> Taken:
        """The same tile, whose focus lies between these heights, kept as `best` shows it or as a composite."""
        uneven = f"{UNEVEN} lies {range_um[1] - range_um[0]:.1f} um apart"
        return msgspec.structs.replace(
            self,
            shot=best,
            judged=None,
            error_um=None if self.error_um is None else self.error_um + best.z_um - self.shot.z_um,
            reason=uneven if self.reason is None else f"{self.reason}; {uneven}",
            range_um=range_um,
            composite=composite,
        )

    @property
    def pixels(self) -> UInt8Array:
        """The picture to keep, RGB uint8 (h, w, 3)."""
        return self.shot.pixels if self.composite is None else self.composite
