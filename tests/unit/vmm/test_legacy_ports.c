/* SPDX-License-Identifier: MIT */
/* test_legacy_ports.c - what an access to an I/O port means */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/serial_reg.h>
#include <string.h>

#include "cleanup.h"
#include "legacy_ports.h"
#include "serial_16550.h"
#include "x86_layout.h"

static void test_write(void **state)
{
	static const struct {
		uint16_t port;
		uint8_t data[4];
		uint32_t len;
		enum port_event want;
	} rows[] = {
		{ 0x600, { 1 }, 1, PORT_RESET },
		{ 0x600, { 0x34 }, 1, PORT_POWER_OFF },
		{ 0x64, { 0xfe }, 1, PORT_RESET },
		{ 0x600, { 0 }, 1, PORT_NOTHING },
		{ 0x600, { 0x35 }, 1, PORT_NOTHING },
		{ 0x600, { 0x14 }, 1, PORT_NOTHING }, /* a sleep type without "enable" */
		{ 0x600, { 0xfe }, 1, PORT_NOTHING },
		{ 0x600, { 1 }, 2, PORT_NOTHING },
		{ 0x600, { 1 }, 4, PORT_NOTHING },
		{ 0x600, { 1 }, 0, PORT_NOTHING },
		{ 0x5ff, { 0x34, 0x34 }, 2, PORT_NOTHING },
		{ 0x601, { 1 }, 1, PORT_NOTHING },
		{ 0x64, { 0xff }, 1, PORT_NOTHING },
		{ 0x64, { 0xfe }, 2, PORT_NOTHING },
		{ 0x60, { 0xfe }, 1, PORT_NOTHING },
		{ 0x80, { 0xfe }, 1, PORT_NOTHING },
		{ 0xcf9, { 6 }, 1, PORT_NOTHING },
		{ 0x3f7, { 1 }, 1, PORT_NOTHING },
		{ 0x400, { 1 }, 1, PORT_NOTHING },
		{ 0xffff, { 1 }, 1, PORT_NOTHING },
	};
	struct serial_16550 s;

	(void)state;
	serial_init(&s, -1, -1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (int has_serial = 0; has_serial < 2; has_serial++)
			if (legacy_port_write(has_serial ? &s : NULL, rows[i].port, rows[i].data,
					      rows[i].len) != rows[i].want)
				fail_msg("port %#x, row %zu", rows[i].port, i);
}

static void test_read(void **state)
{
	static const struct {
		uint16_t port;
		uint32_t len;
		uint8_t want;
	} rows[] = {
		{ 0x600, 1, 0 },    { 0x64, 1, 0 },     { 0x60, 1, 0 },    { 0x600, 2, 0xff },
		{ 0x64, 4, 0xff },  { 0x61, 1, 0xff },  { 0x80, 1, 0xff }, { 0x601, 1, 0xff },
		{ 0x3fd, 1, 0xff }, { 0xcfc, 4, 0xff }, { 0, 1, 0xff },    { 0xffff, 1, 0xff },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t data[5] = { 0x77, 0x77, 0x77, 0x77, 0x77 };

		legacy_port_read(NULL, rows[i].port, data, rows[i].len);
		for (uint32_t k = 0; k < sizeof(data); k++)
			if (data[k] != (k < rows[i].len ? rows[i].want : 0x77))
				fail_msg("port %#x, row %zu, byte %u", rows[i].port, i, k);
	}
}

static void test_serial(void **state)
{
	struct serial_16550 s;
	uint8_t v[2] = { 0x5a, 0xff };

	(void)state;
	serial_init(&s, -1, -1);
	assert_int_equal(legacy_port_write(&s, X86_COM1_PORT + UART_SCR, v, 1), PORT_NOTHING);
	assert_int_equal(legacy_port_write(&s, X86_COM1_PORT + UART_SCR, v + 1, 2), PORT_NOTHING);
	v[0] = 0;
	legacy_port_read(&s, X86_COM1_PORT + UART_SCR, v, 1);
	assert_int_equal(v[0], 0x5a);
	legacy_port_read(&s, X86_COM1_PORT + UART_LSR, v, 1);
	assert_int_equal(v[0], UART_LSR_THRE | UART_LSR_TEMT);
	legacy_port_read(&s, X86_COM1_PORT + UART_LSR, v, 2);
	assert_int_equal(v[0], 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_serial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
