"""What a conformance run found."""

from __future__ import annotations

from typing import Literal

import msgspec

from parfocal.board.errors import BoardError

Outcome = Literal["kept", "broken", "skipped"]


class PromiseBroken(BoardError):
    """The board did not do what PROTOCOL.md says."""


class CheckedPromise(msgspec.Struct, frozen=True):
    """One promise. `why`: what was found instead, or why it was not tried; empty where it was kept."""

    promise: str
    outcome: Outcome
    why: str
    wall_s: float


class ConformanceReport(msgspec.Struct, frozen=True):
    """All promises, in the order in which they were tried."""

    unit_serial: int
    firmware_version: int
    promises: tuple[CheckedPromise, ...]

    @property
    def n_kept(self) -> int:
        """Promises that the board keeps."""
        return sum(checked.outcome == "kept" for checked in self.promises)

    @property
    def broken(self) -> tuple[CheckedPromise, ...]:
        """Promises that it does not keep."""
        return tuple(checked for checked in self.promises if checked.outcome == "broken")
