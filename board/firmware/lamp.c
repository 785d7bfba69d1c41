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

int pf_lamp_is_used(const pf_board *board) { return board->lamp.steady > 0 || board->lamp.is_strobing; }

uint64_t pf_lamp_next_us(const pf_board *board) {
    const pf_lamp_driver *lamp = &board->lamp;
    return lamp->dark_us < lamp->edge_us ? lamp->dark_us : lamp->edge_us;
}

static void end(pf_lamp_driver *lamp) {
    lamp->is_strobing = lamp->axes = 0;
    lamp->phase = PF_TRIGGER;
    lamp->edge_us = PF_NEVER;
}

/* Note the trigger at `frame_us`; its flash is next. */
static void note(pf_board *board) {
    pf_lamp_driver *lamp = &board->lamp;
    if (board->n_triggers < PF_N_TRIGGERS) { /* otherwise the event is lost; STATE still counts it */
        const unsigned at = (board->first_trigger + board->n_triggers++) % PF_N_TRIGGERS;
        board->triggers[at] = (pf_trigger){lamp->frame_us, lamp->last_strobe_id, lamp->index};
    }
    lamp->n_frames++;
    lamp->index++;
    lamp->phase = PF_FLASH_ON;
    lamp->edge_us = lamp->frame_us + lamp->delay_us;
}

/* Note the trigger that a step has given. */
static void note_step(pf_board *board, uint64_t now_us) {
    pf_lamp_driver *lamp = &board->lamp;
    lamp->frame_us = now_us - (uint32_t)((uint32_t)now_us - lamp->step_us);
    note(board);
}

/* After a flash. */
static void end_frame(pf_lamp_driver *lamp) {
    lamp->phase = lamp->axes ? PF_PAUSE : PF_TRIGGER;
    if (lamp->axes) {
        lamp->edge_us = lamp->frame_us + MIN_PERIOD_US; /* from then on a step to the next position triggers */
    } else {
        lamp->edge_us = lamp->frame_us += lamp->period_us;
    }
    if (lamp->index >= lamp->count) end(lamp);
}

void pf_lamp_run(pf_board *board, uint64_t now_us) {
    pf_lamp_driver *lamp = &board->lamp;
    if (lamp->dark_us <= now_us) {
        lamp->dark_us = PF_NEVER;
        lamp->steady = 0;
        if (!lamp->is_strobing || lamp->phase != PF_FLASH_OFF) show(board, 0);
        return;
    }
    if (lamp->phase == PF_TRIGGERED) {
        note_step(board, now_us);
    } else if (lamp->edge_us > now_us) {
        return;
    } else if (lamp->phase == PF_TRIGGER) {
        pf_hal_trigger(board->hal);
        note(board);
    } else if (lamp->phase == PF_FLASH_OFF) {
        show(board, lamp->steady);
        end_frame(lamp);
        return;
    } else if (lamp->phase == PF_PAUSE) {
        lamp->phase = PF_TRIGGER;
        lamp->edge_us = PF_NEVER;
        return;
    }
    if (lamp->edge_us > now_us) return;
    show(board, lamp->duty);
    lamp->phase = PF_FLASH_OFF;
    lamp->edge_us += lamp->width_us;
}

void pf_lamp_note(pf_board *board) {
    if (board->lamp.phase != PF_TRIGGERED) return;
    pf_hal_lock(board->hal);
    if (board->lamp.phase == PF_TRIGGERED) note_step(board, pf_hal_now_us(board->hal));
    pf_hal_unlock(board->hal);
    board->is_alarm_stale = 1;
}

uint8_t pf_lamp_set(pf_board *board, const pf_lamp *request) {
    pf_lamp_driver *lamp = &board->lamp;
    if (request->duty > MAX_DUTY || request->on_time_ms > MAX_ON_TIME_MS) return PF_STATUS_BAD_VALUE;
    pf_hal_lock(board->hal);
    lamp->steady = request->duty;
    lamp->dark_us = PF_NEVER;
    if (request->duty && request->on_time_ms) {
        lamp->dark_us = pf_hal_now_us(board->hal) + (uint64_t)request->on_time_ms * 1000;
    }
    if (!lamp->is_strobing || lamp->phase != PF_FLASH_OFF) show(board, request->duty); /* a flash ends by itself */
    pf_hal_unlock(board->hal);
    return PF_STATUS_OK;
}

/* Under the lock. */
static void begin(pf_board *board, uint32_t strobe_id, uint16_t count) {
    pf_lamp_driver *lamp = &board->lamp;
    show(board, lamp->steady);
    lamp->last_strobe_id = strobe_id;
    lamp->is_strobing = count > 0;
    lamp->axes = 0;
    lamp->edge_us = PF_NEVER;
    lamp->n_frames = lamp->index = 0;
    lamp->phase = PF_TRIGGER;
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
    pf_hal_lock(board->hal);
    begin(board, request->strobe_id, request->count);
    lamp->frame_us = pf_hal_now_us(board->hal);
    if (request->count) lamp->edge_us = lamp->frame_us;
    lamp->duty = request->duty;
    lamp->period_us = request->period_us;
    lamp->delay_us = request->delay_us;
    lamp->width_us = request->width_us;
    pf_hal_unlock(board->hal);
    return PF_STATUS_OK;
}

/* Why these positions are not taken, or OK. */
static uint8_t positions_refusal(const pf_board *board, const pf_position_trigger *request) {
    const int64_t first = request->first_steps;
    const int64_t last = first + (int64_t)(request->count - 1) * request->spacing_steps;
    const int i = pf_single_axis(request->axes);
    int32_t max_steps;
    if (board->motion.is_active) return PF_STATUS_BUSY;
    if (i < 0) return PF_STATUS_BAD_VALUE;
    max_steps = board->config->axis[i].max_steps;
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
    pf_hal_lock(board->hal);
    begin(board, request->strobe_id, request->count);
    if (request->count) lamp->axes = request->axes;
    lamp->next_steps = request->first_steps;
    lamp->spacing_steps = request->spacing_steps;
    lamp->duty = request->duty;
    lamp->delay_us = request->delay_us;
    lamp->width_us = request->width_us;
    pf_hal_unlock(board->hal);
    return PF_STATUS_OK;
}

void pf_lamp_at_step(pf_board *board, int axis) {
    pf_lamp_driver *lamp = &board->lamp;
    const pf_axis *moved = &board->axis[axis];
    if (moved->pos_steps != lamp->next_steps || (moved->sign > 0) != (lamp->spacing_steps > 0)) return;
    if (lamp->index >= lamp->count) return; /* the last flash is not over */
    if (lamp->phase == PF_TRIGGER) {
        pf_hal_trigger(board->hal);
        lamp->step_us = board->other_us = pf_hal_low_us(board->hal); /* the next alarm does the rest: this one steps */
        lamp->phase = PF_TRIGGERED;
        if (lamp->index + 1 < lamp->count) lamp->next_steps += lamp->spacing_steps;
    } else { /* too soon: no trigger */
        lamp->index++;
        if (lamp->index < lamp->count) {
            lamp->next_steps += lamp->spacing_steps;
        } else if (lamp->phase == PF_PAUSE) {
            end(lamp);
        }
    }
}

void pf_lamp_disarm(pf_board *board, uint8_t axes) {
    pf_hal_lock(board->hal);
    if (board->lamp.axes & axes) {
        end(&board->lamp);
        show(board, board->lamp.steady);
    }
    pf_hal_unlock(board->hal);
}

void pf_lamp_darken(pf_board *board) {
    pf_hal_lock(board->hal);
    end(&board->lamp);
    board->lamp.steady = 0;
    board->lamp.dark_us = PF_NEVER;
    show(board, 0);
    pf_hal_unlock(board->hal);
}
