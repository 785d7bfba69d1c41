/* What the firmware needs from a machine: nineteen functions. A port implements them and calls the functions of
 * board.h; nothing else in the core touches hardware.
 *
 * `pf_hal` is whatever the port needs to find its pins. Functions marked [alarm] are also called from the alarm
 * interrupt: they must be short, and must not wait. */
#ifndef PARFOCAL_HAL_H
#define PARFOCAL_HAL_H

#include <stdint.h>

typedef struct pf_hal pf_hal;

#define PF_NEVER UINT64_MAX

enum { PF_LOWER_END = 0, PF_UPPER_END = 1 };

/* Bits of pf_hal_contact. */
enum { PF_WAS_CLOSED = 1, PF_WAS_OPEN = 2 };

/* [alarm] Time of a clock that never jumps, us. */
uint64_t pf_hal_now_us(pf_hal *hal);
/* [alarm] Its low half: what a step needs. */
uint32_t pf_hal_low_us(pf_hal *hal);
/* [alarm] Call pf_board_alarm when the low half of the clock comes to `at_us`, or at once if that was up to 35 minutes
 * ago. At most 1000 s ahead. The last call holds. */
void pf_hal_set_alarm(pf_hal *hal, uint32_t at_us);
/* Keep the alarm interrupt away until pf_hal_unlock. Not nested. */
void pf_hal_lock(pf_hal *hal);
void pf_hal_unlock(pf_hal *hal);

/* Direction of the coming steps of an axis: 1 upwards or -1. The first of them comes 20 us later or more. */
void pf_hal_direction(pf_hal *hal, int axis, int direction);
/* [alarm] One step edge. The port keeps the pulse time of its driver. */
void pf_hal_step(pf_hal *hal, int axis);
/* [alarm] Whether the limit switch at one end of an axis is pressed now. A broken wire counts as pressed. */
int pf_hal_is_pressed(pf_hal *hal, int axis, int end);
/* [alarm] What a switch was at some moment since the last call, now included: PF_WAS_CLOSED, PF_WAS_OPEN or both.
 * A contact bounces, and the first contact counts: latch its edges, as most GPIO blocks do. */
unsigned pf_hal_contact(pf_hal *hal, int axis, int end);
/* [alarm] Switch the current of a motor on or off. */
void pf_hal_motor(pf_hal *hal, int axis, int is_on);
/* [alarm] Set the duty of the lamp, 1/10000. */
void pf_hal_lamp(pf_hal *hal, unsigned duty);
/* [alarm] Set the current of the tunable lens, uA, within the range of the configuration. */
void pf_hal_lens(pf_hal *hal, int32_t current_ua);
/* [alarm] Begin one pulse on the camera's trigger; the port ends it. */
void pf_hal_trigger(pf_hal *hal);
/* [alarm] Whether the emergency stop is pressed. A broken wire counts as pressed. */
int pf_hal_estop(pf_hal *hal);

/* Bytes from the host, at most `max_bytes`; how many there were. Does not wait. */
int pf_hal_read(pf_hal *hal, uint8_t *data, int max_bytes);
/* Send one whole frame, or drop it when there is no room: the host asks again. Does not wait. */
void pf_hal_write(pf_hal *hal, const uint8_t *frame, int n_bytes);

/* A random number, new at every start. */
uint32_t pf_hal_boot_id(pf_hal *hal);
/* The serial number of this board, the same at every start. */
uint32_t pf_hal_unit_serial(pf_hal *hal);
/* Why the processor started: 0 power on, 1 its own watchdog, 2 reset line. */
uint8_t pf_hal_reset_cause(pf_hal *hal);

#endif
