"""How long a tunable lens takes to come to rest: frames from a change of its current on, many times."""

from collections.abc import Callable, Sequence

from parfocal.board.lens import Lens
from parfocal.calib.motion.swing import SettleFit, Swing, fit_settle
from parfocal.edge.calibrate.curves import Curves
from parfocal.edge.calibrate.motion.settling import (
    FLANK_UM,
    LIMIT_Z_UM,
    RULER_REACH_UM,
    RULER_STEP_UM,
    Z_ERROR_SHARE,
    ruler_from,
)
from parfocal.edge.camera.frame import frame_after
from parfocal.edge.config import CameraConfig, FocusConfig
from parfocal.edge.focus.picture.part import CentralPart
from parfocal.edge.focus.picture.sharpness import brenner_gradient
from parfocal.edge.instrument import Instrument

METHOD = "frames from a change of the current on, a damped swing fitted, by the sharpness below the focus"
N_CHANGES = 24
# Larger than what the focus changes by from shot to shot; the end of its swing is seen, not its beginning. Through
# 20x/0.75, as `RULER_UM`, and as many depths of field through another objective.
CHANGE_UM = 10.0
# Within so much of the flank the ruler is steep.
RULER_UM = 1.8
REST_S, WATCHED_S = 0.3, 0.25


def swing_of(seen: Sequence[tuple[float, float]], scale: float = 1.0) -> Swing:
    """The swing about the last height seen, from times, s, and heights, um. Leaves out what lies beyond the ruler.

    Farther away the ruler ends: there it says nothing but "far". `scale`: depth of field over that of 20x/0.75.
    """
    rest_um = seen[-1][1]
    near = [(at_s, z_um - rest_um) for at_s, z_um in seen[:-1] if abs(z_um - rest_um) < RULER_UM * scale]
    return Swing(tuple(at_s for at_s, _ in near), tuple(um for _, um in near))


class LensSettling:
    """Watches the lens come to rest without current. The lamp is on, the Z motor stands at the focus."""

    def __init__(self, instrument: Instrument, lens: Lens, camera: CameraConfig, um_per_ma: float) -> None:
        """Nothing moves. `um_per_ma`: the slope of the lens at no current."""
        self._instrument, self._lens, self._camera = instrument, lens, camera
        self._um_per_ma = um_per_ma
        self.taken: list[Swing] = []
        self.images = 0

    def measure(self, curves: Curves, focus_um: float, config: FocusConfig) -> SettleFit:
        """The settle time after a change by `CHANGE_UM`, at 20x/0.75, upwards. Ends without current, Z at the flank.

        `curves` judges by the Brenner gradient, and so are the frames judged.

        Raises CalibPoor, BoardError, CameraFailed.
        """
        clock, scale = self._instrument.clock, curves.scale
        flank_um, away_ma = focus_um - scale * FLANK_UM, -scale * CHANGE_UM / self._um_per_ma
        self._rest(away_ma)
        self._rest(0.0)  # on the flank on which heights rise, as it will be below
        ruler = curves.upward(curves.near(flank_um, RULER_REACH_UM, RULER_STEP_UM))
        height_um = ruler_from(ruler.z_um, ruler.sharpness)
        clock.sleep_s(curves.leave_at(flank_um) - clock.now_s())
        for number in range(N_CHANGES):
            self._rest(away_ma)
            # Else every change would meet the camera's free run at the same moment.
            clock.sleep_s(number / N_CHANGES * self._camera.frame_period_s)
            self._lens(0.0)
            changed_s = clock.now_s()
            self.taken.append(swing_of(self._watched(changed_s, height_um, config), scale))
        return fit_settle(self.taken, scale * LIMIT_Z_UM, Z_ERROR_SHARE)

    def _rest(self, current_ma: float) -> None:
        self._lens(current_ma)
        self._instrument.clock.sleep_s(REST_S)

    def _watched(
        self, changed_s: float, height_um: Callable[[float], float], config: FocusConfig
    ) -> list[tuple[float, float]]:
        """Frames after a change at `changed_s`: the middle of each exposure since then, s, and its height, um."""
        camera = self._instrument.camera
        frame = frame_after(camera, changed_s)
        seen: list[tuple[float, float]] = []
        while True:
            since_s = frame.exposure_start_s + self._camera.exposure_s / 2.0 - changed_s
            seen.append((since_s, height_um(brenner_gradient(CentralPart(frame.pixels, config).pixels))))
            if since_s > WATCHED_S:
                self.images += len(seen)
                return seen
            frame = camera.grab()
