"""Sweeps on the wire: each leg of Z begins at its position, once, and none after the end; for stub and firmware."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from parfocal.board.motion.profile import Trapezoid
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import AxisBit, Kind, MoveResult, Status
from parfocal.board.wire.packet import Packet
from tests.board.inside import set_homed
from tests.board.raw_wire import Wire, move, says

pytestmark = pytest.mark.usefixtures("far_side")

SPEED, ACCEL = 4000, 60000
Z_SPEED, Z_ACCEL = 400, 80000
LEGS = ((500, 20), (1500, 24), (2000, 100))


@pytest.fixture
def wire() -> Wire:
    opened = Wire()
    opened.hello()
    opened.ask(messages.Watchdog(60000, 60000))
    set_homed(opened.bench.stub, AxisBit.X | AxisBit.Y | AxisBit.Z)
    return opened


def keep(wire: Wire, legs: tuple[tuple[int, int], ...] = LEGS) -> None:
    for index, (at_steps, z_steps) in enumerate(legs):
        assert wire.ask(messages.WayPoint(index, at_steps, z_steps, Z_SPEED, Z_ACCEL)).status == Status.OK


def sweep(move_id: int = 1, **changes: int) -> messages.Sweep:
    fields = {
        "axes": AxisBit.X,
        "target_steps": 3000,
        "speed_steps_per_s": SPEED,
        "accel_steps_per_s2": ACCEL,
        "count": len(LEGS),
        **changes,
    }
    return messages.Sweep(move_id, **fields)


def ends(said: list[Packet]) -> list[messages.MoveDone]:
    events = [layout.unpack(p.kind, p.opcode, p.payload) for p in said if p.kind == Kind.EVENT]
    return [event for event in events if isinstance(event, messages.MoveDone)]


def seen(wire: Wire, axis: int = 0, n: int = 400) -> tuple[np.ndarray, list[messages.MoveDone]]:
    """Counters of the axis and of Z every 4 ms, (n, 2), and what ended meanwhile."""
    counted, said = list[tuple[int, int]](), list[Packet]()
    for _ in range(n):
        said += wire.wait(0.004)
        state = wire.machine.state()
        counted.append((state.pos_steps[axis], state.pos_steps[2]))
    return np.array(counted), ends(said)


@pytest.mark.parametrize(("axis", "bit"), [(0, AxisBit.X), (1, AxisBit.Y)])
def test_each_leg_of_z_begins_where_the_axis_has_reached_its_position(
    wire: Wire, axis: int, bit: AxisBit
) -> None:
    says("each begins with the step by which the axis reaches its position")
    keep(wire)
    assert wire.ask(sweep(axes=bit)).status == Status.OK
    assert wire.machine.state().moving == bit | AxisBit.Z
    at, done = seen(wire, axis)
    lasts_s = Trapezoid(3000, SPEED, ACCEL).duration_s  # one move, from rest to rest
    assert int(np.argmax(at[:, 0] == 3000)) * 0.004 == pytest.approx(lasts_s, abs=0.009)
    z_before = 0
    for at_steps, z_steps in LEGS:
        began = int(np.argmax(at[:, 1] > z_before))
        # Its first step comes some time after it has begun.
        first_s = Trapezoid(z_steps - z_before, Z_SPEED, Z_ACCEL).edge_times_s()[0]
        assert at_steps < at[began, 0] <= at_steps + SPEED * (first_s + 0.009)
        z_before = z_steps
        assert (at[at[:, 0] < at_steps, 1] < z_steps).all()
    (end,) = done
    assert (end.result, end.pos_steps[axis], end.pos_steps[2]) == (MoveResult.DONE, 3000, 100)
    assert wire.machine.state().last_result == MoveResult.DONE


def test_downwards_positions_count_downwards_and_z_may_fall(wire: Wire) -> None:
    keep(wire)
    wire.ask(sweep())
    seen(wire)
    keep(wire, ((2500, 80), (1000, 30)))
    wire.ask(sweep(2, target_steps=0, count=2))
    at, done = seen(wire)
    assert (at[at[:, 0] > 2500, 1] == 100).all()
    assert (at[(at[:, 0] > 1000) & (at[:, 0] < 2000), 1] == 80).all()
    assert [(end.result, end.pos_steps) for end in done] == [(MoveResult.DONE, (0, 0, 30))]


def test_a_leg_waits_for_the_one_before_and_the_sweep_ends_with_the_last(wire: Wire) -> None:
    says("and not before the leg ahead of it has ended")
    keep(wire, ((2000, 400), (2100, 100), (2990, 130)))  # a second for the first leg alone
    wire.ask(sweep())
    at, done = seen(wire, n=700)
    z_steps = at[:, 1]
    assert z_steps.max() == 400
    assert (np.diff(z_steps[: int(z_steps.argmax())]) >= 0).all()
    legs_s = [Trapezoid(n, Z_SPEED, Z_ACCEL).duration_s for n in (400, 300, 30)]
    reached_s = Trapezoid(3000, SPEED, ACCEL).edge_times_s()[1999]
    (end,) = done
    assert end.pos_steps == (3000, 0, 130)
    began_us = wire.machine.state().board_time_us - 700 * 4000
    assert (end.board_time_us - began_us) / 1e6 == pytest.approx(reached_s + sum(legs_s), abs=0.009)


def test_positions_passed_already_count_as_reached_so_a_sweep_asked_for_again_ends_in_the_same_place(
    wire: Wire,
) -> None:
    says("A position that the axis has passed already counts as reached")
    keep(wire)
    wire.ask(sweep())
    wire.wait(0.45)
    wire.ask(messages.Stop())
    wire.wait(1.0)
    stopped = wire.machine.state()
    assert (stopped.last_result, stopped.homed) == (MoveResult.STOPPED, 7)
    assert 1500 < stopped.pos_steps[0] < 2000
    keep(wire)
    assert wire.ask(sweep(2)).status == Status.OK
    at, done = seen(wire)
    assert [(end.result, end.pos_steps) for end in done] == [(MoveResult.DONE, (3000, 0, 100))]
    assert at[0, 1] <= 24  # the leg that the axis has not come to waits
    assert (at[at[:, 0] < 2000, 1] <= 24).all()


@pytest.mark.parametrize("when_s", [0.05, 0.145, 0.2, 0.395, 0.42, 0.75])
def test_after_a_stop_no_leg_begins_any_more(wire: Wire, when_s: float) -> None:
    says("Whenever it ends early, no leg begins any more.")
    keep(wire)
    wire.ask(sweep())
    wire.wait(when_s)  # after 0.145 and 0.395 s it passes a position while it slows down
    before = wire.machine.state().pos_steps
    wire.ask(messages.Stop())
    at, done = seen(wire)
    assert [end.result for end in done] == [MoveResult.STOPPED]
    stops_steps = (SPEED**2 / (2 * ACCEL), Z_SPEED**2 / (2 * Z_ACCEL))
    for before_steps, end_steps, longest in zip(before[::2], at[-1], stops_steps, strict=True):
        assert abs(end_steps - before_steps) <= longest + 1
    assert done[0].pos_steps == wire.machine.state().pos_steps


def test_a_switch_ends_a_sweep_and_no_leg_begins_any_more(wire: Wire) -> None:
    wire.machine.axes[0].lose_steps(16000)
    wire.ask(
        move(
            1,
            axes=AxisBit.X,
            target_steps=(16000, 0, 0),
            speed_steps_per_s=(8000, 0, 0),
            accel_steps_per_s2=(60000, 0, 0),
        )
    )
    wire.wait(10.0)
    assert wire.machine.state().pos_steps[0] == 16000  # so it believes
    keep(wire, ((15990, 50), (20, 200)))
    assert wire.ask(sweep(2, target_steps=0, count=2)).status == Status.OK
    _, done = seen(wire, n=1500)
    (end,) = done
    assert end.result == MoveResult.LIMIT_SWITCH
    assert 20 < end.pos_steps[0] < 16000
    assert end.pos_steps[2] == 50
    assert wire.machine.state().homed == AxisBit.Y  # neither of the two that have moved


DROPPING: dict[str, Callable[[Wire], object]] = {
    "STOP": lambda wire: wire.ask(messages.Stop()),
    "another session": lambda wire: wire.hello(2),
    "a move": lambda wire: wire.ask(move(1)),
    "a homing": lambda wire: wire.ask(messages.Home(1, AxisBit.Y, 3200, 160, 80000)),
    "a motor that is switched off": lambda wire: wire.ask(messages.Motors(AxisBit.X | AxisBit.Z)),
    "the watchdog": lambda wire: (wire.ask(messages.Lamp(100)), wire.wait(61.0)),
    "an emergency stop": lambda wire: wire.ask(messages.Estop()),
    "a first one": lambda wire: keep(wire, LEGS[:1]),
}


@pytest.mark.parametrize("what", DROPPING)
def test_way_points_are_dropped_by_all_that_may_change_what_they_were_meant_for(
    wire: Wire, what: str
) -> None:
    says("It drops what it keeps whenever something else moves or a session begins")
    keep(wire)
    DROPPING[what](wire)
    wire.wait(30.0)
    wire.ask(messages.Clear(0xFFFF))
    wire.ask(messages.Watchdog(60000, 60000))
    if wire.machine.state().motors != 7:
        wire.ask(messages.Motors(7))
    set_homed(wire.bench.stub, AxisBit.X | AxisBit.Y | AxisBit.Z)
    assert wire.ask(sweep(9)).status == Status.WAY_POINTS
    keep(wire)
    assert wire.ask(sweep(9)).status == Status.OK


def test_a_sweep_uses_its_way_points_up_and_a_resent_one_moves_once(wire: Wire) -> None:
    keep(wire)
    begun = wire.machine.motions_begun
    wire.ask(sweep())
    assert wire.ask(sweep(), seq=wire.seq).status == Status.OK  # the same request again
    assert wire.ask(sweep()).status == Status.DUPLICATE
    assert wire.ask(messages.WayPoint(0, 1, 1, Z_SPEED, Z_ACCEL)).status == Status.BUSY
    seen(wire)
    assert wire.machine.motions_begun == begun + 1
    assert wire.ask(sweep(2)).status == Status.WAY_POINTS
    assert wire.ask(sweep(3, count=0)).status == Status.WAY_POINTS


def test_the_board_keeps_two_hundred_and_refuses_one_more(wire: Wire) -> None:
    says("by one WAY_POINT each, up to 200.")
    keep(wire, tuple((10 + k, k % 7) for k in range(200)))
    assert wire.ask(messages.WayPoint(200, 300, 1, Z_SPEED, Z_ACCEL)).status == Status.BAD_VALUE
    assert wire.ask(sweep(count=200)).status == Status.OK
    _, done = seen(wire, n=3000)
    assert [(end.result, end.pos_steps) for end in done] == [(MoveResult.DONE, (3000, 0, 199 % 7))]
