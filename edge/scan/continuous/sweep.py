"""One row, swept: camera and flash triggered by position, a frame for each tile that got its light."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Protocol, runtime_checkable

import msgspec

from parfocal.board.own.sweeping import Along, Knot, SweepBegin
from parfocal.board.own.triggers import Flash, TriggeredFrame, TriggerPositions
from parfocal.edge.camera.frame import TriggeredCamera
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.continuous.frames import Flashed, FramesOfSweep, Triggers, armed
from parfocal.edge.scan.continuous.plan import SweepPlan, ahead_um_of
from parfocal.edge.scan.continuous.rows import Line, Row
from parfocal.edge.scan.tiling.moving.going import Offset
from parfocal.edge.scan.tiling.plan import PlannedTile


@runtime_checkable
class Sweeping(Protocol):
    """A board that triggers by position while X, or Y, and Z go along a line."""

    def ready(self, begin: SweepBegin) -> float:
        """Bring all axes to the begin of a sweep; return the time at which the stage is settled, s."""

    def sweep(self, to_um: float, knots: Sequence[Knot], speed_um_per_s: float, along: Along = "x") -> float:
        """Move X, or Y, without a stop while Z goes along knots."""

    def meanwhile(self, work: Callable[[], bool]) -> AbstractContextManager[None]:
        """Call `work` again and again while a motion inside of the block goes on; True would end it."""

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


class _Way:
    """A line over a row on the slide, and how far that lies from where it lay."""

    def __init__(self, row: Row, line: Line, offset: Offset, above_um: float) -> None:
        self.row, self.line, self.offset, self.above_um = row, line, offset, above_um
        self.off_um, self.across_off_um = row.place_um(offset.x_um, offset.y_um)

    @cached_property
    def tiles(self) -> dict[int, PlannedTile]:
        """The tiles by the index of their trigger; between two parts of the tissue there is none."""
        first = self.row.number(self.row.tiles[0])
        return {abs(self.row.number(tile) - first): tile for tile in self.row.tiles}


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
        way = _Way(row, line, offset, above_um)
        with armed(self._camera, count_of(row)):
            armed_um, frames = self._begin(way)
            self._go(way)
            yield from self._others(frames, way, armed_um)

    def sweep_seeing(
        self, row: Row, line: Line, offset: Offset, see: Callable[[Caught], None], above_um: float = 0.0
    ) -> None:
        """The same, but `see` is given each picture as soon as it is there, while the stage goes on.

        What `see` raises ends the sweep, once the stage is at rest.
        """
        way = _Way(row, line, offset, above_um)
        failed = list[Exception]()
        with armed(self._camera, count_of(row)):
            armed_um, frames = self._begin(way)

            def look() -> bool:
                """One picture, if there is one. The sweep goes on whatever it shows, to its next stop."""
                try:
                    frame = None if failed else frames.ready()
                    caught = None if frame is None else self._caught(frame, way, armed_um)
                    if caught is not None:
                        see(caught)
                except Exception as error:  # noqa: BLE001  # raised again when nothing moves
                    failed.append(error)
                return False

            with self._board.meanwhile(look):
                self._go(way, failed)
            if failed:
                raise failed[0]
            for caught in self._others(frames, way, armed_um):
                see(caught)

    def _lower_um(self, above_um: float, is_falling: bool) -> float:
        """By how much a command is lowered in this engagement, um; whole steps."""
        step_um = self._config.board.z.um_per_step
        return round(above_um / step_um) * step_um if is_falling else 0.0

    def _begin(self, way: _Way) -> tuple[tuple[float, ...], FramesOfSweep]:
        """Go to the begin of a sweep and arm its triggers: where the stage will be in each flash, and their frames."""
        row, line, offset, falls = way.row, way.line, way.offset, way.line.is_falling[0]
        begin_um = row.place_um(line.begin_um + way.off_um, row.across_um + way.across_off_um)
        z_um = line.z_um + offset.z_um - self._lower_um(way.above_um, falls)
        self._get_ready(SweepBegin(*begin_um, z_um, row.way < 0, falls, row.along), row)
        armed_um = self._arm(row, offset)
        spacing_um = abs(armed_um[1] - armed_um[0])
        triggers = Triggers(len(armed_um), spacing_um / self._plan.speed_um_per_s, self._plan.flash.middle_s)
        return armed_um, FramesOfSweep(self._camera, self._board.take_triggered_frames, triggers)

    def _go(self, way: _Way, failed: Sequence[Exception] = ()) -> None:
        """Go along a line, from its begin; no section more once something has failed."""
        row, before = way.row, None
        for section in way.line.sections:
            if failed:
                return
            to_um = way.offset.z_um - self._lower_um(way.above_um, section.is_falling)
            knots = [Knot(knot.at_um + way.off_um, knot.z_um + to_um) for knot in section.knots]
            if before is not None and before.is_falling != section.is_falling:
                knot_um = row.place_um(knots[0].at_um, row.across_um + way.across_off_um)
                self._board.ready(
                    SweepBegin(*knot_um, knots[0].z_um, row.way < 0, section.is_falling, row.along)
                )
            self._board.sweep(section.to_um + way.off_um, knots, self._plan.speed_um_per_s, row.along)
            before = section

    def _others(self, frames: FramesOfSweep, way: _Way, armed_um: Sequence[float]) -> Iterator[Caught]:
        """The pictures that are left when the stage is at rest. Raises CameraFailed if no frame came at all."""
        for frame in frames.others():
            caught = self._caught(frame, way, armed_um)
            if caught is not None:
                yield caught

    def _caught(self, frame: Flashed, way: _Way, armed_um: Sequence[float]) -> Caught | None:
        """The picture of a tile, None of a place between two parts of the tissue."""
        row, line, falling = way.row, way.line, way.line.is_falling
        tile, at_um = way.tiles.get(frame.index), armed_um[frame.index] - way.off_um
        if tile is None:
            return None
        passed = next(
            (k for k, knot in enumerate(line.knots[1:]) if (knot.at_um - at_um) * row.way >= 0.0),
            len(line.knots) - 2,
        )
        # Z makes its steps one by one here: between two of them it is half a step behind the line, on average.
        behind_um = -0.5 * self._config.board.z.um_per_step
        z_um = line.z_at(at_um) + behind_um * line.slope_signs[passed]
        is_above_um = way.above_um if falling[passed] else 0.0
        z_um += is_above_um - self._lower_um(way.above_um, falling[passed])
        board = self._instrument.board
        across = board.y if row.along == "x" else board.x
        x_um, y_um = row.place_um(at_um, across.stage_um - way.across_off_um)
        error_um = self._instrument.error_um_at(x_um, y_um, frame.flash_s)
        return Caught(tile, frame.pixels, x_um, y_um, z_um, falling[passed], is_above_um, error_um)

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
        ahead_um = row.way * ahead_um_of(plan.flash, plan.speed_um_per_s, axis.config.um_per_step)
        above_um = axis.stage_um - axis.position_um
        armed_um = self._board.trigger_at(
            row.along,
            TriggerPositions(row.along_um(first) + off_um - ahead_um - above_um, spacing_um, count),
            plan.flash,
        )
        return tuple(at_um + ahead_um + above_um for at_um in armed_um)


def count_of(row: Row) -> int:
    """How many triggers a row takes: one for each place along it, with a tile or without."""
    return abs(row.number(row.tiles[-1]) - row.number(row.tiles[0])) + 1
