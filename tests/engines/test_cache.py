"""Engines on disk: never the wrong one, never an incomplete one."""

import errno
import os
import pwd
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from parfocal.engines.cache import EngineCache, default_cache_folder
from parfocal.engines.errors import BuildFailed, EngineStale
from parfocal.engines.key import EngineKey
from tests.engine_keys import KEY

OTHER: dict[str, Any] = {
    "onnx_sha256": "b" * 64,
    "batches": (7, 9),
    "n_threads": 2,
    "runtime": "TensorRT 10.16.2",
    "driver": "CUDA 13.2",
    "device": "Orin Nano (SM 8.7)",
    "system": "R38 (release)",
    "builder": 2,
    "calibration_sha256": "c" * 64,
    "form": "int8_qdq",
    "forms": 2,
    "scales_sha256": "d" * 64,
}


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def test_stored_engine_is_loaded_unchanged(cache: EngineCache) -> None:
    cache.store(KEY, b"engine")
    assert cache.load(KEY) == b"engine"
    assert not list(cache.folder.glob("*.part"))


@pytest.mark.parametrize("value", OTHER)
def test_engine_with_another_key_is_stale_and_names_the_difference(cache: EngineCache, value: str) -> None:
    cache.store(KEY, b"engine")
    wanted = msgspec.structs.replace(KEY, **{value: OTHER[value]})
    with pytest.raises(EngineStale) as stale:
        cache.load(wanted)
    assert f"{value} is " in str(stale.value)
    assert "parfocal engine build" in str(stale.value)
    assert wanted.digest != KEY.digest


def test_every_value_of_the_key_is_tested_above() -> None:
    assert {*OTHER, "model", "backend", "precision", "int8_mode"} == set(EngineKey.__struct_fields__)


def test_precisions_and_modes_do_not_replace_each_other(cache: EngineCache) -> None:
    keys = [
        KEY,
        msgspec.structs.replace(KEY, precision="int8", int8_mode="explicit"),
        msgspec.structs.replace(KEY, precision="int8", int8_mode="implicit"),
        msgspec.structs.replace(KEY, backend="openvino"),
        msgspec.structs.replace(KEY, model="other"),
    ]
    for number, key in enumerate(keys):
        cache.store(key, bytes([number]))
    assert [cache.load(key) for key in keys] == [bytes([number]) for number in range(len(keys))]


def test_engine_that_was_never_built_is_stale(cache: EngineCache) -> None:
    with pytest.raises(EngineStale, match=r"small\.tensorrt\.fp16 is not built on this machine\. Run"):
        cache.load(KEY)


@pytest.mark.parametrize(
    ("damaged", "content", "said"),
    [
        ("*.engine", b"engin", "is damaged"),
        ("*.engine", None, "cannot be read"),
        ("*.json", b"{", "sidecar is invalid"),
        ("*.json", b"\xff\xfe", "sidecar is invalid"),
        ("*.json", b'{"format_version":1}', "sidecar is invalid"),
        ("*.json", None, "is not built"),
    ],
)
def test_damaged_engine_is_stale(cache: EngineCache, damaged: str, content: bytes | None, said: str) -> None:
    cache.store(KEY, b"engine")
    (path,) = cache.folder.glob(damaged)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(EngineStale, match=said):
        cache.load(KEY)


def test_old_engine_stays_until_it_is_removed(cache: EngineCache) -> None:
    cache.store(KEY, b"old")
    newer = msgspec.structs.replace(KEY, driver="CUDA 13.2")
    cache.store(newer, b"new")
    cache.write(f"{KEY.slot}.{KEY.digest}.timing", b"kernels")
    cache.write("choice.json", b"{}")
    cache.store_failure(KEY, "no kernel")
    assert (cache.load(KEY), cache.load(newer)) == (b"old", b"new")
    cache.keep_only(["other"], [])
    assert (cache.load(KEY), cache.load(newer)) == (b"old", b"new")
    (cache.folder / f"{KEY.slot}.{KEY.digest}.engine.17.part").write_bytes(b"of another writer")
    cache.keep_only([KEY.model], [newer])
    assert cache.load(newer) == b"new"
    with pytest.raises(EngineStale, match=r"driver is 'CUDA 13\.2' in the engine, 'CUDA 12\.6' here"):
        cache.load(KEY)
    left = {path.name for path in cache.folder.iterdir()}
    own = {f"{newer.slot}.{newer.digest}.{suffix}" for suffix in ("engine", "json")}
    kept = {"choice.json", f"{KEY.slot}.failed.json", f"{KEY.slot}.{KEY.digest}.engine.17.part"}
    assert left == own | kept


def test_second_writer_waits_for_the_first(cache: EngineCache) -> None:
    order: list[str] = []
    waits = threading.Event()

    def report(text: str) -> None:
        order.append(text)
        waits.set()

    def second() -> None:
        with cache.locked(report):
            order.append("second")

    with cache.locked(order.append):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(timeout=10.0)
        order.append("first")
    thread.join()
    assert order == ["waiting for another program that is building engines", "first", "second"]


def test_folder_that_cannot_be_locked_is_reported_by_the_writes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = EngineCache(tmp_path / "file" / "engines")
    with cache.locked(lambda _: None), pytest.raises(BuildFailed, match="XDG_CACHE_HOME"):
        cache.store(KEY, b"engine")


def test_unreadable_file_is_not_treated_as_missing(cache: EngineCache) -> None:
    (cache.folder / "choice.json").mkdir(parents=True)
    with pytest.raises(EngineStale, match=r"read of .*choice\.json failed: .*Grant access"):
        cache.read("choice.json")
    assert cache.read("other.json") is None


def test_files_have_the_permissions_of_the_user_s_umask(cache: EngineCache) -> None:
    mask = os.umask(0o022)
    try:
        cache.store(KEY, b"engine")
    finally:
        os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in cache.folder.iterdir()} == {0o644}


@pytest.mark.parametrize("n_written", [0, 1])
def test_full_disk_leaves_the_old_engine_usable(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch, n_written: int
) -> None:
    cache.store(KEY, b"old")
    left = iter([None] * n_written)
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if next(left, "full") == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BuildFailed, match="No space left on device; the old file is untouched"):
        cache.store(msgspec.structs.replace(KEY, driver="CUDA 13.2"), b"new")
    assert cache.load(KEY) == b"old"
    assert not list(cache.folder.glob("*.part"))


def test_failure_of_a_key_is_remembered_until_it_is_built(cache: EngineCache) -> None:
    assert cache.failure(KEY) == ""
    cache.store_failure(KEY, "no kernel")
    assert cache.failure(KEY) == "no kernel"
    assert cache.failure(msgspec.structs.replace(KEY, driver="CUDA 13.2")) == ""
    with pytest.raises(EngineStale):
        cache.load(KEY)
    cache.store(KEY, b"engine")
    assert cache.failure(KEY) == ""


@pytest.mark.parametrize("content", [b"", b"{", b'{"format_version":1}'])
def test_damaged_record_of_a_failure_is_ignored(cache: EngineCache, content: bytes) -> None:
    cache.store_failure(KEY, "no kernel")
    (path,) = cache.folder.glob("*.failed.json")
    path.write_bytes(content)
    assert cache.failure(KEY) == ""


def test_failure_is_not_recorded_on_a_full_disk(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    cache.store_failure(KEY, "no kernel")
    assert cache.failure(KEY) == ""


def test_read_only_folder_is_an_engine_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BuildFailed, match="XDG_CACHE_HOME"):
        EngineCache(tmp_path / "file" / "engines").store(KEY, b"engine")


def test_folder_without_permission_leaves_the_old_engine_usable(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.store(KEY, b"old")

    def refuse(*_: object) -> None:  # tests may run as root, for whom the mode of a folder has no effect
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as shut:
        shut.setattr(Path, "open", refuse)
        with pytest.raises(BuildFailed, match="Permission denied; the old file is untouched"):
            cache.store(KEY, b"new")
    assert cache.load(KEY) == b"old"


def test_folder_is_in_the_user_s_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "parfocal" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache_folder() == Path.home() / ".cache" / "parfocal" / "engines"


def test_error_without_a_home_folder_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(BuildFailed, match="Set HOME or XDG_CACHE_HOME"):
        default_cache_folder()
