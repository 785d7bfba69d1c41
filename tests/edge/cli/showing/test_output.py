"""The result file of a command: valid at any moment, and kept however the command ends."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from parfocal.edge.cli.showing import output
from parfocal.edge.cli.showing.output import (
    GrowingResult,
    check_writable,
    console_for,
    growing_result,
    write_json,
)
from parfocal.edge.errors import CameraFailed, ConfigError


class Found(msgspec.Struct, frozen=True):
    """A result that grows."""

    fields: tuple[int, ...]


Shown = list[Found]


def unseen(_found: Found) -> None:
    """Shows nothing."""


def ended_by(
    error: BaseException, path: Path, *values: Found, show: Callable[[Found], None] = unseen
) -> None:
    """A command that finds some values and then ends early."""
    with growing_result(path, show) as result:
        for value in values:
            result.grown(value)
        raise error


def read(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text())
    return found


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_check_leaves_neither_file_nor_folder_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "deep" / "er" / "r.json")
    assert tree(tmp_path) == []


def test_a_check_leaves_an_existing_file_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("earlier")
    check_writable(path)
    assert (path.read_text(), tree(tmp_path)) == ("earlier", ["r.json"])


def test_an_unwritable_path_is_refused_by_its_option_before_the_work(tmp_path: Path) -> None:
    for path, option in ((tmp_path, "--json"), (Path("/proc/none/r.json"), "--plot")):
        with pytest.raises(ConfigError, match=f"cannot be written to {path}: .* Give another {option} path"):
            check_writable(path, option)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Not a directory"):
        check_writable(tmp_path / "file" / "r.json")
    assert tree(tmp_path) == ["file"]


def test_a_read_only_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.json"
    path.write_text("earlier")
    # As root every file is writable, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda asked, mode: (Path(asked), mode) != (path, os.W_OK))
    with pytest.raises(ConfigError, match="Permission denied"):
        check_writable(path)


def test_a_result_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "r.json"
    write_json(path, Found((1,)))

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        write_json(path, Found((1, 2)))
    with pytest.raises(ConfigError, match="No space left"):
        write_json(tmp_path / "other" / "r.json", Found((1, 2)))
    assert read(path) == {"fields": [1]}
    assert tree(tmp_path) == ["deep", "deep/r.json"]


def test_a_result_is_on_the_disk_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.json"
    seen: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _handle: seen.append(path.exists()))
    write_json(path, Found((1,)))
    assert seen == [False, True]  # the file before, its folder after


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "r.json"
    link.symlink_to(tmp_path / "there" / "r.json")
    check_writable(link)
    write_json(link, Found((1,)))
    assert link.is_symlink()
    assert read(tmp_path / "there" / "r.json") == {"fields": [1]}


def test_a_link_under_the_temporary_name_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    (tmp_path / "r.json.part").symlink_to(tmp_path / "precious")
    with pytest.raises(ConfigError, match=r"r\.json\.part is in the way"):
        write_json(tmp_path / "r.json", Found((1,)))
    assert (tmp_path / "precious").read_text() == "data"


def test_the_error_of_a_result_names_the_option_that_gave_its_path(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="Give another --out path"),
        growing_result(tmp_path, unseen, "--out") as result,
    ):
        result.done(Found((1,)))


def test_the_leftover_of_a_killed_run_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "r.json.part").write_text("{half")
    check_writable(tmp_path / "r.json")
    (tmp_path / "r.json.part").write_text("{half")
    write_json(tmp_path / "r.json", Found((1,)))
    assert tree(tmp_path) == ["r.json"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    check_writable(pipe)
    write_json(pipe, Found((1,)))
    assert json.loads(os.read(reader, 1000)) == {"fields": [1]}
    os.close(reader)
    assert pipe.is_fifo()


def test_with_a_dash_the_json_goes_to_standard_output_and_the_rest_to_standard_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dash = Path("-")
    dash.mkdir()  # a file of that name is ignored
    check_writable(dash)
    dash.rmdir()
    console_for(dash).print("engine: small")
    write_json(dash, Found((1, 2)))
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"fields": [1, 2]}
    assert "engine: small" in printed.err
    console_for(tmp_path / "r.json").print("engine: small")
    console_for(None).print("engine: large")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("engine: small\nengine: large\n", "")
    assert tree(tmp_path) == []


def test_a_growing_result_is_valid_at_any_moment_and_marked_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    with growing_result(path, unseen) as result:
        for n in (1, 2, 3):
            result.grown(Found(tuple(range(n))))
            assert read(path) == {"fields": list(range(n)), "incomplete": output.UNFINISHED}
        result.done(Found((0, 1, 2)))
    assert read(path) == {"fields": [0, 1, 2]}


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (CameraFailed("camera 0 gave no\nframe"), "CameraFailed: camera 0 gave no frame"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(143), "SystemExit: 143"),
    ],
)
def test_a_command_that_ends_early_keeps_and_shows_its_result_and_the_reason(
    tmp_path: Path, error: BaseException, why: str
) -> None:
    path = tmp_path / "r.json"
    shown: Shown = []
    with pytest.raises(type(error)):
        ended_by(error, path, Found((7,)), show=shown.append)
    assert read(path) == {"fields": [7], "incomplete": why}
    assert shown == [Found((7,))]


def test_a_command_that_ends_early_writes_its_result_to_standard_output_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(CameraFailed):
        ended_by(CameraFailed("unplugged"), Path("-"), Found((7,)), Found((7, 8)))
    assert json.loads(capsys.readouterr().out) == {"fields": [7, 8], "incomplete": "CameraFailed: unplugged"}


def test_a_command_that_fails_before_its_first_result_writes_nothing(tmp_path: Path) -> None:
    shown: Shown = []
    with pytest.raises(CameraFailed):
        ended_by(CameraFailed("unplugged"), tmp_path / "deep" / "r.json", show=shown.append)
    assert (tree(tmp_path), shown) == ([], [])


def test_a_long_run_is_written_rarely_and_loses_a_tenth_at_most(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    written: set[int] = set()
    with growing_result(path, unseen) as result:
        for n in range(1, 1001):
            result.grown(Found(tuple(range(n))))
            fields = read(path)["fields"]
            assert isinstance(fields, list)
            assert len(fields) >= n / 1.1 - 1
            written.add(len(fields))
    assert len(written) < 80


def test_the_error_that_ended_a_command_is_not_hidden_by_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _data: bytes, _option: str) -> None:
        raise ConfigError("no space left")

    result: GrowingResult[Found] = GrowingResult(tmp_path / "r.json")
    result.grown(Found((1,)))
    monkeypatch.setattr(output, "_write", full)
    result.cut_off(CameraFailed("unplugged"))
    assert read(tmp_path / "r.json")["fields"] == [1]
