"""Going on to the next tile while the picture of this one is looked at, where that saves time.

The stage goes back if the picture is not good: that costs two moves. How long pictures are looked at depends on the
computer, and how often one is not good on the slide, so both are measured as the scan goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from statistics import median
from typing import Protocol, TypeVar, runtime_checkable

from parfocal.edge.instrument import Instrument

T = TypeVar("T")

KEPT = 15  # looks and ways
KEPT_SHARE = 0.95  # of what is known of going back, by each tile that follows
FIRST_BACK_SHARE = 0.1  # of the tiles, before any is known
FIRST_BACK_SHARE_AT_FOLD = 0.5  # of those beside a fold


@runtime_checkable
class Working(Protocol):
    """A board that leaves time for something else while it moves."""

    def meanwhile(self, work: Callable[[], object]) -> AbstractContextManager[None]:
        """Call `work` again and again while a motion inside of the block goes on."""


class Ahead:
    """Decides whether the stage goes on before a picture was looked at."""

    def __init__(self, instrument: Instrument) -> None:
        """Nothing moves. On a board that cannot wait for two things the stage stays."""
        self._board, self._clock = instrument.board, instrument.clock
        self._looks_s, self._ways_s = deque[float](maxlen=KEPT), deque[float](maxlen=KEPT)
        self._back_shares = {False: FIRST_BACK_SHARE, True: FIRST_BACK_SHARE_AT_FOLD}

    def saves_time(self, is_at_fold: bool) -> bool:
        """Whether what is saved on good tiles is more than what going back costs on the others.

        `is_at_fold`: the tile lies beside one that is uneven.
        """
        if not (self._looks_s and self._ways_s and isinstance(self._board, Working)):
            return False
        # The way to the first tile is a long one.
        look_s, way_s, back_share = median(self._looks_s), median(self._ways_s), self._back_shares[is_at_fold]
        return (1.0 - back_share) * min(look_s, way_s) > back_share * 2.0 * way_s

    def seen(
        self,
        look: Callable[[], T],
        go: Callable[[], None] | None,
        has_come: Callable[[], bool] = lambda: True,
        is_at_fold: bool = False,
    ) -> T:
        """What `look` returns. Meanwhile `go` brings the stage to the next tile, if that saves time.

        `go` is None for the last tile. `has_come`: whether there is something to look at yet. `is_at_fold`: the tile
        lies beside one that is uneven. Raises what they raise, when the stage is at rest.
        """
        began_s = self._clock.now_s()
        if go is None or not self.saves_time(is_at_fold) or not isinstance(self._board, Working):
            return self._looked(look, began_s)
        found, failed = list[T](), list[Exception]()

        def once() -> None:
            if not found and not failed:
                try:
                    if has_come():
                        found.append(self._looked(look, began_s))
                except Exception as error:  # noqa: BLE001  # raised again when nothing moves
                    failed.append(error)

        with self._board.meanwhile(once):
            go()
        if failed:
            raise failed[0]
        return found[0] if found else self._looked(look, began_s)  # for a way so short that there was no time

    def moved(self, lasted_s: float) -> None:
        """Learn how long it took to a tile, s."""
        self._ways_s.append(lasted_s)

    def judged(self, is_good: bool, is_at_fold: bool) -> None:
        """Learn whether the stage may leave a tile once its picture was looked at."""
        share = KEPT_SHARE * self._back_shares[is_at_fold] + (1.0 - KEPT_SHARE) * (not is_good)
        self._back_shares[is_at_fold] = share

    def _looked(self, look: Callable[[], T], began_s: float) -> T:
        """What `look` returns, noting how long it took since `began_s`: what was waited for counts in either case."""
        found = look()
        self._looks_s.append(self._clock.now_s() - began_s)
        return found
