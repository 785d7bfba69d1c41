"""The one sweep that takes shots after downward moves. Only edge/calibrate/ may use it (a contract in pyproject.toml).

The play is not made up for: a shot stands above its reported height by up to the play. That shift is what a
calibration of the play measures, and nothing else can use.
"""

from collections.abc import Iterator

from parfocal.board.axis import Axis
from parfocal.edge.camera.frame import Camera, frame_after
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.shots import Shot


def sweep_down(
    axis: Axis, camera: Camera, config: FocusConfig, heights_um: tuple[float, ...]
) -> Iterator[Shot]:
    """A shot at each of `heights_um`, which must descend from below the present height.

    Each shot carries its commanded height. Raises BoardError, CameraFailed, and ValueError for a height that does not
    lie below the one before; nothing moves to it.
    """
    for z_um in heights_um:
        if z_um >= axis.position_um:
            raise ValueError(
                f"height {z_um:.2f} um in a downward sweep does not lie below {axis.position_um:.2f} um"
            )
        settled_s = axis.move_to(z_um)
        yield Shot(axis.position_um, frame_after(camera, settled_s).pixels, config)
