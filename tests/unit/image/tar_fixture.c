/* SPDX-License-Identifier: MIT */
/* tar_fixture.c - archives made in memory */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tar_fixture.h"

static void field(uint8_t *h, size_t off, const char *text, const char *otherwise)
{
	memcpy(h + off, text ? text : otherwise, strlen(text ? text : otherwise));
}

void tar_sum(struct buf *b, size_t off)
{
	uint8_t *h = (uint8_t *)b->data + off;
	char text[8];
	unsigned int sum = 0;

	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += h[i];
	snprintf(text, sizeof(text), "%06o", sum);
	memcpy(h + 148, text, 7);
}

static void pad(struct buf *b)
{
	static const char zeros[512];

	assert_int_equal(buf_add(b, zeros, -b->len % 512), 0);
}

void tar_put(struct buf *b, const struct tar_spec *s)
{
	uint8_t h[512] = { 0 };
	char size[16];
	size_t at = b->len;

	snprintf(size, sizeof(size), "%011zo", s->len);
	field(h, 0, s->name, "");
	field(h, 100, s->mode, "0000644");
	field(h, 108, s->uid, "0000000");
	field(h, 116, NULL, "0000000");
	field(h, 124, s->size, size);
	field(h, 136, s->mtime, "00000000000");
	h[156] = s->type ? (uint8_t)s->type : '0';
	field(h, 157, s->link, "");
	memcpy(h + 257, "ustar\00000", 8);
	field(h, 329, s->major, "0000000");
	field(h, 337, s->minor, "0000000");
	assert_int_equal(buf_add(b, h, sizeof(h)), 0);
	tar_sum(b, at);
	if (s->is_sum_wrong)
		b->data[at + 148] ^= 1;
	if (s->is_data_missing)
		return;
	assert_int_equal(buf_add(b, s->data, s->len), 0);
	pad(b);
}

static void record_add(struct buf *b, const char *key, const void *value, size_t len)
{
	size_t n = strlen(key) + len + 3, total = n + 1;

	while ((size_t)snprintf(NULL, 0, "%zu", total) + n != total)
		total++;
	assert_int_equal(buf_addf(b, "%zu %s=", total, key), 0);
	assert_int_equal(buf_add(b, value, len), 0);
	assert_int_equal(buf_add(b, "\n", 1), 0);
}

void tar_put_pax_bytes(struct buf *b, char type, const char *key, const void *value, size_t len)
{
	auto_buf r = { 0 };

	record_add(&r, key, value, len);
	tar_put(b, &(struct tar_spec){ .type = type, .name = "pax", .data = r.data, .len = r.len });
}

void tar_put_pax(struct buf *b, char type, const char *const *pairs)
{
	auto_buf r = { 0 };

	for (; *pairs; pairs += 2)
		record_add(&r, pairs[0], pairs[1], strlen(pairs[1]));
	tar_put(b, &(struct tar_spec){ .type = type, .name = "pax", .data = r.data, .len = r.len });
}

void tar_put_end(struct buf *b)
{
	static const char zeros[1024];

	assert_int_equal(buf_add(b, zeros, sizeof(zeros)), 0);
}

int mem_source_next(void *arg, const uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct mem_source *m = arg;

	(void)e;
	*ret = m->p;
	*ret_len = MIN_OF(m->len, m->piece);
	m->p += *ret_len;
	m->len -= *ret_len;
	return 0;
}

struct byte_source mem_source_of(struct mem_source *m, const struct buf *b, size_t piece)
{
	*m = (struct mem_source){ (const uint8_t *)b->data, b->len, piece };
	return (struct byte_source){ mem_source_next, m };
}
