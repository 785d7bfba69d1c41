"""A camera behind a GStreamer pipeline, such as the CSI camera of a Jetson or a Raspberry Pi.

PyGObject and GStreamer come from the system's packages, so the virtual environment must see those.
"""

import contextlib
import functools
from typing import Any

import numpy as np

from parfocal.edge.camera.frame import Frame
from parfocal.edge.camera.gi_modules import from_system
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array

PACKAGES = "python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base"
_SINK = "parfocal"
_NS_PER_S = 1_000_000_000
_LOOK_S = 0.1  # how soon an error of the pipeline is seen
_FIRST_FRAME_S = 10.0  # a CSI camera takes some seconds to start


def gstreamer() -> tuple[Any, Any]:
    """The modules `Gst` and `GLib`, started. Raises CameraFailed naming the packages that are missing."""
    # GstApp gives the sink its methods.
    modules = from_system("camera.kind = 'gstreamer'", "GStreamer", PACKAGES, {"Gst": "1.0", "GstApp": "1.0"})
    modules.Gst.init(None)
    return modules.Gst, modules.GLib


class GstreamerCamera:
    """Takes the newest frame of a pipeline that runs freely.

    `notes` lists, a sentence each, what is not ideal but does not prevent use.
    """

    notes = (
        "exposure, gain and white balance of a GStreamer pipeline are those that its text sets; they are not read back",
    )

    def __init__(self, config: CameraConfig) -> None:
        """Start the pipeline and wait for its first frame. Raises CameraFailed."""
        self._config = config
        self._gst, glib = gstreamer()
        text = (
            f"{config.pipeline} ! videoconvert ! video/x-raw,format=RGB,width={config.width_px},"
            f"height={config.height_px} ! appsink name={_SINK} sync=false max-buffers=1 drop=true"
        )
        try:
            self._pipeline = self._gst.parse_launch(text)
        except glib.Error as error:
            raise CameraFailed(
                f"camera.pipeline is invalid: {error.message.rstrip('.')}. Its frames must have {config.width_px} x "
                f"{config.height_px} px; `gst-inspect-1.0` lists the elements of this machine."
            ) from error
        self._sink = self._pipeline.get_by_name(_SINK)
        # The clock of board and camera: CLOCK_MONOTONIC. Others, such as that of a sound card, run differently.
        self._pipeline.use_clock(self._gst.SystemClock.obtain())
        self._pipeline.set_state(self._gst.State.PLAYING)
        try:
            self._pulled(_FIRST_FRAME_S)
        except CameraFailed:
            self.close()
            raise

    def grab(self) -> Frame:
        """The newest frame that was not taken yet; waits for the next one. Raises CameraFailed."""
        try:
            sample = self._pulled(1.0 + 2.0 * self._config.frame_period_s)
            buffer = sample.get_buffer()
            if buffer.pts == self._gst.CLOCK_TIME_NONE:
                raise CameraFailed(
                    "the frames of camera.pipeline have no time stamps. Set do-timestamp=true at its source."
                )
        except CameraFailed:
            self.close()
            raise
        # Most sources stamp a buffer when it is complete, some when its exposure begins. So a frame may look older than
        # it is by an exposure and a read-out, never younger.
        stamped_s = (self._pipeline.get_base_time() + buffer.pts) / _NS_PER_S
        start_s = stamped_s - self._config.exposure_s - self._config.frame_period_s
        return Frame(start_s, functools.partial(self._pixels, buffer))

    def close(self) -> None:
        """Stop the pipeline and release its camera."""
        self._pipeline.set_state(self._gst.State.NULL)

    def _pulled(self, timeout_s: float) -> Any:  # noqa: ANN401  # PyGObject has no types
        reason = ""
        for _ in range(max(1, round(timeout_s / _LOOK_S))):
            sample = self._sink.try_pull_sample(round(_LOOK_S * _NS_PER_S))
            if sample is not None:
                return sample
            if reason := self._reason():
                break
        raise CameraFailed(
            f"camera.pipeline gave no frame of {self._config.width_px} x {self._config.height_px} px within "
            f"{timeout_s:.1f} s{reason}. Check the camera and its cable, then try the pipeline with `gst-launch-1.0`."
        )

    def _reason(self) -> str:
        """What the pipeline itself says, in brackets."""
        message = self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        if message is not None:
            return f" ({message.parse_error()[0].message.rstrip('.')})"
        return " (its stream has ended)" if self._sink.is_eos() else ""

    def _pixels(self, buffer: Any) -> UInt8Array:  # noqa: ANN401  # PyGObject has no types
        height, width = self._config.height_px, self._config.width_px
        with _mapped(buffer, self._gst.MapFlags.READ) as data:
            rows = np.frombuffer(data, np.uint8).reshape(height, -1)  # each padded to four bytes
            return np.array(rows[:, : 3 * width].reshape(height, width, 3))


@contextlib.contextmanager
def _mapped(buffer: Any, flags: Any) -> Any:  # noqa: ANN401  # PyGObject has no types
    is_mapped, found = buffer.map(flags)
    if not is_mapped:
        raise CameraFailed("a frame of camera.pipeline could not be read. Start again.")
    try:
        yield found.data
    finally:
        buffer.unmap(found)
