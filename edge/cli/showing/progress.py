"""Progress of a long command: a bar on a terminal, otherwise a line now and then."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from parfocal.edge.cli.showing.say import say

LINE_EVERY_S = 10.0

Step = Callable[[str], None]


@contextlib.contextmanager
def shown_progress(
    console: Console, verb: str, total: int, first: str, now_s: Callable[[], float] = time.monotonic
) -> Iterator[Step]:
    """Show how many of `total` items are done. Yields a function to call after each, with a few words about it.

    `verb` names the work ("focusing"), `first` what happens before the first item ("first sweep"). In a file or pipe
    there is a line at most every `LINE_EVERY_S` of wall time `now_s`.
    """
    if console.is_terminal:
        with _bar(console, verb, total, first) as step:
            yield step
    else:
        yield _lines(console, verb, total, now_s)


@contextlib.contextmanager
def _bar(console: Console, verb: str, total: int, first: str) -> Iterator[Step]:
    columns = (
        TextColumn(verb),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(first, total=total)
        yield lambda words: progress.update(task, advance=1, description=words)


def _lines(console: Console, verb: str, total: int, now_s: Callable[[], float]) -> Step:
    done, printed_s = 0, now_s()

    def step(words: str) -> None:
        nonlocal done, printed_s
        done += 1
        if now_s() - printed_s < LINE_EVERY_S:
            return
        printed_s = now_s()
        say(console, f"{verb}: {done} of {total}, {words}")

    return step
