"""The engine of the configured model, once the model fits the configuration."""

from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.estimate import PATCHES_PER_SIDE
from parfocal.edge.focus.rule import reach_of
from parfocal.engines.cache import EngineCache, default_cache_folder
from parfocal.engines.errors import InputMismatch
from parfocal.engines.model.contract import TWO_SHOT_KINDS, Contract, Expectation, require
from parfocal.engines.model.shipped import model_path
from parfocal.engines.opening import OpenedEngine, open_chosen


def opened_engine(model: str, threads: int) -> OpenedEngine:
    """The engine chosen for a model, which is a name or a path; `threads` as in FocusConfig. Raises EngineError."""
    return open_chosen(model_path(model), EngineCache(default_cache_folder()), n_threads=threads)


def check_frame_size(config: Config) -> None:
    """Refuse camera frames that do not hold the part which is judged. Raises ConfigError; nothing is opened."""
    camera, focus = config.camera, config.focus
    side_px = PATCHES_PER_SIDE * focus.patch_px * focus.downsample
    if min(camera.width_px, camera.height_px) < side_px:
        raise ConfigError(
            f"frames of {camera.width_px} x {camera.height_px} px are configured: focus is judged by their middle "
            f"{side_px} x {side_px} px. Set camera.width_px and camera.height_px to a larger mode."
        )


def checked_engine(config: Config) -> OpenedEngine:
    """The engine chosen for the configured model, which was made for this configuration.

    Raises EngineError; ConfigError where the camera's frames are too small for it.
    """
    check_frame_size(config)
    opened = opened_engine(config.focus.model, config.focus.threads)
    check_model(opened.runner.contract, config)
    return opened


def check_model(contract: Contract, config: Config) -> None:
    """Refuse a model that cannot serve the focus rule here. Raises InputMismatch naming what differs."""
    focus = config.focus
    if contract.kind not in TWO_SHOT_KINDS:
        raise InputMismatch(
            f"use of model {contract.name} refused: it predicts from one shot, and focusing takes two. Set focus.model "
            "to a model of two shots, such as difference-20x (`parfocal engine list` shows the kind of each)."
        )
    expected = Expectation(
        kind=contract.kind,  # of the kinds that two shots serve, each will do
        delta_um=focus.delta_um,
        um_per_px=config.camera.um_per_px * focus.downsample,
        objective=focus.objective,
        patch_px=focus.patch_px,
    )
    require(contract, expected)
    try:
        reach_of(contract.range_um, focus)
    except ValueError as error:
        raise InputMismatch(f"use of model {contract.name} refused: {error}.") from error
