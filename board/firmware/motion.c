/* Moves and homing: one motion at a time, of one or more axes, each running leg after leg in the alarm. */
#include "board.h"

#define ALL_AXES (PF_AXIS_BIT_X | PF_AXIS_BIT_Y | PF_AXIS_BIT_Z)

/* What most steps do not need: kept out of the way of what they all do. */
#define COLD __attribute__((noinline, cold))

/* The compiler shall reach the members of a struct from its own address, not from one far away. */
#define KEEP_IN_REGISTER(pointer) __asm__("" : "+r"(pointer))

static COLD void end_leg(pf_board *board, int i);

/* --- one leg of one axis */

/* Compute the time of the coming step: at the start of a leg, after a change, and when the queue is empty. */
static COLD void schedule(pf_axis *axis) {
    axis->ahead.last_us = pf_leg_edge_us(&axis->leg, axis->n_done + 1);
    axis->next_us = (uint32_t)(axis->start_us + axis->ahead.last_us);
}

static int is_stepping(const pf_axis *axis) { return axis->mode != PF_AT_REST && axis->mode != PF_WAITING; }

/* The first step that is neither scheduled nor in the queue. */
static uint32_t next_unplanned(const pf_axis *axis) { return axis->n_done + 2 + axis->ahead.n; }

static void look_ahead(pf_board *board, pf_axis *axis) {
    pf_leg leg;
    uint32_t step;
    uint8_t plan;
    if (!is_stepping(axis) || axis->ahead.n == PF_N_AHEAD) return; /* the usual case, and looked at again below */
    pf_hal_lock(board->hal);
    leg = axis->leg;
    plan = axis->ahead.plan;
    step = next_unplanned(axis);
    pf_hal_unlock(board->hal);
    for (; step <= leg.n_steps; step++) {
        const uint64_t edge_us = pf_leg_edge_us(&leg, step);
        int is_wanted;
        pf_hal_lock(board->hal);
        /* The alarm may have ended or changed the leg meanwhile, or have come to this step itself. */
        is_wanted = plan == axis->ahead.plan && is_stepping(axis) && axis->ahead.n < PF_N_AHEAD &&
                    step == next_unplanned(axis);
        if (is_wanted) {
            pf_ahead_push(&axis->ahead, edge_us);
            axis->leg.root = leg.root;
        }
        pf_hal_unlock(board->hal);
        if (!is_wanted) break;
    }
}

void pf_motion_look_ahead(pf_board *board) {
    for (int i = 0; i < PF_N_AXES; i++) look_ahead(board, &board->axis[i]);
}

static void begin_leg(pf_board *board, int i, uint8_t mode, int8_t sign, uint32_t n_steps, uint32_t speed,
                      uint32_t accel) {
    pf_axis *axis = &board->axis[i];
    const uint64_t now_us = pf_hal_now_us(board->hal);
    const int end = mode == PF_SEEKING_UP || sign < 0 ? PF_LOWER_END : PF_UPPER_END;
    const int is_pressed = pf_hal_is_pressed(board->hal, i, end);
    pf_hal_contact(board->hal, i, end); /* what happened before this leg is forgotten */
    axis->mode = mode;
    axis->sign = sign;
    axis->n_done = 0;
    axis->start_us = now_us;
    axis->is_contact_found = 0;
    pf_ahead_clear(&axis->ahead);
    pf_leg_plan(&axis->leg, n_steps, speed, accel);
    if (mode == PF_SEEKING_UP ? !is_pressed : is_pressed) {
        /* It stands where the leg should end: no step. */
        axis->is_contact_found = 1;
        axis->leg.n_steps = 0;
        if (mode == PF_MOVING && n_steps) board->motion.result = PF_MOVE_RESULT_LIMIT_SWITCH;
    }
    if (axis->leg.n_steps == 0) {
        end_leg(board, i);
    } else {
        schedule(axis);
    }
}

static void rest(pf_axis *axis) { axis->mode = PF_AT_REST; }

static void stop_leg(pf_axis *axis, uint64_t now_us) {
    pf_leg_stop(&axis->leg, now_us - axis->start_us);
    pf_ahead_clear(&axis->ahead);
}

/* Look at the switch after a step of a homing; whether the leg has ended. */
static COLD int sense_homing(pf_board *board, int i) {
    pf_axis *axis = &board->axis[i];
    switch (axis->mode) {
        case PF_SEEKING_DOWN:
            if (axis->is_contact_found || !(pf_hal_contact(board->hal, i, PF_LOWER_END) & PF_WAS_CLOSED)) break;
            axis->is_contact_found = 1;
            stop_leg(axis, pf_hal_now_us(board->hal));
            break;
        case PF_SEEKING_UP:
            if (!(pf_hal_contact(board->hal, i, PF_LOWER_END) & PF_WAS_OPEN)) break;
            axis->is_contact_found = 1;
            axis->mode = PF_LEAVING; /* some steps more, until the contact has stopped bouncing */
            board->motion.first_edge = board->motion.second_edge;
            board->motion.second_edge = axis->pos_steps;
            axis->leg.n_steps = axis->n_done + (uint32_t)(((uint64_t)board->config->axis[i].bounce_us *
                                                           board->motion.slow + 999999) / 1000000);
            pf_ahead_clear(&axis->ahead);
            break;
        default:
            break;
    }
    return axis->n_done >= axis->leg.n_steps;
}

/* Look at the switch ahead after a step of a move; whether the leg has ended. */
static inline int sense(pf_board *board, const pf_axis *axis, int i) {
    const unsigned ahead = axis->sign > 0 ? pf_hal_contact(board->hal, i, PF_UPPER_END)
                                          : pf_hal_contact(board->hal, i, PF_LOWER_END);
    if (ahead & PF_WAS_CLOSED) {
        board->motion.result = PF_MOVE_RESULT_LIMIT_SWITCH;
        return 1;
    }
    return axis->n_done >= axis->leg.n_steps;
}

/* What follows from a step that was just made. */
static inline void after_step(pf_board *board, pf_axis *axis, int i) {
    axis->pos_steps += axis->sign;
    axis->n_done++;
    if (board->lamp.axes >> i & 1) pf_lamp_at_step(board, i);
    if (axis->mode == PF_MOVING ? sense(board, axis, i) : sense_homing(board, i)) {
        end_leg(board, i);
    } else if (axis->ahead.n) {
        axis->next_us += (uint32_t)pf_ahead_take(&axis->ahead);
    } else {
        schedule(axis);
    }
}

/* --- homing */

static void fail_homing(pf_board *board, int i, uint16_t fault) {
    board->faults |= fault;
    board->motion.result = PF_MOVE_RESULT_HOME_FAILED;
    board->motion.is_homing = 0;
    rest(&board->axis[i]);
}

static void seek_up(pf_board *board, int i) {
    const pf_motion *motion = &board->motion;
    const uint64_t accel = (uint64_t)motion->slow * motion->slow; /* at this speed it starts within one step */
    begin_leg(board, i, PF_SEEKING_UP, 1, board->config->axis[i].off_steps, motion->slow,
              accel < UINT32_MAX ? (uint32_t)accel : UINT32_MAX);
}

static void seek_down(pf_board *board, int i, uint32_t n_steps, uint32_t speed) {
    begin_leg(board, i, PF_SEEKING_DOWN, -1, n_steps, speed, board->motion.accel);
}

static void to_zero(pf_board *board, int i) {
    pf_motion *motion = &board->motion;
    const int32_t zero = motion->second_edge - board->config->axis[i].switch_steps;
    const int32_t delta = zero - board->axis[i].pos_steps;
    const int32_t spread = motion->second_edge - motion->first_edge;
    motion->spread_steps = (uint16_t)(spread < 0 ? -spread : spread);
    begin_leg(board, i, PF_MOVING, delta < 0 ? -1 : 1, (uint32_t)(delta < 0 ? -delta : delta), motion->fast,
              motion->accel);
}

static void next_phase(pf_board *board, int i) {
    pf_axis *axis = &board->axis[i];
    pf_motion *motion = &board->motion;
    const pf_axis_config *config = &board->config->axis[i];
    if (motion->home_phase == PF_HOME_TO_ZERO) {
        if (motion->result == PF_MOVE_RESULT_LIMIT_SWITCH) {
            fail_homing(board, i, 0);
        } else {
            rest(axis);
        }
        return;
    }
    if (axis->mode == PF_SEEKING_UP) {
        fail_homing(board, i, PF_FAULT_STUCK_SWITCH); /* it did not open, or it was open where it was just pressed */
        return;
    }
    if (axis->mode == PF_SEEKING_DOWN) {
        if (!axis->is_contact_found) {
            fail_homing(board, i, 0);
            return;
        }
        axis->mode = PF_WAITING; /* until the contact has stopped bouncing */
        axis->next_us = pf_hal_low_us(board->hal) + config->bounce_us + 1;
        return;
    }
    motion->home_phase++;
    switch (motion->home_phase) {
        case PF_HOME_FAST_DOWN:
            seek_down(board, i, config->whole_steps, motion->fast);
            break;
        case PF_HOME_FIRST_UP:
        case PF_HOME_SECOND_UP:
            seek_up(board, i);
            break;
        case PF_HOME_SLOW_DOWN:
            seek_down(board, i, 2 * config->edge_steps, motion->slow);
            break;
        default:
            to_zero(board, i);
            break;
    }
}

static COLD void end_leg(pf_board *board, int i) {
    pf_motion *motion = &board->motion;
    if (motion->is_homing) {
        next_phase(board, i);
    } else {
        rest(&board->axis[i]);
    }
}

/* --- the motion */

static void forget_homing(pf_board *board, uint8_t axes) {
    board->homed &= (uint8_t)~axes;
    pf_lamp_disarm(board, axes);
}

static void begin_motion(pf_board *board, uint32_t move_id, uint8_t axes) {
    board->motion = (pf_motion){.is_active = 1, .axes = axes, .result = PF_MOVE_RESULT_DONE, .move_id = move_id};
    board->last_move_id = move_id;
    board->last_result = PF_MOVE_RESULT_RUNNING;
    board->n_motions++;
}

void pf_motion_end_if_at_rest(pf_board *board, uint64_t now_us) {
    pf_motion *motion = &board->motion;
    if (!motion->is_active) return;
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
    board->done = (pf_move_done){.board_time_us = now_us - board->start_us, .move_id = motion->move_id,
                                 .result = motion->result};
    if (motion->result == PF_MOVE_RESULT_DONE) board->done.spread_steps = motion->spread_steps;
    for (int i = 0; i < PF_N_AXES; i++) board->done.pos_steps[i] = board->axis[i].pos_steps;
    board->has_done = 1;
}

/* The loops are unrolled: with a number for each axis the pins and addresses of the port become constants.
 *
 * At most two axes step in one alarm. A third has its alarm at once after it: so none lasts long. */
int32_t pf_motion_run(pf_board *board, uint32_t now_us) {
    int32_t first_us = PF_NO_STEP;
    unsigned due = 0;
#pragma GCC unroll 3
    for (int i = 0; i < PF_N_AXES; i++) { /* all edges first, each as near to its time as can be */
        pf_axis *axis = &board->axis[i];
        KEEP_IN_REGISTER(axis);
        if (due & (due - 1)) break;
        if (axis->mode == PF_AT_REST || (int32_t)(axis->next_us - now_us) > 0) continue;
        if (axis->mode != PF_WAITING) pf_hal_step(board->hal, i, axis->sign);
        due |= 1u << i;
    }
#pragma GCC unroll 3
    for (int i = 0; i < PF_N_AXES; i++) {
        pf_axis *axis = &board->axis[i];
        int32_t left_us;
        KEEP_IN_REGISTER(axis);
        if (due & 1u << i) {
            if (axis->mode == PF_WAITING) {
                end_leg(board, i);
            } else {
                after_step(board, axis, i);
            }
        }
        left_us = (int32_t)(axis->next_us - now_us);
        if (axis->mode != PF_AT_REST && left_us < first_us) first_us = left_us;
    }
    return first_us;
}

int32_t pf_motion_left_us(const pf_board *board, uint32_t now_us) {
    int32_t first_us = PF_NO_STEP;
    for (int i = 0; i < PF_N_AXES; i++) {
        const pf_axis *axis = &board->axis[i];
        const int32_t left_us = (int32_t)(axis->next_us - now_us);
        if (axis->mode != PF_AT_REST && left_us < first_us) first_us = left_us;
    }
    return first_us;
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

static uint8_t axis_refusal(const pf_board *board, int i, const pf_move_abs *request) {
    const pf_axis_config *config = &board->config->axis[i];
    const int32_t target = request->target_steps[i];
    const uint32_t speed = request->speed_steps_per_s[i];
    int64_t delta;
    uint8_t status;
    if (!(board->motors >> i & 1)) return PF_STATUS_MOTOR_OFF;
    status = rates_refusal(config, speed, request->accel_steps_per_s2[i]);
    if (status != PF_STATUS_OK) return status;
    if (board->homed >> i & 1) return target < 0 || target > config->max_steps ? PF_STATUS_LIMIT : PF_STATUS_OK;
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
        status = axis_refusal(board, i, request);
        if (status != PF_STATUS_OK) return status;
    }
    begin_motion(board, request->move_id, request->axes);
    for (int i = 0; i < PF_N_AXES; i++) {
        int32_t delta;
        if (!(request->axes >> i & 1)) continue;
        delta = request->target_steps[i] - board->axis[i].pos_steps;
        begin_leg(board, i, PF_MOVING, delta < 0 ? -1 : 1, (uint32_t)(delta < 0 ? -delta : delta),
                  request->speed_steps_per_s[i], request->accel_steps_per_s2[i]);
    }
    return PF_STATUS_OK;
}

uint8_t pf_motion_home(pf_board *board, const pf_home *request) {
    uint8_t status = refusal(board, request->move_id);
    int i;
    if (status != PF_STATUS_OK) return status;
    switch (request->axes) {
        case PF_AXIS_BIT_X: i = 0; break;
        case PF_AXIS_BIT_Y: i = 1; break;
        case PF_AXIS_BIT_Z: i = 2; break;
        default: return PF_STATUS_BAD_VALUE;
    }
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
    board->motion.home_phase = PF_HOME_OFF;
    if (pf_hal_is_pressed(board->hal, i, PF_LOWER_END)) {
        seek_up(board, i);
    } else {
        next_phase(board, i);
    }
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
    if (!motion->is_active || motion->result == PF_MOVE_RESULT_STOPPED ||
        motion->result == PF_MOVE_RESULT_WATCHDOG) {
        return; /* it decelerates already */
    }
    if (motion->result != PF_MOVE_RESULT_LIMIT_SWITCH) motion->result = result; /* one axis may stand on a switch */
    for (int i = 0; i < PF_N_AXES; i++) {
        pf_axis *axis = &board->axis[i];
        if (axis->mode == PF_AT_REST) continue;
        if (axis->mode != PF_WAITING) stop_leg(axis, now_us);
        if (axis->mode == PF_WAITING || axis->n_done >= axis->leg.n_steps) {
            rest(axis);
        } else {
            if (motion->is_homing) axis->mode = PF_STOPPING; /* it may stand on its switch */
            schedule(axis);
        }
    }
    motion->is_homing = 0;
}

void pf_motion_estop(pf_board *board) {
    for (int i = 0; i < PF_N_AXES; i++) rest(&board->axis[i]);
    board->motion.is_homing = 0;
    if (board->motion.is_active) board->motion.result = PF_MOVE_RESULT_ESTOP;
    switch_off(board, ALL_AXES);
    board->faults |= PF_FAULT_ESTOP;
}
