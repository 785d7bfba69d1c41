"""Golden patches: complete, and made for their model."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from parfocal.edge.focus.picture import prepare
from parfocal.engines.cpu.reference import OnnxRuntimeRunner
from parfocal.engines.errors import BuildFailed
from parfocal.engines.model.forms import int8_graph_um
from parfocal.engines.model.golden import golden_path, load_golden, save_golden, standardised
from parfocal.engines.model.shipped import list_models

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


@pytest.mark.parametrize("path", [model.path for model in list_models()], ids=lambda path: path.stem)
def test_shipped_model_has_golden_patches_and_int8_scales(path: Path) -> None:
    assert len(load_golden(path).batch) == len(int8_graph_um(path))
