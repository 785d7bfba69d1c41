"""Files that are there whole or not at all: written beside their name, and renamed when they are on the disk."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def part_of(path: Path) -> Path:
    """Where a file is written before it gets its name; what a kill leaves of it."""
    return path.with_name(path.name + ".part")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of ``path`` when the block ends; where it fails nothing changes.

    Folders that are missing are made. A link is followed; a device or a pipe is written to as it is.
    Raises OSError.
    """
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as stream:
            yield stream
        return
    with _folder_for(path):
        part = _free_part(path)
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        _sync_folder(path.parent)


def check_can_write(path: Path) -> None:
    """Try what `whole_file` would need, and leave nothing of it behind. Raises OSError."""
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
    """Room on the disk that ``folder`` is on, or would be on if it were made. Raises OSError."""
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(there).free


class _OnlyTried(Exception):
    """Ends a block that would have been written, so that folders made for it go again."""


@contextlib.contextmanager
def _folder_for(path: Path) -> Iterator[None]:
    """Make the folders of ``path``; those made, if they are empty, go again where the block fails."""
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        if path.parent.exists() and not path.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _free_part(path: Path) -> Path:
    """Where to write; what lies there must be a file of an earlier run. Raises FileExistsError."""
    part = part_of(path)
    if part.is_symlink() or (part.exists() and not part.is_file()):
        raise FileExistsError(errno.EEXIST, f"{part.name} is in the way")
    return part


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk too. Not every file system can; the file itself is there in any case."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
