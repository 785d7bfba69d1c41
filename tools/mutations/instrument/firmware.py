"""Mutations of the firmware in `board/firmware/`."""

from tools.mutations.mutation import Mutation

_REFUSALS = ("tests/board/test_protocol_refusals.py",)
_PROMISES = ("tests/board/test_protocol_promises.py",)
_DETAILS = ("tests/board/test_protocol_details.py",)
_FAULTS = ("tests/board/stub/test_faults.py",)
_POSITIONS = ("tests/board/test_position_triggers.py",)
_STEPS = ("tests/board/firmware/test_steps.py",)

MUTATIONS = (
    Mutation(
        "the firmware carries out an older seq",
        "board/firmware/session.c",
        "if (!is_newer && !is_urgent) {",
        "if (0) {",
        (*_PROMISES, "tests/board/link/test_link.py"),
    ),
    Mutation(
        "the firmware forgets its replies",
        "board/firmware/session.c",
        "    keep_reply(board, request, frame, n_bytes);\n",
        "    (void)keep_reply;\n",
        (*_PROMISES, "tests/board/link/test_link.py"),
    ),
    Mutation(
        "frames of another session feed the watchdog",
        "board/firmware/session.c",
        "    response.session = request->session;\n    if (board->session == 0",
        "    response.session = request->session;\n    board->fed_us = pf_hal_now_us(board->hal);\n"
        "    if (board->session == 0",
        _PROMISES,
    ),
    Mutation(
        "STOP needs a session",
        "board/firmware/session.c",
        "if (is_urgent) pf_board_carry_out(board, request, &response);",
        "",
        ("tests/board/link/test_link.py", *_REFUSALS),
    ),
    Mutation(
        "a resent HELLO opens another session",
        "board/firmware/session.c",
        "!(board->has_nonce && hello.nonce == board->nonce)",
        "1",
        _PROMISES,
    ),
    Mutation(
        "the watchdog leaves the light on",
        "board/firmware/board.c",
        "        pf_lamp_darken(board);\n        pf_lens_off(board);\n        board->faults |= PF_FAULT_WATCHDOG;",
        "        pf_lens_off(board);\n        board->faults |= PF_FAULT_WATCHDOG;",
        (*_PROMISES, "tests/board/link/test_link.py"),
    ),
    Mutation(
        "the watchdog leaves the motors running",
        "board/firmware/board.c",
        "        pf_motion_break_off(board, PF_MOVE_RESULT_WATCHDOG);\n",
        "",
        ("tests/board/link/test_link.py",),
    ),
    Mutation(
        "an upper limit is one step too far",
        "board/firmware/motion.c",
        "target > config->max_steps",
        "target > config->max_steps + 1",
        _REFUSALS,
    ),
    Mutation(
        "a jog is not checked",
        "board/firmware/motion.c",
        "delta > config->jog_steps || speed > config->jog_speed",
        "0",
        _REFUSALS,
    ),
    Mutation(
        "the pull-out line is not checked",
        "board/firmware/motion.c",
        "        return PF_STATUS_PULL_OUT;\n",
        "        return PF_STATUS_OK;\n",
        _REFUSALS,
    ),
    Mutation(
        "a move runs through its switch",
        "board/firmware/steps.c",
        "    axis->is_contact_found = 1;\n    return 1;",
        "    return is_over(axis);",
        _FAULTS,
    ),
    Mutation(
        "a limit switch leaves the axis homed",
        "board/firmware/motion.c",
        "        forget_homing(board, motion->axes);\n        board->faults |= PF_FAULT_LIMIT_SWITCH;",
        "        board->faults |= PF_FAULT_LIMIT_SWITCH;",
        (*_FAULTS, *_DETAILS),
    ),
    Mutation(
        "the counter is tied to the edge found downwards",
        "board/firmware/steps.c",
        "            axis->edge_steps = axis->pos_steps;",
        "            axis->edge_steps = axis->pos_steps - (int32_t)axis->n_done;",
        ("tests/board/test_homing.py",),
    ),
    Mutation(
        "homing does not wait for the bounce",
        "board/firmware/homing.c",
        "board->config->axis[i].bounce_us + 1);",
        "0);",
        (*_FAULTS, *_PROMISES),
    ),
    Mutation(
        "a stuck switch sends the stage up",
        "board/firmware/homing.c",
        "board->config->axis[i].off_steps, motion->slow,",
        "board->config->axis[i].whole_steps, motion->slow,",
        _FAULTS,
    ),
    Mutation(
        "an emergency stop leaves the motors on",
        "board/firmware/motion.c",
        "    switch_off(board, ALL_AXES);\n",
        "    board->homed = 0;\n",
        _PROMISES,
    ),
    Mutation(
        "a deceleration is a step too long",
        "board/firmware/leg.c",
        "last = leg->reach / US_PER_S / US_PER_S;",
        "last = leg->reach / US_PER_S / US_PER_S + 2;",
        _STEPS,
    ),
    Mutation(
        "a stop keeps the step times that were computed before it",
        "board/firmware/axis.c",
        "    while (!replan(board, axis, mode)) {\n    }",
        "    (void)replan, (void)board, (void)mode;",
        _STEPS,
    ),
    Mutation(
        "a step is left out of the times computed ahead",
        "board/firmware/axis.c",
        "step = axis->n_done + 2 + axis->ahead->n;",
        "step = axis->n_done + 3 + axis->ahead->n;",
        _STEPS,
    ),
    Mutation(
        "the ramp is too steep",
        "board/firmware/leg.c",
        "root_of(2 * steps / leg->accel",
        "root_of(steps / leg->accel",
        _STEPS,
    ),
    Mutation(
        "an axis on its switch is forgotten by a STOP",
        "board/firmware/motion.c",
        "if (motion->result != PF_MOVE_RESULT_LIMIT_SWITCH) motion->result = result;",
        "motion->result = result;",
        _DETAILS,
    ),
    Mutation(
        "a position triggers in both directions",
        "board/firmware/lamp.c",
        " || (moved->sign > 0) != (lamp->spacing_steps > 0)) return;",
        ") return;",
        _POSITIONS,
    ),
    Mutation(
        "a position triggers less than 1 ms after the one before",
        "board/firmware/lamp.c",
        "lamp->edge_us = lamp->frame_us + MIN_PERIOD_US;",
        "lamp->edge_us = lamp->frame_us;",
        _POSITIONS,
    ),
    Mutation(
        "steps that come late are made up for at any speed",
        "board/firmware/axis.c",
        "axis->start_us += now_us - due_us;",
        "axis->start_us += 0 * (now_us - due_us);",
        _STEPS,
    ),
    Mutation(
        "a position triggers before the last flash has ended",
        "board/firmware/lamp.c",
        "    if (lamp->phase == PF_TRIGGER) {\n        pf_hal_trigger(board->hal);\n        lamp->step_us",
        "    if (1) {\n        pf_hal_trigger(board->hal);\n        lamp->step_us",
        _POSITIONS,
    ),
    Mutation(
        "a position trigger outlives the homing of its axis",
        "board/firmware/motion.c",
        "    pf_lamp_disarm(board, axes);\n",
        "",
        _POSITIONS,
    ),
    Mutation(
        "positions beyond the travel are taken",
        "board/firmware/lamp.c",
        "last < 0 || last > max_steps",
        "last < 0",
        (*_POSITIONS, *_REFUSALS),
    ),
    Mutation(
        "the watchdog leaves the lens on",
        "board/firmware/board.c",
        "        pf_lens_off(board);\n        board->faults |= PF_FAULT_WATCHDOG;",
        "        board->faults |= PF_FAULT_WATCHDOG;",
        _POSITIONS,
    ),
    Mutation(
        "the watchdog does not guard the lens",
        "board/firmware/board.c",
        " && board->lens_ua == 0) {",
        ") {",
        _POSITIONS,
    ),
)
