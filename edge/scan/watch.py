"""Watches a run's own pictures for a camera that was touched since its calibration."""

from collections import deque
from typing import Literal

import msgspec

from parfocal.calib.camera.seen_light import EmptyLight, MeasuredLight, empty_light, light_contradiction
from parfocal.calib.camera.seen_view import SeenStep, contradiction, seen_view
from parfocal.calib.camera.view import View
from parfocal.edge.camera.frame import Adjustable, Camera, CameraSettings
from parfocal.edge.camera.linear import raw_camera
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stitch.layout import px_from_um
from parfocal.edge.stitch.wide import wide_look

# The first steps between neighbours are all looked at, later ones now and then: a camera may be touched in a run.
FIRST_STEPS, LATER_EVERY = 12, 8
KEPT = 12
UNLIKE_SHARE = 0.75
SETTING_SHARE = 0.01


DuePart = Literal["stage", "camera", "trigger"]


class Due(msgspec.Struct, frozen=True):
    """A calibration that a run contradicts: `parfocal calibrate` `part` renews it. `told` says why, a sentence."""

    part: DuePart
    told: str


class CameraWatch:
    """Registers neighbouring fields against each other, and looks at the light of empty ones. Takes no picture."""

    def __init__(self, view: View, light: MeasuredLight | None = None, camera: Camera | None = None) -> None:
        """`view`: how the camera lies by the calibration in force. `light`: None if it was not measured."""
        self._view, self._light, self._camera = view, light, camera
        self._px_from_um = px_from_um(view)
        self._began_with = _settings(camera)
        self._last: tuple[float, float, UInt8Array] | None = None
        self._steps: deque[SeenStep] = deque(maxlen=KEPT)
        self._lights: deque[EmptyLight] = deque(maxlen=KEPT)
        self._unlike: deque[bool] = deque(maxlen=KEPT)
        self._dark: deque[bool] = deque(maxlen=KEPT)
        self._n_steps = self._n_empty = 0
        self._due: dict[str, Due] = {}
        self.confirmed: set[str] = set()

    def look(self, x_um: float, y_um: float, pixels: UInt8Array, is_empty: bool) -> None:
        """Look at a field in focus, or an empty one, RGB uint8 (h, w, 3), with the stage at (x, y), um."""
        if is_empty:
            self.seen_empty(pixels)
        else:
            self.seen(x_um, y_um, pixels)

    def seen(self, x_um: float, y_um: float, pixels: UInt8Array) -> None:
        """Look at a field in focus, RGB uint8 (h, w, 3), with the stage at (x, y), um."""
        last, self._last = self._last, (x_um, y_um, pixels)
        if last is None:
            return
        move_um = x_um - last[0], y_um - last[1]
        offset_px = self._px_from_um @ move_um
        height_px, width_px = pixels.shape[:2]
        # By the longer side, as a camera may be turned by a quarter.
        if not 0.0 < max(abs(offset_px)) < max(height_px, width_px):
            return
        self._n_steps += 1
        if self._n_steps > FIRST_STEPS and self._n_steps % LATER_EVERY:
            return
        look = wide_look(last[2], pixels, (float(offset_px[0]), float(offset_px[1])))
        if look.offset_px is not None:
            self._steps.append(SeenStep(move_um, look.offset_px))
            self._judge_view()
        if look.offset_px is not None or look.is_unlike:
            self._unlike.append(look.is_unlike)
        n_unlike = sum(self._unlike)
        if len(self._unlike) == KEPT and n_unlike >= UNLIKE_SHARE * KEPT:
            self._judge(
                "stage",
                f"in {n_unlike} of the last {KEPT} steps between neighbours both pictures show nothing in common, so "
                "the camera is turned, or a pixel or a step has another size than is in use",
            )

    def seen_empty(self, pixels: UInt8Array) -> None:
        """Look at an empty field, RGB uint8 (h, w, 3)."""
        self._last = None
        if self._light is None:
            return
        self._n_empty += 1
        if self._n_empty > KEPT and self._n_empty % LATER_EVERY:
            return
        light = empty_light(pixels)
        if light is not None:
            self._lights.append(light)
            self._judge("camera", light_contradiction(self._lights, self._light))

    @property
    def due(self) -> tuple[Due, ...]:
        """The calibrations that are due, by what was seen so far."""
        return tuple(self._due.values())

    def seen_flash(self, is_dark: bool) -> None:
        """Look at a picture of a sweep: whether its flash fell in its exposure."""
        self._dark.append(is_dark)
        if len(self._dark) < KEPT:
            return
        n_dark = sum(self._dark)
        if n_dark >= UNLIKE_SHARE * KEPT:
            told = f"{n_dark} of {KEPT} pictures of a sweep were dark, so the camera does not expose in the flashes"
            self._judge("trigger", told)
        elif n_dark == 0:
            self.confirmed.add("trigger")

    def check_settings(self) -> None:
        """Compare the settings of the camera with those at the beginning. Raises CameraFailed."""
        now = _settings(self._camera)
        for name in now.__struct_fields__:
            before, after = getattr(self._began_with, name), getattr(now, name)
            if before is not None and after is not None and abs(after - before) > SETTING_SHARE * abs(before):
                self._judge("camera", f"the camera's {name} went from {before:g} to {after:g} during the run")

    def _judge_view(self) -> None:
        found = seen_view(self._steps, self._view)
        if found is None:
            return
        why = contradiction(found, self._view)
        if why is None:
            self.confirmed.add("stage")
        self._judge("stage", why)

    def _judge(self, part: DuePart, why: str | None) -> None:
        if why is not None:
            self._due[part] = Due(part, f"a calibration is due: {why}. Run `parfocal calibrate {part}`.")


def watch_of(instrument: Instrument, lamp_duty: float | None) -> CameraWatch:
    """A watch over the camera of an instrument. `lamp_duty`: of the run, None where it is lit by flashes."""
    flat = instrument.flat_field
    light = None if flat is None or lamp_duty is None else flat.light(lamp_duty)
    return CameraWatch(instrument.view, light, raw_camera(instrument.camera))


def _settings(camera: Camera | None) -> CameraSettings:
    if camera is None or not isinstance(camera, Adjustable):
        return CameraSettings()
    return camera.settings()
