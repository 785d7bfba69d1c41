"""Progress of a training, on a terminal and in a log."""

import io

from rich.console import Console

from tools.progress import LINE_EVERY_S, shown_progress


def test_a_log_gets_a_line_at_once_and_then_one_a_minute() -> None:
    out, clock = io.StringIO(), [7.0]
    with shown_progress(Console(file=out), "training", 3600.0, 90.0, lambda: clock[0]) as tell:
        for step in range(1, 9):
            clock[0] += LINE_EVERY_S / 4.0
            tell(90.0 + LINE_EVERY_S * step / 4.0)
    assert out.getvalue().splitlines() == [f"training: {m} of 60 min" for m in ("1.5", "2.5", "3.5")]


def test_a_terminal_shows_a_bar() -> None:
    out = io.StringIO()
    with shown_progress(Console(file=out, force_terminal=True, width=80), "training", 60.0, 0.0) as tell:
        tell(30.0)
    assert "training" in out.getvalue()
    assert "50%" in out.getvalue()
