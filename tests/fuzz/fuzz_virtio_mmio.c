/* SPDX-License-Identifier: MIT */
/* fuzz_virtio_mmio.c - a series of register accesses, kicks and memory writes on a toy device */
#include "fuzz_input.h"

#include "../unit/vmm/guest_driver.h"
#include "../unit/vmm/toy_device.h"

/*
 * The input is a series of operations: a byte that says which, then what it takes. The driver's
 * model helps, so that a few bytes reach a running device; what is done to it then is the input's.
 */
struct input {
	const uint8_t *p;
	size_t left;
};

static uint64_t take(struct input *in, size_t bytes)
{
	uint8_t raw[8] = { 0 };
	size_t n = MIN_OF(bytes, in->left);

	memcpy(raw, in->p, n);
	in->p += n;
	in->left -= n;
	return get_le64(raw);
}

/* What must hold at any time. */
static void state_check(struct guest_driver *g)
{
	const struct virtio_device *d = g->t.dev;
	uint32_t status = guest_driver_get(g, REG_STATUS);

	MUST(status <= 0xff && d->is_active == ((status & STATUS_DRIVER_OK) != 0));
	MUST(!(d->agreed & ~d->features));
	MUST((d->agreed != 0) == ((status & STATUS_FEATURES_OK) != 0));
	for (uint32_t i = 0; i < d->n_queues; i++) {
		const struct virtq *q = &d->queues[i];

		MUST(q->size <= d->queue_size);
		MUST(!q->is_ready || status & STATUS_FEATURES_OK);
		MUST(!q->is_ready || guest_span(&g->mem, q->used, 6 + 8U * q->size));
	}
}

static void save_and_load(struct guest_driver *g)
{
	struct err e = { 0 };
	auto_buf b = { 0 }, again = { 0 };
	struct state_out out = { .b = &b };
	struct state_in in;

	virtio_mmio_save(&g->t, &out);
	in = (struct state_in){ .p = (const uint8_t *)b.data, .left = b.len };
	MUST(!out.has_failed && virtio_mmio_load(&g->t, &in, &e) == 0 && in.left == 0);
	out.b = &again;
	virtio_mmio_save(&g->t, &out);
	MUST(again.len == b.len && memcmp(b.data, again.data, b.len) == 0);
}

/* The state as it is, but for some bytes. */
static void load_mangled(struct guest_driver *g, struct input *in)
{
	struct err e = { 0 };
	auto_buf b = { 0 };
	struct state_out out = { .b = &b };
	struct state_in s;

	virtio_mmio_save(&g->t, &out);
	MUST(!out.has_failed);
	for (uint64_t n = take(in, 1) % 8; n > 0; n--) {
		uint64_t at = take(in, 1) % b.len;

		b.data[at] = (char)take(in, 1);
	}
	s = (struct state_in){ .p = (const uint8_t *)b.data, .left = b.len };
	if (virtio_mmio_load(&g->t, &s, &e) < 0)
		MUST(e.msg[0] && guest_driver_get(g, REG_STATUS) == 0);
}

static void register_access(struct guest_driver *g, struct input *in, bool is_write)
{
	uint32_t off = (uint32_t)take(in, 2), len = (uint32_t)take(in, 1);
	uint8_t data[256];

	if (!is_write) {
		virtio_mmio_read(&g->t, off, data, len);
		return;
	}
	memset(data, 0, sizeof(data));
	put_le64(data, take(in, MIN_OF(len, 8)));
	virtio_mmio_write(&g->t, off, data, len);
}

static void op(struct guest_driver *g, struct input *in)
{
	uint32_t reg;

	switch (take(in, 1) % 10) {
	case 0: /* registers, as they are meant to be accessed */
		reg = (uint32_t)take(in, 1) & ~3U;
		guest_driver_set(g, reg, (uint32_t)take(in, 4));
		break;
	case 1:
		register_access(g, in, false);
		break;
	case 2:
		register_access(g, in, true);
		break;
	case 3:
		guest_driver_set(g, REG_STATUS, (uint32_t)take(in, 1));
		break;
	case 4: /* the rings of a queue that the model has laid out: index, or anything */
		guest_driver_poke(g, GUEST_DRIVER_BASE + take(in, 2) % 0x7ff8, take(in, 4), 4);
		break;
	case 5:
		virtio_mmio_kick(&g->t, (unsigned int)take(in, 1));
		break;
	case 6:
		(void)guest_driver_negotiate(g, take(in, 1) | VIRTIO_F_VERSION_1, TOY_QUEUE_SIZE);
		break;
	case 7:
		(void)guest_driver_negotiate(g, TOY_FEATURES, (uint16_t)(1 + take(in, 1)));
		break;
	case 8:
		save_and_load(g);
		break;
	default:
		load_mangled(g, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	struct guest_driver g = { 0 };

	guest_driver_attach(&g, &toy_device_new()->dev);
	for (unsigned int i = 0; i < 256 && in.left > 0; i++) {
		op(&g, &in);
		state_check(&g);
	}
	virtio_mmio_kick_all(&g.t);
	guest_driver_stop(&g);
	return 0;
}
