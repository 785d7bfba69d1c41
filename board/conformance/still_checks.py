"""Refusals, watchdog and light: nothing moves."""

from __future__ import annotations

from parfocal.board.conformance.bench import (
    IDLE_MS,
    MOTION_MS,
    Bench,
    require,
    require_faults,
    require_status,
)
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Fault, Kind, Opcode, Status

WATCHDOG_TOLERANCE_S = 0.01
_FAR = 2**30


def watchdog_takes_its_times_only(bench: Bench) -> None:
    """WATCHDOG takes 100 ms <= motion_ms <= idle_ms <= 60000 ms."""
    for motion_ms, idle_ms, status in (
        (100, 100, Status.OK),
        (60000, 60000, Status.OK),
        (99, 1000, Status.BAD_VALUE),
        (100, 60001, Status.BAD_VALUE),
        (101, 100, Status.BAD_VALUE),
        (0, 0, Status.BAD_VALUE),
        (MOTION_MS, IDLE_MS, Status.OK),
    ):
        require_status(bench.ask(messages.Watchdog(motion_ms, idle_ms)), status)


def refuses_moves_that_it_should(bench: Bench) -> None:
    """Invalid moves, homings, motors, lamps and strobes are refused, and nothing else changes."""
    before, axis = bench.state(), bench.hello.axes.bit_length() - 1
    top, accel = bench.limits.max_speed_steps_per_s[axis], bench.limits.max_accel_steps_per_s2[axis]
    slow, at = min(100, top), before.pos_steps[axis]
    none = bench.move(axis, at, slow, 1000)
    moves = (
        (messages.MoveAbs(bench.next_move_id(), 0, *_same(none)), Status.BAD_VALUE),
        (messages.MoveAbs(bench.next_move_id(), 8, *_same(none)), Status.BAD_VALUE),
        (bench.move(axis, at, 0, 1000), Status.BAD_VALUE),
        (bench.move(axis, at, top + 1, 1000), Status.BAD_VALUE),
        (bench.move(axis, at, slow, 0), Status.BAD_VALUE),
        (bench.move(axis, at, slow, accel + 1), Status.BAD_VALUE),
        (messages.Home(bench.next_move_id(), 0, slow, slow, 1000), Status.BAD_VALUE),
        (messages.Home(bench.next_move_id(), 3, slow, slow, 1000), Status.BAD_VALUE),
        (messages.Home(bench.next_move_id(), 1 << axis, slow, slow + 1, 1000), Status.BAD_VALUE),
        (messages.Home(bench.next_move_id(), 1 << axis, slow, 0, 1000), Status.BAD_VALUE),
        (messages.Motors(8), Status.BAD_VALUE),
        (messages.Lamp(10001), Status.BAD_VALUE),
        (messages.Lamp(1, 600_001), Status.BAD_VALUE),
    )
    for request, status in moves:
        require_status(bench.ask(request), status)
    is_homed = before.homed >> axis & 1
    refused = bench.ask(bench.move(axis, at + _FAR, slow, 1000))
    require_status(refused, Status.LIMIT if is_homed else Status.NOT_HOMED)
    require_status(bench.ask(messages.MoveAbs(0, none.axes, *_same(none))), Status.DUPLICATE)
    after = bench.state()
    names = ("pos_steps", "last_move_id", "homed", "motors", "moving", "last_result")
    changed = [name for name in names if getattr(after, name) != getattr(before, name)]
    require(not changed, f"refused requests have changed {', '.join(changed)}")


def _same(move: messages.MoveAbs) -> tuple[messages.Triple, messages.Triple, messages.Triple]:
    return move.target_steps, move.speed_steps_per_s, move.accel_steps_per_s2


def refuses_what_the_motor_cannot_follow(bench: Bench) -> None:
    """A speed and acceleration beyond the pull-out line are refused, for moves and homings."""
    n_tried, state = 0, bench.state()
    for i in range(3):
        if not bench.hello.axes >> i & 1:
            continue
        speed, accel = bench.limits.max_speed_steps_per_s[i], bench.limits.max_accel_steps_per_s2[i]
        no_torque, from_rest = (
            bench.pull_out.no_torque_steps_per_s[i],
            bench.pull_out.from_rest_steps_per_s2[i],
        )
        if speed * from_rest + accel * no_torque <= no_torque * from_rest:
            continue  # the caps are stricter than the line
        n_tried += 1
        require_status(bench.ask(bench.move(i, state.pos_steps[i], speed, accel)), Status.PULL_OUT)
        home = messages.Home(bench.next_move_id(), 1 << i, speed, 1, accel)
        require_status(bench.ask(home), Status.PULL_OUT)
    require(bench.state().last_move_id == state.last_move_id, "a move beyond the line was accepted")


def lamp_is_lit_for_its_time(bench: Bench) -> None:
    """LAMP sets a duty, and ends by itself after the requested time."""
    require_status(bench.ask(messages.Lamp(500)), Status.OK)
    require(bench.state().lamp_duty == 500, f"the duty is {bench.state().lamp_duty}, requested 500")
    require_status(bench.ask(messages.Lamp(400, 300)), Status.OK)
    bench.hear(0.2)
    require(bench.state().lamp_duty == 400, "a lamp of 300 ms is dark after 200 ms")
    bench.hear(0.2)
    require(bench.state().lamp_duty == 0, "a lamp of 300 ms is lit after 400 ms")


def strobe_triggers_and_reports(bench: Bench) -> None:
    """STROBE gives its triggers in time, with an event each, and STATE counts them."""
    strobe_id = bench.state().last_strobe_id + 1
    bench.events.clear()
    require_status(bench.ask(messages.Strobe(strobe_id, 5, 50_000, 1000, 2000, 500)), Status.OK)
    bench.hear(0.4)
    frames = [
        layout.unpack(event.kind, event.opcode, event.payload)
        for event in bench.events
        if event.opcode == Opcode.FRAME and event.kind == Kind.EVENT
    ]
    found = [(frame.strobe_id, frame.index) for frame in frames if isinstance(frame, messages.Frame)]
    require(found == [(strobe_id, i) for i in range(5)], f"the FRAME events are {found}")
    times_us = [frame.board_time_us for frame in frames if isinstance(frame, messages.Frame)]
    late_us = max(abs(time_us - times_us[0] - i * 50_000) for i, time_us in enumerate(times_us))
    require(late_us <= 100, f"a trigger was off by {late_us} us")
    state = bench.state()
    require(
        (state.frames_done, state.lamp_duty) == (5, 0),
        f"STATE: {state.frames_done} triggers, {state.lamp_duty}",
    )
    require_status(bench.ask(messages.Strobe(strobe_id, 1, 50_000, 0, 0, 0)), Status.DUPLICATE)
    require_status(bench.ask(messages.Strobe(strobe_id + 1, 1, 999, 0, 0, 0)), Status.BAD_VALUE)


def lens_gets_its_current(bench: Bench) -> None:
    """SET_CURRENT sets a current within LENS and refuses others; after idle_ms of silence the current is 0."""
    lens = bench.get(messages.LensRequest(), messages.Lens)
    require(lens.min_ua <= 0 <= lens.max_ua and lens != messages.Lens(0, 0), f"the range is {lens}")
    current_ua = lens.max_ua // 10 or lens.min_ua // 10
    require_status(bench.ask(messages.SetCurrent(current_ua)), Status.OK)
    for beyond_ua in (lens.min_ua - 1, lens.max_ua + 1):
        require_status(bench.ask(messages.SetCurrent(beyond_ua)), Status.BAD_VALUE)
    found_ua = bench.state().lens_ua
    require(found_ua == current_ua, f"the current is {found_ua} uA, requested {current_ua}")
    require_status(bench.ask(messages.Watchdog(100, 400)), Status.OK)
    bench.hear(0.4 + 0.03)
    state = bench.state()
    require_faults(state, Fault.WATCHDOG)
    require(state.lens_ua == 0, "the lens has current although the watchdog has expired")
    require_status(bench.ask(messages.SetCurrent(current_ua)), Status.WATCHDOG)


def watchdog_turns_the_light_off(bench: Bench) -> None:
    """After idle_ms of silence the light is off and the fault is set, and not before. WATCHDOG rearms it."""
    require_status(bench.ask(messages.Watchdog(100, 400)), Status.OK)
    require_status(bench.ask(messages.Lamp(300)), Status.OK)
    bench.hear(0.4 - 0.06)
    require_faults(bench.state(), Fault(0))
    bench.hear(0.4 + 0.03)
    state = bench.state()
    require_faults(state, Fault.WATCHDOG)
    require(state.lamp_duty == 0, "the lamp is lit although the watchdog has expired")
    require_status(bench.ask(messages.Lamp(300)), Status.WATCHDOG)
    require_status(bench.ask(bench.move(2, state.pos_steps[2], 1, 1)), Status.WATCHDOG)
    require_status(bench.ask(messages.Lamp(0)), Status.OK)
    require_status(bench.ask(messages.Clear(0xFFFF)), Status.OK)
    require_faults(bench.state(), Fault.WATCHDOG)
    require_status(bench.ask(messages.Watchdog(MOTION_MS, IDLE_MS)), Status.OK)
    require_faults(bench.state(), Fault(0))


def other_sessions_do_not_feed_the_watchdog(bench: Bench) -> None:
    """Frames of another session are refused and leave the watchdog alone; STALE ones feed it."""
    require_status(bench.ask(messages.Watchdog(100, 400)), Status.OK)
    require_status(bench.ask(messages.Lamp(300)), Status.OK)
    old = (bench.seq - 300) & 0xFFFF
    for _ in range(8):
        require_status(bench.ask(messages.Lamp(1), seq=old), Status.STALE)
        bench.hear(0.1)
    require_faults(bench.state(), Fault(0))
    for _ in range(6):
        require_status(bench.ask(messages.Ping(), session=bench.session ^ 1), Status.NO_SESSION)
        bench.hear(0.1)
    require_faults(bench.state(), Fault.WATCHDOG)
