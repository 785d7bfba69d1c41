"""Atomic writes: a file is written under a temporary name and renamed once it is on the disk."""

import contextlib
import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO


def part_of(path: Path) -> Path:
    """The temporary name of a file while it is written. A killed process leaves it behind."""
    return path.with_name(path.name + ".part")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write that replaces `path` when the block ends. If the block fails, `path` is unchanged.

    Creates missing folders. Follows links, and writes to devices and pipes directly. Raises OSError, which names
    `path` also where the disk is full.
    """
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        with _opened(path, path) as stream:
            yield stream
        return
    with _folder_for(path):
        part = _free_part(path)
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.callback(_try, part.unlink)
            with _opened(part, path) as file:
                yield file
                file.flush()
                with _naming(path):
                    os.fsync(file.fileno())
            part.replace(path)
            if_it_fails.pop_all()
        _sync_folder(path.parent)


def whole_files(files: Mapping[Path, bytes]) -> None:
    """Write all files, each as `whole_file`, or leave none of the new ones and no new folder behind. Raises OSError."""
    with contextlib.ExitStack() as folders, contextlib.ExitStack() as if_it_fails:
        for path, data in files.items():
            folders.enter_context(_folder_for(path))
            if not path.exists():
                if_it_fails.callback(_try, path.unlink)
            with whole_file(path) as file:
                file.write(data)
        if_it_fails.pop_all()


def write_plainly(path: Path, data: bytes) -> None:
    """Write a file in place, one of many that count only together. Raises OSError, which names `path`."""
    with _opened(path, path) as file:
        file.write(data)


def check_can_write(path: Path) -> None:
    """Check that `whole_file` could write `path`; leaves nothing behind. Raises OSError."""
    path = path.resolve()
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if path.exists() and not path.is_file():
        return
    with contextlib.suppress(_OnlyTried), _folder_for(path):
        part = _free_part(path)
        with part.open("wb"):
            pass
        part.unlink()
        raise _OnlyTried


def free_bytes(folder: Path) -> int:
    """Free space in bytes on the disk of `folder`, which may not exist yet. Raises OSError."""
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(there).free


class _Named(io.FileIO):
    """A file open for writing. Its errors name `told`; the system gives no name when the disk is full."""

    def __init__(self, path: Path, told: Path) -> None:
        super().__init__(path, "w")
        self._told = told

    def write(self, data: Any, /) -> int:  # noqa: ANN401  # a buffer, which has no name before Python 3.12
        with _naming(self._told):
            return super().write(data)


def _opened(path: Path, told: Path) -> BinaryIO:
    return io.BufferedWriter(_Named(path, told))


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an OSError that names no file name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


class _OnlyTried(Exception):
    """Ends the block of `_folder_for` early, so that the folders it created are removed again."""


@contextlib.contextmanager
def _folder_for(path: Path) -> Iterator[None]:
    """Create the parent folders of `path`. If the block fails, remove those created, as far as they are empty."""
    made = [folder for folder in path.parents if not folder.exists()]
    with contextlib.ExitStack() as if_it_fails:
        for folder in reversed(made):  # the last one is removed first
            if_it_fails.callback(_try, folder.rmdir)
        if path.parent.exists() and not path.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
        if_it_fails.pop_all()


def _try(undo: Callable[[], None]) -> None:
    """Undo a step, as far as the file system lets it."""
    with contextlib.suppress(OSError):
        undo()


def _free_part(path: Path) -> Path:
    """The temporary path. Only a file of an earlier run may be there already. Raises FileExistsError."""
    part = part_of(path)
    if part.is_symlink() or (part.exists() and not part.is_file()):
        raise FileExistsError(errno.EEXIST, f"{part.name} is in the way")
    return part


def _sync_folder(folder: Path) -> None:
    """Flush the new name to the disk too. Not every file system can; the data itself is safe in any case."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
