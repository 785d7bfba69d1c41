"""One row, swept: camera and flash triggered by position, a frame for each tile that got its light."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import msgspec

from parfocal.board.own.board import Along, Flash, SweepBegin, TriggeredFrame, TriggerPositions
from parfocal.edge.camera.frame import TriggeredCamera
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.continuous.frames import armed, flashed
from parfocal.edge.scan.continuous.plan import SweepPlan
from parfocal.edge.scan.continuous.rows import Line, Row
from parfocal.edge.scan.tiling.plan import PlannedTile
from parfocal.edge.scan.tiling.scanner import Offset


@runtime_checkable
class Sweeping(Protocol):
    """A board that triggers by position while X, or Y, and Z go along a line."""

    def ready(self, begin: SweepBegin) -> float:
        """Bring all axes to the begin of a sweep; return the time at which the stage is settled, s."""

    def sweep(self, to_um: float, z_um: float, speed_um_per_s: float, along: Along = "x") -> float:
        """Move X, or Y, and Z on along a straight line."""

    def rise(self, z_um: float, speed_um_per_s: float) -> float:
        """Move Z on upwards at a speed of its own."""

    def trigger_at(self, axis: str, positions: TriggerPositions, flash: Flash) -> tuple[float, ...]:
        """Arm triggers of camera and flash; return their positions."""

    def take_triggered_frames(self) -> tuple[TriggeredFrame, ...]:
        """The triggers since the last call."""


class Caught(msgspec.Struct, frozen=True):
    """The picture of a tile from a sweep: RGB uint8 (h, w, 3), and where its middle was in its flash, um of the slide.

    `is_falling`: Z was engaged downwards; `above_um`: by how much it was taken to stand above its command there.
    `error_um`: true height of the stage above the true focus in the flash, None
    on a real microscope.
    """

    tile: PlannedTile
    pixels: UInt8Array
    x_um: float
    y_um: float
    z_um: float
    is_falling: bool
    above_um: float
    error_um: float | None


def sweeping_of(instrument: Instrument) -> tuple[Sweeping, TriggeredCamera]:
    """Board and camera that sweeps need. Raises ConfigError if one of them cannot be triggered."""
    board, camera = instrument.board, instrument.triggered
    if not (isinstance(board, Sweeping) and instrument.board.capabilities.has_strobe):
        raise ConfigError(
            "--continuous needs a board that triggers by position (docs/hardware.md), and this one does not; "
            "nothing moved. Leave out --continuous."
        )
    if camera is None:
        raise ConfigError(
            "--continuous needs a camera that the board triggers, and this one runs free; nothing moved. Set "
            "camera.trigger_line (docs/hardware.md), or leave out --continuous."
        )
    return board, camera


class Sweeper:
    """Sweeps rows. The steady lamp must be off."""

    def __init__(self, instrument: Instrument, config: Config, plan: SweepPlan) -> None:
        """Nothing moves. Raises ConfigError if board or camera cannot be triggered."""
        self._board, self._camera = sweeping_of(instrument)
        self._instrument, self._config, self._plan = instrument, config, plan

    @property
    def n_lost(self) -> int:
        """Frames of the last sweep that were lost between camera and computer."""
        return self._camera.n_lost

    def sweep(self, row: Row, line: Line, offset: Offset, above_um: float = 0.0) -> Iterator[Caught]:
        """Go along a line over a row, then hand out the frames; a tile without light or frame is left out.

        `row` and `line` are on the slide, which lies `offset` from where it lay. `above_um`: how far the stage stands
        above its command where Z is engaged downwards. Raises BoardError, CameraFailed.
        """
        is_backwards, falling = row.way < 0, line.is_falling
        off_um, across_off_um = row.place_um(offset.x_um, offset.y_um)
        begin_um = row.place_um(line.at_um + off_um, row.across_um + across_off_um)
        z_um = line.z_um + offset.z_um - self._lower_um(above_um, falling[0])
        with armed(self._camera, count_of(row)):
            self._get_ready(SweepBegin(*begin_um, z_um, is_backwards, falling[0], row.along), row)
            yield from self._along(row, line, offset, above_um)

    def _lower_um(self, above_um: float, is_falling: bool) -> float:
        """By how much a command is lowered in this engagement, um; whole steps."""
        step_um = self._config.board.z.um_per_step
        return round(above_um / step_um) * step_um if is_falling else 0.0

    def _along(self, row: Row, line: Line, offset: Offset, above_um: float) -> Iterator[Caught]:
        """Sweep from the begin of a row, then hand out its frames."""
        is_backwards, falling = row.way < 0, line.is_falling
        off_um, across_off_um = row.place_um(offset.x_um, offset.y_um)
        across_um = row.across_um + across_off_um
        armed_um = self._arm(row, offset)
        for k, part in enumerate(line.parts):
            to_um = offset.z_um - self._lower_um(above_um, falling[k])
            if k and falling[k] != falling[k - 1]:
                z_um = line.parts[k - 1].z_um + to_um
                knot_um = row.place_um(line.parts[k - 1].at_um + off_um, across_um)
                self._board.ready(SweepBegin(*knot_um, z_um, is_backwards, falling[k], row.along))
            self._board.sweep(part.at_um + off_um, part.z_um + to_um, self._plan.speed_um_per_s, row.along)
        board = self._instrument.board
        at_across_um = (board.y if row.along == "x" else board.x).stage_um - across_off_um
        # Z makes its steps one by one here: between two of them it is half a step behind the line, on average.
        behind_um = -0.5 * self._config.board.z.um_per_step
        first = row.number(row.tiles[0])
        tiles = {abs(row.number(tile) - first): tile for tile in row.tiles}
        told = self._board.take_triggered_frames()
        for frame in flashed(self._camera, told, len(armed_um), self._plan.flash_middle_s):
            tile, at_um = tiles.get(frame.index), armed_um[frame.index] - off_um
            if tile is None:  # between two parts of the tissue
                continue
            passed = next(
                (k for k, part in enumerate(line.parts) if (part.at_um - at_um) * row.way >= 0.0),
                len(line.parts) - 1,
            )
            z_um = line.z_at(at_um) + behind_um * line.slope_sign(passed)
            is_above_um = above_um if falling[passed] else 0.0
            z_um += is_above_um - self._lower_um(above_um, falling[passed])
            x_um, y_um = row.place_um(at_um, at_across_um)
            error_um = self._instrument.error_um_at(x_um, y_um, frame.flash_s)
            yield Caught(tile, frame.pixels, x_um, y_um, z_um, falling[passed], is_above_um, error_um)

    def _get_ready(self, begin: SweepBegin, row: Row) -> None:
        """Go to the begin of a sweep. What is left of the time to rest passes while the stage speeds up."""
        settled_s = self._board.ready(begin)
        ramp_s = self._plan.speed_um_per_s / self._config.board.axis(row.along).accel_um_per_s2
        clock = self._instrument.clock
        clock.sleep_s(settled_s - ramp_s - clock.now_s())

    def _arm(self, row: Row, offset: Offset) -> tuple[float, ...]:
        """Arm the triggers of a row; where the stage will be in the middle of each flash, um of the stage."""
        first, last = row.tiles[0], row.tiles[-1]
        count = count_of(row)
        spacing_um = (row.along_um(last) - row.along_um(first)) / (count - 1)
        axis = self._instrument.board.axes[row.along]
        off_um, _ = row.place_um(offset.x_um, offset.y_um)
        plan = self._plan
        # The stage goes on from the trigger to the middle of the flash; and it stands above its command by the play
        # where it is engaged downwards.
        ahead_um = row.way * plan.ahead_um(axis.config.um_per_step)
        above_um = axis.stage_um - axis.position_um
        armed_um = self._board.trigger_at(
            row.along,
            TriggerPositions(row.along_um(first) + off_um - ahead_um - above_um, spacing_um, count),
            Flash(plan.trigger.delay_s, plan.flash_s, plan.duty),
        )
        return tuple(at_um + ahead_um + above_um for at_um in armed_um)


def count_of(row: Row) -> int:
    """How many triggers a row takes: one for each place along it, with a tile or without."""
    return abs(row.number(row.tiles[-1]) - row.number(row.tiles[0])) + 1
