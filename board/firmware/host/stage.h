/* A small stage for programs without Python: play, hard stops and switches with hysteresis, in steps. */
#ifndef PARFOCAL_STAGE_H
#define PARFOCAL_STAGE_H

#include <stdint.h>

typedef struct {
    int32_t rotor, stage, play;
    int32_t press, release, upper, low_stop, high_stop;
    int is_lower_closed, was_lower; /* PF_WAS_CLOSED, PF_WAS_OPEN since the last look */
} pf_stage;

void pf_stage_step(pf_stage *stage, int direction);
int pf_stage_is_pressed(const pf_stage *stage, int end);
unsigned pf_stage_contact(pf_stage *stage, int end);

/* The stage of the paper, as the stub has it: axis 0, 1 or 2. */
pf_stage pf_stage_of_paper(int axis);

#endif
