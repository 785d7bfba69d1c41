"""A stub process replaces only what a dead stub has left, and refuses any other place in one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from parfocal.board.clock import MonotonicClock
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.serving.place import clear_remains
from parfocal.board.stub.serving.process import run_stub
from parfocal.board.stub.serving.side_channel import side_channel_path
from tests.bench.link_processes import stub_process


def dead_socket(path: Path) -> None:
    """Leave the socket of a killed stub."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))


def refusal(link: Path) -> str:
    with pytest.raises(FileExistsError) as refused:
        clear_remains(link, Path(side_channel_path(str(link))))
    text = str(refused.value)
    assert text.startswith(f"stub at {link} refused: ")
    assert text.endswith("Choose another --link PATH.")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("has_socket", [False, True])
def test_a_link_of_the_user_stays(tmp_path: Path, has_socket: bool) -> None:
    notes, link = tmp_path / "notes.txt", tmp_path / "board"
    notes.write_text("mine")
    link.symlink_to(notes)
    if has_socket:
        dead_socket(tmp_path / "board.side")
    assert f"a link to {notes} is there, and no dead stub has left it" in refusal(link)
    assert link.readlink() == notes
    assert notes.read_text() == "mine"


def test_a_link_to_a_terminal_that_no_stub_made_stays(tmp_path: Path) -> None:
    link = tmp_path / "board"
    link.symlink_to("/dev/pts/0")
    assert "a link to /dev/pts/0 is there" in refusal(link)
    assert link.is_symlink()


def test_a_dangling_link_of_the_user_stays(tmp_path: Path) -> None:
    link = tmp_path / "board"
    link.symlink_to(tmp_path / "not-made-yet")
    refusal(link)
    assert link.is_symlink()


def test_a_file_where_the_socket_goes_stays(tmp_path: Path) -> None:
    side = tmp_path / "board.side"
    side.write_text("mine")
    assert f"{side} is there" in refusal(tmp_path / "board")
    assert side.read_text() == "mine"
    assert not (tmp_path / "board").is_symlink()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    with pytest.raises(
        ValueError, match=f"not started: {folder} is not a folder. Make it, or choose another --link"
    ):
        run_stub(str(folder / "board"), StubConfig())


def test_a_path_too_long_for_a_socket_is_refused_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # so that the length does not depend on where the tests run
    with pytest.raises(ValueError, match=r"has 108 bytes, that of a socket at most 107. Choose a shorter"):
        run_stub("b" * 103, StubConfig())
    assert list(tmp_path.iterdir()) == []
    fits = Path("b" * 102)
    with stub_process(fits):
        assert fits.is_symlink()


def test_a_folder_without_permission_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"not started: cannot make a socket in /proc \(.*\). Choose another"
    ):
        run_stub("/proc/board", StubConfig())


def test_a_stub_that_ends_leaves_what_the_user_has_put_in_its_place(tmp_path: Path) -> None:
    link, notes = tmp_path / "board", tmp_path / "notes.txt"
    with stub_process(link):
        link.unlink()
        (tmp_path / "board.side").unlink()
        (tmp_path / "board.side").write_text("mine")
        link.symlink_to(notes)
    assert link.readlink() == notes
    assert (tmp_path / "board.side").read_text() == "mine"


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_an_invalid_clock_speed_is_a_value_error(speed: float) -> None:
    with pytest.raises(ValueError, match="clock speed .* is invalid: it must be"):
        MonotonicClock(speed)
