/* The stage of the paper (dastidar2020 4.1), as the stub has it. Whoever builds another stage measures and changes
 * these numbers; a test holds them against board/stub/config.py. */
#include "board.h"

#define XY_AXIS                                                                                                    \
    .max_speed = 16000, .max_accel = 160000, .jog_steps = 800, .jog_speed = 800, .no_torque = 24000,              \
    .from_rest = 160000, .switch_steps = -400, .edge_steps = 88, .off_steps = 1288, .bounce_us = 1000

const pf_config pf_paper_stage = {
    .axis = {
        {.max_steps = 60000, .whole_steps = 62488, XY_AXIS},
        {.max_steps = 20000, .whole_steps = 22488, XY_AXIS},
        {.max_steps = 16000, .max_speed = 6400, .max_accel = 320000, .jog_steps = 640, .jog_speed = 640,
         .no_torque = 12800, .from_rest = 320000, .switch_steps = -320, .whole_steps = 18080, .edge_steps = 160,
         .off_steps = 1120, .bounce_us = 1000},
    },
    .features = PF_FEATURE_LAMP | PF_FEATURE_LIMIT_SWITCHES | PF_FEATURE_ESTOP | PF_FEATURE_STROBE | PF_FEATURE_LENS,
    .lens_min_ua = -250000,
    .lens_max_ua = 250000, /* of an EL-16-40-TC, the lens of liao2021 appendix D */
};
