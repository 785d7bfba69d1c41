"""Stages that Micro-Manager drives: an XY stage and a focus drive, whatever their make.

Its positions are in um, each from an origin of the device's own, so the user declares where the stage stands. A move is
absolute, and the position is read afterwards. Source: the API of MMCore 12 (MMCore.cpp, MMDevice.h).
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from typing import TypeVar

from parfocal.board.clock import PacedClock
from parfocal.board.config import AXIS_NAMES, BoardConfig
from parfocal.board.errors import (
    BadSettings,
    BoardError,
    BoardNotFound,
    LinkTimeout,
    MoveRefused,
    MoveStopped,
    PositionLost,
)
from parfocal.board.foreign.dialect import Recognised, Report, Steps, Turns
from parfocal.board.foreign.memory import Known, Memory
from parfocal.board.foreign.mmcore import MicroManagerFailed, MicroManagerHung, SharedCore, open_core
from parfocal.board.motion.profile import Trapezoid
from parfocal.board.motor import MotorRatings, Rates

_BEGINS_WALL_S = 0.25  # how soon after its command a stage moves or says that it is busy
_LOOK_WALL_S = 0.01
_HANGS_WALL_S = 5.0  # what a command may take beyond its move, as a serial adapter retries
_STOP_WALL_S = 1.0
_FAR_STEPS = 2**31 - 1

T = TypeVar("T")


class MicroManager:
    """The stages of an open core: the `Dialect` of its three motors."""

    def __init__(self, shared: SharedCore, clock: PacedClock, config: BoardConfig, memory: Memory) -> None:
        """Use `open` or `recognise`."""
        self.clock, self.turns = clock, Turns()
        self.tolerance_steps = (0.0, 0.0, 0.0)
        self._shared, self._core = shared, shared.core
        self._config, self._memory = config, memory
        self._xy, self._z = self._core.getXYStageDevice(), self._core.getFocusDevice()
        # The focus drive counts upwards either towards the objective or away from it.
        self._z_sign = self._core.getFocusDirection(self._z) if self._z else 0
        x, y, z = (config.axis(name).um_per_step for name in AXIS_NAMES)
        self._um_per_step = x, y, z * (self._z_sign or 1)
        self._offsets: Steps | None = None

    @classmethod
    def open(cls, clock: PacedClock, config: BoardConfig, memory: Memory) -> MicroManager:
        """Load the configured file. Nothing that we ask for moves; an adapter may home its stage as it loads.

        Raises BadSettings, LinkTimeout, BoardNotFound.
        """
        stages = cls(_shared(config), clock, config, memory)
        try:
            if problems := stages._problems():
                raise BadSettings(
                    f"Micro-Manager configuration {config.micromanager} not used: {'; '.join(problems)}. "
                    "Correct it with Micro-Manager's hardware wizard or an editor; nothing moved."
                )
            stages.halt()
            stages._offsets = stages._remembered()
            memory.save(None)  # until it is closed well
        except BoardError:
            stages._shared.close()
            raise
        return stages

    @classmethod
    def recognise(cls, clock: PacedClock, config: BoardConfig, memory: Memory) -> Recognised:
        """Which stages the configured file has, and their state. Raises as `open`."""
        shared = _shared(config)
        try:
            stages = cls(shared, clock, config, memory)
            version, problems = shared.core.getVersionInfo(), stages._problems()
            told = f"Micro-Manager, {version}; XY stage {stages._xy or 'none'}, focus {stages._z or 'none'}"
            if problems:
                return Recognised("micromanager", told, "not usable", False, problems)
            state = "moving" if stages._is_busy() else "resting"
            return Recognised("micromanager", told, state, stages._remembered() is not None)
        finally:
            shared.close()

    def ratings(self, index: int) -> MotorRatings:  # noqa: ARG002  # the same for all
        """Micro-Manager knows no limits, and not every stage can home."""
        return MotorRatings(-_FAR_STEPS, _FAR_STEPS, has_homing=False)

    def report(self) -> Report:
        """Ask the stages for their state: at rest if none is busy and no position changes meanwhile.

        Raises LinkTimeout, PositionLost.
        """
        is_busy, counts = self._is_busy(), self._counts()
        if not is_busy:
            self.clock.sleep_s(_LOOK_WALL_S * self.clock.speed)
            before, counts = counts, self._counts()
            is_busy = counts != before or self._is_busy()
        x, y, z = (c + o for c, o in zip(counts, self._offsets or (0, 0, 0), strict=True))
        state = "moving" if is_busy else "resting"
        return Report(state, not is_busy, (x, y, z), self._offsets is not None)

    def begin(self, index: int, from_steps: int, target_steps: int, rates: Rates) -> bool:  # noqa: ARG002  # its own
        """Move one axis to `target_steps`, at the stage's own speed. It is requested once.

        Raises MoveRefused (nothing moved), MoveStopped, PositionLost, LinkTimeout.
        """
        name, before = AXIS_NAMES[index], self._counts()
        if self._offsets is None:
            raise PositionLost(
                f"move of {name} not begun: declare the position, `parfocal home --here X,Y,Z`."
            )
        target = target_steps - self._offsets[index]
        counts = tuple(target if i == index else count for i, count in enumerate(before))
        to_um = tuple(count * scale for count, scale in zip(counts, self._um_per_step, strict=True))
        with self.turns.sending:
            if self.turns.is_stopped:
                raise MoveStopped(f"move of {name} stopped before it began. Decide again.")
        try:
            # A drive may return only when it has arrived.
            wall_s = _HANGS_WALL_S + 1.5 * self._expected_s(index, target - before[index])
            self._shared.ask(lambda: self._go(index, to_um), wall_s)
        except MicroManagerHung as hung:
            self._forget()
            self.halt()
            raise LinkTimeout(f"move of {name} did not end: {hung}. Check the stage, then declare.") from hung
        except MicroManagerFailed as failed:
            self._raise_failed(name, before, failed)
        self._wait_for_begin(before, target, index)
        return True

    def halt(self) -> None:
        """Stop both stages, from any thread. Not every stage can; a move then runs to its end."""
        for device in (self._xy, self._z):
            with contextlib.suppress(MicroManagerFailed):
                self._shared.ask(functools.partial(self._core.stop, device), _STOP_WALL_S)

    def stop(self, at_once: bool = False) -> None:
        """Stop every axis, from any thread. `at_once`: the position is forgotten."""
        with self.turns.sending:
            self.turns.n_stops += 1
        self.halt()
        if at_once:
            self._forget()

    def home(self, index: int) -> None:
        """Refuse: not every stage can. Raises MoveRefused."""
        raise MoveRefused(f"homing of {AXIS_NAMES[index]} refused: Micro-Manager homes no stage for certain.")

    def declare(self, pos_steps: Steps) -> None:
        """Take it that the stage stands there now. Call inside a turn. Raises LinkTimeout, PositionLost."""
        x, y, z = (p - c for p, c in zip(pos_steps, self._counts(), strict=True))
        self._offsets = (x, y, z)
        self.turns.n_forgotten += 1

    def clear_faults(self) -> None:
        """Nothing latches."""

    def light(self, duty: float) -> None:  # noqa: ARG002  # the seam's
        """Refuse: Micro-Manager opens its shutter for each picture by itself. Raises BoardError."""
        raise BoardError("lamp refused: Micro-Manager's own shutter lights each picture.")

    def close(self) -> None:
        """Remember where the stage stands, and release it. Idempotent."""
        if self._offsets is not None:
            with contextlib.suppress(BoardError):
                if not self._is_busy() and (counts := self._counts()) == self._counts():
                    self._memory.save(Known(counts, self._offsets))
        self._offsets = None
        self._shared.close()

    def _problems(self) -> tuple[str, ...]:
        found = []
        if not self._xy:
            found.append("it names no XY stage (`Property,Core,XYStage,...`)")
        if not self._z:
            found.append("it names no focus drive (`Property,Core,Focus,...`)")
        elif self._z_sign not in (-1, 1):
            found.append(
                f"it does not say which way {self._z} goes: `FocusDirection,{self._z},1` if a larger position is "
                f"nearer to the objective, else -1"
            )
        return tuple(found)

    def _go(self, index: int, to_um: tuple[float, ...]) -> None:
        if index == 2:
            self._core.setPosition(self._z, to_um[2])
        else:
            self._core.setXYPosition(self._xy, to_um[0], to_um[1])

    def _wait_for_begin(self, before: Steps, target: int, index: int) -> None:
        """Wait until the stage moves, or is there. A device may say for a while that it is not busy yet."""
        deadline_s = self.clock.now_s() + _BEGINS_WALL_S * self.clock.speed
        while self.clock.now_s() < deadline_s:
            if self._is_busy() or (counts := self._counts()) != before or counts[index] == target:
                return
            self.clock.sleep_s(_LOOK_WALL_S * self.clock.speed)

    def _raise_failed(self, name: str, before: Steps, failed: MicroManagerFailed) -> None:
        """After an error of the device: MoveRefused only if it is seen that nothing has moved."""
        self.halt()
        report = self.report()
        if report.is_resting and self._counts() == before:
            raise MoveRefused(f"move of {name} refused: {failed}; nothing moved.") from failed
        self._forget()
        raise PositionLost(
            f"move of {name} failed on its way: {failed}. Check the stage, then `parfocal home --here X,Y,Z`."
        ) from failed

    def _expected_s(self, index: int, steps: int) -> float:
        axis = self._config.axis(AXIS_NAMES[index])
        scale = axis.um_per_step
        return Trapezoid(abs(steps), axis.speed_um_per_s / scale, axis.accel_um_per_s2 / scale).duration_s

    def _is_busy(self) -> bool:
        return self._busy(self._xy) or self._busy(self._z)

    def _busy(self, device: str) -> bool:
        return self._ask(lambda: self._core.deviceBusy(device))

    def _counts(self) -> Steps:
        """Positions in steps from the devices' own origins. Raises LinkTimeout, PositionLost."""
        x_um, y_um = self._ask(lambda: self._core.getXYPosition(self._xy))
        places_um = x_um, y_um, self._ask(lambda: self._core.getPosition(self._z))
        if not all(map(math.isfinite, places_um)):
            self._forget()
            raise PositionLost(f"Micro-Manager reports {places_um} um. Check the stage, then declare again.")
        x, y, z = (round(um / scale) for um, scale in zip(places_um, self._um_per_step, strict=True))
        return x, y, z

    def _remembered(self) -> Steps | None:
        """Offsets of the last close, if no stage has moved since. One at its origin may have been restarted."""
        known, counts = self._memory.load(), self._counts()
        if known is None or known.counts != counts or not any(counts[:2]) or not counts[2]:
            return None
        return known.offsets

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return self._shared.ask(call)
        except MicroManagerFailed as failed:
            raise LinkTimeout(f"a stage of Micro-Manager does not answer: {failed}. Check it.") from failed

    def _forget(self) -> None:
        self._offsets = None
        self.turns.n_forgotten += 1


def _shared(config: BoardConfig) -> SharedCore:
    try:
        return open_core(config.micromanager)
    except MicroManagerFailed as failed:
        raise BoardNotFound(f"Micro-Manager not opened: {failed}. Set board.micromanager.") from failed
