"""Importing a folder loads no vendor library: a board test or `--help` must not wait for OpenVINO."""

import subprocess
import sys

import pytest

VENDORS = {"cuda", "cv2", "onnxruntime", "openvino", "pycuda", "tensorrt"}
# Loads cuda-bindings; `open_memory` imports it only where it is needed.
DOOR_TO_CUDA = "parfocal.engines.gpu.cuda_bindings"

PROGRAM = """
import importlib, pkgutil, sys
root = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(root.__path__, root.__name__ + "."):
    if module.name not in sys.argv[2:]:
        importlib.import_module(module.name)
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize("folder", ["parfocal.engines", "parfocal.calib"])
def test_no_module_loads_a_vendor_library_when_it_is_imported(folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder, DOOR_TO_CUDA], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert len({name for name in loaded if name.startswith(folder)}) > 3
    assert loaded & VENDORS == set()


def test_engines_load_no_onnx_package() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "parfocal.engines", DOOR_TO_CUDA],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "onnx" not in done.stdout.split()
