/* SPDX-License-Identifier: MIT */
/*
 * virtio_vsock.c - [U] virtio socket device
 *
 * Connections are not saved. A guest that was restored is told so by an event (TRANSPORT_RESET), at
 * which it ends those that it had; it has heard it when it gives the event's buffer back.
 *
 * Hostile: the rings' contents, callers, saved state. Connections: virtio_vsock_conn.c; packets:
 * virtio_vsock_pkt.c.
 * Invariants: I1 all descriptors are in one epoll set, which the loop watches unless the device is
 *   paused; so connections come and go without memory, and a reset, on a vCPU's thread, can close
 *   them.  I2 the timer runs while a connection has an end_ms.
 * Threads: all but config, save, load and reset run on the event thread, with the device's lock.
 * Memory: none allocated after virtio_vsock_new().
 * #syscalls:vmm accept4 close epoll_ctl epoll_wait recvmsg sendto #syscalls:vcpu close epoll_ctl
 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "fdio.h"
#include "log.h"
#include "loop.h"
#include "virtio_vsock_internal.h"
#include "vsock_broker.h"

#define QUEUE_SIZE  64U /* Linux fills the one to the guest with pages */
#define F_STREAM    (1ULL << 0)
#define EVENT_SIZE  4U /* struct virtio_vsock_event [5.10.6.7]; 0 is TRANSPORT_RESET */
#define TURN_EVENTS 32

enum { ID_LISTEN = VSOCK_CONNS_MAX, ID_BROKER }; /* in the epoll set; else: a connection's index */

static struct virtio_vsock *of_device(struct virtio_device *d)
{
	return (struct virtio_vsock *)d;
}

/* ---- a restored guest ---- */

/* How many buffers the guest has given; it is to kick for the next one. */
static uint16_t events_count(struct virtio_vsock *v)
{
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_EVENT];
	struct virtq_chain chain;
	uint16_t n = 0;

	while (virtq_pop(q, &chain) > 0)
		n++;
	virtq_unpop(q, n);
	return n;
}

static void reset_tell(struct virtio_vsock *v)
{
	static const uint8_t event[EVENT_SIZE];
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_EVENT];
	struct virtq_chain chain;

	if (v->owes_reset && virtq_pop(q, &chain) > 0) {
		if (virtq_chain_write(&chain, 0, event, sizeof(event)) < sizeof(event))
			q->is_broken = true;
		virtq_push(q, chain.head, sizeof(event));
		v->owes_reset = false;
		v->awaits_ack = true;
	}
	v->awaits_ack = v->awaits_ack && events_count(v) < v->n_events;
}

/* ---- what wakes the device ---- */

/* Those that have waited too long end. Returns when to look again, in ms; -1: nobody waits. */
static int64_t conns_expire(struct virtio_vsock *v)
{
	int64_t first = -1, now = loop_now_ms();

	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++) {
		struct vsock_conn *c = &v->conns[i];

		if (c->state == VSOCK_FREE || !c->end_ms)
			continue;
		first = first < 0 ? c->end_ms : MIN_OF(first, c->end_ms);
		if (c->end_ms > now)
			continue;
		if (c->state == VSOCK_LINE || c->owed == VSOCK_OP_REQUEST)
			vsock_conn_drop(v, c); /* the guest has not heard of it */
		else
			vsock_conn_end(v, c, VSOCK_OP_RST);
	}
	return first < 0 ? -1 : MAX_OF(first - now, 0);
}

static void work(struct virtio_vsock *v)
{
	bool has_more = false;
	int64_t wait_ms;

	if (v->dev.is_paused)
		return;
	if (v->dev.is_active) {
		reset_tell(v);
		has_more = vsock_from_guest(v);
		/* nothing is taken while its answers have no room: then the guest is to go on */
		has_more = vsock_to_guest(v) || (has_more && v->n_rsts < VSOCK_RSTS_MAX);
		for (uint32_t i = 0; i < v->dev.n_queues; i++)
			virtio_device_tell(&v->dev, &v->dev.queues[i]);
	}
	wait_ms = conns_expire(v);
	if (has_more)
		wait_ms = 0;
	if (wait_ms < 0)
		loop_timer_disarm(v->timer);
	else
		loop_timer_arm(v->timer, (uint32_t)wait_ms);
}

static void caller_accept(struct virtio_vsock *v)
{
	int fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct vsock_conn *c = fd < 0 ? NULL : vsock_conn_new(v, VSOCK_LINE);

	if (c && vsock_conn_attach(v, c, fd) < 0) {
		vsock_conn_drop(v, c);
	} else if (fd >= 0 && !c) {
		close(fd);
	} else if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED) {
		log_warn("vsock: no more callers: %s", strerror(errno)); /* else we would spin */
		(void)epoll_ctl(v->epoll_fd, EPOLL_CTL_DEL, v->listen_fd, NULL);
	}
}

int vsock_broker_ask(struct virtio_vsock *v, struct vsock_conn *c)
{
	uint8_t raw[VSOCK_BROKER_SIZE];

	c->cookie = ++v->last_cookie;
	vsock_broker_put(raw, c->host_port, c->cookie);
	if (v->broker_fd < 0)
		return -ECONNREFUSED;
	return send(v->broker_fd, raw, sizeof(raw), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* Who asked may be gone. Takes `fd`; -1: none. */
static void broker_answered(struct virtio_vsock *v, const struct vsock_broker_answer *a, int fd)
{
	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++) {
		struct vsock_conn *c = &v->conns[i];

		if (c->state != VSOCK_ASKING || c->cookie != a->cookie)
			continue;
		if (a->error || fd < 0 || vsock_conn_attach(v, c, TAKE_FD(fd)) < 0)
			vsock_conn_end(v, c, VSOCK_OP_RST);
		else
			vsock_conn_open(v, c);
	}
	fd_drop(&fd);
}

static void broker_read(struct virtio_vsock *v)
{
	uint8_t raw[VSOCK_BROKER_SIZE] = { 0 };
	struct vsock_broker_answer a;
	size_t n_fds = 1;
	int fd = -1;
	ssize_t n = fd_recv(v->broker_fd, raw, sizeof(raw), &fd, &n_fds);

	if (n == (ssize_t)sizeof(raw)) {
		a = vsock_broker_answer(raw);
		broker_answered(v, &a, fd);
	} else if (n != -EAGAIN) { /* those that asked have a limit */
		fd_drop(&fd);
		(void)epoll_ctl(v->epoll_fd, EPOLL_CTL_DEL, v->broker_fd, NULL);
		fd_drop(&v->broker_fd);
	}
}

static void sockets_event(void *arg, uint32_t events)
{
	struct virtio_vsock *v = arg;
	struct epoll_event ev[TURN_EVENTS];
	int n;

	(void)events;
	pthread_mutex_lock(&v->dev.lock);
	n = v->dev.is_paused ? 0 : epoll_wait(v->epoll_fd, ev, TURN_EVENTS, 0);
	for (int i = 0; i < n; i++) {
		if (ev[i].data.u32 == ID_LISTEN)
			caller_accept(v);
		else if (ev[i].data.u32 == ID_BROKER)
			broker_read(v);
		else
			vsock_conn_event(v, &v->conns[ev[i].data.u32], ev[i].events);
	}
	work(v);
	pthread_mutex_unlock(&v->dev.lock);
}

static void timer_event(void *arg)
{
	sockets_event(arg, 0);
}

static void vsock_kick(struct virtio_device *d, unsigned int queue)
{
	(void)queue;
	work(of_device(d));
}

/* ---- the device ---- */

static void vsock_config_read(const struct virtio_device *d, uint8_t *raw)
{
	(void)d;
	put_le64(raw, VSOCK_CID_GUEST);
}

static void vsock_reset(struct virtio_device *d)
{
	struct virtio_vsock *v = of_device(d);

	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++)
		vsock_conn_drop(v, &v->conns[i]);
	v->n_rsts = 0;
	v->owes_reset = v->awaits_ack = false;
	v->n_events = 0;
}

static void pause_set(struct virtio_vsock *v, bool is_paused)
{
	struct err e;

	loop_timer_disarm(v->timer);
	if (loop_watch_set(v->watch, is_paused ? 0 : EPOLLIN, &e) < 0)
		log_warn("vsock: %s", e.msg);
	work(v);
}

static void vsock_pause(struct virtio_device *d)
{
	pause_set(of_device(d), true);
}

static void vsock_resume(struct virtio_device *d)
{
	of_device(d)->owes_reset &= d->is_active; /* else its driver begins anew */
	pause_set(of_device(d), false);
}

static void vsock_save(struct virtio_device *d, struct state_out *s)
{
	struct virtio_vsock *v = of_device(d);
	uint16_t n = d->is_active ? events_count(v) : 0;

	state_put_u32(s, v->next_port);
	state_put_u16(s, MAX_OF(n, v->n_events)); /* of those some may not have been heard yet */
}

static int vsock_load(struct virtio_device *d, struct state_in *s, struct err *e)
{
	struct virtio_vsock *v = of_device(d);

	v->next_port = state_get_u32(s);
	v->n_events = state_get_u16(s);
	v->owes_reset = true;
	if (!s->has_failed && v->next_port >= VSOCK_HOST_PORT &&
	    v->next_port < VSOCK_HOST_PORT_END && v->n_events <= QUEUE_SIZE)
		return 0;
	v->next_port = VSOCK_HOST_PORT;
	return err_plain(e, EINVAL, "vsock: not a saved state");
}

static void vsock_free(struct virtio_device *d)
{
	struct virtio_vsock *v = of_device(d);

	vsock_reset(d);
	loop_watch_drop(v->watch);
	loop_timer_drop(v->timer);
	fd_drop(&v->epoll_fd);
	fd_drop(&v->listen_fd);
	fd_drop(&v->broker_fd);
}

static const struct virtio_device_ops vsock_ops = {
	.id = VIRTIO_ID_VSOCK,
	.name = "vsock",
	.n_queues = VSOCK_QUEUE_EVENT + 1,
	.queue_size = QUEUE_SIZE,
	.config_read = vsock_config_read,
	.reset = vsock_reset,
	.kick = vsock_kick,
	.pause = vsock_pause,
	.resume = vsock_resume,
	.save = vsock_save,
	.load = vsock_load,
	.free = vsock_free,
};

static int epoll_add(const struct virtio_vsock *v, int fd, uint32_t id, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = id };

	if (fd >= 0 &&
	    (fd_set_nonblock(fd, true) < 0 || epoll_ctl(v->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0))
		return err_set(e, errno, "vsock: descriptor %d", fd);
	return 0;
}

int virtio_vsock_new(struct loop *loop, int listen_fd, int broker_fd, struct virtio_device **ret,
		     struct err *e)
{
	struct virtio_vsock *v = virtio_device_new(sizeof(*v), &vsock_ops, F_STREAM, e);

	if (!v)
		return -e->code;
	v->listen_fd = v->broker_fd = -1;
	v->next_port = VSOCK_HOST_PORT;
	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++)
		v->conns[i].fd = -1;
	v->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (v->epoll_fd < 0)
		(void)err_set(e, errno, "vsock"); /* returned below */
	if (v->epoll_fd < 0 || epoll_add(v, listen_fd, ID_LISTEN, e) < 0 ||
	    epoll_add(v, broker_fd, ID_BROKER, e) < 0 ||
	    loop_timer_new(loop, timer_event, v, &v->timer, e) < 0 ||
	    loop_watch_fd(loop, v->epoll_fd, EPOLLIN, sockets_event, v, &v->watch, e) < 0) {
		virtio_device_free(&v->dev);
		return -e->code;
	}
	v->listen_fd = listen_fd;
	v->broker_fd = broker_fd;
	*ret = &v->dev;
	return 0;
}
