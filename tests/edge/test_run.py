"""What of the configuration reaches the engine."""

from pathlib import Path

import pytest

from parfocal.edge import run
from parfocal.edge.config import config_from_toml
from parfocal.engines.cache import EngineCache
from parfocal.engines.opening import OpenedEngine, open_chosen


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
