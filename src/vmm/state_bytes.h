/* SPDX-License-Identifier: MIT */
/*
 * state_bytes.h - the bytes of a saved part of a machine
 *
 * Little-endian, without padding. A writer or reader that has failed once stays failed, and gives
 * zeros: who uses it looks at `has_failed` at the end only, and checks each value before use.
 */
#ifndef STATE_BYTES_H
#define STATE_BYTES_H

#include <stdbool.h>

#include "buf.h"
#include "bytes.h"

struct state_out {
	struct buf *b; /* borrowed */
	bool has_failed;
};

struct state_in {
	const uint8_t *p;
	size_t left;
	bool has_failed;
};

static inline void state_put(struct state_out *s, const void *data, size_t len)
{
	if (buf_add(s->b, data, len) < 0)
		s->has_failed = true;
}

static inline void state_put_u8(struct state_out *s, uint8_t v)
{
	state_put(s, &v, 1);
}

static inline void state_put_u16(struct state_out *s, uint16_t v)
{
	uint8_t raw[2];

	put_le16(raw, v);
	state_put(s, raw, sizeof(raw));
}

static inline void state_put_u32(struct state_out *s, uint32_t v)
{
	uint8_t raw[4];

	put_le32(raw, v);
	state_put(s, raw, sizeof(raw));
}

static inline void state_put_u64(struct state_out *s, uint64_t v)
{
	uint8_t raw[8];

	put_le64(raw, v);
	state_put(s, raw, sizeof(raw));
}

/* Exactly `len` bytes; zeros when they are not there. */
static inline void state_get(struct state_in *s, void *data, size_t len)
{
	if (len > s->left || s->has_failed) {
		s->has_failed = true;
		memset(data, 0, len);
		return;
	}
	memcpy(data, s->p, len);
	s->p += len;
	s->left -= len;
}

static inline uint8_t state_get_u8(struct state_in *s)
{
	uint8_t v;

	state_get(s, &v, 1);
	return v;
}

static inline uint16_t state_get_u16(struct state_in *s)
{
	uint8_t raw[2];

	state_get(s, raw, sizeof(raw));
	return get_le16(raw);
}

static inline uint32_t state_get_u32(struct state_in *s)
{
	uint8_t raw[4];

	state_get(s, raw, sizeof(raw));
	return get_le32(raw);
}

static inline uint64_t state_get_u64(struct state_in *s)
{
	uint8_t raw[8];

	state_get(s, raw, sizeof(raw));
	return get_le64(raw);
}

#endif
