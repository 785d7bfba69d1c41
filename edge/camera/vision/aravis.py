"""A USB3 Vision or GigE Vision camera through Aravis, with frames started by triggers where it has an input for them.

PyGObject and Aravis come from the system's packages, so the virtual environment must see those.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from parfocal.edge.camera.frame import UNCALIBRATED, CameraSettings, Frame, overtaken
from parfocal.edge.camera.gi_modules import from_system
from parfocal.edge.camera.pixel_formats import UNDERSTOOD, rgb_from_bytes
from parfocal.edge.camera.vision import genicam
from parfocal.edge.camera.vision.aravis_nodes import AravisNodes
from parfocal.edge.camera.vision.device_clock import DeviceClock
from parfocal.edge.camera.vision.frame_ids import n_lost_between
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array

PACKAGES = "python3-gi gir1.2-aravis-0.8"
_US_PER_S, _NS_PER_S = 1e6, 1_000_000_000
_SAME_EXPOSURE, _SAME_PERIOD = 0.1, 0.1
_FREE_BUFFERS = 8
_LATE_S = 1.0  # how long a frame of the free run may take to come over the cable, besides its own period


def aravis() -> tuple[Any, Any]:
    """The modules `Aravis` and `GLib`. Raises CameraFailed naming the packages that are missing."""
    modules = from_system("camera.kind = 'aravis'", "Aravis", PACKAGES, {"Aravis": "0.8"})
    return modules.Aravis, modules.GLib


def cameras_there() -> tuple[tuple[str, str], ...]:
    """Id and description of each camera that Aravis finds; takes a second. Raises CameraFailed."""
    library, _ = aravis()
    library.update_device_list()
    found = []
    for index in range(library.get_n_devices()):
        made_by = f"{library.get_device_vendor(index)} {library.get_device_model(index)}"
        serial, protocol = library.get_device_serial_nbr(index), library.get_device_protocol(index)
        found.append((library.get_device_id(index), f"{made_by}, serial {serial}, {protocol}"))
    return tuple(found)


def size_and_inputs(name: str) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Width and height of the sensor of a camera, px, and its inputs for triggers. Raises CameraFailed."""
    library, glib = aravis()
    try:
        camera = library.Camera.new(name)
        sensor, nodes = camera.get_sensor_size(), AravisNodes(library, camera)
        sources = nodes.entries("TriggerSource") if nodes.has("TriggerSource") else ()
    except glib.Error as error:
        raise CameraFailed(f"camera {name!r} cannot be read: {error.message.rstrip('.')}.") from error
    return (sensor.width, sensor.height), tuple(source for source in sources if source.startswith("Line"))


class AravisCamera:
    """Takes the newest frame while it runs freely; while it is armed, the frame of each trigger in order.

    `notes` lists, a sentence each, what is not ideal but does not prevent use.
    """

    def __init__(self, config: CameraConfig, locked: CameraSettings = UNCALIBRATED) -> None:
        """Open the camera, lock its settings and let it run. `locked`: the calibrated gain. Raises CameraFailed."""
        self._config = config
        self._library, self._glib = aravis()
        self._exposure_s = config.exposure_s
        self._notes: list[str] = []
        self._nodes: Any = None
        self._stream: Any = None
        self._held: Any = None  # the buffer of the newest frame
        self._n_grabbed = self._n_buffers = self._n_lost = 0
        self._last_id: int | None = None
        self._is_armed = False
        self._armed_s = 0.0
        self._clock = DeviceClock()
        with self._asking("open"):
            self._camera = self._library.Camera.new(self._id())
        try:
            with self._asking("prepare"):
                self._nodes = AravisNodes(self._library, self._camera)
                self._prepare(locked)
                self._stream = self._camera.create_stream(None, None)
                self._add_buffers(_FREE_BUFFERS)
                self._camera.start_acquisition()
        except CameraFailed:
            self.close()
            raise

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the images of this camera, a sentence each."""
        return tuple(self._notes)

    @property
    def n_lost(self) -> int:
        """Frames since it was last armed that were damaged, or missing by their ids."""
        return self._n_lost

    def grab(self, timeout_s: float | None = None) -> Frame:
        """The frame of the next trigger if the camera is armed, else the newest one; waits for it.

        `timeout_s`: how long to wait; by default, what a frame of the free run may take. Raises CameraFailed.
        """
        wait_s = self._config.frame_period_s + self._exposure_s + _LATE_S if timeout_s is None else timeout_s
        frame = self._next(time.monotonic() + wait_s)
        if frame is not None:
            return frame
        if self._is_armed:
            raise CameraFailed(
                f"no frame for a trigger at {self._config.trigger_line}. Check the wire from the board to the camera, "
                "and that the camera takes 3.3 V at this input; or remove camera.trigger_line, and it runs freely."
            )
        raise CameraFailed("the camera gave no frame. Unplug it, plug it in again, and start again.")

    def poll(self) -> Frame | None:
        """The frame of the next trigger if it is there already."""
        return self._next(time.monotonic())

    @property
    def is_armed(self) -> bool:
        """Whether it waits for triggers."""
        return self._is_armed

    def arm(self, n_frames: int) -> None:
        """Expose only for triggers from now on, and keep up to `n_frames` frames until they are asked for.

        Frames from before are dropped. Raises CameraFailed; the camera then runs freely.
        """
        if self._is_armed:
            self._make_room(n_frames)
        else:
            self._switch(self._wait_for_triggers, n_frames)
        self._is_armed, self._n_lost = True, 0

    def disarm(self) -> None:
        """Run freely again; frames that were not asked for are dropped. Raises CameraFailed."""
        if self._is_armed:
            self._is_armed = False
            self._switch(lambda: genicam.free_run(self._nodes), 0)

    def settings(self) -> CameraSettings:
        """Exposure and gain as the camera reports them. Raises CameraFailed."""
        with self._asking("read settings of"):
            gain = self._camera.get_gain() if self._camera.is_gain_available() else None
            return CameraSettings(self._camera.get_exposure_time() / _US_PER_S, gain)

    def set_exposure(self, exposure_s: float) -> float:
        """Set the exposure, s; returns the one that the camera rounds it to. Raises CameraFailed."""
        with self._asking("set the exposure of"):
            self._camera.set_exposure_time(exposure_s * _US_PER_S)
            self._exposure_s = self._camera.get_exposure_time() / _US_PER_S
        return self._exposure_s

    def close(self) -> None:
        """Let the camera run freely, and release it."""
        if self._camera is None:
            return
        self._held = None
        with contextlib.suppress(CameraFailed, self._glib.Error):
            self._camera.stop_acquisition()
        with contextlib.suppress(CameraFailed, self._glib.Error):
            genicam.free_run(self._nodes)
        self._stream = self._nodes = self._camera = (
            None  # the last reference ends its thread and lets go of the camera
        )

    def _id(self) -> str | None:
        """What Aravis opens: an id, an address, or None for the first camera."""
        asked = self._config.device
        if asked == 0:
            return None
        if isinstance(asked, str) and asked.replace(".", "").isdigit():
            return asked  # an address; in another network it would not answer to a broadcast
        there = cameras_there()
        if isinstance(asked, int):
            fits = [name for name, _ in there[asked : asked + 1]]
        else:
            fits = [name for name, told in there if asked.lower() in f"{name} {told}".lower()]
        if len(fits) == 1:
            return fits[0]
        listed = "; ".join(f"{name} ({told})" for name, told in there) or "none"
        raise CameraFailed(
            f"{len(fits) or 'no'} cameras for Aravis are called {asked!r}; present: {listed}. Plug it in, or set "
            "camera.device to an id."
        )

    def _prepare(self, locked: CameraSettings) -> None:
        """Set what must not change between two shots, and read it back. Raises CameraFailed, GLib.Error."""
        config, camera = self._config, self._camera
        genicam.free_run(self._nodes)
        genicam.set_where_there(self._nodes, "AcquisitionMode", "Continuous")
        self._choose_format()
        self._choose_region()
        for name in ("ExposureAuto", "GainAuto", "BalanceWhiteAuto"):
            genicam.set_where_there(self._nodes, name, "Off")
        genicam.set_where_there(self._nodes, "ExposureMode", "Timed")
        found_s = self.set_exposure(config.exposure_s)
        if abs(found_s - config.exposure_s) > _SAME_EXPOSURE * config.exposure_s:
            raise CameraFailed(
                f"the camera has no exposure of {config.exposure_s:.4g} s; the nearest is {found_s:.4g} s. Set "
                f"camera.exposure_s = {found_s:.4g}."
            )
        if locked.gain is not None and camera.is_gain_available():
            camera.set_gain(locked.gain)
            if abs((found := camera.get_gain()) - locked.gain) > 1e-3 * abs(locked.gain):
                raise CameraFailed(
                    f"the camera does not take the calibrated gain of {locked.gain:g}, it has {found:g}. Run "
                    "`parfocal calibrate camera`."
                )
        self._choose_rate()
        if config.trigger_line:
            genicam.check_trigger(self._nodes, config.trigger_line)

    def _choose_format(self) -> None:
        there = self._nodes.entries("PixelFormat")
        self._format = next((name for name in UNDERSTOOD if name in there), "")
        if not self._format:
            raise CameraFailed(
                f"no pixel format of the camera is understood: {', '.join(there)}. Use a camera with one of "
                f"{', '.join(UNDERSTOOD)}."
            )
        genicam.set_checked(self._nodes, "PixelFormat", self._format)
        if self._format == "Mono8":
            self._notes.append("gives grey images; the models were made for colour")

    def _choose_region(self) -> None:
        """A part of the configured size in the middle of the sensor."""
        config, camera = self._config, self._camera
        asked = (config.width_px, config.height_px)
        sensor = camera.get_sensor_size()
        largest = (sensor.width, sensor.height)
        if any(side > most for side, most in zip(asked, largest, strict=True)):
            raise CameraFailed(
                f"the camera has {largest[0]} x {largest[1]} px, and {asked[0]} x {asked[1]} are configured. Set "
                "camera.width_px and camera.height_px."
            )
        steps = [1, 1]
        if camera.is_region_offset_available():
            steps = [max(1, camera.get_x_offset_increment()), max(1, camera.get_y_offset_increment())]
        # An even place keeps the first pixel of a Bayer pattern the same.
        x_px, y_px = (
            (most - side) // 2 // (2 * step) * 2 * step
            for side, most, step in zip(asked, largest, steps, strict=True)
        )
        camera.set_region(x_px, y_px, *asked)
        region = camera.get_region()
        if (region.width, region.height) != asked:
            raise CameraFailed(
                f"the camera has no frames of {asked[0]} x {asked[1]} px; it gives {region.width} x {region.height}. "
                "Set camera.width_px and camera.height_px to these."
            )

    def _choose_rate(self) -> None:
        """Set the rate of the free run. Refuses a lower one: frames would look younger than they are."""
        camera, period_s = self._camera, self._config.frame_period_s
        if not camera.is_frame_rate_available():
            self._notes.append("it does not report its frame rate; camera.frame_period_s is used unchecked")
            return
        camera.set_frame_rate(1.0 / period_s)
        found_s = 1.0 / max(camera.get_frame_rate(), 1e-9)
        if found_s > period_s * (1.0 + _SAME_PERIOD):
            raise CameraFailed(
                f"the camera gives a frame every {found_s:.3g} s, not every {period_s:.3g} s. Set "
                f"camera.frame_period_s = {found_s:.3g}."
            )

    def _switch(self, change: Callable[[], None], n_frames: int) -> None:
        """Change how frames are started. Raises CameraFailed; the camera then runs freely."""
        try:
            with self._asking("switch the trigger of"):
                self._camera.stop_acquisition()
                self._drain()
                change()
                self._add_buffers(n_frames + 1 - self._n_buffers)
                self._last_id, self._clock = None, DeviceClock()
                self._armed_s = time.monotonic()
                self._camera.start_acquisition()
        except CameraFailed:
            with contextlib.suppress(CameraFailed, self._glib.Error):
                genicam.free_run(self._nodes)
                self._camera.start_acquisition()
            raise

    def _wait_for_triggers(self) -> None:
        genicam.wait_for_triggers(self._nodes, self._config.trigger_line)
        if self._nodes.has("TriggerDelay"):
            # Another program may have left one. Not every camera goes down to 0.
            least_us = self._camera.get_float_bounds("TriggerDelay").min
            genicam.set_checked(self._nodes, "TriggerDelay", least_us)

    def _make_room(self, n_frames: int) -> None:
        """Drop the frames that are there. One that is still on its way is known by its time."""
        self._put_back()
        while (buffer := self._stream.try_pop_buffer()) is not None:
            self._stream.push_buffer(buffer)
        with self._asking("prepare"):
            self._add_buffers(n_frames + 1 - self._n_buffers)
        self._last_id, self._armed_s = None, time.monotonic()

    def _drain(self) -> None:
        """Drop every frame that was exposed before, also one that is still on the way."""
        self._put_back()
        wait_us = round((self._exposure_s + self._config.frame_period_s) * _US_PER_S)
        while (buffer := self._stream.timeout_pop_buffer(wait_us)) is not None:
            self._stream.push_buffer(buffer)

    def _add_buffers(self, n_more: int) -> None:
        payload = self._camera.get_payload()
        for _ in range(n_more):
            self._stream.push_buffer(self._library.Buffer.new_allocate(payload))
            self._n_buffers += 1

    def _put_back(self) -> None:
        if self._held is not None:
            self._stream.push_buffer(self._held)
            self._held = None

    def _next(self, deadline_s: float) -> Frame | None:
        """The next frame, None if none comes until `deadline_s`."""
        while True:
            self._put_back()
            buffer = self._popped(deadline_s)
            if buffer is None:
                return None
            start_s = self._exposure_start_s(buffer)
            if self._is_armed and start_s < self._armed_s - self._exposure_s:
                continue  # exposed before it was armed
            self._n_grabbed += 1
            return Frame(start_s, functools.partial(self._pixels, self._n_grabbed))

    def _popped(self, deadline_s: float) -> Any:  # noqa: ANN401  # PyGObject has no types
        """The next whole frame, held until the next one is asked for; the newest one in the free run."""
        while True:
            left_us = round((deadline_s - time.monotonic()) * _US_PER_S)
            buffer = (
                self._stream.timeout_pop_buffer(left_us + 1) if left_us > 0 else self._stream.try_pop_buffer()
            )
            if buffer is None:
                return None
            if not self._is_armed:
                while (newer := self._stream.try_pop_buffer()) is not None:
                    self._stream.push_buffer(buffer)
                    buffer = newer
            frame_id = buffer.get_frame_id()
            if self._is_armed and self._last_id is not None:
                self._n_lost += n_lost_between(self._last_id, frame_id)
            self._last_id = frame_id
            if buffer.get_status() == self._library.BufferStatus.SUCCESS:
                self._held = buffer
                return buffer
            self._n_lost += 1
            self._stream.push_buffer(buffer)

    def _exposure_start_s(self, buffer: Any) -> float:  # noqa: ANN401  # PyGObject has no types
        """When the exposure of a frame began, s on the clock of board and camera."""
        waited_s = max(time.time_ns() - buffer.get_system_timestamp(), 0) / _NS_PER_S
        # The first packet of a frame leaves the camera when its exposure has ended.
        latest_s = time.monotonic() - waited_s - self._exposure_s
        start_s = self._clock.host_s(buffer.get_timestamp() / _NS_PER_S, latest_s)
        # In the free run a frame may look older than it is, never younger. For triggers the nearest time is wanted.
        return start_s if self._is_armed else start_s - self._config.frame_period_s

    def _pixels(self, number: int) -> UInt8Array:
        """The pixels of frame `number`, RGB. Raises RuntimeError if it is not the newest."""
        if number != self._n_grabbed or self._held is None:
            raise overtaken()
        return rgb_from_bytes(
            self._held.get_data(), self._format, self._config.width_px, self._config.height_px
        )

    @contextlib.contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """Errors of Aravis as ours."""
        try:
            yield
        except self._glib.Error as error:
            raise CameraFailed(
                f"cannot {doing} camera {self._config.device!r}: {error.message.rstrip('.')}. Check the camera and its "
                "cable."
            ) from error
