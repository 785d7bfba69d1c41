"""Crash reports: what is needed to find a bug goes into a file, and the user reads one line."""

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
SAID_CHARACTERS = 300


def crash_report(error: BaseException, arguments: Sequence[str]) -> str:
    """The text of a report on `error`, which ended the command with these arguments."""
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
    """Write a report into the first of `folders` that takes it, and return its path; None where none does.

    Without `folders`: the user's folder for state (XDG_STATE_HOME), then the one for temporary files.
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
    """The one line for the user; `path` of the report, None where none could be written."""
    said = f"{type(error).__name__}: {error}"
    if len(said) > SAID_CHARACTERS:
        said = f"{said[:SAID_CHARACTERS]}..."
    kept = "no folder takes a crash report" if path is None else f"the crash report is {path}"
    return f"InternalError: {said} ({_place(error)}). This is a bug in parfocal; please report it: {kept}."


def _default_folders() -> Iterator[Path]:
    base = os.environ.get("XDG_STATE_HOME", "")
    with contextlib.suppress(RuntimeError):  # no HOME, and the user is not in the password file
        yield (Path(base) if base else Path.home() / ".local" / "state") / "parfocal"
    with contextlib.suppress(FileNotFoundError):
        yield Path(tempfile.gettempdir())


def _place(error: BaseException) -> str:
    """File and line that raised `error`."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
