"""The engine of the configured model, after checking that the model fits the configuration."""

import msgspec

from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.judging.rule import reach_of
from parfocal.edge.focus.picture.part import PATCHES_PER_SIDE
from parfocal.engines.cache import EngineCache, default_cache_folder
from parfocal.engines.errors import InputMismatch
from parfocal.engines.model.contract import SIGN_OF_SINGLE, TWO_SHOT_KINDS, Contract, Expectation, require
from parfocal.engines.model.shipped import model_at, model_path
from parfocal.engines.opening import OpenedEngine, open_chosen
from parfocal.engines.predictor import Predictor, checked_condenser


def opened_engine(focus: FocusConfig) -> OpenedEngine:
    """Open the engine chosen for the configured model. Raises EngineError."""
    return open_chosen(
        model_path(focus.model),
        EngineCache(default_cache_folder()),
        n_threads=focus.threads,
        condenser=focus.condenser,
    )


class Engines(msgspec.Struct, frozen=True):
    """The engines of a run, and their description for the user. `single` is that of the single-shot model, if any."""

    predictor: Predictor
    description: str
    single: Predictor | None = None


def checked_engine(config: Config) -> Engines:
    """Open the engines of the configured models, after checking frame size and contracts.

    Raises:
        ConfigError: the camera's frames are too small; no engine was opened.
        InputMismatch: a model does not fit the configuration; no engine was opened.
        EngineError: from opening.
    """
    focus = config.focus
    check_frame_size(config)
    check_model(model_at(model_path(focus.model)).contract, config)
    misfit = _misfit_of_single(config)
    opened = opened_engine(focus)
    if focus.strategy != "controller" or not focus.single_model:
        return Engines(opened.predictor, opened.description)
    if misfit is not None:
        return Engines(opened.predictor, f"{opened.description}; two shots alone: {misfit}")
    single = opened_engine(msgspec.structs.replace(focus, model=focus.single_model))
    return Engines(opened.predictor, f"{opened.description}; {single.description}", single.predictor)


def _misfit_of_single(config: Config) -> str | None:
    """Why the default single-shot model cannot be used, so that the controller takes two shots; None if it can.

    It does not fit every camera and objective. One that was asked for must: raises InputMismatch, ConfigError.
    """
    focus = config.focus
    if focus.strategy != "controller" or not focus.single_model:
        return None
    try:
        check_single_model(model_at(model_path(focus.single_model)).contract, config)
    except (ConfigError, InputMismatch) as error:
        if focus.single_model != FocusConfig().single_model:
            raise
        return str(error)
    return None


def checked_single_engine(config: Config) -> OpenedEngine:
    """Open the engine of the single-shot model, after checking frame size and contract.

    Raises what `checked_engine` raises; ConfigError also if no single-shot model is configured.
    """
    name = config.focus.single_model
    if not name:
        raise ConfigError(
            'this needs a single-shot model, but focus.single_model is "". Leave that key out for the one that ships.'
        )
    check_single_model(model_at(model_path(name)).contract, config)
    return opened_engine(msgspec.structs.replace(config.focus, model=name))


def check_frame_size(config: Config) -> None:
    """Refuse camera frames that are smaller than the part that focus is judged by. Raises ConfigError."""
    camera, focus = config.camera, config.focus
    side_px = PATCHES_PER_SIDE * focus.patch_px * focus.downsample
    if min(camera.width_px, camera.height_px) < side_px:
        raise ConfigError(
            f"the configured frames of {camera.width_px} x {camera.height_px} px are too small: focus is judged by "
            f"their central {side_px} x {side_px} px. Set camera.width_px and camera.height_px to a larger mode."
        )


def check_single_model(contract: Contract, config: Config) -> None:
    """Refuse a single-shot model that does not fit the configuration. Raises InputMismatch, ConfigError."""
    camera, focus = config.camera, config.focus
    if contract.kind != "single":
        raise InputMismatch(
            f"model {contract.name} refused as focus.single_model: it predicts from two shots. Set "
            'focus.single_model to a single-shot model such as single-20x, or to "" for none.'
        )
    expected = Expectation(
        kind="single",
        delta_um=0.0,
        um_per_px=camera.um_per_px * focus.downsample,
        objective=focus.objective,
        patch_px=contract.patch_px,
        sign=SIGN_OF_SINGLE,
    )
    require(contract, expected)
    checked_condenser(contract, focus.condenser)
    side_px = contract.patch_px * focus.downsample
    if min(camera.width_px, camera.height_px) < side_px:
        raise ConfigError(
            f"the configured frames of {camera.width_px} x {camera.height_px} px are too small for the patches of "
            f'{contract.name}: {side_px} px. Set focus.single_model to "" for none, or camera.width_px '
            "and camera.height_px to a larger mode."
        )


def check_model(contract: Contract, config: Config) -> None:
    """Refuse a model that the focus rule cannot use with this configuration. Raises InputMismatch."""
    focus = config.focus
    if contract.kind not in TWO_SHOT_KINDS:
        raise InputMismatch(
            f"model {contract.name} refused: it predicts from one shot, but focusing takes two. Set focus.model to a "
            "two-shot model such as difference-20x (`parfocal engine list` shows the kind of each)."
        )
    expected = Expectation(
        kind=contract.kind,  # either two-shot kind works
        delta_um=focus.delta_um,
        um_per_px=config.camera.um_per_px * focus.downsample,
        objective=focus.objective,
        patch_px=focus.patch_px,
    )
    require(contract, expected)
    checked_condenser(contract, focus.condenser)
    try:
        reach_of(contract.range_um, focus)
    except ValueError as error:
        raise InputMismatch(f"model {contract.name} refused: {error}.") from error
