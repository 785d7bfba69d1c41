"""Forms are made from the FP32 model and its INT8 scales, the same each time; scales of another model are refused."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from parfocal.calib.quantise.forms import int8_in_float, made_form, measured_ranges
from parfocal.calib.quantise.int8 import activation_ranges
from parfocal.engines.backends import OpenVinoMaker
from parfocal.engines.cpu.outputs import GraphOnCpu
from parfocal.engines.errors import BuildFailed
from parfocal.engines.model.contract import contract_from_onnx
from parfocal.engines.model.forms import (
    MADE_FORMS,
    Form,
    form_content,
    int8_graph_um,
    int8_path,
    load_int8,
    scales_bytes,
    scales_of,
)
from parfocal.engines.model.golden import load_golden, save_golden
from parfocal.engines.model.shipped import (
    measured_scales_name,
    model_at,
    model_path,
    with_measured_scales,
)
from tools.engines.int8 import evaluate

MakeModel = Callable[..., Path]

DIGESTS = """
import hashlib, sys
from pathlib import Path
from parfocal.calib.quantise.forms import made_form
from parfocal.engines.model.forms import MADE_FORMS, form_content
for path in map(Path, sys.argv[1:]):
    for form in MADE_FORMS:
        print(path.stem, form, hashlib.sha256(form_content(path, form, made_form)).hexdigest())
"""


def digest(path: Path, form: Form) -> str:
    return hashlib.sha256(form_content(path, form, made_form)).hexdigest()


def test_forms_of_a_shipped_model_are_the_same_each_time_in_every_process() -> None:
    # With convolutions: without, all forms of a model are the same.
    paths = [model_path("difference-20x"), model_path("single-20x")]
    here = [f"{path.stem} {form} {digest(path, form)}" for path in paths for form in MADE_FORMS]
    # The order of a set depends on the hashes of its process.
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.splitlines() == here
    assert len({line.split()[2] for line in here}) == len(here)


def test_fp32_is_the_model_itself(equipped: Path) -> None:
    assert form_content(equipped, "fp32", made_form) == equipped.read_bytes()


def test_every_form_has_the_contract(equipped: Path, tmp_path: Path) -> None:
    for form in MADE_FORMS:
        path = tmp_path / f"{form}.onnx"
        path.write_bytes(form_content(equipped, form, made_form))
        assert contract_from_onnx(path) == contract_from_onnx(equipped)


def test_int8_form_follows_its_scales(equipped: Path) -> None:
    before = digest(equipped, "int8_qdq")
    scales = load_int8(equipped)
    ranges = {name: 2.0 * value for name, value in scales.ranges.items()}
    int8_path(equipped).write_bytes(msgspec.json.encode(msgspec.structs.replace(scales, ranges=ranges)))
    assert digest(equipped, "int8_qdq") != before
    assert load_int8(equipped).ranges_sha256 != scales.ranges_sha256


def test_scales_of_another_model_are_refused(equipped: Path) -> None:
    equipped.write_bytes(equipped.read_bytes() + b"\x72\x00")
    with pytest.raises(BuildFailed, match=r"small\.int8\.json belongs to another small\.onnx.*make golden"):
        form_content(equipped, "int8_qdq", made_form)
    form_content(equipped, "fp16", made_form)


def test_model_without_scales_says_how_to_measure_them(make_model: MakeModel) -> None:
    with pytest.raises(
        BuildFailed,
        match="it has no scales .* Measure the scales in a checkout: `make golden`.*, or use another precision",
    ):
        form_content(make_model(), "int8_qdq", made_form)


def test_scales_without_an_activation_are_refused(equipped: Path) -> None:
    scales = load_int8(equipped)
    int8_path(equipped).write_bytes(msgspec.json.encode(msgspec.structs.replace(scales, ranges={})))
    with pytest.raises(BuildFailed, match="int8_qdq of model small cannot be made: .*Use fp32"):
        form_content(equipped, "int8_qdq", made_form)


def test_damaged_scales_are_refused(equipped: Path) -> None:
    int8_path(equipped).write_text("{")
    with pytest.raises(BuildFailed, match=r"small\.int8\.json failed: .*Measure the scales"):
        form_content(equipped, "int8_qdq", made_form)


def test_unknown_form_raises_value_error(equipped: Path) -> None:
    with pytest.raises(ValueError, match="there is no form 'int4'"):
        made_form(equipped.read_bytes(), "int4", {})


def test_scales_hold_the_predictions_of_the_int8_graph(equipped: Path) -> None:
    graph = onnx.load_from_string(form_content(equipped, "int8_qdq", made_form))
    (expected_um,) = evaluate(graph, load_golden(equipped).batch).values()
    np.testing.assert_allclose(int8_graph_um(equipped), expected_um.ravel(), atol=1e-4)


def test_predictions_for_other_golden_patches_are_refused(equipped: Path) -> None:
    golden = load_golden(equipped)
    patches = np.zeros((6, 3, 32, 32), np.int8)
    save_golden(equipped, patches, golden.distance_um, golden.reference_um, patches)
    load_int8(equipped)
    with pytest.raises(BuildFailed, match=r"measured with other golden patches\. Measure the scales"):
        int8_graph_um(equipped)


def test_a_device_measures_the_same_ranges_and_predictions_without_onnx_runtime(equipped: Path) -> None:
    fp32, ranges = equipped.read_bytes(), load_int8(equipped).ranges
    batch = load_golden(equipped).batch
    (found_um,) = GraphOnCpu(int8_in_float(fp32, ranges)).outputs(batch).values()
    np.testing.assert_allclose(found_um.ravel(), int8_graph_um(equipped), atol=1e-3)
    batches = [batch[:3], batch[3:]]
    found = measured_ranges(fp32, batches, lambda onnx: GraphOnCpu(onnx).outputs)
    expected = activation_ranges(onnx.load_from_string(fp32), batches, evaluate)
    assert found == pytest.approx(expected, rel=1e-3)


def test_scales_that_were_measured_here_take_the_place_of_the_models_own(
    equipped: Path, tmp_path: Path
) -> None:
    model, folder = model_at(equipped), tmp_path / "engines"
    folder.mkdir()
    assert with_measured_scales(model, folder) == model
    ranges = {name: 2.0 * um for name, um in load_int8(equipped).ranges.items()}
    scales = scales_of(equipped, ranges, np.zeros(6, np.float32))
    (folder / measured_scales_name(model)).write_bytes(scales_bytes(scales))
    ours = with_measured_scales(model, folder)
    assert load_int8(ours.path, ours.scales).ranges == ranges
    assert not int8_graph_um(ours.path, ours.scales).any()
    forms = {form_content(one.path, "int8_qdq", made_form, one.scales) for one in (model, ours)}
    keys = {OpenVinoMaker(1).key(one, "int8", "explicit").scales_sha256 for one in (model, ours)}
    assert len(forms) == len(keys) == 2
    assert OpenVinoMaker(1).key(ours, "fp32", "none") == OpenVinoMaker(1).key(model, "fp32", "none")
