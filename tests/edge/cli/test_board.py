"""`parfocal board test` and `flash`: what is asked, what is said, and the exit code of a board."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.conformance.report import CheckedPromise, ConformanceReport
from parfocal.board.flash.drive import BootDrive
from parfocal.board.flash.flash import Flashed
from parfocal.board.flash.image import serial_of
from parfocal.board.link.ports import UsbPort
from parfocal.board.link.probe import Probed
from parfocal.board.stub.virtual_bench import VirtualBench, VirtualTransport
from parfocal.board.wire.messages import AxisBit, Fault
from parfocal.edge.cli import board
from tests.edge.cli.typed import Run


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> VirtualBench:
    """A stub at the port `tmp_path / "board"`. In virtual time a loaded machine makes no answer late."""
    bench = VirtualBench()

    def opened(config: BoardConfig) -> VirtualTransport:
        assert config.port == str(tmp_path / "board")
        return bench.open_transport()

    monkeypatch.setattr(board, "open_port", opened)
    monkeypatch.setattr(board, "MonotonicClock", lambda: bench.clock)
    return bench


def test_a_stub_keeps_every_promise_that_needs_no_motion(
    run: Run, bench: VirtualBench, tmp_path: Path
) -> None:
    json = tmp_path / "found.json"
    code, printed, error = run("board", "test", "--port", tmp_path / "board", "--still", "--json", json)
    assert (code, error) == (0, "")
    assert bench.stub.machine.motions_begun == 0
    report = msgspec.json.decode(json.read_bytes(), type=ConformanceReport)
    assert report.broken == ()
    assert report.n_kept == 21
    assert {f.why for f in report.promises if f.outcome == "skipped"} == {
        "it moves, and that was not allowed",
        "not asked for",
    }
    assert "21 of 21 promises kept, 15 skipped" in printed
    assert printed.count("kept    ") == 21


def test_without_a_terminal_to_ask_at_nothing_moves(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[bool] = []

    def fake(_open: Any, _clock: Any, question: Any, _seen: Any) -> ConformanceReport:  # noqa: ANN401
        asked.append(question.may_move())
        return ConformanceReport(1, 1, ())

    monkeypatch.setattr(board, "run_conformance", fake)
    code, printed, _ = run("board", "test", "--port", tmp_path)
    assert (code, asked) == (0, [False])
    assert "Take the slide away" in " ".join(printed.split())
    run("board", "test", "--port", tmp_path, "--yes")
    assert asked == [False, True]


def test_a_broken_promise_ends_with_the_exit_code_of_a_board(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = ConformanceReport(
        7,
        3,
        (
            CheckedPromise("It stops.", "broken", "it went on", 0.1),
            CheckedPromise("It homes.", "kept", "", 0.1),
        ),
    )
    monkeypatch.setattr(board, "run_conformance", lambda *_: report)
    code, printed, error = run("board", "test", "--port", "nowhere")
    assert code == 3
    assert "1 of 2 promises broken, the first: It stops. it went on. See board/PROTOCOL.md." in error
    assert "board 7, firmware 3: 1 of 2 promises kept, 0 skipped" in printed


def test_a_board_of_another_kind_is_not_tried(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    config.write_text('[board]\nkind = "grbl"\n')
    code, _, error = run("board", "test", "--config", config)
    assert code == 2
    assert "board test tries boards of our own protocol, and board.kind is 'grbl'" in error
    code, _, error = run("stub", "--firmware", "--config", config)
    assert code == 2
    assert "--firmware is that of our own board, and board.kind is 'grbl'" in error
    code, _, error = run("board", "test", "--still", "--yes", "--port", "nowhere")
    assert code == 2
    assert "--still moves nothing" in error


def test_flash_says_what_it_found_wrote_and_got_and_what_comes_next(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written: list[tuple[Path, int | None]] = []

    def fake(drive: BootDrive, data: bytes, _bench: object) -> Flashed:
        written.append((drive.path, serial_of(data)))
        board = Probed(1, 1, 9, AxisBit(7), AxisBit(0), Fault(0))
        return Flashed(UsbPort("/dev/ttyACM0", 0x1209, 1, "00000009", "", ""), board)

    monkeypatch.setattr(board, "flash", fake)
    (tmp_path / "INFO_UF2.TXT").write_text("Model: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n")
    code, printed, error = run("board", "flash", "--drive", tmp_path, "--serial", "9")
    assert (code, error, written) == (0, "", [(tmp_path, 9)])
    said = " ".join(printed.split())
    assert "found Raspberry Pi RP2 (RPI-RP2) at" in said
    assert "writing parfocal-rp2040.uf2, serial number 9, " in said
    assert "board 9, firmware 1 answers at /dev/ttyACM0 (usb:1209:0001:00000009)" in said
    assert "next: parfocal board test --port usb:1209:0001:00000009" in said


@pytest.mark.parametrize("serial", ["-4", "0", "4294967296"])
def test_a_serial_number_that_no_board_has_is_a_usage_error_with_the_range(run: Run, serial: str) -> None:
    code, _, error = run("board", "flash", "--serial", serial)
    assert (code, "1 to 4294967295" in error, error.count("\n")) == (2, True, 1)


def test_flash_writes_nothing_for_another_chip_or_a_missing_file(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(board, "flash", lambda *_: pytest.fail("it was written"))
    (tmp_path / "INFO_UF2.TXT").write_text("Model: Raspberry Pi RP2350\nBoard-ID: RP2350\n")
    code, _, error = run("board", "flash", "--drive", tmp_path)
    assert code == 3
    assert "Nothing was written" in error
    code, _, error = run("board", "flash", "--file", tmp_path / "missing.uf2")
    assert code == 3
    assert "missing.uf2 was not read: No such file or directory" in error
