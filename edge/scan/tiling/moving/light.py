"""The light of a scan."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from parfocal.edge.instrument import Instrument


class Light:
    """The lamp: on for the whole scan, or only from just before an exposure until just after it."""

    def __init__(self, instrument: Instrument, duty: float, only_exposed: bool) -> None:
        """`only_exposed`: dark while nothing is exposed. A board without a lamp leaves the light to the user."""
        self._instrument, self._duty = instrument, duty
        self._switched = only_exposed and instrument.board.capabilities.has_lamp

    @contextlib.contextmanager
    def scan(self) -> Iterator[None]:
        """The light of a whole scan; off at its end. Raises BoardError."""
        with self._instrument.lit(0.0 if self._switched else self._duty):
            yield

    @contextlib.contextmanager
    def exposure(self, settled_s: float) -> Iterator[float]:
        """The light of exposures from `settled_s` on. Yields the time from which they are lit, s. Raises BoardError."""
        if not self._switched:
            yield settled_s
            return
        clock = self._instrument.clock
        clock.sleep_s(settled_s - clock.now_s())
        try:
            self._instrument.shine(self._duty)
            yield clock.now_s()
        finally:
            self._instrument.board.lamp(0.0)

    @contextlib.contextmanager
    def dark(self) -> Iterator[None]:
        """Dark inside of `exposure`, for flashes, and lit again however the block ends. Raises BoardError."""
        try:
            self._instrument.board.lamp(0.0)
            yield
        finally:
            self._instrument.shine(self._duty)
