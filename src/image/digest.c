/* SPDX-License-Identifier: MIT */
/* digest.c - see digest.h */
#include "digest.h"

#include <openssl/evp.h>
#include <string.h>

#include "fdio.h"

#define PREFIX     "sha256:"
#define PREFIX_LEN 7U
#define READ_SIZE  (256U << 10)

struct digest_stream {
	EVP_MD_CTX *ctx;
};

bool digest_is_valid(const char *text)
{
	return text && strncmp(text, PREFIX, PREFIX_LEN) == 0 &&
	       strspn(text + PREFIX_LEN, "0123456789abcdef") == DIGEST_HEX_LEN &&
	       text[PREFIX_LEN + DIGEST_HEX_LEN] == '\0';
}

int digest_check(const char *text, struct err *e)
{
	static const char *const known[] = { "sha512:", "sha384:", "blake3:" };

	if (digest_is_valid(text))
		return 0;
	for (size_t i = 0; text && i < ARRAY_SIZE(known); i++)
		if (strncmp(text, known[i], strlen(known[i])) == 0)
			return err_plain(e, EINVAL,
					 "digest \"%.160s\": %.6s is not supported, only sha256",
					 text, known[i]);
	return err_plain(e, EINVAL, "\"%.160s\" is not a valid digest", text ? text : "");
}

static int no_memory(struct err *e)
{
	return err_set(e, ENOMEM, "sha256");
}

int digest_stream_new(struct digest_stream **ret, struct err *e)
{
	struct digest_stream *d = calloc(1, sizeof(*d));

	if (d)
		d->ctx = EVP_MD_CTX_new();
	if (!d || !d->ctx || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1) {
		digest_stream_free(d);
		return no_memory(e);
	}
	*ret = d;
	return 0;
}

int digest_stream_add(struct digest_stream *d, const void *data, size_t len, struct err *e)
{
	return EVP_DigestUpdate(d->ctx, data, len) == 1 ? 0 : no_memory(e);
}

static void text_make(const unsigned char *raw, unsigned int len, char ret[DIGEST_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	char *p = ret + PREFIX_LEN;

	memcpy(ret, PREFIX, PREFIX_LEN);
	for (unsigned int i = 0; i < len && i < DIGEST_HEX_LEN / 2; i++) {
		*p++ = digits[raw[i] >> 4];
		*p++ = digits[raw[i] & 15];
	}
	*p = '\0';
}

int digest_stream_get(const struct digest_stream *d, char ret[DIGEST_SIZE], struct err *e)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	bool ok = copy && EVP_MD_CTX_copy_ex(copy, d->ctx) == 1 &&
		  EVP_DigestFinal_ex(copy, raw, &len) == 1;

	EVP_MD_CTX_free(copy);
	if (!ok)
		return no_memory(e);
	text_make(raw, len, ret);
	return 0;
}

void digest_stream_reset(struct digest_stream *d)
{
	/* the algorithm is loaded already: this cannot fail, and if it did the digest would be
	 * wrong */
	(void)!EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL);
}

void digest_stream_free(struct digest_stream *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

int digest_of(const void *data, size_t len, char ret[DIGEST_SIZE], struct err *e)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (EVP_Digest(data, len, raw, &n, EVP_sha256(), NULL) != 1)
		return no_memory(e);
	text_make(raw, n, ret);
	return 0;
}

static int file_hash(int fd, uint64_t len, struct digest_stream *d, char *buf, uint64_t *ret_len,
		     struct err *e)
{
	uint64_t at = 0;

	while (at < len) {
		ssize_t n =
			pread(fd, buf, (size_t)MIN_OF(len - at, (uint64_t)READ_SIZE), (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, errno, "read");
		if (n == 0)
			break;
		if (digest_stream_add(d, buf, (size_t)n, e) < 0)
			return -e->code;
		at += (uint64_t)n;
	}
	*ret_len = at;
	return 0;
}

int digest_of_file(int fd, uint64_t len, char ret[DIGEST_SIZE], uint64_t *ret_len, struct err *e)
{
	auto_free char *buf = malloc(READ_SIZE);
	struct digest_stream *d = NULL;
	uint64_t n = 0;
	int r;

	if (!buf)
		return no_memory(e);
	if (digest_stream_new(&d, e) < 0)
		return -e->code;
	r = file_hash(fd, len, d, buf, &n, e);
	if (r == 0)
		r = digest_stream_get(d, ret, e);
	digest_stream_free(d);
	if (r == 0 && ret_len)
		*ret_len = n;
	return r;
}
