"""The fakes have only what the real bindings have: attributes, enum members, numbers of arguments.

The bindings are the wheels of the vendor. The libraries that they need are replaced by stubs of ten lines of C. So they
can be imported on any machine, but no object of TensorRT can be created.
"""

import enum
import inspect
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.engines.gpu.fake_cuda import FakeCuda
from tests.engines.gpu.fake_tensorrt import VERSIONS, WEAK, FakeTensorRt

BINDINGS = Path(sys.prefix) / "bindings"
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
# Prints the members of every class of the module: of an enum, or attributes with their signatures.
DUMP = """
import json, sys
import tensorrt_bindings as trt
found = {}
for name in sys.argv[1].split(","):
    thing = getattr(trt, name, None)
    if thing is not None and hasattr(thing, "__members__"):
        found[name] = {member: "" for member in thing.__members__}
    elif thing is not None:
        found[name] = {a: (getattr(thing, a).__doc__ or "").strip() for a in dir(thing) if a[0] != "_"}
print(json.dumps([trt.__version__, found]))
"""


def fake_classes(trt: FakeTensorRt) -> dict[str, type[Any]]:
    return {name: value for name, value in vars(trt).items() if isinstance(value, type)}


def fake_members(fake: type[Any]) -> dict[str, Any]:
    if issubclass(fake, enum.Enum):
        return dict.fromkeys(fake.__members__)
    return {name: getattr(fake, name) for name in dir(fake) if not name.startswith("_")}


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make the stub libraries")
    folder = tmp_path_factory.mktemp("stubs")
    source = folder / "stub.c"
    source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS))
    made = folder / "stub.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, source], check=True)
    for major in (10, 11):
        for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
            (folder / f"lib{name}.so.{major}").symlink_to(made)
    return folder


@cache
def real_surface(generation: str, stubs: Path, names: str) -> dict[str, dict[str, str]]:
    folder = BINDINGS / VERSIONS[generation]
    if not folder.is_dir():
        pytest.skip(f"bindings of TensorRT {VERSIONS[generation]} not installed: `make engines-test`")
    environment = {**os.environ, "PYTHONPATH": str(folder), "LD_LIBRARY_PATH": str(stubs)}
    done = subprocess.run(
        [sys.executable, "-c", DUMP, names], capture_output=True, text=True, env=environment, check=True
    )
    version, found = json.loads(done.stdout)
    assert version == VERSIONS[generation]
    surface: dict[str, dict[str, str]] = found
    return surface


@pytest.mark.parametrize("generation", VERSIONS)
def test_fake_has_only_what_the_real_bindings_have(generation: str, stubs: Path) -> None:
    fakes = fake_classes(FakeTensorRt(generation, FakeCuda()))
    real = real_surface(generation, stubs, ",".join(sorted(fakes)))
    assert set(fakes) <= set(real)
    invented = [
        f"{name}.{member}"
        for name, fake in fakes.items()
        for member in fake_members(fake)
        if member not in real[name]
    ]
    assert invented == []


@pytest.mark.parametrize("generation", VERSIONS)
def test_fake_takes_the_arguments_of_the_real_bindings(generation: str, stubs: Path) -> None:
    fakes = fake_classes(FakeTensorRt(generation, FakeCuda()))
    real = real_surface(generation, stubs, ",".join(sorted(fakes)))
    n_checked = 0
    for name, fake in fakes.items():
        for member, value in fake_members(fake).items():
            first_line = real[name][member].split("\n", 1)[0]
            if not inspect.isfunction(value) or "(" not in first_line or "(*args" in first_line:
                continue
            given = list(inspect.signature(value).parameters)
            arguments = first_line.split("(", 1)[1].rsplit(") ->", 1)[0]
            wanted = [part.split(":")[0].strip() for part in arguments.split(", ") if ":" in part]
            assert wanted[: len(given)] == given, f"{name}.{member}"
            n_checked += 1
    assert n_checked >= 15


@pytest.mark.parametrize("generation", VERSIONS)
def test_features_that_the_builder_probes_exist_in_the_expected_versions(
    generation: str, stubs: Path
) -> None:
    names = (
        "BuilderFlag,IBuilderConfig,IInt8EntropyCalibrator2,IProgressMonitor,NetworkDefinitionCreationFlag"
    )
    real = real_surface(generation, stubs, names)
    weak = generation in WEAK
    assert (
        {"FP16", "INT8"} <= set(real["BuilderFlag"])
        if weak
        else not {"FP16", "INT8"} & set(real["BuilderFlag"])
    )
    assert ("IInt8EntropyCalibrator2" in real) == weak
    assert ("int8_calibrator" in real["IBuilderConfig"]) == weak
    assert ("EXPLICIT_BATCH" in real["NetworkDefinitionCreationFlag"]) == weak
    assert "STRONGLY_TYPED" in real["NetworkDefinitionCreationFlag"]
    assert "IProgressMonitor" in real
