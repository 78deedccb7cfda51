/* SPDX-License-Identifier: MIT */
/* test_tar.c - archives read entry by entry; wrong ones refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tar.h"
#include "tar_fixture.h"

/* One line an entry: "type path>link mode uid:gid mtime.nsec size[off+len,..]{xattr=value}". */
static int entry_print(struct tar *t, const struct tar_entry *x, struct buf *out, struct err *e)
{
	static const char types[] = "fhlcbdp";

	(void)!buf_addf(out, "%c %.40s", types[x->type], x->path);
	if (x->type == TAR_HARDLINK || x->type == TAR_SYMLINK)
		(void)!buf_addf(out, ">%.40s", x->link);
	if (x->mode != 0644)
		(void)!buf_addf(out, " %o", x->mode);
	if (x->uid || x->gid)
		(void)!buf_addf(out, " %u:%u", x->uid, x->gid);
	if (x->mtime_sec || x->mtime_nsec)
		(void)!buf_addf(out, " t%lld.%u", (long long)x->mtime_sec, x->mtime_nsec);
	if (x->type == TAR_CHR || x->type == TAR_BLK)
		(void)!buf_addf(out, " %u,%u", x->major, x->minor);
	for (size_t i = 0; i < x->n_xattrs; i++)
		(void)!buf_addf(out, " {%s=%.*s}", x->xattrs[i].name, (int)x->xattrs[i].value_len,
				(const char *)x->xattrs[i].value);
	if (x->acl_access)
		(void)!buf_addf(out, " acl:%s", x->acl_access);
	if (x->type == TAR_REG)
		(void)!buf_addf(out, " %llu", (unsigned long long)x->size);
	for (;;) {
		const uint8_t *p;
		uint64_t off;
		size_t n;

		if (tar_data(t, &p, &n, &off, e) < 0)
			return -e->code;
		if (n == 0)
			break;
		assert_true(off + n <= x->size || x->type != TAR_REG);
		if (x->is_sparse)
			(void)!buf_addf(out, "[%llu+%zu]", (unsigned long long)off, n);
	}
	assert_int_equal(buf_addf(out, "; "), 0);
	return 0;
}

static int print(const struct buf *in, size_t piece, struct buf *out, struct err *e)
{
	struct mem_source m;
	struct byte_source src = mem_source_of(&m, in, piece);
	struct tar_entry x;
	struct tar *t;
	int r;

	assert_int_equal(tar_new(&src, &t, e), 0);
	while ((r = tar_next(t, &x, e)) > 0)
		if (entry_print(t, &x, out, e) < 0) {
			r = -e->code;
			break;
		}
	tar_free(t);
	return r;
}

static void expect(struct buf *in, const char *want)
{
	static const size_t pieces[] = { 1 << 20, 511, 7 };

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		auto_buf out = { 0 };
		struct err e = { 0 };

		if (i > 0 && strchr(want, '[')) /* pieces show */
			break;
		assert_int_equal(buf_add(&out, "", 0), 0);
		if (print(in, pieces[i], &out, &e) < 0)
			fail_msg("%s: %s", want, e.msg);
		assert_string_equal(out.data, want);
	}
	buf_clear(in);
}

static void refuse(struct buf *in, const char *why)
{
	static const size_t pieces[] = { 1 << 20, 100 };

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		auto_buf out = { 0 };
		struct err e = { 0 };

		if (print(in, pieces[i], &out, &e) >= 0)
			fail_msg("taken, but: %s", why);
		if (!strstr(e.msg, why))
			fail_msg("\"%s\" does not say: %s", e.msg, why);
	}
	buf_clear(in);
}

#define PUT(...)    tar_put(&b, &(struct tar_spec){ __VA_ARGS__ })
#define PAX(...)    tar_put_pax(&b, 'x', (const char *const[]){ __VA_ARGS__, NULL })
#define GLOBAL(...) tar_put_pax(&b, 'g', (const char *const[]){ __VA_ARGS__, NULL })

static void plain_entries(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	assert_int_equal(buf_add(&b, "", 0), 0);
	expect(&b, "");
	tar_put_end(&b);
	expect(&b, "");
	PUT(.name = "a", .data = "hello", .len = 5);
	expect(&b, "f a 5; "); /* no end blocks */
	PUT(.name = "a", .data = "hello", .len = 5);
	PUT(.name = "d/", .type = '5', .mode = "0001755", .size = "00000001000", .len = 0);
	PUT(.name = "old/", .type = '0');
	PUT(.name = "l", .type = '2', .link = "to", .size = "00000000007");
	PUT(.name = "h", .type = '1', .link = "a");
	PUT(.name = "c", .type = '3', .major = "0000005", .minor = "0000001");
	PUT(.name = "p", .type = '6');
	tar_put_end(&b);
	assert_int_equal(buf_add(&b, (char[100]){ 0 }, 100), 0);
	expect(&b, "f a 5; d d/ 1755; d old/; l l>to; h h>a; c c 5,1; p p; ");
}

static void numbers(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	PUT(.name = "u", .uid = "\x80\x01\x02\x03\x04\x05\x06\x07");
	refuse(&b, "owner");
	PUT(.name = "u", .uid = "\xff\xff\xff\xff\xff\xff\xff\xff");
	refuse(&b, "owner -1");
	PUT(.name = "u", .uid = "   17 ");
	expect(&b, "f u 15:0 0; ");
	PUT(.name = "u", .uid = "00008");
	refuse(&b, "bad number");
	PUT(.name = "u", .mtime = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe");
	expect(&b, "f u t-2.0 0; ");
	PUT(.name = "u", .mtime = "\x80\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe");
	refuse(&b, "bad number");
	PUT(.name = "u", .size = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe");
	refuse(&b, "negative size");
	PUT(.name = "u", .size = "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe");
	refuse(&b, "bad number");
	PUT(.name = "u", .size = "\x80\x01\x01\x01\x7f\xff\xff\xff\xff\xff\xff\xfe");
	refuse(&b, "bad number");
	PUT(.name = "c", .type = '3', .major = "0010000");
	refuse(&b, "device");
	PAX("uid", "4294967295");
	PUT(.name = "u");
	refuse(&b, "owner 4294967295");
	PAX("uid", "4294967296");
	PUT(.name = "u");
	refuse(&b, "owner");
	PAX("gid", "-1");
	PUT(.name = "u");
	refuse(&b, "owner -1");
	PAX("uid", "4294967294", "gid", "1", "mtime", "-1.5");
	PUT(.name = "u");
	expect(&b, "f u 4294967294:1 t-2.500000000 0; ");
	PAX("mtime", "99999999999.1234567899");
	PUT(.name = "u");
	expect(&b, "f u t99999999999.123456789 0; ");
	PAX("mtime", "99999999999999999999");
	PUT(.name = "u");
	refuse(&b, "bad number");
	PAX("mtime", "1.x");
	PUT(.name = "u");
	refuse(&b, "bad time");
	PAX("size", "17592186044417");
	PUT(.name = "u");
	refuse(&b, "GiB");
}

static void pax_names(void **state)
{
	auto_buf b = { 0 };
	char big[300];

	(void)state;
	PAX("path", "long", "linkpath", "there", "comment", "x", "SCHILY.xattr.user.a", "1",
	    "SCHILY.xattr.user.a", "2", "SCHILY.acl.access", "u::r");
	PUT(.name = "s", .type = '2', .link = "t");
	PUT(.name = "next");
	expect(&b, "l long>there {user.a=2} acl:u::r; f next 0; ");
	PAX("path", "p", "path", "");
	PUT(.name = "s");
	expect(&b, "f s 0; ");
	tar_put_pax_bytes(&b, 'x', "path", "a\0b", 3);
	PUT(.name = "s");
	refuse(&b, "NUL");
	PUT(.name = "L", .type = 'L', .data = "gnu\0x", .len = 5);
	PUT(.name = "K", .type = 'K', .data = "link", .len = 5);
	PUT(.name = "s", .type = '2');
	expect(&b, "l gnu>link; ");
	PUT(.name = "L", .type = 'L', .size = "00000400001");
	refuse(&b, "more than 131072");
	PAX("path", "p");
	refuse(&b, "after an extended header");
	PAX("path", "p");
	tar_put_end(&b);
	refuse(&b, "after an extended header");
	GLOBAL("comment", "c", "uid", "5");
	PUT(.name = "s");
	PAX("uid", "6");
	PUT(.name = "t");
	expect(&b, "f s 5:0 0; f t 6:0 0; ");
	GLOBAL("path", "p");
	refuse(&b, "global \"path\"");
	memset(big, 'n', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	snprintf(big, 14, "%s", "SCHILY.xattr.");
	big[13] = 'n';
	PAX(big, "v");
	PUT(.name = "s");
	refuse(&b, "bad name");
}

static void pax_records(void **state)
{
	static const char *const bad[] = { "x",       "5 a=b",    "99 a=b\n",
					   "0 a=b\n", "-6 a=b\n", "6 ab\n\n",
					   "6 =ab\n", "3 \n",     "99999999999999999999 a=b\n",
					   "6 a=bc",  " a=b\n",   "2 \n" };
	auto_buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		PUT(.name = "x", .type = 'x', .data = bad[i], .len = strlen(bad[i]));
		PUT(.name = "f");
		refuse(&b, "pax header");
	}
	PUT(.name = "x", .type = 'x', .size = "00004000001");
	refuse(&b, "more than 1048576");
	PUT(.name = "x", .type = 'x', .size = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe");
	refuse(&b, "bad number");
	for (int i = 0; i < 3; i++) {
		char v[7000];

		memset(v, 'v', sizeof(v));
		tar_put_pax_bytes(&b, 'g', "comment", v, sizeof(v));
	}
	PUT(.name = "f");
	refuse(&b, "more than 16384");
}

static void too_many_xattrs(void **state)
{
	auto_buf b = { 0 };
	const char *pairs[2 * (LTREE_XATTRS_MAX + 1) + 1] = { 0 };
	static char names[LTREE_XATTRS_MAX + 1][32];

	(void)state;
	for (size_t i = 0; i <= LTREE_XATTRS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "SCHILY.xattr.user.%zu", i);
		pairs[2 * i] = names[i];
		pairs[2 * i + 1] = "v";
	}
	tar_put_pax(&b, 'x', pairs);
	PUT(.name = "f");
	refuse(&b, "extended attributes");
}

static void sparse_files(void **state)
{
	auto_buf b = { 0 };
	char d[1024] = "2\n512\n3\n4096\n2\n";

	(void)state;
	PAX("GNU.sparse.size", "9000", "GNU.sparse.numblocks", "2", "GNU.sparse.offset", "512",
	    "GNU.sparse.numbytes", "3", "GNU.sparse.offset", "4096", "GNU.sparse.numbytes", "2");
	PUT(.name = "s", .data = "abcde", .len = 5);
	expect(&b, "f s 9000[512+3][4096+2]; ");
	PAX("GNU.sparse.name", "n", "GNU.sparse.size", "9000", "GNU.sparse.map",
	    "512,3,4096,2,9000,0");
	PUT(.name = "s", .data = "abcde", .len = 5);
	expect(&b, "f n 9000[512+3][4096+2]; ");
	memcpy(d + 512, "abcde", 5);
	PAX("GNU.sparse.name", "n", "GNU.sparse.realsize", "9000", "GNU.sparse.major", "1",
	    "GNU.sparse.minor", "0");
	PUT(.name = "s", .data = d, .len = 517);
	expect(&b, "f n 9000[512+3][4096+2]; ");
	PAX("GNU.sparse.size", "9000", "GNU.sparse.map", "");
	PUT(.name = "s");
	expect(&b, "f s 9000; ");
}

static void sparse_refused(void **state)
{
	static const struct {
		const char *size, *map, *why;
	} rows[] = {
		{ "9000", "4096,2,512,3", "out of order" },
		{ "9000", "0,3,2,2", "out of order" },
		{ "4097", "0,3,4096,2", "outside" },
		{ "9000", "0,3,4096,1", "does not fit" },
		{ "9000", "0,3,4096,9223372036854775807", "outside" },
		{ "9000", "0,3,9223372036854775807,2", "outside" },
		{ "9000", "0,3,4096", "odd count" },
		{ "9000", "0,3,-1,2", "negative" },
		{ "9000", "0,3,,2", "bad number" },
		{ "9000", "0,3,4096,2,", "bad number" },
		{ "-1", "0,5", "GiB" },
		{ "9223372036854775807", "0,5", "GiB" },
	};
	auto_buf b = { 0 };
	char d[1024] = "99999999\n0\n";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		PAX("GNU.sparse.size", rows[i].size, "GNU.sparse.map", rows[i].map);
		PUT(.name = "s", .data = "abcde", .len = 5);
		refuse(&b, rows[i].why);
	}
	PAX("GNU.sparse.offset", "0", "GNU.sparse.offset", "1");
	PUT(.name = "s");
	refuse(&b, "bad map");
	PAX("GNU.sparse.numbytes", "0");
	PUT(.name = "s");
	refuse(&b, "bad map");
	PAX("GNU.sparse.size", "9", "GNU.sparse.offset", "0");
	PUT(.name = "s");
	refuse(&b, "half a map");
	PAX("GNU.sparse.realsize", "9000", "GNU.sparse.major", "1");
	PUT(.name = "s", .data = d, .len = 512);
	refuse(&b, "pieces");
	PAX("GNU.sparse.realsize", "9000", "GNU.sparse.major", "1");
	PUT(.name = "s", .data = "3\n", .len = 2);
	refuse(&b, "longer than its data");
	PAX("GNU.sparse.realsize", "9000", "GNU.sparse.major", "1", "GNU.sparse.minor", "1");
	PUT(.name = "s", .data = d, .len = 512);
	refuse(&b, "unknown version");
}

static void old_gnu_sparse(void **state)
{
	auto_buf b = { 0 };
	static const char ext[512] = "00000002000";
	char *h;

	(void)state;
	PUT(.name = "s", .type = 'S', .data = "abcde", .len = 5, .is_data_missing = true);
	h = b.data;
	memcpy(h + 257, "ustar  ", 8);
	memcpy(h + 386, "00000000000\00000000000003", 24);
	h[482] = 1;
	memcpy(h + 483, "00000010000", 12);
	tar_sum(&b, 0);
	assert_int_equal(buf_add(&b, ext, sizeof(ext)), 0);
	memcpy(b.data + 512 + 12, "00000000002", 12);
	assert_int_equal(buf_add(&b, "abcde", 5), 0);
	assert_int_equal(buf_add(&b, ext + 12, 500), 0);
	assert_int_equal(buf_add(&b, ext + 12, 7), 0);
	expect(&b, "f s 4096[0+3][1024+2]; ");
}

/* Some writers end with the last byte of the last file. */
static void last_padding_may_be_missing(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	PUT(.name = "a", .data = "hello", .len = 5);
	b.len -= 1;
	expect(&b, "f a 5; ");
	PUT(.name = "a", .data = "hello", .len = 5);
	b.len -= 507;
	expect(&b, "f a 5; ");
}

static void broken_streams(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	PUT(.name = "a", .is_sum_wrong = true);
	refuse(&b, "checksum");
	PUT(.name = "a", .data = "hello", .len = 5, .is_data_missing = true);
	refuse(&b, "ends inside");
	PUT(.name = "a", .data = "hello", .len = 5);
	b.len -= 508; /* the padding and a byte of the contents */
	refuse(&b, "ends inside");
	PUT(.name = "a");
	b.len -= 1;
	refuse(&b, "ends inside a header");
	assert_int_equal(buf_add(&b, "junk", 4), 0);
	refuse(&b, "ends inside a header");
	tar_put_end(&b);
	PUT(.name = "a");
	refuse(&b, "after the end");
	tar_put_end(&b);
	assert_int_equal(buf_add(&b, "x", 1), 0);
	refuse(&b, "after the end");
	PUT(.name = "a", .type = 'Z');
	refuse(&b, "unknown type");
	PUT(.name = "a", .type = 'M');
	refuse(&b, "unknown type");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_entries),
		cmocka_unit_test(numbers),
		cmocka_unit_test(pax_names),
		cmocka_unit_test(pax_records),
		cmocka_unit_test(too_many_xattrs),
		cmocka_unit_test(sparse_files),
		cmocka_unit_test(sparse_refused),
		cmocka_unit_test(old_gnu_sparse),
		cmocka_unit_test(last_padding_may_be_missing),
		cmocka_unit_test(broken_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
