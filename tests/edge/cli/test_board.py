"""`parfocal board test`: asks before it moves, reports test by test, and ends with the exit code of a board."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from parfocal.board.conformance.report import CheckedPromise, ConformanceReport
from parfocal.edge.cli import board
from parfocal.edge.cli.demo import stub_process
from tests.edge.cli.typed import Run


def test_a_stub_keeps_every_promise_that_needs_no_motion(run: Run, tmp_path: Path) -> None:
    link, json = tmp_path / "board", tmp_path / "found.json"
    with stub_process(link):
        code, printed, error = run("board", "test", "--port", link, "--still", "--json", json)
    assert (code, error) == (0, "")
    report = msgspec.json.decode(json.read_bytes(), type=ConformanceReport)
    assert report.broken == ()
    assert report.n_kept == 20
    assert {f.why for f in report.promises if f.outcome == "skipped"} == {
        "it moves, and that was not allowed",
        "not asked for",
    }
    assert "20 of 20 promises kept, 13 skipped" in printed
    assert printed.count("kept    ") == 20


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
