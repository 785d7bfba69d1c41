"""The firmware steps when `profile.py` says, and does what the stub does."""

from __future__ import annotations

import ctypes
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parfocal.board.motion.profile import Trapezoid, stopping_edges_s
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.firmware.firmware_board import FirmwareBoard, FirmwareMachine
from parfocal.board.stub.firmware.library import firmware_library
from parfocal.board.stub.stub_board import StubBoard
from parfocal.board.stub.wired_board import WiredBoard
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import AxisBit, Fault, Kind, Message, Status
from parfocal.board.wire.packet import Packet, StreamDecoder, encode

pytestmark = pytest.mark.usefixtures("firmware")
US = 1e-6
TRIPLE_Z = tuple[int, int, int]


class Leg:
    """`pf_leg` of leg.h, which is smaller than this."""

    def __init__(self, n_steps: int, speed: int, accel: int) -> None:
        self._leg = ctypes.create_string_buffer(256)
        self._library = firmware_library()
        self._library.pf_leg_edge_us.restype = ctypes.c_uint64
        self._library.pf_leg_plan(
            self._leg, ctypes.c_uint32(n_steps), ctypes.c_uint32(speed), ctypes.c_uint32(accel)
        )

    @property
    def n_steps(self) -> int:
        return ctypes.c_uint32.from_buffer(self._leg).value

    def edges_s(self, first: int) -> list[float]:
        edge_us = self._library.pf_leg_edge_us
        return [edge_us(self._leg, ctypes.c_uint32(i)) / 1e6 for i in range(first, self.n_steps + 1)]

    def stop(self, since_us: int) -> None:
        self._library.pf_leg_stop(self._leg, ctypes.c_uint64(since_us))


rates = st.tuples(st.integers(1, 3000), st.integers(1, 16000), st.integers(1, 320000))


@given(rates)
def test_every_step_comes_within_2_us_of_the_profile(rate: tuple[int, int, int]) -> None:
    n_steps, speed, accel = rate
    expected_s = Trapezoid(n_steps, speed, accel).edge_times_s()
    np.testing.assert_allclose(Leg(n_steps, speed, accel).edges_s(1), expected_s, atol=2.5 * US, rtol=1e-9)


@given(rates, st.floats(0.0, 1.0))
def test_a_stop_ends_at_the_step_of_the_profile_and_as_gently(
    rate: tuple[int, int, int], when: float
) -> None:
    n_steps, speed, accel = rate
    profile = Trapezoid(n_steps, speed, accel)
    since_us = int(profile.duration_s * when * 1e6)
    n_done = int(np.searchsorted(profile.edge_times_s(), since_us * US, side="right"))
    leg = Leg(n_steps, speed, accel)
    leg.stop(since_us)
    expected_s = stopping_edges_s(profile, since_us * US, n_done)
    assert abs(leg.n_steps - (n_done + len(expected_s))) <= 1  # a step on the edge of a microsecond
    n_common = min(len(expected_s), leg.n_steps - n_done)
    edges_s = leg.edges_s(n_done + 1)
    # Near standstill a microsecond is a long way: 1 us before the end 2 / a becomes sqrt.
    slack_s = 3.0 * US + np.sqrt(4.0 * US * max(speed, 1) / accel) * 0.05
    np.testing.assert_allclose(edges_s[:n_common], expected_s[:n_common], atol=slack_s)


@pytest.mark.parametrize("n_steps", [1, 2, 3, 62_500, 4_000_000])
@pytest.mark.parametrize(("speed", "accel"), [(1, 1), (16_000, 160_000), (65_535, 4_000_000), (6400, 1)])
def test_long_and_slow_legs_stay_within_their_numbers(n_steps: int, speed: int, accel: int) -> None:
    leg = Leg(n_steps, speed, accel)
    profile = Trapezoid(n_steps, speed, accel)
    edge_us = firmware_library().pf_leg_edge_us
    for step in {1, n_steps // 3 + 1, n_steps // 2 + 1, n_steps}:
        found_s = edge_us(leg._leg, ctypes.c_uint32(step)) / 1e6
        expected_s = _edge_s(profile, step)
        assert found_s == pytest.approx(expected_s, abs=3.0 * US, rel=1e-9)


def _edge_s(profile: Trapezoid, step: int) -> float:
    """Time of one step, without the times of all."""
    peak, accel = profile.peak_steps_per_s, profile.accel_steps_per_s2
    ramp = peak * peak / (2.0 * accel)
    if step <= ramp:
        return float(np.sqrt(2.0 * step / accel))
    if profile.n_steps - step < ramp:
        return float(profile.duration_s - np.sqrt(2.0 * (profile.n_steps - step) / accel))
    return peak / accel + (step - ramp) / peak


# --- the firmware beside the stub


class Pair:
    """Stub and firmware, told the same at the same time."""

    def __init__(self, seed: int) -> None:
        config = StubConfig(seed=seed)
        self.now_s = 50.0
        self.boards: tuple[WiredBoard, WiredBoard] = (
            StubBoard(config, self.now_s, boot_id=seed + 1),
            FirmwareBoard(config, self.now_s, boot_id=seed + 1),
        )
        self.seq = 0
        self.session = 0

    def ask(self, request: Message) -> tuple[Packet, Packet]:
        """Both responses."""
        self.seq += 1
        opcode = layout.opcode_of(request)
        frame = encode(Packet(Kind.REQUEST, opcode, 0, self.seq, self.session, layout.pack(request)))
        answers = []
        for board in self.boards:
            board.receive(frame, self.now_s)
            out = [packet for _, data in board.take_output() for packet in StreamDecoder().feed(data)]
            answers += [packet for packet in out if packet.kind == Kind.RESPONSE]
        stub, firmware = answers
        return stub, firmware

    def wait(self, duration_s: float) -> None:
        self.now_s += duration_s
        for board in self.boards:
            board.advance(self.now_s)

    def is_at_rest(self) -> bool:
        return not any(board.machine.state().moving for board in self.boards)


def sweep(pair: Pair, draw: random.Random, move_id: int) -> Message:
    """A sweep whose way points were sent, and hardly ever one that is refused."""
    lead, n_legs = draw.choice((1, 1, 2, 2, 4)), draw.randrange(1, 6)
    to, at = draw.randrange(0, 16000), pair.boards[0].machine.state().pos_steps[lead % 2 ^ 1]
    places = sorted(draw.randrange(min(at, to) - 50, max(at, to) + 1) for _ in range(n_legs))
    if to < at:
        places = [min(place + 50, at + 50) for place in places[::-1]]
    for index, place in enumerate(places):
        z_steps = draw.choice((draw.randrange(0, 300), draw.randrange(0, 17000)))
        point = messages.WayPoint(index, place, z_steps, draw.choice((3200, 6400)), 80000)
        stub, firmware = pair.ask(point)
        assert stub.status == firmware.status
    count = n_legs if draw.random() < 0.9 else 7
    return messages.Sweep(move_id, lead, to, draw.choice((3200, 6400)), 60000, count)


def request(pair: Pair, draw: random.Random, move_id: int) -> Message:
    kind = draw.randrange(13)
    if kind >= 10:
        return sweep(pair, draw, move_id)
    if kind < 5:
        axes = draw.choice((1, 2, 4, 4, 7, 6, 0, 9))
        targets = [draw.choice((draw.randrange(0, 17000), draw.randrange(0, 300), -5)) for _ in range(3)]
        speeds = [draw.choice((600, 3200, 6400, 7000)) for _ in range(3)]
        accels = [draw.choice((20000, 80000, 161000)) for _ in range(3)]
        return messages.MoveAbs(move_id, axes, tuple(targets), tuple(speeds), tuple(accels))  # type: ignore[arg-type]
    if kind == 5:
        return messages.Home(move_id, draw.choice((1, 2, 4, 3)), 3200, draw.choice((160, 200)), 80000)
    if kind == 6:
        return messages.Lamp(draw.randrange(10500), draw.choice((0, 300)))
    if kind == 7:
        return messages.Motors(draw.choice((7, 7, 7, 3, 8)))
    if kind == 8:
        return messages.Watchdog(draw.choice((50, 3000, 5000)), 5000)
    return messages.Clear(draw.choice((0xFFFF, Fault.ESTOP)))


def assert_equal_at_rest(pair: Pair) -> None:
    """Counters and faults are those of the stub; the stage stands where the stub's does."""
    stub, firmware = (board.machine.state() for board in pair.boards)
    named = ("pos_steps", "last_move_id", "faults", "last_result", "homed", "motors", "switches", "moving")
    for name in named:
        assert getattr(firmware, name) == getattr(stub, name), name
    pair.wait(0.3)  # the swing is over
    at = [board.true_um(pair.now_s) for board in pair.boards]
    np.testing.assert_allclose(at[1], at[0], atol=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_the_firmware_answers_and_ends_as_the_stub_does(seed: int) -> None:
    draw = random.Random(seed)
    pair = Pair(seed)
    hello = messages.Hello(7, layout.schema_hash(), 1, 1)
    stub_hello, firmware_hello = pair.ask(hello)
    assert stub_hello == firmware_hello
    pair.session = stub_hello.session
    pair.ask(messages.Watchdog(5000, 60000))
    for axis in (AxisBit.Z, AxisBit.X, AxisBit.Y):
        pair.ask(messages.Home(pair.seq, axis, 3200, 160, 80000))
        for _ in range(20):
            pair.wait(2.0)
            pair.ask(messages.Ping())
    assert_equal_at_rest(pair)
    assert pair.boards[1].machine.state().homed == 7
    for _ in range(60):
        stub, firmware = pair.ask(request(pair, draw, pair.seq))
        assert (firmware.status, firmware.seq, firmware.session) == (stub.status, stub.seq, stub.session)
        if stub.status == Status.OK and draw.random() < 0.2:
            pair.wait(draw.random() * 0.2)
            pair.ask(messages.Estop() if draw.random() < 0.1 else messages.Ping())
        for _ in range(30):
            pair.wait(1.0)
            pair.ask(messages.Ping())
        assert pair.is_at_rest()
        assert_equal_at_rest(pair)


@pytest.mark.parametrize("seed", range(6))
def test_a_stopped_firmware_stands_within_one_step_of_the_stub_and_knows_where(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(5):
        pair = Pair(seed)
        pair.session = pair.ask(messages.Hello(7, layout.schema_hash(), 1, 1))[0].session
        pair.ask(messages.Watchdog(60000, 60000))
        pair.ask(messages.Home(1, AxisBit.Z, 3200, 160, 80000))
        pair.wait(40.0)
        pair.ask(messages.MoveAbs(2, 4, (0, 0, 12000), (0, 0, 3200), (0, 0, draw.choice((2000, 80000)))))
        pair.wait(draw.uniform(0.0, 4.0))
        pair.ask(messages.Stop())
        pair.wait(5.0)
        stub, firmware = (board.machine.state().pos_steps[2] for board in pair.boards)
        assert abs(firmware - stub) <= 1
        assert pair.boards[1].true_um(pair.now_s)[2] == pytest.approx(firmware * 0.3125, abs=1e-6)


def moving_z(speed: int, accel: int) -> tuple[Pair, list[float]]:
    """Z on its way to step 12000; the times of its steps, while they come."""
    pair = Pair(1)
    pair.session = pair.ask(messages.Hello(7, layout.schema_hash(), 1, 1))[0].session
    pair.ask(messages.Watchdog(5000, 60000))
    pair.ask(messages.Home(1, AxisBit.Z, 3200, 160, 80000))
    for _ in range(20):
        pair.wait(2.0)
        pair.ask(messages.Ping())
    times_s: list[float] = []
    axis = pair.boards[1].machine.axes[2]
    step = axis.step  # type: ignore[attr-defined]

    def noted(sign: int, stepped_s: NDArray[np.float64]) -> int:
        times_s.extend(stepped_s)
        return int(step(sign, stepped_s))

    axis.step = noted  # type: ignore[attr-defined]
    pair.ask(messages.MoveAbs(2, AxisBit.Z, (0, 0, 12000), (0, 0, speed), (0, 0, accel)))
    pair.wait(1.0)
    pair.ask(messages.Ping())  # the times of the next steps are computed ahead
    return pair, times_s


def test_the_steps_after_a_stop_slow_down_from_the_first_one_on() -> None:
    speed, accel = 3200, 80000
    pair, times_s = moving_z(speed, accel)
    pair.ask(messages.Stop())
    pair.wait(1.0)
    pair.boards[1].true_um(pair.now_s)  # takes over the last steps
    n_before = sum(time_s <= pair.now_s - 1.0 for time_s in times_s)
    ramp_s = np.array(times_s[n_before:]) - (pair.now_s - 1.0)
    # The way from the stop, in steps: v t - a t^2 / 2. Near standstill a microsecond is a long way.
    way = speed * ramp_s - accel * ramp_s**2 / 2.0
    np.testing.assert_allclose(np.diff(way)[:-3], 1.0, atol=0.02)


def test_a_main_loop_that_is_busy_for_long_delays_steps_and_neither_loses_nor_crowds_them() -> None:
    """The alarm computes nothing: when its queue is empty, the axis stands until the main loop comes back."""
    speed = 3200
    pair, times_s = moving_z(speed, 80000)
    machine = pair.boards[1].machine
    assert isinstance(machine, FirmwareMachine)
    before = machine.state().pos_steps[2]
    machine.keep_busy(pair.now_s + 0.1)
    machine.advance(pair.now_s + 0.099)
    assert 16 <= machine.state().pos_steps[2] - before <= 65  # what was computed ahead
    pair.now_s += 0.2
    for _ in range(5):
        pair.wait(1.0)
        pair.ask(messages.Ping())
    assert machine.state().pos_steps[2] == 12000
    intervals_s = np.diff(times_s[before:12000])
    assert intervals_s.max() > 0.07
    assert intervals_s[:8000].min() > 0.98 / speed
