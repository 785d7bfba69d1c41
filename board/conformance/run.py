"""The conformance run: every promise that a host can check, in a safe order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from parfocal.board.clock import PacedClock
from parfocal.board.conformance import motion_checks, still_checks, wire_checks
from parfocal.board.conformance.bench import Bench
from parfocal.board.conformance.report import CheckedPromise, ConformanceReport, Outcome, PromiseBroken
from parfocal.board.errors import BoardNotFound
from parfocal.board.link.transport import Transport
from parfocal.board.wire.messages import Feature

Part = Literal["still", "motion", "estop"]


class Check(NamedTuple):
    """One check. Its first docstring line is the promise. `is_vital`: nothing may move without it."""

    run: Callable[[Bench], None]
    part: Part
    is_vital: bool = False
    needs: Feature = Feature(0)

    @property
    def promise(self) -> str:
        """What the board must do."""
        return (self.run.__doc__ or "").partition("\n")[0]


_LIGHT, _SWITCHES = Feature.LAMP, Feature.LIMIT_SWITCHES

# STOP is proved with a short slow jog away from the objective before anything runs faster or farther.
CHECKS = (
    Check(wire_checks.answers_hello, "still", is_vital=True),
    Check(wire_checks.states_sane_limits, "still", is_vital=True),
    Check(wire_checks.golden_packets_are_understood, "still", is_vital=True),
    Check(wire_checks.resent_hello_opens_one_session, "still"),
    Check(wire_checks.new_hello_ends_the_session, "still"),
    Check(wire_checks.other_table_gets_no_session, "still"),
    Check(wire_checks.hello_is_never_stale, "still"),
    Check(wire_checks.damage_is_ignored, "still"),
    Check(wire_checks.answers_in_time, "still"),
    Check(wire_checks.clock_counts_microseconds, "still"),
    Check(wire_checks.resend_gets_the_same_answer, "still", is_vital=True),
    Check(wire_checks.eight_answers_are_kept, "still"),
    Check(wire_checks.refusals_of_frames_in_order, "still"),
    Check(still_checks.watchdog_takes_its_times_only, "still"),
    Check(still_checks.refuses_moves_that_it_should, "still", is_vital=True),
    Check(still_checks.refuses_what_the_motor_cannot_follow, "still"),
    Check(still_checks.lamp_is_lit_for_its_time, "still", needs=_LIGHT),
    Check(still_checks.strobe_triggers_and_reports, "still", needs=Feature.STROBE),
    Check(still_checks.lens_gets_its_current, "still", needs=Feature.LENS),
    Check(still_checks.watchdog_turns_the_light_off, "still", needs=_LIGHT),
    Check(still_checks.other_sessions_do_not_feed_the_watchdog, "still", needs=_LIGHT),
    Check(motion_checks.stop_ends_a_motion, "motion", is_vital=True),
    Check(motion_checks.homing_finds_zero, "motion", is_vital=True, needs=_SWITCHES),
    Check(motion_checks.limits_hold_after_homing, "motion", is_vital=True, needs=_SWITCHES),
    Check(motion_checks.moves_end_where_and_when_they_should, "motion", needs=_SWITCHES),
    Check(motion_checks.triggers_come_at_their_positions, "motion", needs=_SWITCHES | Feature.STROBE),
    Check(motion_checks.sweep_moves_z_at_its_way_points, "motion", needs=_SWITCHES),
    Check(motion_checks.stop_keeps_the_position, "motion", is_vital=True, needs=_SWITCHES),
    Check(motion_checks.watchdog_decelerates_a_silent_motion, "motion", needs=_SWITCHES),
    Check(motion_checks.resent_move_moves_once, "motion", needs=_SWITCHES),
    Check(motion_checks.stop_overtakes_a_move, "motion", needs=_SWITCHES),
    Check(motion_checks.busy_refuses_another_move, "motion", needs=_SWITCHES),
    Check(motion_checks.a_new_session_finds_its_motion, "motion", needs=_SWITCHES),
    Check(motion_checks.a_pulled_cable_leaves_the_truth, "motion", needs=_SWITCHES),
    Check(motion_checks.motors_off_forget_the_homing, "motion"),
    Check(motion_checks.estop_latches, "estop", needs=_SWITCHES | Feature.ESTOP),
)


class Asked(NamedTuple):
    """What the user allows. `may_move` is asked once, before the first motion."""

    may_move: Callable[[], bool]
    with_estop: bool = False


def run_conformance(
    open_port: Callable[[], Transport],
    clock: PacedClock,
    asked: Asked,
    seen: Callable[[CheckedPromise], None] | None = None,
) -> ConformanceReport:
    """Try every promise; `seen` is called after each. At the end nothing moves and the lamp is dark.

    Raises BoardNotFound when the port cannot be opened, LinkTimeout when no board answers there.
    """
    bench = Bench(open_port, clock)
    try:
        bench.first_session()
        promises = list(_promises(bench, asked, seen))
        return ConformanceReport(bench.hello.unit_serial, bench.hello.firmware_version, tuple(promises))
    finally:
        _leave_calm(bench)
        bench.transport.close()


def _promises(
    bench: Bench, asked: Asked, seen: Callable[[CheckedPromise], None] | None
) -> list[CheckedPromise]:
    promises: list[CheckedPromise] = []
    why_not, may_move = "", None
    for check in CHECKS:
        skipped = "" if check.part == "still" else why_not
        missing = check.needs & ~Feature(bench.hello.features)
        if missing:
            skipped = f"the board has no {str(missing.name or missing).lower()}"
        elif check.part == "estop" and not asked.with_estop:
            skipped = "not asked for"
        elif check.part != "still" and not skipped:
            may_move = asked.may_move() if may_move is None else may_move
            skipped = "" if may_move else "it moves, and that was not allowed"
        checked = _skipped(check, skipped) if skipped else _tried(check, bench)
        if checked.outcome == "broken" and check.is_vital:
            why_not = why_not or f"not safe without: {check.promise}"
        promises.append(checked)
        if seen is not None:
            seen(checked)
    return promises


def _skipped(check: Check, why: str) -> CheckedPromise:
    return CheckedPromise(check.promise, "skipped", why, 0.0)


def _tried(check: Check, bench: Bench) -> CheckedPromise:
    began_s, why = bench.clock.now_s(), ""
    result: Outcome = "kept"
    try:
        bench.calm()
        check.run(bench)
    except PromiseBroken as broken:
        result, why = "broken", str(broken)
    except BoardNotFound as gone:
        result, why = "broken", f"the port was lost: {gone}"
    return CheckedPromise(check.promise, result, why, (bench.clock.now_s() - began_s) / bench.clock.speed)


def _leave_calm(bench: Bench) -> None:
    try:
        bench.calm()
    except (PromiseBroken, BoardNotFound):
        return  # it does not answer: there is nothing more that a host can do
