"""What must not stay as it is when a measurement is broken off."""

import contextlib
from collections.abc import Callable, Iterator

from parfocal.board.errors import BoardError


@contextlib.contextmanager
def if_broken_off(restore: Callable[[], None]) -> Iterator[None]:
    """Call `restore` if the block ends early, by an error or Ctrl-C, which is then raised.

    Errors of the board during `restore` are not: what broke the block off matters more.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(BoardError):
            restore()
        raise
