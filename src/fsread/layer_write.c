/* SPDX-License-Identifier: MIT */
/*
 * layer_write.c - gzip by ISA-L, digests by OpenSSL
 *
 * The fastest level: what a registry stores is compressed once and read many times, but here
 * somebody waits.
 */
#include "layer_write.h"

#include <isa-l.h>
#include <openssl/evp.h>

#include "fdio.h"

#define OUT_SIZE (256U << 10)
#define IN_MAX   (1U << 30) /* counts of the library are 32 bits */

struct layer_writer {
	int fd;
	uint64_t size;
	EVP_MD_CTX *plain, *packed;
	struct isal_zstream z;
	uint8_t level[ISAL_DEF_LVL1_DEFAULT];
	uint8_t out[OUT_SIZE];
};

static EVP_MD_CTX *hash_new(void)
{
	EVP_MD_CTX *h = EVP_MD_CTX_new();

	if (h && EVP_DigestInit_ex(h, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(h);
		h = NULL;
	}
	return h;
}

void layer_writer_free(struct layer_writer *w)
{
	if (!w)
		return;
	EVP_MD_CTX_free(w->plain);
	EVP_MD_CTX_free(w->packed);
	free(w);
}

int layer_writer_new(int fd, struct layer_writer **ret, struct err *e)
{
	struct layer_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(e, ENOMEM, "layer");
	w->fd = fd;
	w->plain = hash_new();
	w->packed = hash_new();
	if (!w->plain || !w->packed) {
		layer_writer_free(w);
		return err_set(e, ENOMEM, "layer");
	}
	isal_deflate_init(&w->z);
	w->z.gzip_flag = IGZIP_GZIP;
	w->z.level = 1;
	w->z.level_buf = w->level;
	w->z.level_buf_size = sizeof(w->level);
	*ret = w;
	return 0;
}

/* Compress what is in next_in, and write what comes out. */
static int deflate_run(struct layer_writer *w, struct err *e)
{
	size_t n;
	int rc;

	do {
		w->z.next_out = w->out;
		w->z.avail_out = sizeof(w->out);
		if (isal_deflate(&w->z) != COMP_OK)
			return err_plain(e, EIO, "compress a layer");
		n = sizeof(w->out) - w->z.avail_out;
		rc = fd_write_full(w->fd, w->out, n);
		if (rc < 0)
			return err_set(e, -rc, "write a layer");
		if (EVP_DigestUpdate(w->packed, w->out, n) != 1)
			return err_plain(e, EIO, "digest of a layer");
		w->size += n;
	} while (w->z.avail_out == 0);
	return 0;
}

int layer_writer_add(struct layer_writer *w, const void *data, size_t len, struct err *e)
{
	const uint8_t *p = data;

	while (len > 0) {
		const size_t n = MIN_OF(len, (size_t)IN_MAX);

		if (EVP_DigestUpdate(w->plain, p, n) != 1)
			return err_plain(e, EIO, "digest of a layer");
		w->z.next_in = (uint8_t *)(uintptr_t)p; /* only read */
		w->z.avail_in = (uint32_t)n;
		if (deflate_run(w, e) < 0)
			return -e->code;
		p += n;
		len -= n;
	}
	return 0;
}

static int hash_text(EVP_MD_CTX *h, char ret[LAYER_WRITE_DIGEST], struct err *e)
{
	uint8_t raw[EVP_MAX_MD_SIZE];
	unsigned int len;
	int n;

	if (EVP_DigestFinal_ex(h, raw, &len) != 1)
		return err_plain(e, EIO, "digest of a layer");
	n = snprintf(ret, LAYER_WRITE_DIGEST, "sha256:");
	for (unsigned int i = 0; i < len; i++, n += 2)
		snprintf(ret + n, LAYER_WRITE_DIGEST - (size_t)n, "%02x", raw[i]);
	return 0;
}

int layer_writer_finish(struct layer_writer *w, struct layer_written *ret, struct err *e)
{
	w->z.end_of_stream = 1;
	w->z.next_in = NULL;
	w->z.avail_in = 0;
	if (deflate_run(w, e) < 0 || hash_text(w->plain, ret->diff_id, e) < 0 ||
	    hash_text(w->packed, ret->blob, e) < 0)
		return -e->code;
	ret->size = w->size;
	return 0;
}
