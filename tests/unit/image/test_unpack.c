/* SPDX-License-Identifier: MIT */
/* test_unpack.c - a layer from a tar in memory to records and data */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fdio.h"
#include "ltree.h"
#include "tar_fixture.h"
#include "unpack.h"

#define PUT(...) tar_put(&b, &(struct tar_spec){ __VA_ARGS__ })
#define PAX(...) tar_put_pax(&b, 'x', (const char *const[]){ __VA_ARGS__, NULL })

struct files {
	int data_fd, tree_fd;
	struct unpack_result got;
};

static void files_done(struct files *f)
{
	fd_drop(&f->data_fd);
	fd_drop(&f->tree_fd);
}
#define auto_files __attribute__((cleanup(files_done))) struct files

static int unpack(const struct buf *in, size_t piece, struct files *f, struct err *e)
{
	struct mem_source m;
	struct byte_source src = mem_source_of(&m, in, piece);

	f->data_fd = memfd_create("data", MFD_CLOEXEC);
	f->tree_fd = memfd_create("tree", MFD_CLOEXEC);
	assert_true(f->data_fd >= 0 && f->tree_fd >= 0);
	assert_int_equal(pwrite(f->data_fd, "old", 3, 100000), 3); /* cut to nothing first */
	return unpack_tar(&src, f->data_fd, f->tree_fd, &f->got, e);
}

static void record_print(const struct ltree_record *r, struct buf *out)
{
	static const char kinds[] = "fdlcbphwo";
	int rc = buf_addf(out, "%c %s", kinds[r->kind], r->path);

	if (*r->link)
		rc |= buf_addf(out, ">%s", r->link);
	if (r->kind == LTREE_REG)
		rc |= buf_addf(out, " %lu", (unsigned long)r->size);
	for (uint32_t i = 0; i < r->n_extents; i++)
		rc |= buf_addf(out, "[%lu@%lu+%lu]", (unsigned long)r->extents[i].file_off,
			       (unsigned long)r->extents[i].data_off,
			       (unsigned long)r->extents[i].len);
	for (uint32_t i = 0; i < r->n_xattrs; i++)
		rc |= buf_addf(out, "{%s}", r->xattrs[i].name);
	assert_int_equal(rc | buf_addf(out, "; "), 0);
}

static void tree_print(const struct files *f, struct buf *out)
{
	auto_buf tree = { 0 };
	struct ltree_reader *r;
	struct ltree_record x;
	struct err e = { 0 };
	struct stat st;

	assert_int_equal(lseek(f->tree_fd, 0, SEEK_SET), 0);
	assert_int_equal(fd_read_all(f->tree_fd, &tree), 0);
	if (ltree_reader_new(tree.data, tree.len, &r, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(ltree_reader_n_records(r), f->got.n_records);
	assert_int_equal(ltree_reader_data_len(r), f->got.data_len);
	assert_int_equal(fstat(f->data_fd, &st), 0);
	assert_int_equal(st.st_size, f->got.data_len);
	while (ltree_reader_next(r, &x, &e) > 0)
		record_print(&x, out);
	assert_int_equal(e.code, 0);
	ltree_reader_free(r);
}

static void expect(struct buf *in, const char *want)
{
	static const size_t pieces[] = { 1 << 20, 513, 1 };

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		auto_files f = { -1, -1, { 0 } };
		auto_buf out = { 0 };
		struct err e = { 0 };

		assert_int_equal(buf_add(&out, "", 0), 0);
		if (unpack(in, pieces[i], &f, &e) < 0)
			fail_msg("%s: %s", want, e.msg);
		tree_print(&f, &out);
		assert_string_equal(out.data, want);
	}
	buf_clear(in);
}

static void refuse(struct buf *in, const char *why)
{
	auto_files f = { -1, -1, { 0 } };
	struct err e = { 0 };

	if (unpack(in, 1 << 20, &f, &e) >= 0)
		fail_msg("taken, but: %s", why);
	if (!strstr(e.msg, why))
		fail_msg("\"%s\" does not say: %s", e.msg, why);
	buf_clear(in);
}

static void kinds(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	expect(&b, "");
	PUT(.name = "./", .type = '5');
	PUT(.name = "./d/", .type = '5');
	PUT(.name = "/d/f", .data = "hello", .len = 5);
	PUT(.name = "d/../e", .data = "", .len = 0);
	PUT(.name = "l", .type = '2', .link = "../out/./side");
	PUT(.name = "h", .type = '1', .link = "./d//f");
	PUT(.name = "c", .type = '3', .major = "0000005", .minor = "0000001");
	PUT(.name = "b", .type = '4', .major = "0000007", .minor = "0000000");
	PUT(.name = "p", .type = '6');
	tar_put_end(&b);
	expect(&b, "d ; d d; f d/f 5[0@0+5]; f e 0; l l>../out/./side; h h>d/f; c c; b b; p p; ");
}

static void marks(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	PUT(.name = "d/.wh.x");
	PUT(.name = "d/.wh..wh..opq", .data = "skipped", .len = 7);
	PUT(.name = ".wh..wh.plnk/1", .data = "skipped", .len = 7);
	PUT(.name = "white", .type = '3'); /* overlayfs' own: device 0, 0 */
	PUT(.name = "last", .data = "x", .len = 1);
	expect(&b, "w d/x; o d; f last 1[0@0+1]; ");
	PUT(.name = ".wh.d/x");
	refuse(&b, "name of a whiteout");
	PUT(.name = ".wh...");
	refuse(&b, "whiteout of");
}

static void contents_lie_where_the_extents_say(void **state)
{
	static char big[(2 << 20) + 10];
	auto_files f = { -1, -1, { 0 } };
	auto_buf b = { 0 }, out = { 0 };
	struct err e = { 0 };
	char got[16];

	(void)state;
	memset(big, 'B', sizeof(big));
	PUT(.name = "a", .data = "first", .len = 5);
	PUT(.name = "b", .data = big, .len = sizeof(big));
	PUT(.name = "c", .data = "last", .len = 4);
	assert_int_equal(unpack(&b, 1 << 20, &f, &e), 0);
	tree_print(&f, &out);
	/* large files begin at a multiple of 2 MiB, for pages of that size */
	assert_string_equal(out.data,
			    "f a 5[0@0+5]; f b 2097162[0@2097152+2097162]; f c 4[0@4198400+4]; ");
	assert_int_equal(pread(f.data_fd, got, 8, 0), 8);
	assert_memory_equal(got, "first\0\0\0", 8);
	assert_int_equal(pread(f.data_fd, got, 8, (2 << 20) + sizeof(big) - 4), 8);
	assert_memory_equal(got, "BBBB\0\0\0\0", 8);
	assert_int_equal(pread(f.data_fd, got, 6, 4198400), 6);
	assert_memory_equal(got, "last\0\0", 6);
}

static void zeros_take_no_space(void **state)
{
	static char zeros[1 << 20];
	auto_files f = { -1, -1, { 0 } };
	auto_buf b = { 0 };
	struct err e = { 0 };
	struct stat st;

	(void)state;
	PUT(.name = "z", .data = zeros, .len = sizeof(zeros));
	PUT(.name = "x", .data = "x", .len = 1);
	assert_int_equal(unpack(&b, 1 << 16, &f, &e), 0);
	assert_int_equal(fstat(f.data_fd, &st), 0);
	assert_int_equal(st.st_size, sizeof(zeros) + 4096);
	assert_true(st.st_blocks * 512 < (blkcnt_t)sizeof(zeros) / 2);
}

static void sparse(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	PAX("GNU.sparse.size", "20000", "GNU.sparse.map", "512,3,4000,200,16384,2");
	PUT(.name = "s", .data = (char[205]){ "abc" }, .len = 205);
	/* pieces in touching blocks are one extent, all in one run of the data */
	expect(&b, "f s 20000[0@0+8192][16384@8192+3616]; ");
	PAX("GNU.sparse.size", "1099511627776", "GNU.sparse.map", "1099511627775,1");
	PUT(.name = "s", .data = "x", .len = 1);
	expect(&b, "f s 1099511627776[1099511623680@0+4096]; ");
	PAX("GNU.sparse.size", "9000", "GNU.sparse.map", "");
	PUT(.name = "s");
	expect(&b, "f s 9000; ");
}

#define ACL "user::rwx,group::r-x,other::r--"

static void xattrs(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	PAX("SCHILY.xattr.user.a", "v", "SCHILY.xattr.trusted.x", "v", "SCHILY.xattr.security.x",
	    "v", "SCHILY.xattr.trusted.overlay.opaque", "y", "SCHILY.xattr.user.overlay.opaque",
	    "y", "SCHILY.xattr.system.other", "v", "SCHILY.xattr.user.", "v", "SCHILY.xattr.other",
	    "v");
	PUT(.name = "f");
	PAX("SCHILY.xattr.user.a", "v", "SCHILY.xattr.trusted.a", "v", "SCHILY.acl.access", ACL);
	PUT(.name = "l", .type = '2', .link = "x");
	PAX("SCHILY.acl.access", ACL, "SCHILY.acl.default", ACL);
	PUT(.name = "d/", .type = '5');
	PAX("SCHILY.acl.access", ACL, "SCHILY.acl.default", ACL);
	PUT(.name = "f");
	PAX("SCHILY.acl.access", "user::rwx,user:bin:r--,group::r-x,mask::r--,other::r--");
	PUT(.name = "named");
	PAX("SCHILY.acl.access", ", \n");
	PUT(.name = "blank");
	expect(&b, "f f 0{user.a}{trusted.x}{security.x}; l l>x{trusted.a}; "
		   "d d{system.posix_acl_access}{system.posix_acl_default}; "
		   "f f 0{system.posix_acl_access}; f named 0; f blank 0; ");
	PAX("SCHILY.acl.access", "user::rwx");
	PUT(.name = "f");
	refuse(&b, "access control list");
	PAX("SCHILY.xattr.system.posix_acl_access", "malformed");
	PUT(.name = "f");
	refuse(&b, "\"f\": malformed access control list");
}

static void refused(void **state)
{
	auto_buf b = { 0 };
	char target[LTREE_LINK_MAX + 2];

	(void)state;
	PUT(.name = "../x");
	refuse(&b, "leaves the image");
	PUT(.name = "a/../../x");
	refuse(&b, "leaves the image");
	PUT(.name = "h", .type = '1', .link = "../x");
	refuse(&b, "hard link: path that leaves");
	PUT(.name = "h", .type = '1', .link = "./");
	refuse(&b, "hard link to the root");
	PUT(.name = "");
	refuse(&b, "without a name");
	PUT(.name = "./", .type = '2', .link = "x");
	refuse(&b, "no directory");
	PUT(.name = ".");
	refuse(&b, "no directory");
	PUT(.name = "l", .type = '2');
	refuse(&b, "target of 0 bytes");
	memset(target, 't', sizeof(target));
	target[sizeof(target) - 1] = '\0';
	PAX("linkpath", target);
	PUT(.name = "l", .type = '2');
	refuse(&b, "target of 4096 bytes");
	PAX("size", "17592186044416");
	PUT(.name = "huge");
	refuse(&b, "GiB of data");
	PUT(.name = "cut", .data = "hello", .len = 5);
	b.len -= 510;
	refuse(&b, "ends inside a file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(marks),
		cmocka_unit_test(contents_lie_where_the_extents_say),
		cmocka_unit_test(zeros_take_no_space),
		cmocka_unit_test(sparse),
		cmocka_unit_test(xattrs),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
