#include "stage.h"

#include "../hal.h"

static unsigned lower_now(const pf_stage *stage) { return stage->is_lower_closed ? PF_WAS_CLOSED : PF_WAS_OPEN; }

void pf_stage_step(pf_stage *stage, int direction) {
    const int32_t rotor = stage->rotor + direction;
    if (rotor >= stage->low_stop && rotor <= stage->high_stop) stage->rotor = rotor; /* else the step is lost */
    if (stage->stage < stage->rotor) stage->stage = stage->rotor;
    if (stage->stage > stage->rotor + stage->play) stage->stage = stage->rotor + stage->play;
    if (stage->is_lower_closed ? stage->stage >= stage->release : stage->stage <= stage->press) {
        stage->was_lower |= (int)lower_now(stage);
        stage->is_lower_closed = !stage->is_lower_closed;
    }
}

int pf_stage_is_pressed(const pf_stage *stage, int end) {
    return end == PF_UPPER_END ? stage->stage >= stage->upper : stage->is_lower_closed;
}

unsigned pf_stage_contact(pf_stage *stage, int end) {
    unsigned found;
    if (end == PF_UPPER_END) return stage->stage >= stage->upper ? PF_WAS_CLOSED : PF_WAS_OPEN;
    found = lower_now(stage) | (unsigned)stage->was_lower;
    stage->was_lower = 0;
    return found;
}

pf_stage pf_stage_of_paper(int axis) {
    static const pf_stage paper[] = {
        {.rotor = 4800, .play = 48, .press = -424, .release = -400, .upper = 60800, .low_stop = -1648, .high_stop = 62000},
        {.rotor = 3200, .play = 48, .press = -424, .release = -400, .upper = 20800, .low_stop = -1648, .high_stop = 22000},
        {.rotor = 2240, .play = 64, .press = -352, .release = -320, .upper = 16640, .low_stop = -1344, .high_stop = 17600},
    };
    pf_stage stage = paper[axis];
    stage.stage = stage.rotor + stage.play / 2;
    return stage;
}
