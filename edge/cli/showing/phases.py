"""Progress of a command with several parts, each shown as it begins."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console

from parfocal.edge.cli.showing.progress import Step, shown_progress


@contextlib.contextmanager
def shown_phases(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Yields a function to call with the part's name, how many items of it are done, and of how many."""
    with contextlib.ExitStack() as shown:
        current: tuple[str, Step] | None = None

        def step(name: str, done: int, total: int) -> None:
            nonlocal current
            if current is None or current[0] != name:
                shown.close()
                current = name, shown.enter_context(shown_progress(console, name, total, ""))
            current[1]("" if done == total else f"{100 * done // total} %")

        yield step
