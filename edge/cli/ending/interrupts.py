"""Signals that end a command: SIGTERM and SIGHUP end it as Ctrl-C does, with the stage stopped and the lamp off."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# What an impatient hand repeats while the stage is stopped and the lamp turned off must not cut that short. Later
# ones count again: clean-up may be waiting for a board that is gone, whose own watchdog has turned the lamp off.
CLEAN_UP_S = 5.0


class Interrupts:
    """While it is entered, a signal that ends a command raises KeyboardInterrupt in the main thread.

    Another one within `CLEAN_UP_S` of wall time does nothing. A signal that is ignored stays so (`nohup`, or `&` in
    a script).
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """`now_s`: wall time, s."""
        self.first: signal.Signals | None = None
        self._now_s = now_s
        self._deaf_until_s = float("-inf")
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:  # noqa: PYI034  # Self needs Python 3.11
        """Take the signals over."""
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give them back; after an interrupt they are ignored from here on, as the process is about to end."""
        for number, handler in self._before.items():
            signal.signal(number, handler if self.first is None else signal.SIG_IGN)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        now_s = self._now_s()
        if now_s < self._deaf_until_s:
            return
        self._deaf_until_s = now_s + CLEAN_UP_S
        self.first = self.first or signal.Signals(number)
        raise KeyboardInterrupt
