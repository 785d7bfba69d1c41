"""Where Micro-Manager's device adapters are."""

import importlib.util

import pytest


@pytest.fixture
def adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the package with Micro-Manager's demo devices, if it is installed."""
    if importlib.util.find_spec("mm_test_adapters") is not None:
        from mm_test_adapters import device_adapter_path

        monkeypatch.setenv("MICROMANAGER_PATH", device_adapter_path())
