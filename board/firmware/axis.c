/* One axis, as the main loop sees it: legs begin, decelerate and end here, and the times of their steps are computed.
 *
 * The alarm goes on stepping meanwhile. So all computing is done first; what the alarm reads changes in one go, under
 * the lock, which is held for a microsecond or two. */
#include "board.h"

/* Computed before a leg begins or changes. At 20,000 steps/s they last 0.8 ms: long enough to do the same with the
 * other axes. */
#define N_FIRST 16u

uint64_t pf_board_past_us(const pf_board *board, uint32_t low_us) {
    const uint64_t now_us = pf_hal_now_us(board->hal);
    return now_us - (uint32_t)((uint32_t)now_us - low_us);
}

/* Compute the times of steps from `first` on into the queue that the alarm does not use. Returns how many, 0 at the end
 * of the leg. The time of the first goes to `edge_us`, since the start of the leg. */
static uint32_t compute(pf_axis *axis, uint32_t first, uint64_t *edge_us) {
    pf_ahead *fresh = &axis->queues[axis->ahead == axis->queues];
    uint32_t n = 1;
    if (first > axis->leg.n_steps) return 0;
    *edge_us = pf_leg_edge_us(&axis->leg, first);
    pf_ahead_start(fresh, *edge_us);
    for (; n < N_FIRST && first + n <= axis->leg.n_steps; n++) {
        pf_ahead_push(fresh, pf_leg_edge_us(&axis->leg, first + n));
    }
    return n;
}

/* Give the alarm what was computed, without the first `n_gone` steps. Under the lock. */
static void hand_over(pf_board *board, pf_axis *axis, uint64_t edge_us, uint32_t n_gone) {
    axis->ahead = &axis->queues[axis->ahead == axis->queues];
    axis->next_us = (uint32_t)(axis->start_us + edge_us);
    while (n_gone--) axis->next_us += (uint32_t)pf_ahead_take(axis->ahead);
    axis->run = PF_RUNS;
    board->is_alarm_stale = 1;
}

void pf_axis_begin(pf_board *board, int i, uint8_t mode, int8_t sign, uint32_t n_steps, uint32_t speed,
                   uint32_t accel) {
    pf_axis *axis = &board->axis[i];
    const int end = mode == PF_SEEKING_UP || sign < 0 ? PF_LOWER_END : PF_UPPER_END;
    const int is_pressed = pf_hal_is_pressed(board->hal, i, end);
    const int is_there = mode == PF_SEEKING_UP ? !is_pressed : is_pressed;
    uint64_t edge_us = 0;
    pf_hal_contact(board->hal, i, end); /* what happened before this leg is forgotten */
    pf_hal_direction(board->hal, i, sign);
    axis->mode = mode;
    axis->sign = sign;
    axis->n_done = 0;
    axis->is_contact_found = is_there && (mode != PF_MOVING || n_steps);
    pf_leg_plan(&axis->leg, is_there ? 0 : n_steps, speed, accel);
    axis->n_steps = axis->leg.n_steps;
    axis->n_leaving = (uint32_t)(((uint64_t)board->config->axis[i].bounce_us * speed + 999999) / 1000000);
    if (compute(axis, 1, &edge_us) == 0) { /* it stands where the leg should end: no step */
        axis->end_us = pf_hal_low_us(board->hal);
        axis->run = PF_LEG_ENDED;
        return;
    }
    axis->start_us = pf_hal_now_us(board->hal);
    pf_hal_lock(board->hal);
    hand_over(board, axis, edge_us, 0);
    pf_hal_unlock(board->hal);
}

/* Give the alarm what the leg is like by now, or return 0: it has made more steps than were computed. */
static int replan(pf_board *board, pf_axis *axis, uint8_t mode) {
    uint64_t edge_us = 0;
    const uint32_t first = axis->n_done + 1, n = compute(axis, first, &edge_us);
    uint32_t n_gone;
    int is_done = 1;
    pf_hal_lock(board->hal);
    if (axis->run == PF_RUNS || axis->run == PF_OUT_OF_STEPS) {
        n_gone = axis->n_done + 1 - first;
        axis->mode = mode;
        if (axis->n_steps > axis->leg.n_steps) axis->n_steps = axis->leg.n_steps;
        if (axis->n_done >= axis->n_steps) {
            axis->end_us = pf_hal_low_us(board->hal);
            axis->run = PF_LEG_ENDED;
        } else if (n_gone < n) {
            hand_over(board, axis, edge_us, n_gone);
        } else {
            is_done = 0;
        }
    }
    pf_hal_unlock(board->hal);
    return is_done;
}

void pf_axis_brake(pf_board *board, pf_axis *axis, uint64_t since_us, uint8_t mode) {
    pf_leg_stop(&axis->leg, since_us - axis->start_us);
    while (!replan(board, axis, mode)) {
    }
}

void pf_axis_resume(pf_board *board, pf_axis *axis) {
    const uint64_t due_us = axis->start_us + pf_leg_edge_us(&axis->leg, axis->n_done + 1);
    const uint64_t now_us = pf_hal_now_us(board->hal);
    if (now_us > due_us) axis->start_us += now_us - due_us; /* late, and never faster than its motor follows */
    replan(board, axis, axis->mode);
}

void pf_axis_wait(pf_board *board, pf_axis *axis, uint32_t duration_us) {
    axis->mode = PF_WAITING;
    axis->next_us = pf_hal_low_us(board->hal) + duration_us;
    axis->run = PF_RUNS;
    board->is_alarm_stale = 1;
}

void pf_axis_rest(pf_board *board, int i, uint64_t since_us) {
    pf_axis *axis = &board->axis[i];
    pf_hal_lock(board->hal);
    axis->run = PF_HALTED;
    axis->mode = PF_AT_REST;
    pf_hal_unlock(board->hal);
    if (since_us > board->motion.end_us) board->motion.end_us = since_us;
}

int pf_axis_look_ahead(pf_board *board, pf_axis *axis) {
    uint64_t edge_us;
    uint32_t step;
    int has_room;
    if (axis->run != PF_RUNS || axis->mode == PF_WAITING) return 0;
    pf_hal_lock(board->hal);
    step = axis->n_done + 2 + axis->ahead->n; /* the first that is neither next nor in the queue */
    has_room = axis->ahead->n < PF_N_AHEAD && step <= axis->n_steps;
    pf_hal_unlock(board->hal);
    if (!has_room) return 0;
    edge_us = pf_leg_edge_us(&axis->leg, step);
    pf_hal_lock(board->hal);
    if (axis->run == PF_RUNS) pf_ahead_push(axis->ahead, edge_us); /* else the alarm has come to this step */
    pf_hal_unlock(board->hal);
    return 1;
}
