"""Results for other programs: what is behind `--json`."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from rich.console import Console

from parfocal.edge.errors import ConfigError
from parfocal.edge.whole_file import check_can_write, whole_file

Value = TypeVar("Value")

STANDARD_OUTPUT = Path("-")
UNFINISHED = "the command is still running, or was killed"
# A growing file is written again when it has grown by this share: a long run does not wear out its card.
GROWN_SHARE = 0.1


def console_for(json: Path | None) -> Console:
    """Where everything but the JSON goes: standard output, or standard error where the JSON has that for itself."""
    return Console(stderr=json == STANDARD_OUTPUT)


def check_writable(path: Path | None, option: str = "--json") -> None:
    """Refuse a path that cannot be written, before the work whose result it is to hold; nothing is left of the try.

    Raises ConfigError naming the ``option``.
    """
    if path is None or path == STANDARD_OUTPUT:
        return
    try:
        check_can_write(path)
    except OSError as error:
        raise not_written(path, error, option) from error


def write_json(path: Path | None, value: object) -> None:
    """Write ``value`` where ``--json`` says; nothing for None. Raises ConfigError where it cannot be written."""
    if path is not None:
        _write(path, _encoded(value))


class GrowingResult(Generic[Value]):
    """The result of a command that works through many things; the file behind ``--json`` is whole at any moment.

    Until it is done, it has a key `incomplete` that says why. Values must become JSON objects.
    """

    def __init__(self, path: Path | None) -> None:
        """Nothing is written yet; what an earlier run left stays until there is something in its place."""
        self._path = path
        self._n_grown, self._next_written = 0, 1
        self.latest: Value | None = None

    def grown(self, value: Value) -> None:
        """Take note of what there is so far. Raises ConfigError."""
        self.latest = value
        self._n_grown += 1
        if self._path not in (None, STANDARD_OUTPUT) and self._n_grown >= self._next_written:
            self._next_written = self._n_grown + max(1, math.floor(GROWN_SHARE * self._n_grown))
            self._write_incomplete(UNFINISHED)

    def done(self, value: Value) -> None:
        """The whole result. Raises ConfigError."""
        self.latest = value
        write_json(self._path, value)

    def cut_off(self, error: BaseException) -> None:
        """What there is when the command ends early, and why it did."""
        # Why the command ended is told to the user; that the disk is full as well would hide it.
        with contextlib.suppress(ConfigError):
            self._write_incomplete(_reason(error))

    def _write_incomplete(self, why: str) -> None:
        if self._path is not None and self.latest is not None:
            _write(self._path, _encoded({**msgspec.to_builtins(self.latest), "incomplete": why}))


@contextlib.contextmanager
def growing_result(path: Path | None, show: Callable[[Value], None]) -> Iterator[GrowingResult[Value]]:
    """A result that is kept, and shown by ``show``, however the block ends.

    Raises ConfigError where it cannot be written.
    """
    result: GrowingResult[Value] = GrowingResult(path)
    try:
        yield result
    except BaseException as error:
        result.cut_off(error)
        raise
    finally:
        if result.latest is not None:
            show(result.latest)


def not_written(path: Path, error: OSError, option: str) -> ConfigError:
    """The error about a result that has no place."""
    return ConfigError(
        f"result cannot be written to {path}: {error.strerror or error}. Give another {option} path."
    )


def _encoded(value: Any) -> bytes:  # noqa: ANN401 - whatever msgspec can encode
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _write(path: Path, data: bytes) -> None:
    try:
        if path == STANDARD_OUTPUT:
            sys.stdout.write(data.decode())
            sys.stdout.flush()
            return
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise not_written(path, error, "--json") from error


def _reason(error: BaseException) -> str:
    """In one line, why a command ended early."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return " ".join(f"{type(error).__name__}: {error}".split())
