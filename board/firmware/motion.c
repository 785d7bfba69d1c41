/* Moves and homing: one motion at a time, of one or more axes. The main loop decides, the alarm only steps. */
#include "board.h"

#define ALL_AXES (PF_AXIS_BIT_X | PF_AXIS_BIT_Y | PF_AXIS_BIT_Z)
/* Steps of each axis that are computed in one go: more than pass while the main loop answers a packet. */
#define N_AT_ONCE 12
#define Z 2

static void forget_homing(pf_board *board, uint8_t axes) {
    board->homed &= (uint8_t)~axes;
    board->n_way_points = 0;
    pf_lamp_disarm(board, axes);
}

static void begin_motion(pf_board *board, uint32_t move_id, uint8_t axes) {
    board->motion = (pf_motion){.is_active = 1, .axes = axes, .result = PF_MOVE_RESULT_DONE, .move_id = move_id,
                                .end_us = pf_hal_now_us(board->hal)};
    board->n_way_points = 0;
    board->last_move_id = move_id;
    board->last_result = PF_MOVE_RESULT_RUNNING;
    board->n_motions++;
}

static void end_leg(pf_board *board, int i) {
    const pf_axis *axis = &board->axis[i];
    if (axis->mode == PF_MOVING && axis->is_contact_found) board->motion.result = PF_MOVE_RESULT_LIMIT_SWITCH;
    if (board->motion.is_homing) {
        pf_homing_next(board, i);
    } else {
        pf_axis_rest(board, i, pf_board_past_us(board, axis->end_us));
    }
}

static void follow(pf_board *board, int i) {
    pf_axis *axis = &board->axis[i];
    if (axis->mode == PF_AT_REST) return;
    if (axis->mode == PF_SEEKING_DOWN && axis->is_contact_found) {
        pf_axis_brake(board, axis, pf_board_past_us(board, axis->contact_us), PF_BRAKING);
    }
    if (axis->run == PF_OUT_OF_STEPS) pf_axis_resume(board, axis);
    while (axis->run == PF_LEG_ENDED) end_leg(board, i); /* a leg may have no step */
}

/* Send an axis to a target. The target and its rates were checked. */
static void begin_leg(pf_board *board, int i, int32_t target_steps, uint32_t speed, uint32_t accel) {
    const int32_t delta = target_steps - board->axis[i].pos_steps;
    pf_axis_begin(board, i, PF_MOVING, delta < 0 ? -1 : 1, (uint32_t)(delta < 0 ? -delta : delta), speed, accel);
}

/* Begin the legs of Z in a sweep whose positions its other axis has reached. */
static void begin_due_legs(pf_board *board) {
    pf_motion *motion = &board->motion;
    const pf_axis *lead = &board->axis[motion->lead];
    if (motion->result != PF_MOVE_RESULT_DONE) motion->n_legs = 0; /* something has ended it: no leg more */
    while (motion->next_leg < motion->n_legs && board->axis[Z].mode == PF_AT_REST) {
        const pf_way_point *point = &board->way_points[motion->next_leg];
        if (lead->sign > 0 ? lead->pos_steps < point->at_steps : lead->pos_steps > point->at_steps) return;
        motion->next_leg++;
        begin_leg(board, Z, point->z_steps, point->z_speed_steps_per_s, point->z_accel_steps_per_s2);
        follow(board, Z); /* a leg may have no step */
    }
}

static void end_if_at_rest(pf_board *board) {
    pf_motion *motion = &board->motion;
    for (int i = 0; i < PF_N_AXES; i++) {
        if (board->axis[i].mode != PF_AT_REST) return;
    }
    motion->is_active = 0;
    board->last_result = motion->result;
    if (motion->is_homing && motion->result == PF_MOVE_RESULT_DONE) {
        board->axis[motion->home_axis].pos_steps = 0;
        board->homed |= motion->axes;
    }
    if (motion->result == PF_MOVE_RESULT_LIMIT_SWITCH) { /* no switch is inside the travel: the counter was wrong */
        forget_homing(board, motion->axes);
        board->faults |= PF_FAULT_LIMIT_SWITCH;
    }
    board->done = (pf_move_done){.board_time_us = motion->end_us - board->start_us, .move_id = motion->move_id,
                                 .result = motion->result};
    if (motion->result == PF_MOVE_RESULT_DONE) board->done.spread_steps = motion->spread_steps;
    for (int i = 0; i < PF_N_AXES; i++) board->done.pos_steps[i] = board->axis[i].pos_steps;
    board->has_done = 1;
    board->is_alarm_stale = 1;
}

void pf_motion_follow(pf_board *board) {
    if (!board->motion.is_active) return;
    for (int i = 0; i < PF_N_AXES; i++) follow(board, i);
    begin_due_legs(board);
    end_if_at_rest(board);
}

void pf_motion_look_ahead(pf_board *board) {
    int has_room = 1;
    for (int n_left = N_AT_ONCE; has_room && n_left > 0; n_left--) { /* in turn: none may run dry */
        has_room = 0;
        for (int i = 0; i < PF_N_AXES; i++) has_room |= pf_axis_look_ahead(board, &board->axis[i]);
    }
}

/* Why no motion may begin now, or OK. */
static uint8_t refusal(const pf_board *board, uint32_t move_id) {
    if (board->faults & PF_FAULT_ESTOP) return PF_STATUS_ESTOP;
    if (board->faults & PF_FAULT_WATCHDOG) return PF_STATUS_WATCHDOG;
    if (move_id <= board->last_move_id) return PF_STATUS_DUPLICATE;
    return board->motion.is_active ? PF_STATUS_BUSY : PF_STATUS_OK;
}

/* Why an axis may not run at this speed and acceleration, or OK. */
static uint8_t rates_refusal(const pf_axis_config *config, uint32_t speed, uint32_t accel) {
    if (speed == 0 || speed > config->max_speed || accel == 0 || accel > config->max_accel) {
        return PF_STATUS_BAD_VALUE;
    }
    if ((uint64_t)speed * config->from_rest + (uint64_t)accel * config->no_torque >
        (uint64_t)config->no_torque * config->from_rest) {
        return PF_STATUS_PULL_OUT;
    }
    return PF_STATUS_OK;
}

/* Why an axis may not go to this target, or OK. `may_jog`: a short and slow move is allowed before homing. */
static uint8_t axis_refusal(const pf_board *board, int i, int32_t target, uint32_t speed, uint32_t accel, int may_jog) {
    const pf_axis_config *config = &board->config->axis[i];
    int64_t delta;
    uint8_t status;
    if (!(board->motors >> i & 1)) return PF_STATUS_MOTOR_OFF;
    status = rates_refusal(config, speed, accel);
    if (status != PF_STATUS_OK) return status;
    if (board->homed >> i & 1) return target < 0 || target > config->max_steps ? PF_STATUS_LIMIT : PF_STATUS_OK;
    if (!may_jog) return PF_STATUS_NOT_HOMED;
    delta = (int64_t)target - board->axis[i].pos_steps;
    if (delta < 0) delta = -delta;
    return delta > config->jog_steps || speed > config->jog_speed ? PF_STATUS_NOT_HOMED : PF_STATUS_OK;
}

uint8_t pf_motion_move(pf_board *board, const pf_move_abs *request) {
    uint8_t status = refusal(board, request->move_id);
    if (status != PF_STATUS_OK) return status;
    if (request->axes == 0 || request->axes > ALL_AXES) return PF_STATUS_BAD_VALUE;
    for (int i = 0; i < PF_N_AXES; i++) {
        if (!(request->axes >> i & 1)) continue;
        status = axis_refusal(board, i, request->target_steps[i], request->speed_steps_per_s[i],
                              request->accel_steps_per_s2[i], 1);
        if (status != PF_STATUS_OK) return status;
    }
    begin_motion(board, request->move_id, request->axes);
    for (int i = 0; i < PF_N_AXES; i++) {
        if (!(request->axes >> i & 1)) continue;
        begin_leg(board, i, request->target_steps[i], request->speed_steps_per_s[i], request->accel_steps_per_s2[i]);
    }
    return PF_STATUS_OK;
}

uint8_t pf_motion_keep(pf_board *board, const pf_way_point *request) {
    uint8_t status;
    if (board->faults & PF_FAULT_ESTOP) return PF_STATUS_ESTOP;
    if (board->faults & PF_FAULT_WATCHDOG) return PF_STATUS_WATCHDOG;
    if (board->motion.is_active) return PF_STATUS_BUSY;
    if ((request->index != 0 && request->index != board->n_way_points) || request->index >= PF_N_WAY_POINTS) {
        return PF_STATUS_BAD_VALUE;
    }
    status = axis_refusal(board, Z, request->z_steps, request->z_speed_steps_per_s, request->z_accel_steps_per_s2, 0);
    if (status != PF_STATUS_OK) return status;
    board->way_points[request->index] = *request;
    board->n_way_points = (uint8_t)(request->index + 1);
    return PF_STATUS_OK;
}

/* Whether the way points that are kept lie one after the other on the way to a target. */
static int are_in_order(const pf_board *board, int is_up, int32_t target) {
    for (int k = 0; k < board->n_way_points; k++) {
        const int32_t at = board->way_points[k].at_steps;
        const int32_t next = k + 1 < board->n_way_points ? board->way_points[k + 1].at_steps : target;
        if (is_up ? at > next : at < next) return 0;
    }
    return 1;
}

uint8_t pf_motion_sweep(pf_board *board, const pf_sweep *request) {
    const uint8_t n_legs = board->n_way_points;
    const int i = pf_single_axis(request->axes);
    uint8_t status = refusal(board, request->move_id);
    if (status != PF_STATUS_OK) return status;
    if (i < 0 || i == Z) return PF_STATUS_BAD_VALUE;
    status = axis_refusal(board, i, request->target_steps, request->speed_steps_per_s, request->accel_steps_per_s2, 0);
    if (status != PF_STATUS_OK) return status;
    if (n_legs == 0 || request->count != n_legs) return PF_STATUS_WAY_POINTS; /* none is kept unless Z is homed */
    if (!are_in_order(board, request->target_steps >= board->axis[i].pos_steps, request->target_steps)) {
        return PF_STATUS_BAD_VALUE;
    }
    begin_motion(board, request->move_id, (uint8_t)(request->axes | PF_AXIS_BIT_Z));
    board->motion.lead = (uint8_t)i;
    board->motion.n_legs = n_legs;
    begin_leg(board, i, request->target_steps, request->speed_steps_per_s, request->accel_steps_per_s2);
    return PF_STATUS_OK;
}

uint8_t pf_motion_home(pf_board *board, const pf_home *request) {
    const int i = pf_single_axis(request->axes);
    uint8_t status = refusal(board, request->move_id);
    if (status != PF_STATUS_OK) return status;
    if (i < 0) return PF_STATUS_BAD_VALUE;
    if (request->slow_steps_per_s == 0 || request->slow_steps_per_s > request->fast_steps_per_s) {
        return PF_STATUS_BAD_VALUE;
    }
    status = rates_refusal(&board->config->axis[i], request->fast_steps_per_s, request->accel_steps_per_s2);
    if (status != PF_STATUS_OK) return status;
    begin_motion(board, request->move_id, request->axes);
    if (!(board->motors & request->axes)) pf_hal_motor(board->hal, i, 1);
    board->motors |= request->axes;
    forget_homing(board, request->axes);
    board->motion.is_homing = 1;
    board->motion.home_axis = (uint8_t)i;
    board->motion.fast = request->fast_steps_per_s;
    board->motion.slow = request->slow_steps_per_s;
    board->motion.accel = request->accel_steps_per_s2;
    pf_homing_begin(board, i);
    return PF_STATUS_OK;
}

static void switch_off(pf_board *board, uint8_t axes) {
    for (int i = 0; i < PF_N_AXES; i++) {
        if (axes & board->motors & (1u << i)) pf_hal_motor(board->hal, i, 0);
    }
    board->motors &= (uint8_t)~axes;
    forget_homing(board, axes); /* nothing holds them: the counters have lost their meaning */
}

uint8_t pf_motion_motors(pf_board *board, const pf_motors *request) {
    if (board->faults & PF_FAULT_ESTOP) return PF_STATUS_ESTOP;
    if (request->axes > ALL_AXES) return PF_STATUS_BAD_VALUE;
    if (board->motion.is_active) return PF_STATUS_BUSY;
    switch_off(board, (uint8_t)(ALL_AXES & ~request->axes));
    for (int i = 0; i < PF_N_AXES; i++) {
        if (request->axes & ~board->motors & (1u << i)) pf_hal_motor(board->hal, i, 1);
    }
    board->motors = request->axes;
    return PF_STATUS_OK;
}

void pf_motion_break_off(pf_board *board, uint8_t result) {
    pf_motion *motion = &board->motion;
    const uint64_t now_us = pf_hal_now_us(board->hal);
    board->n_way_points = 0;
    if (!motion->is_active || motion->result == PF_MOVE_RESULT_STOPPED ||
        motion->result == PF_MOVE_RESULT_WATCHDOG) {
        return; /* it decelerates already */
    }
    if (motion->result != PF_MOVE_RESULT_LIMIT_SWITCH) motion->result = result; /* one axis may stand on a switch */
    for (int i = 0; i < PF_N_AXES; i++) {
        pf_axis *axis = &board->axis[i];
        if (axis->mode == PF_AT_REST) continue;
        if (axis->mode == PF_WAITING) {
            pf_axis_rest(board, i, now_us);
        } else { /* a homing may stand on its switch */
            pf_axis_brake(board, axis, now_us, motion->is_homing ? PF_STOPPING : axis->mode);
        }
    }
    motion->is_homing = 0;
    pf_motion_follow(board);
}

void pf_motion_estop(pf_board *board) {
    const uint64_t now_us = pf_hal_now_us(board->hal);
    for (int i = 0; i < PF_N_AXES; i++) pf_axis_rest(board, i, now_us);
    board->motion.is_homing = 0;
    if (board->motion.is_active) board->motion.result = PF_MOVE_RESULT_ESTOP;
    switch_off(board, ALL_AXES);
    board->faults |= PF_FAULT_ESTOP;
    pf_motion_follow(board);
}
