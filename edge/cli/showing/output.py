"""Results for other programs, written by `--json`."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import msgspec
from rich.console import Console

from parfocal.edge.errors import ConfigError
from parfocal.edge.whole_file import check_can_write, whole_file
from parfocal.edge.words import named

Value = TypeVar("Value")

STANDARD_OUTPUT = Path("-")
UNFINISHED = "the command is still running, or was killed"
# A growing file is rewritten each time it has grown by this share: a long run must not wear out the memory card.
GROWN_SHARE = 0.1


def console_for(json: Path | None) -> Console:
    """The console for all but the JSON: standard output, or standard error if the JSON goes to standard output."""
    return Console(stderr=json == STANDARD_OUTPUT)


def check_writable(path: Path | None, option: str = "--json") -> None:
    """Refuse a path that is not writable, before the work starts. Leaves nothing behind.

    Raises ConfigError naming the `option`.
    """
    if path is None or path == STANDARD_OUTPUT:
        return
    with naming_option(path, option):
        check_can_write(path)


def check_png(path: Path | None, option: str) -> None:
    """Refuse a name by which programs would not take the file for the PNG that it is.

    Raises ConfigError naming the `option`.
    """
    if path is not None and path.suffix.lower() != ".png":
        raise ConfigError(
            f"{option} {named(path)} does not end in .png: give such a name, a PNG file is written"
        )


def write_json(path: Path | None, value: object, option: str = "--json") -> None:
    """Write `value` as JSON to `path`; do nothing for None. Raises ConfigError naming `option` if that fails."""
    if path is not None:
        _write(path, _encoded(value), option)


class GrowingResult(Generic[Value]):
    """The result of a command that works through many items. Its file is valid JSON at any moment.

    Until the result is complete, the file has a key `incomplete` that says why. Values must encode as JSON objects.
    """

    def __init__(self, path: Path | None, option: str = "--json") -> None:
        """Write nothing yet: the result of an earlier run stays until there is one to replace it."""
        self._path, self._option = path, option
        self._n_grown, self._next_written = 0, 1
        self._made: Callable[[], Value | None] = lambda: None

    @property
    def latest(self) -> Value | None:
        """The result so far; None before there is one."""
        return self._made()

    def grown(self, value: Value) -> None:
        """Keep the result so far, and write it now and then. Raises ConfigError."""
        self.growing(lambda: value)

    def growing(self, make: Callable[[], Value]) -> None:
        """The same for a result that takes a while to make: `make` is called where it is written or shown."""
        self._made = make
        self._n_grown += 1
        if self._path not in (None, STANDARD_OUTPUT) and self._n_grown >= self._next_written:
            self._next_written = self._n_grown + max(1, math.floor(GROWN_SHARE * self._n_grown))
            self._write_incomplete(UNFINISHED)

    def done(self, value: Value) -> None:
        """Write the complete result. Raises ConfigError."""
        self._made = lambda: value
        write_json(self._path, value, self._option)

    def cut_off(self, error: BaseException) -> None:
        """Write the result so far, with the reason why the command ended early."""
        # The user must see why the command ended, not that the disk is full as well.
        with contextlib.suppress(ConfigError):
            self._write_incomplete(_reason(error))

    def _write_incomplete(self, why: str) -> None:
        latest = None if self._path is None else self.latest
        if self._path is not None and latest is not None:
            _write(self._path, _encoded({**msgspec.to_builtins(latest), "incomplete": why}), self._option)


@contextlib.contextmanager
def growing_result(
    path: Path | None, show: Callable[[Value], None], option: str = "--json"
) -> Iterator[GrowingResult[Value]]:
    """A result that is written to `path`, and shown by `show`, however the block ends.

    Raises ConfigError, naming the `option` that gave the path, if it is not writable.
    """
    result: GrowingResult[Value] = GrowingResult(path, option)
    try:
        yield result
    except BaseException as error:
        result.cut_off(error)
        raise
    finally:
        latest = result.latest
        if latest is not None:
            show(latest)


@contextlib.contextmanager
def result_file(path: Path, option: str) -> Iterator[BinaryIO]:
    """A binary file for a result, as `whole_file`. Raises ConfigError naming `option` where `path` is not writable."""
    with naming_option(path, option), whole_file(path) as file:
        yield file


@contextlib.contextmanager
def naming_option(path: Path, option: str) -> Iterator[None]:
    """Turn an OSError about `path` into a ConfigError that names the `option` it was given by."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"result cannot be written to {path}: {error.strerror or error}. Give another {option} path."
        ) from error


def _encoded(value: Any) -> bytes:  # noqa: ANN401 - whatever msgspec can encode
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _write(path: Path, data: bytes, option: str) -> None:
    if path != STANDARD_OUTPUT:
        with result_file(path, option) as file:
            file.write(data)
        return
    with naming_option(path, option):
        sys.stdout.write(data.decode())
        sys.stdout.flush()


def _reason(error: BaseException) -> str:
    """Why a command ended early, on one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return " ".join(f"{type(error).__name__}: {error}".split())
