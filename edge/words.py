"""Numbers and names as text."""

import os
from pathlib import Path


def counted(n: int, noun: str) -> str:
    """The number and its noun: "1 field", "2 fields"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def sized(n_bytes: int) -> str:
    """A number of bytes in the unit that fits: "154 MB", "3.9 GB"."""
    for unit, name in ((10**12, "TB"), (10**9, "GB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.1f} {name}"
    return f"{n_bytes / 10**6:.0f} MB"


def named(path: Path) -> str:
    """A path as text that can be printed and encoded as JSON: file names are bytes, not always valid UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
