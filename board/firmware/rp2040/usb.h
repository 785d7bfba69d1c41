/* A CDC-ACM port on the RP2040's USB controller, polled. */
#ifndef PARFOCAL_USB_H
#define PARFOCAL_USB_H

#include <stdint.h>

void usb_start(uint32_t unit_serial);
/* Do what the controller asks for. */
void usb_poll(void);
/* Bytes from the host, at most `max_bytes`. */
int usb_read(uint8_t *data, int max_bytes);
/* Send all of `data` or, without room, nothing. */
void usb_write(const uint8_t *data, int n_bytes);

#endif
