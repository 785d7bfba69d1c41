"""TensorRT on a real device: every shipped model is built, checked and timed in every precision."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from parfocal.engines.backends import TensorRtMaker
from parfocal.engines.cache import EngineCache
from parfocal.engines.errors import BuildFailed
from parfocal.engines.gpu.cuda_memory import CudaMemory
from parfocal.engines.key import Int8Mode
from parfocal.engines.model.golden import load_golden
from parfocal.engines.model.shipped import Model, list_models
from parfocal.engines.opening import open_chosen
from tests.engines.building import build_all

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def maker() -> TensorRtMaker:
    try:
        return TensorRtMaker()
    except BuildFailed as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("int8_mode", ["explicit", "implicit"])
@pytest.mark.parametrize("model", list_models(), ids=lambda model: model.contract.name)
def test_engines_are_built_accurate_and_opened_again(
    maker: TensorRtMaker,
    memory: CudaMemory,
    model: Model,
    int8_mode: Int8Mode,
    tmp_path: Path,
    record_property: Record,
) -> None:
    del memory  # requested so that the test skips without one
    cache = EngineCache(tmp_path)
    outcomes = build_all([model], maker, cache, int8_mode=int8_mode)
    for outcome in outcomes:
        row = outcome.row
        record_property(
            f"{row.precision} {row.int8_mode}", f"{row.ms_p50} ms, {row.deviation} {row.failed}{row.refused}"
        )
    by_precision = {outcome.row.precision: outcome.row for outcome in outcomes}
    assert by_precision["fp32"].passed
    assert by_precision["fp16"].passed
    assert not any(outcome.built for outcome in build_all([model], maker, cache, int8_mode=int8_mode))
    golden = load_golden(model.path)
    n = by_precision["fp32"].batch or 0
    found_um = open_chosen(model.path, cache).predictor.predict(golden.batch[:n]).distance_um
    assert np.abs(found_um - golden.reference_um[:n]).max() < 1.0
