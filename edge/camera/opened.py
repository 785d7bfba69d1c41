"""The one place where a camera is opened, by its kind."""

from parfocal.edge.camera.frame import Camera
from parfocal.edge.camera.video import VideoCamera
from parfocal.edge.config import CameraConfig


def open_camera(config: CameraConfig) -> tuple[Camera, tuple[str, ...]]:
    """The configured camera, and remarks on its images to show before a run. Raises CameraFailed."""
    # One kind so far; the configuration accepts no other.
    camera = VideoCamera(config)
    return camera, camera.notes
