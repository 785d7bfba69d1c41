"""Jogs, homing, limits, STOP and watchdog: the stage moves."""

from __future__ import annotations

import itertools

import msgspec

from parfocal.board.conformance.bench import (
    IDLE_MS,
    MOTION_MS,
    Bench,
    require,
    require_faults,
    require_result,
    require_status,
)
from parfocal.board.conformance.report import PromiseBroken
from parfocal.board.conformance.still_checks import WATCHDOG_TOLERANCE_S
from parfocal.board.motion.profile import Trapezoid
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Fault, Kind, MoveResult, Opcode, Status

Z = 2
_WATCHDOG_MS = 250
_EDGE_TOLERANCE_US = 100
_MOST_LOOKS = 2000
_REACH_TAKES_S = 2.0
_HOME_SPEED_FRACTION, _EDGE_SPEED_FRACTION = 0.25, 0.025


def axes_of(bench: Bench) -> list[int]:
    """The fitted axes in the order in which they are homed: z first, away from the objective."""
    return [i for i in (Z, 0, 1) if bench.hello.axes >> i & 1]


def reach(bench: Bench, axis: int) -> int:
    """How far from its lower end an axis is moved, steps: a quarter of its travel."""
    return bench.hello.max_steps[axis] // 4


def rates(bench: Bench, axis: int) -> tuple[int, int]:
    """A speed and acceleration that the motor follows, steps/s and steps/s2; the reach takes two seconds or more."""
    speed = max(
        1, min(bench.limits.max_speed_steps_per_s[axis] // 2, int(reach(bench, axis) / _REACH_TAKES_S))
    )
    line = bench.pull_out.from_rest_steps_per_s2[axis]
    room = 1.0 - speed / bench.pull_out.no_torque_steps_per_s[axis]
    accel = int(0.5 * min(bench.limits.max_accel_steps_per_s2[axis], line * max(room, 0.0)))
    return speed, max(1, accel)


def jog_rates(bench: Bench, axis: int) -> tuple[int, int]:
    """Half the speed of a jog, and an acceleration that reaches it in a tenth of a second."""
    speed = max(1, bench.limits.jog_steps_per_s[axis] // 2)
    return speed, min(10 * speed, rates(bench, axis)[1])


def to_lower_end(bench: Bench, axis: int) -> None:
    """Move a homed axis to the lower end of its travel."""
    move = bench.move(axis, bench.hello.min_steps[axis], *rates(bench, axis))
    bench.begin(move)
    require_result(bench.end(move.move_id, 3.0 * _REACH_TAKES_S), MoveResult.DONE)


def _jog(bench: Bench, sign: int) -> messages.MoveAbs:
    """The longest jog of z, or of the last axis."""
    axis = bench.hello.axes.bit_length() - 1
    at = bench.state().pos_steps[axis]
    return bench.move(axis, at + sign * bench.limits.jog_steps[axis], *jog_rates(bench, axis))


def _stopped_jog(bench: Bench, sign: int) -> messages.MoveDone | None:
    """How a jog ends that is stopped; None where it cannot go far enough in this direction."""
    jog = _jog(bench, sign)
    response = bench.ask(jog)
    if response.status == Status.LIMIT:
        return None  # it is homed and stands near the end of its travel
    require_status(response, Status.OK)
    bench.hear(0.3)
    require_status(bench.ask(messages.Stop()), Status.OK)
    done = bench.end(jog.move_id, 1.0)
    return None if done.result == MoveResult.LIMIT_SWITCH else done


def stop_ends_a_motion(bench: Bench) -> None:
    """STOP decelerates at once; the counter then stands still, and MOVE_DONE and STATE say STOPPED."""
    # Downwards is away from the objective. On its lower switch it can go up only.
    done = _stopped_jog(bench, -1) or _stopped_jog(bench, 1)
    if done is None:
        raise PromiseBroken("it can jog neither downwards nor upwards")
    require_result(done, MoveResult.STOPPED)
    first, _ = bench.state(), bench.hear(0.2)
    second = bench.state()
    require(first.pos_steps == second.pos_steps == done.pos_steps, "the counters go on after STOP")
    require(second.last_result == MoveResult.STOPPED, f"STATE says result {second.last_result}")
    require(not second.moving, "STATE says that it moves")
    require_status(bench.ask(messages.Stop()), Status.OK)


def homing_finds_zero(bench: Bench) -> None:
    """HOME finds the lower switch of every axis, ends at 0, and reports the spread of the two edges."""
    for i in axes_of(bench):
        top, accel = bench.limits.max_speed_steps_per_s[i], rates(bench, i)[1]
        fast = max(1, int(top * _HOME_SPEED_FRACTION))
        slow = max(1, int(top * _EDGE_SPEED_FRACTION))
        home = messages.Home(bench.next_move_id(), 1 << i, fast, slow, accel)
        travel = bench.hello.max_steps[i] - bench.hello.min_steps[i]
        bench.begin(home)
        require(not bench.state().homed >> i & 1, f"{'xyz'[i]} counts as homed while it is being homed")
        done = bench.end(home.move_id, 1.5 * travel / fast + 4000 / slow)
        require_result(done, MoveResult.DONE)
        require(done.pos_steps[i] == 0, f"{'xyz'[i]} ended at {done.pos_steps[i]}, not at 0")
        require(done.spread_steps <= 3, f"{'xyz'[i]}: the edges lie {done.spread_steps} steps apart")
        state = bench.state()
        require(bool(state.homed >> i & 1), f"{'xyz'[i]} does not count as homed")
        require(bool(state.motors >> i & 1), f"the motor of {'xyz'[i]} is off")


def moves_end_where_and_when_they_should(bench: Bench) -> None:
    """A move ends at its target, after the time of its trapezoid, with one MOVE_DONE."""
    for i in axes_of(bench):
        speed, accel = rates(bench, i)
        distance = reach(bench, i)
        for target in (distance, distance // 2, distance // 2 + 1):
            at = bench.state().pos_steps[i]
            move = bench.move(i, target, speed, accel)
            bench.events.clear()
            began_us = bench.get(messages.Ping(), messages.Pong).board_time_us
            bench.begin(move)
            expected_s = Trapezoid(abs(target - at), speed, accel).duration_s
            done = bench.end(move.move_id, 1.5 * expected_s)
            require_result(done, MoveResult.DONE)
            require(done.pos_steps[i] == target, f"{'xyz'[i]} ended at {done.pos_steps[i]}, not at {target}")
            took_s = (done.board_time_us - began_us) / 1e6
            is_in_time = expected_s - 0.001 <= took_s <= 1.05 * expected_s + 0.06
            require(is_in_time, f"a move of {expected_s:.3f} s took {took_s:.3f} s")
            bench.hear(0.02)
            n_done = sum(event.opcode == Opcode.MOVE_DONE for event in bench.events)
            require(n_done == 1, f"{n_done} MOVE_DONE for one move")
            state = bench.state()
            require(state.pos_steps == done.pos_steps, "STATE and MOVE_DONE differ")
            require(state.last_move_id == move.move_id, f"the last move is {state.last_move_id}")


def resent_move_moves_once(bench: Bench) -> None:
    """A move that is sent again, under its seq or with its id under another, moves once."""
    i = axes_of(bench)[0]
    at = bench.state().pos_steps[i]
    move = bench.move(i, at + 50, *rates(bench, i))
    request = bench.request(move)
    bench.events.clear()
    for _ in range(3):
        require_status(bench.answer(request), Status.OK)
    require_status(bench.ask(move), Status.DUPLICATE)
    require_result(bench.end(move.move_id, 1.0), MoveResult.DONE)
    require_status(bench.answer(request), Status.OK)
    require_status(bench.ask(move), Status.DUPLICATE)
    bench.open_session()
    require_status(bench.ask(move), Status.DUPLICATE)
    bench.hear(0.1)
    require(
        bench.rest().pos_steps[i] == at + 50, f"it stands at {bench.state().pos_steps[i]}, not at {at + 50}"
    )
    n_done = sum(event.opcode == Opcode.MOVE_DONE for event in bench.events)
    require(n_done == 1, f"{n_done} MOVE_DONE for one move")


def stop_overtakes_a_move(bench: Bench) -> None:
    """A move with an older seq that arrives after STOP is STALE: it does not start."""
    i = axes_of(bench)[0]
    before = bench.state()
    late = bench.request(bench.move(i, before.pos_steps[i] + 50, *rates(bench, i)))
    require_status(bench.ask(messages.Stop()), Status.OK)
    require_status(bench.answer(late), Status.STALE)
    bench.hear(0.1)
    after = bench.state()
    require(after.pos_steps == before.pos_steps, "a move that came after STOP has moved")
    require(after.last_move_id == before.last_move_id, "a move that came after STOP was accepted")


def busy_refuses_another_move(bench: Bench) -> None:
    """While an axis moves, another move, a homing and MOTORS are BUSY."""
    i = axes_of(bench)[0]
    speed, accel = rates(bench, i)
    at = bench.state().pos_steps[i]
    move = bench.move(i, at + speed if at < reach(bench, i) // 2 else at - speed, speed, accel)
    bench.begin(move)
    require(bench.state().moving == 1 << i, f"STATE says moving = {bench.state().moving}")
    require_status(bench.ask(bench.move(i, 0, speed, accel)), Status.BUSY)
    require_status(bench.ask(messages.Home(bench.next_move_id(), 1 << i, speed, 1, accel)), Status.BUSY)
    require_status(bench.ask(messages.Motors(7)), Status.BUSY)
    require_result(bench.end(move.move_id, 2.0), MoveResult.DONE)


def limits_hold_after_homing(bench: Bench) -> None:
    """Targets beyond the travel are refused with LIMIT; its lower end is not."""
    for i in axes_of(bench):
        low, high = bench.hello.min_steps[i], bench.hello.max_steps[i]
        before = bench.state().pos_steps
        for target in (low - 1, high + 1, -(2**31), 2**31 - 1):
            require_status(bench.ask(bench.move(i, target, *rates(bench, i))), Status.LIMIT)
        require(bench.state().pos_steps == before, "a refused move has moved")
        to_lower_end(bench, i)


def triggers_come_at_their_positions(bench: Bench) -> None:
    """POSITION_TRIGGER gives one trigger at each position, on the way that was requested, with an event each."""
    axis = axes_of(bench)[0]
    there, n_triggers = reach(bench, axis), 5
    speed, accel = rates(bench, axis)
    up = bench.move(axis, there, speed, accel)
    bench.begin(up)
    require_result(bench.end(up.move_id, 3.0 * _REACH_TAKES_S), MoveResult.DONE)
    spacing = there // (n_triggers + 1)
    strobe_id = bench.state().last_strobe_id + 1
    request = messages.PositionTrigger(strobe_id, 1 << axis, spacing, spacing, n_triggers, 0, 1000, 0)
    beyond = messages.PositionTrigger(strobe_id, 1 << axis, bench.hello.max_steps[axis], 1, 2, 0, 0, 0)
    require_status(bench.ask(beyond), Status.LIMIT)
    require_status(bench.ask(request), Status.OK)
    bench.events.clear()
    n_seen = []
    for target in (bench.hello.min_steps[axis], there, bench.hello.min_steps[axis]):
        move = bench.move(axis, target, speed, accel)
        bench.begin(move)
        require_status(bench.ask(messages.PositionTrigger(strobe_id + 1, 0, 0, 0, 1, 0, 0, 0)), Status.BUSY)
        require_result(bench.end(move.move_id, 3.0 * _REACH_TAKES_S), MoveResult.DONE)
        n_seen.append(sum(event.opcode == Opcode.FRAME for event in bench.events))
    require(n_seen == [0, n_triggers, n_triggers], f"down, up and down again there were {n_seen} triggers")
    frames = [
        layout.unpack(event.kind, event.opcode, event.payload)
        for event in bench.events
        if event.opcode == Opcode.FRAME
    ]
    found = [(frame.strobe_id, frame.index) for frame in frames if isinstance(frame, messages.Frame)]
    require(found == [(strobe_id, i) for i in range(n_triggers)], f"the FRAME events are {found}")
    times_us = [frame.board_time_us for frame in frames if isinstance(frame, messages.Frame)]
    early_us, late_us = (times_us[i + 1] - times_us[i] for i in (1, 2))  # away from the ramps
    expected_us = spacing / speed * 1e6
    off_us = max(abs(early_us - expected_us), abs(late_us - expected_us))
    require(off_us <= _EDGE_TOLERANCE_US + 0.001 * expected_us, f"a trigger was off by {off_us:.0f} us")
    state = bench.state()
    require(state.frames_done == n_triggers, f"STATE counts {state.frames_done} triggers")


def sweep_moves_z_at_its_way_points(bench: Bench) -> None:
    """SWEEP moves an axis without a stop, and each leg of Z begins where the axis reaches its position."""
    lead = next((i for i in axes_of(bench) if i != Z), None)
    if lead is None or not bench.hello.axes >> Z & 1:
        return  # nothing to sweep with
    for i in (Z, lead):
        to_lower_end(bench, i)
    there, high = reach(bench, lead), reach(bench, Z) // 20
    speed, accel = rates(bench, lead)
    legs = ((there // 4, high), (there // 2, high // 2))
    for index, (at_steps, z_steps) in enumerate(legs):
        point = messages.WayPoint(index, at_steps, z_steps, *rates(bench, Z))
        require_status(bench.ask(point), Status.OK)
    sweep = messages.Sweep(bench.next_move_id(), 1 << lead, there, speed, accel, len(legs))
    require_status(bench.ask(msgspec.structs.replace(sweep, count=1)), Status.WAY_POINTS)
    bench.events.clear()
    began_us = bench.get(messages.Ping(), messages.Pong).board_time_us
    bench.begin(sweep)
    seen: list[tuple[int, int]] = []
    while (state := bench.state()).moving:
        require(len(seen) < _MOST_LOOKS, "the sweep does not end")
        seen.append((state.pos_steps[lead], state.pos_steps[Z]))
        bench.hear(0.01)
    done = bench.end(sweep.move_id, 1.0)
    require_result(done, MoveResult.DONE)
    ends = done.pos_steps[lead], done.pos_steps[Z]
    require(ends == (there, legs[1][1]), f"it ended at {ends}")
    require(all(z == 0 for at, z in seen if at < legs[0][0]), "Z has moved before its first position")
    falls = [b[0] for a, b in itertools.pairwise(seen) if b[1] < a[1]]
    require(bool(falls) and falls[0] >= legs[1][0], f"the second leg of Z began at {falls[:1]}")
    expected_s = Trapezoid(there, speed, accel).duration_s
    took_s = (done.board_time_us - began_us) / 1e6
    require(took_s <= 1.05 * expected_s + 0.06, f"a sweep of {expected_s:.3f} s took {took_s:.3f} s")
    require_status(bench.ask(msgspec.structs.replace(sweep, move_id=bench.next_move_id())), Status.WAY_POINTS)
    for i in (Z, lead):
        to_lower_end(bench, i)


def stop_keeps_the_position(bench: Bench) -> None:
    """A move at full speed that is stopped keeps its homing, and goes on from where it stands."""
    i = axes_of(bench)[0]
    speed, accel = rates(bench, i)
    to_lower_end(bench, i)
    move = bench.move(i, reach(bench, i), speed, accel)
    bench.begin(move)
    bench.hear(0.5)
    stop_us = bench.get(messages.Ping(), messages.Pong).board_time_us
    require_status(bench.ask(messages.Stop()), Status.OK)
    done = bench.end(move.move_id, 1.0)
    require_result(done, MoveResult.STOPPED)
    took_s = (done.board_time_us - stop_us) / 1e6
    require(took_s <= 1.1 * speed / accel + 0.06, f"it took {took_s:.3f} s to stop")
    require(bool(bench.state().homed >> i & 1), "a stopped move has lost its homing")
    to_lower_end(bench, i)


def watchdog_decelerates_a_silent_motion(bench: Bench) -> None:
    """After motion_ms of silence, and not before, the motion decelerates; its position stays known."""
    i = axes_of(bench)[0]
    speed, accel = rates(bench, i)
    to_lower_end(bench, i)
    require_status(bench.ask(messages.Watchdog(_WATCHDOG_MS, IDLE_MS)), Status.OK)
    require_status(bench.ask(messages.Lamp(300)), Status.OK)
    move = bench.move(i, reach(bench, i), speed, accel)
    bench.begin(move)
    bench.hear(0.15)
    fed_us = bench.get(messages.Ping(), messages.Pong).board_time_us
    done = bench.end(move.move_id, 1.0, beats=False)
    require_result(done, MoveResult.WATCHDOG)
    # It has run long enough for its full speed, so it decelerates for speed / accel.
    silent_s = (done.board_time_us - fed_us) / 1e6 - min(speed / accel, 0.15 + _WATCHDOG_MS / 1000.0)
    late_s = silent_s - _WATCHDOG_MS / 1000.0
    require(abs(late_s) <= WATCHDOG_TOLERANCE_S, f"the watchdog came {late_s * 1000:+.1f} ms late")
    state = bench.state()
    require_faults(state, Fault.WATCHDOG)
    require(state.lamp_duty == 0, "the lamp is lit although the watchdog has expired")
    require(bool(state.homed >> i & 1), "a motion that was decelerated has lost its homing")
    require_status(bench.ask(bench.move(i, 0, speed, accel)), Status.WATCHDOG)
    require_status(bench.ask(messages.Watchdog(MOTION_MS, IDLE_MS)), Status.OK)
    to_lower_end(bench, i)


def a_new_session_finds_its_motion(bench: Bench) -> None:
    """A motion goes on under a new session, whose events and STATE say how it ended."""
    i = axes_of(bench)[0]
    speed, accel = rates(bench, i)
    to_lower_end(bench, i)
    move = bench.move(i, speed // 2, speed, accel)
    bench.begin(move)
    bench.open_session()
    done = bench.end(move.move_id, 3.0)
    require_result(done, MoveResult.DONE)
    sessions = {e.session for e in bench.events if e.kind == Kind.EVENT and e.opcode == Opcode.MOVE_DONE}
    require(bench.session in sessions, f"the event came in session {sessions}, open is {bench.session}")


def a_pulled_cable_leaves_the_truth(bench: Bench) -> None:
    """After the port was closed and opened again: the same boot_id and position, or another and nothing homed."""
    before, boot_id, session = bench.state(), bench.hello.boot_id, bench.session
    bench.reopen()
    bench.first_session()
    after = bench.state()
    if bench.hello.boot_id == boot_id:
        require(bench.session != session, "the new session has the number of the old one")
        require(after.pos_steps == before.pos_steps, f"{before.pos_steps} became {after.pos_steps}")
        require(after.homed == before.homed, "an axis is no longer homed")
    else:
        require(after.homed == 0, "the board has restarted, and an axis counts as homed")


def motors_off_forget_the_homing(bench: Bench) -> None:
    """MOTORS switches motors off; such an axis is not homed, and does not move."""
    i = axes_of(bench)[-1]
    others = bench.hello.axes & ~(1 << i)
    require_status(bench.ask(messages.Motors(others)), Status.OK)
    state = bench.state()
    require(state.motors == others, f"the motors that are on: {state.motors:#x}, requested {others:#x}")
    require(not state.homed >> i & 1, "an axis without current counts as homed")
    require_status(bench.ask(bench.move(i, state.pos_steps[i], *jog_rates(bench, i))), Status.MOTOR_OFF)
    require_status(bench.ask(messages.Motors(bench.hello.axes)), Status.OK)


def estop_latches(bench: Bench) -> None:
    """ESTOP ends a motion at once, takes the current, turns the light off and latches; CLEAR and HOME go on."""
    i = axes_of(bench)[0]
    speed, accel = rates(bench, i)
    require_status(bench.ask(messages.Lamp(300)), Status.OK)
    move = bench.move(i, reach(bench, i), speed, accel)
    require_status(bench.ask(move), Status.OK)
    bench.hear(0.2)
    require_status(bench.ask(messages.Estop()), Status.OK)
    require_result(bench.end(move.move_id, 0.5), MoveResult.ESTOP)
    state = bench.state()
    require_faults(state, Fault.ESTOP)
    found = (state.motors, state.homed, state.lamp_duty, state.moving)
    require(found == (0, 0, 0, 0), f"motors, homed, lamp, moving = {found}, expected all 0")
    require_status(bench.ask(bench.move(i, 0, speed, accel)), Status.ESTOP)
    require_status(bench.ask(messages.Lamp(1)), Status.ESTOP)
    require_status(bench.ask(messages.Lamp(0)), Status.OK)
    require_status(bench.ask(messages.Motors(7)), Status.ESTOP)
    require_status(bench.ask(messages.Clear(Fault.ESTOP)), Status.OK)
    require(bench.state().motors == 0, "CLEAR has switched a motor on")
    require_status(bench.ask(bench.move(i, state.pos_steps[i], *jog_rates(bench, i))), Status.MOTOR_OFF)
    homing_finds_zero(bench)
