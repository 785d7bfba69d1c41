/* Step times of one run of steps in one direction: a trapezoid of speed, in whole numbers.
 *
 * The time of every step follows from its number alone, so no error adds up. The formulas are those of
 * board/profile.py; the times agree with it to 2 us. */
#ifndef PARFOCAL_LEG_H
#define PARFOCAL_LEG_H

#include <stdint.h>

/* Beyond this many steps the sums below leave 64 bits. */
#define PF_MAX_LEG_STEPS 4000000u

typedef struct {
    uint32_t n_steps, speed, accel;
    uint32_t n_up;         /* steps while accelerating */
    uint32_t n_before_down; /* steps before the deceleration */
    uint64_t duration_us, ramp_us;
    uint64_t flat_us;      /* how much later than at full speed from the start: half the ramp */
    uint64_t root;         /* the last square root, from which the next one begins */
    uint64_t reach;        /* of a stop: how far the steps reach, 1e-12 steps; 0 while not stopped */
    uint64_t stop_end_us;  /* of a stop: when the speed is 0 */
} pf_leg;

/* Plan `n_steps` from rest to rest. Speed in steps/s and acceleration in steps/s2 are positive. */
void pf_leg_plan(pf_leg *leg, uint32_t n_steps, uint32_t speed, uint32_t accel);
/* Time of step 1..n_steps since the start of the leg, us. */
uint64_t pf_leg_edge_us(pf_leg *leg, uint32_t step);
/* Decelerate from `since_us` on; n_steps becomes the step that is reached. Once stopped it stays stopped. */
void pf_leg_stop(pf_leg *leg, uint64_t since_us);

#endif
