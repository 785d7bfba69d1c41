/* The port to the RP2040. Pins of a Raspberry Pi Pico:
 *
 *   x: step 2, direction 3; y: 4, 5; z: 6, 7; enable of x, y, z: 8, 9, 10, low: on
 *   lamp (PWM, 12.5 kHz): 11; camera trigger: 12; lens current: 20 (PWM, 12.5 kHz, of its range), 21 high: negative
 *   emergency stop: 13; limit switches of x: 14 lower, 15 upper; y: 16, 17; z: 18, 19
 *
 * Emergency stop and switches open when pressed and lie between pin and ground: a broken wire counts as pressed. */
#include "../hal.h"

#include "../board.h"
#include "chip.h"
#include "usb.h"

/* The serial number, which `parfocal board flash --serial` puts here. Aligned: it lies in one block of a UF2 file. */
static const volatile struct {
    char mark[16];
    uint32_t unit_serial;
} pf_serial __attribute__((aligned(32))) = {{'p', 'a', 'r', 'f', 'o', 'c', 'a', 'l', ' ', 's', 'e', 'r', 'i', 'a', 'l', ':'}, 1};

#define STEP_PIN(axis) (2u + 2u * (unsigned)(axis))
#define DIRECTION_PIN(axis) (3u + 2u * (unsigned)(axis))
#define ENABLE_PIN(axis) (8u + (unsigned)(axis))
#define LAMP_PIN 11u
#define LAMP_SLICE 5u /* channel B */
#define TRIGGER_PIN 12u
#define PWM_STEPS 10000u
#define LENS_PIN 20u
#define LENS_SLICE 2u /* channel A */
#define LENS_SIGN_PIN 21u
#define ESTOP_PIN 13u
#define SWITCH_PIN(axis, end) (14u + 2u * (unsigned)(axis) + (unsigned)(end))
#define DRIVEN_PINS 0x2017fcu /* 2 to 10, 12 and 21 */
#define PULSE_US 2u         /* as long as the slowest drivers want */
#define STEP_PINS (1u << 2 | 1u << 4 | 1u << 6)
#define NO_STEP UINT32_MAX
#define PULSE_CYCLES (125u * PULSE_US)
#define TRIGGER_US 100u     /* long enough for a camera behind an opto-coupler */
#define FARTHEST_US 10000u  /* an early alarm does no harm; this one sees the emergency stop and feeds the watchdog */
#define WATCHDOG_US 1000000u

struct pf_hal {
    uint32_t step_at;       /* SYST_CVR when the last step pin rose in this alarm, or NO_STEP */
    uint32_t trigger_end_us;
    uint8_t is_triggering;
};

static struct pf_hal hal = {.step_at = NO_STEP};
static pf_board board;
static volatile uint8_t has_news; /* the alarm has run: there may be an event to send */

/* Wait until a pulse has passed since `since`, a reading of SYST_CVR, which counts cycles downwards. */
static void wait_pulse(uint32_t since) {
    while (((since - REGISTER(SYST_CVR)) & SYST_MASK) < PULSE_CYCLES) {
    }
}

uint64_t pf_hal_now_us(pf_hal *unused) {
    uint32_t high, low;
    (void)unused;
    do {
        high = REGISTER(TIMER_RAWH);
        low = REGISTER(TIMER_RAWL);
    } while (high != REGISTER(TIMER_RAWH));
    return (uint64_t)high << 32 | low;
}

uint32_t pf_hal_low_us(pf_hal *unused) {
    (void)unused;
    return REGISTER(TIMER_RAWL);
}

void pf_hal_set_alarm(pf_hal *port, uint32_t at_us) {
    const uint32_t farthest_us = REGISTER(TIMER_RAWL) + FARTHEST_US;
    if ((int32_t)(at_us - farthest_us) > 0) at_us = farthest_us;
    if (port->is_triggering && (int32_t)(at_us - port->trigger_end_us) > 0) at_us = port->trigger_end_us;
    REGISTER(TIMER_ALARM0) = at_us;
    if ((int32_t)(at_us - REGISTER(TIMER_RAWL)) <= 0) REGISTER(TIMER_INTF) = 1; /* it may have passed by: now */
}

void pf_hal_lock(pf_hal *unused) {
    (void)unused;
    __asm volatile("cpsid i" ::: "memory");
}

void pf_hal_unlock(pf_hal *unused) {
    (void)unused;
    __asm volatile("cpsie i" ::: "memory");
}

void pf_hal_direction(pf_hal *unused, int axis, int direction) {
    (void)unused;
    REGISTER(direction > 0 ? SIO_GPIO_OUT_SET : SIO_GPIO_OUT_CLR) = 1u << DIRECTION_PIN(axis);
}

void pf_hal_step(pf_hal *port, int axis) {
    REGISTER(SIO_GPIO_OUT_SET) = 1u << STEP_PIN(axis); /* on_alarm ends the pulse */
    port->step_at = REGISTER(SYST_CVR);
}

int pf_hal_is_pressed(pf_hal *unused, int axis, int end) {
    (void)unused;
    return (int)(REGISTER(SIO_GPIO_IN) >> SWITCH_PIN(axis, end) & 1u);
}

__attribute__((always_inline)) inline unsigned pf_hal_contact(pf_hal *unused, int axis, int end) {
    const uint32_t pin = SWITCH_PIN(axis, end), edges = REGISTER(IO_BANK0_INTR(pin));
    const uint32_t seen = edges & (INTR_EDGE_LOW(pin) | INTR_EDGE_HIGH(pin));
    unsigned found = pf_hal_is_pressed(unused, axis, end) ? PF_WAS_CLOSED : PF_WAS_OPEN;
    if (!seen) return found; /* the usual case */
    REGISTER(IO_BANK0_INTR(pin)) = seen;
    if (edges & INTR_EDGE_HIGH(pin)) found |= PF_WAS_CLOSED;
    if (edges & INTR_EDGE_LOW(pin)) found |= PF_WAS_OPEN;
    return found;
}

void pf_hal_motor(pf_hal *unused, int axis, int is_on) {
    (void)unused;
    REGISTER(is_on ? SIO_GPIO_OUT_CLR : SIO_GPIO_OUT_SET) = 1u << ENABLE_PIN(axis);
}

void pf_hal_lamp(pf_hal *unused, unsigned duty) {
    (void)unused;
    REGISTER(PWM_CC(LAMP_SLICE)) = duty << 16;
}

void pf_hal_lens(pf_hal *unused, int32_t current_ua) {
    const uint32_t magnitude_ua = (uint32_t)(current_ua < 0 ? -current_ua : current_ua);
    (void)unused;
    REGISTER(current_ua < 0 ? SIO_GPIO_OUT_SET : SIO_GPIO_OUT_CLR) = 1u << LENS_SIGN_PIN;
    REGISTER(PWM_CC(LENS_SLICE)) = magnitude_ua / ((uint32_t)pf_paper_stage.lens_max_ua / PWM_STEPS);
}

void pf_hal_trigger(pf_hal *port) {
    REGISTER(SIO_GPIO_OUT_SET) = 1u << TRIGGER_PIN; /* on_alarm ends the pulse */
    port->trigger_end_us = REGISTER(TIMER_RAWL) + TRIGGER_US;
    port->is_triggering = 1;
}

int pf_hal_estop(pf_hal *unused) {
    (void)unused;
    return (int)(REGISTER(SIO_GPIO_IN) >> ESTOP_PIN & 1u);
}

int pf_hal_read(pf_hal *unused, uint8_t *data, int max_bytes) {
    (void)unused;
    return usb_read(data, max_bytes);
}

void pf_hal_write(pf_hal *unused, const uint8_t *frame, int n_bytes) {
    (void)unused;
    usb_write(frame, n_bytes);
}

uint32_t pf_hal_boot_id(pf_hal *unused) {
    uint32_t id = (uint32_t)pf_hal_now_us(unused);
    for (int i = 0; i < 64; i++) id = (id << 1 | id >> 31) ^ (REGISTER(ROSC_RANDOMBIT) & 1u);
    return id;
}

uint32_t pf_hal_unit_serial(pf_hal *unused) {
    (void)unused;
    return pf_serial.unit_serial;
}

uint8_t pf_hal_reset_cause(pf_hal *unused) {
    (void)unused;
    if (REGISTER(WATCHDOG_REASON) & 1u) return 1;
    return REGISTER(CHIP_RESET) & CHIP_HAD_RUN ? 2 : 0;
}

void on_alarm(void) {
    CLEAR(TIMER_INTF) = 1;
    REGISTER(TIMER_INTR) = 1;
    if (hal.is_triggering && (int32_t)(REGISTER(TIMER_RAWL) - hal.trigger_end_us) >= 0) {
        REGISTER(SIO_GPIO_OUT_CLR) = 1u << TRIGGER_PIN;
        hal.is_triggering = 0;
    }
    pf_board_alarm(&board);
    if (hal.step_at != NO_STEP) {
        wait_pulse(hal.step_at);
        REGISTER(SIO_GPIO_OUT_CLR) = STEP_PINS;
        hal.step_at = NO_STEP;
    }
    has_news = 1;
}

void on_usb(void) {
    REGISTER(NVIC_ICER) = 1u << IRQ_USBCTRL; /* the main loop does the work, and switches it on again */
    has_news = 1;
}

static void start_pins(void) {
    REGISTER(SIO_GPIO_OUT_SET) = 1u << ENABLE_PIN(0) | 1u << ENABLE_PIN(1) | 1u << ENABLE_PIN(2);
    REGISTER(SIO_GPIO_OE_SET) = DRIVEN_PINS;
    for (uint32_t pin = 2; pin <= LENS_SIGN_PIN; pin++) {
        if (pin >= ESTOP_PIN && pin < LENS_PIN) REGISTER(PADS_BANK0(pin)) = PAD_INPUT_WITH_PULL_UP;
        REGISTER(IO_BANK0_CTRL(pin)) = pin == LAMP_PIN || pin == LENS_PIN ? FUNCTION_PWM : FUNCTION_SIO;
    }
    static const uint8_t slices[] = {LAMP_SLICE, LENS_SLICE};
    for (int i = 0; i < 2; i++) {
        REGISTER(PWM_TOP(slices[i])) = PWM_STEPS - 1;
        REGISTER(PWM_CC(slices[i])) = 0;
        REGISTER(PWM_CSR(slices[i])) = 1;
    }
}

int main(void) {
    start_pins();
    REGISTER(SYST_RVR) = SYST_MASK;
    REGISTER(SYST_CSR) = 5; /* counts cycles, without an interrupt */
    REGISTER(TIMER_INTE) = 1;
    pf_board_start(&board, &pf_paper_stage, &hal);
    usb_start(pf_serial.unit_serial);
    REGISTER(NVIC_ISER) = 1u << IRQ_TIMER_0 | 1u << IRQ_USBCTRL;
    REGISTER(WATCHDOG_LOAD) = 2 * WATCHDOG_US; /* it counts twice a tick */
    SET(WATCHDOG_CTRL) = 1u << 30;
    for (;;) {
        REGISTER(WATCHDOG_LOAD) = 2 * WATCHDOG_US;
        has_news = 0;
        usb_poll();
        pf_board_poll(&board);
        REGISTER(NVIC_ISER) = 1u << IRQ_USBCTRL;
        __asm volatile("cpsid i" ::: "memory");
        if (!has_news) __asm volatile("wfi");
        __asm volatile("cpsie i" ::: "memory");
    }
}
