/* SPDX-License-Identifier: MIT */
/*
 * serial_16550.c - [U] a serial port that only sends
 *
 * Hostile: the register's number was checked by the caller; every value is masked when written.
 * Invariants: I1 a byte is sent at once, so the transmitter is always empty.  I2 an interrupt is
 *   raised when is_empty_pending turns true while it is enabled, not for every byte: the line is
 *   edge-triggered, and the driver fills a FIFO before it looks again.
 * Threads: vCPU threads, serialised by `lock`.
 * Memory: none allocated.
 * #syscalls:vcpu write
 */
#include "serial_16550.h"

#include <assert.h>
#include <linux/serial_reg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "err.h"

#define IER_ALL      0x0fU
#define MCR_ALL      0x1fU
#define IIR_FIFO     0xc0U /* a 16550A says so when its FIFO is on */
#define MSR_PRESENT  (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)
#define SERIAL_STATE 8U

void serial_init(struct serial_16550 *s, int out_fd, int irq_fd)
{
	const struct rate_limit_options o = { .bytes_per_s = SERIAL_RATE };

	*s = (struct serial_16550){ .out_fd = out_fd, .irq_fd = irq_fd };
	rate_limit_init(&s->limit, &o, rate_limit_now());
	pthread_mutex_init(&s->lock, NULL);
}

static void raise_irq(const struct serial_16550 *s)
{
	if (s->irq_fd >= 0)
		(void)eventfd_write(s->irq_fd, 1); /* full: it is on its way already */
}

static void empty_set(struct serial_16550 *s)
{
	bool was = s->is_empty_pending;

	s->is_empty_pending = true;
	if (!was && (s->ier & UART_IER_THRI))
		raise_irq(s);
}

static void send_byte(struct serial_16550 *s, uint8_t value)
{
	/* In loopback mode the byte would come back; who tests that is told of none. */
	bool is_wanted = (s->mcr & UART_MCR_LOOP) == 0 && s->out_fd >= 0;

	if (is_wanted && (rate_limit_take(&s->limit, 1, rate_limit_now()) != 0 ||
			  write(s->out_fd, &value, 1) < 0))
		s->n_lost++;
	empty_set(s);
}

static void ier_write(struct serial_16550 *s, uint8_t value)
{
	bool was = s->ier & UART_IER_THRI;

	s->ier = value & IER_ALL;
	/* Enabling it while the transmitter is empty interrupts: Linux tests for this. */
	if (!was && (s->ier & UART_IER_THRI)) {
		s->is_empty_pending = false;
		empty_set(s);
	}
}

static uint8_t iir_read(struct serial_16550 *s)
{
	uint8_t fifo = s->has_fifo ? IIR_FIFO : 0;

	if (!s->is_empty_pending || (s->ier & UART_IER_THRI) == 0)
		return fifo | UART_IIR_NO_INT;
	s->is_empty_pending = false;
	return fifo | UART_IIR_THRI;
}

/* In loopback mode the modem's inputs are our own outputs. */
static uint8_t msr_read(const struct serial_16550 *s)
{
	if ((s->mcr & UART_MCR_LOOP) == 0)
		return MSR_PRESENT;
	return (uint8_t)((s->mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
			 (s->mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
			 (s->mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) |
			 (s->mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0));
}

static uint8_t reg_read(struct serial_16550 *s, unsigned int reg)
{
	bool is_divisor = s->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_RX:
		return is_divisor ? s->dll : 0;
	case UART_IER:
		return is_divisor ? s->dlm : s->ier;
	case UART_IIR:
		return iir_read(s);
	case UART_LCR:
		return s->lcr;
	case UART_MCR:
		return s->mcr;
	case UART_LSR:
		return UART_LSR_THRE | UART_LSR_TEMT;
	case UART_MSR:
		return msr_read(s);
	default:
		return s->scr;
	}
}

static void divisor_write(struct serial_16550 *s, unsigned int reg, uint8_t value)
{
	if (reg == UART_DLL)
		s->dll = value;
	else
		s->dlm = value;
}

static void reg_write(struct serial_16550 *s, unsigned int reg, uint8_t value)
{
	if (reg <= UART_DLM && (s->lcr & UART_LCR_DLAB)) {
		divisor_write(s, reg, value);
		return;
	}
	switch (reg) {
	case UART_TX:
		send_byte(s, value);
		break;
	case UART_IER:
		ier_write(s, value);
		break;
	case UART_FCR:
		s->has_fifo = value & UART_FCR_ENABLE_FIFO;
		break;
	case UART_LCR:
		s->lcr = value;
		break;
	case UART_MCR:
		s->mcr = value & MCR_ALL;
		break;
	case UART_SCR:
		s->scr = value;
		break;
	default: /* the status registers cannot be written */
		break;
	}
}

uint8_t serial_read(struct serial_16550 *s, unsigned int reg)
{
	uint8_t value;

	assert(reg < SERIAL_REGS);
	pthread_mutex_lock(&s->lock);
	value = reg_read(s, reg);
	pthread_mutex_unlock(&s->lock);
	return value;
}

void serial_write(struct serial_16550 *s, unsigned int reg, uint8_t value)
{
	assert(reg < SERIAL_REGS);
	pthread_mutex_lock(&s->lock);
	reg_write(s, reg, value);
	pthread_mutex_unlock(&s->lock);
}

void serial_save(struct serial_16550 *s, struct state_out *out)
{
	pthread_mutex_lock(&s->lock);
	state_put(out,
		  (const uint8_t[SERIAL_STATE]){ s->ier, s->lcr, s->mcr, s->scr, s->dll, s->dlm,
						 s->has_fifo, s->is_empty_pending },
		  SERIAL_STATE);
	pthread_mutex_unlock(&s->lock);
}

int serial_load(struct serial_16550 *s, struct state_in *in, struct err *e)
{
	uint8_t raw[SERIAL_STATE];

	state_get(in, raw, sizeof(raw));
	if (in->has_failed || (raw[0] & ~IER_ALL) != 0 || (raw[2] & ~MCR_ALL) != 0 || raw[6] > 1 ||
	    raw[7] > 1)
		return err_plain(e, EINVAL, "serial port: not a saved state");
	pthread_mutex_lock(&s->lock);
	s->ier = raw[0];
	s->lcr = raw[1];
	s->mcr = raw[2];
	s->scr = raw[3];
	s->dll = raw[4];
	s->dlm = raw[5];
	s->has_fifo = raw[6];
	s->is_empty_pending = raw[7];
	if (s->is_empty_pending && (s->ier & UART_IER_THRI))
		raise_irq(s);
	pthread_mutex_unlock(&s->lock);
	return 0;
}
