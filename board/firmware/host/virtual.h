/* The firmware in virtual time, for tests: time passes only in pf_virtual_advance. */
#ifndef PARFOCAL_VIRTUAL_H
#define PARFOCAL_VIRTUAL_H

#include "../board.h"

/* What the outside does. Times are those of the virtual clock, us. `outside` is the first argument of all. */
typedef struct {
    /* Steps of one axis in one direction, in order. Returns for how many more steps in that direction neither switch
     * can change: so long nobody asks for the switches, and the steps come later in one call. */
    uint32_t (*steps)(void *outside, int axis, int direction, const uint64_t *times_us, int n_steps);
    int (*is_pressed)(void *outside, int axis, int end, uint64_t time_us);
    unsigned (*contact)(void *outside, int axis, int end, uint64_t time_us); /* as pf_hal_contact */
    void (*motor)(void *outside, int axis, int is_on, uint64_t time_us);
    void (*lamp)(void *outside, unsigned duty, uint64_t time_us);
    void (*lens)(void *outside, int32_t current_ua, uint64_t time_us);
    void (*trigger)(void *outside, uint64_t time_us);
    void (*write)(void *outside, const uint8_t *frame, int n_bytes, uint64_t time_us);
} pf_outside;

typedef struct pf_virtual pf_virtual;

/* A board that starts at `now_us`. NULL without memory. */
pf_virtual *pf_virtual_new(const pf_config *config, const pf_outside *calls, void *outside, uint64_t now_us,
                           uint32_t boot_id, uint32_t unit_serial, int is_estop_pressed);
/* Hand over the steps that were not yet, since nothing depended on them. */
void pf_virtual_hand_over(pf_virtual *virtual);
void pf_virtual_free(pf_virtual *virtual);
/* Restart the processor. */
void pf_virtual_reset(pf_virtual *virtual, uint32_t boot_id, uint8_t reset_cause);
void pf_virtual_advance(pf_virtual *virtual, uint64_t until_us);
/* Keep the main loop busy until then: alarms run, and nothing else. */
void pf_virtual_keep_busy(pf_virtual *virtual, uint64_t until_us);
/* When something other than a step may happen: the end of a leg, light, watchdog. PF_NEVER: not by itself. It is at
 * most 5 ms from now while an axis moves, since nobody knows when it meets a switch. */
uint64_t pf_virtual_next_event_us(pf_virtual *virtual);
void pf_virtual_receive(pf_virtual *virtual, const uint8_t *data, int n_bytes);
/* Drop a frame that has begun to arrive: the cable was pulled. */
void pf_virtual_drop_input(pf_virtual *virtual);
void pf_virtual_press_estop(pf_virtual *virtual, int is_pressed);
/* Payload of STATE into `payload` of PF_MAX_PAYLOAD bytes; its length. */
int pf_virtual_state(pf_virtual *virtual, uint8_t *payload);

/* What tests look at and set inside. */
enum {
    PF_INSIDE_SESSION, PF_INSIDE_FAULTS, PF_INSIDE_MOTORS, PF_INSIDE_HOMED, PF_INSIDE_IS_MOVING,
    PF_INSIDE_N_MOTIONS, PF_INSIDE_CRC_ERRORS, PF_INSIDE_FRAMING_ERRORS,
    PF_INSIDE_MOTION_LIMIT_MS, PF_INSIDE_IDLE_LIMIT_MS,
};
uint32_t pf_virtual_inside(const pf_virtual *virtual, int what);
void pf_virtual_set_inside(pf_virtual *virtual, int what, uint32_t value);

#endif
