/* The stage of config.c with motors that follow 20,000 steps/s on every axis: how fast the firmware itself can step. */
#include "board.h"

#define FAST                                                                                                       \
    .max_speed = 20000, .max_accel = 400000, .no_torque = 80000, .from_rest = 800000, .jog_steps = 800,            \
    .jog_speed = 800, .edge_steps = 160, .off_steps = 1120, .bounce_us = 1000

const pf_config pf_paper_stage = {
    .axis = {
        {.max_steps = 60000, .switch_steps = -400, .whole_steps = 62488, FAST},
        {.max_steps = 20000, .switch_steps = -400, .whole_steps = 22488, FAST},
        {.max_steps = 16000, .switch_steps = -320, .whole_steps = 18080, FAST},
    },
    .features = PF_FEATURE_LAMP | PF_FEATURE_LIMIT_SWITCHES | PF_FEATURE_ESTOP | PF_FEATURE_STROBE | PF_FEATURE_LENS,
    .lens_min_ua = -250000,
    .lens_max_ua = 250000,
};
