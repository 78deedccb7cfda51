/* SPDX-License-Identifier: MIT */
/*
 * virtio_console_port.c - [U] the bytes of a console's port, between rings and a descriptor
 *
 * Hostile: the rings' contents; the host's peer may send, stop and hang up as it likes.
 * Invariants: I1 no request is in flight while the lock is free: one that cannot be ended is put
 *   back, and `tx_off` says how much of it was sent.  I2 a wake moves at most CONSOLE_WAKE_CHAINS
 *   chains.  I3 a descriptor is watched for what would be done only.
 * Memory: none allocated after console_port_init().
 * #syscalls:vmm fcntl getsockopt readv sendmsg writev
 */
#include <fcntl.h>
#include <sys/socket.h>

#include "fdio.h"
#include "iov.h"
#include "loop.h"
#include "virtio_console_internal.h"

static bool is_guest_open(const struct console_port *p)
{
	return console_has_control(p->console) ? p->flags & PORT_IS_OPEN : p->id == 0;
}

static struct virtq *queue_to_guest(const struct console_port *p)
{
	return &p->console->dev.queues[console_port_queue(p)];
}

static struct virtq *queue_from_guest(const struct console_port *p)
{
	return &p->console->dev.queues[console_port_queue(p) + 1];
}

void console_port_hang_up(struct console_port *p)
{
	/* What waited for the host is thrown away now; the guest does not kick for it again. */
	if (p->is_tx_blocked)
		loop_timer_arm(p->console->again, 0);
	loop_watch_drop(p->watch);
	p->watch = NULL;
	fd_drop(&p->fd);
	p->is_tx_blocked = false;
}

static bool wants_input(const struct console_port *p)
{
	return is_guest_open(p) && p->fd >= 0 && !p->is_write_only && !p->is_rx_starved &&
	       !queue_to_guest(p)->is_broken;
}

/*
 * Watch for what would be done now. When that is nothing, a hang-up is still reported, so take it
 * as an edge: level-triggered it would keep the loop busy until the guest reads.
 */
void console_port_watch(struct console_port *p)
{
	uint32_t want = p->is_tx_blocked ? EPOLLOUT : 0;
	struct err e;

	if (!p->watch)
		return;
	if (wants_input(p))
		want |= EPOLLIN;
	if (!console_is_running(p->console) || want == 0)
		want = EPOLLET;
	if (want == p->events)
		return;
	p->events = want;
	if (loop_watch_set(p->watch, want, &e) < 0)
		console_port_hang_up(p); /* out of memory: better than a port that hangs */
}

/* `c`'s buffers become those that are left. */
static ssize_t port_write(const struct console_port *p, struct virtq_chain *c)
{
	int n = iov_cut(c->iov, c->n_out, p->tx_off, SIZE_MAX, c->iov);
	struct msghdr m = { .msg_iov = c->iov, .msg_iovlen = (size_t)n };

	return p->is_socket ? sendmsg(p->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT)
			    : writev(p->fd, c->iov, n);
}

/* Whether the request is done with: its bytes were sent, or nobody wants them. */
static bool port_send(struct console_port *p, struct virtq_chain *c)
{
	ssize_t n;

	if (p->fd < 0 || p->is_deaf || p->tx_off >= c->len_out)
		return true;
	n = port_write(p, c);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		p->is_deaf = true;
		return true;
	}
	p->tx_off += n > 0 ? (uint32_t)n : 0;
	p->is_tx_blocked = p->tx_off < c->len_out;
	return !p->is_tx_blocked;
}

void console_port_from_guest(struct console_port *p)
{
	struct virtq *q = queue_from_guest(p);
	struct virtq_chain chain;
	unsigned int i;

	p->is_tx_blocked = false;
	if (q->is_broken)
		return;
	for (i = 0; i < CONSOLE_WAKE_CHAINS && virtq_pop(q, &chain) > 0; i++) {
		if (!port_send(p, &chain)) {
			virtq_unpop(q, 1); /* I1 */
			break;
		}
		p->tx_off = 0;
		virtq_push(q, chain.head, 0);
	}
	if (i == CONSOLE_WAKE_CHAINS)
		loop_timer_arm(p->console->again, 0);
	virtio_device_tell(&p->console->dev, q);
}

/* Read into the guest's next buffers; false when there is no more to do now. */
static bool port_receive(struct console_port *p, struct virtq *q)
{
	struct virtq_chain chain;
	ssize_t n;
	int rc = virtq_pop(q, &chain);

	if (rc <= 0) {
		p->is_rx_starved = true;
		return false;
	}
	if (chain.n_in == 0) {
		q->is_broken = true;
		return false;
	}
	n = readv(p->fd, chain.iov + chain.n_out, chain.n_in);
	if (n > 0) {
		virtq_push(q, chain.head, (uint32_t)n);
		return true;
	}
	virtq_unpop(q, 1); /* I1 */
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		console_port_hang_up(p);
	return false;
}

void console_port_to_guest(struct console_port *p)
{
	struct virtq *q = queue_to_guest(p);

	if (!wants_input(p))
		return;
	for (unsigned int i = 0; i < CONSOLE_WAKE_CHAINS; i++)
		if (!port_receive(p, q))
			break;
	virtio_device_tell(&p->console->dev, q);
}

int console_port_init(struct console_port *p, struct loop *loop, int fd,
		      void (*fn)(void *arg, uint32_t events), struct err *e)
{
	socklen_t len = sizeof(int);
	int type, flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fd_set_nonblock(fd, true) < 0)
		return err_set(e, errno, "console port's descriptor %d", fd);
	p->is_write_only = (flags & O_ACCMODE) == O_WRONLY;
	p->is_socket = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
	p->events = EPOLLET;
	return loop_watch_fd(loop, fd, p->events, fn, p, &p->watch, e);
}
