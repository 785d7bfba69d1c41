"""Distance to focus from two shots or one, with its confidence (dastidar2020 4.3.3, liao2021 2.1)."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.models.optics import SINGLE_SHOT
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging.belief import Doubt, by_belief, by_contrast
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.picture import prepare
from parfocal.edge.focus.picture.fullest import fullest_place
from parfocal.edge.focus.picture.part import CentralPart, reduced
from parfocal.edge.focus.picture.places import places
from parfocal.edge.pixels import UInt8Array
from parfocal.engines.model.head import Prediction
from parfocal.engines.predictor import Predictor


class Estimate(msgspec.Struct, frozen=True):
    """Distance from the second shot to the focus; `distance_um` is positive if the focus is above.

    `spread_um` is the standard deviation of the patches' predictions, weighted like their mean: an empty patch
    carries no information and must not make the others look uncertain.

    `sigma_um` is the standard uncertainty of the distance, None if the model does not predict it. `doubt` says why the
    estimate is not believed; "" if it is, None if the model does not tell.
    """

    distance_um: float
    spread_um: float
    predictions_um: tuple[float, ...]
    weights: tuple[float, ...]
    sigma_um: float | None = None
    doubt: Doubt | None = None

    @property
    def believed(self) -> bool | None:
        """Whether the estimate is believed; None if the model does not tell."""
        return None if self.doubt is None else not self.doubt


def estimate(first: CentralPart, second: CentralPart, predictor: Predictor, config: FocusConfig) -> Estimate:
    """Estimate the distance to focus from the shots at z1 and z2.

    Raises:
        ValueError: the second shot has no contrast.
        EngineError: from the engine.
    """
    pair = predictor.contract.kind == "pair"
    batch = prepare.two_shot_batch(first.planes, second.planes, second.patch_px, with_second=pair)
    return weighted(predictor.predict(batch), second.contrasts, config)


def estimate_single(shot: UInt8Array, predictor: Predictor, config: FocusConfig) -> Estimate:
    """Estimate the distance to focus from one frame (h, w, 3), with a model of kind "single" (liao2021 2.1).

    Nothing checks a single shot, so one that is unsure is not believed.

    Raises:
        ValueError: the frame is smaller than one patch of the model, or has no contrast.
        EngineError: from the engine.
    """
    batch, contrasts = single_batch(shot, predictor.contract.patch_px, config)
    return _single(predictor.predict(batch), contrasts, config)


def estimate_single_anywhere(shot: UInt8Array, predictor: Predictor, config: FocusConfig) -> Estimate | None:
    """The same, but of a frame with one patch by the part that holds most. None if it has no contrast.

    For a tile at the edge of the tissue, whose middle is empty, or half empty. Raises ValueError if the frame is
    smaller than one patch of the model; EngineError.
    """
    side_px, whole = predictor.contract.patch_px, reduced(shot, config)
    corners = places(whole.shape[0], whole.shape[1], side_px)
    if len(corners) == 1 and (fullest := fullest_place(whole, side_px, config.blank_contrast)) is not None:
        corners = (fullest,)
    batch, contrasts = prepare.single_shot_batch(whole, corners, side_px)
    return _single(predictor.predict(batch), contrasts, config) if contrasts.any() else None


def _single(prediction: Prediction, contrasts: NDArray[np.float32], config: FocusConfig) -> Estimate:
    found = weighted(prediction, contrasts, config)
    most_um = SINGLE_SHOT.at(depth_scale(config.objective)).sigma_um
    is_unsure = found.sigma_um is not None and found.sigma_um > most_um
    return msgspec.structs.replace(found, doubt="unsure") if is_unsure and not found.doubt else found


def single_batch(
    shot: UInt8Array, side_px: int, config: FocusConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a single-shot model with patches of `side_px` takes of a frame (h, w, 3), and their contrasts (n,).

    Raises ValueError if the frame is smaller than one patch.
    """
    whole = reduced(shot, config)
    return prepare.single_shot_batch(whole, places(whole.shape[0], whole.shape[1], side_px), side_px)


def weighted(prediction: Prediction, weights: NDArray[np.float32], config: FocusConfig) -> Estimate:
    """What the patches say together, weighted by their contrast (n,), see `parfocal.edge.focus.judging.belief`.

    Raises ValueError if no patch has any contrast: black, saturated or of one colour.
    """
    together = (
        by_belief(prediction, weights, depth_scale(config.objective))
        if config.belief
        else by_contrast(prediction, weights)
    )
    return Estimate(
        distance_um=together.distance_um,
        spread_um=together.spread_um,
        predictions_um=tuple(float(p) for p in prediction.distance_um),
        weights=tuple(float(w) for w in weights),
        sigma_um=together.sigma_um,
        doubt=together.doubt,
    )
