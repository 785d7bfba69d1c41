"""Finds the programs that have a port open, as far as /proc shows them to this user."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_PROC = Path("/proc")
_MASTERS = ("/dev/ptmx", "/dev/pts/ptmx")


def users_of(port: str) -> tuple[str, ...]:
    """Programs that have `port` open, each as `minicom (process 4711)`; empty when none is visible.

    The program that made a pseudo-terminal is left out: it is the board's end.
    """
    device = os.path.realpath(port)
    users = []
    for folder in sorted(_PROC.glob("[0-9]*"), key=lambda folder: int(folder.name)):
        with contextlib.suppress(OSError):  # another user's process, or it has ended
            opened = {_target_of(link) for link in (folder / "fd").iterdir()}
            is_other_end = device.startswith("/dev/pts/") and not opened.isdisjoint(_MASTERS)
            if device in opened and not is_other_end:
                users.append(f"{(folder / 'comm').read_text().strip()} (process {folder.name})")
    return tuple(users)


def _target_of(link: Path) -> str:
    with contextlib.suppress(OSError):  # closed in the meantime
        return str(link.readlink())
    return ""
