"""Golden patches and forms: complete, and made for their model."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from parfocal.edge.focus import prepare
from parfocal.engines.cpu.reference import OnnxRuntimeRunner
from parfocal.engines.errors import BuildFailed
from parfocal.engines.model.artifacts import (
    MADE_FORMS,
    artifact_path,
    checked_artifact,
    int8_graph_um,
    manifest_path,
)
from parfocal.engines.model.contract import contract_from_onnx
from parfocal.engines.model.golden import golden_path, load_golden, save_golden, standardised
from parfocal.engines.model.shipped import list_models
from tools.artifacts import evaluate

MakeModel = Callable[..., Path]


def test_patches_are_normalised_as_the_instrument_prepares_them() -> None:
    patches = np.random.default_rng(0).integers(-100, 100, (3, 3, 16, 16)).astype(np.int8)
    patches[1, 2] = 7  # without contrast
    np.testing.assert_array_equal(standardised(patches), prepare.standardised(patches.astype(np.float32)))


def test_golden_patches_are_loaded_as_they_were_saved(equipped: Path) -> None:
    path = equipped
    golden = load_golden(path)
    assert golden.batch.shape == (6, 3, 32, 32)
    assert golden.batch.dtype == np.float32
    found_um = OnnxRuntimeRunner(path, n_threads=1).infer(golden.batch)[:, 0]
    np.testing.assert_allclose(found_um, golden.reference_um, atol=1e-5)


def test_golden_patches_of_another_model_are_refused(equipped: Path) -> None:
    path = equipped
    path.write_bytes(
        path.read_bytes() + b"\x72\x00"
    )  # an additional empty metadata entry does not change the model for a runtime
    with pytest.raises(BuildFailed, match="made with another small.onnx"):
        load_golden(path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 half of one"])
def test_damaged_golden_patches_are_refused_in_one_line(equipped: Path, content: bytes) -> None:
    path = equipped
    golden_path(path).write_bytes(content)
    with pytest.raises(BuildFailed, match=r"read .*small\.golden\.npz failed: .* Copy it again") as refusal:
        load_golden(path)
    assert "\n" not in str(refusal.value)


def test_archive_with_a_wrong_byte_anywhere_is_read_or_refused(equipped: Path) -> None:
    content = golden_path(equipped).read_bytes()
    for place in range(30, len(content), len(content) // 60):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        golden_path(equipped).write_bytes(damaged)
        with contextlib.suppress(
            BuildFailed
        ):  # a byte without meaning, such as a time stamp, may have any value
            load_golden(equipped)


def test_patches_that_are_not_integers_raise_value_error(make_model: MakeModel) -> None:
    patches, distance_um = np.zeros((2, 3, 32, 32), np.float32), np.zeros(2, np.float32)
    with pytest.raises(ValueError, match="difference is float32"):
        save_golden(make_model(), patches, distance_um, distance_um, patches)  # type: ignore[arg-type]
    whole = np.zeros((3, 3, 32, 32), np.int8)
    with pytest.raises(ValueError, match="3 patches with"):
        save_golden(make_model(), whole, distance_um, distance_um, whole)


def test_every_form_has_the_contract_and_is_in_the_manifest(equipped: Path) -> None:
    path = equipped
    for form in MADE_FORMS:
        found, sha256 = checked_artifact(path, form)
        assert contract_from_onnx(found) == contract_from_onnx(path)
        assert len(sha256) == 64


def test_changed_form_is_refused(equipped: Path) -> None:
    path = equipped
    fp16 = artifact_path(path, "fp16")
    fp16.write_bytes(fp16.read_bytes()[:-1])
    with pytest.raises(BuildFailed, match="does not match its checksum in the manifest"):
        checked_artifact(path, "fp16")
    checked_artifact(path, "int8_qdq")


def test_forms_of_another_reference_are_refused(equipped: Path) -> None:
    path = equipped
    path.write_bytes(path.read_bytes() + b"\x72\x00")
    with pytest.raises(BuildFailed, match=r"made from another small\.onnx.*make golden"):
        checked_artifact(path, "int8_qdq")


def test_model_without_forms_says_how_to_make_them(make_model: MakeModel) -> None:
    with pytest.raises(
        BuildFailed, match="has no other forms .* Make the forms in a checkout: `make golden`.*, or use fp32"
    ):
        checked_artifact(make_model(), "fp16")


def test_manifest_holds_the_predictions_of_the_int8_graph(equipped: Path) -> None:
    graph = onnx.load(checked_artifact(equipped, "int8_qdq")[0])
    (expected_um,) = evaluate(graph, load_golden(equipped).batch).values()
    np.testing.assert_allclose(int8_graph_um(equipped), expected_um.ravel(), atol=1e-4)


def test_predictions_for_other_golden_patches_are_refused(equipped: Path) -> None:
    golden = load_golden(equipped)
    patches = np.zeros((6, 3, 32, 32), np.int8)
    save_golden(equipped, patches, golden.distance_um, golden.reference_um, patches)
    checked_artifact(equipped, "int8_qdq")
    with pytest.raises(BuildFailed, match=r"made with other golden patches\. Make the forms in a checkout"):
        int8_graph_um(equipped)


def test_manifest_without_predictions_says_how_to_make_it(equipped: Path) -> None:
    manifest = msgspec.json.decode(manifest_path(equipped).read_bytes())
    del manifest["int8_um"]
    manifest_path(equipped).write_bytes(msgspec.json.encode({**manifest, "format_version": 1}))
    with pytest.raises(BuildFailed, match="missing required field `int8_um`.*make golden"):
        checked_artifact(equipped, "int8_qdq")


def test_damaged_manifest_is_refused(equipped: Path) -> None:
    path = equipped
    manifest_path(path).write_text("{")
    with pytest.raises(BuildFailed, match=r"manifest\.json failed"):
        checked_artifact(path, "fp16")


@pytest.mark.parametrize("path", [model.path for model in list_models()], ids=lambda path: path.stem)
def test_shipped_model_has_golden_patches_and_all_forms(path: Path) -> None:
    assert len(load_golden(path).batch) == len(int8_graph_um(path))
    for form in MADE_FORMS:
        checked_artifact(path, form)
