"""Progress of a long command, on a terminal and in a pipe."""

import io

from rich.console import Console

from parfocal.edge.cli.showing.progress import LINE_EVERY_S, shown_progress


class Wall:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.s = 50.0

    def now_s(self) -> float:
        return self.s


def test_a_pipe_gets_a_line_now_and_then() -> None:
    out, wall = io.StringIO(), Wall()
    with shown_progress(Console(file=out), "focusing", 25, "first sweep", wall.now_s) as step:
        for number in range(1, 26):
            wall.s += LINE_EVERY_S / 4.0
            step(f"focused at [{number}] um")
    lines = out.getvalue().splitlines()
    assert lines == [f"focusing: {n} of 25, focused at [{n}] um" for n in (4, 8, 12, 16, 20, 24)]


def test_a_short_command_prints_no_progress_to_a_pipe() -> None:
    out = io.StringIO()
    with shown_progress(Console(file=out), "recording", 2, "first sweep", Wall().now_s) as step:
        step("one")
        step("two")
    assert out.getvalue() == ""


def test_a_terminal_shows_a_bar_that_disappears_and_restores_the_cursor() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with shown_progress(console, "focusing", 2, "first sweep") as step:
        step("[field] focused at 2500.0 um")
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert "[field] focused at 2500.0 um" in out.getvalue()
    assert "1/2" in out.getvalue()
    assert out.getvalue().rindex(shown) > out.getvalue().rindex(hidden)
