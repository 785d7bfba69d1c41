/* What holds the parts together: start, main loop, alarm, and what each request does. */
#include "board.h"

#define FIRST_LIMIT_MS 1000u
#define FARTHEST_US 1000000000u /* what pf_hal_set_alarm allows; an early alarm does no harm */
/* What most alarms do not need: kept out of the way of the steps. */
#define COLD __attribute__((noinline, cold))

static void rearm(pf_board *board);

void pf_board_start(pf_board *board, const pf_config *config, pf_hal *hal) {
    *board = (pf_board){.config = config, .hal = hal};
    board->boot_id = pf_hal_boot_id(hal);
    board->unit_serial = pf_hal_unit_serial(hal);
    board->reset_cause = pf_hal_reset_cause(hal);
    board->start_us = board->fed_us = pf_hal_now_us(hal);
    board->motion_limit_ms = board->idle_limit_ms = FIRST_LIMIT_MS;
    board->lamp.dark_us = board->lamp.edge_us = PF_NEVER;
    board->motors = PF_AXIS_BIT_X | PF_AXIS_BIT_Y | PF_AXIS_BIT_Z;
    pf_hal_lamp(hal, 0);
    pf_hal_lens(hal, 0);
    for (int i = 0; i < PF_N_AXES; i++) {
        pf_hal_motor(hal, i, 1);
    }
    pf_session_start(board);
    rearm(board);
    pf_board_poll(board);
}

/* --- time */

static uint64_t watchdog_us(const pf_board *board) {
    uint32_t limit_ms = board->idle_limit_ms;
    if (board->faults & PF_FAULT_WATCHDOG) return PF_NEVER;
    if (board->motion.is_active) {
        limit_ms = board->motion_limit_ms;
    } else if (!pf_lamp_is_used(board) && board->lens_ua == 0) {
        return PF_NEVER; /* nothing to guard */
    }
    return board->fed_us + (uint64_t)limit_ms * 1000;
}

uint64_t pf_board_next_us(const pf_board *board) {
    const uint64_t lamp_us = pf_lamp_next_us(board), silent_us = watchdog_us(board);
    return lamp_us < silent_us ? lamp_us : silent_us;
}

/* [alarm] Set the alarm for a step that comes in `left_us` or for the rest, whichever is first. */
static inline void set_alarm(pf_board *board, uint32_t now_us, int32_t left_us) {
    const int32_t other_left_us = (int32_t)(board->other_us - now_us);
    pf_hal_set_alarm(board->hal, now_us + (uint32_t)(left_us < other_left_us ? left_us : other_left_us));
}

/* [alarm], or with the lock. */
static void look_at_the_rest(pf_board *board, uint64_t now_us) {
    uint64_t at_us = pf_lamp_next_us(board);
    if (board->watch_us > now_us && board->watch_us < at_us) at_us = board->watch_us; /* else the main loop knows */
    board->other_us = (uint32_t)(at_us < now_us + FARTHEST_US ? at_us : now_us + FARTHEST_US);
}

static void rearm(pf_board *board) {
    const uint64_t now_us = pf_hal_now_us(board->hal), watch_us = watchdog_us(board);
    board->is_alarm_stale = 0;
    pf_hal_lock(board->hal);
    board->watch_us = watch_us;
    look_at_the_rest(board, now_us);
    set_alarm(board, (uint32_t)now_us, pf_steps_left_us(board, (uint32_t)now_us));
    pf_hal_unlock(board->hal);
}

static void estop(pf_board *board) {
    pf_lamp_darken(board);
    pf_lens_off(board);
    pf_motion_estop(board);
    board->is_cut = 0;
}

/* [alarm] Switch everything off, before the main loop does what else belongs to an emergency stop. */
static COLD void cut(pf_board *board) {
    board->is_cut = 1;
    for (int i = 0; i < PF_N_AXES; i++) {
        board->axis[i].run = PF_HALTED;
        pf_hal_motor(board->hal, i, 0);
    }
    pf_hal_lamp(board->hal, 0);
    pf_hal_lens(board->hal, 0);
}

static COLD void run_lamp(pf_board *board) {
    const uint64_t now_us = pf_hal_now_us(board->hal);
    pf_lamp_run(board, now_us);
    look_at_the_rest(board, now_us);
}

void pf_board_alarm(pf_board *board) {
    const uint32_t now_us = pf_hal_low_us(board->hal);
    int32_t left_us;
    if (pf_hal_estop(board->hal) && !(board->faults & PF_FAULT_ESTOP)) cut(board);
    if (board->is_cut) return; /* the main loop sets the next alarm */
    if ((int32_t)(board->other_us - now_us) <= 0 && !board->has_run_lamp) {
        run_lamp(board); /* first, since a flash may be shorter than a step; steps come at once after it */
        board->has_run_lamp = 1;
        left_us = pf_steps_left_us(board, now_us);
    } else {
        left_us = pf_steps_run(board, now_us);
        board->has_run_lamp = 0;
    }
    set_alarm(board, now_us, left_us);
}

/* What the main loop does again and again, also between two requests. */
static void look_after(pf_board *board) {
    const uint64_t now_us = pf_hal_now_us(board->hal);
    pf_lamp_note(board);
    if (board->is_cut || (pf_hal_estop(board->hal) && !(board->faults & PF_FAULT_ESTOP))) {
        estop(board);
        board->is_alarm_stale = 1;
    }
    pf_motion_follow(board);
    if (watchdog_us(board) <= now_us) {
        pf_motion_break_off(board, PF_MOVE_RESULT_WATCHDOG);
        pf_lamp_darken(board);
        pf_lens_off(board);
        board->faults |= PF_FAULT_WATCHDOG;
    }
    if (board->is_alarm_stale || board->watch_us <= now_us) rearm(board);
    pf_motion_look_ahead(board);
}

void pf_board_poll(pf_board *board) {
    uint8_t data[PF_MAX_FRAME];
    int n_bytes;
    look_after(board);
    pf_session_send_events(board);
    while ((n_bytes = pf_hal_read(board->hal, data, (int)sizeof data)) > 0) {
        pf_session_receive(board, data, n_bytes);
        board->is_alarm_stale = 1; /* it fed the watchdog */
        look_after(board);
    }
    pf_session_send_events(board);
}

/* --- requests */

void pf_board_state(pf_board *board, pf_state *state) {
    pf_hal_lock(board->hal);
    *state = (pf_state){
        .board_time_us = pf_hal_now_us(board->hal) - board->start_us,
        .last_move_id = board->last_move_id,
        .lamp_duty = board->lamp.shown,
        .faults = board->faults,
        .last_strobe_id = board->lamp.last_strobe_id,
        .frames_done = board->lamp.n_frames,
        .last_result = board->last_result,
        .moving = board->motion.is_active ? board->motion.axes : 0,
        .homed = board->homed,
        .motors = board->motors,
        .lens_ua = board->lens_ua,
    };
    for (int i = 0; i < PF_N_AXES; i++) {
        state->pos_steps[i] = board->axis[i].pos_steps;
    }
    pf_hal_unlock(board->hal);
    for (int i = 0; i < PF_N_AXES; i++) {
        for (int end = PF_LOWER_END; end <= PF_UPPER_END; end++) {
            if (pf_hal_is_pressed(board->hal, i, end)) state->switches |= (uint8_t)(1u << (2 * i + end));
        }
    }
}

static uint8_t clear(pf_board *board, const pf_clear *request) {
    if (request->faults & PF_FAULT_ESTOP && pf_hal_estop(board->hal)) return PF_STATUS_ESTOP;
    board->faults &= (uint16_t)~(request->faults & ~PF_FAULT_WATCHDOG);
    return PF_STATUS_OK;
}

static uint8_t set_watchdog(pf_board *board, const pf_watchdog *request) {
    if (request->motion_ms < 100 || request->motion_ms > request->idle_ms || request->idle_ms > 60000) {
        return PF_STATUS_BAD_VALUE;
    }
    board->motion_limit_ms = request->motion_ms;
    board->idle_limit_ms = request->idle_ms;
    board->faults &= (uint16_t)~PF_FAULT_WATCHDOG;
    return PF_STATUS_OK;
}

/* Why the lamp may not be lit now, or OK. */
static uint8_t light_refusal(const pf_board *board) {
    if (board->faults & PF_FAULT_ESTOP) return PF_STATUS_ESTOP;
    return board->faults & PF_FAULT_WATCHDOG ? PF_STATUS_WATCHDOG : PF_STATUS_OK;
}

static uint8_t set_lamp(pf_board *board, const pf_lamp *request) {
    const uint8_t status = request->duty ? light_refusal(board) : PF_STATUS_OK;
    return status == PF_STATUS_OK ? pf_lamp_set(board, request) : status;
}

static uint8_t strobe(pf_board *board, const pf_strobe *request) {
    const uint8_t status = request->count ? light_refusal(board) : PF_STATUS_OK;
    return status == PF_STATUS_OK ? pf_lamp_strobe(board, request) : status;
}

static uint8_t position_trigger(pf_board *board, const pf_position_trigger *request) {
    const uint8_t status = request->count ? light_refusal(board) : PF_STATUS_OK;
    return status == PF_STATUS_OK ? pf_lamp_arm(board, request) : status;
}

static uint8_t set_current(pf_board *board, const pf_set_current *request) {
    const uint8_t status = request->current_ua ? light_refusal(board) : PF_STATUS_OK;
    return status == PF_STATUS_OK ? pf_lens_set(board, request) : status;
}

static int answer_limits(const pf_config *config, uint8_t *payload) {
    pf_limits limits;
    for (int i = 0; i < PF_N_AXES; i++) {
        limits.max_speed_steps_per_s[i] = config->axis[i].max_speed;
        limits.max_accel_steps_per_s2[i] = config->axis[i].max_accel;
        limits.jog_steps[i] = config->axis[i].jog_steps;
        limits.jog_steps_per_s[i] = config->axis[i].jog_speed;
    }
    return pf_limits_pack(&limits, payload);
}

static int answer_pull_out(const pf_config *config, uint8_t *payload) {
    pf_pull_out pull_out;
    for (int i = 0; i < PF_N_AXES; i++) {
        pull_out.no_torque_steps_per_s[i] = config->axis[i].no_torque;
        pull_out.from_rest_steps_per_s2[i] = config->axis[i].from_rest;
    }
    return pf_pull_out_pack(&pull_out, payload);
}

/* Requests that ask, and STOP and ESTOP. -1 for any other. */
static int carry_out_unrefused(pf_board *board, const pf_packet *request, pf_packet *response) {
    pf_state state;
    int n_payload = 0;
    switch (request->opcode) {
        case PF_OPCODE_PING: {
            const pf_pong pong = {pf_hal_now_us(board->hal) - board->start_us};
            n_payload = pf_pong_pack(&pong, response->payload);
            break;
        }
        case PF_OPCODE_STATE:
            pf_board_state(board, &state);
            n_payload = pf_state_pack(&state, response->payload);
            break;
        case PF_OPCODE_LIMITS:
            n_payload = answer_limits(board->config, response->payload);
            break;
        case PF_OPCODE_PULL_OUT:
            n_payload = answer_pull_out(board->config, response->payload);
            break;
        case PF_OPCODE_LENS: {
            const pf_lens lens = {board->config->lens_min_ua, board->config->lens_max_ua};
            n_payload = pf_lens_pack(&lens, response->payload);
            break;
        }
        case PF_OPCODE_STOP:
        case PF_OPCODE_ESTOP:
            if (request->n_payload) break;
            if (request->opcode == PF_OPCODE_STOP) {
                pf_motion_break_off(board, PF_MOVE_RESULT_STOPPED);
            } else {
                estop(board);
            }
            break;
        default:
            return -1;
    }
    if (request->n_payload) return PF_STATUS_BAD_PAYLOAD;
    response->n_payload = (uint8_t)n_payload;
    return PF_STATUS_OK;
}

/* Unpack the payload of a request, carry it out, and put its status into `status`. */
#define COMMAND(opcode, type, act)                                                        \
    case opcode: {                                                                        \
        type message;                                                                     \
        if (type##_unpack(&message, request->payload, request->n_payload) == 0) {         \
            status = act(board, &message);                                                \
            pf_motion_follow(board);                                                      \
        }                                                                                 \
        break;                                                                            \
    }

uint8_t pf_board_carry_out(pf_board *board, const pf_packet *request, pf_packet *response) {
    uint8_t status = PF_STATUS_BAD_PAYLOAD;
    const int unrefused = carry_out_unrefused(board, request, response);
    if (unrefused >= 0) return (uint8_t)unrefused;
    switch (request->opcode) {
        COMMAND(PF_OPCODE_WATCHDOG, pf_watchdog, set_watchdog)
        COMMAND(PF_OPCODE_CLEAR, pf_clear, clear)
        COMMAND(PF_OPCODE_MOVE_ABS, pf_move_abs, pf_motion_move)
        COMMAND(PF_OPCODE_WAY_POINT, pf_way_point, pf_motion_keep)
        COMMAND(PF_OPCODE_SWEEP, pf_sweep, pf_motion_sweep)
        COMMAND(PF_OPCODE_HOME, pf_home, pf_motion_home)
        COMMAND(PF_OPCODE_MOTORS, pf_motors, pf_motion_motors)
        COMMAND(PF_OPCODE_LAMP, pf_lamp, set_lamp)
        COMMAND(PF_OPCODE_STROBE, pf_strobe, strobe)
        COMMAND(PF_OPCODE_POSITION_TRIGGER, pf_position_trigger, position_trigger)
        COMMAND(PF_OPCODE_SET_CURRENT, pf_set_current, set_current)
        default:
            status = PF_STATUS_UNKNOWN_OPCODE;
            break;
    }
    return status;
}
