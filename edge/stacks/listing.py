"""Lists the stacks at a path: a file or folder is one stack, unless it is a folder of complete stacks."""

import contextlib
from pathlib import Path

import tifffile

from parfocal.edge.stacks.folder import INDEX_NAME
from parfocal.edge.stacks.stack import StackRefused
from parfocal.edge.stacks.tiff import DAMAGED

STACK_ENDINGS = (".ome.tif", ".ome.tiff")


def stacks_at(path: Path) -> list[Path]:
    """All OME-TIFFs in a folder without `stack.csv`, sorted by name, as `parfocal record` writes them; else `path`.

    A folder of OME-TIFFs with one plane each is one stack of numbered images. Raises StackRefused if the folder
    cannot be read.
    """
    if not path.is_dir() or (path / INDEX_NAME).exists():
        return [path]
    try:
        found = sorted(file for file in path.iterdir() if file.name.lower().endswith(STACK_ENDINGS))
    except OSError as error:
        raise StackRefused(path, f"it cannot be read: {error.strerror}") from error
    return found if any(not _is_one_plane(file) for file in found) else [path]


def _is_one_plane(file: Path) -> bool:
    """Whether a TIFF has one page; an unreadable file counts as a stack, so that its reader says why."""
    with contextlib.suppress(OSError, *DAMAGED), tifffile.TiffFile(file) as tiff:
        return not tiff.pages.is_multipage
    return False
