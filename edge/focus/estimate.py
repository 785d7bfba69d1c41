"""From two shots, or one, to an estimate with its confidence (dastidar2020 4.3.3, liao2021 2.1)."""

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus import prepare
from parfocal.edge.focus.places import places
from parfocal.edge.pixels import UInt8Array
from parfocal.engines.runner import Runner

PATCHES_PER_SIDE = 2  # dastidar2020 4.2: the central part is split into four


class Estimate(msgspec.Struct, frozen=True):
    """Where the focus lies as seen from the second shot; `distance_um` is positive when it lies above.

    `spread_um` is the standard deviation of the patches' predictions, weighted as their mean is: a patch with
    nothing in it says nothing, and must not make the others look uncertain.
    """

    distance_um: float
    spread_um: float
    predictions_um: tuple[float, ...]
    weights: tuple[float, ...]


def central_part(pixels: UInt8Array, config: FocusConfig) -> UInt8Array:
    """The part of a frame that is judged, cropped and down-sampled; uint8 (2 * patch_px, 2 * patch_px, 3)."""
    side_px = PATCHES_PER_SIDE * config.patch_px
    return np.ascontiguousarray(reduced(prepare.central_crop(pixels, side_px * config.downsample), config))


def estimate(first: UInt8Array, second: UInt8Array, runner: Runner, config: FocusConfig) -> Estimate:
    """Estimate the distance to focus from the frames (h, w, 3) at z1 and z2.

    Raises:
        ValueError: a frame is smaller than the part that is judged, or holds no contrast.
        EngineError: from the runner.
    """
    shots = [prepare.smoothed(central_part(pixels, config)) for pixels in (first, second)]
    weights = prepare.contrast_of(prepare.patches_of(shots[1], config.patch_px))
    seen = prepare.two_shot_image(shots[0], shots[1], with_second=runner.contract.kind == "pair")
    predictions = runner.infer(prepare.standardised(prepare.patches_of(seen, config.patch_px)))
    return weighted(predictions, weights)


def estimate_single(shot: UInt8Array, runner: Runner, config: FocusConfig) -> Estimate:
    """Estimate the distance to focus from one frame (h, w, 3), with a model of kind "single" (liao2021 2.1).

    Raises:
        ValueError: the frame is smaller than one patch of the model, or holds no contrast.
        EngineError: from the runner.
    """
    whole, side_px = prepare.smoothed(reduced(shot, config)), runner.contract.patch_px
    patches = np.stack(
        [
            whole[top : top + side_px, left : left + side_px].transpose(2, 0, 1)
            for top, left in places(whole.shape[0], whole.shape[1], side_px)
        ]
    ).astype(np.float32)
    return weighted(runner.infer(prepare.standardised(patches)), prepare.contrast_of(patches))


def reduced(pixels: UInt8Array, config: FocusConfig) -> UInt8Array:
    """A whole frame (h, w, 3) down-sampled as the configuration says."""
    if config.downsample == 1:
        return pixels
    size_px = (pixels.shape[1] // config.downsample, pixels.shape[0] // config.downsample)
    return cv2.resize(pixels, size_px, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def patch_contrasts(pixels: UInt8Array, config: FocusConfig) -> NDArray[np.float32]:
    """Contrast in grey levels of each patch of one frame (h, w, 3); (n,)."""
    smooth = prepare.smoothed(central_part(pixels, config))
    return prepare.contrast_of(prepare.patches_of(smooth, config.patch_px))


def blank(weights: NDArray[np.float32], config: FocusConfig) -> bool:
    """Whether no patch holds enough to judge."""
    return bool(weights.max() < config.blank_contrast)


def weighted(predictions_um: NDArray[np.float32], weights: NDArray[np.float32]) -> Estimate:
    """Mean and spread of the patches' predictions (n,), weighted by their contrast (n,).

    Raises ValueError where no patch holds any contrast: black, saturated or of one colour.
    """
    if not weights.any():
        raise ValueError("no patch holds any contrast: there is nothing to judge")
    mean = float(np.average(predictions_um, weights=weights))
    variance = float(np.average((predictions_um - mean) ** 2, weights=weights))
    return Estimate(
        distance_um=mean,
        spread_um=float(np.sqrt(variance)),
        predictions_um=tuple(float(p) for p in predictions_um),
        weights=tuple(float(w) for w in weights),
    )
