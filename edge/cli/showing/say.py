"""Sentences for people, each printed as it is."""

from rich.console import Console


def say(console: Console, line: str, style: str | None = None) -> None:
    """Print a sentence on one line, with its brackets and numbers as they are."""
    console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
