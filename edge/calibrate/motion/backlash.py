"""`parfocal calibrate backlash`: measures the play of the axes and puts it in force."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from parfocal.board.axis import Axis
from parfocal.calib.errors import CalibPoor
from parfocal.calib.store import Store
from parfocal.edge.calibrate.curves import Curves, Step
from parfocal.edge.calibrate.keeper import Found, Keeper, Stamp
from parfocal.edge.calibrate.motion import xy_play, z_play
from parfocal.edge.config import Config
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import play_name

AxisName = Literal["x", "y", "z"]


class AxisPlay(msgspec.Struct, frozen=True):
    """The measured play of one axis. `before_um` is the play that was in use until now.

    `images` and `elapsed_s` are what it took, in time of the microscope; `raw` is the file that holds what was seen.
    """

    axis: AxisName
    play_um: float
    uncertainty_um: float
    before_um: float
    images: int
    elapsed_s: float
    raw: str


class RawPlay(msgspec.Struct, frozen=True):
    """What a play was computed from: focus curves for Z, staircases for X and Y; `refused` says why it was not kept."""

    axis: AxisName
    method: str
    seen: tuple[object, ...]
    refused: str | None = None


class Backlash:
    """Measures the play of axes on the field at the configured origin, one after the other."""

    def __init__(self, instrument: Instrument, config: Config, store: Store, stamp: Stamp) -> None:
        """Nothing moves. Raises CalibError for a store that could not take the result."""
        self._instrument, self._config = instrument, config
        self._keeper = Keeper(store, stamp)

    def run(self, axes: tuple[AxisName, ...], step: Step) -> Iterator[AxisPlay]:
        """Home if the instrument may, turn the lamp on, and measure each of `axes`. Each result is kept at once.

        Raises CalibPoor where a measurement is refused; the earlier value stays in force. BoardError, CameraFailed.
        """
        self._instrument.home_if_allowed()
        scan = self._config.scan
        with self._instrument.lit(scan.lamp_duty):
            self._instrument.go_to(scan.origin_x_um, scan.origin_y_um)
            if axes[0] != "z":
                curves = Curves(self._instrument, self._config.focus, step)
                curves.leave_at(curves.focus_um())
            for name in axes:
                yield self._z(step) if name == "z" else self._sideways(name, step)

    def _z(self, step: Step) -> AxisPlay:
        curves = Curves(self._instrument, self._config.focus, step)
        began_s = self._instrument.clock.now_s()
        try:
            fitted = z_play.measure_z_play(curves)
        except CalibPoor as error:
            raise self._poor(RawPlay("z", z_play.METHOD, tuple(curves.taken)), error) from error
        raw = RawPlay("z", z_play.METHOD, tuple(curves.taken))
        return self._kept(raw, (fitted.play_um, fitted.uncertainty_um), curves.images, began_s)

    def _sideways(self, name: AxisName, step: Step) -> AxisPlay:
        stairs = xy_play.Staircases(self._axis(name), self._instrument, self._config.camera, step)
        began_s = self._instrument.clock.now_s()
        try:
            fitted = stairs.measure()
        except CalibPoor as error:
            raise self._poor(RawPlay(name, xy_play.METHOD, tuple(stairs.runs)), error) from error
        raw = RawPlay(name, xy_play.METHOD, tuple(stairs.runs))
        return self._kept(raw, (fitted.play_um, fitted.uncertainty_um), stairs.images, began_s)

    def _kept(self, raw: RawPlay, found: tuple[float, float], images: int, began_s: float) -> AxisPlay:
        name = play_name(raw.axis)
        file = self._keeper.keep((Found(name, *found),), raw.method, name, raw)
        elapsed_s = self._instrument.clock.now_s() - began_s
        before_um = self._axis(raw.axis).config.play_um
        return AxisPlay(raw.axis, *found, before_um, images, elapsed_s, file)

    def _poor(self, raw: RawPlay, error: CalibPoor) -> CalibPoor:
        refused = msgspec.structs.replace(raw, refused=str(error))
        return self._keeper.poor(error, "this axis", play_name(raw.axis), refused)

    def _axis(self, name: str) -> Axis:
        return self._instrument.board.axes[name]
