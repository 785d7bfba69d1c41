"""What of the configuration reaches the engine, and how a run over fields ends."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from parfocal.edge import run
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.plan import Field
from parfocal.engines.cache import EngineCache
from parfocal.engines.errors import EngineError
from parfocal.engines.opening import OpenedEngine, open_chosen
from tests.contracts import difference_contract
from tests.edge.scope import FOCUS_Z_UM, KnowsTruth, Scope, with_focus


@pytest.mark.parametrize(("text", "arrived"), [("", 0), ("[focus]\nthreads = 1\n", 1)])
def test_model_and_number_of_threads_of_the_configuration_reach_the_engine(
    text: str, arrived: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def opened(model: Path, cache: EngineCache, *, n_threads: int = 0) -> OpenedEngine:
        asked.append((model.stem, n_threads))
        return open_chosen(model, cache, n_threads=n_threads)

    monkeypatch.setattr(run, "open_chosen", opened)
    assert run.checked_engine(config_from_toml(text, "t")).runner.contract.name == "difference-20x"
    assert asked == [("difference-20x", arrived)]


def test_the_lamp_goes_out_however_a_run_ends(config: Config) -> None:
    scope = Scope(config)
    instrument = run.Instrument(scope.board, scope.camera, scope.bench.clock)

    class Fails:
        contract = difference_contract()

        def infer(self, _batch: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            raise EngineError("the engine has gone")

    lit: list[float] = []
    near = with_focus(
        config, first_sweep_start_um=2486.0, first_sweep_stop_um=2516.0, first_sweep_step_um=2.0
    )

    def look(_done: object) -> None:
        lit.append(scope.bench.lamp_duty(scope.bench.clock.now_s()))

    runner = KnowsTruth(scope.bench, FOCUS_Z_UM)
    plan = (Field(20_000.0, 10_000.0),)
    run.focus_fields(instrument, runner, near, plan, Console(quiet=True), look)
    assert lit == [config.scan.lamp_duty]
    assert scope.bench.lamp_duty(scope.bench.clock.now_s()) == 0.0
    with pytest.raises(EngineError):
        run.focus_fields(instrument, Fails(), near, plan, Console(quiet=True))
    assert scope.bench.lamp_duty(scope.bench.clock.now_s()) == 0.0
