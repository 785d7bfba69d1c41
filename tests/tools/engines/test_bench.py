"""The targets of the benchmark depend on the precisions of the CPU."""

import pytest

from parfocal.engines.key import Precision
from parfocal.engines.model.shipped import Model, list_models
from tools.engines.bench import WANTED_RATIO, wanted_ratio


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model.contract.name)
@pytest.mark.parametrize("others", [(), ("int8",)])
def test_target_speed_is_lower_on_a_cpu_without_bf16(model: Model, others: tuple[Precision, ...]) -> None:
    without: tuple[Precision, ...] = ("fp32", *others)
    assert wanted_ratio(model, without) == 1.0
    assert wanted_ratio(model, (*without, "bf16")) == WANTED_RATIO[model.contract.kind] > 1.0
