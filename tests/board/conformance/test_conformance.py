"""The conformance run finds every promise kept by stub and firmware, and finds out who breaks one."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from parfocal.board.clock import VirtualClock
from parfocal.board.conformance import run
from parfocal.board.conformance.bench import Bench
from parfocal.board.conformance.report import CheckedPromise, ConformanceReport
from parfocal.board.conformance.run import CHECKS, Asked, run_conformance
from parfocal.board.errors import LinkTimeout
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.machine import Machine
from parfocal.board.stub.optics.lamp import LampDriver
from parfocal.board.stub.stage.counted import CountedStage
from parfocal.board.stub.stage.mechanics import AxisMechanics
from parfocal.board.stub.stub_board import StubBoard
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import messages
from parfocal.board.wire.messages import AxisBit, Status

EVERYTHING = Asked(lambda: True, with_estop=True)


def conformance(bench: VirtualBench, asked: Asked = EVERYTHING) -> ConformanceReport:
    return run_conformance(bench.open_transport, bench.clock, asked)


@pytest.mark.usefixtures("far_side")
def test_every_promise_is_tried_and_kept() -> None:
    bench = VirtualBench()
    report = conformance(bench)
    assert report.broken == ()
    assert report.n_kept == len(report.promises) == len(CHECKS) >= 35
    assert len({checked.promise for checked in report.promises}) == len(CHECKS)
    state = bench.stub.machine.state()
    assert (state.moving, state.lamp_duty, state.faults) == (0, 0, 0)


@pytest.mark.usefixtures("far_side")
@pytest.mark.parametrize("start_um", [-150.0, -100.0, -60.0, 5150.0, 5300.0])
def test_a_stage_on_or_near_a_switch_is_no_broken_promise(start_um: float) -> None:
    stub = StubConfig()
    z = msgspec.structs.replace(stub.z, start_um=start_um)
    assert conformance(VirtualBench(msgspec.structs.replace(stub, z=z))).broken == ()


@pytest.mark.usefixtures("far_side")
def test_a_board_that_is_homed_already_can_be_tried_again() -> None:
    bench = VirtualBench()
    for _ in range(2):
        assert conformance(bench, Asked(lambda: True)).broken == ()


def test_nothing_moves_before_the_user_agrees_and_nothing_after_a_no() -> None:
    bench = VirtualBench()
    asked: list[int] = []

    def no() -> bool:
        asked.append(bench.stub.machine.motions_begun)
        return False

    report = conformance(bench, Asked(no, with_estop=True))
    assert asked == [0]
    assert bench.stub.machine.motions_begun == 0
    outcomes = {check.part: set() for check in CHECKS}  # type: ignore[var-annotated]
    for check, checked in zip(CHECKS, report.promises, strict=True):
        outcomes[check.part].add(checked.outcome)
    assert outcomes == {"still": {"kept"}, "motion": {"skipped"}, "estop": {"skipped"}}


def test_an_emergency_stop_is_sent_only_when_it_is_asked_for() -> None:
    bench = VirtualBench()
    report = conformance(bench, Asked(lambda: False))
    assert [f.why for f in report.promises if f.promise.startswith("ESTOP")] == ["not asked for"]


def test_a_board_without_lamp_and_switches_is_not_asked_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parfocal.board.stub.stub_board.FEATURES", messages.Feature.ESTOP)
    report = conformance(VirtualBench())
    skipped = {checked.promise: checked.why for checked in report.promises if checked.outcome == "skipped"}
    assert "the board has no lamp" in skipped.values()
    assert "the board has no limit_switches" in skipped.values()
    assert report.broken == ()


def test_a_silent_port_is_a_link_timeout() -> None:
    bench = VirtualBench()
    bench.stub.receive = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(LinkTimeout, match=r"no board answered HELLO in 5 s. `parfocal status`"):
        conformance(bench)


# --- boards that break a promise

Break = Callable[[StubBoard, pytest.MonkeyPatch], None]


def no_reply_cache(stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgets(deque[Any]):
        def append(self, kept: object) -> None: ...

    monkeypatch.setattr(stub, "_replies", Forgets())


def four_replies(stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stub, "_replies", deque(maxlen=4))


def never_stale(_stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parfocal.board.stub.stub_board._ALWAYS", tuple(messages.Opcode))


def deaf_to_stop(stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stub.machine, "stop", lambda: None)


def late_watchdog(stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, take = stub.machine, stub.machine.set_watchdog

    def slower(request: messages.Watchdog) -> Status:
        status = take(request)
        machine.watchdog.motion_limit_s += 0.02
        return status

    monkeypatch.setattr(machine, "set_watchdog", slower)


def watchdog_for_motion_only(stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    darken = stub.machine.lights.lamp.darken
    monkeypatch.setattr(
        stub.machine.lights.lamp, "darken", lambda now_s: None if now_s > 0 else darken(now_s)
    )


def fed_by_anybody(stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = stub._answer

    def feeding(packet: Any) -> bytes:  # noqa: ANN401
        stub.machine.feed()
        return answer(packet)

    monkeypatch.setattr(stub, "_answer", feeding)


def no_limits(_stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = Machine._axis_refusal

    def lenient(machine: Machine, i: int, target_steps: int, *rates: int, may_jog: bool) -> Status:
        found = refusal(machine, i, target_steps, *rates, may_jog=may_jog)
        return Status.OK if found is Status.LIMIT else found

    monkeypatch.setattr(Machine, "_axis_refusal", lenient)


def ids_are_not_kept(_stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = Machine._refusal
    monkeypatch.setattr(
        Machine,
        "_refusal",
        lambda machine, _: refusal(machine, 2**32) if machine._motion is None else Status.OK,
    )


def pull_out_ignored(_stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parfocal.board.stub.stage.ratings.is_followed", lambda *_: True)


def slow_clock(_stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    time_us = Machine.time_us
    monkeypatch.setattr(Machine, "time_us", lambda machine, time_s: time_us(machine, time_s) * 97 // 100)


def events_twice(stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    take = stub.machine.take_events
    monkeypatch.setattr(stub.machine, "take_events", lambda: [e for e in take() for _ in range(2)])


def lamp_stays_lit(stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    take = stub.machine.lights.lamp.set
    monkeypatch.setattr(
        stub.machine.lights.lamp, "set", lambda request, now_s: take(messages.Lamp(request.duty, 0), now_s)
    )


def homed_too_early(_stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Machine.home

    def early(machine: Machine, request: messages.Home) -> Status:
        status = home(machine, request)
        if status is Status.OK:
            machine._homed |= AxisBit(request.axes)
        return status

    monkeypatch.setattr(Machine, "home", early)


def estop_keeps_the_current(_stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "_switch_off", lambda _machine, _axes: None)


def no_session_needed(stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = stub._answer

    def lenient(packet: Any) -> bytes:  # noqa: ANN401
        return answer(msgspec.structs.replace(packet, session=stub.session))

    monkeypatch.setattr(stub, "_answer", lenient)


def lens_stays_on(stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stub.machine.lights.lens, "switch_off", lambda: None)


def triggers_both_ways(_stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    reaches = AxisMechanics.reaches_s

    def either(axis: AxisMechanics, after_s: float, count: int, _sign: int) -> float:
        return min(reaches(axis, after_s, count, sign) for sign in (-1, 1))

    monkeypatch.setattr(AxisMechanics, "reaches_s", either)


def triggers_late(_stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        LampDriver,
        "next_position",
        property(lambda lamp: _shifted(NEXT_POSITION.fget(lamp), 9 * (lamp._index % 2))),
    )


def legs_at_once(_stub: StubBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountedStage, "reaches_s", lambda _stage, _i, after_s, _at, _sign: after_s)


NEXT_POSITION: Any = LampDriver.next_position


def _shifted(position: Any, by_steps: int) -> Any:  # noqa: ANN401
    return position and (position[0], position[1] + by_steps, position[2])


BREAKS: dict[str, tuple[Break, str]] = {
    "no reply cache": (no_reply_cache, "A request that is sent again gets the same response"),
    "four replies": (four_replies, "The last eight responses are kept"),
    "never stale": (never_stale, "A move with an older seq that arrives after STOP"),
    "deaf to STOP": (deaf_to_stop, "STOP decelerates at once"),
    "late watchdog": (late_watchdog, "After motion_ms of silence"),
    "light stays on": (watchdog_for_motion_only, "After idle_ms of silence the light is off"),
    "fed by anybody": (fed_by_anybody, "Frames of another session are refused"),
    "no limits": (no_limits, "Targets beyond the travel are refused"),
    "ids not kept": (ids_are_not_kept, "Invalid moves, homings"),
    "pull-out ignored": (pull_out_ignored, "A speed and acceleration beyond the pull-out line"),
    "slow clock": (slow_clock, "`board_time_us` counts microseconds"),
    "events twice": (events_twice, "A move ends at its target"),
    "lamp stays lit": (lamp_stays_lit, "LAMP sets a duty"),
    "homed too early": (homed_too_early, "HOME finds the lower switch"),
    "ESTOP keeps the current": (estop_keeps_the_current, "ESTOP ends a motion at once"),
    "lens stays on": (lens_stays_on, "SET_CURRENT sets a current"),
    "triggers both ways": (triggers_both_ways, "POSITION_TRIGGER gives one trigger"),
    "triggers late": (triggers_late, "POSITION_TRIGGER gives one trigger"),
    "legs at once": (legs_at_once, "SWEEP moves an axis without a stop"),
    "no session needed": (no_session_needed, "Every golden request is decoded"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_promise_is_found_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks, promise = BREAKS[name]
    (part,) = {check.part for check in CHECKS if check.promise.startswith(promise)}
    bench = VirtualBench()
    assert isinstance(bench.stub, StubBoard)
    breaks(bench.stub, monkeypatch)
    broken = conformance(bench, Asked(lambda: part != "still", with_estop=part == "estop")).broken
    assert any(checked.promise.startswith(promise) for checked in broken), [f.promise for f in broken]
    assert all(checked.why for checked in broken)


def test_nothing_fast_or_far_is_tried_on_a_board_that_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = VirtualBench()
    assert isinstance(bench.stub, StubBoard)
    deaf_to_stop(bench.stub, monkeypatch)
    seen: list[CheckedPromise] = []
    run_conformance(bench.open_transport, bench.clock, EVERYTHING, seen.append)
    assert bench.stub.machine.motions_begun == 1  # the slow jog away from the objective
    after = [checked for checked in seen if checked.why.startswith("not safe without: STOP decelerates")]
    n_motions = sum(check.part != "still" for check in run.CHECKS)
    assert len(after) == n_motions - 1


def test_a_wait_ends_where_the_clock_stops_a_rounding_step_short() -> None:
    class Short:
        """A transport that lets all time pass but the last rounding step, as a sum of floats may."""

        def read(self, timeout_s: float) -> bytes:
            reads.append(timeout_s)
            assert len(reads) < 10, "the wait does not end"
            if timeout_s > 1e-6:
                clock.advance_to(math.nextafter(clock.now_s() + timeout_s, 0.0))
            return b""

        def write(self, data: bytes) -> None: ...

        def close(self) -> None: ...

    reads, clock = list[float](), VirtualClock()
    assert Bench(Short, clock).hear(0.25) == []
