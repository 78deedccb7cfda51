/* SPDX-License-Identifier: MIT */
/*
 * test_threads.c - one image, many threads
 *
 * Each thread has sectors of its own in every block, so that blocks, bitmaps and table sectors are
 * shared while each byte has one writer who knows what it must read. Others flush and ask for
 * extents meanwhile. Readers of a chain have its caches change hands under them. On files, since a
 * store in memory would order the threads by its lock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "prng.h"
#include "vhd.h"

#define KIB      1024U
#define MIB      (1U << 20)
#define WRITERS  4U
#define SLOT     4096U /* bytes of one thread, next to the others' */
#define SIZE     (12U * MIB)
#define N_SLOTS  (SIZE / (SLOT * WRITERS))
#define OWN_AREA (2U * MIB) /* at the end of the disk: each writer's own blocks */
#define DISK     (SIZE + WRITERS * OWN_AREA)

struct shared {
	struct vhd *v;
	atomic_bool is_over;
};

struct writer {
	struct shared *s;
	unsigned int id, steps;
	uint8_t *slots; /* what its slots must read */
	uint8_t *own;
	char msg[VHD_ERR_MAX + 64]; /* empty: fine */
};

static uint64_t slot_off(const struct writer *w, uint64_t slot)
{
	return (slot * WRITERS + w->id) * SLOT;
}

static int told(struct writer *w, const char *what, uint64_t off, const struct vhd_err *e)
{
	snprintf(w->msg, sizeof(w->msg), "%s at %llu: %s", what, (unsigned long long)off, e->msg);
	return -1;
}

static int range_check(struct writer *w, const uint8_t *want, size_t len, uint64_t off)
{
	uint8_t got[SLOT];
	struct vhd_err e = { 0 };

	if (vhd_read(w->s->v, got, len, off, &e) < 0)
		return told(w, "read", off, &e);
	if (memcmp(got, want, len) != 0)
		return told(w, "differs", off, &e);
	return 0;
}

/* Some bytes of one slot: written, zeroed, or only read. */
static int slot_step(struct writer *w, uint64_t *seed)
{
	uint64_t slot = prng_below(seed, N_SLOTS), off = slot_off(w, slot);
	uint8_t *have = w->slots + slot * SLOT;
	size_t from = prng_below(seed, SLOT), len = 1 + prng_below(seed, SLOT - from);
	struct vhd_err e = { 0 };

	if (prng_below(seed, 3)) { /* whole sectors, mostly */
		from = from / 512 * 512;
		len = (len + 511) / 512 * 512;
	}
	switch (prng_below(seed, 5)) {
	case 0:
		break;
	case 1:
		memset(have + from, 0, len);
		if (vhd_zero(w->s->v, len, off + from, &e) < 0)
			return told(w, "zero", off, &e);
		break;
	default:
		prng_fill(seed, have + from, len);
		if (vhd_write(w->s->v, have + from, len, off + from, &e) < 0)
			return told(w, "write", off, &e);
	}
	return range_check(w, have, SLOT, off);
}

/* Blocks that no one else touches come and go. */
static int own_step(struct writer *w, uint64_t *seed)
{
	uint64_t base = SIZE + w->id * (uint64_t)OWN_AREA;
	uint64_t at = prng_below(seed, OWN_AREA / SLOT) * SLOT;
	struct vhd_err e = { 0 };

	if (prng_below(seed, 4) == 0) {
		at = at / (512 * KIB) * (512 * KIB);
		if (vhd_discard(w->s->v, 512 * KIB, base + at, &e) < 0)
			return told(w, "discard", base + at, &e);
		for (uint64_t i = 0; i < 512 * KIB; i += SLOT) {
			uint8_t got[SLOT];

			if (vhd_read(w->s->v, got, SLOT, base + at + i, &e) < 0)
				return told(w, "read", base + at + i, &e);
			for (size_t k = 0; k < SLOT; k++)
				if (got[k] && got[k] != w->own[at + i + k])
					return told(w, "discarded", base + at + i + k, &e);
			memcpy(w->own + at + i, got, SLOT);
		}
		return 0;
	}
	prng_fill(seed, w->own + at, SLOT);
	if (vhd_write(w->s->v, w->own + at, SLOT, base + at, &e) < 0)
		return told(w, "write", base + at, &e);
	at = prng_below(seed, OWN_AREA / SLOT) * SLOT;
	return range_check(w, w->own + at, SLOT, base + at);
}

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	uint64_t seed = w->id + 1;

	for (unsigned int i = 0; i < w->steps; i++)
		if ((prng_below(&seed, 3) ? slot_step(w, &seed) : own_step(w, &seed)) < 0)
			break;
	return NULL;
}

static void *flusher_run(void *arg)
{
	struct writer *w = arg; /* its area is not used */
	struct vhd_err e = { 0 };
	uint64_t seed = 99;

	while (!w->s->is_over && !w->msg[0]) {
		struct vhd_extent x;
		uint64_t off = prng_below(&seed, DISK);

		if (vhd_flush(w->s->v, &e) < 0)
			told(w, "flush", 0, &e);
		else if (vhd_extent_at(w->s->v, off, DISK - off, &x, &e) < 0)
			told(w, "extent", off, &e);
	}
	return NULL;
}

/* ---- images ---------------------------------------------------------------------------------- */

static struct vhd_io *io_of(int fd, const char *name)
{
	struct vhd_err e = { 0 };
	struct vhd_io *io = NULL;

	assert_int_equal(vhd_io_file(dup(fd), name, &io, &e), 0);
	return io;
}

static void ok(int rc, const struct vhd_err *e)
{
	if (rc < 0)
		fail_msg("%s", e->msg);
}

static void create(int fd, struct vhd *parent, const struct vhd_create_options *o)
{
	struct vhd_io *io = io_of(fd, "new");
	struct vhd_err e = { 0 };

	ok(vhd_create_io(io, parent, o, &e), &e);
	vhd_io_close(io);
}

static struct vhd *open_on(int fd, struct vhd *parent, uint32_t flags)
{
	struct vhd_open_options o = { .flags = flags, .cache_max = 1 };
	struct vhd_err e = { 0 };
	struct vhd *v = NULL;

	ok(vhd_open_io(io_of(fd, "disk"), parent, &o, &v, &e), &e);
	return v;
}

/* Something in every other block, so that there is what must not be lost. */
static void parent_fill(struct vhd *v, uint8_t *bytes)
{
	struct vhd_err e = { 0 };
	uint64_t seed = 5;

	for (uint64_t off = 0; off < DISK; off += MIB) {
		prng_fill(&seed, bytes + off, 100 * KIB);
		ok(vhd_write(v, bytes + off, 100 * KIB, off, &e), &e);
	}
}

static void writers_check(struct writer w[WRITERS])
{
	for (unsigned int i = 0; i < WRITERS; i++) {
		for (uint64_t slot = 0; slot < N_SLOTS; slot++)
			if (range_check(&w[i], w[i].slots + slot * SLOT, SLOT,
					slot_off(&w[i], slot)) < 0)
				fail_msg("%s", w[i].msg);
		for (uint64_t at = 0; at < OWN_AREA; at += SLOT)
			if (range_check(&w[i], w[i].own + at, SLOT,
					SIZE + i * (uint64_t)OWN_AREA + at) < 0)
				fail_msg("%s", w[i].msg);
	}
}

/* Threads on `v`, whose bytes are `bytes`; returns when all have ended. */
static void threads_run(struct shared *s, struct writer w[WRITERS], const uint8_t *bytes)
{
	struct writer flusher = { .s = s };
	pthread_t t[WRITERS + 1];

	for (unsigned int i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){ .s = s, .id = i, .steps = 1500 };
		w[i].slots = malloc(N_SLOTS * SLOT);
		w[i].own = malloc(OWN_AREA);
		assert_true(w[i].slots && w[i].own);
		for (uint64_t slot = 0; slot < N_SLOTS; slot++)
			memcpy(w[i].slots + slot * SLOT, bytes + slot_off(&w[i], slot), SLOT);
		memcpy(w[i].own, bytes + SIZE + i * (uint64_t)OWN_AREA, OWN_AREA);
		assert_int_equal(pthread_create(&t[i], NULL, writer_run, &w[i]), 0);
	}
	assert_int_equal(pthread_create(&t[WRITERS], NULL, flusher_run, &flusher), 0);
	for (unsigned int i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
	s->is_over = true;
	pthread_join(t[WRITERS], NULL);
	assert_string_equal(flusher.msg, "");
	for (unsigned int i = 0; i < WRITERS; i++)
		assert_string_equal(w[i].msg, "");
}

static void scene_run(enum vhd_type type, bool is_child)
{
	struct vhd_create_options o = { .type = type,
					.size = DISK,
					.block_size = type == VHD_TYPE_FIXED ? 0 : 512 * KIB };
	struct vhd_create_options child = { .type = VHD_TYPE_DIFFERENCING,
					    .block_size = 512 * KIB,
					    .parent_name = "parent.vhd" };
	auto_fd fd = memfd_create("disk", MFD_CLOEXEC), parent_fd = -1;
	auto_free uint8_t *bytes = calloc(1, DISK);
	struct shared s = { 0 };
	struct writer w[WRITERS];
	struct vhd *parent = NULL;
	struct vhd_err e = { 0 };

	assert_true(fd >= 0 && bytes);
	if (is_child) {
		parent_fd = memfd_create("parent", MFD_CLOEXEC);
		create(parent_fd, NULL, &o);
		parent = open_on(parent_fd, NULL, VHD_OPEN_WRITE);
		parent_fill(parent, bytes);
		ok(vhd_close(parent, &e), &e);
		parent = open_on(parent_fd, NULL, 0);
	}
	create(fd, parent, is_child ? &child : &o);
	s.v = open_on(fd, parent, VHD_OPEN_WRITE);
	threads_run(&s, w, bytes);
	writers_check(w);
	ok(vhd_close(s.v, &e), &e);

	s.v = open_on(fd, is_child ? open_on(parent_fd, NULL, 0) : NULL, 0);
	writers_check(w);
	ok(vhd_close(s.v, &e), &e);
	for (unsigned int i = 0; i < WRITERS; i++) {
		free(w[i].slots);
		free(w[i].own);
	}
}

/* ---- readers of a chain, whose map and caches are too small for it -------------------------- */

#define LEVELS  4U
#define READERS 4U

/* Pieces at odd places, of which later levels cover some. */
static void level_fill(struct vhd *v, uint8_t *bytes, uint64_t seed)
{
	struct vhd_err e = { 0 };

	for (unsigned int i = 0; i < 200; i++) {
		uint64_t len = 1 + prng_below(&seed, 40 * KIB);
		uint64_t off = prng_below(&seed, DISK - len);

		prng_fill(&seed, bytes + off, len);
		ok(vhd_write(v, bytes + off, len, off, &e), &e);
	}
}

static void *reader_run(void *arg)
{
	struct writer *w = arg;
	uint64_t seed = w->id + 1;

	for (unsigned int i = 0; i < w->steps; i++) {
		size_t len = 1 + (size_t)prng_below(&seed, SLOT);
		/* some blocks more often than others: they get their lines in the map */
		uint64_t area = prng_below(&seed, 2) ? DISK : MIB;
		uint64_t off = prng_below(&seed, area - len);

		if (range_check(w, w->own + off, len, off) < 0)
			break;
	}
	return NULL;
}

/* `bytes`: what the disk reads, if `run` reads bytes */
static void readers_run(struct vhd *v, uint8_t *bytes, void *(*run)(void *arg))
{
	struct shared s = { .v = v };
	struct writer w[READERS];
	pthread_t t[READERS];

	for (unsigned int i = 0; i < READERS; i++) {
		w[i] = (struct writer){
			.s = &s, .id = i, .steps = bytes ? 10000 : 1000, .own = bytes
		};
		assert_int_equal(pthread_create(&t[i], NULL, run, &w[i]), 0);
	}
	for (unsigned int i = 0; i < READERS; i++)
		pthread_join(t[i], NULL);
	for (unsigned int i = 0; i < READERS; i++)
		assert_string_equal(w[i].msg, "");
}

static struct vhd *chain_on(const int *fds, unsigned int n, uint32_t top_flags)
{
	struct vhd *v = NULL;

	for (unsigned int i = 0; i < n; i++)
		v = open_on(fds[i], v, i == n - 1 ? top_flags : 0);
	return v;
}

static void readers(void **state)
{
	struct vhd_create_options base = { .type = VHD_TYPE_DYNAMIC, .size = DISK };
	struct vhd_create_options child = { .type = VHD_TYPE_DIFFERENCING,
					    .parent_name = "parent.vhd" };
	auto_free uint8_t *bytes = calloc(1, DISK);
	struct vhd_err e = { 0 };
	int fds[LEVELS];

	(void)state;
	assert_non_null(bytes);
	for (unsigned int i = 0; i < LEVELS; i++) {
		struct vhd *v = chain_on(fds, i, 0);

		fds[i] = memfd_create("level", MFD_CLOEXEC);
		assert_true(fds[i] >= 0);
		base.block_size = child.block_size = i % 2 ? 1024 * KIB : 512 * KIB;
		create(fds[i], v, i ? &child : &base);
		ok(vhd_close(v, &e), &e);
		v = chain_on(fds, i + 1, VHD_OPEN_WRITE);
		level_fill(v, bytes, i + 1);
		ok(vhd_close(v, &e), &e);
	}
	for (unsigned int flags = 0; flags <= VHD_OPEN_WRITE; flags++) {
		struct vhd *v = chain_on(fds, LEVELS, flags);

		readers_run(v, bytes, reader_run);
		ok(vhd_close(v, &e), &e);
	}
	for (unsigned int i = 0; i < LEVELS; i++)
		close(fds[i]);
}

/*
 * Blocks of the largest size take long to look through: long enough that bitmaps and lines of the
 * map are given to other blocks while a reader is at them. Each block of the topmost image holds a
 * piece at another place.
 */
#define LARGE_BLOCKS 20U
#define LARGE_LEVELS 3U

static uint64_t large_piece(uint64_t block)
{
	return (block + 1) * 8U * MIB;
}

static void *large_reader_run(void *arg)
{
	struct writer *w = arg;
	struct vhd_err e = { 0 };
	uint64_t seed = w->id + 1;

	for (unsigned int i = 0; i < w->steps; i++) {
		uint64_t block = prng_below(&seed, LARGE_BLOCKS), off = block * VHD_BLOCK_MAX;
		struct vhd_extent x;

		if (vhd_extent_at(w->s->v, off, VHD_BLOCK_MAX, &x, &e) < 0)
			return told(w, "extent", off, &e), NULL;
		if (x.depth != LARGE_LEVELS - 1 || x.len != large_piece(block))
			return told(w, "is other", off, &e), NULL;
	}
	return NULL;
}

static void large_blocks(void **state)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC,
					.size = (uint64_t)LARGE_BLOCKS * VHD_BLOCK_MAX,
					.block_size = VHD_BLOCK_MAX,
					.parent_name = "parent.vhd" };
	static const uint8_t piece[SLOT] = { 1 };
	struct vhd_err e = { 0 };
	int fds[LARGE_LEVELS];
	struct vhd *v = NULL;

	(void)state;
	for (unsigned int i = 0; i < LARGE_LEVELS; i++) {
		fds[i] = memfd_create("level", MFD_CLOEXEC);
		assert_true(fds[i] >= 0);
		create(fds[i], v, &o);
		ok(vhd_close(v, &e), &e);
		v = chain_on(fds, i + 1, VHD_OPEN_WRITE);
		for (uint64_t k = 0; k < LARGE_BLOCKS; k++)
			ok(vhd_write(v, piece, sizeof(piece),
				     k * VHD_BLOCK_MAX + large_piece(k) +
					     (LARGE_LEVELS - 1 - i) * SLOT,
				     &e),
			   &e);
		ok(vhd_close(v, &e), &e);
		v = chain_on(fds, i + 1, 0);
		o.type = VHD_TYPE_DIFFERENCING;
		o.size = 0;
	}
	readers_run(v, NULL, large_reader_run);
	ok(vhd_close(v, &e), &e);
	for (unsigned int i = 0; i < LARGE_LEVELS; i++)
		close(fds[i]);
}

static void fixed(void **state)
{
	(void)state;
	scene_run(VHD_TYPE_FIXED, false);
}

static void dynamic(void **state)
{
	(void)state;
	scene_run(VHD_TYPE_DYNAMIC, false);
}

static void child(void **state)
{
	(void)state;
	scene_run(VHD_TYPE_DYNAMIC, true);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed),   cmocka_unit_test(dynamic),      cmocka_unit_test(child),
		cmocka_unit_test(readers), cmocka_unit_test(large_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
