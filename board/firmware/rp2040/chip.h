/* The registers of the RP2040 that this port uses, by their names in its datasheet. */
#ifndef PARFOCAL_CHIP_H
#define PARFOCAL_CHIP_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SET(address) REGISTER((address) + 0x2000u)   /* write ones: these bits become 1 */
#define CLEAR(address) REGISTER((address) + 0x3000u) /* write ones: these bits become 0 */

#define RESETS_RESET 0x4000c000u
#define RESETS_RESET_DONE 0x4000c008u
#define RESET_IO_BANK0 (1u << 5)
#define RESET_PADS_BANK0 (1u << 8)
#define RESET_PLL_SYS (1u << 12)
#define RESET_PLL_USB (1u << 13)
#define RESET_PWM (1u << 14)
#define RESET_TIMER (1u << 21)
#define RESET_USBCTRL (1u << 24)

#define CLK_REF_CTRL 0x40008030u
#define CLK_REF_SELECTED 0x40008038u
#define CLK_SYS_CTRL 0x4000803cu
#define CLK_SYS_SELECTED 0x40008044u
#define CLK_PERI_CTRL 0x40008048u
#define CLK_USB_CTRL 0x40008054u
#define CLK_ENABLE (1u << 11)

#define XOSC_CTRL 0x40024000u
#define XOSC_STATUS 0x40024004u
#define XOSC_STARTUP 0x4002400cu

#define PLL_SYS 0x40028000u
#define PLL_USB 0x4002c000u
#define PLL_CS 0x0u
#define PLL_PWR 0x4u
#define PLL_FBDIV 0x8u
#define PLL_PRIM 0xcu

#define IO_BANK0_CTRL(pin) (0x40014004u + 8u * (pin))
#define IO_BANK0_INTR(pin) (0x400140f0u + 4u * ((pin) / 8u))
#define INTR_EDGE_LOW(pin) (4u << (4u * ((pin) % 8u)))
#define INTR_EDGE_HIGH(pin) (8u << (4u * ((pin) % 8u)))
#define FUNCTION_PWM 4u
#define FUNCTION_SIO 5u
#define PADS_BANK0(pin) (0x4001c004u + 4u * (pin))
#define PAD_INPUT_WITH_PULL_UP 0x4au /* input enable, pull-up, Schmitt trigger */

#define SIO_GPIO_IN 0xd0000004u
#define SIO_GPIO_OUT_SET 0xd0000014u
#define SIO_GPIO_OUT_CLR 0xd0000018u
#define SIO_GPIO_OE_SET 0xd0000024u

#define SIO_DIV_UDIVIDEND 0xd0000060u
#define SIO_DIV_UDIVISOR 0xd0000064u
#define SIO_DIV_QUOTIENT 0xd0000070u
#define SIO_DIV_REMAINDER 0xd0000074u

#define PWM_CSR(slice) (0x40050000u + 0x14u * (slice))
#define PWM_CC(slice) (0x4005000cu + 0x14u * (slice))
#define PWM_TOP(slice) (0x40050010u + 0x14u * (slice))

#define TIMER_ALARM0 0x40054010u
#define TIMER_RAWH 0x40054024u
#define TIMER_RAWL 0x40054028u
#define TIMER_INTR 0x40054034u
#define TIMER_INTE 0x40054038u
#define TIMER_INTF 0x4005403cu

#define WATCHDOG_CTRL 0x40058000u
#define WATCHDOG_LOAD 0x40058004u
#define WATCHDOG_REASON 0x40058008u
#define WATCHDOG_TICK 0x4005802cu
#define ROSC_RANDOMBIT 0x4006001cu
#define CHIP_RESET 0x40064008u
#define CHIP_HAD_RUN (1u << 16)

#define SYST_CSR 0xe000e010u
#define SYST_RVR 0xe000e014u
#define SYST_CVR 0xe000e018u
#define SYST_MASK 0xffffffu
#define NVIC_ISER 0xe000e100u
#define NVIC_ICER 0xe000e180u
#define NVIC_ICPR 0xe000e280u
#define VTOR 0xe000ed08u
#define IRQ_TIMER_0 0u
#define IRQ_USBCTRL 5u

#define USB_DPRAM 0x50100000u
#define USB_REGS 0x50110000u

#endif
