/* From reset to main: second boot stage, vectors, memory, clocks. */
#include "chip.h"

extern uint32_t stack_top, data_in_flash, data_begin, data_end, bss_begin, bss_end;
__attribute__((noinline)) int main(void);
void on_alarm(void);
void on_usb(void);

void reset(void);

/* The boot ROM copies the first 256 bytes of flash into RAM and runs them; the last four are their CRC, which
 * image.py writes. They set the flash interface to plain serial reads, which every chip knows, and go on to `reset`.
 * Only position-independent code here. */
__attribute__((section(".boot2"), used, naked, noreturn)) void boot2(void) {
    __asm volatile(
        ".syntax unified\n"
        "ldr r3, =0x18000000\n" /* the flash interface, SSI */
        "movs r1, #0\n"
        "str r1, [r3, #0x08]\n" /* SSIENR: off while it is set up */
        "movs r1, #4\n"
        "str r1, [r3, #0x14]\n" /* BAUDR */
        "ldr r1, =0x001f0300\n"
        "str r1, [r3, #0x00]\n" /* CTRLR0: 32 bits a frame, EEPROM read */
        "movs r1, #0\n"
        "str r1, [r3, #0x04]\n" /* CTRLR1 */
        "ldr r1, =0x03000218\n"
        "ldr r2, =0x180000f4\n"
        "str r1, [r2]\n"        /* SPI_CTRLR0: command 03, 24 bits of address */
        "movs r1, #1\n"
        "str r1, [r3, #0x08]\n"
        "ldr r0, =0x10000100\n" /* the vectors */
        "ldr r1, =0xe000ed08\n"
        "str r0, [r1]\n"
        "ldmia r0!, {r1, r2}\n"
        "msr msp, r1\n"
        "bx r2\n"
        ".ltorg\n");
}

static void stay(void) {
    for (;;) { /* the processor's watchdog restarts it */
    }
}

/* For the boot stage, which wants the first two only. */
__attribute__((section(".first_vectors"), used)) void (*const first_vectors[2])(void) = {
    (void (*)(void))&stack_top,
    reset,
};

__attribute__((section(".vectors"), used)) void (*const vectors[48])(void) = {
    (void (*)(void))&stack_top,
    reset,
    stay, /* NMI */
    stay, /* hard fault */
    [11] = stay,
    [14] = stay,
    [15] = stay,
    [16 + IRQ_TIMER_0] = on_alarm,
    [16 + IRQ_USBCTRL] = on_usb,
};

/* The compiler calls these two by themselves. */
__attribute__((used)) void *memcpy(void *to, const void *from, unsigned n_bytes) {
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((((uintptr_t)to | (uintptr_t)from) & 3u) == 0) { /* structs: the main loop copies one under the lock */
        for (; n_bytes >= 4; n_bytes -= 4, out += 4, in += 4) {
            *(uint32_t *)(void *)out = *(const uint32_t *)(const void *)in;
        }
    }
    while (n_bytes--) *out++ = *in++;
    return to;
}

__attribute__((used)) void *memset(void *to, int value, unsigned n_bytes) {
    uint8_t *out = to;
    while (n_bytes--) *out++ = (uint8_t)value;
    return to;
}

static void start_pll(uint32_t pll, uint32_t multiplier, uint32_t divider_1, uint32_t divider_2) {
    REGISTER(pll + PLL_CS) = 1;
    REGISTER(pll + PLL_FBDIV) = multiplier;
    CLEAR(pll + PLL_PWR) = 1u | 1u << 5; /* power and oscillator on */
    while (!(REGISTER(pll + PLL_CS) >> 31)) {
    }
    REGISTER(pll + PLL_PRIM) = divider_1 << 16 | divider_2 << 12;
    CLEAR(pll + PLL_PWR) = 1u << 3;
}

static void start_clocks(void) {
    REGISTER(XOSC_STARTUP) = 47; /* 1 ms at 12 MHz */
    REGISTER(XOSC_CTRL) = 0xfabu << 12 | 0xaa0u;
    while (!(REGISTER(XOSC_STATUS) >> 31)) {
    }
    REGISTER(CLK_REF_CTRL) = 2; /* the crystal */
    while (!(REGISTER(CLK_REF_SELECTED) & 1u << 2)) {
    }
    REGISTER(CLK_SYS_CTRL) = 0; /* the reference, while the PLL starts */
    while (!(REGISTER(CLK_SYS_SELECTED) & 1u)) {
    }
    start_pll(PLL_SYS, 125, 6, 2); /* 12 MHz * 125 / 12 = 125 MHz */
    start_pll(PLL_USB, 100, 5, 5); /* 12 MHz * 100 / 25 = 48 MHz */
    REGISTER(CLK_SYS_CTRL) = 1;    /* the PLL */
    while (!(REGISTER(CLK_SYS_SELECTED) & 1u << 1)) {
    }
    REGISTER(CLK_PERI_CTRL) = CLK_ENABLE;
    REGISTER(CLK_USB_CTRL) = CLK_ENABLE;
    REGISTER(WATCHDOG_TICK) = 1u << 9 | 12u; /* 1 us for timer and watchdog */
}

__attribute__((noinline)) static void start(void) {
    const uint32_t used = RESET_IO_BANK0 | RESET_PADS_BANK0 | RESET_PWM | RESET_TIMER | RESET_USBCTRL;
    const uint32_t plls = RESET_PLL_SYS | RESET_PLL_USB;
    REGISTER(VTOR) = (uint32_t)(uintptr_t)vectors;
    CLEAR(RESETS_RESET) = plls;
    while ((REGISTER(RESETS_RESET_DONE) & plls) != plls) {
    }
    start_clocks();
    SET(RESETS_RESET) = RESET_USBCTRL;
    CLEAR(RESETS_RESET) = used;
    while ((REGISTER(RESETS_RESET_DONE) & used) != used) {
    }
    main();
}

/* Runs from flash, since nothing is in RAM yet: volatile, so that the compiler does not call memcpy. */
__attribute__((section(".start"), used)) void reset(void) {
    for (volatile uint32_t *to = &data_begin, *from = &data_in_flash; to < &data_end;) *to++ = *from++;
    for (volatile uint32_t *to = &bss_begin; to < &bss_end;) *to++ = 0;
    start();
}
