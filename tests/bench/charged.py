"""Charges the microscope's clock with what computing takes on this machine, as a real microscope would."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from parfocal.board.clock import Clock
from parfocal.edge.scan.tiling.judging.judge import TileJudge
from parfocal.edge.scan.tiling.scanner import Scanner

# What is computed for each tile, without the rendering of its picture: it is judged, watched, and handed to the writer.
CHARGED: tuple[tuple[Any, str], ...] = ((TileJudge, "look"), (Scanner, "hand_over"))


@contextlib.contextmanager
def computing_charged(clock: Clock) -> Iterator[list[float]]:
    """Inside, what is computed for a tile takes as long by `clock` as by the wall; yields these times, s."""
    taken_s = list[float]()
    with contextlib.ExitStack() as patched:
        for owner, name in CHARGED:
            done: Callable[..., Any] = getattr(owner, name)
            setattr(owner, name, _charging(done, clock, taken_s))
            patched.callback(setattr, owner, name, done)
        yield taken_s


def _charging(done: Callable[..., Any], clock: Clock, taken_s: list[float]) -> Callable[..., Any]:
    def charged(*arguments: object, **named: object) -> object:
        began_s = time.perf_counter()
        try:
            return done(*arguments, **named)
        finally:
            taken_s.append(time.perf_counter() - began_s)
            clock.sleep_s(taken_s[-1])

    return charged
