"""Which tiles of a scan its master shows: a scan may go on, and tiles may be taken again, after it was stitched."""

from pathlib import Path

import msgspec

from parfocal.edge.errors import EdgeError
from parfocal.edge.images.ome_zarr import Master, MasterUnreadable
from parfocal.edge.scan.tiles import Scan, ScannedTile, ScanUnreadable, read_scan
from parfocal.edge.slide.master import MasterReport, read_stitch
from parfocal.edge.stitch.stitching import StitchReport
from parfocal.edge.words import counted, named


class MasterOutdated(EdgeError):
    """The scan has gone on since its master was made. `parfocal stitch` makes it anew."""


class Held(msgspec.Struct, frozen=True):
    """What a master holds, beside the scan as it is now.

    `tiles` are all tiles in the master. Of the `finished` tiles of the scan, `newer` are not in the master, and `again`
    were taken again since. `planned`: all tiles of the plan.
    """

    tiles: int
    finished: int
    newer: int
    again: int
    planned: int

    @property
    def current(self) -> int:
        """How many tiles of the scan the master shows as they are now."""
        return self.finished - self.newer - self.again

    @property
    def is_outdated(self) -> bool:
        """Whether a new master would show more, or show it otherwise."""
        return self.newer > 0 or self.again > 0

    @property
    def since(self) -> str:
        """What came after the master was made."""
        parts = [(self.newer, "newer"), (self.again, "taken again since")]
        return ", ".join(f"{n} {what}" for n, what in parts if n)


class _Told(msgspec.Struct, frozen=True):
    """A tile as the attributes of a master name it. An older master has no `digest`."""

    row: int
    column: int
    x_um: float
    y_um: float
    z_um: float
    focus_um: float | None
    focus_sigma_um: float | None
    digest: str = ""

    def shows(self, tile: ScannedTile) -> bool:
        """Whether it is this very picture of the tile."""
        told = (self.x_um, self.y_um, self.z_um, self.focus_um, self.focus_sigma_um)
        return self.digest in ("", tile.digest) and told == (
            tile.x_um,
            tile.y_um,
            tile.z_um,
            tile.focus_um,
            tile.focus_sigma_um,
        )


def held_of(master: Master, scan: Scan) -> Held | None:
    """What `master` holds of `scan`; None where it does not name its tiles, as one of another program."""
    try:
        told = msgspec.convert(master.details["tiles"], tuple[_Told, ...])
    except (LookupError, TypeError, msgspec.ValidationError):
        return None
    by_place = {(each.row, each.column): each for each in told}
    there = [(by_place.get((tile.row, tile.column)), tile) for tile in scan.tiles]
    return Held(
        tiles=len(told),
        finished=len(there),
        newer=sum(each is None for each, _ in there),
        again=sum(each is not None and not each.shows(tile) for each, tile in there),
        planned=len(scan.about.planned),
    )


def check_current(master: Master, slide: Path) -> Held | None:
    """What the master of `slide` holds; None where there is no scan to compare it with, as in a copy without tiles.

    Raises MasterOutdated where the scan has gone on since.
    """
    try:
        held = held_of(master, read_scan(slide))
    except ScanUnreadable:  # then the master is all that is left
        return None
    if held is not None and held.is_outdated:
        raise MasterOutdated(
            f"the master of {named(slide)} is older than its scan: it holds {counted(held.tiles, 'tile')}, the scan "
            f"has {held.finished} ({held.since}). Run `parfocal stitch {named(slide)}` again."
        )
    return held


def stitch_of(scan: Scan) -> tuple[MasterReport | None, Held | None]:
    """How the master of a scan was made and what it holds, each None if that is not known."""
    try:
        master = Master(scan.folder)
        stitch = msgspec.convert(master.details.get("stitch"), StitchReport)
    except (MasterUnreadable, msgspec.ValidationError):
        return None, None
    report = read_stitch(scan.folder)
    # A command that was killed between both leaves the report of the master before.
    return (report if report is not None and report.stitch == stitch else None), held_of(master, scan)
