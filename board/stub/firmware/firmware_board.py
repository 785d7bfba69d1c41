"""The firmware at the end of a wire, with the stub's stage under its motors: the same face as `StubBoard`.

The firmware runs in virtual time. Its step edges drive the mechanics, and its switches are theirs; what it believes
about its position reaches nobody but its host.
"""

from __future__ import annotations

import bisect
import ctypes
import enum
import random
import threading
import weakref
from collections import deque
from collections.abc import Callable

import numpy as np

from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.firmware import library as lib
from parfocal.board.stub.firmware.stepped_axis import SteppedAxis
from parfocal.board.stub.optics.lamp import light_of
from parfocal.board.stub.stage.ratings import FEATURES, LENS, Ratings
from parfocal.board.stub.stage.true_stage import HISTORY_S, check_history
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Kind, Opcode, State
from parfocal.board.wire.packet import FrameErrors

_NEVER_US = 2**64 - 1
_RESET_LINE = 2
_KEPT_TRIGGERS = 1024
_MAX_DUTY = 10000
_ROUNDING_US = 1e-3  # a time in s that was made from whole us comes back as the same us


class Inside(enum.IntEnum):
    """What tests look at and set inside the firmware: `PF_INSIDE_...` of host/virtual.h."""

    SESSION = 0
    FAULTS = 1
    MOTORS = 2
    HOMED = 3
    IS_MOVING = 4
    N_MOTIONS = 5
    CRC_ERRORS = 6
    FRAMING_ERRORS = 7
    MOTION_LIMIT_MS = 8
    IDLE_LIMIT_MS = 9


class FirmwareMachine:
    """The processor, its pins, and the stage."""

    def __init__(self, config: StubConfig, now_s: float, boot_id: int) -> None:
        """Raises BoardNotFound where the firmware cannot be built."""
        draw = random.Random(config.seed)  # noqa: S311  # a gear, not a secret
        self.ratings = Ratings((config.x, config.y, config.z))
        self._axes = tuple(SteppedAxis(axis, now_s, draw.random()) for axis in self.ratings.configs)
        self.history_s = HISTORY_S
        self.estop_pressed = False
        self.sent: list[tuple[float, bytes]] = []
        self._lamp: list[tuple[float, int]] = [(now_s, 0)]
        self._triggers_s: deque[float] = deque(maxlen=_KEPT_TRIGGERS)
        self.lens_ua = 0
        self._lens_changed: Callable[[float, int], None] = lambda _time_s, _current_ua: None
        self._start_s = self._now_s = now_s
        self._motions_before = 0
        self._lock = threading.RLock()  # one thread at a time in the library
        self._library = lib.firmware_library()
        self._calls = lib.Outside(
            lib.STEPS(self._steps),
            lib.IS_PRESSED(self._is_pressed),
            lib.CONTACT(self._contact),
            lib.MOTOR(self._motor),
            lib.LAMP(self._light),
            lib.LENS(self._lens),
            lib.TRIGGER(self._trigger),
            lib.WRITE(self._write),
        )
        row = config_row(self.ratings)
        self._board = self._library.pf_virtual_new(
            ctypes.byref(row), ctypes.byref(self._calls), None, 0, boot_id, config.unit_serial, 0
        )
        weakref.finalize(self, self._library.pf_virtual_free, self._board)

    @property
    def now_s(self) -> float:
        """Time advanced to."""
        return self._now_s

    @property
    def axes(self) -> tuple[SteppedAxis, ...]:
        """The mechanics of x, y, z, after every step up to now."""
        with self._lock:
            self._library.pf_virtual_hand_over(self._board)
        return self._axes

    @property
    def motions_begun(self) -> int:
        """Motions since the machine was made, through all reboots."""
        return self._motions_before + self.inside(Inside.N_MOTIONS)

    def advance(self, time_s: float) -> None:
        """Let time pass. Time never goes back."""
        with self._lock:
            self._now_s = max(self._now_s, time_s)
            self._library.pf_virtual_advance(self._board, self._us(self._now_s))

    def keep_busy(self, until_s: float) -> None:
        """Keep the main loop busy until `until_s`: only its interrupt runs."""
        self._library.pf_virtual_keep_busy(self._board, self._us(until_s))

    def receive(self, data: bytes) -> None:
        """Take bytes that arrive now."""
        with self._lock:
            self._library.pf_virtual_receive(self._board, data, len(data))

    def next_due_s(self) -> float:
        """When something other than a step may happen by itself, s; infinity when nothing will."""
        due_us = self._library.pf_virtual_next_event_us(self._board)
        return float("inf") if due_us == _NEVER_US else self._s(due_us)

    def state(self) -> State:
        """What the firmware answers to STATE."""
        payload = ctypes.create_string_buffer(messages.MAX_PAYLOAD_BYTES)
        with self._lock:
            n_bytes = self._library.pf_virtual_state(self._board, payload)
        state = layout.unpack(Kind.RESPONSE, Opcode.STATE, payload.raw[:n_bytes])
        assert isinstance(state, State)  # noqa: S101  # the table says so
        return state

    def press_estop(self, pressed: bool) -> None:
        """Press or release the button."""
        self.estop_pressed = pressed
        with self._lock:
            self._library.pf_virtual_press_estop(self._board, pressed)

    def reboot(self, boot_id: int) -> None:
        """Restart the processor: motors lose their current, and everything it knew is lost."""
        with self._lock:
            self._motions_before = self.motions_begun
            self._library.pf_virtual_reset(self._board, boot_id, _RESET_LINE)

    def drop_input(self) -> None:
        """Drop a frame that has begun to arrive."""
        self._library.pf_virtual_drop_input(self._board)

    def inside(self, what: Inside) -> int:
        """Something inside the firmware, for tests."""
        found: int = self._library.pf_virtual_inside(self._board, what)
        return found

    def set_inside(self, what: Inside, value: int) -> None:
        """Set something inside the firmware, for tests."""
        self._library.pf_virtual_set_inside(self._board, what, value)

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. The caller has checked `time_s` against the history."""
        x, y, z = (axis.true_um(time_s) for axis in self.axes)
        return x, y, z

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1."""
        index = bisect.bisect_right(self._lamp, time_s, key=lambda entry: entry[0])
        return self._lamp[max(index - 1, 0)][1] / _MAX_DUTY

    def watch_lens(self, changed: Callable[[float, int], None]) -> None:
        """Call `changed` with the time, s, and the current, uA, whenever the current of the lens changes."""
        self._lens_changed = changed

    def light(self, begin_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
        """Duty of the lamp from `begin_s` to `end_s`: pairs of time, s, and duty from then on, 0..1."""
        return light_of(self._lamp, begin_s, end_s)

    def triggers_s(self, after_s: float) -> tuple[float, ...]:
        """Times of the camera triggers after `after_s`."""
        return tuple(time_s for time_s in self._triggers_s if time_s > after_s)

    def _us(self, time_s: float) -> int:
        return int((time_s - self._start_s) * 1e6 + _ROUNDING_US)

    def _s(self, time_us: int) -> float:
        return self._start_s + time_us / 1e6

    def _steps(
        self, _: object, axis: int, sign: int, times_us: ctypes._Pointer[ctypes.c_uint64], n_steps: int
    ) -> int:
        times_s = self._start_s + np.ctypeslib.as_array(times_us, (n_steps,)) / 1e6
        self._axes[axis].forget_before(self._now_s - self.history_s)
        return self._axes[axis].step(sign, times_s)

    def _is_pressed(self, _: object, axis: int, end: int, time_us: int) -> int:
        return self._axes[axis].is_pressed(end, self._s(time_us))

    def _contact(self, _: object, axis: int, end: int, time_us: int) -> int:
        return self._axes[axis].contact(end, self._s(time_us))

    def _motor(self, _: object, axis: int, is_on: int, time_us: int) -> None:
        if not is_on:
            self._axes[axis].switch_off(self._s(time_us))

    def _light(self, _: object, duty: int, time_us: int) -> None:
        now_s = self._s(time_us)
        self._lamp.append((now_s, duty))
        n_old = bisect.bisect_right(self._lamp, now_s - self.history_s, key=lambda entry: entry[0])
        del self._lamp[: max(n_old - 1, 0)]

    def _trigger(self, _: object, time_us: int) -> None:
        self._triggers_s.append(self._s(time_us))

    def _lens(self, _: object, current_ua: int, time_us: int) -> None:
        self.lens_ua = current_ua
        self._lens_changed(self._s(time_us), current_ua)

    def _write(self, _: object, frame: int, n_bytes: int, time_us: int) -> None:
        self.sent.append((self._s(time_us), ctypes.string_at(frame, n_bytes)))


class FirmwareInput:
    """What the firmware counts of the bytes that reach it."""

    def __init__(self, machine: FirmwareMachine) -> None:
        self._machine = machine

    @property
    def errors(self) -> FrameErrors:
        """Damaged frames since the last start."""
        machine = self._machine
        return FrameErrors(machine.inside(Inside.CRC_ERRORS), machine.inside(Inside.FRAMING_ERRORS))

    def reset(self) -> None:
        """Drop a frame that has begun: the cable was pulled."""
        self._machine.drop_input()


class FirmwareBoard:
    """A board without time of its own: every call passes the time, which never goes back."""

    def __init__(self, config: StubConfig, now_s: float, boot_id: int) -> None:
        """Raises BoardNotFound where the firmware cannot be built."""
        self.machine = FirmwareMachine(config, now_s, boot_id)
        self.decoder = FirmwareInput(self.machine)
        self._boot_id = boot_id

    @property
    def session(self) -> int:
        """Number of the open session, 0 for none."""
        return self.machine.inside(Inside.SESSION)

    def receive(self, data: bytes, time_s: float) -> None:
        """Take bytes that arrive at `time_s`."""
        self.machine.advance(time_s)
        self.machine.receive(data)

    def advance(self, time_s: float) -> None:
        """Let time pass until `time_s`."""
        self.machine.advance(time_s)

    def reboot(self) -> None:
        """Restart where the stage stands now, under a new boot_id."""
        self.machine.sent.clear()
        self._boot_id = random.Random(self._boot_id).getrandbits(32)  # noqa: S311  # an id, not a secret
        self.machine.reboot(self._boot_id)

    def take_output(self) -> list[tuple[float, bytes]]:
        """Frames sent since the last call, in order, each with the time it was sent."""
        out, self.machine.sent = self.machine.sent, []
        return out

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. Raises ValueError for a time before the history or after now."""
        check_history(time_s, self.machine.now_s, self.machine.history_s)
        return self.machine.true_um(time_s)

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1. Raises ValueError as `true_um` does."""
        check_history(time_s, self.machine.now_s, self.machine.history_s)
        return self.machine.lamp_duty(time_s)


def config_row(ratings: Ratings) -> lib.BoardRow:
    """What is compiled into the firmware of a board with this stage: `pf_config` of board.h."""
    limits, line = ratings.limits, ratings.pull_out
    axes = []
    for i, config in enumerate(ratings.configs):
        seek = ratings.seek_steps(i)
        axes.append(
            lib.AxisRow(
                max_steps=ratings.max_steps[i],
                max_speed=limits.max_speed_steps_per_s[i],
                max_accel=limits.max_accel_steps_per_s2[i],
                jog_steps=limits.jog_steps[i],
                jog_speed=limits.jog_steps_per_s[i],
                no_torque=line.no_torque_steps_per_s[i],
                from_rest=line.from_rest_steps_per_s2[i],
                switch_steps=seek.switch,
                whole_steps=seek.whole,
                edge_steps=seek.edge,
                off_steps=seek.off,
                bounce_us=round(config.bounce_s * 1e6),
            )
        )
    return lib.BoardRow((lib.AxisRow * 3)(*axes), FEATURES, LENS.min_ua, LENS.max_ua)
