/* SPDX-License-Identifier: MIT */
/*
 * virtio_fs.c - [U] a shared directory: FUSE requests go to a server and come back
 *
 * Nothing of a request is understood here but its number.
 *
 * Hostile: the rings' contents; and the server, which reads what a guest wrote.
 * Invariants: I1 a request is copied out of guest memory once, before its number is read, and the
 *   copy is what is sent. I2 the requests in flight are a ring, oldest first; the next answer is
 *   the oldest's. I3 at most one request is not wholly sent, the youngest, and none is taken
 *   before it is. I4 no answer is written beyond its request's buffers, nor for one from before
 *   a reset.
 * Threads: the device's lock is held in all of it. The watch, the timer and the descriptor are the
 *   event thread's; a reset touches the ring only.
 * Memory: none allocated after virtio_fs_new().
 * #syscalls:vmm clock_gettime close epoll_ctl poll recvfrom restart_syscall sendto
 */
#include "virtio_fs.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "bytes.h"
#include "log.h"
#include "loop.h"

#define QUEUE_SIZE    256U /* Linux makes no request with more buffers, less four */
#define QUEUE_HIPRIO  0U
#define QUEUE_REQUEST 1U
#define FLIGHT_MAX    16U
#define TURN_MAX      64U /* requests, or answers, until others have their turn */

#define LENGTH_SIZE   4U

/* fuse_in_header and fuse_out_header */
#define IN_HEADER  40U
#define IN_UNIQUE  8U
#define OUT_HEADER 16U
#define OUT_ERROR  4U
#define OUT_UNIQUE 8U

struct fs_request {
	struct virtq_chain chain;
	unsigned int queue;
	uint64_t unique;
	bool is_gone; /* the driver that made it was reset */
};

struct virtio_fs {
	struct virtio_device dev; /* first */
	char tag[VIRTIO_FS_TAG_MAX];
	int fd; /* -1: the server has gone, or never was */
	struct loop_watch *watch;
	struct loop_timer *again; /* a turn's limit was reached */
	uint32_t events;
	struct fs_request flight[FLIGHT_MAX];
	uint32_t first, n_flight;
	size_t out_len, out_off; /* of `out`: what there is, what was sent */
	size_t in_len;
	uint8_t out[LENGTH_SIZE + VIRTIO_FS_MESSAGE_MAX];
	uint8_t in[LENGTH_SIZE + VIRTIO_FS_MESSAGE_MAX];
};

static struct virtio_fs *fs_of(struct virtio_device *d)
{
	return (struct virtio_fs *)d;
}

static void answer(struct virtio_fs *f, const struct fs_request *r, const uint8_t *reply,
		   size_t len)
{
	size_t n = virtq_chain_write(&r->chain, 0, reply, len);

	virtq_chain_wrote(&f->dev.queues[r->queue], &r->chain);
	virtq_push(&f->dev.queues[r->queue], r->chain.head, (uint32_t)n);
}

/* One without room for it, such as FORGET, has no reply. */
static void answer_error(struct virtio_fs *f, const struct fs_request *r)
{
	uint8_t head[OUT_HEADER];

	put_le32(head, OUT_HEADER);
	put_le32(head + OUT_ERROR, (uint32_t)-EIO);
	put_le64(head + OUT_UNIQUE, r->unique);
	answer(f, r, head, r->chain.len_in >= OUT_HEADER ? OUT_HEADER : 0);
}

static void oldest_drop(struct virtio_fs *f)
{
	f->first = (f->first + 1) % FLIGHT_MAX;
	f->n_flight--;
}

static void queues_tell(struct virtio_fs *f)
{
	if (!f->dev.is_active)
		return;
	for (uint32_t i = 0; i < f->dev.n_queues; i++)
		virtio_device_tell(&f->dev, &f->dev.queues[i]);
}

static void server_drop(struct virtio_fs *f)
{
	loop_watch_drop(f->watch);
	f->watch = NULL;
	fd_drop(&f->fd);
}

static void server_lost(struct virtio_fs *f, const char *why)
{
	log_warn("share %.*s: %s; it is lost", (int)sizeof(f->tag), f->tag, why);
	server_drop(f);
	f->out_len = f->out_off = f->in_len = 0;
	loop_timer_arm(f->again, 0); /* what waits is answered too, whoever found it out */
	for (; f->n_flight > 0; oldest_drop(f))
		if (!f->flight[f->first].is_gone)
			answer_error(f, &f->flight[f->first]);
}

/* A whole message is there. Whether it is an answer. */
static bool reply_take(struct virtio_fs *f)
{
	const struct fs_request *r = &f->flight[f->first];
	const uint8_t *reply = f->in + LENGTH_SIZE;
	size_t len = f->in_len - LENGTH_SIZE;

	if (f->n_flight == 0 || (f->n_flight == 1 && f->out_off < f->out_len))
		return false; /* nothing was asked yet */
	if (len > 0 && (len < OUT_HEADER || get_le32(reply) != len ||
			get_le64(reply + OUT_UNIQUE) != r->unique))
		return false;
	if (!r->is_gone && len > r->chain.len_in)
		answer_error(f, r);
	else if (!r->is_gone)
		answer(f, r, reply, len);
	oldest_drop(f);
	f->in_len = 0;
	return true;
}

/* Of the message that is being received, as far as it is known. */
static size_t message_size(const struct virtio_fs *f)
{
	return f->in_len < LENGTH_SIZE ? LENGTH_SIZE : LENGTH_SIZE + (size_t)get_le32(f->in);
}

/* 1: some bytes; 0: not now; the server is lost else. */
static int bytes_receive(struct virtio_fs *f, size_t want)
{
	ssize_t n = recv(f->fd, f->in + f->in_len, want - f->in_len, MSG_DONTWAIT);

	if (n > 0) {
		f->in_len += (size_t)n;
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	server_lost(f, n == 0 ? "the server has hung up" : strerror(errno));
	return -1;
}

static void replies_receive(struct virtio_fs *f)
{
	for (uint32_t n = 0; n < TURN_MAX && f->fd >= 0;) {
		size_t want = message_size(f);

		if (want > sizeof(f->in)) {
			server_lost(f, "the server's answer is too long");
			return;
		}
		if (f->in_len < want) {
			if (bytes_receive(f, want) <= 0)
				return;
			continue;
		}
		n++;
		if (!reply_take(f)) {
			server_lost(f, "the server's answer is none");
			return;
		}
	}
}

static void request_send(struct virtio_fs *f)
{
	while (f->fd >= 0 && f->out_off < f->out_len) {
		ssize_t n = send(f->fd, f->out + f->out_off, f->out_len - f->out_off,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0)
			f->out_off += (size_t)n;
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			server_lost(f, strerror(errno));
	}
}

/* The next of the two queues; false: none, or no more of a driver that breaks rules. */
static bool request_pop(struct virtio_fs *f, struct fs_request *r)
{
	for (r->queue = QUEUE_HIPRIO; r->queue <= QUEUE_REQUEST; r->queue++) {
		int rc = virtq_pop(&f->dev.queues[r->queue], &r->chain);

		if (rc != 0)
			return rc > 0;
	}
	return false;
}

/* Into the buffer to send; -EINVAL when it is none. */
static int request_copy(struct virtio_fs *f, struct fs_request *r)
{
	uint8_t *req = f->out + LENGTH_SIZE;
	size_t len;

	r->unique = 0;
	r->is_gone = false;
	if (r->chain.len_out < IN_HEADER)
		return -EINVAL;
	len = virtq_chain_read(&r->chain, 0, req, VIRTIO_FS_MESSAGE_MAX);
	r->unique = get_le64(req + IN_UNIQUE);
	if (f->fd < 0 || r->chain.len_out > len)
		return -EINVAL;
	put_le32(f->out, (uint32_t)len);
	f->out_off = 0;
	f->out_len = LENGTH_SIZE + len;
	return 0;
}

static void requests_take(struct virtio_fs *f)
{
	for (uint32_t n = 0; n < TURN_MAX; n++) {
		struct fs_request *r = &f->flight[(f->first + f->n_flight) % FLIGHT_MAX];

		request_send(f);
		if (f->out_off < f->out_len || f->n_flight == FLIGHT_MAX || !request_pop(f, r))
			return;
		if (request_copy(f, r) < 0)
			answer_error(f, r);
		else
			f->n_flight++;
	}
	request_send(f);
	loop_timer_arm(f->again, 0);
}

static void watch_set(struct virtio_fs *f)
{
	uint32_t events = EPOLLIN | (f->out_off < f->out_len ? EPOLLOUT : 0U);
	struct err e = { 0 };

	if (f->fd < 0 || events == f->events)
		return;
	f->events = events;
	if (loop_watch_set(f->watch, events, &e) < 0)
		server_lost(f, e.msg);
}

static void work(struct virtio_fs *f)
{
	if (f->dev.is_active && !f->dev.is_paused)
		requests_take(f);
	else
		request_send(f); /* what was begun */
	watch_set(f);
	queues_tell(f);
}

static void socket_event(void *arg, uint32_t events)
{
	struct virtio_fs *f = arg;

	pthread_mutex_lock(&f->dev.lock);
	if (events & ~(uint32_t)EPOLLOUT)
		replies_receive(f);
	work(f);
	pthread_mutex_unlock(&f->dev.lock);
}

static void again_event(void *arg)
{
	struct virtio_fs *f = arg;

	pthread_mutex_lock(&f->dev.lock);
	work(f);
	pthread_mutex_unlock(&f->dev.lock);
}

static void fs_config_read(const struct virtio_device *d, uint8_t *raw)
{
	memcpy(raw, ((const struct virtio_fs *)d)->tag, VIRTIO_FS_TAG_MAX);
	put_le32(raw + VIRTIO_FS_TAG_MAX, d->n_queues - QUEUE_REQUEST);
}

static void fs_kick(struct virtio_device *d, unsigned int queue)
{
	(void)queue;
	work(fs_of(d));
}

static void fs_reset(struct virtio_device *d)
{
	struct virtio_fs *f = fs_of(d);

	for (uint32_t i = 0; i < f->n_flight; i++)
		f->flight[(f->first + i) % FLIGHT_MAX].is_gone = true;
}

static void fs_pause(struct virtio_device *d)
{
	struct virtio_fs *f = fs_of(d);
	int64_t end = loop_now_ms() + VIRTIO_FS_PAUSE_MS;

	while (f->n_flight > 0) {
		struct pollfd p = { f->fd, POLLIN, 0 };
		int64_t left = end - loop_now_ms();

		if (f->out_off < f->out_len)
			p.events |= POLLOUT;
		if (left <= 0) {
			server_lost(f, "the server does not answer");
			break;
		}
		(void)poll(&p, 1, (int)left); /* what is wrong shows when the socket is used */
		request_send(f);
		replies_receive(f);
	}
	queues_tell(f);
}

static bool fs_uses(const struct virtio_device *d, const void *p, size_t len)
{
	const struct virtio_fs *f = (const struct virtio_fs *)d;

	for (uint32_t i = 0; i < f->n_flight; i++) {
		const struct fs_request *r = &f->flight[(f->first + i) % FLIGHT_MAX];

		if (!r->is_gone && virtq_chain_uses(&r->chain, p, len))
			return true;
	}
	return false;
}

static void fs_resume(struct virtio_device *d)
{
	work(fs_of(d));
}

/* Nothing but the queues, which were loaded already: a guest that has mounted it, even if it has
 * unmounted it since, knows a server that is not here. */
static int fs_load(struct virtio_device *d, struct state_in *s, struct err *e)
{
	(void)s;
	for (uint32_t i = 0; i < d->n_queues; i++)
		if (d->queues[i].next_avail)
			return err_plain(e, EINVAL, "the saved guest has used the directory");
	return 0;
}

static void fs_free(struct virtio_device *d)
{
	struct virtio_fs *f = fs_of(d);

	server_drop(f);
	loop_timer_drop(f->again);
}

static const struct virtio_device_ops fs_ops = {
	.id = VIRTIO_ID_FS,
	.name = "share",
	.n_queues = QUEUE_REQUEST + 1,
	.queue_size = QUEUE_SIZE,
	.config_read = fs_config_read,
	.reset = fs_reset,
	.kick = fs_kick,
	.pause = fs_pause,
	.resume = fs_resume,
	.load = fs_load,
	.uses = fs_uses,
	.free = fs_free,
};

int virtio_fs_new(struct loop *loop, const char *tag, int fd, struct virtio_device **ret,
		  struct err *e)
{
	size_t tag_len = strlen(tag);
	struct virtio_fs *f;

	if (tag_len < 1 || tag_len > VIRTIO_FS_TAG_MAX)
		return err_plain(e, EINVAL, "share: a tag of %zu bytes", tag_len);
	f = virtio_device_new(sizeof(*f), &fs_ops, 0, e);
	if (!f)
		return -e->code;
	f->fd = -1;
	f->events = EPOLLIN;
	memcpy(f->tag, tag, tag_len);
	if (loop_timer_new(loop, again_event, f, &f->again, e) < 0 ||
	    (fd >= 0 && loop_watch_fd(loop, fd, EPOLLIN, socket_event, f, &f->watch, e) < 0)) {
		virtio_device_free(&f->dev);
		return -e->code;
	}
	f->fd = fd;
	*ret = &f->dev;
	return 0;
}
