"""How a command ends: at most one line on standard error and an exit code, whatever happened."""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer

from parfocal.board.errors import BoardError
from parfocal.edge.cli.ending.crash import crash_line, crash_report, write_report
from parfocal.edge.cli.ending.exit_codes import EXIT_BUG, EXIT_USAGE, exit_code, exit_code_of_signal
from parfocal.edge.cli.ending.interrupts import Interrupts
from parfocal.edge.errors import EdgeError
from parfocal.engines.errors import EngineError

# Usage errors of typer, which carries a click of its own, and in earlier versions takes the one that is installed.
_UsageError = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

_OUTPUT_FAILED = (errno.EIO, errno.ENOSPC)


def run_to_exit_code(command: Callable[[], object], arguments: Sequence[str]) -> int:
    """Run `command`, which has read `arguments`; tell in one line what ended it, and return the exit code.

    A number that it returns is its exit code.
    """
    with Interrupts() as interrupts:
        try:
            result = command()
            sys.stdout.flush()
            code = result if isinstance(result, int) else 0
        except BaseException as error:  # noqa: BLE001  # the last place where an error can be told
            code = _told(error, arguments, is_interrupted=interrupts.first is not None)
        if interrupts.first is None:
            return code
        _tell(f"ended by {interrupts.first.name}")
        return exit_code_of_signal(interrupts.first)


def one_line(text: str) -> str:
    """`text` on one line: what a terminal would not print as a character is written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _told(error: BaseException, arguments: Sequence[str], is_interrupted: bool) -> int:
    """Tell `error` and return its exit code."""
    if isinstance(error, BoardError | EngineError | EdgeError):
        _tell(f"{type(error).__name__}: {error}")
        return exit_code(error)
    if isinstance(error, _UsageError):
        _tell_usage(error)
        return EXIT_USAGE
    if isinstance(error, MemoryError):
        _tell(
            f"OutOfMemory: {str(error) or 'no memory is left'}. Ask for less: a smaller image, camera mode or stack."
        )
        return EXIT_USAGE
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return exit_code_of_signal(signal.SIGINT)
    if isinstance(error, BrokenPipeError) or (isinstance(error, SystemExit) and error.code == 1):
        _leave_the_pipe()  # rich and typer end with 1 where nobody reads
        return exit_code_of_signal(signal.SIGPIPE)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _OUTPUT_FAILED):
        _tell_file(error, is_interrupted)
        return EXIT_USAGE
    _tell(crash_line(error, write_report(crash_report(error, arguments))))
    return EXIT_BUG


def _tell_usage(error: Any) -> None:  # noqa: ANN401  # typer's, which has no public name
    # Empty where a group without a command has shown its help already.
    said = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    if said:
        _tell(f"UsageError: {said}. See `{context.command_path if context else 'parfocal'} --help`.")


def _tell_file(error: OSError, is_interrupted: bool) -> None:
    if error.filename is not None:
        _tell(
            f"FileError: {error.filename}: {error.strerror}. Check the path, and what this user may do there."
        )
        return
    _leave_the_pipe()
    if not is_interrupted:  # a terminal that was closed takes no more output
        _tell(f"FileError: standard output: {error.strerror}.")


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        sys.stderr.write(f"{one_line(text)}\n")
        sys.stderr.flush()


def _leave_the_pipe() -> None:
    """Let what is still to be written to standard output vanish, or Python complains of it as it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
