"""The step interrupt on the emulated RP2040 in every situation: short, and its steps on time.

`make firmware-check` shows the figures, which are cycle counts at 125 MHz. The emulator models neither the flash cache,
which no step needs, nor a real USB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parfocal.board.clock import VirtualClock
from parfocal.board.conformance.bench import Bench
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import AxisBit, Fault, Message, MoveResult, Opcode, Status
from parfocal.board.wire.packet import encode
from tests.board.firmware.emulator.emulated import EmulatedBoard, EmulatedCable
from tests.board.firmware.emulator.timing import CYCLE_US, assert_timely

FULL_SPEED, ACCEL = 20000, 200000
FAR, NEAR = 16000, 0
ALL = (FULL_SPEED,) * 3
UNEQUAL = (20000, 19990, 19970)


class Rig:
    """The emulated board in a session, and the time that passes for it."""

    def __init__(self, board: EmulatedBoard) -> None:
        self.board, self.clock = board, VirtualClock(0.1)
        self.bench = Bench(lambda: EmulatedCable(board, self.clock), self.clock)
        self.bench.first_session()
        self.n_strobes = 0

    def prepare(self) -> None:
        """Stand at zero, homed, in the dark, without faults; what was measured before is forgotten."""
        self.board.run_until(self.now_us, estop=False)
        self.bench.hear(0.01)
        self.bench.calm()
        self.do(messages.Watchdog(60000, 60000))
        self.do(messages.Motors(7))
        for axis in AxisBit.Z, AxisBit.X, AxisBit.Y:
            if not self.bench.state().homed & axis:
                self.home(axis)
                self.bench.rest()
        assert self.bench.state().homed == 7
        self.move(0)
        self.bench.rest()
        self.bench.events.clear()
        self.measured()

    @property
    def now_us(self) -> int:
        return round(self.clock.now_s() * 1e6)

    def do(self, message: Message) -> None:
        assert self.bench.ask(message).status == Status.OK, message

    def home(self, axis: AxisBit) -> None:
        self.do(messages.Home(self.bench.next_move_id(), axis, 4000, 400, 80000))

    def move(self, target_steps: int, speeds: tuple[int, int, int] = ALL, accel: int = ACCEL) -> None:
        """Begin a move of all three axes."""
        self.do(messages.MoveAbs(self.bench.next_move_id(), 7, (target_steps,) * 3, speeds, (accel,) * 3))

    def measured(self) -> dict[str, Any]:
        """Edges and cycle counts since the last call."""
        return self.board.run_until(self.now_us, edges=True)

    def strobe_id(self) -> int:
        self.n_strobes += 1
        return self.n_strobes


@pytest.fixture(scope="module")
def one_rig(fast: EmulatedBoard) -> Rig:
    return Rig(fast)


@pytest.fixture
def rig(one_rig: Rig) -> Rig:
    one_rig.prepare()
    return one_rig


def test_each_phase_of_a_homing(rig: Rig) -> None:
    for axis in AxisBit.Z, AxisBit.X, AxisBit.Y:
        rig.home(axis)
        rig.bench.rest()
        assert_timely(f"homing of {axis.name}, all phases", rig.measured())
    assert rig.bench.state().homed == 7


def test_a_homing_that_is_stopped_in_any_phase_and_one_that_begins_on_the_switch(rig: Rig) -> None:
    began_on_the_switch = 0
    for i in range(24):
        began_on_the_switch += bool(rig.bench.state().switches & 1 << 4)
        rig.home(AxisBit.Z)
        rig.bench.hear(0.005 + 0.021 * i)
        rig.do(messages.Stop())
        rig.bench.rest()
    assert began_on_the_switch > 3
    assert_timely("homings of Z stopped at 24 moments", rig.measured())


@pytest.mark.parametrize("speeds", [ALL, UNEQUAL])
def test_three_axes_step_together_at_20_000_a_second(rig: Rig, speeds: tuple[int, int, int]) -> None:
    """At one speed they keep their distance in time; at speeds that differ a little all meet, again and again."""
    rig.move(FAR, speeds)
    rig.bench.hear(0.15)  # every axis is at full speed
    assert_timely(f"three axes accelerate to {speeds} steps/s", rig.measured())
    rig.bench.hear(0.5)
    found = rig.measured()
    rig.bench.hear(0.5)
    ending = rig.measured()
    assert rig.bench.state().pos_steps == (FAR, FAR, FAR)
    jitters_us = []
    for times_ns, speed in zip(found["edges"], speeds, strict=True):
        times_us = np.array(times_ns) / 1000.0
        assert len(times_us) == pytest.approx(0.5 * speed, rel=0.01)
        late_us = times_us - times_us[0] - np.arange(len(times_us)) * 1e6 / speed
        jitters_us.append(float(late_us.max() - late_us.min()))
    load = found["isr"]["sum"] * CYCLE_US / 5e5
    situation = (
        f"three axes at {speeds} steps/s, {load:.0%} of the processor, jitter {max(jitters_us):.1f} us"
    )
    assert_timely(situation, found)
    assert_timely("three axes end their moves", ending)
    assert max(jitters_us) <= 10.0
    assert load <= 0.25


def test_three_axes_that_end_with_the_same_step(rig: Rig) -> None:
    for target in (400, 0, 400, 0):
        rig.move(target, accel=400000)
        rig.bench.rest()
    assert_timely("three axes begin, turn round and end with the same step", rig.measured())


@pytest.mark.parametrize("speeds", [ALL, UNEQUAL])
def test_a_stop_at_full_speed_and_on_the_ramp(rig: Rig, speeds: tuple[int, int, int]) -> None:
    for target, run_s in ((FAR, 0.3), (NEAR, 0.05), (FAR, 0.2003), (NEAR, 0.011)):
        rig.move(target, speeds)
        rig.bench.hear(run_s)
        rig.do(messages.Stop())
        rig.bench.rest()
    assert_timely(f"STOP of three axes from {speeds} steps/s", rig.measured())


def test_a_limit_switch_ends_three_moves_at_once(rig: Rig) -> None:
    rig.move(FAR)
    rig.bench.hear(0.3)
    rig.board.run_until(rig.now_us, upper=True)
    rig.bench.hear(0.05)
    state = rig.bench.state()
    assert (state.moving, state.faults, state.homed) == (0, Fault.LIMIT_SWITCH, 0)
    assert_timely("limit switches of three axes at full speed", rig.measured())


def test_the_emergency_stop_at_full_speed(rig: Rig) -> None:
    rig.do(messages.Lamp(9000))
    rig.do(messages.SetCurrent(100000))
    rig.move(FAR)
    rig.bench.hear(0.3)
    pressed_us = rig.now_us
    rig.board.run_until(rig.now_us, estop=True)
    rig.bench.hear(0.05)
    state = rig.bench.state()
    assert (state.moving, state.motors, state.lamp_duty, state.lens_ua) == (0, 0, 0, 0)
    found = rig.measured()
    assert_timely("emergency stop, three axes at full speed, lamp and lens on", found)
    assert max(edges[-1] for edges in found["edges"]) / 1000.0 <= pressed_us + 60.0
    assert found["lamp"][-1][1] == 0
    assert found["lamp"][-1][0] / 1000.0 <= pressed_us + 60.0


def test_positions_that_trigger_and_flash_while_three_axes_step(rig: Rig) -> None:
    for delay_us in (0, 37):
        trigger = messages.PositionTrigger(rig.strobe_id(), AxisBit.X, 4000, 100, 60, delay_us, 14, 9000)
        rig.do(trigger)
        rig.move(FAR, UNEQUAL)
        rig.bench.hear(1.2)
        found = rig.measured()
        assert rig.bench.state().pos_steps == (FAR, FAR, FAR)
        assert_timely(f"60 positions trigger and flash {delay_us} us later", found)
        begins_us = np.array([begin for begin, _ in found["triggers"]]) / 1000.0
        pulses_us = np.array([end - begin for begin, end in found["triggers"]]) / 1000.0
        steps_us = np.array(found["edges"][0])[4000 - 1 : 4000 - 1 + 6000 : 100] / 1000.0
        flashes = np.array(found["lamp"]).reshape(60, 2, 2)
        np.testing.assert_array_equal(flashes[:, :, 1], [[9000, 0]] * 60)
        flashes_us = flashes[:, :, 0] / 1000.0
        late_us, wait_us = begins_us - steps_us, flashes_us[:, 0] - begins_us
        lit_us = flashes_us[:, 1] - flashes_us[:, 0]
        print(  # noqa: T201
            f"trigger {late_us.max():.1f} us after its step, flash {wait_us.min():.1f} to {wait_us.max():.1f} us "
            f"later, {lit_us.min():.1f} to {lit_us.max():.1f} us long"
        )
        assert 0.0 < late_us.max() <= 5.0
        assert np.all((pulses_us >= 95.0) & (pulses_us <= 120.0))
        assert np.all((wait_us >= delay_us) & (wait_us <= delay_us + 10.0))
        assert np.all(np.abs(lit_us - 14.0) <= 10.0)
        rig.move(NEAR)
        rig.bench.rest()
        rig.measured()


def test_a_sweep_at_full_speed_does_not_falter_where_the_legs_of_z_begin(rig: Rig) -> None:
    n_legs, apart = 30, 450
    for index in range(n_legs):
        rig.do(messages.WayPoint(index, 1000 + apart * index, 20 * (index % 2), 10000, ACCEL))
    rig.do(
        messages.Sweep(rig.bench.next_move_id(), AxisBit.X, FAR, FULL_SPEED, ACCEL, n_legs),
    )
    rig.bench.hear(1.2)
    found = rig.measured()
    assert rig.bench.state().pos_steps == (FAR, 0, 20)
    assert_timely(f"a sweep at {FULL_SPEED} steps/s, {n_legs} legs of Z begin on the way", found)
    x_us, _, z_us = (np.array(times) / 1000.0 for times in found["edges"])
    at_full_speed = x_us[1000:15000]
    late_us = at_full_speed - at_full_speed[0] - np.arange(len(at_full_speed)) * 1e6 / FULL_SPEED
    firsts_us = z_us[::20]  # the first leg has no step, each of the others 20
    reached_us = x_us[1000 - 1 + apart * np.arange(1, n_legs)]
    waits_us = firsts_us - reached_us - np.sqrt(2.0 / ACCEL) * 1e6
    print(  # noqa: T201
        f"legs of Z begin {waits_us.min():.0f} to {waits_us.max():.0f} us after the step, "
        f"steps of X move by {late_us.max() - late_us.min():.1f} us"
    )
    assert np.all((waits_us > 0.0) & (waits_us < 500.0))
    assert late_us.max() - late_us.min() <= 10.0


def test_a_strobe_while_three_axes_step(rig: Rig) -> None:
    rig.move(FAR, UNEQUAL)
    rig.do(messages.Strobe(rig.strobe_id(), 500, 1000, 0, 200, 9000))
    rig.bench.hear(0.7)
    found = rig.measured()
    assert len(found["triggers"]) == pytest.approx(500, abs=5)
    assert_timely("a strobe of 1 kHz, three axes at full speed", found)


def test_requests_without_a_pause_while_three_axes_step(rig: Rig) -> None:
    rig.move(FAR, UNEQUAL)
    n_asked = n_answered = 0
    for i in range(350):
        lamp = messages.Lamp(i)
        for message in (messages.StateRequest(), messages.Ping(), lamp, messages.LimitsRequest()):
            rig.bench.send(encode(rig.bench.request(message)))
            n_asked += 1
        n_answered += len(rig.bench.hear(0.002))
    n_answered += len(rig.bench.hear(0.3))
    assert n_answered == n_asked + 1  # MOVE_DONE
    assert_timely(f"{n_asked} requests, two a millisecond, three axes at full speed", rig.measured())
    assert rig.bench.state().pos_steps == (FAR, FAR, FAR)


def test_the_watchdog_stops_motion_and_light_after_its_time(rig: Rig) -> None:
    rig.do(messages.Lamp(9000))
    rig.do(messages.SetCurrent(100000))
    rig.do(messages.Watchdog(250, 5000))
    fed_us = rig.now_us
    rig.move(FAR)
    rig.bench.hear(0.6)
    found = rig.measured()
    (lit, dark) = found["lamp"]
    assert (lit[1], dark[1]) == (9000, 0)
    dark_ms = (dark[0] / 1000.0 - fed_us) / 1000.0
    slows_ms = []
    for times_ns in found["edges"]:
        intervals_us = np.diff(times_ns) / 1000.0
        at_full_speed = np.flatnonzero(intervals_us < 51.0)[-1]
        slows_ms.append((times_ns[at_full_speed + 1] / 1000.0 - fed_us) / 1000.0)
    print(f"\nwatchdog of 250 ms: dark after {dark_ms:.2f} ms, slower after {max(slows_ms):.2f} ms")  # noqa: T201
    for found_ms in (dark_ms, *slows_ms):
        assert found_ms == pytest.approx(250.0, abs=10.0)
    (done,) = (packet for packet in rig.bench.events if packet.opcode == Opcode.MOVE_DONE)
    result = layout.unpack(done.kind, done.opcode, done.payload)
    assert isinstance(result, messages.MoveDone)
    assert result.result == MoveResult.WATCHDOG
    state = rig.bench.state()
    assert (state.moving, state.lamp_duty, state.lens_ua, state.faults) == (0, 0, 0, Fault.WATCHDOG)
    assert_timely("the watchdog ends motion and light", found)
