"""From ONNX to a TensorRT engine, on a stand-in for TensorRT."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from parfocal.calib.quantise.forms import made_form
from parfocal.engines.errors import BuildFailed
from parfocal.engines.gpu.open import open_memory
from parfocal.engines.gpu.tensorrt_builder import Calibration, Recipe, build_engine, form_of
from parfocal.engines.model.forms import Form, form_content
from tests.engines.gpu.fake_tensorrt import WEAK, FakeTensorRt, patches


def test_forms_for_tensorrt_8_6_have_an_opset_that_it_parses(equipped: Path) -> None:
    path = equipped
    forms: tuple[Form, ...] = ("fp32", "int8_qdq")
    for form in forms:
        (opset,) = onnx.load_from_string(form_content(path, form, made_form)).opset_import
        assert opset.version == 17


def test_implicit_int8_without_a_calibrator_says_what_to_use(install: Callable[[str], FakeTensorRt]) -> None:
    with pytest.raises(
        BuildFailed, match=r"TensorRT 11\.4\.0\.106 no longer has a calibrator.*--int8-mode explicit"
    ):
        form_of(install("11.4"), "int8", "implicit")
    assert "10.3" in WEAK


def test_bf16_is_refused(install: Callable[[str], FakeTensorRt]) -> None:
    with pytest.raises(BuildFailed, match="fp32, fp16 or int8"):
        form_of(install("10.3"), "bf16", "none")


def test_error_of_the_parser_is_quoted(install: Callable[[str], FakeTensorRt]) -> None:
    trt = install("11.4")
    trt.parse_error = "No importer registered\nfor op: Konv"
    with pytest.raises(
        BuildFailed, match=r"parser of TensorRT 11\.4\.0\.106 says: No importer registered for op"
    ):
        build_engine(trt, b"", Recipe(precision="fp32", int8_mode="none", batches=(4,)))


def test_progress_is_reported(install: Callable[[str], FakeTensorRt]) -> None:
    said: list[str] = []
    recipe = Recipe(precision="fp32", int8_mode="none", batches=(4,))
    build_engine(install("10.3"), b"", recipe, report=said.append)
    assert said == ["Building Engine 1/2"]


def test_implicit_int8_needs_one_batch_of_calibration(install: Callable[[str], FakeTensorRt]) -> None:
    trt = install("10.3")
    recipe = Recipe(precision="int8", int8_mode="implicit", batches=(4,))
    with pytest.raises(BuildFailed, match="3 calibration patches do not fill one batch of 4"):
        build_engine(trt, b"", recipe, calibration=Calibration(patches(3), open_memory(zero_copy=True)))
