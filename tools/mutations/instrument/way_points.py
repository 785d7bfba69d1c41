"""Sweeps along way points: on the wire, in the firmware, in the stub."""

from tools.mutations.mutation import Mutation

_WAY_POINTS = ("tests/board/test_way_points.py",)
_SWEEPS = ("tests/board/test_sweeps.py",)
_LEGS, _HOST = "board/own/sweeping.py", "board/own/motion.py"
_REFUSALS = ("tests/board/test_protocol_refusals.py",)
_MOTION, _STUB, _STAGE = "board/firmware/motion.c", "board/stub/machine.py", "board/stub/stage/counted.py"

MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "a leg of Z begins before its position",
        _MOTION,
        "lead->sign > 0 ? lead->pos_steps < point->at_steps",
        "lead->sign > 0 ? lead->pos_steps < point->at_steps - 200",
        _WAY_POINTS,
    ),
    Mutation(
        "downwards all positions are reached",
        _MOTION,
        "lead->pos_steps > point->at_steps) return;",
        "0) return;",
        _WAY_POINTS,
    ),
    Mutation(
        "legs of Z begin after a stop",
        _MOTION,
        "    if (motion->result != PF_MOVE_RESULT_DONE) motion->n_legs = 0;",
        "    if (0) motion->n_legs = 0;",
        _WAY_POINTS,
    ),
    Mutation(
        "a leg of Z does not wait for the one before",
        _MOTION,
        "motion->next_leg < motion->n_legs && board->axis[Z].mode == PF_AT_REST",
        "motion->next_leg < motion->n_legs",
        _WAY_POINTS,
    ),
    Mutation(
        "a STOP keeps the way points",
        _MOTION,
        "    board->n_way_points = 0;\n    if (!motion->is_active",
        "    if (!motion->is_active",
        _WAY_POINTS,
    ),
    Mutation(
        "another session keeps the way points",
        "board/firmware/session.c",
        "        board->n_way_points = 0;\n",
        "",
        _WAY_POINTS,
    ),
    Mutation(
        "a move keeps the way points",
        _MOTION,
        "    board->n_way_points = 0;\n    board->last_move_id",
        "    board->last_move_id",
        _WAY_POINTS,
    ),
    Mutation(
        "a motor that is switched off keeps the way points",
        _MOTION,
        "    board->n_way_points = 0;\n    pf_lamp_disarm",
        "    pf_lamp_disarm",
        _WAY_POINTS,
    ),
    Mutation(
        "way points out of their order are taken",
        _MOTION,
        "if (is_up ? at > next : at < next) return 0;",
        "if (0) return 0;",
        _REFUSALS,
    ),
    Mutation(
        "a sweep goes along another number of way points",
        _MOTION,
        "n_legs == 0 || request->count != n_legs",
        "n_legs == 0",
        (*_WAY_POINTS, *_REFUSALS),
    ),
    Mutation(
        "the stub begins a leg of Z at once",
        _STAGE,
        "            begins_s = max(reached_s, ended_s)",
        "            begins_s = ended_s",
        _WAY_POINTS,
    ),
    Mutation(
        "the stub begins legs of Z beyond a switch",
        _STAGE,
        "            if begins_s >= switch_s:\n                break\n",
        "",
        _WAY_POINTS,
    ),
    Mutation(
        "the stub keeps way points in another session",
        "board/stub/stub_board.py",
        "            self.machine.way_points.drop()\n",
        "",
        _WAY_POINTS,
    ),
    Mutation(
        "the stub keeps way points after a STOP",
        _STUB,
        '''Doing it twice changes nothing."""
        self.way_points.drop()
''',
        '''Doing it twice changes nothing."""
''',
        _WAY_POINTS,
    ),
    Mutation(
        "the stub keeps way points of an axis that is not homed any more",
        _STUB,
        "        self.way_points.drop()\n        self.lights",
        "        self.lights",
        _WAY_POINTS,
    ),
    Mutation(
        "where the stage speeds up Z goes evenly",
        _LEGS,
        "_divided(way, heights, _on_ramps(profile))",
        "_divided(way, heights, [])",
        _SWEEPS,
    ),
    Mutation(
        "a slow leg of Z is one ramp up and down",
        _LEGS,
        "if off_steps > MOST_OFF_STEPS and",
        "if False and",
        _SWEEPS,
    ),
    Mutation(
        "a leg of Z is twice as fast as its line",
        _LEGS,
        "    return int(whole), min",
        "    return 2 * int(whole), min",
        _SWEEPS,
    ),
    Mutation(
        "a leg of Z takes the time of the whole way",
        _LEGS,
        "return rates_lasting(leg.n_steps, profile.time_s(leg.end) - profile.time_s(leg.begin), most)",
        "return rates_lasting(leg.n_steps, profile.time_s(leg.end), most)",
        _SWEEPS,
    ),
    Mutation(
        "downwards the positions of the legs lie upwards",
        _LEGS,
        "start_steps + sign * leg.begin",
        "start_steps + leg.begin",
        _SWEEPS,
    ),
    Mutation(
        "Z is not late where it is too slow: the sweep counts as hung",
        _LEGS,
        "    return LegsOfZ(tuple(points), max(profile.duration_s, ended_s))",
        "    return LegsOfZ(tuple(points), profile.duration_s)",
        _SWEEPS,
    ),
    Mutation(
        "way points are not sent again in a new session",
        _HOST,
        "refusal.status == Status.BAD_VALUE and is_another",
        "False",
        _SWEEPS,
    ),
    Mutation(
        "way points that a watchdog has dropped are not sent again",
        _HOST,
        "was_dropped = refusal.status == Status.WAY_POINTS or (",
        "was_dropped = False or (",
        _SWEEPS,
    ),
    Mutation(
        "a sweep that the board has accepted is asked for again",
        _HOST,
        "                if refusal.status == Status.DUPLICATE and is_another:\n                    return\n",
        "",
        (*_SWEEPS, "tests/board/link/test_recovery.py"),
    ),
)
