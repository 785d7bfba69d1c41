#include "virtual.h"

#include <stdlib.h>

#define N_EDGES 1024
#define SOON_US 5000u

typedef struct {
    uint64_t times_us[N_EDGES];
    int n, direction;
    uint32_t n_quiet; /* steps more for which the switches stay as they are */
} edges;

struct pf_hal {
    pf_outside calls;
    void *outside;
    uint64_t now_us, alarm_us;
    uint32_t boot_id, unit_serial;
    uint8_t reset_cause;
    uint64_t busy_until_us;
    int is_estop_pressed, is_locked;
    const uint8_t *input;
    int n_input;
    edges axis[PF_N_AXES];
};

struct pf_virtual {
    pf_hal hal; /* first: a pf_hal is its pf_virtual */
    pf_config config;
    pf_board board;
};

static void hand_over(pf_hal *hal, int axis) {
    edges *held = &hal->axis[axis];
    if (held->n == 0) return;
    held->n_quiet = hal->calls.steps(hal->outside, axis, held->direction, held->times_us, held->n);
    held->n = 0;
}

/* --- hal.h */

uint64_t pf_hal_now_us(pf_hal *hal) { return hal->now_us; }
uint32_t pf_hal_low_us(pf_hal *hal) { return (uint32_t)hal->now_us; }

void pf_hal_set_alarm(pf_hal *hal, uint32_t at_us) {
    hal->alarm_us = hal->now_us + (uint64_t)(int64_t)(int32_t)(at_us - (uint32_t)hal->now_us);
}

void pf_hal_lock(pf_hal *hal) {
    if (hal->is_locked++) abort(); /* nested: a port may not count */
}

void pf_hal_unlock(pf_hal *hal) {
    if (--hal->is_locked) abort();
}

void pf_hal_direction(pf_hal *hal, int axis, int direction) {
    edges *held = &hal->axis[axis];
    if (held->direction == direction) return;
    hand_over(hal, axis);
    held->direction = direction;
    held->n_quiet = 0;
}

void pf_hal_step(pf_hal *hal, int axis) {
    edges *held = &hal->axis[axis];
    held->times_us[held->n++] = hal->now_us;
    if (held->n_quiet == 0 || held->n == N_EDGES) {
        hand_over(hal, axis);
    } else {
        held->n_quiet--;
    }
}

unsigned pf_hal_contact(pf_hal *hal, int axis, int end) {
    edges *held = &hal->axis[axis];
    if (held->n_quiet > 0) { /* the switch ahead is open, the one that is being left is closed */
        return end == (held->direction > 0 ? PF_UPPER_END : PF_LOWER_END) ? PF_WAS_OPEN : PF_WAS_CLOSED;
    }
    hand_over(hal, axis);
    return hal->calls.contact(hal->outside, axis, end, hal->now_us);
}

int pf_hal_is_pressed(pf_hal *hal, int axis, int end) {
    hand_over(hal, axis);
    hal->axis[axis].n_quiet = 0; /* a leg may begin: a contact may stick by now */
    return hal->calls.is_pressed(hal->outside, axis, end, hal->now_us);
}

void pf_hal_motor(pf_hal *hal, int axis, int is_on) {
    hand_over(hal, axis);
    hal->axis[axis].n_quiet = 0;
    hal->calls.motor(hal->outside, axis, is_on, hal->now_us);
}

void pf_hal_lamp(pf_hal *hal, unsigned duty) { hal->calls.lamp(hal->outside, duty, hal->now_us); }
void pf_hal_lens(pf_hal *hal, int32_t current_ua) { hal->calls.lens(hal->outside, current_ua, hal->now_us); }
void pf_hal_trigger(pf_hal *hal) { hal->calls.trigger(hal->outside, hal->now_us); }
int pf_hal_estop(pf_hal *hal) { return hal->is_estop_pressed; }

int pf_hal_read(pf_hal *hal, uint8_t *data, int max_bytes) {
    int n_bytes = 0;
    while (n_bytes < max_bytes && hal->n_input > 0) {
        data[n_bytes++] = *hal->input++;
        hal->n_input--;
    }
    return n_bytes;
}

void pf_hal_write(pf_hal *hal, const uint8_t *frame, int n_bytes) {
    if (hal->is_locked) abort(); /* sending may take its time */
    hal->calls.write(hal->outside, frame, n_bytes, hal->now_us);
}

uint32_t pf_hal_boot_id(pf_hal *hal) { return hal->boot_id; }
uint32_t pf_hal_unit_serial(pf_hal *hal) { return hal->unit_serial; }
uint8_t pf_hal_reset_cause(pf_hal *hal) { return hal->reset_cause; }

/* --- virtual.h */

pf_virtual *pf_virtual_new(const pf_config *config, const pf_outside *calls, void *outside, uint64_t now_us,
                           uint32_t boot_id, uint32_t unit_serial, int is_estop_pressed) {
    pf_virtual *virtual = calloc(1, sizeof *virtual);
    if (!virtual) return NULL;
    virtual->config = *config;
    virtual->hal.calls = *calls;
    virtual->hal.outside = outside;
    virtual->hal.now_us = now_us;
    virtual->hal.boot_id = boot_id;
    virtual->hal.unit_serial = unit_serial;
    virtual->hal.is_estop_pressed = is_estop_pressed;
    pf_board_start(&virtual->board, &virtual->config, &virtual->hal);
    return virtual;
}

void pf_virtual_hand_over(pf_virtual *virtual) {
    for (int i = 0; i < PF_N_AXES; i++) hand_over(&virtual->hal, i);
}

void pf_virtual_free(pf_virtual *virtual) { free(virtual); }

void pf_virtual_reset(pf_virtual *virtual, uint32_t boot_id, uint8_t reset_cause) {
    for (int i = 0; i < PF_N_AXES; i++) pf_hal_motor(&virtual->hal, i, 0); /* its pins float */
    virtual->hal.boot_id = boot_id;
    virtual->hal.reset_cause = reset_cause;
    pf_board_start(&virtual->board, &virtual->config, &virtual->hal);
}

void pf_virtual_advance(pf_virtual *virtual, uint64_t until_us) {
    pf_hal *hal = &virtual->hal;
    for (;;) {
        const int is_busy = hal->now_us < hal->busy_until_us;
        const int is_alarm_next = !is_busy || hal->alarm_us < hal->busy_until_us;
        const uint64_t next_us = is_alarm_next ? hal->alarm_us : hal->busy_until_us;
        if (next_us > until_us) break;
        if (next_us > hal->now_us) hal->now_us = next_us;
        if (is_alarm_next) {
            hal->alarm_us = PF_NEVER;
            pf_board_alarm(&virtual->board);
        }
        if (hal->now_us >= hal->busy_until_us) pf_board_poll(&virtual->board);
    }
    if (until_us > hal->now_us) hal->now_us = until_us;
}

void pf_virtual_keep_busy(pf_virtual *virtual, uint64_t until_us) { virtual->hal.busy_until_us = until_us; }

uint64_t pf_virtual_next_event_us(pf_virtual *virtual) {
    const uint64_t soon_us = virtual->hal.now_us + SOON_US;
    uint64_t due_us = pf_board_next_us(&virtual->board);
    for (int i = 0; i < PF_N_AXES; i++) {
        pf_axis *axis = &virtual->board.axis[i];
        uint64_t end_us;
        if (axis->mode == PF_AT_REST) continue;
        end_us = axis->mode == PF_WAITING ? virtual->hal.now_us + (uint64_t)(int64_t)(int32_t)(axis->next_us - (uint32_t)virtual->hal.now_us)
                                          : axis->start_us + pf_leg_edge_us(&axis->leg, axis->n_steps);
        if (end_us > soon_us) end_us = soon_us;
        if (end_us < due_us) due_us = end_us;
    }
    return due_us;
}

void pf_virtual_receive(pf_virtual *virtual, const uint8_t *data, int n_bytes) {
    virtual->hal.input = data;
    virtual->hal.n_input = n_bytes;
    pf_board_poll(&virtual->board);
}

void pf_virtual_drop_input(pf_virtual *virtual) { virtual->board.n_coded = 0; }

void pf_virtual_press_estop(pf_virtual *virtual, int is_pressed) {
    virtual->hal.is_estop_pressed = is_pressed;
    pf_board_poll(&virtual->board);
}

int pf_virtual_state(pf_virtual *virtual, uint8_t *payload) {
    pf_state state;
    pf_board_state(&virtual->board, &state);
    return pf_state_pack(&state, payload);
}

uint32_t pf_virtual_inside(const pf_virtual *virtual, int what) {
    const pf_board *board = &virtual->board;
    switch (what) {
        case PF_INSIDE_SESSION: return board->session;
        case PF_INSIDE_FAULTS: return board->faults;
        case PF_INSIDE_MOTORS: return board->motors;
        case PF_INSIDE_HOMED: return board->homed;
        case PF_INSIDE_IS_MOVING: return board->motion.is_active;
        case PF_INSIDE_N_MOTIONS: return board->n_motions;
        case PF_INSIDE_CRC_ERRORS: return board->n_crc_errors;
        case PF_INSIDE_FRAMING_ERRORS: return board->n_framing_errors;
        case PF_INSIDE_MOTION_LIMIT_MS: return board->motion_limit_ms;
        case PF_INSIDE_IDLE_LIMIT_MS: return board->idle_limit_ms;
        default: return 0;
    }
}

void pf_virtual_set_inside(pf_virtual *virtual, int what, uint32_t value) {
    pf_board *board = &virtual->board;
    switch (what) {
        case PF_INSIDE_SESSION: board->session = (uint16_t)value; break;
        case PF_INSIDE_FAULTS: board->faults = (uint16_t)value; break;
        case PF_INSIDE_MOTORS: board->motors = (uint8_t)value; break;
        case PF_INSIDE_HOMED: board->homed = (uint8_t)value; break;
        case PF_INSIDE_IS_MOVING: /* a motion that never ends */
            board->motion.is_active = value != 0;
            board->axis[0].mode = value ? PF_WAITING : PF_AT_REST;
            board->axis[0].run = value ? PF_RUNS : PF_HALTED;
            board->axis[0].next_us = (uint32_t)virtual->hal.now_us + INT32_MAX;
            break;
        case PF_INSIDE_MOTION_LIMIT_MS: board->motion_limit_ms = value; break;
        case PF_INSIDE_IDLE_LIMIT_MS: board->idle_limit_ms = value; break;
        default: break;
    }
}
