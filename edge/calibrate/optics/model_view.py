"""Stacks as a model sees them: its outputs for each pair of planes, and how far each is from the sharpest plane."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from parfocal.board.axis import steps_from_um, um_from_steps
from parfocal.calib.errors import CalibPoor
from parfocal.calib.models.fixed_pattern import FineDetail
from parfocal.calib.models.levels import StackSeen
from parfocal.calib.models.optics import MIN_PICTURES
from parfocal.calib.motion.play import FocusCurve, peak_of
from parfocal.edge.calibrate.curves import white_share
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging.belief import by_belief
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.judging.estimate import single_batch
from parfocal.edge.focus.picture import prepare
from parfocal.edge.focus.picture.part import is_blank
from parfocal.edge.focus.picture.sharpness import laplacian
from parfocal.edge.focus.planes import usual_steps
from parfocal.edge.focus.shots import Shot
from parfocal.edge.measured.optics_file import KeptStack
from parfocal.edge.pixels import UInt8Array
from parfocal.engines.predictor import Predictor

# How far from delta two planes of a recorded stack may be.
PAIR_TOLERANCE_SHARE = 0.1


class Plane:
    """What is kept of a plane: its height, sharpness, and the part that the model sees."""

    def __init__(self, shot: Shot) -> None:
        """Of a shot, whose pixels may be forgotten then."""
        self.z_um, self.sharpness, self.white_share = shot.z_um, shot.sharpness, white_share(shot)
        self.smoothed: UInt8Array = shot.part.smoothed
        self.contrasts = shot.part.contrasts
        self.is_blank = shot.part.is_blank
        self._fine = laplacian(shot.part.halved_grey).astype(np.float16)

    @property
    def fine(self) -> NDArray[np.float32]:
        """Second derivatives of the part at half its size, (h, w), grey levels."""
        return self._fine.astype(np.float32)


def plane_heights(
    focus_um: float, predictor: Predictor, config: FocusConfig, um_per_step: float
) -> tuple[float, ...]:
    """Heights of the planes of a stack, ascending, evenly spaced by whole motor steps.

    The second shots of its pairs lie within the range of the model about `focus_um`, and their first shots are as far
    below as the focus rule takes them.
    """
    delta, step = steps_from_um(config.delta_um, um_per_step), usual_steps(config, um_per_step)
    middle = steps_from_um(focus_um, um_per_step)
    reach = steps_from_um(predictor.contract.range_um, um_per_step) // step
    lowest = -reach - delta // step
    return tuple(um_from_steps(middle + k * step, um_per_step) for k in range(lowest, reach + 1))


def curve_of(planes: Sequence[Plane]) -> FocusCurve:
    """The focus curve of recorded planes."""
    z_um, sharpness, white = (
        tuple(getattr(plane, name) for plane in planes) for name in ("z_um", "sharpness", "white_share")
    )
    return FocusCurve("up", z_um, sharpness, white, 0.0)


def fine_detail(planes: Sequence[Plane]) -> FineDetail:
    """What of a stack shows whether dust lies in the camera."""
    low = min(planes, key=lambda plane: plane.z_um).fine
    return FineDetail(low, max(planes, key=lambda plane: plane.sharpness).fine - low)


def kept_stack(
    planes: Sequence[Plane], curve: FocusCurve, predictor: Predictor, config: FocusConfig
) -> KeptStack:
    """The stack as the model sees it.

    Raises CalibPoor for a focus curve without a single clear peak; EngineError from the engine.
    """
    focus_um = peak_of(curve).z_um
    true_um, contrast, outputs = [], [], []
    with_second = predictor.contract.kind == "pair"
    for first, second in pairs_of(planes, config.delta_um):
        distance_um = focus_um - second.z_um
        if abs(distance_um) > predictor.contract.range_um or second.is_blank:
            continue
        seen = prepare.two_shot_image(first.smoothed, second.smoothed, with_second=with_second)
        patches = prepare.patches_of(seen, config.patch_px)
        true_um.append(distance_um)
        contrast.append(second.contrasts)
        outputs.append(predictor.runner.infer(prepare.standardised(patches)))
    if not true_um:
        raise CalibPoor(
            f"stack of {curve.z_um[0]:.1f}..{curve.z_um[-1]:.1f} um refused: no two of its planes are "
            f"{config.delta_um:g} um apart, or they are blank. Record planes that are {config.delta_um:g} um apart."
        )
    if len(true_um) < MIN_PICTURES:  # one short stack must not spoil the others
        raise CalibPoor(
            f"stack of {curve.z_um[0]:.1f}..{curve.z_um[-1]:.1f} um refused: it has {len(true_um)} pictures with "
            f"contrast within the range of the model, {MIN_PICTURES} or more are needed. Record stacks that reach "
            "farther, or with smaller steps."
        )
    return KeptStack(*(np.array(found, np.float32) for found in (true_um, contrast, outputs)))


class SinglePlanes:
    """The planes of a stack as a single-shot model sees them. Each shot is seen at once, and forgotten."""

    def __init__(self, predictor: Predictor, config: FocusConfig) -> None:
        """`predictor` is that of the single-shot model."""
        self._predictor, self._config = predictor, config
        self._z_um: list[float] = []
        self._contrasts: list[NDArray[np.float32]] = []
        self._outputs: list[NDArray[np.float32]] = []

    def see(self, shot: Shot) -> None:
        """Predict from a shot, unless it is blank. Raises EngineError."""
        batch, contrasts = single_batch(shot.pixels, self._predictor.contract.patch_px, self._config)
        if is_blank(contrasts, self._config):
            return
        self._z_um.append(shot.z_um)
        self._contrasts.append(contrasts)
        self._outputs.append(self._predictor.runner.infer(batch))

    def kept(self, focus_um: float) -> KeptStack | None:
        """The planes within the range of the model about `focus_um`, the sharpest one; None if all are blank."""
        range_um = self._predictor.contract.range_um
        near = [k for k, z_um in enumerate(self._z_um) if abs(focus_um - z_um) <= range_um]
        if not near:
            return None
        found = (
            [focus_um - self._z_um[k] for k in near],
            [self._contrasts[k] for k in near],
            [self._outputs[k] for k in near],
        )
        return KeptStack(*(np.array(one, np.float32) for one in found))


def seen_by(stacks: Iterable[KeptStack], predictor: Predictor) -> tuple[StackSeen, ...]:
    """What a model as it ships says about the stacks with the condenser that its head gets."""
    return tuple(_seen(stack, predictor) for stack in stacks)


def strangest(stacks: Iterable[KeptStack], predictor: Predictor) -> float | None:
    """How strange the strangest of 200 patches of the stacks is to the model; None if it does not tell."""
    told = [predictor.read(_flat(stack)).strangeness for stack in stacks]
    found = [one for one in told if one is not None]
    return float(np.quantile(np.concatenate(found), 0.995)) if found else None


def _seen(stack: KeptStack, predictor: Predictor) -> StackSeen:
    shape, head = stack.contrast.shape, predictor.head
    outputs = _flat(stack)
    hidden = None
    if head is not None:
        layers = head.hidden(outputs, predictor.condenser)
        side_by_side = layers.transpose(1, 0, 2).reshape(len(outputs), -1) / len(layers)
        hidden = side_by_side.reshape(*shape, -1).astype(np.float64)
    said = predictor.read(outputs)
    sigma_um = None
    if said.sigma_um is not None:
        n, scale = shape[1], depth_scale(predictor.contract.objective)
        together = [
            by_belief(said[k * n : (k + 1) * n], contrast, scale) for k, contrast in enumerate(stack.contrast)
        ]
        sigma_um = np.array([one.sigma_um for one in together], np.float64)
    return StackSeen(
        stack.true_um.astype(np.float64),
        stack.contrast.astype(np.float64),
        said.distance_um.reshape(shape).astype(np.float64),
        hidden,
        sigma_um,
    )


def _flat(stack: KeptStack) -> NDArray[np.float32]:
    return stack.outputs.reshape(-1, stack.outputs.shape[2])


def pairs_of(planes: Sequence[Plane], delta_um: float) -> list[tuple[Plane, Plane]]:
    """First and second shot: each plane that has another one delta below it, to within a tenth."""
    heights_um = np.array([plane.z_um for plane in planes])
    pairs = []
    for second in planes:
        first = planes[int(np.abs(heights_um - (second.z_um - delta_um)).argmin())]
        if abs(second.z_um - first.z_um - delta_um) <= PAIR_TOLERANCE_SHARE * delta_um + 1e-6:
            pairs.append((first, second))
    return pairs
