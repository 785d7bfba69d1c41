/* The lamp: duty, on-time, and triggers for a camera with a flash each, by time (strobe) or by position. */
#include "board.h"

#define MAX_DUTY 10000u
#define MAX_ON_TIME_MS 600000u
#define MIN_PERIOD_US 1000u
#define MAX_WIDTH_US 100000u
#define MAX_DELAY_US 100000u /* of a position trigger */

static void show(pf_board *board, uint16_t duty) {
    if (duty == board->lamp.shown) return;
    board->lamp.shown = duty;
    pf_hal_lamp(board->hal, duty);
}

/* Time of the strobe's next edge. */
static uint64_t edge_us(const pf_lamp_driver *lamp) {
    if (!lamp->is_strobing) return PF_NEVER;
    if (lamp->phase == 0) return lamp->axes ? PF_NEVER : lamp->frame_us;
    return lamp->frame_us + lamp->delay_us + (lamp->phase == 1 ? 0 : lamp->width_us);
}

int pf_lamp_is_used(const pf_board *board) { return board->lamp.steady > 0 || board->lamp.is_strobing; }

uint64_t pf_lamp_next_us(const pf_board *board) {
    const uint64_t due_us = edge_us(&board->lamp);
    return board->lamp.dark_us < due_us ? board->lamp.dark_us : due_us;
}

static void end(pf_lamp_driver *lamp) { lamp->is_strobing = lamp->axes = 0; }

static void end_after_the_last(pf_lamp_driver *lamp) {
    if (lamp->phase == 0 && lamp->index >= lamp->count) end(lamp);
}

static void trigger(pf_board *board) {
    pf_lamp_driver *lamp = &board->lamp;
    pf_hal_trigger(board->hal);
    if (board->n_triggers < PF_N_TRIGGERS) { /* otherwise the event is lost; STATE still counts it */
        board->triggers[board->n_triggers++] = (pf_trigger){lamp->frame_us, lamp->last_strobe_id, lamp->index};
    }
    lamp->n_frames++;
    lamp->index++;
    lamp->phase = 1;
}

void pf_lamp_run(pf_board *board, uint64_t now_us) {
    pf_lamp_driver *lamp = &board->lamp;
    while (pf_lamp_next_us(board) <= now_us) {
        if (lamp->dark_us <= now_us) {
            lamp->dark_us = PF_NEVER;
            lamp->steady = 0;
            if (!lamp->is_strobing || lamp->phase != 2) show(board, 0);
            continue;
        }
        if (lamp->phase == 0) {
            trigger(board);
        } else if (lamp->phase == 1) {
            show(board, lamp->duty);
            lamp->phase = 2;
        } else {
            show(board, lamp->steady);
            lamp->phase = 0;
            if (!lamp->axes) lamp->frame_us += lamp->period_us;
            end_after_the_last(lamp);
        }
    }
}

uint8_t pf_lamp_set(pf_board *board, const pf_lamp *request) {
    pf_lamp_driver *lamp = &board->lamp;
    if (request->duty > MAX_DUTY || request->on_time_ms > MAX_ON_TIME_MS) return PF_STATUS_BAD_VALUE;
    lamp->steady = request->duty;
    lamp->dark_us = PF_NEVER;
    if (request->duty && request->on_time_ms) {
        lamp->dark_us = pf_hal_now_us(board->hal) + (uint64_t)request->on_time_ms * 1000;
    }
    if (!lamp->is_strobing || lamp->phase != 2) show(board, request->duty); /* a flash ends by itself */
    return PF_STATUS_OK;
}

static void begin(pf_board *board, uint32_t strobe_id, uint16_t count) {
    pf_lamp_driver *lamp = &board->lamp;
    show(board, lamp->steady);
    lamp->last_strobe_id = strobe_id;
    lamp->is_strobing = count > 0;
    lamp->axes = 0;
    lamp->n_frames = lamp->index = 0;
    lamp->phase = 0;
    lamp->count = count;
}

uint8_t pf_lamp_strobe(pf_board *board, const pf_strobe *request) {
    pf_lamp_driver *lamp = &board->lamp;
    const uint64_t lasts_us = (uint64_t)request->delay_us + request->width_us;
    if (request->strobe_id <= lamp->last_strobe_id) return PF_STATUS_DUPLICATE;
    if (request->count && (request->duty > MAX_DUTY || request->width_us > MAX_WIDTH_US ||
                           request->period_us < MIN_PERIOD_US || request->period_us < lasts_us)) {
        return PF_STATUS_BAD_VALUE;
    }
    begin(board, request->strobe_id, request->count);
    lamp->frame_us = pf_hal_now_us(board->hal);
    lamp->duty = request->duty;
    lamp->period_us = request->period_us;
    lamp->delay_us = request->delay_us;
    lamp->width_us = request->width_us;
    return PF_STATUS_OK;
}

/* Why these positions are not taken, or OK. */
static uint8_t positions_refusal(const pf_board *board, const pf_position_trigger *request) {
    const int64_t first = request->first_steps;
    const int64_t last = first + (int64_t)(request->count - 1) * request->spacing_steps;
    int32_t max_steps;
    if (board->motion.is_active) return PF_STATUS_BUSY;
    switch (request->axes) {
        case PF_AXIS_BIT_X: max_steps = board->config->axis[0].max_steps; break;
        case PF_AXIS_BIT_Y: max_steps = board->config->axis[1].max_steps; break;
        case PF_AXIS_BIT_Z: max_steps = board->config->axis[2].max_steps; break;
        default: return PF_STATUS_BAD_VALUE;
    }
    if (request->spacing_steps == 0 || request->duty > MAX_DUTY || request->width_us > MAX_WIDTH_US ||
        request->delay_us > MAX_DELAY_US) {
        return PF_STATUS_BAD_VALUE;
    }
    if (!(board->homed & request->axes)) return PF_STATUS_NOT_HOMED;
    return first < 0 || first > max_steps || last < 0 || last > max_steps ? PF_STATUS_LIMIT : PF_STATUS_OK;
}

uint8_t pf_lamp_arm(pf_board *board, const pf_position_trigger *request) {
    pf_lamp_driver *lamp = &board->lamp;
    const uint8_t status = request->count ? positions_refusal(board, request) : PF_STATUS_OK;
    if (request->strobe_id <= lamp->last_strobe_id) return PF_STATUS_DUPLICATE;
    if (status != PF_STATUS_OK) return status;
    begin(board, request->strobe_id, request->count);
    if (request->count) lamp->axes = request->axes;
    lamp->next_steps = request->first_steps;
    lamp->spacing_steps = request->spacing_steps;
    lamp->duty = request->duty;
    lamp->delay_us = request->delay_us;
    lamp->width_us = request->width_us;
    return PF_STATUS_OK;
}

void pf_lamp_at_step(pf_board *board, int axis) {
    const uint64_t now_us = pf_hal_now_us(board->hal);
    pf_lamp_driver *lamp = &board->lamp;
    const pf_axis *moved = &board->axis[axis];
    if (moved->pos_steps != lamp->next_steps || (moved->sign > 0) != (lamp->spacing_steps > 0)) return;
    if (lamp->index >= lamp->count) return; /* the last flash is not over */
    if (lamp->phase == 0 && (lamp->n_frames == 0 || now_us - lamp->frame_us >= MIN_PERIOD_US)) {
        lamp->frame_us = now_us;
        trigger(board);
    } else { /* too soon: no trigger */
        lamp->index++;
        end_after_the_last(lamp);
    }
    if (lamp->index < lamp->count) lamp->next_steps += lamp->spacing_steps;
    board->other_us = (uint32_t)now_us; /* so that this alarm looks after the flash */
}

void pf_lamp_disarm(pf_board *board, uint8_t axes) {
    if (!(board->lamp.axes & axes)) return;
    end(&board->lamp);
    show(board, board->lamp.steady);
}

void pf_lamp_darken(pf_board *board) {
    end(&board->lamp);
    board->lamp.steady = 0;
    board->lamp.dark_us = PF_NEVER;
    show(board, 0);
}
