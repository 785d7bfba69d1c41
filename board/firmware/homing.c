/* Homing: down to the switch and up off it, fast and then slowly, then to zero. */
#include "board.h"

static void fail(pf_board *board, int i, uint16_t fault) {
    board->faults |= fault;
    board->motion.result = PF_MOVE_RESULT_HOME_FAILED;
    board->motion.is_homing = 0;
    pf_axis_rest(board, i, pf_board_past_us(board, board->axis[i].end_us));
}

static void seek_up(pf_board *board, int i) {
    const pf_motion *motion = &board->motion;
    const uint64_t accel = (uint64_t)motion->slow * motion->slow; /* at this speed it starts within one step */
    pf_axis_begin(board, i, PF_SEEKING_UP, 1, board->config->axis[i].off_steps, motion->slow,
                  accel < UINT32_MAX ? (uint32_t)accel : UINT32_MAX);
}

static void seek_down(pf_board *board, int i, uint32_t n_steps, uint32_t speed) {
    pf_axis_begin(board, i, PF_SEEKING_DOWN, -1, n_steps, speed, board->motion.accel);
}

static void to_zero(pf_board *board, int i) {
    pf_motion *motion = &board->motion;
    const int32_t zero = motion->second_edge - board->config->axis[i].switch_steps;
    const int32_t delta = zero - board->axis[i].pos_steps;
    const int32_t spread = motion->second_edge - motion->first_edge;
    motion->spread_steps = (uint16_t)(spread < 0 ? -spread : spread);
    pf_axis_begin(board, i, PF_MOVING, delta < 0 ? -1 : 1, (uint32_t)(delta < 0 ? -delta : delta), motion->fast,
                  motion->accel);
}

static void begin_next(pf_board *board, int i) {
    const pf_axis_config *config = &board->config->axis[i];
    board->motion.home_phase++;
    switch (board->motion.home_phase) {
        case PF_HOME_FAST_DOWN:
            seek_down(board, i, config->whole_steps, board->motion.fast);
            break;
        case PF_HOME_FIRST_UP:
        case PF_HOME_SECOND_UP:
            seek_up(board, i);
            break;
        case PF_HOME_SLOW_DOWN:
            seek_down(board, i, 2 * config->edge_steps, board->motion.slow);
            break;
        default:
            to_zero(board, i);
            break;
    }
}

void pf_homing_begin(pf_board *board, int i) {
    board->motion.home_phase = PF_HOME_OFF;
    if (pf_hal_is_pressed(board->hal, i, PF_LOWER_END)) {
        seek_up(board, i);
    } else {
        begin_next(board, i);
    }
}

void pf_homing_next(pf_board *board, int i) {
    pf_axis *axis = &board->axis[i];
    pf_motion *motion = &board->motion;
    switch (axis->mode) {
        case PF_MOVING: /* to zero */
            if (motion->result == PF_MOVE_RESULT_LIMIT_SWITCH) {
                fail(board, i, 0);
            } else {
                pf_axis_rest(board, i, pf_board_past_us(board, axis->end_us));
            }
            break;
        case PF_SEEKING_UP: /* it did not open, or it was open where it was just pressed */
            fail(board, i, PF_FAULT_STUCK_SWITCH);
            break;
        case PF_SEEKING_DOWN:
        case PF_BRAKING:
            if (axis->is_contact_found) { /* wait until the contact has stopped bouncing */
                pf_axis_wait(board, axis, board->config->axis[i].bounce_us + 1);
            } else {
                fail(board, i, 0);
            }
            break;
        case PF_LEAVING:
            motion->first_edge = motion->second_edge;
            motion->second_edge = axis->edge_steps;
            begin_next(board, i);
            break;
        default:
            begin_next(board, i);
            break;
    }
}
