"""Crash reports: what helps to find a bug goes into a file; the user sees one line."""

import contextlib
import os
import platform
import shlex
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("parfocal", "numpy", "opencv-python-headless", "openvino", "msgspec", "typer")
MAX_CHARACTERS = 300


def crash_report(error: BaseException, arguments: Sequence[str]) -> str:
    """The text of a report on `error`, raised by the command with these arguments."""
    lines = [
        f"command: parfocal {shlex.join(arguments)}",
        f"time: {time.strftime('%Y-%m-%d %H:%M:%S %z')}",
        f"system: {platform.platform()}, Python {platform.python_version()}",
        *(f"{name}: {_version(name)}" for name in PACKAGES),
        "",
        "".join(traceback.format_exception(error)),
    ]
    return "\n".join(lines)


def write_report(text: str, folders: Iterable[Path] | None = None) -> Path | None:
    """Write a report to the first writable folder of `folders`; returns its path, or None if none is writable.

    Default folders: the user's state folder (XDG_STATE_HOME), then the one for temporary files.
    """
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in _default_folders() if folders is None else folders:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
            return path
    return None


def crash_line(error: BaseException, path: Path | None) -> str:
    """The line that the user sees. `path` of the report is None if it could not be written."""
    what = f"{type(error).__name__}: {error}"
    if len(what) > MAX_CHARACTERS:
        what = f"{what[:MAX_CHARACTERS]}..."
    where = "no crash report could be written" if path is None else f"the crash report is {path}"
    return f"InternalError: {what} ({_place(error)}). This is a bug in parfocal; please report it: {where}."


def _default_folders() -> Iterator[Path]:
    base = os.environ.get("XDG_STATE_HOME", "")
    with contextlib.suppress(RuntimeError):  # no HOME, and no entry in the password file
        yield (Path(base) if base else Path.home() / ".local" / "state") / "parfocal"
    with contextlib.suppress(FileNotFoundError):
        yield Path(tempfile.gettempdir())


def _place(error: BaseException) -> str:
    """File and line where `error` was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
