"""Going on to the next tile while the picture of this one is looked at, where that saves time.

If the picture is not good, the stage is stopped on its way and goes back. That costs no more than a few times as long
as the picture takes to be read out and looked at. How often one is not good depends on the slide and on how well the
focus of a tile is known, and is learned as the scan goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from statistics import median
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from parfocal.board.errors import MoveBrokenOff
from parfocal.edge.instrument import Instrument

T = TypeVar("T")

KEPT = 15  # looks and ways
# Of the tiles that were taken so many are remembered, and those tell about another one whose focus was as uncertain.
KEPT_TILES, LIKE_TILES = 300, 30
FIRST_BACK_SHARE = 0.1  # of the tiles, before any is known
FIRST_BACK_SHARE_AT_FOLD = 0.5  # of those beside a fold
FIRST_TILES = 5  # so many tiles this counts for
# To stop, go back and come to rest takes so many times as long as the stage was on its way, at most two whole ways:
# measured by `tests.bench.scan`.
BACK_LOOKS = 4.5


@runtime_checkable
class Working(Protocol):
    """A board that leaves time for something else while it moves."""

    def meanwhile(self, work: Callable[[], bool]) -> AbstractContextManager[None]:
        """Call `work` again and again while a motion inside of the block goes on; once it is True, stop that motion.

        The motion then raises MoveBrokenOff.
        """


class _Taken(NamedTuple):
    """A tile: how uncertain its focus was, um, and whether its first picture was enough."""

    sigma_um: float
    is_good: bool


class Ahead:
    """Decides whether the stage goes on before a picture was looked at."""

    def __init__(self, instrument: Instrument) -> None:
        """Nothing moves. On a board that cannot wait for two things the stage stays."""
        self._board, self._clock = instrument.board, instrument.clock
        self._looks_s, self._ways_s = deque[float](maxlen=KEPT), deque[float](maxlen=KEPT)
        # The last one first: of two that were as uncertain it tells more.
        self._taken = {True: deque[_Taken](maxlen=KEPT_TILES), False: deque[_Taken](maxlen=KEPT_TILES)}

    def saves_time(self, sigma_um: float, is_at_fold: bool) -> bool:
        """Whether what is saved on good tiles is more than what going back costs on the others.

        `sigma_um`: how uncertain the focus of the tile was; `is_at_fold`: it lies beside one that is uneven.
        """
        if not (self._looks_s and self._ways_s and isinstance(self._board, Working)):
            return False
        # The way to the first tile is a long one.
        look_s, way_s = median(self._looks_s), median(self._ways_s)
        back_share = self._back_share(sigma_um, is_at_fold)
        return (1.0 - back_share) * min(look_s, way_s) > back_share * min(BACK_LOOKS * look_s, 2.0 * way_s)

    def seen(
        self,
        look: Callable[[], T],
        go: Callable[[], None] | None,
        has_come: Callable[[], bool] = lambda: True,
        is_good: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """What `look` returns. Meanwhile `go` brings the stage to the next tile.

        `go` is None where the stage is to stay. `has_come`: whether there is something to look at yet. `is_good`:
        whether the stage may leave a tile that looks so; else it is stopped on its way. Raises what they raise, when
        the stage is at rest.
        """
        began_s = self._clock.now_s()
        if go is None or not isinstance(self._board, Working):
            return self._looked(look, began_s)
        found, failed = list[T](), list[Exception]()

        def once() -> bool:
            """Look, if that was not done yet; whether the stage is wanted where it was."""
            if found or failed:
                return False
            try:
                if has_come():
                    found.append(self._looked(look, began_s))
                    return not is_good(found[0])
            except Exception as error:  # noqa: BLE001  # raised again when nothing moves
                failed.append(error)
            return bool(failed)

        with suppress(MoveBrokenOff), self._board.meanwhile(once):
            go()
        if failed:
            raise failed[0]
        return found[0] if found else self._looked(look, began_s)  # for a way so short that there was no time

    def moved(self, lasted_s: float) -> None:
        """Learn how long it took to a tile, s."""
        self._ways_s.append(lasted_s)

    def judged(self, is_good: bool, sigma_um: float, is_at_fold: bool) -> None:
        """Learn whether the stage may leave a tile once its picture was looked at."""
        self._taken[is_at_fold].appendleft(_Taken(sigma_um, is_good))

    def _back_share(self, sigma_um: float, is_at_fold: bool) -> float:
        """How likely the stage has to go back to a tile, by those whose focus was as uncertain."""
        like = sorted(self._taken[is_at_fold], key=lambda tile: abs(tile.sigma_um - sigma_um))
        n_back = sum(not tile.is_good for tile in like[:LIKE_TILES])
        first = FIRST_BACK_SHARE_AT_FOLD if is_at_fold else FIRST_BACK_SHARE
        return (n_back + first * FIRST_TILES) / (min(len(like), LIKE_TILES) + FIRST_TILES)

    def _looked(self, look: Callable[[], T], began_s: float) -> T:
        """What `look` returns, noting how long it took since `began_s`: what was waited for counts in either case."""
        found = look()
        self._looks_s.append(self._clock.now_s() - began_s)
        return found
