"""Keeps the correction of a model up to date while a run focuses field after field."""

import dataclasses

import msgspec

from parfocal.calib.models.learning import Learned, Observation, gain_between, learned_from, peak_of_shots
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.result import FocusResult
from parfocal.engines.predictor import Predictor


class Learning(msgspec.Struct, frozen=True):
    """What a run learned about its model since the calibration, and from how many fields.

    Distances were multiplied by `gain`, then `offset_um` was added, at the end of the run. `told` says what a person
    must know; "" if nothing.
    """

    gain: float
    offset_um: float
    fields: int
    told: str


class Learner:
    """Learns from fields that were focused."""

    def __init__(self, predictor: Predictor, above_um: float) -> None:
        """`predictor` has the correction of the calibration. It ends `above_um` above the sharpest plane."""
        self._predictor, self._above_um = predictor, above_um
        self._scale = depth_scale(predictor.contract.objective)
        self._learned = Learned()

    def seen(self, result: FocusResult) -> Predictor | None:
        """Learn from a field; returns the predictor for the next one, None if nothing changed."""
        before = self._learned
        self._learned = learned_from(before, observation_of(result, self._above_um, self._scale), self._scale)
        now = self._learned
        if (now.gain, now.offset_um) == (before.gain, before.offset_um):
            return None
        correction = self._predictor.correction
        return self._predictor.corrected(
            dataclasses.replace(
                correction,
                gain=now.gain * correction.gain,
                offset_um=now.gain * correction.offset_um + now.offset_um,
            )
        )

    @property
    def learning(self) -> Learning:
        """What was learned so far."""
        now = self._learned
        return Learning(now.gain, now.offset_um, now.n_fields, now.told)


def observation_of(result: FocusResult, above_um: float, scale: float = 1.0) -> Observation:
    """What a field says about the model, which should end `above_um` above the sharpest plane.

    `scale`: depth of field over that of 20x/0.75.
    """
    pairs = [
        one for one in result.attempts if one.z2_um > one.z1_um
    ]  # the others are of one shot, by another model
    if result.outcome != "focused" or not pairs:
        return Observation()
    gain, is_up, last = None, True, pairs[-1]
    if len(pairs) > 1:
        before = pairs[-2]
        is_up = last.z2_um > before.z2_um
        gain = gain_between((before.z2_um, last.z2_um), (before.distance_um, last.distance_um), scale)
    z_um, sharpness = [one.z_um for one in result.seen], [one.sharpness for one in result.seen]
    peak_um = peak_of_shots(z_um, sharpness, scale)
    if peak_um is None or last is not result.attempts[-1]:
        return Observation(gain, is_up=is_up)
    return Observation(gain, last.z2_um + last.distance_um - peak_um - above_um, is_up)
