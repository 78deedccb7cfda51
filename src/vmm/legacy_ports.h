/* SPDX-License-Identifier: MIT */
/*
 * legacy_ports.h - what an access to an I/O port means
 *
 *   X86_PM_PORT ACPI sleep control and reset: write 1 to reset, 0x34 to power off; reads 0
 *   0x64, 0x60  keyboard controller: command 0xfe resets; both read 0
 *   X86_COM1_PORT, and the 7 after it: the serial port
 *   0x80        the kernel's pause for slow devices
 * All other ports, and accesses wider than a byte, read as all ones and write nothing.
 */
#ifndef LEGACY_PORTS_H
#define LEGACY_PORTS_H

#include <stdint.h>

struct serial_16550;

enum port_event { PORT_NOTHING, PORT_RESET, PORT_POWER_OFF };

/* Any vCPU thread. `serial` may be NULL: there is none. `len` bytes are at `data`. */
enum port_event legacy_port_write(struct serial_16550 *serial, uint16_t port, const void *data,
				  uint32_t len);
void legacy_port_read(struct serial_16550 *serial, uint16_t port, void *data, uint32_t len);

#endif
