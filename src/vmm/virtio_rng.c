/* SPDX-License-Identifier: MIT */
/*
 * virtio_rng.c - [U] random bytes for a guest [virtio 1.2, 5.4]
 *
 * Hostile: how many buffers a request has and how long they are: at most VIRTIO_RNG_REQUEST_MAX
 *   bytes are given, TURN_MAX requests are served at a time.
 * Threads: all under the device's lock, on the loop's thread.
 * Memory: none allocated after virtio_rng_new(). #syscalls:vmm getrandom
 */
#include "virtio_rng.h"

#include <sys/random.h>

#include "virtio_serve.h"

#define QUEUE_SIZE 64U
#define TURN_MAX   16U  /* 1 MiB at the most */
#define PIECE_MAX  4096 /* bytes of one call */

/* How many bytes were written, from the front on; fewer than `len` only when the kernel cannot. */
static size_t random_fill(void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t part = MIN_OF(len - done, (size_t)PIECE_MAX);
		ssize_t rc = getrandom((char *)data + done, part, 0);

		if (rc < 0 && errno == EINTR)
			continue;
		if (rc <= 0)
			break;
		done += (size_t)rc;
	}
	return done;
}

static uint32_t rng_one(struct virtio_device *d, unsigned int queue, const struct virtq_chain *c)
{
	size_t done = 0;

	(void)d;
	(void)queue;
	for (unsigned int i = 0; i < c->n_in && done < VIRTIO_RNG_REQUEST_MAX; i++) {
		const struct iovec *v = &c->iov[c->n_out + i];
		size_t part = MIN_OF(v->iov_len, VIRTIO_RNG_REQUEST_MAX - done);
		size_t got = random_fill(v->iov_base, part);

		done += got;
		if (got < part)
			break;
	}
	return (uint32_t)done;
}

int virtio_rng_new(struct loop *loop, struct virtio_device **ret, struct err *e)
{
	static const struct virtio_device_ops ops = {
		.id = VIRTIO_ID_RNG,
		.name = "rng",
		.n_queues = 1,
		.queue_size = QUEUE_SIZE,
		.kick = virtio_serve_kick,
		.resume = virtio_serve_resume,
		.free = virtio_serve_free,
		.one = rng_one,
		.turn = TURN_MAX,
	};
	struct virtio_serve *s = virtio_serve_new(sizeof(*s), &ops, 0, loop, e);

	if (!s)
		return -e->code;
	*ret = &s->dev;
	return 0;
}
