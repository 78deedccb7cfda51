/* SPDX-License-Identifier: MIT */
/*
 * legacy_ports.c - [U] what an access to an I/O port means
 *
 * Hostile: port, width and value. No state; the serial port has its own.
 */
#include "legacy_ports.h"

#include <stdbool.h>
#include <string.h>

#include "serial_16550.h"
#include "x86_layout.h"

#define PORT_KEYBOARD         0x60U
#define PORT_KEYBOARD_COMMAND 0x64U
#define KEYBOARD_RESET        0xfeU
#define ACPI_RESET            1U
#define ACPI_POWER_OFF        0x34U /* sleep type 5 and "sleep enable" */

static bool is_serial(uint16_t port)
{
	return port >= X86_COM1_PORT && port - X86_COM1_PORT < SERIAL_REGS;
}

enum port_event legacy_port_write(struct serial_16550 *serial, uint16_t port, const void *data,
				  uint32_t len)
{
	uint8_t value;

	if (len != 1)
		return PORT_NOTHING;
	value = *(const uint8_t *)data;
	if (port == X86_PM_PORT && value == ACPI_RESET)
		return PORT_RESET;
	if (port == X86_PM_PORT && value == ACPI_POWER_OFF)
		return PORT_POWER_OFF;
	if (port == PORT_KEYBOARD_COMMAND && value == KEYBOARD_RESET)
		return PORT_RESET;
	if (serial && is_serial(port))
		serial_write(serial, port - X86_COM1_PORT, value);
	return PORT_NOTHING;
}

void legacy_port_read(struct serial_16550 *serial, uint16_t port, void *data, uint32_t len)
{
	memset(data, 0xff, len);
	if (len != 1)
		return;
	if (port == X86_PM_PORT || port == PORT_KEYBOARD || port == PORT_KEYBOARD_COMMAND)
		memset(data, 0, 1);
	else if (serial && is_serial(port))
		*(uint8_t *)data = serial_read(serial, port - X86_COM1_PORT);
}
