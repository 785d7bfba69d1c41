#include "usb.h"

#include "chip.h"

#define PACKET 64

/* 1209:0001 of pid.codes is for tests on one's own bench. Whoever gives boards to others asks pid.codes for a product
 * id of their own, and changes board/flash/flash.py and the udev rules with it. */
#define VENDOR_ID 0x1209
#define PRODUCT_ID 0x0001

/* Registers of the controller. */
#define ADDR_ENDP (USB_REGS + 0x00u)
#define MAIN_CTRL (USB_REGS + 0x40u)
#define SIE_CTRL (USB_REGS + 0x4cu)
#define SIE_STATUS (USB_REGS + 0x50u)
#define BUFF_STATUS (USB_REGS + 0x58u)
#define EP_STALL_ARM (USB_REGS + 0x68u)
#define USB_MUXING (USB_REGS + 0x74u)
#define USB_PWR (USB_REGS + 0x78u)
#define INTE (USB_REGS + 0x90u)
#define SIE_SETUP_REC (1u << 17)
#define SIE_BUS_RESET (1u << 19)
#define SIE_EP0_INT_1BUF (1u << 29)
#define SIE_PULLUP_EN (1u << 16)
#define INT_BUFF_STATUS (1u << 4)
#define INT_BUS_RESET (1u << 12)
#define INT_SETUP_REQ (1u << 16)

/* Its memory: control and buffers of the endpoints. */
#define EP_CTRL(n, is_out) (USB_DPRAM + 8u * (n) + ((is_out) ? 4u : 0u))
#define EP_BUFFER(n, is_out) (USB_DPRAM + 0x80u + 8u * (n) + ((is_out) ? 4u : 0u))
#define EP_ENABLE (1u << 31 | 1u << 29)
#define EP_BULK (2u << 26)
#define EP_INTERRUPT (3u << 26)
#define BUF_AVAILABLE (1u << 10)
#define BUF_STALL (1u << 11)
#define BUF_DATA1 (1u << 13)
#define BUF_FULL (1u << 15)
#define BUF_LENGTH 0x3ffu

enum { CONTROL_AT = 0x100, NOTIFY_AT = 0x180, IN_AT = 0x1c0, OUT_AT = 0x200 };
enum { NOTIFY_EP = 1, DATA_EP = 2 };
enum { N_RX = 512, N_TX = 1024 }; /* powers of two; PROTOCOL.md asks for 256 bytes of input at least */

static const uint8_t device_descriptor[] = {
    18, 1, 0x00, 0x02, 0xef, 0x02, 0x01, PACKET, /* a device of several interfaces, one function */
    VENDOR_ID & 0xff, VENDOR_ID >> 8, PRODUCT_ID & 0xff, PRODUCT_ID >> 8,
    0x00, 0x01, 1, 2, 3, 1,
};
static const uint8_t configuration_descriptor[] = {
    9, 2, 75, 0, 2, 1, 0, 0x80, 50,
    8, 11, 0, 2, 2, 2, 0, 0,                            /* interfaces 0 and 1 belong together */
    9, 4, 0, 0, 1, 2, 2, 0, 0,                          /* protocol 0: no AT commands, so ModemManager keeps off */
    5, 0x24, 0, 0x10, 0x01, 5, 0x24, 1, 0, 1, 4, 0x24, 2, 2, 5, 0x24, 6, 0, 1,
    7, 5, 0x80 | NOTIFY_EP, 3, 8, 0, 255,
    9, 4, 1, 0, 2, 10, 0, 0, 0,
    7, 5, 0x80 | DATA_EP, 2, PACKET, 0, 0,
    7, 5, DATA_EP, 2, PACKET, 0, 0,
};
static const char *const strings[] = {0, "parfocal", "parfocal motor board"};

static struct {
    uint8_t is_configured, new_address, has_new_address;
    uint8_t in_data1, out_data1, control_data1;
    const uint8_t *control_data; /* what is left of an answer on endpoint 0 */
    int n_control;
    uint8_t is_receiving_control;
    uint8_t answer[64], line_coding[7];
    uint32_t unit_serial;
    uint8_t rx[N_RX], tx[N_TX];
    uint32_t rx_in, rx_out, tx_in, tx_out;
    uint8_t is_sending, is_last_full, is_rx_held;
} usb;

static void copy_in(uint32_t at, const uint8_t *from, int n_bytes) {
    volatile uint8_t *to = (volatile uint8_t *)(USB_DPRAM + at);
    for (int i = 0; i < n_bytes; i++) to[i] = from[i];
}

/* Give a buffer to the controller. The datasheet asks for some cycles before AVAILABLE. */
static void give(uint32_t buffer, uint32_t value) {
    REGISTER(buffer) = value;
    for (int i = 0; i < 12; i++) __asm volatile("nop");
    REGISTER(buffer) = value | BUF_AVAILABLE;
}

/* --- endpoint 0 */

static void send_control(void) {
    const int n_bytes = usb.n_control < PACKET ? usb.n_control : PACKET;
    copy_in(CONTROL_AT, usb.control_data, n_bytes);
    give(EP_BUFFER(0, 0), BUF_FULL | (usb.control_data1 ? BUF_DATA1 : 0) | (uint32_t)n_bytes);
    usb.control_data1 ^= 1;
    usb.control_data += n_bytes;
    usb.n_control -= n_bytes;
}

static void answer_control(const uint8_t *data, int n_bytes, int n_wanted) {
    usb.control_data = data;
    usb.n_control = n_bytes < n_wanted ? n_bytes : n_wanted;
    send_control();
}

static void receive_control(void) { give(EP_BUFFER(0, 1), BUF_DATA1 | PACKET); }

static int string_descriptor(uint8_t index) {
    int n = 2;
    if (index == 0) {
        usb.answer[2] = 0x09, usb.answer[3] = 0x04; /* English */
        n = 4;
    } else if (index == 3) {
        for (int i = 7; i >= 0; i--) {
            const uint8_t digit = (uint8_t)(usb.unit_serial >> (4 * i) & 15u);
            usb.answer[n++] = (uint8_t)(digit < 10 ? '0' + digit : 'a' + digit - 10);
            usb.answer[n++] = 0;
        }
    } else {
        for (const char *c = strings[index < 3 ? index : 2]; *c; c++) {
            usb.answer[n++] = (uint8_t)*c;
            usb.answer[n++] = 0;
        }
    }
    usb.answer[0] = (uint8_t)n;
    usb.answer[1] = 3;
    return n;
}

static void configure(void) {
    usb.is_configured = 1;
    usb.in_data1 = usb.out_data1 = usb.is_sending = usb.is_last_full = usb.is_rx_held = 0;
    usb.rx_in = usb.rx_out = usb.tx_in = usb.tx_out = 0;
    REGISTER(EP_CTRL(NOTIFY_EP, 0)) = EP_ENABLE | EP_INTERRUPT | NOTIFY_AT;
    REGISTER(EP_CTRL(DATA_EP, 0)) = EP_ENABLE | EP_BULK | IN_AT;
    REGISTER(EP_CTRL(DATA_EP, 1)) = EP_ENABLE | EP_BULK | OUT_AT;
    give(EP_BUFFER(DATA_EP, 1), PACKET);
}

static void on_setup(void) {
    const volatile uint8_t *setup = (const volatile uint8_t *)USB_DPRAM;
    const int n_wanted = setup[6] | setup[7] << 8;
    const uint16_t key = (uint16_t)(setup[0] << 8 | setup[1]);
    usb.control_data1 = 1;
    usb.n_control = 0;
    usb.is_receiving_control = 0;
    switch (key) {
        case 0x8006: /* GET_DESCRIPTOR */
            if (setup[3] == 1) {
                answer_control(device_descriptor, sizeof device_descriptor, n_wanted);
            } else if (setup[3] == 2) {
                answer_control(configuration_descriptor, sizeof configuration_descriptor, n_wanted);
            } else if (setup[3] == 3) {
                answer_control(usb.answer, string_descriptor(setup[2]), n_wanted);
            } else {
                break;
            }
            return;
        case 0x0005: /* SET_ADDRESS: from the end of the status stage on */
            usb.new_address = setup[2];
            usb.has_new_address = 1;
            answer_control(usb.answer, 0, 0);
            return;
        case 0x0009: /* SET_CONFIGURATION */
            configure();
            answer_control(usb.answer, 0, 0);
            return;
        case 0x8008: /* GET_CONFIGURATION */
            answer_control(&usb.is_configured, 1, n_wanted);
            return;
        case 0x8000: case 0x8100: case 0x8200: /* GET_STATUS */
            usb.answer[0] = usb.answer[1] = 0;
            answer_control(usb.answer, 2, n_wanted);
            return;
        case 0x2120: /* SET_LINE_CODING: taken and ignored */
            usb.is_receiving_control = 1;
            receive_control();
            return;
        case 0xa121: /* GET_LINE_CODING */
            answer_control(usb.line_coding, sizeof usb.line_coding, n_wanted);
            return;
        case 0x2122: case 0x2123: case 0x0201: case 0x010b: /* DTR, break, CLEAR_FEATURE, SET_INTERFACE: nothing to do */
            answer_control(usb.answer, 0, 0);
            return;
        default:
            break;
    }
    REGISTER(EP_STALL_ARM) = 3;
    REGISTER(EP_BUFFER(0, 0)) = BUF_STALL;
    REGISTER(EP_BUFFER(0, 1)) = BUF_STALL;
}

static void on_control_sent(void) {
    if (usb.has_new_address) {
        REGISTER(ADDR_ENDP) = usb.new_address;
        usb.has_new_address = 0;
    } else if (usb.n_control > 0) {
        send_control();
    } else if (!usb.is_receiving_control) {
        receive_control(); /* the status stage of an answer */
    }
}

static void on_control_received(void) {
    if (!usb.is_receiving_control) return;
    for (int i = 0; i < 7; i++) usb.line_coding[i] = ((const volatile uint8_t *)(USB_DPRAM + CONTROL_AT))[i];
    answer_control(usb.answer, 0, 0);
    usb.is_receiving_control = 0;
}

/* --- data */

static void take_data(void) {
    const uint32_t n_bytes = REGISTER(EP_BUFFER(DATA_EP, 1)) & BUF_LENGTH;
    const volatile uint8_t *from = (const volatile uint8_t *)(USB_DPRAM + OUT_AT);
    usb.is_rx_held = N_RX - (usb.rx_in - usb.rx_out) < n_bytes; /* the host waits until there is room */
    if (usb.is_rx_held) return;
    for (uint32_t i = 0; i < n_bytes; i++) usb.rx[usb.rx_in++ % N_RX] = from[i];
    usb.out_data1 ^= 1;
    give(EP_BUFFER(DATA_EP, 1), (usb.out_data1 ? BUF_DATA1 : 0) | PACKET);
}

static void send_data(void) {
    uint32_t n_bytes = usb.tx_in - usb.tx_out;
    uint8_t packet[PACKET];
    if (!usb.is_configured || usb.is_sending || (n_bytes == 0 && !usb.is_last_full)) return;
    if (n_bytes > PACKET) n_bytes = PACKET;
    for (uint32_t i = 0; i < n_bytes; i++) packet[i] = usb.tx[usb.tx_out++ % N_TX];
    copy_in(IN_AT, packet, (int)n_bytes);
    give(EP_BUFFER(DATA_EP, 0), BUF_FULL | (usb.in_data1 ? BUF_DATA1 : 0) | n_bytes);
    usb.in_data1 ^= 1;
    usb.is_sending = 1;
    usb.is_last_full = n_bytes == PACKET; /* a host waits for more after a full packet: an empty one ends it */
}

int usb_read(uint8_t *data, int max_bytes) {
    int n_bytes = 0;
    while (n_bytes < max_bytes && usb.rx_out != usb.rx_in) data[n_bytes++] = usb.rx[usb.rx_out++ % N_RX];
    if (usb.is_rx_held) take_data();
    return n_bytes;
}

void usb_write(const uint8_t *data, int n_bytes) {
    if (!usb.is_configured || N_TX - (usb.tx_in - usb.tx_out) < (uint32_t)n_bytes) return;
    for (int i = 0; i < n_bytes; i++) usb.tx[usb.tx_in++ % N_TX] = data[i];
    send_data();
}

/* --- the controller */

void usb_poll(void) {
    const uint32_t status = REGISTER(SIE_STATUS), done = REGISTER(BUFF_STATUS);
    if (status & SIE_BUS_RESET) {
        usb.is_configured = usb.has_new_address = 0;
        REGISTER(ADDR_ENDP) = 0;
        REGISTER(SIE_STATUS) = SIE_BUS_RESET;
    }
    if (done) {
        REGISTER(BUFF_STATUS) = done;
        if (done & 1u << 0) on_control_sent();
        if (done & 1u << 1) on_control_received();
        if (done & 1u << (2 * DATA_EP)) usb.is_sending = 0;
        if (done & 1u << (2 * DATA_EP + 1)) take_data();
    }
    if (status & SIE_SETUP_REC) {
        REGISTER(SIE_STATUS) = SIE_SETUP_REC;
        on_setup();
    }
    send_data();
}

void usb_start(uint32_t unit_serial) {
    usb.unit_serial = unit_serial;
    for (uint32_t at = 0; at < 0x1000; at += 4) REGISTER(USB_DPRAM + at) = 0;
    REGISTER(USB_MUXING) = 1u << 0 | 1u << 3;  /* to the PHY */
    REGISTER(USB_PWR) = 1u << 2 | 1u << 3;     /* VBUS is there */
    REGISTER(MAIN_CTRL) = 1;
    REGISTER(SIE_CTRL) = SIE_EP0_INT_1BUF;
    REGISTER(INTE) = INT_BUFF_STATUS | INT_BUS_RESET | INT_SETUP_REQ;
    REGISTER(SIE_CTRL) = SIE_EP0_INT_1BUF | SIE_PULLUP_EN;
}
