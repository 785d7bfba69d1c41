"""A run that is paused by a signal between two frames, and goes on by the same signal."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any

LOOK_S = 0.1

# Windows has no such signal: runs are not paused there.
NUMBER: signal.Signals | None = getattr(signal, "SIGUSR1", None)


class Pause:
    """A context in which SIGUSR1 pauses a run, and lets it go on."""

    def __init__(self, sleep_s: Callable[[float], None] = time.sleep) -> None:
        """`sleep_s`: of wall time."""
        self._paused = threading.Event()
        self._sleep_s = sleep_s
        self._before: Any = None

    def wait(self, dark: Callable[[], AbstractContextManager[None]]) -> bool:
        """While paused, wait inside of `dark`; return whether there was a pause. Call it between two frames."""
        if not self._paused.is_set():
            return False
        with dark():
            while self._paused.is_set():
                self._sleep_s(LOOK_S)
        return True

    def __enter__(self) -> Pause:  # noqa: PYI034  # Self needs Python 3.11
        """Install the handler."""
        if NUMBER is not None:
            self._before = signal.signal(NUMBER, self._toggle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the handler."""
        if NUMBER is not None:
            signal.signal(NUMBER, self._before)

    def _toggle(self, _number: int, _frame: FrameType | None) -> None:
        if self._paused.is_set():
            self._paused.clear()
        else:
            self._paused.set()
