/* The lamp: duty, on-time, and a strobe that triggers a camera and flashes. */
#include "board.h"

#define MAX_DUTY 10000u
#define MAX_ON_TIME_MS 600000u
#define MIN_PERIOD_US 1000u
#define MAX_WIDTH_US 100000u

static void show(pf_board *board, uint16_t duty) {
    if (duty == board->lamp.shown) return;
    board->lamp.shown = duty;
    pf_hal_lamp(board->hal, duty);
}

/* Time of the strobe's next edge. */
static uint64_t edge_us(const pf_lamp_driver *lamp) {
    if (!lamp->is_strobing) return PF_NEVER;
    if (lamp->phase == 0) return lamp->frame_us;
    return lamp->frame_us + lamp->delay_us + (lamp->phase == 1 ? 0 : lamp->width_us);
}

int pf_lamp_is_used(const pf_board *board) { return board->lamp.steady > 0 || board->lamp.is_strobing; }

uint64_t pf_lamp_next_us(const pf_board *board) {
    const uint64_t due_us = edge_us(&board->lamp);
    return board->lamp.dark_us < due_us ? board->lamp.dark_us : due_us;
}

static void trigger(pf_board *board) {
    pf_lamp_driver *lamp = &board->lamp;
    pf_hal_trigger(board->hal);
    if (board->n_triggers < PF_N_TRIGGERS) { /* otherwise the event is lost; STATE still counts it */
        board->triggers[board->n_triggers++] = (pf_trigger){lamp->frame_us, lamp->last_strobe_id, lamp->n_frames};
    }
    lamp->n_frames++;
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
            lamp->phase = 1;
        } else if (lamp->phase == 1) {
            show(board, lamp->duty);
            lamp->phase = 2;
        } else {
            show(board, lamp->steady);
            lamp->phase = 0;
            lamp->frame_us += lamp->period_us;
            lamp->is_strobing = lamp->n_frames < lamp->count;
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

uint8_t pf_lamp_strobe(pf_board *board, const pf_strobe *request) {
    pf_lamp_driver *lamp = &board->lamp;
    const uint64_t lasts_us = (uint64_t)request->delay_us + request->width_us;
    if (request->strobe_id <= lamp->last_strobe_id) return PF_STATUS_DUPLICATE;
    if (request->count && (request->duty > MAX_DUTY || request->width_us > MAX_WIDTH_US ||
                           request->period_us < MIN_PERIOD_US || request->period_us < lasts_us)) {
        return PF_STATUS_BAD_VALUE;
    }
    show(board, lamp->steady);
    lamp->last_strobe_id = request->strobe_id;
    lamp->is_strobing = request->count > 0;
    lamp->n_frames = 0;
    lamp->phase = 0;
    lamp->frame_us = pf_hal_now_us(board->hal);
    lamp->count = request->count;
    lamp->duty = request->duty;
    lamp->period_us = request->period_us;
    lamp->delay_us = request->delay_us;
    lamp->width_us = request->width_us;
    return PF_STATUS_OK;
}

void pf_lamp_darken(pf_board *board) {
    board->lamp.is_strobing = 0;
    board->lamp.steady = 0;
    board->lamp.dark_us = PF_NEVER;
    show(board, 0);
}
