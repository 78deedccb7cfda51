/* SPDX-License-Identifier: MIT */
/* test_ltree.c - the file of a layer's records: written, read, damaged */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include "bytes.h"
#include "fdio.h"
#include "ltree.h"
#include "tree_fixture.h"

#define HEADER  16U
#define TRAILER 32U

/* The checksum made right again, so that it does not hide what is tested. */
static void seal(struct buf *b)
{
	put_le32(b->data + b->len - 4, (uint32_t)crc32_z(0, (uint8_t *)b->data, b->len - 4));
}

static int read_all(const struct buf *b, uint64_t *ret_n, struct err *e)
{
	struct ltree_reader *r;
	struct ltree_record x;
	int rc;

	*ret_n = 0;
	if (ltree_reader_new(b->data, b->len, &r, e) < 0)
		return -e->code;
	while ((rc = ltree_reader_next(r, &x, e)) > 0)
		++*ret_n;
	ltree_reader_free(r);
	return rc;
}

static void round_trip(void **state)
{
	const struct ltree_extent x[2] = { { 0, 8192, 4096 }, { 8192, 0, 100 } };
	const struct ltree_xattr a[2] = { { "user.a", "v\0w", 3 }, { "user.empty", "", 0 } };
	const struct ltree_record in[] = {
		{ .kind = LTREE_DIR, .path = "", .mode = 0755, .uid = 1, .mtime_sec = -5 },
		{ .kind = LTREE_REG,
		  .path = "d/f",
		  .mode = 06644,
		  .gid = 7,
		  .mtime_nsec = 999999999,
		  .size = 8292,
		  .extents = x,
		  .n_extents = 2,
		  .xattrs = a,
		  .n_xattrs = 2 },
		{ .kind = LTREE_SYMLINK, .path = "l", .link = "/any/../thing", .mode = 0777 },
		{ .kind = LTREE_CHR, .path = "c", .major = 5, .minor = 1 },
		{ .kind = LTREE_HARDLINK, .path = "h", .link = "d/f" },
		{ .kind = LTREE_WHITEOUT, .path = "gone" },
		{ .kind = LTREE_OPAQUE, .path = "" },
	};
	auto_buf b = { 0 };
	struct ltree_reader *r;
	struct ltree_record got;
	struct err e = { 0 };

	(void)state;
	fixture_records(in, ARRAY_SIZE(in), 16384, &b);
	assert_int_equal(ltree_reader_new(b.data, b.len, &r, &e), 0);
	assert_int_equal(ltree_reader_n_records(r), ARRAY_SIZE(in));
	assert_int_equal(ltree_reader_data_len(r), 16384);
	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < ARRAY_SIZE(in); i++) {
			assert_int_equal(ltree_reader_next(r, &got, &e), 1);
			assert_int_equal(got.kind, in[i].kind);
			assert_string_equal(got.path, in[i].path);
			assert_string_equal(got.link, in[i].link ? in[i].link : "");
			assert_int_equal(got.mode, in[i].mode);
			assert_int_equal(got.uid, in[i].uid);
			assert_int_equal(got.gid, in[i].gid);
			assert_true(got.mtime_sec == in[i].mtime_sec);
			assert_int_equal(got.mtime_nsec, in[i].mtime_nsec);
			assert_int_equal(got.major, in[i].major);
			assert_int_equal(got.size, in[i].size);
			assert_int_equal(got.n_extents, in[i].n_extents);
			assert_int_equal(got.n_xattrs, in[i].n_xattrs);
			if (i == 1) {
				assert_memory_equal(got.extents, x, sizeof(x));
				assert_string_equal(got.xattrs[0].name, "user.a");
				assert_memory_equal(got.xattrs[0].value, "v\0w", 3);
				assert_int_equal(got.xattrs[1].value_len, 0);
			}
		}
		assert_int_equal(ltree_reader_next(r, &got, &e), 0);
		assert_int_equal(ltree_reader_next(r, &got, &e), 0);
		ltree_reader_rewind(r);
	}
	ltree_reader_free(r);
	ltree_reader_free(NULL);
}

static char long_name[300], deep[2 * (LTREE_DEPTH_MAX + 2)];

static void writer_refuses(void **state)
{
	static char long_link[LTREE_LINK_MAX + 2];
	static const struct ltree_extent backwards[] = { { 8192, 0, 4096 }, { 0, 4096, 4096 } },
					 overlap[] = { { 0, 0, 8192 }, { 4096, 8192, 4096 } },
					 outside[] = { { 0, 0, 8192 } }, empty[] = { { 0, 0, 0 } },
					 odd[] = { { 1, 0, 10 } }, odd_data[] = { { 0, 1, 10 } },
					 half[] = { { 0, 0, 100 }, { 4096, 4096, 100 } },
					 far[] = { { 0, UINT64_MAX - 4095, 4096 } };
	static const struct ltree_xattr noname[] = { { "", "", 0 } },
					longname[] = { { long_name, "", 0 } },
					big[] = { { "user.a", long_link,
						    LTREE_XATTR_VALUE_MAX + 1 } };
#define EXT(x) .extents = x, .n_extents = ARRAY_SIZE(x)
	const struct ltree_record t[] = {
		{ .kind = LTREE_KIND_COUNT_, .path = "a" },
		{ .kind = LTREE_REG, .path = "" },
		{ .kind = LTREE_WHITEOUT, .path = "" },
		{ .kind = LTREE_REG, .path = "/a" },
		{ .kind = LTREE_REG, .path = "a/" },
		{ .kind = LTREE_REG, .path = "a//b" },
		{ .kind = LTREE_REG, .path = "./a" },
		{ .kind = LTREE_REG, .path = "a/../b" },
		{ .kind = LTREE_REG, .path = ".." },
		{ .kind = LTREE_REG, .path = long_name },
		{ .kind = LTREE_REG, .path = deep },
		{ .kind = LTREE_SYMLINK, .path = "a" },
		{ .kind = LTREE_SYMLINK, .path = "a", .link = "" },
		{ .kind = LTREE_SYMLINK, .path = "a", .link = long_link },
		{ .kind = LTREE_HARDLINK, .path = "a" },
		{ .kind = LTREE_HARDLINK, .path = "a", .link = "/b" },
		{ .kind = LTREE_HARDLINK, .path = "a", .link = "../b" },
		{ .kind = LTREE_REG, .path = "a", .link = "b" },
		{ .kind = LTREE_REG, .path = "a", .mode = 010000 },
		{ .kind = LTREE_REG, .path = "a", .uid = UINT32_MAX },
		{ .kind = LTREE_REG, .path = "a", .gid = UINT32_MAX },
		{ .kind = LTREE_REG, .path = "a", .mtime_nsec = 1000000000 },
		{ .kind = LTREE_DIR, .path = "a", .size = 1 },
		{ .kind = LTREE_FIFO, .path = "a", EXT(outside) },
		{ .kind = LTREE_REG, .path = "a", .size = (uint64_t)INT64_MAX + 1 },
		{ .kind = LTREE_REG, .path = "a", .size = 4096, EXT(outside) },
		{ .kind = LTREE_REG, .path = "a", .size = 16384, EXT(backwards) },
		{ .kind = LTREE_REG, .path = "a", .size = 16384, EXT(overlap) },
		{ .kind = LTREE_REG, .path = "a", .size = 16384, EXT(empty) },
		{ .kind = LTREE_REG, .path = "a", .size = 16384, EXT(odd) },
		{ .kind = LTREE_REG, .path = "a", .size = 16384, EXT(odd_data) },
		{ .kind = LTREE_REG, .path = "a", .size = 16384, EXT(half) },
		{ .kind = LTREE_REG, .path = "a", .size = 16384, EXT(far) },
		{ .kind = LTREE_REG, .path = "a", .xattrs = noname, .n_xattrs = 1 },
		{ .kind = LTREE_REG, .path = "a", .xattrs = longname, .n_xattrs = 1 },
		{ .kind = LTREE_REG, .path = "a", .xattrs = big, .n_xattrs = 1 },
		{ .kind = LTREE_REG,
		  .path = "a",
		  .xattrs = noname,
		  .n_xattrs = LTREE_XATTRS_MAX + 1 },
	};
	auto_fd fd = memfd_create("tree", MFD_CLOEXEC);
	struct ltree_writer *w;
	struct err e = { 0 };

	(void)state;
	memset(long_name, 'n', sizeof(long_name) - 1);
	memset(long_link, 'l', sizeof(long_link) - 1);
	for (size_t i = 0; i <= LTREE_DEPTH_MAX; i++)
		memcpy(deep + 2 * i, i < LTREE_DEPTH_MAX ? "d/" : "d\0", 3);
	assert_int_equal(ltree_writer_new(fd, &w, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		memset(&e, 0, sizeof(e));
		if (ltree_writer_add(w, &t[i], &e) != -EINVAL || !e.msg[0])
			fail_msg("row %zu is taken", i);
	}
	assert_int_equal(ltree_writer_finish(w, 0, &e), 0);
	ltree_writer_free(w);
	ltree_writer_free(NULL);
}

static void finish_refuses(void **state)
{
	const struct ltree_extent x = { 0, 4096, 100 };
	const struct ltree_record r = {
		.kind = LTREE_REG, .path = "a", .size = 100, .extents = &x, .n_extents = 1
	};
	auto_fd fd = memfd_create("tree", MFD_CLOEXEC);
	struct ltree_writer *w;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(ltree_writer_new(fd, &w, &e), 0);
	assert_int_equal(ltree_writer_add(w, &r, &e), 0);
	assert_int_equal(ltree_writer_finish(w, 4096, &e), -EINVAL); /* data ends before */
	assert_int_equal(ltree_writer_finish(w, 8193, &e), -EINVAL);
	assert_int_equal(ltree_writer_finish(w, UINT64_MAX - 4095, &e), -EINVAL);
	assert_int_equal(ltree_writer_finish(w, 8192, &e), 0);
	ltree_writer_free(w);
	/* a descriptor that cannot be written */
	{
		auto_fd ro = open("/dev/null", O_RDONLY | O_CLOEXEC);

		assert_int_equal(ltree_writer_new(ro, &w, &e), 0);
		assert_int_equal(ltree_writer_finish(w, 0, &e), -EBADF);
		ltree_writer_free(w);
	}
}

/* Offsets from the start of the first record; 4 bytes each. */
static void reader_refuses(void **state)
{
	static const struct {
		unsigned int off;
		uint32_t value;
		const char *why;
	} t[] = {
		{ 0, 0, "record length" },
		{ 0, 63, "record length" },
		{ 0, 1 << 30, "record length" },
		{ 4, 99, "unknown kind" },
		{ 4, 6, "" }, /* a hard link without a target */
		{ 8, 010000, "mode" },
		{ 12, UINT32_MAX, "owner" },
		{ 16, UINT32_MAX, "owner" },
		{ 20, 1000000000, "time" },
		{ 36, 1U << 31, "out of range" },
		{ 48, 0, "names" },
		{ 48, 99, "names" },
		{ 48, UINT32_MAX, "names" },
		{ 52, 1, "names" },
		{ 52, UINT32_MAX, "names" },
		{ 56, 0, "" },
		{ 56, 2, "extent" },
		{ 56, UINT32_MAX, "extents" },
		{ 60, 0, "bytes after a record" },
		{ 60, 2, "extended attributes" },
		{ 60, UINT32_MAX, "extended attributes" },
		{ 67, 1, "extent" }, /* the file offset */
		{ 75, 1 << 20, "outside the data" },
		{ 79, 1U << 31, "outside the data" },
		{ 83, 0, "" },
		{ 83, 1 << 20, "outside the data" },
		{ 87, 1U << 31, "outside the data" },
		{ 91, 0, "extended attributes" },
		{ 91, UINT32_MAX, "extended attributes" },
		{ 95, 5, "extended attributes" },
		{ 95, UINT32_MAX, "extended attributes" },
	};
	const struct ltree_extent x = { 0, 0, 100 };
	const struct ltree_xattr a = { "user.a", "v", 1 };
	const struct ltree_record in = { .kind = LTREE_REG,
					 .path = "a",
					 .size = 100,
					 .extents = &x,
					 .n_extents = 1,
					 .xattrs = &a,
					 .n_xattrs = 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = { 0 };
		struct err e = { 0 };
		uint64_t n;

		fixture_records(&in, 1, 4096, &b);
		put_le32(b.data + HEADER + t[i].off, t[i].value);
		seal(&b);
		if (read_all(&b, &n, &e) >= 0 || !strstr(e.msg, t[i].why))
			fail_msg("row %zu: %s", i, e.msg);
		assert_int_equal(n, 0);
	}
}

static void trailer_and_header(void **state)
{
	static const struct {
		int off; /* from the end if negative */
		uint64_t value;
		const char *why;
	} t[] = {
		{ 0, 0, "not one" },           { 8, 1, "not one" },
		{ -32, 0, "not one" },         { -24, 0, "after the last record" },
		{ -24, 3, "missing" },         { -24, (uint64_t)LTREE_RECORDS_MAX + 1, "counts" },
		{ -24, UINT64_MAX, "counts" }, { -16, 0, "outside the data" },
		{ -16, 4097, "counts" },       { -16, UINT64_MAX - 4095, "counts" },
	};
	auto_buf b = { 0 };
	struct err e = { 0 };
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		fixture_layer("f:a=10 d:b", &b);
		put_le64(b.data + (t[i].off < 0 ? (int)b.len + t[i].off : t[i].off), t[i].value);
		seal(&b);
		memset(&e, 0, sizeof(e));
		if (read_all(&b, &n, &e) >= 0 || !strstr(e.msg, t[i].why))
			fail_msg("row %zu: %s", i, e.msg);
	}
	/* each byte is under the checksum, and each cut is found */
	fixture_layer("f:a=10 d:b", &b);
	assert_int_equal(read_all(&b, &n, &e), 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 1;
		assert_true(read_all(&b, &n, &e) < 0);
		b.data[i] ^= 1;
	}
	for (size_t len = 0; len < b.len; len++) {
		struct ltree_reader *r;

		assert_int_equal(ltree_reader_new(b.data, len, &r, &e), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),         cmocka_unit_test(writer_refuses),
		cmocka_unit_test(finish_refuses),     cmocka_unit_test(reader_refuses),
		cmocka_unit_test(trailer_and_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
