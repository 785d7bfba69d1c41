"""However a command ends, it prints at most one line and has an exit code."""

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from parfocal.board.errors import BadPort, BoardNotFound
from parfocal.edge.cli.ending.crash import MAX_CHARACTERS, crash_line, write_report
from parfocal.edge.cli.ending.end import one_line, run_to_exit_code
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.result import FocusLost
from parfocal.engines.errors import EngineStale

pytestmark = pytest.mark.usefixtures("signals")


def failing(error: BaseException) -> Callable[[], object]:
    def command() -> object:
        raise error

    return command


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where crash reports go."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "parfocal"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (BoardNotFound("No board."), 3, "BoardNotFound: No board.\n"),
        (EngineStale("Build it."), 4, "EngineStale: Build it.\n"),
        (ConfigError("Two\nlines"), 2, "ConfigError: Two\\nlines\n"),
        (FocusLost("Nothing."), 6, "FocusLost: Nothing.\n"),
        (typer.BadParameter("three\nfields"), 2, "UsageError: Invalid value: three fields. See `parfocal --help`.\n"),
        (MemoryError("2 GiB"), 2, "OutOfMemory: 2 GiB. Ask for less: a smaller image, camera mode or stack.\n"),
        (
            PermissionError(13, "Permission denied", "/root/x"),
            2,
            "FileError: /root/x: Permission denied. Check the path and its permissions.\n",
        ),
        (
            OSError(28, "No space left on device", "/x/y"),
            2,
            "FileError: /x/y: No space left on device. Make room on its disk.\n",
        ),
        (OSError(28, "No space left on device"), 2, "FileError: standard output: No space left on device.\n"),
        (BrokenPipeError(), 141, ""),
        (SystemExit(1), 141, ""),
        (SystemExit(0), 0, ""),
        (KeyboardInterrupt(), 130, ""),
        (typer.Abort(), 130, ""),
    ],
)  # fmt: skip
def test_every_error_gives_at_most_one_line_and_its_exit_code(
    capfd: pytest.CaptureFixture[str], state: Path, error: BaseException, code: int, told: str
) -> None:
    assert run_to_exit_code(failing(error), ["status"]) == code
    assert capfd.readouterr().err == told
    assert not state.exists()


@pytest.mark.parametrize(("result", "code"), [(None, 0), (3, 3)])
def test_the_returned_value_is_the_exit_code(result: object, code: int) -> None:
    assert run_to_exit_code(lambda: result, []) == code


def test_a_bug_gives_one_line_and_a_report_with_traceback_and_command_line(
    capfd: pytest.CaptureFixture[str], state: Path
) -> None:
    def nan_steps() -> object:
        return round(float("nan"))

    assert run_to_exit_code(nan_steps, ["move", "z", "a b"]) == 1
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith("InternalError: ValueError: cannot convert float NaN to integer (test_end.py:")
    (path,) = state.iterdir()
    assert str(path) in told
    report = path.read_text()
    assert "command: parfocal move z 'a b'" in report
    assert "in nan_steps" in report
    assert "\nnumpy: " in report


def test_without_a_home_the_report_goes_to_the_temporary_folder(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert run_to_exit_code(failing(ZeroDivisionError("x")), []) == 1
    assert str(tmp_path / "crash-") in capfd.readouterr().err


def test_without_a_writable_folder_the_line_still_says_where_it_happened(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    assert write_report("text", [taken, taken / "under"]) is None
    try:
        raise ValueError("x" * 2 * MAX_CHARACTERS)
    except ValueError as error:
        told = crash_line(error, None)
    assert "no crash report could be written" in told
    assert "test_end.py:" in told
    assert len(told) < MAX_CHARACTERS + 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_after_its_clean_up_with_128_plus_its_number(
    capfd: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    cleaned: list[str] = []

    def command() -> object:
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), signal.SIGINT)  # a second Ctrl-C
            cleaned.append("stage stopped")
            cleaned.append("lamp off")
        return 0

    assert run_to_exit_code(command, ["focus"]) == 128 + number
    assert cleaned == ["stage stopped", "lamp off"]
    assert capfd.readouterr().err == f"ended by {number.name}\n"


def test_an_error_during_clean_up_is_printed_and_the_signal_decides_the_exit_code(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def command() -> object:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise BoardNotFound("It is gone.")

    assert run_to_exit_code(command, ["focus"]) == 143
    assert capfd.readouterr().err == "BoardNotFound: It is gone.\nended by SIGTERM\n"


def test_a_closed_terminal_is_not_a_bug(state: Path) -> None:
    def command() -> object:
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        finally:
            raise OSError(5, "Input/output error")

    assert run_to_exit_code(command, ["focus"]) == 129
    assert not state.exists()


def test_a_line_holds_only_printable_characters() -> None:
    assert one_line("a\nb\x1b[2J\udcff µm") == "a\\nb\\x1b[2J\\udcff µm"


def test_an_invalid_port_name_is_a_usage_error() -> None:
    assert run_to_exit_code(failing(BadPort("port 'usb:1' asked")), ["status"]) == 2
