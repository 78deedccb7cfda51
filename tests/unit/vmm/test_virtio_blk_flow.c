/* SPDX-License-Identifier: MIT */
/*
 * test_virtio_blk_flow.c - many requests of a disk at once: random ones compared with a plain
 * array, resets, pauses and limits in the middle
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "../vhd/prng.h"
#include "blk_fixture.h"
#include "disk_driver.h"
#include "loop_turns.h"
#include "vhd.h"

#define SIZE     (512U << 10)
#define ZONES    16U /* requests at once, each in its own part of the disk */
#define ZONE_LEN (SIZE / ZONES)
#define ROUNDS   150U

/* ---- random requests ----------------------------------------------------------------------- */

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, 0), len);
	return fd;
}

static struct blk_back *raw_of(const uint8_t *model)
{
	struct blk_back *b;
	struct err e;

	assert_int_equal(blk_back_raw(file_of(model, SIZE), SIZE, false, &b, &e), 0);
	return b;
}

static struct blk_back *concat_of(uint8_t *model)
{
	struct vmm_part parts[] = {
		{ file_of(model, SIZE), 1000, 1000, 99000 },
		{ file_of(model, SIZE), 100352, 100352, 200000 },
		{ file_of(model, 400000), 301056, 301056, 150000 }, /* 51056 short */
	};
	struct blk_back *b;
	struct err e;

	memset(model, 0, 1000);
	memset(model + 100000, 0, 352);
	memset(model + 300352, 0, 704);
	memset(model + 400000, 0, SIZE - 400000);
	assert_int_equal(blk_back_concat(parts, 3, SIZE, &b, &e), 0);
	return b;
}

static struct blk_back *vhd_of(const uint8_t *model)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = SIZE };
	struct vhd_open_options open = { .flags = VHD_OPEN_WRITE };
	struct vhd_err ve;
	struct blk_back *b;
	struct vhd_io *io;
	struct vhd *v;
	struct err e;

	assert_int_equal(vhd_io_memory("v", 16U << 20, &io, &ve), 0);
	assert_int_equal(vhd_create_io(io, NULL, &o, &ve), 0);
	assert_int_equal(vhd_open_io(io, NULL, &open, &v, &ve), 0);
	assert_int_equal(vhd_write(v, model, SIZE, 0, &ve), 0);
	assert_int_equal(blk_back_vhd(v, false, &b, &e), 0);
	return b;
}

struct op { /* one in flight */
	uint32_t type;
	uint64_t off;
	uint32_t len;
	uint16_t head;
	unsigned int n_out, n_in;
	struct iovec iov[12]; /* as offered: header and data out; data in, status */
};

/* Cut `len` bytes of `data` in up to 5 pieces. */
static unsigned int cut(uint64_t *seed, struct iovec *iov, uint8_t *data, size_t len)
{
	unsigned int n = 0;

	while (len > 0) {
		size_t part = n == 4 ? len : 1 + prng_below(seed, len);

		iov[n++] = (struct iovec){ data, part };
		data = data ? data + part : NULL;
		len -= part;
	}
	return n;
}

static void op_offer(struct disk *d, uint64_t *seed, struct op *op, unsigned int zone,
		     uint8_t *model, bool is_readonly)
{
	static const uint32_t types[] = { T_IN, T_IN, T_OUT, T_OUT, T_ZEROES, T_FLUSH };
	uint64_t sector = prng_below(seed, ZONE_LEN / 512);
	uint32_t n = (uint32_t)(1 + prng_below(seed, ZONE_LEN / 512 - sector));
	static uint8_t data[ZONE_LEN];
	uint8_t header[16], segment[16];

	*op = (struct op){ .off = zone * ZONE_LEN + sector * 512, .len = n * 512 };
	op->type = is_readonly ? T_IN : types[prng_below(seed, ARRAY_SIZE(types))];
	disk_header(header, op->type, op->off / 512);
	op->n_out = cut(seed, op->iov, header, sizeof(header));
	if (op->type == T_OUT) {
		prng_fill(seed, data, op->len);
		memcpy(model + op->off, data, op->len);
		op->n_out += cut(seed, op->iov + op->n_out, data, op->len);
	} else if (op->type == T_ZEROES) {
		disk_segment(segment, op->off / 512, n, (uint32_t)prng_below(seed, 2));
		memset(model + op->off, 0, op->len);
		op->n_out += cut(seed, op->iov + op->n_out, segment, sizeof(segment));
	} else if (op->type == T_IN) {
		op->n_in = cut(seed, op->iov + op->n_out, NULL, op->len);
	}
	op->iov[op->n_out + op->n_in++] = (struct iovec){ NULL, 1 };
	op->head = guest_driver_add(&d->g, 0, op->iov, op->n_out, op->iov + op->n_out, op->n_in);
}

static void op_check(struct disk *d, const struct op *op, uint32_t used, const uint8_t *model)
{
	uint64_t off = op->off;
	uint8_t *status = guest_driver_data(&d->g, 0, op->head, op->n_out + op->n_in - 1);

	assert_int_equal(*status, S_OK);
	assert_int_equal(used, op->type == T_IN ? op->len + 1 : 1);
	for (unsigned int i = 0; i < op->n_in - 1; off += op->iov[op->n_out + i++].iov_len)
		assert_memory_equal(guest_driver_data(&d->g, 0, op->head, op->n_out + i),
				    model + off, op->iov[op->n_out + i].iov_len);
}

/* Up to ZONES at once; kicks only when the device wants them, now or a few requests later. */
static void round_run(struct disk *d, uint64_t *seed, uint8_t *model, bool is_readonly)
{
	struct op ops[ZONES];
	unsigned int n = 1 + (unsigned int)prng_below(seed, ZONES);
	uint32_t first = (uint32_t)prng_below(seed, ZONES), used;
	bool is_wanted = false;

	for (unsigned int i = 0; i < n; i++) {
		op_offer(d, seed, &ops[i], (first + i) % ZONES, model, is_readonly);
		is_wanted |= guest_driver_kick_wanted(&d->g, 0);
		if (is_wanted && (i == n - 1 || prng_below(seed, 2))) {
			guest_driver_kick(&d->g, 0);
			is_wanted = false;
		}
	}
	for (unsigned int left = n; left > 0; left--) {
		uint16_t head = disk_wait(d, &used);
		unsigned int i = 0;

		while (i < n && ops[i].head != head)
			i++;
		assert_true(i < n);
		op_check(d, &ops[i], used, model);
		ops[i].head = VIRTQ_SIZE_MAX;
	}
}

static void random_run(uint64_t seed, struct blk_back *back, enum blk_engine_kind kind,
		       uint64_t without, uint8_t *model)
{
	struct virtio_blk_options o = { .kind = kind };
	bool is_readonly = back->is_readonly;
	struct disk d;

	disk_attach(&d, back, &o);
	assert_int_equal(guest_driver_negotiate(&d.g, d.dev->features & ~without, VIRTQ_SIZE_MAX),
			 STATUS_RUNNING);
	for (unsigned int i = 0; i < ROUNDS; i++)
		round_run(&d, &seed, model, is_readonly);
	disk_stop(&d);
}

static void random_all(struct blk_back *(*back)(uint8_t *model))
{
	static const struct {
		enum blk_engine_kind kind;
		uint64_t without;
	} t[] = {
		{ BLK_ENGINE_AUTO, 0 },
		{ BLK_ENGINE_THREADS, 0 },
		{ BLK_ENGINE_URING, VIRTIO_F_EVENT_IDX },
		{ BLK_ENGINE_THREADS, VIRTIO_F_EVENT_IDX },
	};
	static uint8_t model[SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint64_t seed = i;

		prng_fill(&seed, model, sizeof(model));
		random_run(100 + i, back(model), t[i].kind, t[i].without, model);
	}
}

static struct blk_back *raw_again(uint8_t *model)
{
	return raw_of(model);
}

static struct blk_back *vhd_again(uint8_t *model)
{
	return vhd_of(model);
}

static void test_random_raw(void **state)
{
	(void)state;
	random_all(raw_again);
}

static void test_random_concat(void **state)
{
	(void)state;
	random_all(concat_of);
}

static void test_random_vhd(void **state)
{
	(void)state;
	random_all(vhd_again);
}

/* ---- in the middle of requests ------------------------------------------------------------- */

/* More than there are slots: all are served, once each. */
static void test_many(void **state)
{
	struct gate_back *g = gate_new(SIZE, false);
	struct disk d;
	uint32_t used;

	(void)state;
	disk_start(&d, &g->back, NULL);
	for (unsigned int i = 0; i < 85; i++) /* 255 descriptors */
		(void)disk_add_read(&d, i, 512);
	guest_driver_kick(&d.g, 0);
	guest_driver_kick(&d.g, 0);
	loop_turn(d.loop, 5);
	assert_int_equal(gate_waiting(g), 2);
	gate_open(g);
	for (unsigned int i = 0; i < 85; i++)
		assert_int_equal(disk_status(&d, disk_wait(&d, &used)), S_OK);
	loop_turn(d.loop, 5);
	assert_int_equal(g->ended, 85);
	disk_stop(&d);
}

/* More than is done in a turn, without anything that ever waits. */
static void test_turns(void **state)
{
	uint8_t header[16];
	struct iovec out = { header, 16 };
	struct gate_back *g = gate_new(SIZE, false);
	struct disk d;
	uint32_t used;
	uint16_t head;
	unsigned int n = 0;

	(void)state;
	gate_open(g);
	disk_start(&d, &g->back, NULL);
	for (unsigned int i = 0; i < 256; i++)
		(void)guest_driver_add(&d.g, 0, &out, 1, NULL, 0);
	guest_driver_kick(&d.g, 0);
	while (guest_driver_used(&d.g, 0, &head, &used))
		n++;
	assert_int_equal(n, 128);
	for (; n < 256; n++)
		(void)disk_wait(&d, &used);
	assert_int_equal(disk_read(&d, 0, 512, NULL), S_OK);
	disk_stop(&d);
}

/* A reset waits; what was in flight has ended, and what was only offered has not begun. */
static void test_reset(void **state)
{
	struct gate_back *g = gate_new(SIZE, false);
	struct disk d;
	pthread_t t;

	(void)state;
	disk_start(&d, &g->back, NULL);
	for (unsigned int i = 0; i < 80; i++)
		(void)disk_add_write(&d, i, 512, NULL);
	guest_driver_kick(&d.g, 0);
	t = gate_open_later(g);
	guest_driver_set(&d.g, REG_STATUS, 0);
	gate_open_wait(t);
	assert_int_equal(g->ended, 64);
	memset(guest_span(&d.g.mem, GUEST_DRIVER_BASE, GUEST_DRIVER_SIZE), 0x77, GUEST_DRIVER_SIZE);
	loop_turn(d.loop, 5);
	assert_int_equal(g->ended, 64);
	for (unsigned int i = 0; i < GUEST_DRIVER_SIZE; i++)
		assert_int_equal(*(uint8_t *)guest_span(&d.g.mem, GUEST_DRIVER_BASE + i, 1), 0x77);
	assert_int_equal(guest_driver_negotiate(&d.g, d.dev->features, 128), STATUS_RUNNING);
	assert_int_equal(disk_read(&d, 0, 512, NULL), S_OK);
	disk_stop(&d);
}

static void *resetter(void *arg)
{
	struct disk *d = arg;

	guest_driver_set(&d->g, REG_STATUS, 0);
	return NULL;
}

/* A vCPU's reset while the loop runs. */
static void test_reset_beside(void **state)
{
	static uint8_t model[SIZE];

	(void)state;
	for (unsigned int i = 0; i < 60; i++) {
		struct virtio_blk_options o = { .kind = i % 2 ? BLK_ENGINE_THREADS
							      : BLK_ENGINE_AUTO };
		struct disk d;
		pthread_t t;

		disk_start(&d, raw_of(model), &o);
		for (unsigned int k = 0; k < 60; k++)
			(void)disk_add_write(&d, k * 8, 4096, NULL);
		guest_driver_kick(&d.g, 0);
		assert_int_equal(pthread_create(&t, NULL, resetter, &d), 0);
		loop_turn(d.loop, i % 4);
		pthread_join(t, NULL);
		assert_int_equal(guest_driver_negotiate(&d.g, d.dev->features, 64), STATUS_RUNNING);
		assert_int_equal(disk_read(&d, 0, 512, NULL), S_OK);
		disk_stop(&d);
	}
}

static void test_free_in_flight(void **state)
{
	struct gate_back *g = gate_new(SIZE, false);
	struct disk d;
	pthread_t t;

	(void)state;
	disk_start(&d, &g->back, NULL);
	for (unsigned int i = 0; i < 10; i++)
		(void)disk_add_write(&d, i, 512, NULL);
	guest_driver_kick(&d.g, 0);
	t = gate_open_later(g);
	disk_stop(&d);
	gate_open_wait(t);
}

static void test_pause(void **state)
{
	struct gate_back *g = gate_new(SIZE, false);
	struct disk d;
	const uint8_t *memory;
	uint32_t used;
	uint16_t head;
	pthread_t t;

	(void)state;
	disk_start(&d, &g->back, NULL);
	memory = d.g.mem.slots[0].hva;
	for (unsigned int i = 0; i < 70; i++)
		(void)disk_add_write(&d, i, 512, NULL);
	assert_false(d.dev->ops->uses(d.dev, memory, GUEST_DRIVER_SIZE));
	guest_driver_kick(&d.g, 0);
	assert_true(d.dev->ops->uses(d.dev, memory, GUEST_DRIVER_SIZE));
	assert_false(d.dev->ops->uses(d.dev, memory - 1, 1));
	t = gate_open_later(g);
	virtio_mmio_pause(&d.g.t);
	gate_open_wait(t);
	assert_false(d.dev->ops->uses(d.dev, memory, GUEST_DRIVER_SIZE));
	assert_int_equal(g->ended, 64);
	assert_true(guest_driver_interrupts(&d.g) & 1); /* nothing is kept to be told later */
	for (unsigned int i = 0; i < 64; i++)
		assert_true(guest_driver_used(&d.g, 0, &head, &used));
	(void)disk_add_write(&d, 70, 512, NULL);
	guest_driver_kick(&d.g, 0);
	loop_turn(d.loop, 5);
	assert_int_equal(g->ended, 64);
	virtio_mmio_resume(&d.g.t);
	for (unsigned int i = 0; i < 7; i++)
		(void)disk_wait(&d, &used);
	assert_int_equal(g->ended, 71);
	disk_stop(&d);
}

static void limit_run(const struct rate_limit_options *limit, uint64_t ms)
{
	struct virtio_blk_options o = { .limit = *limit };
	struct gate_back *g = gate_new(SIZE, false);
	uint64_t begin = rate_limit_now(), took;
	struct disk d;
	uint32_t used;

	gate_open(g);
	disk_start(&d, &g->back, &o);
	for (unsigned int i = 0; i < 12; i++)
		(void)disk_add_read(&d, i, 4096);
	guest_driver_kick(&d.g, 0);
	for (unsigned int i = 0; i < 12; i++) {
		guest_driver_kick(&d.g, 0); /* does not help */
		assert_int_equal(disk_status(&d, disk_wait(&d, &used)), S_OK);
	}
	took = (rate_limit_now() - begin) / 1000000;
	assert_in_range(took, ms, ms + 5000);
	disk_stop(&d);
}

static void test_limit(void **state)
{
	(void)state;
	limit_run(&(struct rate_limit_options){ .ops_per_s = 200, .ops_burst = 2 }, 49);
	limit_run(&(struct rate_limit_options){ .bytes_per_s = 409600, .bytes_burst = 1 }, 109);
}

/* A pause or a reset while the limit's timer runs. */
static void test_limit_middle(void **state)
{
	struct virtio_blk_options o = { .limit = { .ops_per_s = 50, .ops_burst = 1 } };
	struct gate_back *g = gate_new(SIZE, false);
	struct disk d;
	uint32_t used;

	(void)state;
	gate_open(g);
	disk_start(&d, &g->back, &o);
	for (unsigned int i = 0; i < 3; i++)
		(void)disk_add_read(&d, i, 4096);
	guest_driver_kick(&d.g, 0);
	virtio_mmio_pause(&d.g.t);
	loop_turn(d.loop, 60);
	assert_int_equal(g->ended, 1);
	virtio_mmio_resume(&d.g.t);
	for (unsigned int i = 0; i < 3; i++)
		(void)disk_wait(&d, &used);
	(void)disk_add_read(&d, 0, 4096);
	guest_driver_kick(&d.g, 0);
	assert_int_equal(guest_driver_negotiate(&d.g, d.dev->features, 64), STATUS_RUNNING);
	assert_int_equal(disk_read(&d, 0, 512, NULL), S_OK);
	disk_stop(&d);
}

/* ---- another disk -------------------------------------------------------------------------- */

static void test_set_back(void **state)
{
	static uint8_t model[SIZE], got[512];
	struct gate_back *small = gate_new(4096, true), *old = gate_new(SIZE, true);
	struct disk d;
	pthread_t t;
	struct err e;

	(void)state;
	model[512] = 0x33;
	disk_start(&d, &old->back, NULL);
	(void)disk_add_read(&d, 0, 512);
	guest_driver_kick(&d.g, 0);
	t = gate_open_later(old);
	assert_int_equal(virtio_blk_set_back(d.dev, &small->back, &e), 0);
	gate_open_wait(t);
	assert_int_equal(disk_status(&d, disk_wait(&d, &(uint32_t){ 0 })), S_OK);
	assert_int_equal(guest_driver_interrupts(&d.g), 3);
	assert_int_equal(guest_driver_get(&d.g, REG_CONFIG), 8);
	gate_open(small);
	assert_int_equal(disk_read(&d, 8, 512, NULL), S_IOERR);
	/* One that could be written to: the disk still may not. */
	assert_int_equal(virtio_blk_set_back(d.dev, raw_of(model), &e), 0);
	assert_int_equal(disk_read(&d, 1, 512, got), S_OK);
	assert_int_equal(got[0], 0x33);
	assert_int_equal(disk_write(&d, 1, 512, NULL), S_IOERR);
	disk_stop(&d);
}

static void test_set_back_refused(void **state)
{
	static uint8_t model[SIZE];
	struct gate_back *ro = gate_new(SIZE, true);
	struct disk d;
	struct err e = { 0 };

	(void)state;
	gate_open(ro);
	disk_start(&d, raw_of(model), NULL);
	assert_int_equal(virtio_blk_set_back(d.dev, &ro->back, &e), -EROFS);
	assert_true(e.msg[0]);
	assert_int_equal(disk_write(&d, 0, 512, NULL), S_OK);
	blk_back_free(&ro->back);
	disk_stop(&d);
}

/* A drive without a disk gets one before its driver looks, and while it is paused. */
static void test_set_back_early(void **state)
{
	static uint8_t model[SIZE];
	struct blk_back *b;
	struct disk d;
	struct err e;

	(void)state;
	assert_int_equal(blk_back_empty(true, &b, &e), 0);
	disk_attach(&d, b, NULL);
	assert_int_equal(guest_driver_get(&d.g, REG_CONFIG), 1);
	assert_int_equal(virtio_blk_set_back(d.dev, raw_of(model), &e), 0);
	assert_int_equal(guest_driver_negotiate(&d.g, d.dev->features, 64), STATUS_RUNNING);
	assert_int_equal(guest_driver_get(&d.g, REG_CONFIG), SIZE / 512);
	assert_int_equal(disk_read(&d, 1000, 512, NULL), S_OK);
	(void)guest_driver_interrupts(&d.g);
	virtio_mmio_pause(&d.g.t);
	assert_int_equal(blk_back_empty(true, &b, &e), 0);
	assert_int_equal(virtio_blk_set_back(d.dev, b, &e), 0);
	assert_int_equal(guest_driver_interrupts(&d.g), 0);
	virtio_mmio_resume(&d.g.t);
	assert_int_equal(guest_driver_interrupts(&d.g), 2);
	disk_stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_raw),
		cmocka_unit_test(test_random_concat),
		cmocka_unit_test(test_random_vhd),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_reset_beside),
		cmocka_unit_test(test_free_in_flight),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_limit_middle),
		cmocka_unit_test(test_set_back),
		cmocka_unit_test(test_set_back_refused),
		cmocka_unit_test(test_set_back_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
