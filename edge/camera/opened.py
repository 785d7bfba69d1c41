"""The one place where a camera is opened, by its kind."""

from parfocal.edge.camera.frame import UNCALIBRATED, Camera, CameraSettings, TriggeredCamera
from parfocal.edge.camera.gstreamer import GstreamerCamera
from parfocal.edge.camera.micromanager import MicroManagerCamera
from parfocal.edge.camera.video import VideoCamera
from parfocal.edge.camera.vision.aravis import AravisCamera
from parfocal.edge.config import CameraConfig


def open_camera(
    config: CameraConfig, locked: CameraSettings = UNCALIBRATED
) -> tuple[Camera, tuple[str, ...]]:
    """The configured camera, and remarks on its images to show before a run.

    `locked`: gain and white balance as a calibration found them. Raises CameraFailed.
    """
    camera: AravisCamera | GstreamerCamera | MicroManagerCamera | VideoCamera
    match config.kind:
        case "aravis":
            camera = AravisCamera(config, locked)
        case "gstreamer":
            camera = GstreamerCamera(config)
        case "micromanager":
            camera = MicroManagerCamera(config)
        case "v4l2":
            camera = VideoCamera(config, locked)
    return camera, camera.notes


def triggered_of(camera: Camera, config: CameraConfig) -> TriggeredCamera | None:
    """The same camera as one that is triggered, None if no input for triggers is configured."""
    return camera if config.trigger_line and isinstance(camera, AravisCamera) else None
