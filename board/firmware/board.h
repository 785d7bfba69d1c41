/* The firmware of the motor board: the protocol of PROTOCOL.md over the functions of hal.h.
 *
 * A port calls pf_board_start once, then pf_board_poll from its main loop, and pf_board_alarm from the alarm
 * interrupt. There is no heap, no floating point, and no global variable.
 *
 * The alarm makes steps, looks at the switches after each, and drives triggers and flashes: it computes nothing, so it
 * is short. The main loop does the rest: it reads and answers bytes, computes the times of coming steps, begins the next
 * phase of a homing, ends motions, and keeps the watchdog. */
#ifndef PARFOCAL_BOARD_H
#define PARFOCAL_BOARD_H

#include "ahead.h"
#include "hal.h"
#include "leg.h"
#include "messages.h"

#define PF_FIRMWARE_VERSION 1
#define PF_N_AXES 3
#define PF_N_REPLIES 8
#define PF_N_TRIGGERS 16
#define PF_N_WAY_POINTS 200
#define PF_NO_STEP INT32_MAX

/* What the maker of a board measures and compiles in, in steps and us. */
typedef struct {
    int32_t max_steps;          /* upper travel limit; the lower one is 0 */
    uint32_t max_speed, max_accel;
    uint32_t jog_steps, jog_speed;
    uint32_t no_torque, from_rest; /* the pull-out line */
    int32_t switch_steps;       /* where the lower switch opens, upwards: below 0 */
    uint32_t whole_steps;       /* from hard stop to hard stop and more: a seek that is longer has failed */
    uint32_t edge_steps;        /* hysteresis and play, and more */
    uint32_t off_steps;         /* up off the switch at most: no further than the hard stop lies below it */
    uint32_t bounce_us;         /* a contact bounces no longer */
} pf_axis_config;

typedef struct {
    pf_axis_config axis[PF_N_AXES];
    uint16_t features;
    int32_t lens_min_ua, lens_max_ua; /* range of the lens current; 0 and 0 without a lens */
} pf_config;

extern const pf_config pf_paper_stage; /* config.c */

enum { PF_AT_REST, PF_MOVING, PF_STOPPING, PF_SEEKING_DOWN, PF_BRAKING, PF_SEEKING_UP, PF_LEAVING, PF_WAITING };

/* What the alarm does with an axis: nothing; steps, or the end of a wait. Nothing more, until the main loop has ended
 * the leg, or has computed more steps. */
enum { PF_HALTED, PF_RUNS, PF_LEG_ENDED, PF_OUT_OF_STEPS };

/* What every step needs comes first: the processor reaches it in fewer instructions. Of the times the low half is
 * enough, since two steps never lie more than 1.5 s apart. While the axis runs, the main loop holds pf_hal_lock where
 * it changes what the alarm reads. */
typedef struct {
    uint8_t run, mode;
    int8_t sign;
    uint8_t is_contact_found;
    uint32_t next_us;           /* when the coming step is due by the plan of its leg, or the wait ends */
    int32_t pos_steps;
    uint32_t n_done, n_steps;   /* steps of the leg: so far, and in all */
    uint32_t contact_us;        /* when a leg downwards met its switch, low half */
    uint32_t end_us;            /* when the leg ended, low half */
    uint32_t n_leaving;         /* steps after the switch has opened */
    int32_t edge_steps;         /* where it opened */
    pf_ahead *ahead;            /* the steps after the coming one: one of `queues` */
    pf_ahead queues[2];         /* while the alarm takes from the one, the main loop fills the other, for a new leg */
    pf_leg leg;                 /* in the main loop only, from here on */
    uint64_t start_us;
} pf_axis;

enum { PF_HOME_OFF, PF_HOME_FAST_DOWN, PF_HOME_FIRST_UP, PF_HOME_SLOW_DOWN, PF_HOME_SECOND_UP, PF_HOME_TO_ZERO };

typedef struct {
    uint8_t is_active, axes, result;
    uint8_t is_homing, home_axis, home_phase;
    uint16_t spread_steps;
    uint32_t move_id;
    uint64_t end_us;            /* when the last axis came to rest */
    uint32_t fast, slow, accel; /* of a homing */
    int32_t first_edge, second_edge;
    uint8_t lead;               /* of a sweep: the axis along which it goes */
    uint8_t n_legs, next_leg;   /* of Z in a sweep, 0 otherwise, and which begins next */
} pf_motion;

/* What is next. PF_TRIGGERED: a step has given the trigger, which is still to be noted. PF_PAUSE: the end of the time in
 * which a position would come too soon. */
enum { PF_TRIGGER, PF_TRIGGERED, PF_FLASH_ON, PF_FLASH_OFF, PF_PAUSE };

typedef struct {
    uint16_t steady, shown, count, duty;
    uint8_t is_strobing;
    uint8_t axes;               /* its axis if it triggers by position, 0 if by time */
    uint16_t index;             /* of the next trigger or position */
    int32_t next_steps, spacing_steps;
    uint16_t n_frames;          /* triggers given */
    uint8_t phase;
    uint64_t dark_us;           /* when the steady light ends */
    uint64_t frame_us;          /* when the next, present or (by position) last frame begins */
    uint64_t edge_us;           /* when trigger or flash next do something */
    uint32_t step_us;           /* when a step gave the last trigger, low half */
    uint32_t period_us, delay_us, width_us;
    uint32_t last_strobe_id;
} pf_lamp_driver;

typedef struct {
    uint64_t time_us;
    uint32_t strobe_id;
    uint16_t index;
} pf_trigger;

typedef struct {
    uint16_t seq;
    uint8_t opcode, n_bytes;    /* n_bytes 0: empty */
    uint8_t frame[PF_MAX_FRAME];
} pf_reply;

typedef struct {
    pf_hal *hal;
    const pf_config *config;
    uint32_t boot_id, unit_serial;
    uint8_t reset_cause;
    uint64_t start_us;

    /* Written in the alarm too: the main loop holds pf_hal_lock around them. */
    pf_axis axis[PF_N_AXES];
    pf_lamp_driver lamp;
    uint8_t has_run_lamp;       /* the last alarm did: the next one steps */
    uint32_t other_us;          /* low half of when light or watchdog next do something: a step need not look earlier */
    uint64_t watch_us;          /* when the watchdog expires, as the main loop saw it last */
    pf_trigger triggers[PF_N_TRIGGERS];
    uint8_t first_trigger, n_triggers;
    uint8_t is_cut;             /* the alarm has seen the emergency stop and has switched everything off */

    /* Only read in the alarm. */
    pf_motion motion;
    pf_way_point way_points[PF_N_WAY_POINTS];
    uint8_t n_way_points;       /* kept for the next sweep; one that is under way has its own count */
    int32_t lens_ua;
    uint8_t homed, motors, last_result;
    uint16_t faults;
    uint32_t last_move_id;
    uint64_t fed_us;
    uint32_t motion_limit_ms, idle_limit_ms;
    uint8_t is_alarm_stale;     /* what it was set for has changed */
    uint8_t has_done;
    pf_move_done done;          /* the event that waits to be sent */

    /* The session, in the main loop only. */
    uint8_t has_nonce;
    uint32_t nonce;
    uint16_t session, next_session, last_seq, event_seq;
    pf_reply replies[PF_N_REPLIES];
    uint8_t next_reply;
    uint8_t coded[PF_MAX_FRAME - 1]; /* a frame being received; one byte more than the longest: too long */
    uint8_t n_coded;

    uint32_t n_motions, n_crc_errors, n_framing_errors; /* since the start */
} pf_board;

/* Forget everything and start: motors on, light off, nothing homed, no session. `config` must stay valid. */
void pf_board_start(pf_board *board, const pf_config *config, pf_hal *hal);
/* Read and answer what has arrived, and send events. Call it again and again. */
void pf_board_poll(pf_board *board);
/* Do what is due, and set the next alarm. For the alarm interrupt. */
void pf_board_alarm(pf_board *board);
/* When light or watchdog next do something by themselves. */
uint64_t pf_board_next_us(const pf_board *board);
/* Everything that changes, as STATE reports it. */
void pf_board_state(pf_board *board, pf_state *state);

/* The axis that a mask names, -1 if it is not exactly one. */
static inline int pf_single_axis(uint8_t axes) {
    switch (axes) {
        case PF_AXIS_BIT_X: return 0;
        case PF_AXIS_BIT_Y: return 1;
        case PF_AXIS_BIT_Z: return 2;
        default: return -1;
    }
}

/* motion.c: what requests do to the axes. Return a status. From here on no caller holds the lock, unless it says so. */
uint8_t pf_motion_move(pf_board *board, const pf_move_abs *request);
uint8_t pf_motion_keep(pf_board *board, const pf_way_point *request);
uint8_t pf_motion_sweep(pf_board *board, const pf_sweep *request);
uint8_t pf_motion_home(pf_board *board, const pf_home *request);
uint8_t pf_motion_motors(pf_board *board, const pf_motors *request);
void pf_motion_break_off(pf_board *board, uint8_t result);
void pf_motion_estop(pf_board *board);
/* Do what follows from the steps made so far: the next phase of a homing, a deceleration, the end of the motion. */
void pf_motion_follow(pf_board *board);
/* Compute times of some coming steps. */
void pf_motion_look_ahead(pf_board *board);

/* homing.c */
void pf_homing_begin(pf_board *board, int axis);
/* Begin what follows after the leg that has just ended. */
void pf_homing_next(pf_board *board, int axis);

/* axis.c: one axis, from the main loop. */
/* Run a leg from rest to rest, or none where the switch already stands as the leg should find it. */
void pf_axis_begin(pf_board *board, int axis, uint8_t mode, int8_t sign, uint32_t n_steps, uint32_t speed,
                   uint32_t accel);
/* Decelerate from `since_us` on, which lies in the leg. */
void pf_axis_brake(pf_board *board, pf_axis *axis, uint64_t since_us, uint8_t mode);
/* Go on after the alarm has run out of steps. */
void pf_axis_resume(pf_board *board, pf_axis *axis);
/* Let `duration_us` pass, then end the leg. */
void pf_axis_wait(pf_board *board, pf_axis *axis, uint32_t duration_us);
void pf_axis_rest(pf_board *board, int axis, uint64_t since_us);
/* Compute the time of one more step, if there is room for it. Returns whether there was. */
int pf_axis_look_ahead(pf_board *board, pf_axis *axis);
/* `low_us`, the low half of a time not long ago, in full. */
uint64_t pf_board_past_us(const pf_board *board, uint32_t low_us);

/* steps.c, [alarm] */
/* Make the steps that are due at `now_us`, low half. Returns the time until the next one, us, or PF_NO_STEP. */
int32_t pf_steps_run(pf_board *board, uint32_t now_us);
/* Time until the next step, us; below 0 when it is late. PF_NO_STEP when nothing moves. */
int32_t pf_steps_left_us(const pf_board *board, uint32_t now_us);

/* lamp.c */
uint8_t pf_lamp_set(pf_board *board, const pf_lamp *request);
uint8_t pf_lamp_strobe(pf_board *board, const pf_strobe *request);
uint8_t pf_lamp_arm(pf_board *board, const pf_position_trigger *request);
/* [alarm] Give a trigger if the step just made reaches the next position. For the axis in `lamp.axes`. */
void pf_lamp_at_step(pf_board *board, int axis);
/* Note a trigger that the alarm has given by position, unless it has done so itself. */
void pf_lamp_note(pf_board *board);
/* The counters of `axes` have lost their meaning: end a position trigger of theirs. */
void pf_lamp_disarm(pf_board *board, uint8_t axes);
void pf_lamp_darken(pf_board *board);
/* [alarm] Do the next thing that is due. */
void pf_lamp_run(pf_board *board, uint64_t now_us);
/* [alarm], or with the lock. When something is next due. */
uint64_t pf_lamp_next_us(const pf_board *board);
int pf_lamp_is_used(const pf_board *board);

/* lens.c */
uint8_t pf_lens_set(pf_board *board, const pf_set_current *request);
void pf_lens_off(pf_board *board);

/* session.c: answers the bytes that arrive. */
void pf_session_start(pf_board *board);
void pf_session_receive(pf_board *board, const uint8_t *data, int n_bytes);
void pf_session_send_events(pf_board *board);

/* board.c: carries out one request; returns its status, and fills the payload of a response that has one. */
uint8_t pf_board_carry_out(pf_board *board, const pf_packet *request, pf_packet *response);

#endif
