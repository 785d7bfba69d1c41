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
from parfocal.calib.errors import CalibError
from parfocal.edge.cli.ending.crash import crash_line, crash_report, write_report
from parfocal.edge.cli.ending.exit_codes import EXIT_BUG, EXIT_USAGE, exit_code, exit_code_of_signal
from parfocal.edge.cli.ending.interrupts import Interrupts
from parfocal.edge.errors import EdgeError
from parfocal.engines.errors import EngineError

# The usage error of typer, which bundles click; earlier versions use the installed one.
_UsageError = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

_OUTPUT_FAILED = (errno.EIO, errno.ENOSPC)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def run_to_exit_code(command: Callable[[], object], arguments: Sequence[str]) -> int:
    """Run `command`, report an error on one line, and return the exit code.

    An int that `command` returns is the exit code. `arguments` go into a crash report.
    """
    with Interrupts() as interrupts:
        try:
            result = command()
            sys.stdout.flush()
            code = result if isinstance(result, int) else 0
        except BaseException as error:  # noqa: BLE001  # the last place to report an error
            code = _reported(error, arguments, is_interrupted=interrupts.first is not None)
        if interrupts.first is None:
            return code
        _print_line(f"ended by {interrupts.first.name}")
        return exit_code_of_signal(interrupts.first)


def one_line(text: str) -> str:
    """`text` on one line, with characters that are not printable as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _reported(error: BaseException, arguments: Sequence[str], is_interrupted: bool) -> int:
    """Print `error` on one line and return its exit code."""
    if isinstance(error, BoardError | CalibError | EngineError | EdgeError):
        _print_line(f"{type(error).__name__}: {error}")
        return exit_code(error)
    if isinstance(error, _UsageError):
        _print_usage_error(error)
        return EXIT_USAGE
    if isinstance(error, MemoryError):
        _print_line(
            f"OutOfMemory: {str(error) or 'no memory is left'}. Ask for less: a smaller image, camera mode or stack."
        )
        return EXIT_USAGE
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return exit_code_of_signal(signal.SIGINT)
    if isinstance(error, BrokenPipeError) or (isinstance(error, SystemExit) and error.code == 1):
        _discard_output()  # rich and typer exit with 1 if nobody reads their output
        return exit_code_of_signal(signal.SIGPIPE)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _OUTPUT_FAILED):
        _print_file_error(error, is_interrupted)
        return EXIT_USAGE
    _print_line(crash_line(error, write_report(crash_report(error, arguments))))
    return EXIT_BUG


def _print_usage_error(error: Any) -> None:  # noqa: ANN401  # typer's usage error has no public name
    # Empty if a group without a command has already shown its help.
    text = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    if text:
        _print_line(f"UsageError: {text}. See `{context.command_path if context else 'parfocal'} --help`.")


def _print_file_error(error: OSError, is_interrupted: bool) -> None:
    if error.filename is not None:
        advice = "Make room on its disk" if error.errno in _NO_ROOM else "Check the path and its permissions"
        _print_line(f"FileError: {error.filename}: {error.strerror}. {advice}.")
        return
    _discard_output()
    if not is_interrupted:  # a closed terminal takes no output
        _print_line(f"FileError: standard output: {error.strerror}.")


def _print_line(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        sys.stderr.write(f"{one_line(text)}\n")
        sys.stderr.flush()


def _discard_output() -> None:
    """Discard what is still buffered for standard output; otherwise Python complains about it at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
