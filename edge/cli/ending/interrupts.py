"""SIGTERM and SIGHUP end a command like Ctrl-C: the stage stops and the lamp goes off."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# A second Ctrl-C must not interrupt the clean-up that stops the stage and turns the lamp off. After this time signals
# count again: clean-up may be waiting for a board that is gone, whose own watchdog has turned the lamp off.
CLEAN_UP_S = 5.0


class Interrupts:
    """A context in which these signals raise KeyboardInterrupt in the main thread.

    Another signal within `CLEAN_UP_S` of wall time does nothing. Signals that are ignored stay ignored (`nohup`, or
    `&` in a script). `first` is the first signal that arrived, None if none did.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """`now_s`: wall time, s."""
        self.first: signal.Signals | None = None
        self._now_s = now_s
        self._ignore_until_s = float("-inf")
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:  # noqa: PYI034  # Self needs Python 3.11
        """Install the handlers."""
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the handlers; after an interrupt, ignore the signals, since the process is about to end."""
        for number, handler in self._before.items():
            signal.signal(number, handler if self.first is None else signal.SIG_IGN)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        now_s = self._now_s()
        if now_s < self._ignore_until_s:
            return
        self._ignore_until_s = now_s + CLEAN_UP_S
        self.first = self.first or signal.Signals(number)
        raise KeyboardInterrupt
