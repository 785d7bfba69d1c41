"""Shots: frames at a known height, with the stage at rest; and the upward sweep made of them."""

from collections.abc import Sequence
from functools import cached_property

import msgspec

from parfocal.board.axis import Axis, steps_from_um, um_from_steps
from parfocal.edge.camera.frame import Camera, frame_after
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging.rule import Seen
from parfocal.edge.focus.picture.part import CentralPart
from parfocal.edge.pixels import UInt8Array


class Plane(msgspec.Struct, frozen=True):
    """A frame that was exposed while the stage passed `z_um`: RGB uint8 (h, w, 3)."""

    z_um: float
    pixels: UInt8Array


class Shot:
    """One frame, exposed with the stage at rest at a known height.

    `z_um` is the height that the axis reported. `pixels` are RGB uint8 (h, w, 3).
    """

    def __init__(self, z_um: float, pixels: UInt8Array, config: FocusConfig) -> None:
        """`config` says which part of the frame is judged."""
        self.z_um = z_um
        self.pixels = pixels
        self._config = config

    @cached_property
    def part(self) -> CentralPart:
        """The central part, cut out when it is first used."""
        return CentralPart(self.pixels, self._config)

    @property
    def sharpness(self) -> float:
        """Variance of the Laplacian of the central part, grey levels squared."""
        return self.part.sharpness

    @property
    def seen(self) -> Seen:
        """Height and sharpness, without the pixels."""
        return Seen(self.z_um, self.sharpness)

    def __repr__(self) -> str:
        """Height and size; never the pixels."""
        height_px, width_px = self.pixels.shape[:2]
        return f"Shot(z_um={self.z_um:.2f}, {width_px} x {height_px} px)"


class Shots:
    """Takes shots along one axis and records where the stage went. Every height is approached from below."""

    def __init__(self, axis: Axis, camera: Camera, config: FocusConfig, run_up_um: float = 0.0) -> None:
        """Nothing moves. `run_up_um`: start each approach from at least this far below (z0 of the paper)."""
        self._axis, self._camera, self._config = axis, camera, config
        self._run_up_um = max(axis.overshoot_um, run_up_um)
        self._path_um: list[float] = []
        self._images = 0

    @property
    def images(self) -> int:
        """Shots taken since `restart_trace`."""
        return self._images

    @property
    def path_um(self) -> tuple[float, ...]:
        """Where the stage went since `restart_trace`, in order: each start of an approach and each height reached."""
        return tuple(self._path_um)

    @property
    def lowest_um(self) -> float:
        """Lowest height that leaves room for the approach from below."""
        return self._axis.limits_um[0] + self._run_up_um

    @property
    def limits_um(self) -> tuple[float, float]:
        """Lowest and highest height that the axis may take."""
        return self._axis.limits_um

    @property
    def z_um(self) -> float:
        """The present height."""
        return self._axis.position_um

    def height_um(self, z_um: float) -> float:
        """The height that the axis takes for `z_um`: a whole number of steps."""
        um_per_step = self._axis.config.um_per_step
        return um_from_steps(steps_from_um(z_um, um_per_step), um_per_step)

    def restart_trace(self) -> None:
        """Forget the path and the number of images."""
        self._path_um, self._images = [], 0

    def approach(self, z_um: float) -> float:
        """Go to `z_um` upwards; returns when the stage is at rest, s. Raises BoardError."""
        from_below_um = None
        # On the same step the stage stands there already.
        if self.height_um(z_um) < self._axis.position_um:
            from_below_um = z_um - self._run_up_um
            self._path_um.append(from_below_um)
        settled_s = self._axis.approach_up(z_um, from_below_um)
        self._path_um.append(self._axis.position_um)
        return settled_s

    def lower_to(self, z_um: float) -> None:
        """Go straight down until the stage is surely not above `z_um`; nothing if it is not now. No shot follows.

        It goes lower by the play, which the gear takes up before the stage moves. Raises BoardError.
        """
        if z_um < self._axis.position_um:
            self._axis.move_to(max(z_um - self._axis.overshoot_um, self._axis.limits_um[0]))
            self._path_um.append(self._axis.position_um)

    def take(self, z_um: float) -> Shot:
        """Approach `z_um` and take the first frame exposed at rest. Raises BoardError, CameraFailed."""
        settled_s = self.approach(z_um)
        self._images += 1
        pixels = frame_after(self._camera, settled_s).pixels
        return Shot(self._axis.position_um, pixels, self._config)

    def passed(self, planes: Sequence[Plane]) -> list[Shot]:
        """Shots of planes that the stage has passed on its way up."""
        self._images += len(planes)
        self._path_um += [self._axis.position_um] if planes else []
        return [Shot(plane.z_um, plane.pixels, self._config) for plane in planes]

    def sweep(self, start_um: float, stop_um: float, step_um: float) -> list[Seen]:
        """Height and sharpness of evenly spaced shots from `start_um` up to at most `stop_um`."""
        return [self.take(z_um).seen for z_um in upward_um(start_um, stop_um, step_um)]


def upward_um(start_um: float, stop_um: float, step_um: float) -> list[float]:
    """Evenly spaced heights from `start_um` up to at most `stop_um`."""
    n_steps = int((stop_um - start_um) / step_um + 1e-6) if stop_um >= start_um else -1
    return [start_um + k * step_um for k in range(n_steps + 1)]
