"""Keeps a drifting or moving sample in focus: a prediction a frame, and a move when enough of them agree."""

import math
from collections.abc import Iterator
from typing import Literal

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.axis import Axis
from parfocal.board.clock import Clock
from parfocal.edge.camera.frame import Camera, frame_after
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.following.rule import Alarm, next_height_um
from parfocal.edge.focus.following.track import Prediction, Track, followed, waited
from parfocal.edge.focus.judging.depth import depth_of_field_um, depth_scale
from parfocal.edge.focus.judging.estimate import weighted
from parfocal.edge.focus.judging.rule import reach_of
from parfocal.edge.focus.picture import prepare
from parfocal.edge.focus.picture.exposure import exposure_fault
from parfocal.edge.focus.picture.part import is_blank, reduced
from parfocal.edge.focus.picture.places import spread_places
from parfocal.edge.focus.picture.sharpness import peak_inside_um
from parfocal.edge.focus.shots import Shot, Shots
from parfocal.engines.predictor import Predictor

SWEPT_DEPTHS = 5.0  # an alarm sweeps this many depths of field below and above
RETRY_S = 5.0  # after a sweep that found nothing, the stage is held, and the next sweep is no earlier

EventKind = Literal["up", "down", "found", "held", "nothing to see"]
# Standard uncertainty of a patch where the model does not tell it, um: single patches of `single-20x` err by 0.34 +-
# 0.40 um (its card).
PATCH_SIGMA_UM = 0.5


class FollowEvent(msgspec.Struct, frozen=True):
    """One thing that happened: when, s since the beginning; where the stage stood before, and stands now.

    "up" and "down" are moves. If the picture was unsharp for too long, whatever the model said, a sweep looks for the
    focus: "found" if it has a peak, and otherwise "held": the stage stays until the picture is sharp again or the next
    sweep finds it. "nothing to see": the picture became empty, black or saturated; nothing moves meanwhile.

    `focus_um`, `sigma_um` and `drift_um_per_s` are of the track at that time; None where there is none.
    """

    time_s: float
    kind: EventKind
    from_um: float
    z_um: float
    focus_um: float | None = None
    sigma_um: float | None = None
    drift_um_per_s: float | None = None


class Follower:
    """Follows the focus of the field under the objective. Its shots are taken at rest, the gear engaged upwards."""

    def __init__(
        self,
        axis: Axis,
        camera: Camera,
        clock: Clock,
        predictor: Predictor,
        config: FocusConfig,
        n_patches: int | None = None,
    ) -> None:
        """`predictor` takes one shot; it sees the `n_patches` nearest to the middle, None for all. Nothing moves."""
        self._axis, self._camera, self._clock, self._config = axis, camera, clock, config
        self._predictor, self._n_patches = predictor, n_patches
        self._shots = Shots(axis, camera, config)
        self._depth_um = depth_of_field_um(config.objective)
        self._reach_um = reach_of(predictor.contract.range_um, config).believed_um
        self._has_play = axis.overshoot_um > 0.0
        self._track: Track | None = None
        self._alarm = Alarm()
        self._settled_s = clock.now_s()
        self._began_s = self._settled_s
        self._held_since_s: float | None = None
        self._sees = True
        self.frames = 0
        self.unsharp_frames = 0

    def run(self, duration_s: float = math.inf) -> Iterator[FollowEvent | None]:
        """Follow for `duration_s`; after each frame gives what happened, None if nothing did.

        The lamp must be on, the axis homed and the stage near the focus.

        Raises BoardError, CameraFailed, EngineError.
        """
        while self._clock.now_s() - self._began_s < duration_s:
            frame = frame_after(self._camera, self._settled_s)
            self._settled_s = frame.exposure_start_s + 1e-6  # the next frame is a later one
            self.frames += 1
            yield self._seen(Shot(self._axis.position_um, frame.pixels, self._config), frame.exposure_start_s)

    def _seen(self, shot: Shot, exposed_s: float) -> FollowEvent | None:
        """Take one frame in, and do what it leads to."""
        batch, contrasts = self._batch(shot)
        if exposure_fault(shot.pixels) is not None or is_blank(contrasts, self._config):
            return self._blind()
        self._sees = True
        self._alarm = self._alarm.heard(shot.sharpness / float(cv2.mean(shot.part.pixels)[1]) ** 2)
        self.unsharp_frames += self._alarm.n_unsharp > 0
        found = weighted(self._predictor.predict(batch), contrasts, self._config)
        assumed_um = PATCH_SIGMA_UM * depth_scale(self._config.objective)
        sigma_um = assumed_um if found.sigma_um is None else found.sigma_um
        seen = Prediction(exposed_s, shot.z_um + found.distance_um, max(sigma_um, found.spread_um))
        self._track = followed(self._track, seen)
        if self._held_since_s is not None:
            if self._alarm.n_unsharp == 0:
                self._held_since_s = None
            elif self._clock.now_s() - self._held_since_s >= RETRY_S:
                return self._sweep()
            return None
        if self._alarm.is_raised:
            return self._sweep()
        return self._moved()

    def _batch(self, shot: Shot) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the model sees, (n, 3, side, side), and the contrast of each patch (n,)."""
        whole, side_px = reduced(shot.pixels, self._config), self._predictor.contract.patch_px
        middle = whole.shape[0] / 2.0 - side_px / 2.0, whole.shape[1] / 2.0 - side_px / 2.0
        corners = sorted(
            spread_places(whole.shape[0], whole.shape[1], side_px), key=lambda place: math.dist(place, middle)
        )
        return prepare.single_shot_batch(whole, corners[: self._n_patches], side_px)

    def _moved(self) -> FollowEvent | None:
        """The move that the track leads to, if any."""
        if self._track is None:
            return None
        z_um, now_s = self._axis.position_um, self._clock.now_s()
        target_um = next_height_um(self._track, z_um, now_s, self._depth_um, self._has_play)
        if target_um is None:
            return None
        # The model is followed no farther than it can tell, and the limits hold.
        target_um = min(max(target_um, z_um - self._reach_um), z_um + self._reach_um)
        target_um = min(max(target_um, self._shots.lowest_um), self._axis.limits_um[1])
        if abs(target_um - z_um) < self._axis.config.um_per_step:
            return None
        event = self._event("up" if target_um > z_um else "down", z_um)
        self._settled_s = self._shots.approach(target_um)
        self._track = waited(self._track)
        return msgspec.structs.replace(event, z_um=self._axis.position_um)

    def _sweep(self) -> FollowEvent:
        """Look for the focus by sharpness alone; back where the stage stood if there is no peak."""
        z_um, reach_um = self._axis.position_um, SWEPT_DEPTHS * self._depth_um
        event = self._event("held", z_um)
        low_um = max(z_um - reach_um, self._shots.lowest_um)
        high_um = min(z_um + reach_um, self._axis.limits_um[1])
        swept = self._shots.sweep(low_um, high_um, self._config.fine_step_um)
        peak_um = peak_inside_um([seen.z_um for seen in swept], [seen.sharpness for seen in swept])
        self._settled_s = self._shots.approach(z_um if peak_um is None else peak_um)
        self._track, self._alarm = None, Alarm(self._alarm.best if peak_um is None else 0.0)
        self._held_since_s = self._clock.now_s() if peak_um is None else None
        return msgspec.structs.replace(
            event, kind="held" if peak_um is None else "found", z_um=self._axis.position_um
        )

    def _blind(self) -> FollowEvent | None:
        """Nothing to judge by: what the track says grows old, and nothing moves."""
        self._track = None
        if not self._sees:
            return None
        self._sees = False
        return self._event("nothing to see", self._axis.position_um)

    def _event(self, kind: EventKind, z_um: float) -> FollowEvent:
        track, now_s = self._track, self._clock.now_s()
        return FollowEvent(
            time_s=now_s - self._began_s,
            kind=kind,
            from_um=z_um,
            z_um=z_um,
            focus_um=None if track is None else track.at_um(now_s),
            sigma_um=None if track is None else track.sigma_um,
            drift_um_per_s=None if track is None else track.drift_um_per_s,
        )
