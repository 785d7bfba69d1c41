"""The master as other programs see it, whole at every moment."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagecodecs.numcodecs import register_codecs

from parfocal.edge.images.chunks import CHUNK_PX, ChunkCodec, jpeg_of
from parfocal.edge.images.ome_zarr import (
    Block,
    Master,
    MasterAbout,
    MasterUnreadable,
    expected_bytes,
    write_master,
)
from parfocal.edge.images.pyramid import halved, level_shapes
from parfocal.edge.pixels import UInt8Array
from tests.stains import ihc

ABOUT = MasterAbout("A1", 0.345, (100.0, 200.0), {"tiles": []})


@pytest.fixture(scope="module", autouse=True)
def _codecs() -> None:
    register_codecs()


def opened(folder: Path) -> Any:  # noqa: ANN401
    """The master as zarr reads it."""
    import zarr  # here: every test process would wait for it

    return zarr.open_group(folder, mode="r")


@pytest.fixture(scope="module")
def picture() -> UInt8Array:
    """Wider than a block, with odd sides."""
    return np.pad(ihc(), ((0, 95), (0, 2049 - 512 + 22), (0, 0)), "symmetric")


def block_of(picture: UInt8Array) -> Block:
    return lambda x, y, w, h: picture[y : y + h, x : x + w]


@pytest.fixture(scope="module", params=["lossless", "jpeg"])
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, picture: UInt8Array
) -> Path:
    slide = tmp_path_factory.mktemp("masters") / "A1.zarr"
    slide.mkdir()
    write_master(slide, (607, 2071), block_of(picture), request.param, ABOUT)
    return slide


def test_zarr_reads_every_chunk_of_every_level(written: Path, picture: UInt8Array) -> None:
    group = opened(written)
    expected = picture
    for dataset in group.attrs["multiscales"][0]["datasets"]:
        found = group[dataset["path"]][:].transpose(1, 2, 0)
        assert found.shape == expected.shape
        off = np.abs(found.astype(int) - expected)
        if Master(written).codec == "lossless":
            assert off.max() == 0
        else:
            assert off.mean() < 6.0
        expected = halved(expected)
    assert max(expected.shape[:2]) <= CHUNK_PX


def test_the_metadata_are_those_of_ngff_0_4(written: Path) -> None:
    attributes = json.loads((written / ".zattrs").read_text())
    (image,) = attributes["multiscales"]
    assert image["version"] == "0.4"
    assert [(axis["name"], axis["type"]) for axis in image["axes"]] == [
        ("c", "channel"),
        ("y", "space"),
        ("x", "space"),
    ]
    assert {axis.get("unit") for axis in image["axes"][1:]} == {"micrometer"}
    steps = [dataset["coordinateTransformations"] for dataset in image["datasets"]]
    assert [step[0]["scale"][2] for step in steps] == [0.345 * 2**k for k in range(len(steps))]
    # The middle of the first pixel of level 1 lies between the first two of level 0.
    assert steps[0][1]["translation"] == [0.0, 200.0, 100.0]
    assert steps[1][1]["translation"] == pytest.approx([0.0, 200.0 + 0.1725, 100.0 + 0.1725])


def test_our_own_reader_sees_the_same(written: Path) -> None:
    master = Master(written)
    assert (
        master.shapes_px
        == level_shapes((607, 2071), CHUNK_PX)
        == [(607, 2071), (304, 1036), (152, 518), (76, 259)]
    )
    assert (master.name, master.um_per_px, master.details) == ("A1", 0.345, {"tiles": []})
    smallest = opened(written)["3"][:].transpose(1, 2, 0)
    assert np.abs(master.level(3).astype(int) - smallest).max() <= 1  # two programs decode JPEG


def test_empty_chunks_are_not_stored_and_read_as_glass(tmp_path: Path, picture: UInt8Array) -> None:
    def block(x: int, y: int, w: int, h: int) -> UInt8Array | None:
        return picture[y : y + h, x : x + w] if x == 0 else None

    write_master(tmp_path, (607, 2071), block, "lossless", ABOUT)
    level = opened(tmp_path)["0"]
    assert (level[:, :, 2048:] == 255).all()
    assert not (tmp_path / "0" / "0" / "0" / "4").exists()
    assert (Master(tmp_path).chunk(0, 0, 4) == 255).all()


def test_a_master_that_is_killed_leaves_the_old_one_whole(tmp_path: Path, picture: UInt8Array) -> None:
    write_master(tmp_path, (600, 700), block_of(picture), "lossless", ABOUT)
    before = Master(tmp_path).level(0)

    def block(x: int, _y: int, w: int, h: int) -> UInt8Array:
        if x:
            raise KeyboardInterrupt
        return np.zeros((h, w, 3), np.uint8)

    with pytest.raises(KeyboardInterrupt):
        write_master(tmp_path, (607, 2071), block, "jpeg", ABOUT)
    assert np.array_equal(Master(tmp_path).level(0), before)
    # The next one replaces the old one, with its larger number of levels.
    write_master(tmp_path, (300, 400), block_of(picture), "jpeg", ABOUT)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".zattrs", ".zgroup", "0"]
    assert Master(tmp_path).shapes_px == [(300, 400)]


def test_between_two_masters_there_is_none_rather_than_a_mixture(
    tmp_path: Path, picture: UInt8Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_master(tmp_path, (600, 700), block_of(picture), "lossless", ABOUT)
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if self.name == "1":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        write_master(tmp_path, (590, 710), block_of(picture), "lossless", ABOUT)
    with pytest.raises(MasterUnreadable, match="has no master yet"):
        Master(tmp_path)
    assert [*tmp_path.iterdir()] == [tmp_path / ".zgroup"]


def test_a_master_that_fails_gives_its_room_back(tmp_path: Path, picture: UInt8Array) -> None:
    write_master(tmp_path, (600, 700), block_of(picture), "lossless", ABOUT)
    old = sorted(tmp_path.rglob("*"))

    def block(x: int, y: int, w: int, h: int) -> UInt8Array:
        if x:
            raise OSError
        return picture[y : y + h, x : x + w]

    with pytest.raises(OSError, match="^$"):
        write_master(tmp_path, (607, 2071), block, "jpeg", ABOUT)
    assert sorted(tmp_path.rglob("*")) == old


@pytest.mark.parametrize("codec", ["lossless", "jpeg"])
def test_the_size_is_foretold_with_all_its_levels(tmp_path: Path, codec: ChunkCodec) -> None:
    whole = np.pad(ihc(), ((0, 512), (0, 1024), (0, 0)), "symmetric")
    write_master(tmp_path, (1024, 1536), block_of(whole), codec, ABOUT)
    written = sum(file.stat().st_size for file in tmp_path.rglob("*/0/*/*"))
    foretold = expected_bytes([whole[:, :768], whole[:, 768:]], 1024 * 1536, codec)
    assert written / foretold == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("damage", [b"", b"rubbish", jpeg_of(np.zeros((8, 8, 3), np.uint8))])
def test_a_damaged_chunk_is_named(written: Path, damage: bytes) -> None:
    master = Master(written)
    path = written / "2" / "0" / "0" / "0"
    whole = path.read_bytes()
    path.write_bytes(damage)
    try:
        with pytest.raises(MasterUnreadable, match="chunk 2/0/0/0"):
            master.chunk(2, 0, 0)
    finally:
        path.write_bytes(whole)


def test_a_master_of_another_program_is_refused(tmp_path: Path, picture: UInt8Array) -> None:
    write_master(tmp_path, (100, 100), block_of(picture), "lossless", ABOUT)
    array = json.loads((tmp_path / "0" / ".zarray").read_text())
    (tmp_path / "0" / ".zarray").write_text(json.dumps({**array, "compressor": {"id": "blosc"}}))
    with pytest.raises(MasterUnreadable, match="not packed by parfocal"):
        Master(tmp_path)


@pytest.mark.parametrize(
    ("attributes", "array", "why"),
    [
        ("{}", None, r"\.zattrs and the \.zarray of its levels do not describe one of parfocal\."),
        ("[]", None, r"do not describe one of parfocal\."),
        ('{"multiscales": [[]]}', None, r"do not describe one of parfocal\."),
        ("{", None, r"do not describe one of parfocal\."),
        (None, "[]", r"do not describe one of parfocal\."),
        (None, "", r"do not describe one of parfocal\."),
        (None, "missing", r"0/\.zarray: No such file or directory\."),
    ],
)
def test_damage_of_the_metadata_is_told_without_the_words_of_the_program(
    tmp_path: Path, picture: UInt8Array, attributes: str | None, array: str | None, why: str
) -> None:
    write_master(tmp_path, (100, 100), block_of(picture), "lossless", ABOUT)
    if attributes is not None:
        (tmp_path / ".zattrs").write_text(attributes)
    if array is not None:
        (tmp_path / "0" / ".zarray").write_text(array)
    if array == "missing":
        (tmp_path / "0" / ".zarray").unlink()
    with pytest.raises(
        MasterUnreadable, match=rf"cannot be read: .*{why} Make it anew with `parfocal stitch"
    ):
        Master(tmp_path)
