/* SPDX-License-Identifier: MIT */
/*
 * virtio_console.c - [U] virtio console with several ports
 *
 * Hostile: the rings' contents, control messages, saved state. The ports' bytes are moved in
 * virtio_console_port.c.
 * Invariants: I1 messages to the guest are not queued: they follow from each port's flags, so that
 *   no guest can make them grow.  I2 a wake takes at most CONSOLE_WAKE_CHAINS messages.
 * Threads: all but save, load and reset run on the event thread, with the device's lock.
 * Memory: none allocated after virtio_console_new().
 *
 * Port 0 has queues 0 and 1, control has 2 and 3, port 1 has 4 and 5; the lower one of a pair is
 * the one to the guest. A driver that does not take part in control has port 0 only, and it is
 * open.
 */
#include "virtio_console.h"

#include <string.h>

#include "bytes.h"
#include "loop.h"
#include "virtio_console_internal.h"

#define QUEUE_SIZE   32U /* Linux fills queues to the guest with a page for each element */
#define QUEUE_CTL_RX 2U
#define QUEUE_CTL_TX 3U
#define CONTROL_SIZE 8U
#define CONFIG_PORTS 4U /* offset of max_nr_ports */

enum control_event { /* [5.3.6.2] */
		     CONTROL_DEVICE_READY = 0,
		     CONTROL_PORT_ADD = 1,
		     CONTROL_PORT_READY = 3,
		     CONTROL_CONSOLE_PORT = 4,
		     CONTROL_PORT_OPEN = 6,
		     CONTROL_PORT_NAME = 7,
};

static struct virtio_console *of_device(struct virtio_device *d)
{
	return (struct virtio_console *)d;
}

/* Messages to the guest [5.3.6.2] */

/* The message that the guest is to get next; false: none. */
static bool message_next(struct console_port *p, uint8_t *ret_flag, uint16_t *ret_event)
{
	static const struct {
		uint8_t flag;
		uint16_t event;
	} owed[] = {
		{ PORT_OWES_ADD, CONTROL_PORT_ADD },
		{ PORT_OWES_CONSOLE, CONTROL_CONSOLE_PORT },
		{ PORT_OWES_NAME, CONTROL_PORT_NAME },
	};

	for (size_t i = 0; i < ARRAY_SIZE(owed); i++) {
		if ((p->flags & owed[i].flag) == 0 ||
		    (owed[i].flag != PORT_OWES_ADD && (p->flags & PORT_IS_READY) == 0))
			continue;
		*ret_flag = owed[i].flag;
		*ret_event = owed[i].event;
		return true;
	}
	*ret_flag = PORT_TOLD_OPEN;
	*ret_event = CONTROL_PORT_OPEN;
	return (p->flags & PORT_IS_READY) &&
	       console_port_is_host_open(p) != !!(p->flags & PORT_TOLD_OPEN);
}

static size_t message_make(const struct console_port *p, uint16_t event, uint8_t *raw)
{
	size_t len = event == CONTROL_PORT_NAME ? strlen(p->name) : 0;

	put_le32(raw, p->id);
	put_le16(raw + 4, event);
	put_le16(raw + 6, event != CONTROL_PORT_OPEN || console_port_is_host_open(p));
	memcpy(raw + CONTROL_SIZE, p->name, len);
	return CONTROL_SIZE + len;
}

/* 1: sent; 0: no buffer for it; or the queue is broken. */
static int message_send(struct console_port *p, uint16_t event)
{
	struct virtq *q = &p->console->dev.queues[QUEUE_CTL_RX];
	uint8_t raw[CONTROL_SIZE + CONSOLE_NAME_MAX];
	size_t len = message_make(p, event, raw);
	struct virtq_chain chain;
	int rc = virtq_pop(q, &chain);

	if (rc <= 0)
		return rc;
	if (chain.len_in < len) {
		q->is_broken = true;
		return -EPROTO;
	}
	virtq_push(q, chain.head, (uint32_t)virtq_chain_write(&chain, 0, raw, len));
	return 1;
}

static void messages_send(struct virtio_console *c)
{
	struct virtq *q = &c->dev.queues[QUEUE_CTL_RX];
	uint16_t event;
	uint8_t flag;

	if (q->is_broken || !console_has_control(c))
		return;
	for (uint32_t i = 0; i < c->n_ports; i++) {
		struct console_port *p = &c->ports[i];

		while (message_next(p, &flag, &event)) {
			if (message_send(p, event) <= 0)
				goto out;
			p->flags ^= flag; /* set what was owed, or what it was told */
		}
	}
out:
	virtio_device_tell(&c->dev, q);
}

/* Control messages from the guest [5.3.6.2] */

static void port_ready(struct console_port *p, bool is_ready)
{
	p->flags &= (uint8_t) ~(PORT_IS_READY | PORT_TOLD_OPEN);
	if (!is_ready)
		return;
	p->flags |= PORT_IS_READY;
	if (p->is_console)
		p->flags |= PORT_OWES_CONSOLE;
	if (p->name[0])
		p->flags |= PORT_OWES_NAME;
}

static void port_open(struct console_port *p, bool is_open)
{
	p->flags &= (uint8_t)~PORT_IS_OPEN;
	if (is_open)
		p->flags |= PORT_IS_OPEN;
}

static void control_do(struct virtio_console *c, uint32_t id, uint16_t event, uint16_t value)
{
	if (event == CONTROL_DEVICE_READY && value == 1) {
		for (uint32_t i = 0; i < c->n_ports; i++)
			c->ports[i].flags = PORT_OWES_ADD;
		return;
	}
	if (id >= c->n_ports)
		return;
	if (event == CONTROL_PORT_READY)
		port_ready(&c->ports[id], value == 1);
	else if (event == CONTROL_PORT_OPEN)
		port_open(&c->ports[id], value != 0);
}

static void control_from_guest(struct virtio_console *c)
{
	struct virtq *q = &c->dev.queues[QUEUE_CTL_TX];
	struct virtq_chain chain;
	unsigned int i;

	if (q->is_broken || !console_has_control(c))
		return;
	for (i = 0; i < CONSOLE_WAKE_CHAINS && virtq_pop(q, &chain) > 0; i++) {
		uint8_t raw[CONTROL_SIZE];

		if (virtq_chain_read(&chain, 0, raw, sizeof(raw)) == sizeof(raw))
			control_do(c, get_le32(raw), get_le16(raw + 4), get_le16(raw + 6));
		virtq_push(q, chain.head, 0);
	}
	if (i == CONSOLE_WAKE_CHAINS)
		loop_timer_arm(c->again, 0);
	virtio_device_tell(&c->dev, q);
}

/* What wakes the device */

/* After anything was done: a port may have hung up, or opened. */
static void settle(struct virtio_console *c)
{
	messages_send(c);
	for (uint32_t i = 0; i < c->n_ports; i++)
		console_port_watch(&c->ports[i]);
}

static void all_do(struct virtio_console *c)
{
	if (!console_is_running(c))
		return;
	control_from_guest(c);
	for (uint32_t i = 0; i < c->n_ports; i++) {
		c->ports[i].is_rx_starved = false;
		console_port_from_guest(&c->ports[i]);
		console_port_to_guest(&c->ports[i]);
	}
	settle(c);
}

static void again_event(void *arg)
{
	struct virtio_console *c = arg;

	pthread_mutex_lock(&c->dev.lock);
	all_do(c);
	pthread_mutex_unlock(&c->dev.lock);
}

static void port_event(void *arg, uint32_t events)
{
	struct console_port *p = arg;
	struct virtio_console *c = p->console;

	pthread_mutex_lock(&c->dev.lock);
	if (console_is_running(c)) {
		if ((events & ~(uint32_t)EPOLLIN) && p->is_tx_blocked)
			console_port_from_guest(p);
		if (events & ~(uint32_t)EPOLLOUT)
			console_port_to_guest(p);
		settle(c);
	} else {
		console_port_watch(p);
	}
	pthread_mutex_unlock(&c->dev.lock);
}

static void console_kick(struct virtio_device *d, unsigned int queue)
{
	struct virtio_console *c = of_device(d);

	if (!console_is_running(c))
		return;
	if (queue == QUEUE_CTL_TX)
		control_from_guest(c);
	for (uint32_t i = 0; i < c->n_ports; i++) {
		struct console_port *p = &c->ports[i];

		if (queue == console_port_queue(p)) {
			p->is_rx_starved = false;
			console_port_to_guest(p);
		} else if (queue == console_port_queue(p) + 1) {
			console_port_from_guest(p);
		}
	}
	settle(c);
}

static void console_config_read(const struct virtio_device *d, uint8_t *raw)
{
	put_le32(raw + CONFIG_PORTS, ((const struct virtio_console *)d)->n_ports);
}

/* On a vCPU's thread: leaves the watches alone; the next event sees that nothing is wanted. */
static void console_reset(struct virtio_device *d)
{
	struct virtio_console *c = of_device(d);

	for (uint32_t i = 0; i < c->n_ports; i++) {
		c->ports[i].flags = 0;
		c->ports[i].tx_off = 0;
		c->ports[i].is_tx_blocked = c->ports[i].is_rx_starved = false;
	}
}

static void console_resume(struct virtio_device *d)
{
	all_do(of_device(d));
}

static void console_save(struct virtio_device *d, struct state_out *s)
{
	const struct virtio_console *c = of_device(d);

	state_put_u8(s, (uint8_t)c->n_ports);
	for (uint32_t i = 0; i < c->n_ports; i++) {
		state_put_u8(s, c->ports[i].flags);
		state_put_u32(s, c->ports[i].tx_off);
	}
}

static int console_load(struct virtio_device *d, struct state_in *s, struct err *e)
{
	struct virtio_console *c = of_device(d);

	if (state_get_u8(s) != c->n_ports)
		return err_plain(e, EINVAL, "console: saved with another number of ports");
	for (uint32_t i = 0; i < c->n_ports; i++) {
		uint8_t flags = state_get_u8(s);
		uint32_t tx_off = state_get_u32(s);

		if (s->has_failed || (flags & ~PORT_FLAGS_ALL) != 0)
			return err_plain(e, EINVAL, "console: not a saved state");
		c->ports[i].flags = flags;
		c->ports[i].tx_off = tx_off;
	}
	return 0;
}

static void console_free(struct virtio_device *d)
{
	struct virtio_console *c = of_device(d);

	for (uint32_t i = 0; i < c->n_ports; i++)
		console_port_hang_up(&c->ports[i]);
	loop_timer_drop(c->again);
}

static const struct virtio_device_ops console_ops = {
	.id = VIRTIO_ID_CONSOLE,
	.name = "console",
	.queue_size = QUEUE_SIZE,
	.config_read = console_config_read,
	.reset = console_reset,
	.kick = console_kick,
	.resume = console_resume,
	.save = console_save,
	.load = console_load,
	.free = console_free,
};

static int ports_init(struct virtio_console *c, struct loop *loop,
		      const struct console_port_spec *specs, struct err *e)
{
	for (uint32_t i = 0; i < c->n_ports; i++)
		c->ports[i] = (struct console_port){
			.console = c, .id = i, .fd = -1, .is_console = specs[i].is_console
		};
	for (uint32_t i = 0; i < c->n_ports; i++) {
		const char *name = specs[i].name ? specs[i].name : "";

		if (strlen(name) > CONSOLE_NAME_MAX)
			return err_plain(e, EINVAL, "console port's name is too long: %s", name);
		memcpy(c->ports[i].name, name, strlen(name));
	}
	for (uint32_t i = 0; i < c->n_ports; i++)
		if (specs[i].fd >= 0 &&
		    console_port_init(&c->ports[i], loop, specs[i].fd, port_event, e) < 0)
			return -e->code;
	if (loop_timer_new(loop, again_event, c, &c->again, e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < c->n_ports; i++)
		c->ports[i].fd = specs[i].fd; /* from here on they are ours */
	return 0;
}

int virtio_console_new(struct loop *loop, const struct console_port_spec *ports, uint32_t n,
		       struct virtio_device **ret, struct err *e)
{
	struct virtio_console *c;

	if (n < 1 || n > CONSOLE_PORTS_MAX)
		return err_plain(e, EINVAL, "%u console ports", n);
	c = virtio_device_new(sizeof(*c), &console_ops, CONSOLE_F_MULTIPORT, e);
	if (!c)
		return -e->code;
	c->dev.n_queues = 2 * n + 2;
	c->n_ports = n;
	if (ports_init(c, loop, ports, e) < 0) {
		virtio_device_free(&c->dev);
		return -e->code;
	}
	*ret = &c->dev;
	return 0;
}
