"""The probe for a CUDA device, on a fake driver."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parfocal.engines.errors import BuildFailed
from parfocal.engines.gpu import cuda_probe
from parfocal.engines.gpu.cuda_probe import driver_release, l4t_release, probe


class FakeDriver:
    """Acts as libcuda. `refusals` are the error codes by function."""

    def __init__(self, refusals: dict[str, int]) -> None:
        self._refusals = refusals
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:  # noqa: ANN401
            self.calls.append(name)
            if name == "cuDriverGetVersion":
                arguments[0]._obj.value = 12060
            elif name == "cuDeviceGetName":
                arguments[0].value = b"Orin"
            elif name == "cuDeviceGetAttribute":
                arguments[0]._obj.value = {75: 8, 76: 7, 18: 1}[arguments[1]]
            return self._refusals.get(name, 0)

        return call


def test_device_is_described() -> None:
    found = probe(FakeDriver({}))
    assert (found.name, found.sm, found.driver, found.is_integrated) == ("Orin", "8.7", "12.6", True)


@pytest.mark.parametrize(
    ("refusals", "said"),
    [
        ({"cuInit": 100}, "finds no device (CUDA error 100)"),
        ({"cuInit": 803}, "CUDA error 803"),
        ({"cuDriverGetVersion": 3}, "CUDA error 3"),
        ({"cuDeviceGet": 101}, "CUDA error 101"),
        ({"cuDeviceGetName": 101}, "CUDA error 101"),
        ({"cuDeviceGetAttribute": 1}, "CUDA error 1"),
    ],
)
def test_error_of_the_driver_is_named(refusals: dict[str, int], said: str) -> None:
    with pytest.raises(BuildFailed) as refusal:
        probe(FakeDriver(refusals))
    assert said in str(refusal.value)


def test_driver_that_failed_to_start_is_not_called_again() -> None:
    driver = FakeDriver({"cuInit": 100})
    with pytest.raises(BuildFailed):
        probe(driver)
    assert driver.calls == ["cuInit"]


def test_device_node_without_permission_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    node = tmp_path / "nvhost-gpu"
    node.touch()
    monkeypatch.setattr(cuda_probe, "DEVICE_NODES", (node,))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BuildFailed, match=r"no permission on .*nvhost-gpu .* usermod -aG video"):
        probe(FakeDriver({"cuInit": 999}))


def test_error_without_a_driver_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(BuildFailed, match="no NVIDIA driver.*--backend openvino"):
        probe()


@pytest.mark.parametrize(
    ("content", "found"),
    [("# R36 (release), REVISION: 4.3\nmore\n", "R36 (release), REVISION: 4.3"), ("", ""), (None, "")],
)
def test_l4t_release_is_read(tmp_path: Path, content: str | None, found: str) -> None:
    path = tmp_path / "nv_tegra_release"
    if content is not None:
        path.write_text(content)
    assert l4t_release(path) == found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\nGCC version: 12.3.0 \n",
            "535.183.01",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build\n", "540.4.0"),
        ("", ""),
        (None, ""),
    ],
)
def test_release_of_the_driver_is_read(tmp_path: Path, content: str | None, found: str) -> None:
    path = tmp_path / "version"
    if content is not None:
        path.write_text(content)
    assert driver_release(path) == found
