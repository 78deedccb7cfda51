/* SPDX-License-Identifier: MIT */
/* disk_model.c - an image beside a plain array that must read the same */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "cleanup.h"
#include "bytes.h"
#include "disk_model.h"
#include "io_fault.h"
#include "prng.h"

#define STORE_MAX (1ULL << 30)
#define PART      (3U << 20) /* read at once */

const struct disk_weights disk_weights_usual = {
	{ [DISK_READ] = 30,
	  [DISK_WRITE] = 40,
	  [DISK_ZERO] = 10,
	  [DISK_DISCARD] = 10,
	  [DISK_FLUSH] = 8,
	  [DISK_REOPEN] = 2 },
};

static void *need(void *p)
{
	assert_non_null(p);
	return p;
}

static void must(struct disk_model *m, int rc, const struct vhd_err *e, const char *what)
{
	if (rc < 0)
		fail_msg("%s: %s (operation %u)", what, e->msg, m->n_ops);
}

/* ---- the chain ------------------------------------------------------------------------------ */

/* A store that outlives the image on it. */
static struct vhd_io *kept(struct vhd_io *store)
{
	return io_fault_new(store, NULL);
}

static struct vhd_io *store_new(void)
{
	struct vhd_err e = { 0 };
	struct vhd_io *io = NULL;

	if (vhd_io_memory("store", STORE_MAX, &io, &e) < 0)
		fail_msg("%s", e.msg);
	return io;
}

int disk_model_open_on(struct disk_model *m, struct vhd_io *top, uint32_t flags, struct vhd **ret,
		       struct vhd_err *e)
{
	struct vhd *v = NULL;

	for (unsigned int i = 0; i < m->depth; i++) {
		bool is_top = i == m->depth - 1;
		struct vhd_open_options o = { .flags = m->open_flags[i] | (is_top ? flags : 0),
					      .cache_max = m->cache_max };
		struct vhd_io *io = is_top ? top : kept(m->stores[i]);
		struct vhd *child = NULL;
		int rc;

		if (!is_top)
			io->is_read_only = true;
		rc = vhd_open_io(io, v, &o, &child, e);
		if (rc < 0) {
			struct vhd_err ignored;

			if (!is_top)
				vhd_io_close(io);
			(void)vhd_close(v, &ignored); /* read-only */
			return rc;
		}
		v = child;
	}
	*ret = v;
	return 0;
}

void disk_model_open(struct disk_model *m)
{
	struct vhd_io *store = m->stores[m->depth - 1];
	struct vhd_err e = { 0 };

	must(m,
	     disk_model_open_on(m, m->wrap ? m->wrap(m->ctx, store) : kept(store), VHD_OPEN_WRITE,
				&m->v, &e),
	     &e, "open");
	assert_int_equal(vhd_size(m->v), m->size);
	assert_int_equal(vhd_depth(m->v), m->depth);
}

static size_t calls_of(const struct disk_model *m)
{
	return m->calls ? m->calls(m->ctx) : 0;
}

static struct disk_op *log_add(struct disk_model *m, uint64_t off, const uint8_t *data,
			       uint64_t len)
{
	struct disk_op *op;

	if (!m->durable)
		return NULL;
	if (m->n_log == m->log_cap) {
		m->log_cap = m->log_cap ? 2 * m->log_cap : 64;
		m->log = need(reallocarray(m->log, m->log_cap, sizeof(*m->log)));
	}
	op = &m->log[m->n_log++];
	*op = (struct disk_op){ .off = off, .len = len, .begin = calls_of(m), .end = SIZE_MAX };
	if (data) {
		op->data = need(malloc(len + 1));
		memcpy(op->data, data, len);
	}
	return op;
}

/* The operation has ended: `rc` < 0 leaves it undecided for ever. */
static int log_end(struct disk_model *m, size_t at, int rc)
{
	if (m->durable && rc == 0)
		m->log[at].end = calls_of(m);
	return rc;
}

int disk_model_flush(struct disk_model *m, struct vhd_err *e)
{
	size_t at = m->n_log; /* more may be logged while it goes on */
	struct disk_op *op = log_add(m, 0, NULL, 0);

	if (op)
		op->is_flush = true;
	return log_end(m, at, vhd_flush(m->v, e));
}

void disk_model_close(struct disk_model *m)
{
	size_t at = m->n_log;
	struct disk_op *op = log_add(m, 0, NULL, 0);
	struct vhd_err e = { 0 };

	if (op)
		op->is_flush = true;
	must(m, log_end(m, at, vhd_close(m->v, &e)), &e, "close");
	m->v = NULL;
}

static void resize(struct disk_model *m, uint64_t size)
{
	m->bytes = need(realloc(m->bytes, size));
	if (size > m->size)
		memset(m->bytes + m->size, 0, size - m->size);
	m->size = size;
}

void disk_model_init(struct disk_model *m, uint64_t seed, const struct vhd_create_options *o)
{
	struct vhd_err e = { 0 };

	*m = (struct disk_model){ .seed = seed, .depth = 1, .len_max = PART };
	resize(m, o->size);
	if (o->type != VHD_TYPE_FIXED)
		m->block_size = o->block_size ? o->block_size : VHD_BLOCK_DEFAULT;
	m->stores[0] = store_new();
	must(m, vhd_create_io(m->stores[0], NULL, o, &e), &e, "create");
	disk_model_open(m);
}

/* Another current size in a footer, with its checksum right. */
static void footer_resize(struct vhd_io *io, uint64_t off, uint64_t size)
{
	uint8_t raw[512];
	struct iovec iov = { raw, sizeof(raw) };
	uint32_t sum = 0;

	assert_int_equal(io->ops->preadv(io, &iov, 1, off), 0);
	for (int i = 0; i < 8; i++)
		raw[48 + i] = (uint8_t)(size >> (56 - 8 * i));
	memset(raw + 64, 0, 4);
	for (size_t i = 0; i < sizeof(raw); i++)
		sum += raw[i];
	for (int i = 0; i < 4; i++)
		raw[64 + i] = (uint8_t)(~sum >> (24 - 8 * i));
	iov = (struct iovec){ raw, sizeof(raw) };
	assert_int_equal(io->ops->pwritev(io, &iov, 1, off), 0);
}

static void footers_resize(struct vhd_io *io, uint64_t size)
{
	uint64_t end = 0;

	assert_int_equal(io->ops->get_size(io, &end), 0);
	footer_resize(io, 0, size);
	footer_resize(io, end - 512, size);
}

void disk_model_snapshot(struct disk_model *m, uint64_t size)
{
	char name[32];
	struct vhd_create_options o = { .type = VHD_TYPE_DIFFERENCING,
					.size = MAX_OF(size, m->size),
					.block_size = m->block_size,
					.parent_name = name };
	struct vhd_io *store = store_new();
	struct vhd_err e = { 0 };

	assert_true(m->depth < DISK_DEPTH_MAX);
	snprintf(name, sizeof(name), "%u.vhd", m->depth - 1);
	must(m, vhd_create_io(store, m->v, &o, &e), &e, "snapshot");
	if (size && size < m->size)
		footers_resize(store, size);
	disk_model_close(m);
	m->block_size = m->block_size ? m->block_size : VHD_BLOCK_DEFAULT;
	m->stores[m->depth - 1]->is_read_only = true;
	m->stores[m->depth++] = store;
	if (size)
		resize(m, size);
	disk_model_open(m);
}

void disk_model_done(struct disk_model *m)
{
	struct vhd_err ignored;

	(void)vhd_close(m->v, &ignored); /* tests that want to know close it before */
	for (unsigned int i = 0; i < m->depth; i++)
		vhd_io_close(m->stores[i]);
	for (size_t i = 0; i < m->n_log; i++)
		free(m->log[i].data);
	free(m->log);
	free(m->durable);
	free(m->crashed);
	free(m->bytes);
}

/* ---- single operations ---------------------------------------------------------------------- */

/* Cuts a buffer in up to 5 pieces, some empty. */
static int vector_of(struct disk_model *m, struct iovec iov[5], uint8_t *buf, size_t len)
{
	int n = 1 + (int)prng_below(&m->seed, 5);

	for (int i = 0; i < n; i++) {
		size_t part = i == n - 1 ? len : prng_below(&m->seed, len + 1);

		iov[i] = (struct iovec){ .iov_base = buf, .iov_len = part };
		buf += part;
		len -= part;
	}
	return n;
}

static bool is_vector(struct disk_model *m)
{
	return prng_below(&m->seed, 3) == 0;
}

static void same(struct disk_model *m, const uint8_t *got, uint64_t off, size_t len,
		 const char *what)
{
	const uint8_t *want = m->bytes + off;

	if (memcmp(got, want, len) == 0)
		return;
	for (size_t i = 0; i < len; i++)
		if (got[i] != want[i])
			fail_msg("%s at %llu: 0x%02x, not 0x%02x (operation %u)", what,
				 (unsigned long long)(off + i), got[i], want[i], m->n_ops);
}

void disk_model_read(struct disk_model *m, uint64_t off, size_t len)
{
	auto_free uint8_t *buf = need(malloc(len + 1));
	struct vhd_err e = { 0 };
	struct iovec iov[5];

	memset(buf, 0xee, len + 1);
	if (is_vector(m))
		must(m, vhd_readv(m->v, iov, vector_of(m, iov, buf, len), off, &e), &e, "readv");
	else
		must(m, vhd_read(m->v, buf, len, off, &e), &e, "read");
	assert_int_equal(buf[len], 0xee);
	same(m, buf, off, len, "read");
}

int disk_model_write(struct disk_model *m, uint64_t off, size_t len, struct vhd_err *e)
{
	auto_free uint8_t *buf = need(malloc(len + 1));
	size_t at = m->n_log;
	struct iovec iov[5];
	int rc;

	if (prng_below(&m->seed, 8) == 0) /* zeros are data too */
		memset(buf, 0, len);
	else
		prng_fill(&m->seed, buf, len);
	log_add(m, off, buf, len);
	if (is_vector(m))
		rc = vhd_writev(m->v, iov, vector_of(m, iov, buf, len), off, e);
	else
		rc = vhd_write(m->v, buf, len, off, e);
	if (rc == 0)
		memcpy(m->bytes + off, buf, len);
	return log_end(m, at, rc);
}

int disk_model_zero(struct disk_model *m, uint64_t off, size_t len, struct vhd_err *e)
{
	auto_free uint8_t *buf = need(calloc(1, len + 1));
	size_t at = m->n_log;
	int rc;

	log_add(m, off, buf, len);
	rc = vhd_zero(m->v, len, off, e);
	if (rc == 0)
		memset(m->bytes + off, 0, len);
	return log_end(m, at, rc);
}

/* Each byte is as before or zero; which of them, the disk decides, and stays with it. */
int disk_model_discard(struct disk_model *m, uint64_t off, size_t len, struct vhd_err *e)
{
	auto_free uint8_t *buf = need(calloc(1, len + 1));
	size_t at = m->n_log;
	int rc;

	log_add(m, off, buf, len);
	rc = vhd_discard(m->v, len, off, e);
	if (rc < 0)
		return rc;
	rc = vhd_read(m->v, buf, len, off, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < len; i++)
		if (buf[i] != 0 && buf[i] != m->bytes[off + i])
			fail_msg("discarded at %llu: 0x%02x, neither 0 nor 0x%02x (operation %u)",
				 (unsigned long long)(off + i), buf[i], m->bytes[off + i],
				 m->n_ops);
	memcpy(m->bytes + off, buf, len);
	if (m->durable)
		memcpy(m->log[at].data, buf, len);
	return log_end(m, at, 0);
}

/* ---- everything --------------------------------------------------------------------------- */

/* What an extent says of its bytes is so. */
static void extent_check(struct disk_model *m, const struct vhd_extent *x)
{
	auto_free uint8_t *buf = need(calloc(1, x->len));
	struct iovec iov = { .iov_base = buf, .iov_len = x->len };
	struct vhd_io *io;

	if (x->kind == VHD_EXTENT_DATA) {
		assert_true(x->depth < m->depth);
		io = m->stores[m->depth - 1 - x->depth];
		assert_int_equal(io->ops->preadv(io, &iov, 1, x->file_off), 0);
	}
	same(m, buf, x->off, x->len, x->kind == VHD_EXTENT_DATA ? "data extent" : "absent extent");
}

void disk_model_compare(struct disk_model *m)
{
	struct vhd_err e = { 0 };
	struct vhd_extent x;

	for (uint64_t off = 0; off < m->size; off += PART)
		disk_model_read(m, off, MIN_OF(PART, m->size - off));
	for (uint64_t off = 0; off < m->size; off += x.len) {
		must(m, vhd_extent_at(m->v, off, m->size - off, &x, &e), &e, "extent");
		assert_int_equal(x.off, off);
		assert_true(x.len > 0 && x.len <= m->size - off);
		extent_check(m, &x);
	}
}

/* ---- random steps --------------------------------------------------------------------------- */

/* Mostly short; whole sectors and pages, anything, or more than a block. */
static size_t len_random(struct disk_model *m)
{
	switch (prng_below(&m->seed, 10)) {
	case 0:
		return prng_below(&m->seed, m->len_max);
	case 1:
	case 2:
		return 1 + prng_below(&m->seed, 511);
	case 3:
	case 4:
		return 4096 * (1 + prng_below(&m->seed, 16));
	case 5:
		return prng_below(&m->seed, MIN_OF(64U << 10, m->len_max));
	default:
		return 512 * (1 + prng_below(&m->seed, 24));
	}
}

/* At a block's border, a sector, or anywhere. */
static uint64_t off_random(struct disk_model *m)
{
	uint64_t off = prng_below(&m->seed, m->size), block = m->block_size;

	switch (prng_below(&m->seed, 6)) {
	case 0:
		return off;
	case 1:
		if (block && off >= block)
			return off / block * block - prng_below(&m->seed, 3000);
		return off / 512 * 512;
	case 2:
		return off / 4096 * 4096;
	case 3:
		return block ? off / block * block : off / 512 * 512;
	default:
		return off / 512 * 512;
	}
}

/* Often blocks as a whole: that is what discarding is for. */
static void range_random(struct disk_model *m, enum disk_step step, uint64_t *ret_off,
			 size_t *ret_len)
{
	uint64_t off = off_random(m);
	size_t len = len_random(m);

	if (step >= DISK_ZERO && m->block_size && prng_below(&m->seed, 2)) {
		off = off / m->block_size * m->block_size;
		len = (size_t)m->block_size * (1 + prng_below(&m->seed, 2));
	} else {
		len = MIN_OF(len, m->len_max);
	}
	*ret_off = off;
	*ret_len = MIN_OF(len, m->size - off);
}

static enum disk_step step_random(struct disk_model *m, const struct disk_weights *w)
{
	unsigned int total = 0;
	uint64_t pick;

	for (int i = 0; i < DISK_STEP_COUNT_; i++)
		total += w->of[i];
	pick = prng_below(&m->seed, total);
	for (int i = 0; i < DISK_STEP_COUNT_; i++) {
		if (pick < w->of[i])
			return (enum disk_step)i;
		pick -= w->of[i];
	}
	return DISK_READ;
}

int disk_model_step(struct disk_model *m, const struct disk_weights *w, struct vhd_err *e)
{
	enum disk_step step = step_random(m, w);
	uint64_t off;
	size_t len;

	m->n_ops++;
	range_random(m, step, &off, &len);
	switch (step) {
	case DISK_WRITE:
		return disk_model_write(m, off, len, e);
	case DISK_ZERO:
		return disk_model_zero(m, off, len, e);
	case DISK_DISCARD:
		return disk_model_discard(m, off, len, e);
	case DISK_FLUSH:
		return disk_model_flush(m, e);
	case DISK_REOPEN:
		disk_model_close(m);
		disk_model_open(m);
		return 0;
	default:
		disk_model_read(m, off, len);
		return 0;
	}
}

void disk_model_run(struct disk_model *m, const struct disk_weights *w, unsigned int n)
{
	struct vhd_err e = { 0 };

	for (unsigned int i = 0; i < n; i++)
		must(m, disk_model_step(m, w, &e), &e, "step");
}

/* ---- after a power cut -------------------------------------------------------------------- */

void disk_model_log(struct disk_model *m)
{
	m->durable = need(malloc(m->size));
	m->crashed = need(malloc(m->size));
	memcpy(m->durable, m->bytes, m->size);
}

/* It failed: some of it may be there, after any flush too. */
static bool is_undecided(const struct disk_op *op)
{
	return op->end == SIZE_MAX;
}

/* All that the last flush which ended before `calls` has made durable. */
static void settle(struct disk_model *m, size_t calls)
{
	size_t flushed = m->n_settled;

	for (size_t i = m->n_settled; i < m->n_log; i++)
		if (m->log[i].is_flush && m->log[i].end <= calls)
			flushed = i + 1;
	for (; m->n_settled < flushed; m->n_settled++) {
		const struct disk_op *op = &m->log[m->n_settled];

		if (!op->is_flush && !is_undecided(op))
			memcpy(m->durable + op->off, op->data, op->len);
	}
}

/* What may have reached the disk and is not settled. */
struct undecided {
	const struct disk_op **ops;
	size_t n;
};

static void undecided_find(const struct disk_model *m, size_t calls, struct undecided *u)
{
	u->ops = need(malloc((m->n_log + 1) * sizeof(*u->ops)));
	u->n = 0;
	for (size_t i = 0; i < m->n_log; i++) {
		const struct disk_op *op = &m->log[i];

		if (!op->is_flush && op->begin <= calls && (i >= m->n_settled || is_undecided(op)))
			u->ops[u->n++] = op;
	}
}

static bool byte_is_allowed(const struct undecided *u, uint64_t at, uint8_t value)
{
	for (size_t i = 0; i < u->n; i++) {
		const struct disk_op *op = u->ops[i];

		if (at >= op->off && at - op->off < op->len && op->data[at - op->off] == value)
			return true;
	}
	return false;
}

/* The quick answer, for whole sectors that one operation wrote. */
static bool sector_is_allowed(const struct undecided *u, uint64_t at, const uint8_t *got)
{
	for (size_t i = 0; i < u->n; i++) {
		const struct disk_op *op = u->ops[i];

		if (at >= op->off && range_fits(at - op->off, 512, op->len) &&
		    memcmp(op->data + (at - op->off), got, 512) == 0)
			return true;
	}
	return false;
}

void disk_model_check_crash(struct disk_model *m, size_t calls, struct vhd *v, const char *what)
{
	uint8_t *got = m->crashed;
	struct undecided u;
	struct vhd_err e = { 0 };

	settle(m, calls);
	undecided_find(m, calls, &u);
	if (vhd_read(v, got, m->size, 0, &e) < 0)
		fail_msg("%s, %zu calls: %s", what, calls, e.msg);
	for (uint64_t at = 0; at < m->size; at += 512) { /* disks are whole sectors */
		if (memcmp(got + at, m->durable + at, 512) == 0 ||
		    sector_is_allowed(&u, at, got + at))
			continue;
		for (uint64_t i = at; i < at + 512; i++)
			if (got[i] != m->durable[i] && !byte_is_allowed(&u, i, got[i]))
				fail_msg("%s, %zu calls: at %llu 0x%02x, never written; flushed "
					 "0x%02x",
					 what, calls, (unsigned long long)i, got[i], m->durable[i]);
	}
	free(u.ops);
}

void disk_model_adopt(struct disk_model *m)
{
	struct vhd_err e = { 0 };

	must(m, vhd_read(m->v, m->bytes, m->size, 0, &e), &e, "adopt");
}
