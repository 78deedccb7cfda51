/* SPDX-License-Identifier: MIT */
/*
 * layer_pipe.c - three threads: decompress, hash, unpack
 *
 * The decompressor reads the blob, hashes it and fills chunks of a ring. Two readers follow at
 * their own pace: the hasher, for the diff id, and the unpacker, which is the calling thread. A
 * chunk is filled again when both have left it.
 *
 * An error of the decompressor reaches the unpacker as an error of its source. An error of the
 * unpacker sets `stopped`, for which the others look whenever they wait.
 *
 * Invariants: I1 written - CHUNKS <= read[i] <= written. I2 chunk written % CHUNKS belongs to the
 * decompressor, those from read[i] to written - 1 to reader i as well, without the lock.
 */
#include "layer_pipe.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "bytes.h"
#include "fdio.h"
#include "inflate.h"

#define CHUNKS       8U
#define CHUNK_SIZE   (256U << 10)
#define BLOB_PIECE   (256U << 10)
#define STOP_LOOK_MS 200
#define COUNT_SIZE   8U
#define COUNT_ABORT  UINT64_MAX

enum reader { READER_HASH, READER_UNPACK, READER_COUNT_ };

struct blob {
	int fd, count_fd;
	bool is_counted, is_whole; /* a count has come; no more will come */
	uint64_t at, valid;
	uint8_t *piece;
	EVP_MD_CTX *hash;
	uint8_t partial[COUNT_SIZE]; /* a count of which not all came at once */
	size_t partial_len;
};

struct pipe {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint8_t *chunks;
	size_t lens[CHUNKS];
	uint64_t written, read[READER_COUNT_];
	bool is_holding[READER_COUNT_]; /* the chunk at read[i] was handed out */
	bool ended, stopped;
	struct err err; /* of the decompressor */
	struct blob blob;
	EVP_MD_CTX *hash;
};

/* ---- the blob ---- */

static bool is_stopped(struct pipe *p)
{
	bool r;

	pthread_mutex_lock(&p->lock);
	r = p->stopped;
	pthread_mutex_unlock(&p->lock);
	return r;
}

static int count_take(struct blob *b, uint64_t v, struct err *e)
{
	if (v == COUNT_ABORT)
		return err_plain(e, ECANCELED, "the download was given up");
	if (v < b->valid || v > INT64_MAX)
		return err_plain(e, EPROTO, "the download's progress goes backwards");
	b->is_counted = true;
	b->valid = v;
	return 0;
}

static int count_end(struct blob *b, struct err *e)
{
	struct stat st;

	b->is_whole = true;
	if (b->is_counted)
		return 0;
	if (fstat(b->fd, &st) < 0)
		return err_set(e, errno, "blob");
	b->valid = (uint64_t)st.st_size;
	return 0;
}

static int counts_read(struct blob *b, struct err *e)
{
	uint8_t in[64 * COUNT_SIZE];
	ssize_t n;

	memcpy(in, b->partial, b->partial_len);
	do {
		n = read(b->count_fd, in + b->partial_len, sizeof(in) - b->partial_len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : err_set(e, errno, "download's progress");
	if (n == 0)
		return count_end(b, e);
	n += (ssize_t)b->partial_len;
	b->partial_len = (size_t)n % COUNT_SIZE;
	for (size_t i = 0; i + COUNT_SIZE <= (size_t)n; i += COUNT_SIZE)
		if (count_take(b, get_le64(in + i), e) < 0)
			return -e->code;
	memcpy(b->partial, in + (size_t)n - b->partial_len, b->partial_len);
	return 0;
}

static int blob_wait(struct pipe *p, struct err *e)
{
	struct blob *b = &p->blob;

	while (b->at == b->valid && !b->is_whole) {
		struct pollfd fd = { .fd = b->count_fd, .events = POLLIN };
		int n = poll(&fd, 1, STOP_LOOK_MS);

		if (n < 0 && errno != EINTR)
			return err_set(e, errno, "download's progress");
		if (n > 0 && counts_read(b, e) < 0)
			return -e->code;
		if (n <= 0 && is_stopped(p))
			return err_plain(e, ECANCELED, "stopped");
	}
	return 0;
}

static int blob_next(void *arg, const uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct pipe *p = arg;
	struct blob *b = &p->blob;
	size_t n;
	int r;

	if (blob_wait(p, e) < 0)
		return -e->code;
	n = (size_t)MIN_OF(b->valid - b->at, (uint64_t)BLOB_PIECE);
	r = fd_pread_full(b->fd, b->piece, n, (off_t)b->at);
	if (r < 0)
		return err_set(e, -r, "read blob");
	if (EVP_DigestUpdate(b->hash, b->piece, n) != 1)
		return err_plain(e, EIO, "sha256 failed");
	b->at += n;
	*ret = b->piece;
	*ret_len = n;
	return 0;
}

/* ---- ring ---- */

static void end_set(struct pipe *p, const struct err *e)
{
	pthread_mutex_lock(&p->lock);
	p->ended = true;
	if (e)
		p->err = *e;
	pthread_cond_broadcast(&p->moved);
	pthread_mutex_unlock(&p->lock);
}

static void stop(struct pipe *p)
{
	pthread_mutex_lock(&p->lock);
	p->stopped = true;
	pthread_cond_broadcast(&p->moved);
	pthread_mutex_unlock(&p->lock);
}

/* The chunk to fill next; NULL when stopped. */
static uint8_t *chunk_free_wait(struct pipe *p)
{
	uint8_t *chunk = NULL;

	pthread_mutex_lock(&p->lock);
	while (!p->stopped && p->written - MIN_OF(p->read[0], p->read[1]) == CHUNKS)
		pthread_cond_wait(&p->moved, &p->lock);
	if (!p->stopped)
		chunk = p->chunks + p->written % CHUNKS * CHUNK_SIZE;
	pthread_mutex_unlock(&p->lock);
	return chunk;
}

static void chunk_give(struct pipe *p, size_t len)
{
	pthread_mutex_lock(&p->lock);
	p->lens[p->written % CHUNKS] = len;
	p->written++;
	pthread_cond_broadcast(&p->moved);
	pthread_mutex_unlock(&p->lock);
}

/* Gives back the chunk that the reader has, waits for the next; length 0 is the end. */
static void chunk_next(struct pipe *p, enum reader who, const uint8_t **ret, size_t *ret_len)
{
	*ret_len = 0;
	pthread_mutex_lock(&p->lock);
	if (p->is_holding[who]) {
		p->read[who]++;
		p->is_holding[who] = false;
		pthread_cond_broadcast(&p->moved);
	}
	while (!p->stopped && !p->ended && p->read[who] == p->written)
		pthread_cond_wait(&p->moved, &p->lock);
	if (!p->stopped && p->read[who] < p->written) {
		uint64_t i = p->read[who] % CHUNKS;

		p->is_holding[who] = true;
		*ret = p->chunks + i * CHUNK_SIZE;
		*ret_len = p->lens[i];
	}
	pthread_mutex_unlock(&p->lock);
}

/* ---- threads ---- */

static int chunks_fill(struct pipe *p, struct inflate *z, struct err *e)
{
	for (;;) {
		uint8_t *chunk = chunk_free_wait(p);
		size_t n;

		if (!chunk)
			return 0;
		if (inflate_read(z, chunk, CHUNK_SIZE, &n, e) < 0)
			return -e->code;
		if (n > 0)
			chunk_give(p, n);
		if (n < CHUNK_SIZE)
			return 0;
	}
}

static void *decompress_main(void *arg)
{
	struct pipe *p = arg;
	struct byte_source src = { blob_next, p };
	struct inflate *z = NULL;
	struct err e = { 0 };
	int r = inflate_new(&src, &z, &e);

	if (r == 0)
		r = chunks_fill(p, z, &e);
	inflate_free(z);
	end_set(p, r < 0 ? &e : NULL);
	return NULL;
}

static void *hash_main(void *arg)
{
	struct pipe *p = arg;
	const struct err failed = { EIO, "sha256 failed" };

	for (;;) {
		const uint8_t *chunk;
		size_t n;

		chunk_next(p, READER_HASH, &chunk, &n);
		if (n == 0)
			return NULL;
		if (EVP_DigestUpdate(p->hash, chunk, n) != 1) {
			end_set(p, &failed);
			stop(p);
			return NULL;
		}
	}
}

static int unpack_next(void *arg, const uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct pipe *p = arg;

	chunk_next(p, READER_UNPACK, ret, ret_len);
	if (*ret_len > 0)
		return 0;
	pthread_mutex_lock(&p->lock);
	*e = p->err.code ? p->err : *e;
	pthread_mutex_unlock(&p->lock);
	return -p->err.code; /* set before the end was */
}

/* ---- the whole ---- */

static EVP_MD_CTX *hash_new(void)
{
	EVP_MD_CTX *h = EVP_MD_CTX_new();

	if (h && EVP_DigestInit_ex(h, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(h);
		return NULL;
	}
	return h;
}

static int pipe_open(struct pipe *p, const struct layer_files *f, struct err *e)
{
	/* no configuration file: there may be none to be opened any more */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	*p = (struct pipe){ .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER };
	p->blob.fd = f->blob_fd;
	p->blob.count_fd = f->count_fd;
	p->blob.piece = malloc(BLOB_PIECE);
	p->blob.hash = hash_new();
	p->hash = hash_new();
	p->chunks = malloc(CHUNKS * CHUNK_SIZE);
	if (!p->blob.piece || !p->blob.hash || !p->hash || !p->chunks)
		return err_set(e, ENOMEM, "unpack");
	return 0;
}

static void pipe_close(struct pipe *p)
{
	free(p->blob.piece);
	free(p->chunks);
	EVP_MD_CTX_free(p->blob.hash);
	EVP_MD_CTX_free(p->hash);
}

static int threads_run(struct pipe *p, const struct layer_files *f, struct layer_result *ret,
		       struct err *e)
{
	struct byte_source src = { unpack_next, p };
	pthread_t decompressor, hasher;
	int r = pthread_create(&decompressor, NULL, decompress_main, p);

	if (r != 0)
		return err_set(e, r, "thread");
	r = pthread_create(&hasher, NULL, hash_main, p);
	if (r != 0) {
		stop(p);
		pthread_join(decompressor, NULL);
		return err_set(e, r, "thread");
	}
	r = unpack_tar(&src, f->data_fd, f->tree_fd, &ret->out, e);
	if (r < 0)
		stop(p);
	pthread_join(decompressor, NULL);
	pthread_join(hasher, NULL);
	if (r == 0 && p->err.code) {
		*e = p->err;
		return -e->code;
	}
	return r;
}

int layer_unpack(const struct layer_files *f, struct layer_result *ret, struct err *e)
{
	struct pipe p;
	int r = pipe_open(&p, f, e);

	if (r == 0)
		r = threads_run(&p, f, ret, e);
	if (r == 0 && (EVP_DigestFinal_ex(p.hash, ret->diff_id, NULL) != 1 ||
		       EVP_DigestFinal_ex(p.blob.hash, ret->blob_digest, NULL) != 1))
		r = err_plain(e, EIO, "sha256 failed");
	ret->blob_size = p.blob.at;
	pipe_close(&p);
	return r;
}
