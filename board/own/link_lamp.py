"""The lamp of our own board, at the end of a link."""

from __future__ import annotations

from parfocal.board.link.link import Link
from parfocal.board.wire import messages

_MAX_DUTY = 10000  # of the wire, where duty is in 1/10000


class LinkLamp:
    """The lamp at the end of a link. It is lit again in every new session, until `forget`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.duty = 0.0  # as asked for last

    def __call__(self, duty: float, on_time_s: float | None = None) -> None:
        """Set the lamp to `duty`, 0 (dark) to 1. Raises ValueError, LinkTimeout, BoardError when refused.

        `on_time_s`: the board darkens it by itself after this time, 0.001 to 600 s.
        """
        if not 0.0 <= duty <= 1.0:
            raise ValueError(f"lamp duty {duty} is invalid: it must be 0..1")
        self.duty = duty
        if on_time_s is None:
            self._link.keep(messages.Lamp(round(duty * _MAX_DUTY)))
            return
        if not 0.001 <= on_time_s <= 600.0:
            raise ValueError(f"lamp on-time {on_time_s} s is invalid: it must be 0.001..600 s")
        self._link.keep(messages.Lamp(0))
        self._link.request(messages.Lamp(round(duty * _MAX_DUTY), round(on_time_s * 1000)), messages.Ack)

    def forget(self) -> None:
        """Do not light it again in a new session."""
        self.duty = 0.0
        self._link.forget(messages.Lamp)
