/* 64-bit division by the hardware divider, in place of the compiler's own, which is five times as slow. */
#include "chip.h"

typedef struct {
    uint32_t quotient, remainder;
} divided;

/* The divider has one set of registers, and the alarm divides too. */
static divided divide_32(uint32_t dividend, uint32_t divisor) {
    divided found;
    uint32_t was_masked;
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(was_masked)::"memory");
    REGISTER(SIO_DIV_UDIVIDEND) = dividend;
    REGISTER(SIO_DIV_UDIVISOR) = divisor;
    __asm volatile("nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop"); /* it takes eight cycles */
    found.remainder = REGISTER(SIO_DIV_REMAINDER);
    found.quotient = REGISTER(SIO_DIV_QUOTIENT);
    __asm volatile("msr primask, %0" ::"r"(was_masked) : "memory");
    return found;
}

/* (high, low) / divisor, where high < divisor: two digits of 16 bits (Knuth, algorithm D). */
static divided divide_64(uint32_t high, uint32_t low, uint32_t divisor) {
    uint32_t shift = 0, quotient = 0;
    if (!(divisor >> 16)) divisor <<= 16, shift = 16;
    if (!(divisor >> 24)) divisor <<= 8, shift += 8;
    if (!(divisor >> 28)) divisor <<= 4, shift += 4;
    if (!(divisor >> 30)) divisor <<= 2, shift += 2;
    if (!(divisor >> 31)) divisor <<= 1, shift += 1;
    if (shift) {
        high = high << shift | low >> (32 - shift);
        low <<= shift;
    }
    for (int digit = 0; digit < 2; digit++) {
        const uint32_t next = digit == 0 ? low >> 16 : low & 0xffffu;
        divided guess = divide_32(high, divisor >> 16);
        while (guess.quotient >> 16 || guess.quotient * (divisor & 0xffffu) > (guess.remainder << 16 | next)) {
            guess.quotient--;
            guess.remainder += divisor >> 16;
            if (guess.remainder >> 16) break;
        }
        high = (high << 16 | next) - guess.quotient * divisor;
        quotient = quotient << 16 | guess.quotient;
    }
    return (divided){quotient, high >> shift};
}

__attribute__((used)) uint64_t divide(uint64_t dividend, uint64_t divisor, uint64_t *remainder);
uint64_t divide(uint64_t dividend, uint64_t divisor, uint64_t *remainder) {
    const uint32_t high = (uint32_t)(dividend >> 32), low = (uint32_t)dividend;
    divided upper = {0, high}, lower;
    if (divisor >> 32) { /* nothing on this board does: one bit after the other */
        uint64_t quotient = 0, left = 0;
        for (int bit = 63; bit >= 0; bit--) {
            left = left << 1 | (dividend >> bit & 1u);
            quotient <<= 1;
            if (left >= divisor) {
                left -= divisor;
                quotient |= 1;
            }
        }
        *remainder = left;
        return quotient;
    }
    if (high >= (uint32_t)divisor) upper = divide_32(high, (uint32_t)divisor);
    lower = upper.remainder == 0 ? divide_32(low, (uint32_t)divisor)
                                 : divide_64(upper.remainder, low, (uint32_t)divisor);
    *remainder = lower.remainder;
    return (uint64_t)upper.quotient << 32 | lower.quotient;
}

/* The compiler's name for it: quotient in r0 and r1, remainder in r2 and r3. */
__attribute__((naked, used)) void __aeabi_uldivmod(void);
__attribute__((naked)) void __aeabi_uldivmod(void) {
    __asm volatile(
        ".syntax unified\n"
        "push {r4, lr}\n"
        "sub sp, #16\n"
        "add r4, sp, #8\n"
        "str r4, [sp]\n"
        "bl divide\n"
        "ldr r2, [sp, #8]\n"
        "ldr r3, [sp, #12]\n"
        "add sp, #16\n"
        "pop {r4, pc}\n");
}
