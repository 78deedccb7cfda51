/* SPDX-License-Identifier: MIT */
/* fuzz_input.h - the fuzzer's bytes as a stream in pieces, as text, and as archives with right sums
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdint.h>
#include <string.h>

#include "byte_source.h"
#include "cleanup.h"

#define BLOCK 512U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What a header promises does not hold: the fuzzer keeps the input. */
#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			__builtin_trap();                                                          \
	} while (0)

struct pieces {
	const uint8_t *p;
	size_t len, piece;
};

static inline int pieces_next(void *arg, const uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct pieces *s = arg;

	(void)e;
	*ret = s->p;
	*ret_len = MIN_OF(s->len, s->piece);
	s->p += *ret_len;
	s->len -= *ret_len;
	return 0;
}

static inline size_t piece_of(uint8_t b)
{
	static const size_t sizes[] = { 1 << 20, 1, 7, 511, 512, 513, 4096, 10240 };

	return sizes[b % ARRAY_SIZE(sizes)];
}

/*
 * A sum in each block that looks like a header, so that it does not keep the fuzzer out. Blocks of
 * contents that look so are changed too, which does no harm.
 */
static inline void tar_sums_set(uint8_t *data, size_t len)
{
	for (; len >= BLOCK; data += BLOCK, len -= BLOCK) {
		unsigned int sum = 8 * ' ';
		char text[9];

		if (memcmp(data + 257, "ustar", 5) != 0)
			continue;
		for (size_t i = 0; i < BLOCK; i++)
			sum += i >= 148 && i < 156 ? 0 : data[i];
		snprintf(text, sizeof(text), "%06o", sum);
		memcpy(data + 148, text, 7);
		data[155] = ' ';
	}
}

static inline void *copy_of(const void *data, size_t len)
{
	char *p = malloc(len + 1);

	MUST(p);
	memcpy(p, data, len);
	p[len] = '\0';
	return p;
}

#endif
