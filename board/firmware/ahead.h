/* Times of the coming steps of one axis. The main loop computes them, so that the alarm only adds an interval. */
#ifndef PARFOCAL_AHEAD_H
#define PARFOCAL_AHEAD_H

#include <stdint.h>

/* At 20,000 steps/s the main loop may be busy for 3.2 ms. A power of two. */
#define PF_N_AHEAD 64u

typedef struct {
    uint8_t first, n;
    uint64_t last_us;   /* of the last step in the queue, or of the one that comes next: since the start of the leg */
    int32_t intervals_us[PF_N_AHEAD]; /* from each step to the next */
} pf_ahead;

/* Begin with the coming step, `edge_us` after the start of the leg. */
void pf_ahead_start(pf_ahead *ahead, uint64_t edge_us);
/* Append a step that comes `edge_us` after the start of the leg. There must be room. */
void pf_ahead_push(pf_ahead *ahead, uint64_t edge_us);
/* [alarm] Take the interval to the next step. The queue must not be empty. */
int32_t pf_ahead_take(pf_ahead *ahead);

#endif
