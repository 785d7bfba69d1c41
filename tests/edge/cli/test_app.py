"""The command line as a whole: help, version, completion."""

import json
from pathlib import Path

import pytest

import parfocal
from tests.edge.cli.typed import Run


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("parfocal eng", {"engine"}),
        ("parfocal engine ", {"list", "build"}),
        ("parfocal focus --z", {"--z-play-um"}),
    ],
)
def test_the_shell_completes_commands_and_options(
    run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, offered: set[str]
) -> None:
    monkeypatch.setenv("_PARFOCAL_COMPLETE", "complete_bash")  # as the script of --show-completion does
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    code, printed, error = run()
    assert (code, error) == (0, "")
    assert set(printed.split()) == offered


def test_the_completion_script_can_be_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    code, printed, error = run("--show-completion")
    assert (code, error) == (0, "")
    assert "_PARFOCAL_COMPLETE=complete_bash" in printed


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    code, printed, error = run()
    assert (code, error) == (0, "")
    assert "doctor" in printed
    assert "Usage: parfocal" in printed


def test_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version") == (0, f"parfocal {parfocal.__version__}\n", "")


def test_engine_list_shows_every_model(run: Run, tmp_path: Path) -> None:
    code, printed, _ = run("engine", "list", "--json", "models.json")
    assert code == 0
    assert "difference-20x" in printed
    assert any(m["name"] == "difference-20x" for m in json.loads((tmp_path / "models.json").read_text()))
    _, printed, shown = run("engine", "list", "--json", "-")
    assert {m["name"] for m in json.loads(printed)} >= {"difference-20x"}
    assert "difference-20x" in shown
