"""A model states what it was made for, and is refused for anything else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from onnx import helper

from parfocal.engines.errors import BuildFailed, InputMismatch
from parfocal.engines.model.contract import METADATA_KEY, Contract, Expectation, contract_from_onnx, require
from parfocal.engines.model.onnx_metadata import metadata_from_onnx

EXPECTED = Expectation(kind="difference", delta_um=2.0, um_per_px=0.345, objective="20x/0.75", patch_px=32)


def test_contract_reads_back_as_written(make_model: Callable[..., Path], contract: Contract) -> None:
    assert contract_from_onnx(make_model()) == contract


def test_fitting_contract_passes(contract: Contract) -> None:
    require(contract, EXPECTED)


@pytest.mark.parametrize(
    ("value", "in_model", "words"),
    [
        ("kind", "single", "kind is 'single' in the model, 'difference' in the configuration"),
        ("delta_um", 3.0, "delta_um is 3 in the model, 2 in the configuration"),
        ("um_per_px", 0.69, "um_per_px is 0.69 in the model, 0.345 in the configuration"),
        ("objective", "10x/0.30", "objective is '10x/0.30' in the model, '20x/0.75' in the configuration"),
        ("patch_px", 672, "patch_px is 672 in the model, 32 in the configuration"),
        ("channels_order", "BGR", "channels_order is 'BGR' in the model, 'RGB' in the configuration"),
        ("normalisation", "none", "normalisation is 'none' in the model, 'channel-standardised' in"),
        ("sign", "positive down", "sign is 'positive down' in the model, 'distance_um to focus"),
    ],
)
def test_each_value_that_differs_is_named(
    contract: Contract, value: str, in_model: float | str, words: str
) -> None:
    with pytest.raises(InputMismatch) as refusal:
        require(msgspec.structs.replace(contract, **{value: in_model}), EXPECTED)
    text = str(refusal.value)
    assert text.startswith("use of model small refused: ")
    assert words in text
    assert "`parfocal engine list`" in text
    assert text.count("in the configuration") == 1
    assert "\n" not in text


def test_all_values_that_differ_are_named_at_once(contract: Contract) -> None:
    other = msgspec.structs.replace(contract, delta_um=3.0, objective="10x/0.30")
    with pytest.raises(InputMismatch, match=r"delta_um is 3 .*; objective is '10x/0\.30' "):
        require(other, EXPECTED)


def _changed(text: str, **changes: Any) -> str:  # noqa: ANN401
    values = {**json.loads(text), **changes}
    return json.dumps({name: value for name, value in values.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"delta_um": None}, "missing required field `delta_um`"),
        ({"format_version": None}, "missing required field `format_version`"),
        ({"zoom": 3}, "unknown field `zoom`"),
        ({"delta_um": "2"}, "`$.delta_um`"),
        ({"delta_um": -2.0}, "`$.delta_um`"),
        ({"um_per_px": 0.0}, "`$.um_per_px`"),
        ({"kind": "triple"}, "'triple'"),
        ({"format_version": 3, "zoom": 3}, "format 3, this program reads formats 1 and 2"),
    ],
)
def test_unusable_contract_is_refused(
    make_model: Callable[..., Path], contract: Contract, changes: dict[str, Any], words: str
) -> None:
    text = _changed(msgspec.json.encode(contract).decode(), **changes)
    with pytest.raises(BuildFailed) as refusal:
        contract_from_onnx(make_model(metadata={METADATA_KEY: text}))
    assert words in str(refusal.value)


def test_onnx_without_a_contract_is_refused(make_model: Callable[..., Path]) -> None:
    with pytest.raises(BuildFailed, match=r"it is ONNX, but its metadata has no parfocal\.contract"):
        contract_from_onnx(make_model(metadata={"author": "somebody"}))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"nowhere\.onnx failed: No such file or directory"):
        contract_from_onnx(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"version https://git-lfs.example/spec/v1\n",
        b"\xff" * 40,
    ],
    ids=["empty", "letters", "picture", "pointer", "ones"],
)
def test_file_that_is_not_onnx_is_reported_as_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(BuildFailed, match="damaged or not ONNX. Copy it again"):
        contract_from_onnx(path)


def test_model_cut_off_anywhere_is_refused(make_model: Callable[..., Path]) -> None:
    path = make_model()
    whole = path.read_bytes()
    for n_bytes in [*range(20), *range(20, len(whole), 31), *range(len(whole) - 20, len(whole))]:
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(BuildFailed):
            contract_from_onnx(path)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=5))
@example({"lengths of two bytes": 200 * "é", "of three": 20_000 * "x"})
def test_metadata_is_read_as_the_onnx_package_writes_it(metadata: dict[str, str]) -> None:
    model = helper.make_model(helper.make_graph([], "empty", [], []))
    helper.set_model_props(model, metadata)
    model.producer_name = "a test"
    assert metadata_from_onnx(model.SerializeToString()) == metadata


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_raise_value_error(content: bytes) -> None:
    model = helper.make_model(helper.make_graph([], "empty", [], [])).SerializeToString()
    for whole in (content, model + content):
        try:
            metadata_from_onnx(whole)
        except ValueError:
            continue
        assert onnx.ModelProto.FromString(model).HasField("graph")
