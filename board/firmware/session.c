/* The protocol: frames, sessions, the replies that are kept, events. */
#include "board.h"

static void copy(uint8_t *to, const uint8_t *from, int n_bytes) {
    for (int i = 0; i < n_bytes; i++) to[i] = from[i];
}

/* --- sending */

static void respond(const pf_packet *request, pf_packet *response, uint8_t status) {
    response->version = PF_VERSION;
    response->kind = PF_KIND_RESPONSE;
    response->opcode = request->opcode;
    response->status = status;
    response->seq = request->seq;
    if (status != PF_STATUS_OK) response->n_payload = 0;
}

static void send(pf_board *board, const pf_packet *packet) {
    uint8_t frame[PF_MAX_FRAME];
    pf_hal_write(board->hal, frame, pf_encode(packet, frame));
}

static void send_event(pf_board *board, pf_packet *event, uint8_t opcode, int n_payload) {
    event->version = PF_VERSION;
    event->kind = PF_KIND_EVENT;
    event->opcode = opcode;
    event->status = PF_STATUS_OK;
    event->seq = ++board->event_seq;
    event->session = board->session;
    event->n_payload = (uint8_t)n_payload;
    send(board, event);
}

static int take_trigger(pf_board *board, uint64_t before_us, pf_frame *frame) {
    int is_taken = 0;
    pf_hal_lock(board->hal);
    if (board->n_triggers && board->triggers[board->first_trigger].time_us <= before_us) {
        const pf_trigger *first = &board->triggers[board->first_trigger];
        frame->board_time_us = first->time_us - board->start_us;
        frame->strobe_id = first->strobe_id;
        frame->index = first->index;
        board->first_trigger = (uint8_t)((board->first_trigger + 1) % PF_N_TRIGGERS);
        board->n_triggers--;
        is_taken = 1;
    }
    pf_hal_unlock(board->hal);
    return is_taken;
}

void pf_session_send_events(pf_board *board) {
    pf_packet event;
    pf_frame frame;
    pf_move_done done = {0};
    uint8_t has_done;
    uint64_t before_us = PF_NEVER;
    if (!board->has_done && board->n_triggers == 0) return; /* the usual case */
    has_done = board->has_done;
    if (has_done) done = board->done;
    board->has_done = 0;
    if (has_done) before_us = done.board_time_us + board->start_us;
    for (int n_left = 2; n_left > 0; n_left--) { /* the triggers before the end of the motion, then the others */
        while (take_trigger(board, before_us, &frame)) {
            send_event(board, &event, PF_OPCODE_FRAME, pf_frame_pack(&frame, event.payload));
        }
        if (has_done) send_event(board, &event, PF_OPCODE_MOVE_DONE, pf_move_done_pack(&done, event.payload));
        has_done = 0;
        before_us = PF_NEVER;
    }
}

/* --- answering */

static void answer_hello(pf_board *board, const pf_packet *request, pf_packet *response) {
    pf_hello hello;
    pf_hello_reply reply = {0};
    const pf_config *config = board->config;
    response->session = request->session;
    if (pf_hello_unpack(&hello, request->payload, request->n_payload)) {
        respond(request, response, PF_STATUS_BAD_PAYLOAD);
        return;
    }
    if (hello.schema_hash == PF_SCHEMA_HASH && !(board->has_nonce && hello.nonce == board->nonce)) {
        board->has_nonce = 1;
        board->nonce = hello.nonce;
        board->next_session = board->next_session == UINT16_MAX ? 1 : (uint16_t)(board->next_session + 1);
        board->session = board->next_session;
        board->last_seq = request->seq;
        board->n_way_points = 0;
        for (int i = 0; i < PF_N_REPLIES; i++) board->replies[i].n_bytes = 0;
        board->fed_us = pf_hal_now_us(board->hal);
    }
    response->session = board->has_nonce && hello.nonce == board->nonce ? board->session : 0;
    reply.nonce = hello.nonce;
    reply.schema_hash = PF_SCHEMA_HASH;
    reply.boot_id = board->boot_id;
    reply.unit_serial = board->unit_serial;
    for (int i = 0; i < PF_N_AXES; i++) reply.max_steps[i] = config->axis[i].max_steps;
    reply.firmware_version = PF_FIRMWARE_VERSION;
    reply.features = config->features;
    reply.axes = PF_AXIS_BIT_X | PF_AXIS_BIT_Y | PF_AXIS_BIT_Z;
    reply.max_frame = PF_MAX_FRAME;
    reply.reset_cause = board->reset_cause;
    response->n_payload = (uint8_t)pf_hello_reply_pack(&reply, response->payload);
    respond(request, response, PF_STATUS_OK);
}

static const pf_reply *kept_reply(const pf_board *board, const pf_packet *request) {
    for (int i = 0; i < PF_N_REPLIES; i++) {
        const pf_reply *kept = &board->replies[i];
        if (kept->n_bytes && kept->seq == request->seq && kept->opcode == request->opcode) return kept;
    }
    return 0;
}

static void keep_reply(pf_board *board, const pf_packet *request, const uint8_t *frame, int n_bytes) {
    pf_reply *kept = &board->replies[board->next_reply];
    board->next_reply = (uint8_t)((board->next_reply + 1) % PF_N_REPLIES);
    kept->seq = request->seq;
    kept->opcode = request->opcode;
    kept->n_bytes = (uint8_t)n_bytes;
    copy(kept->frame, frame, n_bytes);
}

static void answer(pf_board *board, const pf_packet *request) {
    pf_packet response = {0};
    uint8_t frame[PF_MAX_FRAME];
    const pf_reply *kept;
    const int is_urgent = request->opcode == PF_OPCODE_STOP || request->opcode == PF_OPCODE_ESTOP;
    const uint16_t ahead = (uint16_t)(request->seq - board->last_seq);
    const int is_newer = ahead != 0 && ahead < 0x8000;
    int n_bytes;
    if (request->opcode == PF_OPCODE_HELLO) {
        answer_hello(board, request, &response);
        send(board, &response);
        return;
    }
    response.session = request->session;
    if (board->session == 0 || request->version != PF_VERSION || request->session != board->session) {
        if (is_urgent) pf_board_carry_out(board, request, &response);
        respond(request, &response, PF_STATUS_NO_SESSION);
        send(board, &response);
        return;
    }
    board->fed_us = pf_hal_now_us(board->hal);
    kept = kept_reply(board, request);
    if (kept) {
        pf_hal_write(board->hal, kept->frame, kept->n_bytes);
        return;
    }
    if (!is_newer && !is_urgent) {
        respond(request, &response, PF_STATUS_STALE);
        send(board, &response);
        return;
    }
    if (is_newer) board->last_seq = request->seq;
    respond(request, &response, pf_board_carry_out(board, request, &response));
    n_bytes = pf_encode(&response, frame);
    keep_reply(board, request, frame, n_bytes);
    pf_hal_write(board->hal, frame, n_bytes);
}

/* --- receiving */

static void end_of_frame(pf_board *board) {
    pf_packet packet;
    const int n_coded = board->n_coded;
    int failed;
    board->n_coded = 0;
    if (n_coded == 0) return; /* two zeros: the end of one frame and the beginning of the next */
    failed = pf_decode(board->coded, n_coded, &packet);
    board->n_framing_errors += failed == -1;
    board->n_crc_errors += failed == -2;
    if (failed || packet.kind != PF_KIND_REQUEST) return;
    answer(board, &packet);
    pf_session_send_events(board);
}

void pf_session_receive(pf_board *board, const uint8_t *data, int n_bytes) {
    for (int i = 0; i < n_bytes; i++) {
        if (data[i] == 0) {
            end_of_frame(board);
        } else if (board->n_coded < (int)sizeof board->coded) {
            board->coded[board->n_coded++] = data[i];
        }
    }
}

void pf_session_start(pf_board *board) {
    board->next_session = (uint16_t)board->boot_id; /* a frame from before the start belongs to no session */
}
