"""Fixture of the commands: they run in this process, in an empty folder."""

import sys
from pathlib import Path

import pytest

from parfocal.edge.cli import app as cli
from tests.edge.cli.typed import Run


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty folder: exit code, stdout, stderr. It must not write a crash report."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["parfocal", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert not (tmp_path / "state").exists(), printed.err
        return int(ended.value.code or 0), printed.out, printed.err

    return call
