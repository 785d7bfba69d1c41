#include "leg.h"

#define US_PER_S 1000000u
#define US2_PER_S2 1000000000000u

/* The whole part of the square root of x, by Newton's method from `guess`. A near guess needs one or two divisions. */
static uint64_t root_of(uint64_t x, uint64_t guess) {
    uint64_t root, next;
    if (x == 0) return 0;
    if (guess == 0) guess = (uint64_t)1 << ((65 - __builtin_clzll(x)) / 2);
    next = (guess + x / guess) / 2;
    if (next == 0) next = 1;
    do {
        root = next;
        next = (root + x / root) / 2;
    } while (next < root);
    return root;
}

void pf_leg_plan(pf_leg *leg, uint32_t n_steps, uint32_t speed, uint32_t accel) {
    const uint64_t speed2 = (uint64_t)speed * speed, twice_accel = 2 * (uint64_t)accel;
    if (n_steps > PF_MAX_LEG_STEPS) n_steps = PF_MAX_LEG_STEPS;
    leg->n_steps = n_steps;
    leg->speed = speed;
    leg->accel = accel;
    leg->root = 0;
    leg->reach = 0;
    leg->stop_end_us = 0;
    leg->flat_us = 0;
    if (n_steps == 0) {
        leg->n_up = leg->n_before_down = 0;
        leg->duration_us = leg->ramp_us = 0;
    } else if (speed2 >= (uint64_t)accel * n_steps) { /* too short to reach its speed */
        leg->n_up = leg->n_before_down = n_steps / 2;
        leg->duration_us = root_of(4 * (uint64_t)n_steps * US2_PER_S2 / accel, 0);
        leg->ramp_us = leg->duration_us / 2 + 1; /* no time at full speed in between */
    } else {
        const uint32_t n_down = (uint32_t)((speed2 - 1) / twice_accel) + 1;
        leg->n_up = (uint32_t)(speed2 / twice_accel);
        leg->n_before_down = n_steps - n_down;
        leg->ramp_us = (uint64_t)speed * US_PER_S / accel;
        leg->flat_us = (uint64_t)speed * (US_PER_S / 2) / accel;
        leg->duration_us = ((uint64_t)n_steps * US_PER_S + speed / 2) / speed + leg->ramp_us;
    }
}

/* sqrt(2 * steps / accel) in us, `steps` in 1e-12. */
static uint64_t ramp_us(pf_leg *leg, uint64_t steps) {
    leg->root = root_of(2 * steps / leg->accel, leg->root);
    return leg->root;
}

uint64_t pf_leg_edge_us(pf_leg *leg, uint32_t step) {
    const uint64_t done = (uint64_t)step * US2_PER_S2;
    if (leg->reach != 0) return leg->stop_end_us - ramp_us(leg, leg->reach > done ? leg->reach - done : 0);
    if (step <= leg->n_up) return ramp_us(leg, done);
    if (step > leg->n_before_down) {
        return leg->duration_us - ramp_us(leg, (uint64_t)(leg->n_steps - step) * US2_PER_S2);
    }
    return (uint64_t)step * US_PER_S / leg->speed + leg->flat_us;
}

void pf_leg_stop(pf_leg *leg, uint64_t since_us) {
    uint64_t last;
    if (leg->reach != 0) return;
    if (since_us < leg->ramp_us) {
        leg->reach = leg->accel * since_us * since_us;
        leg->stop_end_us = 2 * since_us;
    } else if (since_us + leg->ramp_us <= leg->duration_us) {
        leg->reach = leg->speed * since_us * US_PER_S;
        leg->stop_end_us = since_us + leg->ramp_us;
    } else {
        return; /* it is decelerating already */
    }
    if (leg->reach == 0) leg->reach = 1;
    last = leg->reach / US_PER_S / US_PER_S; /* by 1e12 at once would be 64 bits by 64 */
    if (last < leg->n_steps) leg->n_steps = (uint32_t)last;
}
