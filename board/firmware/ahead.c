#include "ahead.h"

void pf_ahead_start(pf_ahead *ahead, uint64_t edge_us) {
    ahead->n = 0;
    ahead->last_us = edge_us;
}

void pf_ahead_push(pf_ahead *ahead, uint64_t edge_us) {
    ahead->intervals_us[(ahead->first + ahead->n) % PF_N_AHEAD] = (int32_t)(edge_us - ahead->last_us);
    ahead->last_us = edge_us;
    ahead->n++;
}

int32_t pf_ahead_take(pf_ahead *ahead) {
    const int32_t interval_us = ahead->intervals_us[ahead->first];
    ahead->first = (uint8_t)((ahead->first + 1) % PF_N_AHEAD);
    ahead->n--;
    return interval_us;
}
