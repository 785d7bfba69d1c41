"""Where the stage goes in a scan: to a tile, on to the next one, and back.

The slide may lie elsewhere than in the first session, and the stage may be on its way before a picture was looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec

from parfocal.edge.camera.frame import Camera, Coming, come, expose_after, frame_after
from parfocal.edge.config import Config
from parfocal.edge.errors import EdgeError
from parfocal.edge.focus.picture.exposure import exposure_fault
from parfocal.edge.focus.shots import Shot
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiling.moving.light import Light
from parfocal.edge.words import named


class ScanAborted(EdgeError):
    """The scan ended early. What the journal holds is good; correct the cause and continue."""


class Offset(msgspec.Struct, frozen=True):
    """Where the stage finds a place of the slide now, less where it found it in the first session, um."""

    x_um: float = 0.0
    y_um: float = 0.0
    z_um: float = 0.0


class Gone(msgspec.Struct, frozen=True):
    """Where the stage has gone on to before the picture of the tile before was looked at, and when it is at rest, s."""

    x_um: float
    y_um: float
    z_um: float
    settled_s: float


# It is neither at a tile nor on its way to one.
_BROKEN_OFF = Gone(math.nan, math.nan, math.nan, math.inf)


class Exposed:
    """A picture that was exposed at rest. It may still be on its way from the camera."""

    def __init__(self, coming: Coming, as_shot: Callable[[UInt8Array], Shot]) -> None:
        """`as_shot` makes a shot of its pixels."""
        self._coming, self._as_shot = coming, as_shot
        self._shot: Shot | None = None

    def has_come(self) -> bool:
        """Whether it has come. Raises CameraFailed."""
        return self._coming.has_come()

    def shot(self) -> Shot:
        """The picture; waits for it. Raises CameraFailed if it was lost, and ScanAborted."""
        if self._shot is None:
            self._shot = self._as_shot(self._coming.frame().pixels)
        return self._shot


class Going:
    """Brings the stage to places on the slide, and takes pictures there. Coordinates are those of the first session."""

    def __init__(self, instrument: Instrument, config: Config, light: Light, same_um: float) -> None:
        """`same_um`: a height that lies so near to the wanted one does not pay for a move of Z. Nothing moves."""
        self._instrument, self._config, self._light, self._same_um = instrument, config, light, same_um
        self.offset = Offset()
        self.slide: Path | None = None  # the folder, for what a user reads
        self.way_s = 0.0  # how long the last way took, without the time to rest
        self._gone: Gone | None = None

    @property
    def stage_um(self) -> tuple[float, float]:
        """Where the stage stands in X and Y, um, without any offset."""
        board = self._instrument.board
        return board.x.stage_um, board.y.stage_um

    @property
    def place_um(self) -> tuple[float, float]:
        """The place on the slide under the objective, um."""
        (x_um, y_um), offset = self.stage_um, self.offset
        return x_um - offset.x_um, y_um - offset.y_um

    @property
    def has_gone_on(self) -> bool:
        """Whether the stage has left the place of the last picture."""
        return self._gone is not None

    def take_at(self, x_um: float, y_um: float, z_um: float) -> Shot:
        """Go to a place on the slide and take a picture at rest. Raises BoardError, CameraFailed, ScanAborted."""
        return self._exposed(x_um, y_um, z_um, lambda camera, lit_s: come(frame_after(camera, lit_s))).shot()

    def expose_at(self, x_um: float, y_um: float, z_um: float) -> Exposed:
        """The same, but return as soon as the stage may go on. Raises BoardError, CameraFailed."""
        return self._exposed(x_um, y_um, z_um, expose_after)

    def _exposed(
        self, x_um: float, y_um: float, z_um: float, expose: Callable[[Camera, float], Coming]
    ) -> Exposed:
        gone, self._gone = self._gone, None
        is_there = gone is not None and (gone.x_um, gone.y_um) == (x_um, y_um)
        if gone is not None and is_there and abs(gone.z_um - z_um) <= self._same_um:
            # Since the stage went on, the lamp may have been dark for a pause.
            settled_s = self._instrument.board.rests_from(gone.settled_s)
        else:
            settled_s = self._approach(x_um, y_um, z_um)
        with self._light.exposure(settled_s) as lit_s:
            coming = expose(self._instrument.camera, lit_s)
        stage_z_um = self._instrument.board.z.position_um

        def as_shot(pixels: UInt8Array) -> Shot:
            fault = exposure_fault(pixels)
            if fault is not None:
                folder = "" if self.slide is None else f" --out {named(self.slide)}"
                raise ScanAborted(
                    f"the scan ended at x={x_um:.0f} y={y_um:.0f} um: {fault}. Finished tiles are safe; then go on "
                    f"with `parfocal scan{folder} --resume`."
                )
            return Shot(stage_z_um, pixels, self._config.focus)

        return Exposed(coming, as_shot)

    def go_on(self, x_um: float, y_um: float, z_um: float) -> None:
        """Go to a place on the slide where a picture will be taken soon. Raises BoardError.

        On MoveBrokenOff the stage stands somewhere on the way, and knows it.
        """
        self._gone = _BROKEN_OFF
        self._gone = Gone(x_um, y_um, z_um, self._approach(x_um, y_um, z_um))

    def be_back(self, x_um: float, y_um: float, z_um: float) -> None:
        """Be at rest at a place on the slide, from which the stage may have gone on. Raises BoardError."""
        if self._gone is not None:
            self.come(x_um, y_um, z_um)

    def come(self, x_um: float, y_um: float, z_um: float) -> None:
        """Come to rest at a place on the slide. Raises BoardError."""
        self._gone, clock = None, self._instrument.clock
        clock.sleep_s(self._approach(x_um, y_um, z_um) - clock.now_s())

    def allowed_um(self, z_um: float) -> float:
        """The height of the stage, within what the axis allows with its run-up."""
        low_um, high_um = self._instrument.board.z.limits_um
        lowest_um = low_um + self._instrument.board.z.overshoot_um + self._config.focus.z0_below_um
        return min(max(z_um, lowest_um), high_um)

    def _approach(self, x_um: float, y_um: float, z_um: float) -> float:
        """Go to a place on the slide; return when the stage is at rest there, s."""
        offset, clock = self.offset, self._instrument.clock
        began_s = clock.now_s()
        settled_s = self._instrument.approach(
            x_um + offset.x_um, y_um + offset.y_um, self.allowed_um(z_um + offset.z_um)
        )
        self.way_s = clock.now_s() - began_s
        return settled_s
