"""Open the engine that was chosen for a model on this machine."""

from dataclasses import dataclass
from pathlib import Path

from parfocal.engines.backends import maker_of
from parfocal.engines.cache import EngineCache
from parfocal.engines.choose import Choice, load_choices
from parfocal.engines.cpu.openvino import OpenVinoRunner
from parfocal.engines.errors import HOW_TO_REBUILD, EngineStale
from parfocal.engines.key import EngineKey
from parfocal.engines.model.head import load_head
from parfocal.engines.model.shipped import model_at, with_measured_scales
from parfocal.engines.predictor import Predictor


@dataclass(frozen=True)
class OpenedEngine:
    """An engine ready to predict, with its head, and a description of it for the user."""

    predictor: Predictor
    description: str


def open_chosen(
    model_path: Path, cache: EngineCache, *, n_threads: int = 0, condenser: float | None = None
) -> OpenedEngine:
    """Open the engine that `build_all` chose, or the FP32 model on OpenVINO if it never ran.

    Args:
        model_path: path of the ONNX file.
        cache: where engines and choices are kept.
        n_threads: threads for OpenVINO if nothing was chosen; a chosen engine keeps its own number.
        condenser: as `Predictor` takes it.

    Raises:
        EngineStale: the chosen engine no longer fits this machine or model. It is never replaced silently.
        BuildFailed: the model or its head is unusable.
        InputMismatch: the model does not take the condenser, or was not trained for it.
    """
    model = with_measured_scales(model_at(model_path), cache.folder)
    head = load_head(model_path, model.contract)
    choice = load_choices(cache).get(model.label)
    if choice is None:
        return OpenedEngine(
            Predictor(OpenVinoRunner(model_path, n_threads=n_threads), head, condenser),
            f"{model.contract.name} on openvino in fp32 (no engine chosen yet: "
            f"`parfocal engine build{'' if model.label == model.contract.name else f' {model_path}'}`)",
        )
    maker, _ = maker_of(choice.key.backend, choice.key.n_threads)
    key = maker.key(model, choice.key.precision, choice.key.int8_mode)
    if key != choice.key:
        raise EngineStale(_changed(choice.key, key))
    runner = maker.open(cache.load(key), key, model.contract)
    return OpenedEngine(Predictor(runner, head, condenser), f"{model.contract.name} on {_described(choice)}")


def _described(choice: Choice) -> str:
    row = next((row for row in choice.rows if row.key == choice.key), None)
    why = choice.reason
    if row is not None and row.refused:
        why += f", although the accuracy gate refuses it: {row.refused}"
    speed = f"{row.ms_p50:.1f} ms for {row.batch} patches, " if row is not None and row.ms_p50 else ""
    return f"{choice.key.backend} in {choice.key.precision} ({speed}{why})"


def _changed(chosen: EngineKey, present: EngineKey) -> str:
    differing = [
        f"{value} was {getattr(chosen, value)!r}, is {getattr(present, value)!r}"
        for value in chosen.__struct_fields__
        if getattr(chosen, value) != getattr(present, value)
    ]
    return f"the engine chosen for {chosen.model} is stale: {'; '.join(differing)}. {HOW_TO_REBUILD}"
