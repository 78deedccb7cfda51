/* SPDX-License-Identifier: MIT */
/*
 * convert.c - layers: from a blob that is arriving to files in the store
 *
 * States of a layer, and what moves it on:
 *   WAITING  no bytes yet            -> READY    by convert_source() or convert_blob_done()
 *   READY    bytes, but no slot, or  -> RUNNING  when the claim is ours and a slot is free
 *            another process makes it -> DONE    when that process has made it
 *   RUNNING  a worker reads          -> DONE     when its reply has the right digests
 *                                    -> WAITING  when the download began anew (worker gave up)
 *   DONE
 * Hostile: blobs, and so what the worker says of them; both digests are compared here. A worker
 * that makes no progress on a whole blob is killed. A blob that was in the store has not been read
 * since it came there: when unpacking it fails, its digest tells whether it is damaged. A failure
 * of a worker is held back for a moment while its blob is still arriving: the download often knows
 * the better reason.
 */
#include "convert.h"

#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#include "digest.h"
#include "engine_internal.h"
#include "unpack_job.h"
#include "worker_msg.h"

#define SLOTS_MAX      3U
#define BUSY_MS        50 /* between two looks at another process's layer */
#define HOLD_BACK_MS   500
#define STALL_CHECK_MS 30000
#define STALL_CHECKS   10 /* so long without a byte written, the blob being whole */

enum layer_state { LAYER_WAITING, LAYER_READY, LAYER_RUNNING, LAYER_DONE };

struct layer {
	struct convert *c;
	char diff_id[80], blob[80];
	uint64_t blob_size;
	enum layer_state state;
	bool blob_is_done;
	bool is_whole; /* the worker that runs was given the whole blob */
	int fd, count_fd;
	struct store_claim claim;
	struct unpack_job *job;
	struct loop_timer *stall;
	uint64_t seen; /* bytes written at the last look */
	unsigned stalls;
};

struct convert {
	struct engine *g;
	struct store_ingest *in;
	struct loop *loop;
	struct convert_ops ops;
	struct layer *layers; /* distinct ones */
	uint32_t n, n_running, slots;
	struct loop_timer *retry; /* look again at layers that others make */
	struct loop_timer *held;  /* then report `err` */
	struct err err;
	bool has_failed;
};

static void layers_advance(struct convert *c);

static void layer_stop(struct layer *y)
{
	if (y->job)
		y->c->n_running--;
	unpack_job_free(y->job);
	y->job = NULL;
	loop_timer_drop(y->stall);
	y->stall = NULL;
	store_claim_drop(y->c->in, &y->claim);
	fd_drop(&y->fd);
	fd_drop(&y->count_fd);
}

static void fail_now(struct convert *c)
{
	c->has_failed = true;
	for (uint32_t i = 0; i < c->n; i++)
		layer_stop(&c->layers[i]);
	c->ops.failed(c->ops.arg, &c->err);
}

static void fail(struct convert *c, const struct err *e)
{
	if (c->has_failed)
		return;
	c->err = *e;
	fail_now(c);
}

/* ---- the worker's end ---- */

static int blob_damaged(struct layer *y, uint64_t len, const char *digest, struct err *e)
{
	store_ingest_blob_spoil(y->c->in, y->blob);
	return err_plain(e, EBADMSG, "layer %.19s is damaged: its %" PRIu64 " bytes have digest %s",
			 y->blob, len, digest);
}

static int reply_check(struct layer *y, const struct unpack_reply *r, struct err *e)
{
	if (strcmp(r->blob_digest, y->blob) != 0 || r->blob_size != y->blob_size)
		return blob_damaged(y, r->blob_size, r->blob_digest, e);
	if (strcmp(r->diff_id, y->diff_id) != 0)
		return err_plain(e, EBADMSG, "layer %.19s holds %s, but the image's config says %s",
				 y->blob, r->diff_id, y->diff_id);
	return 0;
}

static bool bytes_are_blamed(int code)
{
	return code == EBADMSG || code == EFBIG || code == EPROTO;
}

/* A damaged blob goes, and is given as the reason. */
static void blob_suspect(struct layer *y, struct err *e)
{
	struct err ignored = { 0 }; /* the worker's error stands */
	char digest[DIGEST_SIZE];
	uint64_t len = 0;
	auto_fd fd = -1;

	if (!y->is_whole || !bytes_are_blamed(e->code) ||
	    store_ingest_blob_open(y->c->in, y->blob, 0, &fd, &ignored) < 0 ||
	    digest_of_file(fd, UINT64_MAX, digest, &len, &ignored) < 0 ||
	    strcmp(digest, y->blob) == 0)
		return;
	(void)blob_damaged(y, len, digest, e);
}

static int layer_keep(struct layer *y, const char *reply, size_t len, int status, struct err *e)
{
	struct unpack_reply r;

	if (status != 0 && len == 0)
		return err_plain(e, EIO, "unpacking layer %.19s: the process ended with status %d",
				 y->blob, status);
	if (unpack_reply_parse(reply, len, &r, e) < 0)
		return err_wrap(e, "unpacking layer %.19s", y->blob);
	if (status != 0)
		return err_plain(e, EIO, "unpacking layer %.19s failed", y->blob);
	if (reply_check(y, &r, e) < 0 || store_layer_keep(y->c->in, &y->claim, r.data_len, e) < 0)
		return -e->code;
	return 0;
}

/* Done layers of the blob, told once the last one is. */
static void layer_done(struct layer *y)
{
	struct convert *c = y->c;

	layer_stop(y);
	y->state = LAYER_DONE;
	if (!convert_blob_is_needed(c, y->blob))
		c->ops.layer_done(c->ops.arg, y->blob);
}

static void worker_ended(void *arg, const char *reply, size_t len, int status)
{
	struct layer *y = arg;
	struct convert *c = y->c;
	struct err e = { 0 };

	if (layer_keep(y, reply, len, status, &e) == 0) {
		layer_done(y);
	} else {
		layer_stop(y);
		y->state = LAYER_WAITING;
		blob_suspect(y, &e);
		if (y->is_whole || (y->blob_is_done && e.code != ECANCELED)) {
			fail(c, &e);
			return;
		}
		if (y->blob_is_done) { /* gave up a moment too early: the whole blob is there now */
			convert_blob_done(c, y->blob);
		} else if (e.code != ECANCELED) {
			c->err = e;
			loop_timer_arm(c->held, HOLD_BACK_MS);
		}
	}
	layers_advance(c);
}

static void held_due(void *arg)
{
	fail_now(arg);
}

static void stall_due(void *arg)
{
	struct layer *y = arg;
	struct stat data = { 0 }, tree = { 0 };
	uint64_t now;
	struct err e = { 0 };

	(void)fstat(y->claim.data_fd, &data); /* zeros stand for no progress */
	(void)fstat(y->claim.tree_fd, &tree);
	now = (uint64_t)data.st_size + (uint64_t)data.st_blocks + (uint64_t)tree.st_size;
	y->stalls = y->blob_is_done && now == y->seen ? y->stalls + 1 : 0;
	y->seen = now;
	if (y->stalls < STALL_CHECKS) {
		loop_timer_arm(y->stall, STALL_CHECK_MS);
		return;
	}
	(void)err_plain(&e, ETIMEDOUT, "unpacking layer %.19s made no progress for %d s", y->blob,
			STALL_CHECK_MS / 1000 * STALL_CHECKS);
	fail(y->c, &e);
}

/* ---- moving on ---- */

static int layer_start(struct layer *y, struct err *e)
{
	struct unpack_job_files f = { y->fd, y->count_fd, y->claim.data_fd, y->claim.tree_fd };

	if (loop_timer_new(y->c->loop, stall_due, y, &y->stall, e) < 0 ||
	    unpack_job_start(y->c->g, y->c->loop, &f, worker_ended, y, &y->job, e) < 0)
		return -e->code;
	y->c->n_running++;
	y->state = LAYER_RUNNING;
	y->stalls = 0;
	y->is_whole = y->count_fd < 0;
	loop_timer_arm(y->stall, STALL_CHECK_MS);
	fd_drop(&y->fd);
	fd_drop(&y->count_fd);
	return 0;
}

static int layer_try(struct layer *y, struct err *e)
{
	enum store_claim_state state;

	if (store_layer_claim(y->c->in, y->diff_id, &y->claim, &state, e) < 0)
		return -e->code;
	switch (state) {
	case STORE_CLAIM_PRESENT:
		layer_done(y);
		return 0;
	case STORE_CLAIM_BUSY:
		loop_timer_arm(y->c->retry, BUSY_MS);
		return 0;
	default:
		return layer_start(y, e);
	}
}

static void layers_advance(struct convert *c)
{
	struct err e = { 0 };

	for (uint32_t i = 0; i < c->n && !c->has_failed; i++) {
		struct layer *y = &c->layers[i];

		if (y->state != LAYER_READY || c->n_running >= c->slots)
			continue;
		if (layer_try(y, &e) < 0)
			fail(c, &e);
	}
}

static void retry_due(void *arg)
{
	layers_advance(arg);
}

/* ---- for the caller ---- */

int convert_new(struct engine *g, struct store_ingest *in, struct loop *l,
		const struct convert_ops *ops, struct convert **ret, struct err *e)
{
	struct convert *c = calloc(1, sizeof(*c));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (!c)
		return err_set(e, ENOMEM, "layers");
	*c = (struct convert){ .g = g, .in = in, .loop = l, .ops = *ops };
	c->slots = cpus > 2 ? SLOTS_MAX : 2;
	c->layers = calloc(MERGE_LAYERS_MAX, sizeof(*c->layers));
	if (!c->layers || loop_timer_new(l, retry_due, c, &c->retry, e) < 0 ||
	    loop_timer_new(l, held_due, c, &c->held, e) < 0) {
		convert_free(c);
		return err_set(e, ENOMEM, "layers");
	}
	*ret = c;
	return 0;
}

void convert_free(struct convert *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->n; i++)
		layer_stop(&c->layers[i]);
	loop_timer_drop(c->retry);
	loop_timer_drop(c->held);
	free(c->layers);
	free(c);
}

int convert_add(struct convert *c, const char *diff_id, const char *blob, uint64_t size,
		struct err *e)
{
	struct layer *y = &c->layers[c->n];
	enum store_claim_state state;

	for (uint32_t i = 0; i < c->n; i++) {
		if (strcmp(c->layers[i].diff_id, diff_id) == 0)
			return 0; /* of another blob, perhaps: one of them is enough */
		if (strcmp(c->layers[i].blob, blob) == 0)
			return err_plain(e, EBADMSG, "layer %.19s is said to hold both %s and %s",
					 blob, c->layers[i].diff_id, diff_id);
	}
	if (c->n == MERGE_LAYERS_MAX)
		return err_plain(e, E2BIG, "an image of more than %u layers", MERGE_LAYERS_MAX);
	*y = (struct layer){ .c = c, .blob_size = size, .fd = -1, .count_fd = -1 };
	y->claim = (struct store_claim)STORE_CLAIM_NONE;
	snprintf(y->diff_id, sizeof(y->diff_id), "%s", diff_id);
	snprintf(y->blob, sizeof(y->blob), "%s", blob);
	if (store_layer_claim(c->in, diff_id, &y->claim, &state, e) < 0)
		return -e->code;
	store_claim_drop(c->in, &y->claim); /* only to see: it is claimed when its bytes come */
	y->state = state == STORE_CLAIM_PRESENT ? LAYER_DONE : LAYER_WAITING;
	c->n++;
	return 0;
}

void convert_source(struct convert *c, const char *blob, int fd, int count_fd)
{
	for (uint32_t i = 0; i < c->n; i++) {
		struct layer *y = &c->layers[i];

		if (c->has_failed || y->state == LAYER_DONE || strcmp(y->blob, blob) != 0)
			continue;
		layer_stop(y); /* a download that begins anew comes with new descriptors */
		loop_timer_disarm(c->held);
		y->fd = TAKE_FD(fd);
		y->count_fd = TAKE_FD(count_fd);
		y->state = LAYER_READY;
		break;
	}
	fd_drop(&fd);
	fd_drop(&count_fd);
	layers_advance(c);
}

void convert_blob_done(struct convert *c, const char *blob)
{
	struct err e = { 0 };

	for (uint32_t i = 0; i < c->n && !c->has_failed; i++) {
		struct layer *y = &c->layers[i];

		if (strcmp(y->blob, blob) != 0)
			continue;
		y->blob_is_done = true;
		if (y->state != LAYER_WAITING)
			continue;
		if (store_ingest_blob_open(c->in, blob, y->blob_size, &y->fd, &e) < 0) {
			fail(c, &e);
			return;
		}
		loop_timer_disarm(c->held);
		y->state = LAYER_READY;
	}
	layers_advance(c);
}

bool convert_is_done(const struct convert *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->layers[i].state != LAYER_DONE)
			return false;
	return true;
}

bool convert_blob_is_needed(const struct convert *c, const char *blob)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->layers[i].state != LAYER_DONE && strcmp(c->layers[i].blob, blob) == 0)
			return true;
	return false;
}
