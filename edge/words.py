"""Numbers and names in sentences."""

import os
from pathlib import Path


def counted(n: int, noun: str) -> str:
    """The number and its noun: "1 field", "2 fields"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def named(path: Path) -> str:
    """A path as text that can be printed and written as JSON: names of files are bytes, and need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
