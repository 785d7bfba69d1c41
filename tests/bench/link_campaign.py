"""The fault campaign of the link in virtual time: whatever is lost, late, damaged or pulled, nothing is wrong.

Each function takes its size and seed, raises AssertionError where a promise is broken, and returns figures.
`make test` runs them small, `make bench` in full.
"""

from __future__ import annotations

import collections
import math
import random
from collections.abc import Callable

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parfocal.board.axis import Axis
from parfocal.board.config import BoardConfig
from parfocal.board.errors import MoveRefused, PositionLost
from parfocal.board.link.counters import LinkCounters
from parfocal.board.link.inbox import Inbox
from parfocal.board.own.board import Board
from parfocal.board.stub.config import StubAxisConfig, StubConfig
from parfocal.board.stub.faults import Damage, Faults, HostStall, Unplug
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import messages
from parfocal.board.wire.layout import payload_bytes
from parfocal.board.wire.messages import Fault, Kind, MoveResult, Opcode
from parfocal.board.wire.packet import Packet, StreamDecoder, encode
from parfocal.board.wire.table import TABLE

Figures = dict[str, float]

# A quarter of all requests damaged, a tenth of all replies and events lost.
LOSSY = Faults(to_board=Damage(flip=0.10, truncate=0.08, drop=0.094), to_host=Damage(drop=0.10))
HALF_STEP = 0.5 + 1e-6


def still(axis: StubAxisConfig) -> StubAxisConfig:
    """An axis that does not swing: its true position is exact at once."""
    return msgspec.structs.replace(axis, settle_amplitude_um=0.0)


def still_stub(seed: int) -> StubConfig:
    stub = StubConfig(seed=seed)
    return msgspec.structs.replace(stub, x=still(stub.x), y=still(stub.y), z=still(stub.z))


class Gear:
    """A play operator of its own, against which the stub's truth is held."""

    def __init__(self, play_um: float) -> None:
        self.play_um = play_um
        self.motor_um = self.stage_um = 0.0

    def go(self, motor_um: float) -> None:
        self.motor_um = motor_um
        self.stage_um = min(max(self.stage_um, motor_um), motor_um + self.play_um)


class Rig:
    """A homed board under faults, and what must be true of it."""

    def __init__(self, faults: Faults, seed: int, runs_firmware: bool = False) -> None:
        self.bench = VirtualBench(still_stub(seed), faults, runs_firmware)
        self.board = self.bench.open_board()
        self.results: collections.Counter[MoveResult] = collections.Counter()
        stub, take_output = self.bench.stub, self.bench.stub.take_output

        def counted() -> list[tuple[float, bytes]]:
            out = take_output()
            for _, frame in out:
                (packet,) = StreamDecoder().feed(frame)
                if packet.kind == Kind.EVENT and packet.opcode == Opcode.MOVE_DONE:
                    self.results[MoveResult(packet.payload[-1])] += 1
            return out

        stub.take_output = counted  # type: ignore[method-assign]
        self.home()

    def home(self) -> None:
        self.board.home()
        self.gears = {axis.name: Gear(axis.config.play_um) for axis in self.axes}

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        return self.board.x, self.board.y, self.board.z

    def true_um(self, axis: Axis) -> float:
        return self.bench.true_um(self.bench.clock.now_s())["xyz".index(axis.name)]

    def assert_true(self, axis: Axis) -> None:
        """True position equals expected position to the step, and so does the counter."""
        scale, gear = axis.config.um_per_step, self.gears[axis.name]
        error_steps = (self.true_um(axis) - gear.stage_um) / scale
        assert abs(error_steps) < HALF_STEP, (axis.name, error_steps)
        counter = self.bench.stub.machine.state().pos_steps["xyz".index(axis.name)]
        assert counter == round(axis.position_um / scale) == round(gear.motor_um / scale)


def random_move(rig: Rig, draw: random.Random) -> tuple[Axis, int]:
    """One move of one axis; the axis, and how many motions it takes."""
    axis = draw.choice(rig.axes)
    scale, gear = axis.config.um_per_step, rig.gears[axis.name]
    low_um = axis.limits_um[0] + axis.overshoot_um
    span_um = 3000.0 if draw.random() < 0.05 else 150.0
    top_um = math.floor(axis.limits_um[1] / scale) * scale
    target_um = max(gear.motor_um + draw.uniform(-span_um, span_um), low_um)
    target_um = min(round(target_um / scale) * scale, top_um)
    if draw.random() < 0.5:
        axis.move_to(target_um)
        n_motions = int(target_um != gear.motor_um)
    else:
        is_up = axis.engagement.value == "up" and target_um >= gear.motor_um
        straight = is_up or gear.motor_um <= target_um - axis.overshoot_um
        n_motions = (
            int(target_um != gear.motor_um)
            if straight
            else 2 - (gear.motor_um == target_um - axis.overshoot_um)
        )
        axis.approach_up(target_um)
        if not straight:
            gear.go(target_um - axis.overshoot_um)
    gear.go(target_um)
    return axis, n_motions


def commands(n_commands: int, seed: int, faults: Faults = LOSSY, runs_firmware: bool = False) -> Figures:
    """Moves, lamp and state under faults: each command has one effect, and the truth is what was asked."""
    draw = random.Random(seed)
    rig = Rig(faults, seed, runs_firmware)
    n_motions, duty = 3, 0.0
    began_s = rig.bench.clock.now_s()
    for _ in range(n_commands):
        chance = draw.random()
        if chance < 0.8:
            axis, n_moved = random_move(rig, draw)
            n_motions += n_moved
            rig.assert_true(axis)
        elif chance < 0.9:
            duty = draw.randrange(10001) / 10000
            rig.board.lamp(duty)
            state = rig.bench.stub.machine.state()
            assert state.lamp_duty == round(duty * 10000) or Fault.WATCHDOG in Fault(state.faults)
        else:
            assert rig.board.state().pos_steps == rig.bench.stub.machine.state().pos_steps
    rig.bench.clock.sleep_s(3.0)  # a lamp that went dark in a stall is lit again by itself
    if Fault.WATCHDOG in rig.board.state().faults:
        rig.bench.clock.sleep_s(0.5)  # in a silence of the cable alone, once the board says so
    assert rig.board.state().lamp_duty == duty
    for axis in rig.axes:
        rig.assert_true(axis)
    assert rig.results[MoveResult.DONE] == n_motions, (rig.results, n_motions)
    assert set(rig.results) <= {MoveResult.DONE, MoveResult.WATCHDOG}
    counters = rig.board.counters
    rig.board.close()
    return {
        "commands": n_commands,
        "motions": n_motions,
        "motions_ended_by_the_watchdog_and_resumed": rig.results[MoveResult.WATCHDOG],
        "resends": counters.resends,
        "late_replies": counters.late,
        "silences": counters.silences,
        "reconnects": counters.reconnects,
        "wrong_positions": 0,
        "virtual_hours": (rig.bench.clock.now_s() - began_s) / 3600.0,
    }


def stalled_commands(n_commands: int, seed: int, runs_firmware: bool = False) -> Figures:
    """The same with a host stall of 0.1 .. 3 s in about one motion of fifty, and the cable as lossy."""
    draw = random.Random(seed)
    stalls = tuple(
        HostStall(on_motion=n, after_s=draw.uniform(0.0, 0.1), stall_s=draw.uniform(0.1, 3.0))
        for n in range(4, n_commands)
        if draw.random() < 0.02
    )
    faults = msgspec.structs.replace(LOSSY, incidents=stalls)
    figures = commands(n_commands, seed, faults, runs_firmware)
    return {**figures, "stalls": sum(stall.on_motion <= figures["motions"] for stall in stalls)}


def unplugged(n_unplugs: int, seed: int, runs_firmware: bool = False) -> Figures:
    """The cable pulled in mid-move: resumed at the right place, or PositionLost; never a wrong position."""
    draw = random.Random(seed)
    resumed = lost = 0
    for i in range(n_unplugs):
        pulled = Unplug(
            on_motion=5, after_s=draw.uniform(0.0, 0.3), gone_s=draw.uniform(0.02, 2.0), reboots=i % 2 == 1
        )
        rig = Rig(Faults(seed=i, incidents=(pulled,)), i, runs_firmware)
        axis = draw.choice(rig.axes)
        target_um = draw.uniform(400.0, 600.0)
        axis.approach_up(100.0)
        rig.gears[axis.name].go(100.0)
        try:
            axis.approach_up(target_um)
            rig.bench.clock.sleep_s(3.0)  # one pulled just as the move had ended shows here
            rig.board.state()
            resumed += 1
        except PositionLost:
            assert pulled.reboots
            lost += 1
            assert not any(each.is_homed for each in rig.axes)
            rig.home()
            axis.approach_up(target_um)
        rig.gears[axis.name].go(round(target_um / axis.config.um_per_step) * axis.config.um_per_step)
        rig.assert_true(axis)
        assert rig.board.counters.reconnects == 1
        rig.board.close()
    assert lost == n_unplugs // 2
    return {"unplugged": n_unplugs, "resumed": resumed, "position_lost": lost, "wrong_positions": 0}


def noise(n_bytes: int, seed: int, runs_firmware: bool = False) -> Figures:
    """Noise between frames: the very next frame is received, by the codec and by the stub."""
    draw = random.Random(seed)
    decoder, packet = StreamDecoder(), Packet(Kind.REQUEST, Opcode.PING, 0, 7, 9)
    bench = VirtualBench(runs_firmware=runs_firmware)
    board = bench.open_board()
    n_chunks = math.ceil(n_bytes / 10000)
    for i in range(n_chunks):
        burst = draw.randbytes(10000)
        assert packet not in decoder.feed(burst)
        assert decoder.feed(encode(packet)) == [packet]
        bench.stub.receive(burst, bench.clock.now_s())
        board.lamp(i % 100 / 100)
        assert bench.stub.machine.state().lamp_duty == i % 100 * 100
    assert board.counters.resends == 0
    assert bench.stub.machine.motions_begun == 0
    board.close()
    return {"noise_bytes": n_chunks * 10000, "frames_lost_after_noise": 0, "resends": board.counters.resends}


def random_packet(draw: random.Random, session: int) -> Packet:
    """Any packet: mostly with the right version, session, kind, opcode and length, never with sense."""
    entry = draw.choice(TABLE)
    n_bytes = (
        payload_bytes(entry.message) if draw.random() < 0.8 else draw.randint(0, messages.MAX_PAYLOAD_BYTES)
    )
    return Packet(
        kind=entry.kind if draw.random() < 0.8 else draw.randrange(256),
        opcode=entry.opcode if draw.random() < 0.9 else draw.randrange(256),
        status=draw.choice((0, draw.randrange(256))),
        seq=draw.randrange(65536),
        session=session if draw.random() < 0.9 else draw.randrange(65536),
        payload=draw.randbytes(n_bytes),
        version=messages.PROTOCOL_VERSION if draw.random() < 0.95 else draw.randrange(256),
    )


class Replay:
    """A transport on which only what it is told comes in."""

    def __init__(self) -> None:
        self.coming = b""

    def write(self, data: bytes) -> None: ...

    def read(self, timeout_s: float) -> bytes:  # noqa: ARG002  # the seam's
        coming, self.coming = self.coming, b""
        return coming

    def close(self) -> None: ...


def fuzz(n_packets: int, seed: int, runs_firmware: bool = False) -> Figures:
    """Random packets with a valid CRC into codec, stub and host: no exception leaves, nothing moves."""
    draw = random.Random(seed)
    bench = VirtualBench(still_stub(seed), runs_firmware=runs_firmware)
    board = bench.open_board()
    board.home()
    bench.clock.sleep_s(1.0)
    machine, before = bench.stub.machine, bench.true_um(bench.clock.now_s())
    moved, begun = machine.state().pos_steps, machine.motions_begun
    session = bench.stub.session
    replay, counters = Replay(), LinkCounters()
    host = Inbox(replay, bench.clock, counters)
    host.session = session
    decoder = StreamDecoder()
    for i in range(n_packets):
        packet = random_packet(draw, session)
        frame = encode(packet)
        assert decoder.feed(frame) == [packet]
        bench.stub.receive(frame, bench.clock.now_s() + i * 1e-6)
        bench.stub.take_output()
        replay.coming = frame
        host.glance()
    assert (machine.motions_begun, machine.state().pos_steps) == (begun, moved)
    assert bench.stub.true_um(machine.now_s) == before
    assert (decoder.errors.crc_errors, decoder.errors.framing_errors) == (0, 0)
    return {"packets": n_packets, "exceptions": 0, "moved_steps": 0, "refused_by_host": counters.unknown}


def highest_z(bench: VirtualBench) -> Callable[[], float]:
    """Follows true z in all its swings; the highest seen so far, um."""
    machine, seen, z = bench.stub.machine, [-math.inf], bench.stub.machine.axes[2]
    advance, swung_s = machine.advance, [-math.inf]

    def watch(time_s: float) -> None:
        advance(time_s)
        seen.append(z.true_um(machine.now_s))
        end_s = z.end_s
        if swung_s[0] < end_s <= machine.now_s:  # the swing begins with the last edge
            swung_s[0] = end_s
            quarter_s = 0.25 / bench.config.z.settle_hz
            seen.extend(z.true_um(end_s + i * quarter_s / 3.0) for i in range(6))
        seen[:] = [max(seen)]

    machine.advance = watch  # type: ignore[method-assign]
    return lambda: max(seen)


def limits(n_plans: int, runs_firmware: bool = False) -> Figures:
    """Random plans with limits, play and overshoot: true z, with all its errors and a motor let go, stays below."""
    closest: list[float] = []
    refused = [0]
    targets = st.one_of(
        st.floats(-100.0, 6000.0), st.integers(-80, 40).map(float), st.sampled_from(("top", "over"))
    )

    @settings(
        max_examples=n_plans, deadline=None, database=None, derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(
        play_um=st.sampled_from([0.0, 5.0, 20.0, 35.0]),
        max_um=st.floats(60.0, 5000.0),
        seed=st.integers(0, 3),
        plan=st.lists(
            st.tuples(st.booleans(), targets, st.none() | st.floats(-50.0, 300.0)), min_size=1, max_size=6
        ),
    )
    def follow(
        play_um: float, max_um: float, seed: int, plan: list[tuple[bool, float | str, float | None]]
    ) -> None:
        stub = StubConfig(seed=seed)
        stub = msgspec.structs.replace(
            stub,
            z=msgspec.structs.replace(
                stub.z, play_um=play_um, lead_error_um=0.5, drift_um=1.0, drift_tau_s=1.0
            ),
        )
        z = msgspec.structs.replace(BoardConfig().z, max_um=max_um)
        bench = VirtualBench(stub, runs_firmware=runs_firmware)
        with bench.open_board(BoardConfig(z=z)) as board:
            board.home(("z",))
            top = highest_z(bench)
            for upwards, target, from_below_um in plan:
                refused[0] += not _went(board, upwards, target, from_below_um)
                assert top() <= max_um, (top(), max_um)
            board.estop()
            bench.clock.sleep_s(0.1)
            bench.true_um(bench.clock.now_s())
            assert top() <= max_um, (top(), max_um)
            closest.append(max_um - top())

    follow()
    return {
        "plans": len(closest),
        "moves_refused": refused[0],
        "above_the_limit": 0,
        "closest_to_the_limit_um": min(closest),
    }


def _went(board: Board, upwards: bool, target: float | str, from_below_um: float | None) -> bool:
    top_um = board.z.limits_um[1]
    if isinstance(target, str):
        target_um = top_um if target == "top" else top_um + 0.16
    else:
        target_um = target if target >= 0.0 else top_um + target
    try:
        if upwards:
            board.z.approach_up(target_um, from_below_um)
        else:
            board.z.move_to(target_um)
    except MoveRefused:
        return False
    return True
