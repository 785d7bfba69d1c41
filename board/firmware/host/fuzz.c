/* Throws packets at the firmware: `fuzz [N_PACKETS] [SEED]`, built with sanitizers. Three rounds of N_PACKETS each:
 * bytes that are hardly ever a frame; frames with a valid CRC and no sense, which must move nothing; and sessions that
 * make sense, with motion, in which every axis must stay within its travel and come to rest after a STOP.
 * Exit code 1 says what went wrong.
 *
 * Built with PF_GUIDED it is a target of libFuzzer: what is drawn at random here is read from the input there, so that
 * coverage decides what comes next. One input is one round. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stage.h"
#include "virtual.h"

typedef struct {
    pf_stage stage[PF_N_AXES];
    uint64_t n_steps, n_frames, n_done;
    uint16_t session;
    uint8_t last_status;
} rig;

#ifdef PF_GUIDED
static const uint8_t *input;
static size_t n_input;

static uint32_t next_bytes(int n_bytes) { /* zeros after the end of the input */
    uint32_t x = 0;
    for (int i = 0; i < n_bytes; i++) {
        x = x << 8 | (n_input ? *input++ : 0);
        if (n_input) n_input--;
    }
    return x;
}

static uint64_t draw(void) { return next_bytes(4); }
static uint32_t below(uint32_t n) { return next_bytes(n <= 0x100 ? 1 : n <= 0x10000 ? 2 : 4) % n; }
static int has_more(void) { return n_input > 0; }
#else
static uint64_t seed_state;

static uint64_t draw(void) { /* splitmix64 */
    uint64_t x = seed_state += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static uint32_t below(uint32_t n) { return (uint32_t)(draw() % n); }
static int has_more(void) { return 1; }
#endif

static void require(int is_true, const char *what) {
    if (is_true) return;
    fprintf(stderr, "FAILED: %s\n", what);
#ifdef PF_GUIDED
    abort(); /* libFuzzer keeps the input */
#else
    exit(1);
#endif
}

static void report(const char *format, ...) {
#ifdef PF_GUIDED
    (void)format;
#else
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
#endif
}

/* --- outside */

static uint32_t on_steps(void *outside, int axis, int direction, const uint64_t *times_us, int n_steps) {
    rig *r = outside;
    (void)times_us;
    for (int i = 0; i < n_steps; i++) pf_stage_step(&r->stage[axis], direction);
    r->n_steps += (uint64_t)n_steps;
    return 0;
}

static int on_is_pressed(void *outside, int axis, int end, uint64_t time_us) {
    (void)time_us;
    return pf_stage_is_pressed(&((rig *)outside)->stage[axis], end);
}

static unsigned on_contact(void *outside, int axis, int end, uint64_t time_us) {
    (void)time_us;
    return pf_stage_contact(&((rig *)outside)->stage[axis], end);
}

static void on_motor(void *outside, int axis, int is_on, uint64_t time_us) {
    (void)outside, (void)axis, (void)is_on, (void)time_us;
}

static void on_lamp(void *outside, unsigned duty, uint64_t time_us) {
    (void)outside, (void)time_us;
    require(duty <= 10000, "the lamp was given a duty above 10000");
}

static void on_lens(void *outside, int32_t current_ua, uint64_t time_us) {
    (void)outside, (void)time_us;
    require(current_ua >= pf_paper_stage.lens_min_ua && current_ua <= pf_paper_stage.lens_max_ua, "too much current");
}

static void on_trigger(void *outside, uint64_t time_us) { (void)outside, (void)time_us; }

static void on_write(void *outside, const uint8_t *frame, int n_bytes, uint64_t time_us) {
    rig *r = outside;
    pf_packet packet;
    (void)time_us;
    require(n_bytes >= 15 && n_bytes <= PF_MAX_FRAME && frame[0] == 0 && frame[n_bytes - 1] == 0, "a frame is malformed");
    require(pf_decode(frame + 1, n_bytes - 2, &packet) == 0, "a frame does not decode");
    require(packet.version == PF_VERSION && packet.kind != PF_KIND_REQUEST, "a frame has the wrong version or kind");
    r->n_frames++;
    if (packet.kind == PF_KIND_RESPONSE) {
        r->last_status = packet.status;
        if (packet.opcode == PF_OPCODE_HELLO && packet.status == PF_STATUS_OK) r->session = packet.session;
    }
    if (packet.kind == PF_KIND_EVENT && packet.opcode == PF_OPCODE_MOVE_DONE) r->n_done++;
}

static pf_virtual *start(rig *r, uint32_t boot_id) {
    static const pf_outside calls = {on_steps, on_is_pressed, on_contact, on_motor, on_lamp, on_lens, on_trigger, on_write};
    pf_virtual *virtual;
    memset(r, 0, sizeof *r);
    for (int i = 0; i < PF_N_AXES; i++) r->stage[i] = pf_stage_of_paper(i);
    virtual = pf_virtual_new(&pf_paper_stage, &calls, r, 1000, boot_id, 1, 0);
    require(virtual != NULL, "no memory");
    return virtual;
}

/* --- the host */

static uint16_t seq;

static void say(pf_virtual *virtual, uint8_t opcode, uint16_t session, const uint8_t *payload, int n_payload) {
    pf_packet packet = {.version = PF_VERSION, .kind = PF_KIND_REQUEST, .opcode = opcode, .seq = ++seq, .session = session};
    uint8_t frame[PF_MAX_FRAME];
    packet.n_payload = (uint8_t)n_payload;
    memcpy(packet.payload, payload, (size_t)n_payload);
    pf_virtual_receive(virtual, frame, pf_encode(&packet, frame));
}

static void open_session(pf_virtual *virtual) {
    const pf_hello hello = {(uint32_t)draw(), PF_SCHEMA_HASH, PF_VERSION, PF_VERSION};
    uint8_t payload[PF_MAX_PAYLOAD];
    say(virtual, PF_OPCODE_HELLO, 0, payload, pf_hello_pack(&hello, payload));
}

static void wait_us(pf_virtual *virtual, uint64_t *now_us, uint64_t duration_us) {
    *now_us += duration_us;
    pf_virtual_advance(virtual, *now_us);
    pf_virtual_hand_over(virtual);
}

static void home_all(rig *r, pf_virtual *virtual, uint64_t *now_us, uint32_t *id) {
    const pf_watchdog slow = {60000, 60000};
    const pf_clear clear = {PF_FAULT_ESTOP};
    uint8_t payload[PF_MAX_PAYLOAD];
    say(virtual, PF_OPCODE_CLEAR, r->session, payload, pf_clear_pack(&clear, payload));
    say(virtual, PF_OPCODE_WATCHDOG, r->session, payload, pf_watchdog_pack(&slow, payload));
    for (uint8_t i = 0; i < PF_N_AXES; i++) {
        const pf_home home = {++*id, (uint8_t)(1u << i), 3200, 160, 80000};
        say(virtual, PF_OPCODE_HOME, r->session, payload, pf_home_pack(&home, payload));
        require(r->last_status == PF_STATUS_OK, "homing was refused");
        wait_us(virtual, now_us, 50000000);
    }
    require(pf_virtual_inside(virtual, PF_INSIDE_HOMED) == 7, "homing failed");
}

/* --- the rounds */

static void noise(uint32_t n_packets) {
    rig r;
    pf_virtual *virtual = start(&r, 7);
    uint8_t data[300];
    for (uint32_t i = 0; i < n_packets && has_more(); i++) {
        const int n_bytes = (int)below(sizeof data);
        const uint32_t style = below(3);
        for (int j = 0; j < n_bytes; j++) {
            data[j] = (uint8_t)draw();
            if (style == 1 && below(20) == 0) data[j] = 0;
            if (style == 2) data[j] = (uint8_t)below(6); /* short COBS blocks */
        }
        pf_virtual_receive(virtual, data, n_bytes);
    }
    require(r.n_steps == 0 && r.n_frames == 0, "noise was answered or moved something");
    report("%u bursts of noise: %u damaged frames, no answer, no step\n", n_packets,
           pf_virtual_inside(virtual, PF_INSIDE_CRC_ERRORS) + pf_virtual_inside(virtual, PF_INSIDE_FRAMING_ERRORS));
    pf_virtual_free(virtual);
}

static void nonsense(uint32_t n_packets) {
    static const uint8_t opcodes[] = {1, 2, 3, 4, 5, 6, 7, 0x10, 0x11, 0x12, 0x14, 0x15, 0x20, 0x21, 0x13, 0x22, 0x23, 0x24, 0x25};
    static const uint8_t lengths[] = {10, 0, 0, 8, 0, 2, 0, 41, 17, 0, 0, 1, 6, 22, 27, 14, 25, 0, 4};
    rig r;
    pf_virtual *virtual = start(&r, 9);
    uint64_t now_us = 1000, before;
    uint32_t id = 0;
    open_session(virtual);
    home_all(&r, virtual, &now_us, &id);
    before = r.n_steps;
    for (uint32_t i = 0; i < n_packets && has_more(); i++) {
        const uint32_t row = below(sizeof opcodes);
        pf_packet packet = {.version = PF_VERSION, .kind = PF_KIND_REQUEST, .opcode = opcodes[row], .n_payload = lengths[row]};
        uint8_t frame[PF_MAX_FRAME];
        if (below(5) == 0) packet.n_payload = (uint8_t)below(PF_MAX_PAYLOAD + 1);
        if (below(5) == 0) packet.kind = (uint8_t)draw();
        if (below(10) == 0) packet.opcode = (uint8_t)draw();
        if (below(20) == 0) packet.version = (uint8_t)draw();
        packet.status = below(2) ? 0 : (uint8_t)draw();
        packet.seq = (uint16_t)draw();
        packet.session = below(10) ? r.session : (uint16_t)draw();
        for (int j = 0; j < packet.n_payload; j++) packet.payload[j] = (uint8_t)draw();
        pf_virtual_receive(virtual, frame, pf_encode(&packet, frame));
        if (below(8) == 0) wait_us(virtual, &now_us, below(30000));
    }
    pf_virtual_hand_over(virtual);
    require(r.n_steps == before, "nonsense moved something");
    report("%u random packets with a valid CRC: no step\n", n_packets);
    pf_virtual_free(virtual);
}

/* A request that the board may well accept. */
static void sensible(rig *r, pf_virtual *virtual, uint32_t *id) {
    uint8_t payload[PF_MAX_PAYLOAD];
    const uint16_t session = r->session;
    switch (below(15)) {
        case 0: case 1: case 2: case 3: case 4: {
            pf_move_abs move = {.move_id = ++*id, .axes = (uint8_t)(1 + below(7))};
            for (int i = 0; i < PF_N_AXES; i++) {
                move.target_steps[i] = below(10) ? (int32_t)below(16000) : (int32_t)draw();
                move.speed_steps_per_s[i] = 1 + below(6400);
                move.accel_steps_per_s2[i] = 100 + below(80000);
            }
            say(virtual, PF_OPCODE_MOVE_ABS, session, payload, pf_move_abs_pack(&move, payload));
            break;
        }
        case 13: case 14: {
            const uint8_t n_points = (uint8_t)(1 + below(5));
            pf_sweep sweep = {.move_id = ++*id, .axes = (uint8_t)(1u << below(3)), .target_steps = (int32_t)below(16000),
                              .speed_steps_per_s = 1 + below(6400), .accel_steps_per_s2 = 100 + below(80000)};
            for (uint8_t k = 0; k < n_points; k++) {
                const pf_way_point point = {.index = k, .at_steps = (int32_t)below(16000),
                    .z_steps = below(20) ? (int32_t)below(16000) : (int32_t)draw(),
                    .z_speed_steps_per_s = 1 + below(6400), .z_accel_steps_per_s2 = 100 + below(80000)};
                say(virtual, PF_OPCODE_WAY_POINT, session, payload, pf_way_point_pack(&point, payload));
            }
            sweep.count = below(10) ? n_points : (uint8_t)draw();
            say(virtual, PF_OPCODE_SWEEP, session, payload, pf_sweep_pack(&sweep, payload));
            break;
        }
        case 5: {
            const pf_home home = {++*id, (uint8_t)(1u << below(3)), 200 + below(3000), 1 + below(200), 100 + below(80000)};
            say(virtual, PF_OPCODE_HOME, session, payload, pf_home_pack(&home, payload));
            break;
        }
        case 6:
            if (below(4) == 0) say(virtual, PF_OPCODE_STOP, session, payload, 0);
            break;
        case 7: {
            const pf_lamp lamp = {(uint16_t)below(10002), below(2000)};
            say(virtual, PF_OPCODE_LAMP, session, payload, pf_lamp_pack(&lamp, payload));
            break;
        }
        case 8: {
            const pf_strobe strobe = {++*id, (uint16_t)below(50), 1000 + below(20000), below(900), below(900), 9000};
            say(virtual, PF_OPCODE_STROBE, session, payload, pf_strobe_pack(&strobe, payload));
            break;
        }
        case 11: {
            const pf_position_trigger trigger = {.strobe_id = ++*id, .axes = (uint8_t)(1u << below(3)),
                .first_steps = below(20) ? (int32_t)below(16000) : (int32_t)draw(),
                .spacing_steps = below(20) ? (int32_t)below(400) - 200 : (int32_t)draw(),
                .count = (uint16_t)below(40), .delay_us = below(900), .width_us = below(900), .duty = 9000};
            const pf_set_current current = {(int32_t)below(500000) - 250000};
            say(virtual, PF_OPCODE_POSITION_TRIGGER, session, payload, pf_position_trigger_pack(&trigger, payload));
            say(virtual, PF_OPCODE_SET_CURRENT, session, payload, pf_set_current_pack(&current, payload));
            break;
        }
        case 9: {
            const pf_watchdog watchdog = {100 + below(300), 500 + below(3000)};
            say(virtual, PF_OPCODE_WATCHDOG, session, payload, pf_watchdog_pack(&watchdog, payload));
            break;
        }
        case 10: {
            const pf_clear clear = {(uint16_t)draw()};
            const uint8_t motors = below(20) ? 7 : (uint8_t)below(9);
            if (below(30) == 0) say(virtual, PF_OPCODE_ESTOP, session, payload, 0);
            say(virtual, PF_OPCODE_CLEAR, session, payload, pf_clear_pack(&clear, payload));
            say(virtual, PF_OPCODE_MOTORS, session, &motors, 1);
            break;
        }
        default:
            if (below(30) == 0) open_session(virtual);
            say(virtual, PF_OPCODE_STATE, r->session, payload, 0);
            break;
    }
}

static void require_travel(pf_virtual *virtual) {
    pf_state state;
    uint8_t payload[PF_MAX_PAYLOAD];
    pf_state_unpack(&state, payload, pf_virtual_state(virtual, payload));
    for (int i = 0; i < PF_N_AXES; i++) {
        if (!(state.homed >> i & 1)) continue;
        require(state.pos_steps[i] >= 0 && state.pos_steps[i] <= pf_paper_stage.axis[i].max_steps, "beyond the travel");
    }
}

static void sessions(uint32_t n_packets) {
    rig r;
    pf_virtual *virtual = start(&r, 11);
    uint64_t now_us = 1000;
    uint32_t id = 0;
    open_session(virtual);
    home_all(&r, virtual, &now_us, &id);
    for (uint32_t i = 0; i < n_packets && has_more(); i++) {
        sensible(&r, virtual, &id);
        wait_us(virtual, &now_us, below(40000));
        require_travel(virtual);
        if (below(2000) == 0) pf_virtual_press_estop(virtual, 1);
        if (below(20) == 0) pf_virtual_press_estop(virtual, 0);
        if (below(5000) == 0) {
            pf_virtual_reset(virtual, (uint32_t)draw(), 2);
            open_session(virtual);
            id = 0;
        }
        if (below(200) == 0) {
            say(virtual, PF_OPCODE_STOP, r.session, (const uint8_t *)"", 0);
            wait_us(virtual, &now_us, 65000000); /* from 6400 steps/s with 100 steps/s2 */
            require(!pf_virtual_inside(virtual, PF_INSIDE_IS_MOVING), "it still moves after a STOP");
            pf_virtual_press_estop(virtual, 0);
            if (pf_virtual_inside(virtual, PF_INSIDE_HOMED) != 7) home_all(&r, virtual, &now_us, &id);
        }
    }
    report("%u requests in sessions: %llu motions ended, %llu steps, always within the travel\n", n_packets,
           (unsigned long long)r.n_done, (unsigned long long)r.n_steps);
    pf_virtual_free(virtual);
}

#ifdef PF_GUIDED
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static void (*const rounds[])(uint32_t) = {noise, nonsense, sessions};
    input = data, n_input = n_bytes, seq = 0;
    rounds[below(3)](UINT32_MAX);
    return 0;
}
#else
int main(int n_arguments, char **arguments) {
    const uint32_t n_packets = n_arguments > 1 ? (uint32_t)strtoul(arguments[1], NULL, 10) : 1000000;
    seed_state = n_arguments > 2 ? strtoull(arguments[2], NULL, 10) : 1;
    noise(n_packets);
    nonsense(n_packets);
    sessions(n_packets);
    return 0;
}
#endif
