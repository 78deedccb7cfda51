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

struct virtio_rng {
	struct virtio_device dev; /* first */
	struct virtio_serve serve;
};

static struct virtio_rng *rng_of(struct virtio_device *d)
{
	return (struct virtio_rng *)d;
}

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

static void rng_config_read(struct virtio_device *d, uint32_t off, void *data, uint32_t len)
{
	(void)d;
	(void)off;
	memset(data, 0, len); /* it has none */
}

static void rng_kick(struct virtio_device *d, unsigned int queue)
{
	virtio_serve_kick(&rng_of(d)->serve, queue);
}

static void rng_pause(struct virtio_device *d)
{
	virtio_serve_pause(&rng_of(d)->serve);
}

static void rng_resume(struct virtio_device *d)
{
	virtio_serve_resume(&rng_of(d)->serve);
}

static void rng_free(struct virtio_device *d)
{
	virtio_serve_done(&rng_of(d)->serve);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

int virtio_rng_new(struct loop *loop, struct virtio_device **ret, struct err *e)
{
	static const struct virtio_device_ops ops = {
		.id = VIRTIO_ID_RNG,
		.name = "rng",
		.config_read = rng_config_read,
		.kick = rng_kick,
		.pause = rng_pause,
		.resume = rng_resume,
		.free = rng_free,
	};
	struct virtio_rng *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(e, ENOMEM, "rng");
	r->dev.ops = &ops;
	r->dev.n_queues = 1;
	r->dev.queue_size = QUEUE_SIZE;
	r->dev.features = VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX;
	pthread_mutex_init(&r->dev.lock, NULL);
	r->serve.dev = &r->dev;
	r->serve.one = rng_one;
	r->serve.turn = TURN_MAX;
	if (virtio_serve_init(&r->serve, loop, e) < 0) {
		rng_free(&r->dev);
		return -e->code;
	}
	*ret = &r->dev;
	return 0;
}
