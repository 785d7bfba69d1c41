"""What went wrong on a link, counted in one object that every part of the link is given."""

from __future__ import annotations

from parfocal.board.wire.packet import FrameErrors


class LinkCounters(FrameErrors):
    """Errors of a link so far. All zero on a healthy link."""

    resends: int = 0
    stale: int = 0  # requests that the board called stale
    late: int = 0  # replies that came after their request was answered or given up
    unknown: int = 0  # packets of another session, version, kind or layout
    reconnects: int = 0  # sessions opened again after the first
    silences: int = 0  # silences of host or cable, long enough that the watchdog may have fired
