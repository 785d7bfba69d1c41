"""Files are written whole, and an error says which one."""

import contextlib
import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from parfocal.edge.images.ome_zarr import Master, MasterAbout, write_master
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.slide.export import Form, export
from parfocal.edge.surface.files import write_points
from parfocal.edge.whole_file import whole_file, write_plainly


@contextlib.contextmanager
def room_for(n_bytes: int) -> Iterator[None]:
    """A disk on which no file grows beyond `n_bytes`: the system tells it as it does a full one, without a name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def whole(path: Path, data: bytes) -> None:
    with whole_file(path) as file:
        file.write(data)


@pytest.mark.parametrize("write", [whole, write_plainly])
@pytest.mark.parametrize("n_bytes", [100, 100_000])  # within the buffer, and beyond it
def test_what_does_not_fit_is_named(
    tmp_path: Path, write: Callable[[Path, bytes], None], n_bytes: int
) -> None:
    path = tmp_path / "request.json"
    with room_for(50), pytest.raises(OSError, match="File too large") as told:
        write(path, bytes(n_bytes))
    assert told.value.filename == str(path)
    assert write is write_plainly or [*tmp_path.iterdir()] == []


def test_a_full_device_is_named() -> None:
    with pytest.raises(OSError, match="No space left") as told:
        whole(Path("/dev/full"), b"x")
    assert (told.value.errno, told.value.filename) == (errno.ENOSPC, "/dev/full")


def test_an_error_of_something_else_is_not_told_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="broken") as told, whole_file(tmp_path / "a"):
        raise OSError(errno.EIO, "broken")
    assert told.value.filename is None


def test_a_disk_that_fails_at_the_last_moment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_handle: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="quota") as told:
        write_points(tmp_path / "points.csv", ())
    assert told.value.filename == str(tmp_path / "points.csv")


def noise(w: int, h: int) -> UInt8Array:
    return np.asarray(np.random.default_rng(1).integers(0, 255, (h, w, 3)), np.uint8)


def test_a_chunk_of_a_master_that_does_not_fit_is_named(tmp_path: Path) -> None:
    with room_for(10_000), pytest.raises(OSError, match="File too large") as told:
        write_master(
            tmp_path,
            (600, 700),
            lambda _x, _y, w, h: noise(w, h),
            "lossless",
            MasterAbout("A1", 1.0, None, {}),
        )
    assert told.value.filename == str(tmp_path / "master.part" / "0" / "0" / "0" / "0")


@pytest.mark.parametrize(
    ("form", "name", "file"),
    [
        ("deepzoom", "a.dzi", "a_files.part/10/0_0.jpg"),
        ("ome-tiff", "a.ome.tif", "a.ome.tif"),
    ],
)
def test_a_part_of_an_export_that_does_not_fit_is_named(
    tmp_path: Path, form: Form, name: str, file: str
) -> None:
    write_master(
        tmp_path, (600, 700), lambda _x, _y, w, h: noise(w, h), "jpeg", MasterAbout("A1", 1.0, None, {})
    )
    assert Master(tmp_path).shapes_px[0] == (600, 700)
    with room_for(10_000), pytest.raises(OSError, match="File too large") as told:
        export(tmp_path, form, tmp_path / name, 85)
    assert told.value.filename == str(tmp_path / file)
