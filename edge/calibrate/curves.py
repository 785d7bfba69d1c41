"""Focus curves on one field, upwards and downwards, without trust in the configured play."""

from collections.abc import Callable, Iterable

import cv2
import numpy as np

from parfocal.board.axis import steps_from_um, um_from_steps
from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.play import Direction, FocusCurve, check_curve, peak_of
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.downward import sweep_down
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.picture.exposure import MIN_MEAN_LEVEL, SATURATED_LEVEL
from parfocal.edge.focus.shots import Shot, Shots
from parfocal.edge.instrument import Instrument

# The largest play that is looked for: three times that of the paper's stage (dastidar2020 4.1).
MAX_PLAY_UM = 60.0
# Upward curves start from this far below, more than the play that a downward search can find.
RUN_UP_UM = 75.0
LOCATE_REACH_UM, LOCATE_STEP_UM = 7.5, 1.25  # of `near`

WHITE, BRIGHTEST = (SATURATED_LEVEL,) * 3, (255,) * 3

Step = Callable[[str], None]


def white_share(shot: Shot) -> float:
    """The share of the pixels of a shot that are saturated, 0..1."""
    return float(cv2.inRange(shot.part.pixels, WHITE, BRIGHTEST).mean()) / 255.0


class Curves:
    """Takes focus curves of the present field. The lamp is on, the axes are homed.

    `scale`: depth of field over that of 20x/0.75. A focus curve is so many times as wide.
    """

    def __init__(
        self,
        instrument: Instrument,
        config: FocusConfig,
        step: Step,
        judged_by: Callable[[Shot], float] = lambda shot: shot.sharpness,
    ) -> None:
        """Nothing moves. `step` is called after each curve, with a few words about it; `judged_by` gives its values."""
        self._judged_by = judged_by
        self._axis, self._camera, self._clock = instrument.board.z, instrument.camera, instrument.clock
        self._config, self._step, self.scale = config, step, depth_scale(config.objective)
        self._shots = Shots(self._axis, self._camera, config, RUN_UP_UM)
        self.taken: list[FocusCurve] = []
        self.images = 0

    def focus_um(self) -> float:
        """The height of the focus upwards: a wide sweep, then a closer one about its peak.

        Raises CalibPoor where the field has no single clear focus; BoardError, CameraFailed.
        """
        config = self._config
        wide = self.upward(
            tuple(
                np.arange(config.first_sweep_start_um, config.first_sweep_stop_um, config.first_sweep_step_um)
            )
        )
        check_curve(wide)
        middle_um = wide.z_um[int(np.argmax(wide.sharpness))]
        return peak_of(self.upward(self.near(middle_um, LOCATE_REACH_UM, LOCATE_STEP_UM))).z_um

    def near(self, middle_um: float, reach_um: float, step_um: float) -> tuple[float, ...]:
        """`heights` about a focus. `reach_um` and `step_um` are those of 20x/0.75.

        Through another objective they are as many depths of field, since the curve is as wide.
        """
        return self.heights(middle_um, self.scale * reach_um, self.scale * step_um)

    def heights(self, middle_um: float, reach_um: float, step_um: float) -> tuple[float, ...]:
        """Evenly spaced heights within `reach_um` of `middle_um`, ascending, a whole number of motor steps apart."""
        scale = self._axis.config.um_per_step
        step = max(1, steps_from_um(step_um, scale))
        middle, reach = steps_from_um(middle_um, scale), steps_from_um(reach_um, scale) // step
        return tuple(um_from_steps(middle + k * step, scale) for k in range(-reach, reach + 1))

    def upward(self, heights_um: tuple[float, ...], seen: Callable[[Shot], None] | None = None) -> FocusCurve:
        """A curve over ascending heights, with the gear engaged upwards whatever its play is up to `RUN_UP_UM`.

        `seen` is called with each shot.
        """
        below_um = heights_um[0] - max(self._axis.overshoot_um, RUN_UP_UM)
        if self._axis.position_um > below_um:
            self._axis.move_to(below_um)
        return self._curve("up", (self._shots.take(z_um) for z_um in heights_um), seen)

    def downward(self, start_um: float, heights_um: tuple[float, ...]) -> FocusCurve:
        """A curve over descending heights from `start_um`, which is reached upwards: the stage never stands higher.

        The gear is engaged downwards from where the stage leaves `start_um`, lower by the play.
        """
        self._shots.approach(start_um)
        return self._curve("down", sweep_down(self._axis, self._camera, self._config, heights_um))

    @property
    def lowest_um(self) -> float:
        """The lowest height that leaves room for the approach from below."""
        return self._shots.lowest_um

    def leave_at(self, z_um: float) -> float:
        """Go to `z_um` upwards; returns when the stage is at rest, s."""
        return self._shots.approach(z_um)

    def _curve(
        self, direction: Direction, shots: Iterable[Shot], seen: Callable[[Shot], None] | None = None
    ) -> FocusCurve:
        began_s, z_um, sharpness, white, dark = self._clock.now_s(), [], [], [], True
        for shot in shots:
            if seen is not None:
                seen(shot)
            z_um.append(shot.z_um)
            sharpness.append(self._judged_by(shot))
            white.append(white_share(shot))
            dark = dark and float(shot.part.pixels.mean()) < MIN_MEAN_LEVEL
        middle_s = (began_s + self._clock.now_s()) / 2.0
        curve = FocusCurve(direction, tuple(z_um), tuple(sharpness), tuple(white), middle_s)
        self.taken.append(curve)
        self.images += len(z_um)
        if dark:
            raise CalibPoor("the pictures are black: check the lamp, the slide and camera.exposure_s.")
        self._step(f"{direction} to {z_um[-1]:.1f} um")
        return curve
