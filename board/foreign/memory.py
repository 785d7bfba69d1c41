"""Where the stage stood when a board without switches was last closed. The board itself cannot say."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

import msgspec

Steps = tuple[int, int, int]


class Known(msgspec.Struct, frozen=True):
    """`counts`: the board's own counters at the last close. `offsets`: position in steps minus counter."""

    counts: Steps
    offsets: Steps


class Memory(Protocol):
    """Remembers one board."""

    def load(self) -> Known | None:
        """What was remembered last, or None."""
        ...

    def save(self, known: Known | None) -> None:
        """Remember it; None forgets."""
        ...


class FileMemory:
    """A file in the user's state folder (XDG_STATE_HOME), one for each port."""

    def __init__(self, port: str) -> None:
        base = os.environ.get("XDG_STATE_HOME", "")
        folder = Path(base) if base else Path.home() / ".local" / "state"
        name = "".join(c if c.isalnum() else "-" for c in port).strip("-")
        self._path = folder / "parfocal" / f"position-{name}.json"

    def load(self) -> Known | None:
        """What was remembered last; None if the file is missing or damaged."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(self._path.read_bytes(), type=Known)
        return None

    def save(self, known: Known | None) -> None:
        """Remember it. Where the file is not writable, the position must be declared again after a restart."""
        with contextlib.suppress(OSError):
            if known is None:
                self._path.unlink(missing_ok=True)
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(".part")
            part.write_bytes(msgspec.json.encode(known))
            part.replace(self._path)


class NoFile:
    """Remembers in this process only, for simulations and tests."""

    def __init__(self) -> None:
        self._known: Known | None = None

    def load(self) -> Known | None:
        """What was remembered last, or None."""
        return self._known

    def save(self, known: Known | None) -> None:
        """Remember it."""
        self._known = known
