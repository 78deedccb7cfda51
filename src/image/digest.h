/* SPDX-License-Identifier: MIT */
/*
 * digest.h - names of contents: "sha256:" and 64 lower-case hex digits
 *
 * Nothing else may become a file name or be asked of a registry. Source: OCI image spec,
 * descriptor.md "Digests"; of the algorithms there, sha256 is the one that images are made with.
 */
#ifndef DIGEST_H
#define DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define DIGEST_SIZE    80U /* of the text, with room to spare, as everywhere in the store */
#define DIGEST_HEX_LEN 64U

bool digest_is_valid(const char *text);
/* -EINVAL names the text; sha512 and other known algorithms are said to be unsupported. */
must_check int digest_check(const char *text, struct err *e);
static inline const char *digest_hex(const char *valid)
{
	return valid + 7;
}

/* Of bytes in memory. */
must_check int digest_of(const void *data, size_t len, char ret[DIGEST_SIZE], struct err *e);
/* Of the first `len` bytes of a file; UINT64_MAX: all of it. ret_len (may be NULL): how many there
 * were. */
must_check int digest_of_file(int fd, uint64_t len, char ret[DIGEST_SIZE], uint64_t *ret_len,
			      struct err *e);

/* A stream's. */
struct digest_stream;
must_check int digest_stream_new(struct digest_stream **ret, struct err *e);
must_check int digest_stream_add(struct digest_stream *d, const void *data, size_t len,
				 struct err *e);
/* The digest so far; the stream may go on. */
must_check int digest_stream_get(const struct digest_stream *d, char ret[DIGEST_SIZE],
				 struct err *e);
void digest_stream_reset(struct digest_stream *d); /* to the empty stream */
void digest_stream_free(struct digest_stream *d);  /* NULL is fine */

#endif
