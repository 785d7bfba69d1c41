/* Steps: what the alarm does with the axes. It takes times from the queue and computes none. */
#include "board.h"

/* What most steps do not need: kept out of the way of what they all do. */
#define COLD __attribute__((noinline, cold))

/* The compiler shall reach the members of a struct from its own address, not from one far away. */
#define KEEP_IN_REGISTER(pointer) __asm__("" : "+r"(pointer))

static inline int is_over(const pf_axis *axis) { return axis->n_done >= axis->n_steps; }

/* Look at the switch after a step of a homing; whether the leg has ended. */
static COLD int sense_homing(pf_board *board, pf_axis *axis, int i) {
    switch (axis->mode) {
        case PF_SEEKING_DOWN:
            if (axis->is_contact_found || !(pf_hal_contact(board->hal, i, PF_LOWER_END) & PF_WAS_CLOSED)) break;
            axis->is_contact_found = 1; /* the main loop brakes */
            axis->contact_us = pf_hal_low_us(board->hal);
            break;
        case PF_SEEKING_UP:
            if (!(pf_hal_contact(board->hal, i, PF_LOWER_END) & PF_WAS_OPEN)) break;
            axis->is_contact_found = 1;
            axis->mode = PF_LEAVING; /* some steps more, until the contact has stopped bouncing */
            axis->edge_steps = axis->pos_steps;
            if (axis->n_steps - axis->n_done > axis->n_leaving) axis->n_steps = axis->n_done + axis->n_leaving;
            break;
        default:
            break;
    }
    return is_over(axis);
}

/* Look at the switch ahead after a step of a move; whether the leg has ended. */
static inline int sense(pf_board *board, pf_axis *axis, int i) {
    const unsigned ahead = axis->sign > 0 ? pf_hal_contact(board->hal, i, PF_UPPER_END)
                                          : pf_hal_contact(board->hal, i, PF_LOWER_END);
    if (!(ahead & PF_WAS_CLOSED)) return is_over(axis);
    axis->is_contact_found = 1;
    return 1;
}

/* What follows from a step that was just made. */
static inline void after_step(pf_board *board, pf_axis *axis, int i) {
    axis->pos_steps += axis->sign;
    axis->n_done++;
    if (board->lamp.axes >> i & 1) pf_lamp_at_step(board, i);
    if (axis->mode == PF_MOVING ? sense(board, axis, i) : sense_homing(board, axis, i)) {
        axis->end_us = pf_hal_low_us(board->hal);
        axis->run = PF_LEG_ENDED;
    } else if (axis->ahead->n) {
        axis->next_us += (uint32_t)pf_ahead_take(axis->ahead);
    } else {
        axis->run = PF_OUT_OF_STEPS;
    }
}

/* The loops are unrolled: with a number for each axis the pins and addresses of the port become constants.
 *
 * At most two axes step in one alarm. A third has its alarm at once after it: so none lasts long. */
int32_t pf_steps_run(pf_board *board, uint32_t now_us) {
    int32_t first_us = PF_NO_STEP;
    unsigned due = 0;
#pragma GCC unroll 3
    for (int i = 0; i < PF_N_AXES; i++) { /* all edges first, each as near to its time as can be */
        pf_axis *axis = &board->axis[i];
        KEEP_IN_REGISTER(axis);
        if (due & (due - 1)) break;
        if (axis->run != PF_RUNS || (int32_t)(axis->next_us - now_us) > 0) continue;
        if (axis->mode != PF_WAITING) pf_hal_step(board->hal, i);
        due |= 1u << i;
    }
#pragma GCC unroll 3
    for (int i = 0; i < PF_N_AXES; i++) {
        pf_axis *axis = &board->axis[i];
        int32_t left_us;
        KEEP_IN_REGISTER(axis);
        if (due & 1u << i) {
            if (axis->mode == PF_WAITING) {
                axis->end_us = now_us;
                axis->run = PF_LEG_ENDED;
            } else {
                after_step(board, axis, i);
            }
        }
        left_us = (int32_t)(axis->next_us - now_us);
        if (axis->run == PF_RUNS && left_us < first_us) first_us = left_us;
    }
    return first_us;
}

int32_t pf_steps_left_us(const pf_board *board, uint32_t now_us) {
    int32_t first_us = PF_NO_STEP;
    for (int i = 0; i < PF_N_AXES; i++) {
        const pf_axis *axis = &board->axis[i];
        const int32_t left_us = (int32_t)(axis->next_us - now_us);
        if (axis->run == PF_RUNS && left_us < first_us) first_us = left_us;
    }
    return first_us;
}
