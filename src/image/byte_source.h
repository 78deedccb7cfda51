/* SPDX-License-Identifier: MIT */
/* byte_source.h - where a streaming reader takes its bytes from, piece by piece */
#ifndef BYTE_SOURCE_H
#define BYTE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct byte_source {
	/* The next piece, valid until the next call; *ret_len 0 is the end, then and ever after. */
	int (*next)(void *arg, const uint8_t **ret, size_t *ret_len, struct err *e);
	void *arg;
};

#endif
