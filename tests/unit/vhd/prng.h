/* SPDX-License-Identifier: MIT */
/* prng.h - numbers that a seed decides, the same on every machine (splitmix64) */
#ifndef PRNG_H
#define PRNG_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t prng_next(uint64_t *seed)
{
	uint64_t z = (*seed += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* n > 0; the slight bias does not matter here. */
static inline uint64_t prng_below(uint64_t *seed, uint64_t n)
{
	return prng_next(seed) % n;
}

static inline void prng_fill(uint64_t *seed, void *buf, size_t len)
{
	uint8_t *p = buf;

	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v = prng_next(seed);

		memcpy(p, &v, 8);
	}
	for (; len > 0; len--)
		*p++ = (uint8_t)prng_next(seed);
}

#endif
