"""The tunable lens of our own board, at the end of a link."""

from __future__ import annotations

import contextlib

from parfocal.board.errors import BoardError
from parfocal.board.link.link import Link
from parfocal.board.wire import messages


class LinkLens:
    """The current of the lens. It is set again in every new session, until `forget`."""

    name = "board"

    def __init__(self, link: Link, rating: messages.Lens) -> None:
        """`rating`: the range as the board states it."""
        self._link = link
        self.range_ma = (rating.min_ua / 1000.0, rating.max_ua / 1000.0)

    def __call__(self, current_ma: float) -> None:
        """Set the current, mA. Raises ValueError outside `range_ma`, LinkTimeout, BoardError when refused.

        The board turns it off by itself when this program falls silent, and at an emergency stop.
        """
        low_ma, high_ma = self.range_ma
        if not low_ma <= current_ma <= high_ma:
            why = (
                "this board drives no lens" if low_ma == high_ma else f"it must be {low_ma:g}..{high_ma:g} mA"
            )
            raise ValueError(f"lens current {current_ma:g} mA is invalid: {why}")
        self._link.keep(messages.SetCurrent(round(current_ma * 1000.0)))

    def temperature_c(self) -> None:
        """None: the board does not read the sensor of the lens."""
        return

    def release(self) -> None:
        """Turn the current off, and do not set it again. A board that is gone is released as well."""
        with contextlib.suppress(BoardError):
            self(0.0)
        self.forget()

    def forget(self) -> None:
        """Do not set it again in a new session."""
        self._link.forget(messages.SetCurrent)
