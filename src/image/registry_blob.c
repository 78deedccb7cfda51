/* SPDX-License-Identifier: MIT */
/*
 * registry_blob.c - layers into partial/, several at once, resumed and verified
 *
 * One blob goes through: LOCK (another process may be at it) -> HASH (what is there already) -> ASK
 * -> BODY, from there to PAUSE and ASK again, or to DRAIN (the last count goes out) -> DONE. One
 * step each per turn of the loop; bytes are written and hashed in the body's callback.
 *
 * Invariants: I1 `have` bytes are in the file, in the hash, and no more than the descriptor's size.
 * I2 nothing is DONE whose digest has not been compared. I3 a count never exceeds `have`; when
 * bytes are taken back, the counts pipe is given up and a new one opened. I4 every way back to ASK
 * is counted: attempts without progress, restarts, bytes that were wrong.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "bytes.h"
#include "fdio.h"
#include "registry_internal.h"

#define HASH_SLICE      (4U << 20) /* in one turn */
#define HASH_READ       (256U << 10)
#define COUNT_EVERY     (128U << 10)
#define COUNT_EVERY_MS  20U
#define COUNT_NONE      (UINT64_MAX - 1)
#define GIVE_UP         UINT64_MAX
#define GIVE_UP_WAIT_MS 5000
#define LOCK_POLL_MS    100U
#define TURN_MS         50U
#define PROGRESS_STEP   (1U << 20) /* so much more than ever makes attempts free again */
#define WRONG_MAX       2U         /* one retry from the start */
#define RESTARTS_MAX    4U         /* ranges that the server got wrong */

enum blob_state { BLOB_LOCK, BLOB_HASH, BLOB_ASK, BLOB_BODY, BLOB_PAUSE, BLOB_DRAIN, BLOB_DONE };

struct blob {
	struct registry *r;
	const struct doc_descriptor *d;
	enum blob_state state;
	size_t ep;
	int fd, counts_fd;
	struct digest_stream *hash;
	uint64_t have, best, told; /* best: most ever; told: the last count sent */
	uint64_t told_ms, progress_ms, wait_until_ms;
	struct registry_call call;
	struct http_sink sink;
	struct retry retry;
	char scope[SCOPE_SIZE];
	unsigned wrong, restarts;
	bool from_start, undo_encoding, was_encoded; /* of the next question; of the last answer */
	bool is_wrong, is_bad_range;                 /* why the last body ended */
};

/* ---- counts ---- */

static void count_put(struct blob *b, uint64_t count)
{
	uint8_t bytes[8];
	ssize_t n;

	put_le64(bytes, count);
	n = write(b->counts_fd, bytes, sizeof(bytes)); /* whole or not at all: less than PIPE_BUF */
	if (n == (ssize_t)sizeof(bytes))
		b->told = count;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		fd_drop(&b->counts_fd); /* nobody reads: the engine knows why */
	b->told_ms = registry_now_ms();
}

static void count_now(struct blob *b)
{
	if (b->counts_fd >= 0 && b->told != b->have)
		count_put(b, b->have);
}

static void count_sometimes(struct blob *b)
{
	if (b->told == COUNT_NONE || b->have - b->told >= COUNT_EVERY ||
	    registry_now_ms() - b->told_ms >= COUNT_EVERY_MS)
		count_now(b);
}

static void counts_give_up(struct blob *b)
{
	struct pollfd p = { .fd = b->counts_fd, .events = POLLOUT };

	if (b->counts_fd < 0)
		return;
	if (poll(&p, 1, GIVE_UP_WAIT_MS) == 1)
		count_put(b, GIVE_UP);
	fd_drop(&b->counts_fd);
}

/* The engine gets the file and a fresh pipe. */
static int open_tell(struct blob *b, struct err *e)
{
	const char *hex = digest_hex(b->d->digest);
	auto_fd reader = openat(b->r->io.partial_fd, hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_fd counts = -1;
	int pair[2];

	if (reader < 0)
		return err_set(e, errno, "open partial/%.12s", hex);
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe");
	counts = pair[0];
	fd_drop(&b->counts_fd);
	b->counts_fd = pair[1];
	if (fd_set_nonblock(b->counts_fd, true) < 0)
		return err_set(e, errno, "pipe");
	b->told = COUNT_NONE;
	if (event_send_fds(b->r,
			   json_pack("{s:s, s:s, s:I, s:I}", "event", "open", "digest",
				     b->d->digest, "size", (json_int_t)b->d->size, "have",
				     (json_int_t)b->have),
			   (int[]){ reader, counts }, e) < 0)
		return -e->code;
	count_now(b);
	return 0;
}

/* Take all bytes back. */
static int blob_cut(struct blob *b, struct err *e)
{
	counts_give_up(b);
	if (ftruncate(b->fd, 0) < 0)
		return part_write_error(errno, e);
	digest_stream_reset(b->hash);
	b->have = 0;
	return open_tell(b, e);
}

/* ---- the body ---- */

static bool is_encoded(const struct http_response *r)
{
	return r->content_encoding && *r->content_encoding &&
	       strcasecmp(r->content_encoding, "identity") != 0;
}

static int range_check(struct blob *b, const struct http_response *r, struct err *e)
{
	uint64_t first, last, total;

	if (b->call.http.range_from > 0 &&
	    content_range_parse(r->content_range, &first, &last, &total) && first == b->have &&
	    (total == b->d->size || total == UINT64_MAX) && last < b->d->size)
		return 0;
	b->is_bad_range = true;
	return err_plain(e, EBADMSG,
			 "206 with Content-Range \"%.60s\", asked for bytes from %llu on",
			 r->content_range ? r->content_range : "",
			 (unsigned long long)b->call.http.range_from);
}

static int body_begin(void *arg, const struct http_response *r, struct err *e)
{
	struct blob *b = arg;
	uint64_t left;

	if (r->status != 200 && r->status != 206)
		return err_plain(e, EBADMSG, "status %d where 200 was expected", r->status);
	if (r->status == 206 && range_check(b, r, e) < 0)
		return -e->code;
	if (r->status == 200 && b->have > 0 && blob_cut(b, e) < 0)
		return -e->code;
	b->was_encoded = is_encoded(r);
	left = b->d->size - b->have;
	if (!b->undo_encoding && !b->was_encoded && r->status == 200 && r->length >= 0 &&
	    (uint64_t)r->length != left) {
		b->is_wrong = true;
		return err_plain(e, EBADMSG, "the server has %lld bytes, the manifest says %llu",
				 (long long)r->length, (unsigned long long)b->d->size);
	}
	return 0;
}

static int progress_tell(struct blob *b, struct err *e)
{
	uint64_t now = registry_now_ms();

	if (b->have >= b->best + PROGRESS_STEP) {
		b->best = b->have;
		b->retry.failed = 0;
	}
	if (now - b->progress_ms < PROGRESS_EVERY_MS && b->have < b->d->size)
		return 0;
	b->progress_ms = now;
	return event_progress(b->r, b->d->digest, b->have, e);
}

static int body_data(void *arg, const char *p, size_t n, struct err *e)
{
	struct blob *b = arg;
	int rc;

	if (n > b->d->size - b->have) {
		b->is_wrong = true;
		return err_plain(e, EBADMSG, "more bytes than the %llu that the manifest says",
				 (unsigned long long)b->d->size);
	}
	rc = fd_pwrite_full(b->fd, p, n, (off_t)b->have);
	if (rc < 0)
		return part_write_error(-rc, e);
	if (digest_stream_add(b->hash, p, n, e) < 0)
		return -e->code;
	b->have += n;
	count_sometimes(b);
	return progress_tell(b, e);
}

/* ---- steps ---- */

static int blob_wrap(const struct blob *b, struct err *e)
{
	return err_wrap(e, "layer %.19s", b->d->digest);
}

static int step_lock(struct blob *b, struct err *e)
{
	enum part_state state = PART_BUSY;
	struct stat st;

	if (part_claim(b->r, b->d, &state, &b->fd, e) < 0)
		return -e->code;
	if (state == PART_STORED) {
		b->state = BLOB_DONE;
		return event_digest(b->r, "exists", b->d->digest, e);
	}
	b->wait_until_ms = registry_now_ms() + LOCK_POLL_MS;
	if (state == PART_BUSY)
		return 0;
	if (fstat(b->fd, &st) < 0)
		return err_set(e, errno, "partial/%.12s", digest_hex(b->d->digest));
	if ((uint64_t)st.st_size > b->d->size && ftruncate(b->fd, 0) < 0)
		return part_write_error(errno, e);
	b->wait_until_ms = 0;
	b->state = BLOB_HASH;
	return digest_stream_new(&b->hash, e);
}

static int digest_compare(struct blob *b, char ret[DIGEST_SIZE], bool *ret_same, struct err *e)
{
	if (digest_stream_get(b->hash, ret, e) < 0)
		return -e->code;
	*ret_same = strcmp(ret, b->d->digest) == 0;
	return 0;
}

static int hashed(struct blob *b, struct err *e)
{
	char is[DIGEST_SIZE];
	bool same = false;

	b->state = BLOB_ASK;
	b->best = b->have;
	if (b->have == b->d->size) {
		if (digest_compare(b, is, &same, e) < 0)
			return -e->code;
		if (same) {
			b->state = BLOB_DRAIN;
		} else if (b->have > 0) { /* of an earlier run: nobody's fault now */
			if (ftruncate(b->fd, 0) < 0)
				return part_write_error(errno, e);
			digest_stream_reset(b->hash);
			b->have = b->best = 0;
		}
	}
	return open_tell(b, e);
}

static int step_hash(struct blob *b, struct err *e)
{
	auto_free char *bytes = malloc(HASH_READ);
	uint64_t end = b->have + HASH_SLICE;

	if (!bytes)
		return err_set(e, ENOMEM, "sha256");
	while (b->have < end) {
		ssize_t n = pread(b->fd, bytes, HASH_READ, (off_t)b->have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, errno, "read partial/%.12s", digest_hex(b->d->digest));
		if (n == 0)
			return hashed(b, e);
		if (digest_stream_add(b->hash, bytes, (size_t)n, e) < 0)
			return -e->code;
		b->have += (uint64_t)n;
	}
	return 0;
}

static int step_ask(struct blob *b, struct err *e)
{
	struct endpoint *ep = &b->r->rq.endpoints[b->ep];
	struct http_call *h = &b->call.http;
	auto_free char *path = NULL;

	if (asprintf(&path, "/v2/%s/blobs/%s", ep->repository, b->d->digest) < 0)
		return err_set(e, ENOMEM, "address");
	snprintf(b->scope, sizeof(b->scope), "repository:%s:pull", ep->repository);
	b->sink = (struct http_sink){ body_begin, body_data, b };
	b->call.reg = b->r;
	b->call.ep = ep;
	b->call.scope = b->scope;
	h->method = HTTP_GET;
	h->sink = &b->sink;
	h->undo_encoding = b->undo_encoding;
	h->range_from = b->from_start || b->undo_encoding ? 0 : b->have;
	b->from_start = b->is_wrong = b->is_bad_range = b->was_encoded = false;
	b->state = BLOB_BODY;
	return call_begin(&b->call, path, e);
}

/* Another endpoint may do better; true when there is one. */
static bool endpoint_next(struct blob *b)
{
	if (!b->call.ep->is_mirror || b->ep + 1 >= b->r->rq.n_endpoints)
		return false;
	b->ep++;
	b->retry.failed = b->wrong = b->restarts = 0;
	b->undo_encoding = false;
	b->state = BLOB_ASK;
	return true;
}

/* The bytes are not the blob's: cut off, once more from the start. */
static int blob_is_wrong(struct blob *b, struct err *e)
{
	struct err cut = { 0 };

	if (blob_cut(b, &cut) < 0) {
		*e = cut;
		return -e->code;
	}
	if (b->was_encoded && !b->undo_encoding)
		b->undo_encoding = true; /* the encoding was not part of the blob */
	else if (++b->wrong >= WRONG_MAX)
		return endpoint_next(b) ? 0 : -e->code;
	event_retrying(b->r, b->d->digest, b->wrong, e);
	b->from_start = true;
	b->state = BLOB_ASK;
	return 0;
}

static bool is_ours(int code) /* no endpoint can help */
{
	return code == ECANCELED || code == ENOSPC || code == ENOMEM || code == EIO;
}

static int body_failed(struct blob *b, struct err *e)
{
	uint32_t ms = 0;

	if (is_ours(e->code))
		return -e->code;
	if (b->is_wrong)
		return blob_is_wrong(b, e);
	if ((b->is_bad_range || (b->call.http.response.status == 416 && b->have > 0)) &&
	    b->restarts++ < RESTARTS_MAX) {
		event_retrying(b->r, b->d->digest, b->restarts, e);
		b->from_start = true;
		b->state = BLOB_ASK;
		return 0;
	}
	if (retry_again(b->r, &b->retry, &b->call, &ms)) {
		event_retrying(b->r, b->d->digest, b->retry.failed, e);
		b->wait_until_ms = registry_now_ms() + ms;
		b->state = BLOB_PAUSE;
		return 0;
	}
	return endpoint_next(b) ? 0 : -e->code;
}

static int body_whole(struct blob *b, struct err *e)
{
	char is[DIGEST_SIZE], shown[URL_SHOWN + 8];
	bool same = false;

	call_shown(&b->call, shown);
	if (b->have < b->d->size) {
		b->call.is_temporary = true;
		(void)err_plain(e, EBADMSG, "%s: ended after %llu of %llu bytes", shown,
				(unsigned long long)b->have, (unsigned long long)b->d->size);
		return body_failed(b, e);
	}
	if (digest_compare(b, is, &same, e) < 0)
		return -e->code;
	if (same) {
		b->state = BLOB_DRAIN;
		return 0;
	}
	(void)err_plain(e, EBADMSG, "%s: the bytes have another digest: %s", shown, is);
	return blob_is_wrong(b, e);
}

static int step_body(struct blob *b, struct err *e)
{
	enum call_state state = CALL_RUNNING;

	count_now(b);
	if (!b->call.http.is_done)
		return 0;
	if (call_advance(&b->call, &state, e) < 0)
		return body_failed(b, e);
	return state == CALL_DONE ? body_whole(b, e) : 0;
}

static int step_drain(struct blob *b, struct err *e)
{
	count_now(b);
	if (b->counts_fd >= 0 && b->told != b->have)
		return 0; /* the reader is slow */
	fd_drop(&b->counts_fd);
	fd_drop(&b->fd); /* and its lock */
	call_done(&b->call);
	b->state = BLOB_DONE;
	return event_digest(b->r, "done", b->d->digest, e);
}

static int blob_step(struct blob *b, struct err *e)
{
	if (b->wait_until_ms > registry_now_ms())
		return 0;
	switch (b->state) {
	case BLOB_LOCK:
		return step_lock(b, e);
	case BLOB_HASH:
		return step_hash(b, e);
	case BLOB_PAUSE:
		b->wait_until_ms = 0;
		return step_ask(b, e);
	case BLOB_ASK:
		return step_ask(b, e);
	case BLOB_BODY:
		return step_body(b, e);
	case BLOB_DRAIN:
		return step_drain(b, e);
	default:
		return 0;
	}
}

static void blob_done(struct blob *b)
{
	if (b->counts_fd >= 0 && b->state != BLOB_DONE)
		counts_give_up(b);
	fd_drop(&b->counts_fd);
	fd_drop(&b->fd);
	digest_stream_free(b->hash);
	call_done(&b->call);
	*b = (struct blob){ .fd = -1, .counts_fd = -1, .state = BLOB_DONE };
}

/* ---- all of them ---- */

struct fetch {
	struct registry *r;
	const struct doc_descriptor *list;
	size_t n, next, first;
	struct blob blobs[BLOBS_AT_ONCE];
};

static bool is_repeated(const struct fetch *f, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(f->list[k].digest, f->list[i].digest) == 0)
			return true;
	return false;
}

static void slot_fill(struct fetch *f, struct blob *b)
{
	while (f->next < f->n && is_repeated(f, f->next))
		f->next++;
	if (f->next == f->n)
		return;
	blob_done(b);
	b->r = f->r;
	b->d = &f->list[f->next++];
	b->ep = f->first;
	b->state = BLOB_LOCK;
}

/* Every blob one step; *ret_wait_ms: until the next turn. */
static int fetch_steps(struct fetch *f, bool *ret_busy, uint32_t *ret_wait_ms, struct err *e)
{
	*ret_busy = f->next < f->n;
	*ret_wait_ms = TURN_MS;
	for (size_t i = 0; i < BLOBS_AT_ONCE; i++) {
		struct blob *b = &f->blobs[i];

		if (b->state == BLOB_DONE)
			slot_fill(f, b);
		if (b->state == BLOB_DONE)
			continue;
		*ret_busy = true;
		if (blob_step(b, e) < 0)
			return blob_wrap(b, e);
		if (b->state != BLOB_BODY && b->state != BLOB_DRAIN &&
		    b->wait_until_ms <= registry_now_ms())
			*ret_wait_ms = 0;
	}
	return 0;
}

int blobs_fetch(struct registry *r, const struct doc_descriptor *list, size_t n, size_t first,
		struct err *e)
{
	struct fetch f = { .r = r, .list = list, .n = n, .first = first };
	uint32_t wait_ms = 0;
	bool busy = true;
	int rc = 0;

	for (size_t i = 0; i < BLOBS_AT_ONCE; i++)
		f.blobs[i] = (struct blob){ .fd = -1, .counts_fd = -1, .state = BLOB_DONE };
	while (rc == 0 && busy) {
		rc = fetch_steps(&f, &busy, &wait_ms, e);
		if (rc == 0 && busy)
			rc = registry_turn(r, wait_ms, e);
	}
	for (size_t i = 0; i < BLOBS_AT_ONCE; i++)
		blob_done(&f.blobs[i]);
	return rc;
}
