/* SPDX-License-Identifier: MIT */
/* test_serial.c - a serial port as Linux's 8250 driver probes it and sends through it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/serial_reg.h>
#include <string.h>
#include <sys/eventfd.h>

#include "cleanup.h"
#include "serial_16550.h"

struct port {
	struct serial_16550 s;
	int out[2], irq;
};

static int port_set_up(void **state)
{
	struct port *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	assert_int_equal(pipe2(p->out, O_NONBLOCK | O_CLOEXEC), 0);
	p->irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(p->irq >= 0);
	serial_init(&p->s, p->out[1], p->irq);
	*state = p;
	return 0;
}

static int port_tear_down(void **state)
{
	struct port *p = *state;

	fd_drop(&p->out[0]);
	fd_drop(&p->out[1]);
	fd_drop(&p->irq);
	free(p);
	return 0;
}

static uint64_t interrupts(const struct port *p)
{
	uint64_t n;

	return read(p->irq, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

static size_t drain(const struct port *p)
{
	char data[4096];
	size_t total = 0;
	ssize_t n;

	while ((n = read(p->out[0], data, sizeof(data))) > 0)
		total += (size_t)n;
	return total;
}

/* The steps of autoconfig() in Linux that tell a 16550A from nothing and from its relatives. */
static void test_probe(void **state)
{
	struct serial_16550 *s = &((struct port *)*state)->s;

	serial_write(s, UART_IER, 0);
	assert_int_equal(serial_read(s, UART_IER), 0);
	serial_write(s, UART_IER, 0xff);
	assert_int_equal(serial_read(s, UART_IER), 0x0f); /* no sleep mode, no other UART bits */
	serial_write(s, UART_IER, 0);
	serial_write(s, UART_MCR, UART_MCR_LOOP | 0x0a);
	assert_int_equal(serial_read(s, UART_MSR) & 0xf0, 0x90);
	serial_write(s, UART_MCR, UART_MCR_LOOP | UART_MCR_DTR | UART_MCR_OUT1);
	assert_int_equal(serial_read(s, UART_MSR) & 0xf0, UART_MSR_DSR | UART_MSR_RI);
	serial_write(s, UART_MCR, 0);
	assert_int_equal(serial_read(s, UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
	serial_write(s, UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(serial_read(s, UART_IIR), 0xc0 | UART_IIR_NO_INT);
	serial_write(s, UART_LCR, UART_LCR_CONF_MODE_A);
	assert_int_not_equal(serial_read(s, UART_EFR), 0); /* no 16650 */
	serial_write(s, UART_DLL, 1);
	serial_write(s, UART_DLM, 2);
	assert_int_equal(serial_read(s, UART_DLL), 1);
	assert_int_equal(serial_read(s, UART_DLM), 2);
	serial_write(s, UART_LCR, UART_LCR_WLEN8);
	assert_int_equal(serial_read(s, UART_IER), 0);
	assert_int_equal(serial_read(s, UART_LCR), UART_LCR_WLEN8);
	serial_write(s, UART_SCR, 0x5a);
	assert_int_equal(serial_read(s, UART_SCR), 0x5a);
	serial_write(s, UART_LSR, 0);
	serial_write(s, UART_MSR, 0);
	assert_int_equal(serial_read(s, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	serial_write(s, UART_FCR, 0);
	assert_int_equal(serial_read(s, UART_IIR), UART_IIR_NO_INT);
}

/* Linux looks twice whether enabling the interrupt raises it, and polls for ever if not. */
static void test_empty_interrupt(void **state)
{
	struct port *p = *state;

	for (int i = 0; i < 2; i++) {
		serial_write(&p->s, UART_IER, UART_IER_THRI);
		assert_int_equal(interrupts(p), 1);
		assert_int_equal(serial_read(&p->s, UART_IIR), UART_IIR_THRI);
		assert_int_equal(serial_read(&p->s, UART_IIR), UART_IIR_NO_INT);
		serial_write(&p->s, UART_IER, 0);
	}
	serial_write(&p->s, UART_TX, 'a');
	assert_int_equal(interrupts(p), 0);
	assert_int_equal(serial_read(&p->s, UART_IIR), UART_IIR_NO_INT);
	serial_write(&p->s, UART_IER, UART_IER_THRI); /* not seen yet: raised all the same */
	assert_int_equal(interrupts(p), 1);
	serial_write(&p->s, UART_IER, UART_IER_THRI);
	assert_int_equal(interrupts(p), 0);
}

static void test_send(void **state)
{
	struct port *p = *state;
	char got[16] = "";

	serial_write(&p->s, UART_IER, UART_IER_THRI);
	(void)serial_read(&p->s, UART_IIR);
	(void)interrupts(p);
	for (const char *c = "hello\n"; *c; c++)
		serial_write(&p->s, UART_TX, (uint8_t)*c);
	assert_int_equal(interrupts(p), 1); /* one for a FIFO's worth */
	assert_int_equal(serial_read(&p->s, UART_IIR), UART_IIR_THRI);
	serial_write(&p->s, UART_TX, '!');
	assert_int_equal(interrupts(p), 1);
	serial_write(&p->s, UART_MCR, UART_MCR_LOOP);
	serial_write(&p->s, UART_TX, 'l');
	serial_write(&p->s, UART_MCR, 0);
	serial_write(&p->s, UART_LCR, UART_LCR_DLAB);
	serial_write(&p->s, UART_TX, 'd');
	assert_int_equal(read(p->out[0], got, sizeof(got)), 7);
	assert_string_equal(got, "hello\n!");
}

/* Above the rate bytes are lost, and the guest does not wait. */
static void test_rate(void **state)
{
	struct port *p = *state;

	assert_true(fcntl(p->out[1], F_SETPIPE_SZ, 4 * SERIAL_RATE) >= (int)(4 * SERIAL_RATE));
	for (size_t i = 0; i < 2 * SERIAL_RATE; i++)
		serial_write(&p->s, UART_TX, 'x');
	assert_in_range(drain(p), SERIAL_RATE, 2 * SERIAL_RATE - 1);
	assert_true(p->s.n_lost > 0);
	p->s.limit.bytes.level = 0;
	p->s.limit.last_ns -= 1000000; /* a millisecond ago */
	serial_write(&p->s, UART_TX, 'x');
	assert_int_equal(drain(p), 1);
}

static void test_full_pipe(void **state)
{
	struct port *p = *state;
	char fill[4096] = { 0 };

	while (write(p->out[1], fill, sizeof(fill)) > 0)
		;
	serial_write(&p->s, UART_TX, 'x');
	assert_int_equal(p->s.n_lost, 1);
	assert_int_equal(serial_read(&p->s, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
}

static void test_no_descriptors(void **state)
{
	struct serial_16550 s;

	(void)state;
	serial_init(&s, -1, -1);
	serial_write(&s, UART_IER, UART_IER_THRI);
	serial_write(&s, UART_TX, 'x');
	assert_int_equal(serial_read(&s, UART_IIR), UART_IIR_THRI);
}

/* Regression of the class "interrupt lost in a snapshot": the driver would wait for ever. */
static void test_load_raises_again(void **state)
{
	struct port *p = *state;
	auto_buf b = { 0 };
	struct state_out out = { .b = &b };
	struct err e = { 0 };

	serial_write(&p->s, UART_FCR, UART_FCR_ENABLE_FIFO);
	serial_write(&p->s, UART_SCR, 7);
	serial_write(&p->s, UART_IER, UART_IER_THRI);
	(void)interrupts(p);
	serial_save(&p->s, &out);
	assert_false(out.has_failed);
	serial_init(&p->s, p->out[1], p->irq);
	struct state_in in = { .p = (const uint8_t *)b.data, .left = b.len };
	assert_int_equal(serial_load(&p->s, &in, &e), 0);
	assert_int_equal(in.left, 0);
	assert_int_equal(interrupts(p), 1);
	assert_int_equal(serial_read(&p->s, UART_SCR), 7);
	assert_int_equal(serial_read(&p->s, UART_IIR), 0xc0 | UART_IIR_THRI);
}

static void test_load_bad(void **state)
{
	static const struct {
		const char *what;
		uint8_t raw[8];
		size_t len;
	} rows[] = {
		{ "nothing", { 0 }, 0 },
		{ "cut", { 0 }, 7 },
		{ "interrupts that there are not", { 0x10 }, 8 },
		{ "modem bits that there are not", { 0, 0, 0x20 }, 8 },
		{ "no truth: FIFO", { 0, 0, 0, 0, 0, 0, 2 }, 8 },
		{ "no truth: pending", { 0, 0, 0, 0, 0, 0, 0, 255 }, 8 },
	};
	struct port *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct state_in in = { .p = rows[i].raw, .left = rows[i].len };
		struct err e = { 0 };

		if (serial_load(&p->s, &in, &e) != -EINVAL || !e.msg[0])
			fail_msg("%s", rows[i].what);
	}
	assert_int_equal(interrupts(p), 0);
}

#define PORT_TEST(f) cmocka_unit_test_setup_teardown(f, port_set_up, port_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PORT_TEST(test_probe),     PORT_TEST(test_empty_interrupt),
		PORT_TEST(test_send),      PORT_TEST(test_rate),
		PORT_TEST(test_full_pipe), cmocka_unit_test(test_no_descriptors),
		PORT_TEST(test_load_bad),  PORT_TEST(test_load_raises_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
