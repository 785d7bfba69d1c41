"""Engines on the CPU: batches, precisions and refused models."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from parfocal.engines.cpu import openvino as openvino_cpu
from parfocal.engines.cpu.openvino import cpu_and_precisions, open_engine
from parfocal.engines.cpu.reference import OnnxRuntimeRunner
from parfocal.engines.errors import BuildFailed
from parfocal.engines.key import Precision
from parfocal.engines.model.contract import contract_from_onnx
from parfocal.engines.model.shipped import list_models

MakeModel = Callable[..., Path]
PRECISIONS = cpu_and_precisions()[1]


def build_engine(path: Path, precision: Precision, batches: tuple[int, ...], *, n_threads: int) -> bytes:
    contract = contract_from_onnx(path)
    return openvino_cpu.build_engine(path.read_bytes(), contract, precision, batches, n_threads=n_threads)


@pytest.mark.parametrize("opset", [0, 3, 12, 20, 99])
def test_another_opset_is_refused(make_model: MakeModel, opset: int) -> None:
    path = make_model()
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    with pytest.raises(
        BuildFailed, match=rf"its opset is {opset}, this program reads 13\.\.19\. Export it again"
    ):
        build_engine(path, "fp32", (4,), n_threads=1)


def test_model_with_only_vendor_operators_is_refused(make_model: MakeModel) -> None:
    path = make_model()
    model = onnx.load(path)
    model.opset_import[0].domain = "com.vendor"
    onnx.save(model, path)
    with pytest.raises(BuildFailed, match="its opset is 0"):
        build_engine(path, "fp32", (4,), n_threads=1)


def test_model_of_several_batch_sizes_takes_each(make_model: MakeModel) -> None:
    path = make_model()
    engine = build_engine(path, "fp32", (7, 9), n_threads=1)
    contract = list_models(path.parent)[0].contract
    runner = open_engine(engine, contract, "fp32", (7, 9), n_threads=1)
    for n in (7, 9, 7):
        assert runner.infer(np.zeros((n, 3, 32, 32), np.float32)).shape == (n, 1)


@pytest.mark.parametrize("n_threads", [0, 1, 2, 3, 4, 9])
@pytest.mark.parametrize("batches", [(4,), (7, 9), (8,)])
def test_parallel_shares_of_a_batch_keep_their_order(
    make_model: MakeModel, batches: tuple[int, ...], n_threads: int
) -> None:
    path = make_model()
    engine = build_engine(path, "fp32", batches, n_threads=n_threads)
    runner = open_engine(engine, list_models(path.parent)[0].contract, "fp32", batches, n_threads=n_threads)
    reference = OnnxRuntimeRunner(path, n_threads=1)
    for n in (*batches, batches[0]):
        patches = np.random.default_rng(n).normal(size=(n, 3, 32, 32)).astype(np.float32)
        found_um = runner.infer(patches)
        assert np.ptp(found_um) > 0.1
        np.testing.assert_allclose(found_um, reference.infer(patches), atol=1e-3)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_half_precision_graphs_are_rewritten(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    rewritten = []
    monkeypatch.setattr(openvino_cpu, "narrow_input_once", lambda *_: rewritten.append(1))
    build_engine(make_model(), precision, (4,), n_threads=1)
    assert len(rewritten) == (1 if precision != "fp32" and "bf16" in PRECISIONS else 0)


def test_precision_that_the_cpu_lacks_is_refused(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parfocal.engines.cpu.openvino.CAPABILITIES", {"fp16": "FP4711"})
    with pytest.raises(BuildFailed, match="build in fp16 refused: this CPU does not support it"):
        build_engine(make_model(), "fp16", (4,), n_threads=1)


def test_openvino_is_imported_without_converter_and_telemetry() -> None:
    program = (
        "import sys; from parfocal.engines.cpu.openvino import import_openvino; import_openvino()\n"
        "print(*[name for name in sys.modules if 'telemetry' in name or name.startswith('openvino.tools')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"openvino.tools"}


CTRL_C_AFTER_TWO = """
import os, signal
from parfocal.engines.cpu.openvino import OpenVinoRunner
from parfocal.engines.model.shipped import model_path

path = model_path("difference-20x")
first, second = OpenVinoRunner(path, n_threads=1), OpenVinoRunner(path, n_threads=1)
del first
del second
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("ended by Ctrl-C")
"""


def test_ctrl_c_after_two_engines_were_open_together_ends_the_program_and_does_not_crash_it() -> None:
    # Python's handlers run on the alternate signal stack if there is one: a freed one is a segmentation fault.
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C_AFTER_TWO], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "ended by Ctrl-C\n"), done.stderr
