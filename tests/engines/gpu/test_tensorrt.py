"""Building, keeping, choosing and opening TensorRT engines, on stand-ins for TensorRT and pycuda."""

import enum
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.quantise.forms import made_form
from parfocal.engines import backends
from parfocal.engines.backends import TensorRtMaker, maker_of
from parfocal.engines.cache import EngineCache
from parfocal.engines.cpu.openvino import OpenVinoRunner
from parfocal.engines.errors import BuildFailed, EngineStale
from parfocal.engines.gpu.cuda_probe import CudaDevice
from parfocal.engines.gpu.tensorrt_runner import TensorRtRunner
from parfocal.engines.key import Int8Mode, Precision
from parfocal.engines.model.forms import Form, form_content
from parfocal.engines.model.golden import load_golden
from parfocal.engines.model.shipped import Model, list_models
from parfocal.engines.opening import open_chosen
from tests.engines.building import build_all
from tests.engines.conftest import CARD, ORIN, written_golden
from tests.engines.gpu.fake_cuda import FakeCuda
from tests.engines.gpu.fake_tensorrt import VERSIONS, FakeTensorRt, kernel_um, patches

Batch = NDArray[np.float32]


class OldFlags(enum.IntEnum):
    """Flags of a network before strong typing."""

    EXPLICIT_BATCH = 0


each_generation = pytest.mark.parametrize("generation", VERSIONS)


@pytest.fixture
def model(equipped: Path) -> Model:
    """A model whose golden patches match the predictions of the fake kernel."""
    path = equipped
    golden = load_golden(path)
    predicted_um = kernel_um(golden.batch)
    written_golden(path, predicted_um, predicted_um)
    return list_models(path.parent)[0]


@each_generation
def test_engines_are_built_stored_chosen_and_predict(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path, generation: str
) -> None:
    trt = install(generation)
    cache = EngineCache(tmp_path / "engines")
    outcomes = build_all([model], TensorRtMaker(), cache)
    assert [(o.row.precision, o.built, o.row.failed, o.row.refused) for o in outcomes] == [
        ("fp32", True, "", ""),
        ("fp16", True, "", ""),
    ]
    assert sum(outcome.chosen for outcome in outcomes) == 1
    opened = open_chosen(model.path, cache)
    assert "tensorrt in fp" in opened.description
    np.testing.assert_allclose(
        opened.predictor.predict(patches(4)).distance_um, kernel_um(patches(4)), rtol=1e-5
    )
    again = build_all([model], TensorRtMaker(), cache)
    assert [outcome.built for outcome in again] == [False, False]
    assert trt.n_builds == 2


@pytest.mark.parametrize(
    ("generation", "precision", "mode", "form", "flags", "network_flags"),
    [
        ("10.3", "fp32", "none", "fp32", [], 1),
        ("8.6", "fp32", "none", "fp32", [], 1),
        ("8.6", "fp16", "none", "fp32", ["FP16"], 1),
        ("8.6", "int8", "explicit", "int8_qdq", ["INT8", "FP16"], 1),
        ("10.3", "fp16", "none", "fp16", [], 2),
        ("10.3", "int8", "explicit", "int8_qdq_fp16", [], 2),
        ("10.16", "int8", "implicit", "fp32", ["INT8"], 1),
        ("11.4", "fp32", "none", "fp32", [], 2),
        ("11.4", "fp16", "none", "fp16", [], 2),
        ("11.4", "int8", "explicit", "int8_qdq_fp16", [], 2),
    ],
)
def test_precision_is_set_by_types_or_else_by_flags(
    install: Callable[[str], FakeTensorRt],
    model: Model,
    tmp_path: Path,
    generation: str,
    precision: Precision,
    mode: Int8Mode,
    form: Form,
    flags: list[str],
    network_flags: int,
) -> None:
    trt = install("10.3" if generation == "8.6" else generation)
    if generation == "8.6":  # there are no bindings of 8.6 to compare a fake with
        vars(trt)["NetworkDefinitionCreationFlag"] = OldFlags
    outcomes = build_all(
        [model],
        TensorRtMaker(),
        EngineCache(tmp_path / "e"),
        precision=precision,
        int8_mode=mode,
    )
    assert [outcome.row.failed for outcome in outcomes] == [""]
    assert trt.onnx == form_content(model.path, form, made_form)
    assert (trt.flags, trt.network_flags, trt.profiles) == (flags, network_flags, [(4, 3, 32, 32)])
    assert trt.calibrated == ([[4 * 3 * 32 * 32]] if mode == "implicit" else [])
    assert outcomes[0].asked_for


def without_int8(trt: FakeTensorRt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make builds of quantised models fail."""

    class Builder(trt.Builder):  # type: ignore[misc, name-defined]
        def build_serialized_network(self, network: object, config: object) -> object:
            quantised = b"QuantizeLinear" in trt.onnx
            trt.build_error = "Could not find any implementation for node conv" if quantised else None
            return super().build_serialized_network(network, config)

    monkeypatch.setattr(trt, "Builder", Builder)


def test_int8_that_fails_falls_back_to_fp16_and_says_so(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = install("10.3")
    without_int8(trt, monkeypatch)
    cache = EngineCache(tmp_path / "e")
    outcomes = build_all([model], TensorRtMaker(), cache, precision="int8")
    assert [(o.row.precision, o.chosen, o.asked_for) for o in outcomes] == [
        ("int8", False, False),
        ("fp16", True, False),
    ]
    failed = outcomes[0].row.failed
    assert "TensorRT 10.3.0 says: Could not find any implementation for node conv" in failed
    assert failed.endswith("Falling back to fp16.")
    assert "in place of int8, which failed" in open_chosen(model.path, cache).description


def test_fp16_in_place_of_int8_must_be_accurate(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_int8(install("10.3"), monkeypatch)
    golden = load_golden(model.path)
    written_golden(model.path, golden.distance_um, golden.reference_um + 9.0)
    outcomes = build_all([model], TensorRtMaker(), EngineCache(tmp_path / "e"), precision="int8")
    assert outcomes[1].row.refused
    assert not any(outcome.chosen for outcome in outcomes)


def test_every_batch_size_is_checked(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("10.3")
    monkeypatch.setitem(backends.BATCHES, "difference", (4, 2))
    infer = TensorRtRunner.infer

    def wrong_for_two(self: TensorRtRunner, batch: Batch) -> Batch:
        return infer(self, batch) + (3.0 if len(batch) == 2 else 0.0)

    monkeypatch.setattr(TensorRtRunner, "infer", wrong_for_two)
    outcomes = build_all([model], TensorRtMaker(), EngineCache(tmp_path / "e"))
    assert all("3.000 um off" in outcome.row.refused for outcome in outcomes)


def test_nan_prediction_is_refused_and_the_choice_stays_readable(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("10.3")
    infer = TensorRtRunner.infer
    broken = [True]

    def without_number(self: TensorRtRunner, batch: Batch) -> Batch:
        return np.full((len(batch), 1), np.nan, np.float32) if broken[0] else infer(self, batch)

    monkeypatch.setattr(TensorRtRunner, "infer", without_number)
    cache = EngineCache(tmp_path / "e")
    (fp16,) = build_all([model], TensorRtMaker(), cache, precision="fp16")
    assert "not finite numbers" in fp16.row.refused
    broken[0] = False
    (fp32,) = build_all([model], TensorRtMaker(), cache, precision="fp32")
    assert (fp32.chosen, fp32.row.refused) == (True, "")
    assert "tensorrt in fp32" in open_chosen(model.path, cache).description


def test_int8_measured_before_is_compared_again(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path
) -> None:
    trt = install("10.3")
    cache = EngineCache(tmp_path / "e")
    build_all([model], TensorRtMaker(), cache, int8_mode="explicit")
    again = build_all([model], TensorRtMaker(), cache)
    assert [outcome.row.precision for outcome in again] == ["fp32", "fp16", "int8"]
    assert trt.n_builds == 3


def test_new_calibration_patches_rebuild_implicit_int8(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path
) -> None:
    install("10.3")
    cache = EngineCache(tmp_path / "e")
    build_all([model], TensorRtMaker(), cache, precision="int8", int8_mode="implicit")
    golden = load_golden(model.path)
    written_golden(model.path, golden.distance_um, golden.reference_um, seed=8)
    (int8,) = build_all([model], TensorRtMaker(), cache, precision="int8", int8_mode="implicit")
    assert int8.built


def test_out_of_memory_in_cuda_is_not_remembered_as_a_failure(
    install: Callable[[str], FakeTensorRt], cuda: FakeCuda, model: Model, tmp_path: Path
) -> None:
    install("10.3")
    cache, free_bytes = EngineCache(tmp_path / "e"), cuda.free_bytes
    maker = TensorRtMaker(CARD)
    cuda.free_bytes = 10
    (failed, *_) = build_all([model], maker, cache, precision="int8", int8_mode="implicit")
    assert "out of memory" in failed.row.failed
    cuda.free_bytes = free_bytes
    (again,) = build_all([model], maker, cache, precision="int8", int8_mode="implicit")
    assert (again.built, again.row.failed) == (True, "")


def test_out_of_memory_in_tensorrt_is_not_remembered_as_a_failure(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path
) -> None:
    trt = install("10.3")
    cache = EngineCache(tmp_path / "e")
    trt.build_error = "[resizingAllocator.cpp] Cuda Runtime (out of memory)"
    (failed,) = build_all([model], TensorRtMaker(), cache, precision="fp16")
    assert "Close other programs" in failed.row.failed
    trt.build_error = None
    (again,) = build_all([model], TensorRtMaker(), cache, precision="fp16")
    assert (again.built, again.row.failed) == (True, "")


def test_timing_cache_that_does_not_fit_on_disk_fails_no_build(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("10.3")
    write = EngineCache.write

    def no_room_for_timing(self: EngineCache, name: str, content: bytes) -> None:
        if name.endswith(".timing"):
            raise BuildFailed("no room")
        write(self, name, content)

    monkeypatch.setattr(EngineCache, "write", no_room_for_timing)
    (fp16,) = build_all([model], TensorRtMaker(), EngineCache(tmp_path / "e"), precision="fp16")
    assert (fp16.built, fp16.row.failed) == (True, "")


def test_failed_build_keeps_the_old_engine_and_the_old_choice(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = install("10.3")
    cache = EngineCache(tmp_path / "engines")
    build_all([model], TensorRtMaker(), cache)
    newer = msgspec.structs.replace(ORIN, driver="13.2")
    trt.build_error = "no kernel"
    outcomes = build_all([model], TensorRtMaker(newer), cache)
    assert not any(outcome.chosen or outcome.built for outcome in outcomes)
    assert all("says: no kernel" in outcome.row.failed for outcome in outcomes)
    open_chosen(model.path, cache).predictor.predict(patches(4))
    monkeypatch.setattr(backends, "probe", lambda: newer)
    with pytest.raises(EngineStale, match=r"driver was 'CUDA 12\.6', is 'CUDA 13\.2'.*parfocal engine build"):
        open_chosen(model.path, cache)
    trt.build_error = None
    assert all(outcome.built for outcome in build_all([model], TensorRtMaker(newer), cache, retry=True))
    open_chosen(model.path, cache).predictor.predict(patches(4))


def test_build_that_failed_is_not_tried_again_until_something_changes(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path
) -> None:
    trt = install("10.3")
    cache = EngineCache(tmp_path / "engines")
    trt.build_error = "Could not find any implementation for node conv"
    first = build_all([model], TensorRtMaker(), cache, precision="fp16")
    trt.build_error = None
    again = build_all([model], TensorRtMaker(), cache, precision="fp16")
    assert trt.n_builds == 1
    assert again[0].row.failed.startswith(first[0].row.failed)
    assert "--retry" in again[0].row.failed
    assert "--retry" not in first[0].row.failed
    newer = msgspec.structs.replace(ORIN, driver="13.2")
    assert build_all([model], TensorRtMaker(newer), cache, precision="fp16")[0].built
    (retried,) = build_all([model], TensorRtMaker(), cache, precision="fp16", retry=True)
    assert (retried.built, retried.row.failed) == (True, "")


def test_damaged_engine_from_a_retry_is_built_again(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path
) -> None:
    trt = install("10.3")
    cache = EngineCache(tmp_path / "engines")
    trt.build_error = "no kernel"
    build_all([model], TensorRtMaker(), cache, precision="fp16")
    trt.build_error = None
    build_all([model], TensorRtMaker(), cache, precision="fp16", retry=True)
    for engine in cache.folder.glob("*.engine"):
        engine.write_bytes(b"")
    assert build_all([model], TensorRtMaker(), cache, precision="fp16")[0].built


def test_timing_cache_is_used_by_the_next_build_of_the_same_engine(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path
) -> None:
    trt = install("10.3")
    cache = EngineCache(tmp_path / "engines")
    for expected in (b"", b"k"):
        build_all([model], TensorRtMaker(), cache, precision="fp16")
        assert trt.timing == expected
        for engine in cache.folder.glob("*.engine"):
            engine.unlink()


def test_timing_cache_of_another_driver_is_removed(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path
) -> None:
    install("10.3")
    cache = EngineCache(tmp_path / "engines")
    for driver in ("12.6", "13.2"):
        newer = msgspec.structs.replace(ORIN, driver=driver)
        build_all([model], TensorRtMaker(newer), cache, precision="fp16")
    assert len(list(cache.folder.glob("*.timing"))) == len(list(cache.folder.glob("*.engine"))) == 1


def test_steps_and_details_are_reported_separately(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path
) -> None:
    install("10.3")
    steps: list[str] = []
    details: list[str] = []
    build_all(
        [model], TensorRtMaker(), EngineCache(tmp_path / "engines"), precision="fp16",
        report=steps.append, detail=details.append,
    )  # fmt: skip
    assert [step.split(": ")[1] for step in steps] == ["building", "checking"]
    assert details == ["Building Engine 1/2"]


def test_machine_without_a_gpu_uses_openvino_and_says_why(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_driver() -> CudaDevice:
        raise BuildFailed("no NVIDIA driver.")

    monkeypatch.setattr(backends, "probe", no_driver)
    maker, why = maker_of(None, 1)
    assert (maker.backend, why) == ("openvino", "no NVIDIA driver.")
    with pytest.raises(BuildFailed, match="no NVIDIA driver"):
        maker_of("tensorrt", 1)
    assert isinstance(
        open_chosen(model.path, EngineCache(tmp_path), n_threads=1).predictor.runner, OpenVinoRunner
    )


@pytest.mark.parametrize(("missing", "said"), [("tensorrt", "JetPack"), ("pycuda", "pip install pycuda")])
def test_missing_library_is_named(
    install: Callable[[str], FakeTensorRt], monkeypatch: pytest.MonkeyPatch, missing: str, said: str
) -> None:
    install("10.3")
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "pycuda.driver")
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    monkeypatch.delitem(sys.modules, "parfocal.engines.gpu.cuda_bindings", raising=False)
    with pytest.raises(BuildFailed, match=said):
        TensorRtMaker()
