/* The current of a tunable lens. */
#include "board.h"

static void drive(pf_board *board, int32_t current_ua) {
    if (current_ua == board->lens_ua) return;
    board->lens_ua = current_ua;
    pf_hal_lens(board->hal, current_ua);
}

uint8_t pf_lens_set(pf_board *board, const pf_set_current *request) {
    if (request->current_ua < board->config->lens_min_ua || request->current_ua > board->config->lens_max_ua) {
        return PF_STATUS_BAD_VALUE;
    }
    drive(board, request->current_ua);
    return PF_STATUS_OK;
}

void pf_lens_off(pf_board *board) { drive(board, 0); }
