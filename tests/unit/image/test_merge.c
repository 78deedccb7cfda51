/* SPDX-License-Identifier: MIT */
/* test_merge.c - the metadata's bytes and the disk's layout, read back by hand */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "bytes.h"
#include "fdio.h"
#include "merge.h"
#include "tree_fixture.h"

#define BLOCK 4096U
#define MIB   (1ULL << 20)
#define ROOT  1152U /* byte of the root inode */

static const uint8_t uuid[16] = "fedcba9876543210";

struct merged {
	struct merge_result r;
	struct buf meta;
};

static int merge(const struct buf *layers, uint32_t n, struct merged *m, struct err *e)
{
	auto_free struct merge_layer *l = calloc(n + 1, sizeof(*l));
	auto_fd fd = memfd_create("meta", MFD_CLOEXEC);
	int r;

	for (uint32_t k = 0; k < n; k++)
		l[k] = (struct merge_layer){ layers[k].data, layers[k].len };
	buf_clear(&m->meta);
	r = merge_layers(l, n, uuid, fd, &m->r, e);
	if (r == 0) {
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(fd_read_all(fd, &m->meta), 0);
		assert_int_equal(m->meta.len, m->r.meta_len);
	}
	return r;
}

static int merge_text(const char *text, struct merged *m, struct err *e)
{
	auto_buf b = { 0 };

	fixture_layer(text, &b);
	return merge(&b, 1, m, e);
}

static int merge_record(const struct ltree_record *r, size_t n, uint64_t data_len, struct merged *m,
			struct err *e)
{
	auto_buf b = { 0 };

	fixture_records(r, n, data_len, &b);
	return merge(&b, 1, m, e);
}

static const uint8_t *meta_at(const struct merged *m, uint64_t off)
{
	assert_true(off < m->meta.len);
	return (const uint8_t *)m->meta.data + off;
}

/* The inode that the root directory (which must be inline) names so; NULL when none. */
static const uint8_t *inode_find(const struct merged *m, const char *name)
{
	const uint8_t *root = meta_at(m, ROOT), *d;
	bool extended = root[0] & 1;
	uint32_t size = get_le32(root + 8), n, from, to;

	assert_int_equal(get_le16(root + 2), 0);
	assert_int_equal(root[0] >> 1, 2);
	d = root + (extended ? 64 : 32);
	n = get_le16(d + 8) / 12;
	for (uint32_t k = 0; k < n; k++) {
		from = get_le16(d + k * 12 + 8);
		to = k + 1 < n ? get_le16(d + (k + 1) * 12 + 8) : size;
		if (to - from == strlen(name) && memcmp(d + from, name, to - from) == 0)
			return meta_at(m, get_le64(d + k * 12) * 32);
	}
	return NULL;
}

static void test_layout(void **state)
{
	static const struct {
		uint64_t data[4]; /* bytes of each layer's data */
		uint32_t n;
		uint64_t at[5]; /* where the parts after the first are; the metadata last */
	} rows[] = {
		{ { 0 }, 0, { BLOCK } },
		{ { 0 }, 1, { BLOCK } },
		{ { BLOCK }, 1, { 2 * MIB, 2 * MIB + BLOCK } },
		{ { 2 * MIB, BLOCK }, 2, { 2 * MIB, 4 * MIB, 4 * MIB + BLOCK } },
		{ { 2 * MIB + BLOCK, 0, BLOCK }, 3, { 2 * MIB, 6 * MIB, 6 * MIB + BLOCK } },
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		struct buf layers[4] = { { 0 } };
		struct merged m = { 0 };
		struct err e = { 0 };
		uint32_t part = 1;

		for (uint32_t l = 0; l < rows[k].n; l++)
			fixture_records(NULL, 0, rows[k].data[l], &layers[l]);
		assert_int_equal(merge(layers, rows[k].n, &m, &e), 0);
		assert_int_equal(m.r.parts[0].kind, MERGE_PART_META_HEAD);
		assert_true(m.r.parts[0].disk_off == 0 && m.r.parts[0].len == BLOCK);
		for (uint32_t l = 0; l < rows[k].n; l++) {
			if (rows[k].data[l] == 0)
				continue;
			assert_int_equal(m.r.parts[part].kind, MERGE_PART_LAYER);
			assert_int_equal(m.r.parts[part].layer, l);
			assert_true(m.r.parts[part].len == rows[k].data[l]);
			assert_true(m.r.parts[part].disk_off == rows[k].at[part - 1]);
			part++;
		}
		assert_int_equal(m.r.n_parts, part + 1);
		assert_int_equal(m.r.parts[part].kind, MERGE_PART_META);
		assert_true(m.r.parts[part].disk_off == rows[k].at[part - 1]);
		assert_true(m.r.disk_len == rows[k].at[part - 1] + m.r.meta_len);
		assert_int_equal(m.r.n_inodes, 1);
		for (uint32_t l = 0; l < 4; l++)
			buf_done(&layers[l]);
		buf_done(&m.meta);
	}
}

static uint32_t crc32c(const uint8_t *p, size_t len)
{
	uint32_t crc = ~0U;

	while (len-- > 0) {
		crc ^= *p++;
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
	}
	return crc;
}

static void test_superblock(void **state)
{
	struct merged m = { 0 };
	struct err e = { 0 };
	uint8_t block[BLOCK];

	(void)state;
	assert_int_equal(merge_text("f:a=1 d:b h:c=a", &m, &e), 0);
	memcpy(block, m.meta.data, BLOCK);
	assert_int_equal(get_le32(block + 1024), 0xe0f5e1e2U);
	assert_int_equal(block[1024 + 12], 12);
	assert_int_equal(get_le16(block + 1024 + 14), 36);
	assert_int_equal(get_le64(block + 1024 + 16), 3);
	assert_int_equal(get_le32(block + 1024 + 36), m.r.disk_len / BLOCK);
	assert_int_equal(get_le32(block + 1024 + 40), (m.r.disk_len - m.r.meta_len) / BLOCK);
	assert_memory_equal(block + 1024 + 48, uuid, 16);
	assert_int_equal(get_le32(block + 1024 + 80), 0);
	put_le32(block + 1024 + 4, 0);
	assert_int_equal(get_le32((uint8_t *)m.meta.data + 1028), crc32c(block + 1024, 3072));
	buf_done(&m.meta);
}

static void test_same_tree_same_bytes(void **state)
{
	struct merged a = { 0 }, b = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(merge_text("f:a=1 d:b f:b/x=2 l:c=t p:z", &a, &e), 0);
	assert_int_equal(merge_text("p:z l:c=t d:b f:b/x=2 f:a=9 f:a=1", &b, &e), 0);
	assert_int_equal(a.meta.len, b.meta.len);
	assert_memory_equal(a.meta.data, b.meta.data, a.meta.len);
	buf_done(&a.meta);
	buf_done(&b.meta);
}

static void test_link_counts(void **state)
{
	struct merged m = { 0 };
	struct err e = { 0 };
	auto_buf lower = { 0 }, upper = { 0 };
	struct buf layers[2];

	(void)state;
	fixture_layer("f:a=1 h:b=a h:d/c=a d:e/f d:e/g f:e/h=2", &lower);
	fixture_layer("w:d", &upper);
	layers[0] = lower;
	layers[1] = upper;
	assert_int_equal(merge(layers, 2, &m, &e), 0);
	assert_int_equal(get_le16(inode_find(&m, "a") + 6), 2);
	assert_ptr_equal(inode_find(&m, "a"), inode_find(&m, "b"));
	assert_int_equal(get_le16(inode_find(&m, "e") + 6), 4);
	assert_int_equal(get_le16(meta_at(&m, ROOT) + 6), 3);
	assert_null(inode_find(&m, "d"));
	assert_int_equal(m.r.n_inodes, 6);
	buf_done(&m.meta);
}

static void test_overlay_device_is_left_out(void **state)
{
	struct merged m = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(merge_text("c:a=0,0 c:b=0,1 f:c=1", &m, &e), 0);
	assert_null(inode_find(&m, "a"));
	assert_non_null(inode_find(&m, "b"));
	assert_int_equal(m.r.n_inodes, 3);
	buf_done(&m.meta);
}

static void test_inode_forms(void **state)
{
	static const struct {
		struct ltree_record r;
		bool extended;
	} rows[] = {
		{ { .mtime_sec = 7 }, false },
		{ { .mtime_sec = 8 }, true },
		{ { .mtime_sec = -7 }, true },
		{ { .mtime_sec = 7, .mtime_nsec = 1 }, true },
		{ { .mtime_sec = 7, .uid = 65535 }, false },
		{ { .mtime_sec = 7, .uid = 65536 }, true },
		{ { .mtime_sec = 7, .gid = 4294967294U }, true },
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		struct ltree_record r[4];
		struct merged m = { 0 };
		struct err e = { 0 };
		const uint8_t *i;

		for (unsigned n = 0; n < 4; n++) /* the time that most have */
			r[n] = (struct ltree_record){ .kind = LTREE_FIFO,
						      .path = (const char *[]){ "a", "b", "c",
										"d" }[n],
						      .mtime_sec = 7 };
		r[0] = rows[k].r;
		r[0].kind = LTREE_FIFO;
		r[0].path = "a";
		assert_int_equal(merge_record(r, 4, 0, &m, &e), 0);
		i = inode_find(&m, "a");
		assert_int_equal(i[0] & 1, rows[k].extended);
		if (rows[k].extended) {
			assert_true((int64_t)get_le64(i + 32) == rows[k].r.mtime_sec);
			assert_int_equal(get_le32(i + 40), rows[k].r.mtime_nsec);
			assert_int_equal(get_le32(i + 24), rows[k].r.uid);
			assert_int_equal(get_le32(i + 28), rows[k].r.gid);
		}
		buf_done(&m.meta);
	}
}

#define HOLE 0xffffffffU

static void test_file_data(void **state)
{
	/* The layer's data begins at block 512. */
	static const struct {
		uint64_t size;
		struct ltree_extent x[3];
		uint32_t n;
		unsigned layout, bits;
		uint32_t map[4]; /* PLAIN: the address */
		unsigned n_map;
	} rows[] = {
		{ 1, { { 0, 8192, 1 } }, 1, 0, 0, { 514 }, 1 },
		{ 8193, { { 0, 4096, 8193 } }, 1, 0, 0, { 513 }, 1 },
		{ 8192, { { 0, 4096, 4096 }, { 4096, 8192, 4096 } }, 2, 0, 0, { 513 }, 1 },
		{ 8192, { { 0, 8192, 4096 }, { 4096, 4096, 4096 } }, 2, 4, 0, { 514, 513 }, 2 },
		{ 12288, { { 4096, 0, 4096 } }, 1, 4, 0, { HOLE, 512, HOLE }, 3 },
		{ 16384, { { 8192, 0, 8192 } }, 1, 4, 1, { HOLE, 512 }, 2 },
		{ 10000, { { 8192, 0, 1808 } }, 1, 4, 1, { HOLE, 512 }, 2 },
		{ 10000, { { 0, 0, 5000 } }, 1, 4, 1, { 512, HOLE }, 2 },
		{ 8ULL << 20, { { 0, 0, 0 } }, 0, 4, 18, { HOLE }, 1 },
		{ 3ULL << 30, { { 0, 0, 0 } }, 0, 4, 18, { HOLE, HOLE, HOLE }, 3 },
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		struct ltree_record r = { .kind = LTREE_REG,
					  .path = "a",
					  .size = rows[k].size,
					  .extents = rows[k].x,
					  .n_extents = rows[k].n };
		struct merged m = { 0 };
		struct err e = { 0 };
		const uint8_t *i, *map;

		if (merge_record(&r, 1, 16384, &m, &e) < 0)
			fail_msg("row %zu: %s", k, e.msg);
		i = inode_find(&m, "a");
		assert_int_equal(i[0] >> 1, rows[k].layout);
		assert_int_equal(get_le32(meta_at(&m, 1024 + 80)), rows[k].layout);
		map = rows[k].layout ? i + (i[0] & 1 ? 64 : 32) : i + 16;
		if (rows[k].layout && get_le32(i + 16) != rows[k].bits)
			fail_msg("row %zu: chunk bits %u", k, get_le32(i + 16));
		for (unsigned c = 0; c < rows[k].n_map; c++)
			if (get_le32(map + c * 4) != rows[k].map[c])
				fail_msg("row %zu: chunk %u at %u", k, c, get_le32(map + c * 4));
		buf_done(&m.meta);
	}
}

/* Extents outside the data never get this far: test_ltree.c. */
static void test_data_refused(void **state)
{
	static const struct {
		uint64_t size;
		struct ltree_extent x[2];
		uint32_t n;
		const char *word;
	} rows[] = {
		{ 1ULL << 46, { { 4096, 0, 4096 } }, 1, "map" },
		{ 1ULL << 62, { { 0, 0, 0 } }, 0, "map" },
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		struct ltree_record r = { .kind = LTREE_REG,
					  .path = "dir/name",
					  .size = rows[k].size,
					  .extents = rows[k].x,
					  .n_extents = rows[k].n };
		struct merged m = { 0 };
		struct err e = { 0 };

		if (merge_record(&r, 1, 16384, &m, &e) == 0)
			fail_msg("row %zu was taken", k);
		if (!strstr(e.msg, rows[k].word) || !strstr(e.msg, "dir/name"))
			fail_msg("row %zu: %s", k, e.msg);
		buf_done(&m.meta);
	}
}

static void test_xattr_limits(void **state)
{
	auto_free char *value = calloc(1, LTREE_XATTR_VALUE_MAX);
	struct ltree_xattr x[5] = {
		{ "user.a", value, LTREE_XATTR_VALUE_MAX },
		{ "user.b", value, LTREE_XATTR_VALUE_MAX },
		{ "user.c", value, LTREE_XATTR_VALUE_MAX },
		{ "user.d", value, 65000 },
		{ "user.e", value, LTREE_XATTR_VALUE_MAX },
	};
	struct ltree_record r[2] = {
		{ .kind = LTREE_REG, .path = "one", .xattrs = x, .n_xattrs = 4 },
		{ .kind = LTREE_REG, .path = "two", .xattrs = x, .n_xattrs = 5 },
	};
	struct merged m = { 0 };
	struct err e = { 0 };
	const uint8_t *i, *body;

	(void)state;
	assert_int_equal(merge_record(r, 1, 0, &m, &e), 0);
	assert_int_equal(merge_record(r + 1, 1, 0, &m, &e), -EFBIG);
	assert_non_null(strstr(e.msg, "two"));

	/* What two inodes have is there once. */
	assert_int_equal(merge_record(r, 2, 0, &m, &e), 0);
	i = inode_find(&m, "two");
	body = i + (i[0] & 1 ? 64 : 32);
	assert_int_equal(body[4], 4);
	assert_true(m.meta.len < 8U * 65536);
	buf_done(&m.meta);
}

static void test_too_large(void **state)
{
	struct buf layers[2] = { { 0 } };
	struct merge_layer l = { 0 };
	struct merged m = { 0 };
	struct err e = { 0 };

	(void)state;
	fixture_records(NULL, 0, 9ULL << 40, &layers[0]);
	fixture_records(NULL, 0, 9ULL << 40, &layers[1]);
	assert_int_equal(merge(layers, 1, &m, &e), 0);
	assert_int_equal(merge(layers, 2, &m, &e), -EFBIG);
	assert_non_null(strstr(e.msg, "layer 2"));
	assert_int_equal(merge_layers(&l, MERGE_LAYERS_MAX + 1, uuid, -1, &m.r, &e), -EINVAL);
	buf_done(&layers[0]);
	buf_done(&layers[1]);
	buf_done(&m.meta);
}

static void test_error_names_layer_and_path(void **state)
{
	auto_buf good = { 0 }, bad = { 0 };
	struct buf layers[2];
	struct merged m = { 0 };
	struct err e = { 0 };

	(void)state;
	fixture_layer("f:a=1", &good);
	fixture_layer("f:a/b=1", &bad);
	layers[0] = good;
	layers[1] = bad;
	assert_int_equal(merge(layers, 2, &m, &e), -ENOTDIR);
	assert_non_null(strstr(e.msg, "layer 2"));
	assert_non_null(strstr(e.msg, "\"a/b\""));
}

/* Names, sizes and block borders of a directory of many blocks: every name is found where a binary
 * search over blocks would look. */
static void test_large_directory(void **state)
{
	struct merged m = { 0 };
	struct err e = { 0 };
	auto_buf text = { .max = 8U << 20 };
	const uint8_t *root, *b;
	char last[256] = "", name[256];
	uint32_t seen = 0, size, from, to, n;

	(void)state;
	for (unsigned k = 0; k < 3000; k++)
		assert_int_equal(buf_addf(&text, "p:%0*u ", 1 + (int)(k % 250), k * 7919 % 3000),
				 0);
	assert_int_equal(merge_text(text.data, &m, &e), 0);
	root = meta_at(&m, ROOT);
	size = get_le32(root + 8);
	b = meta_at(&m, (get_le32(root + 16) - get_le32(meta_at(&m, 1024 + 40))) * (uint64_t)BLOCK);
	for (uint32_t at = 0; at < size; at += BLOCK, b += BLOCK) {
		if (size - at < BLOCK && root[0] >> 1 == 2)
			b = root + (root[0] & 1 ? 64 : 32);
		n = get_le16(b + 8) / 12;
		for (uint32_t k = 0; k < n; k++) {
			from = get_le16(b + k * 12 + 8);
			to = k + 1 < n ? get_le16(b + (k + 1) * 12 + 8) : MIN_OF(BLOCK, size - at);
			snprintf(name, sizeof(name), "%.*s", (int)(to - from), b + from);
			assert_true(strcmp(last, name) < 0);
			memcpy(last, name, sizeof(last));
			seen++;
		}
	}
	assert_int_equal(seen, 3002);
	buf_done(&m.meta);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_superblock),
		cmocka_unit_test(test_same_tree_same_bytes),
		cmocka_unit_test(test_link_counts),
		cmocka_unit_test(test_overlay_device_is_left_out),
		cmocka_unit_test(test_inode_forms),
		cmocka_unit_test(test_file_data),
		cmocka_unit_test(test_data_refused),
		cmocka_unit_test(test_xattr_limits),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_error_names_layer_and_path),
		cmocka_unit_test(test_large_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
