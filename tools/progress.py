"""Progress of long work: a bar on a terminal, occasional lines elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import Progress

LINE_EVERY_S = 60.0


@contextlib.contextmanager
def shown_progress(
    console: Console, words: str, whole_s: float, done_s: float, now_s: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[float], None]]:
    """Show how much of `whole_s` seconds of work is done, starting at `done_s`; yields a function to update it.

    A file or a pipe gets a first line at once, then at most one line every `LINE_EVERY_S`, without control characters.
    """
    if console.is_terminal:
        with Progress(console=console) as progress:
            task = progress.add_task(words, total=whole_s, completed=int(done_s))
            yield lambda done_s: progress.update(task, completed=done_s)
        return
    told_s = -LINE_EVERY_S + now_s()

    def tell(done_s: float) -> None:
        nonlocal told_s
        if now_s() - told_s < LINE_EVERY_S:
            return
        told_s = now_s()
        console.print(
            f"{words}: {done_s / 60.0:.1f} of {whole_s / 60.0:g} min", highlight=False, soft_wrap=True
        )

    tell(done_s)
    yield tell
