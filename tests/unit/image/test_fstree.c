/* SPDX-License-Identifier: MIT */
/* test_fstree.c - what layers add up to */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bytes.h"
#include "tree_fixture.h"

struct row {
	const char *what;
	const char *layers[4];
	const char *tree; /* as fixture_print() */
};

static int layers_apply(struct fstree *t, const char *const *layers, size_t max, struct err *e)
{
	auto_buf b = { 0 };
	int r = 0;

	for (size_t k = 0; r == 0 && k < max && layers[k]; k++) {
		fixture_layer(layers[k], &b);
		r = fixture_apply(t, &b, e);
	}
	return r;
}

static void rows_check(const struct row *rows, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		auto_buf got = { 0 };
		struct fstree *t;
		struct err e = { 0 };

		assert_int_equal(fstree_new(&t, &e), 0);
		if (layers_apply(t, rows[k].layers, ARRAY_SIZE(rows[k].layers), &e) < 0)
			fail_msg("%s: %s", rows[k].what, e.msg);
		fixture_print(t, &got);
		if (strcmp(got.data, rows[k].tree) != 0)
			fail_msg("%s: is \"%s\", not \"%s\"", rows[k].what, got.data, rows[k].tree);
		fstree_free(t);
	}
}

static void test_entries(void **state)
{
	static const struct row rows[] = {
		{ "nothing", { "" }, "" },
		{ "all kinds", { "f:a=1 d:b l:c=t p:d c:e=1,3 h:f=a" }, "a=1 b/ c>t d| e%1,3 f=1" },
		{ "missing parents", { "f:a/b/c=1" }, "a/ a/b/ a/b/c=1" },
		{ "directory after its child", { "f:a/b=1 d:a=700" }, "a/700 a/b=1" },
		{ "last entry wins", { "f:a=1 f:a=2" }, "a=2" },
		{ "last entry wins, types", { "f:a=1 d:a f:a/b=2 l:a=x" }, "a>x" },
		{ "file, then directory, then inside", { "f:a=1 d:a f:a/b=2" }, "a/ a/b=2" },
		{ "directory twice keeps children", { "d:a f:a/b=1 d:a=700" }, "a/700 a/b=1" },
		{ "directory over directory",
		  { "d:a f:a/b=1", "d:a=700 f:a/c=2" },
		  "a/700 a/b=1 a/c=2" },
		{ "missing parent keeps lower one", { "d:a=700", "f:a/b=1" }, "a/700 a/b=1" },
		{ "file over directory", { "f:a/b=1", "f:a=2" }, "a=2" },
		{ "directory over file", { "f:a=1", "f:x=1 d:a f:a/b=2" }, "a/ a/b=2 x=1" },
		{ "symlink over directory", { "f:a/b=1", "l:a=x" }, "a>x" },
		{ "directory over symlink", { "d:b l:a=b", "d:a f:a/x=1" }, "a/ a/x=1 b/" },
		{ "subtree replaced does not return", { "f:a/b=1", "f:a=2", "d:a" }, "a/" },
		{ "root", { "d:=700 f:a=1" }, "a=1" },
		{ "names that sort around the dot",
		  { "f:..a=1 f:!=2 f:-=3 f:.a=4" },
		  "!=2 -=3 ..a=1 .a=4" },
	};

	(void)state;
	rows_check(rows, ARRAY_SIZE(rows));
}

static void test_whiteouts(void **state)
{
	static const struct row rows[] = {
		{ "file", { "f:a=1 f:b=2", "w:a" }, "b=2" },
		{ "subtree", { "f:a/b/c=1 f:d=2", "w:a" }, "d=2" },
		{ "of nothing", { "f:a=1", "w:b w:c/d w:a/x" }, "a=1" },
		{ "before the new entry", { "f:a=1", "w:a f:a=2" }, "a=2" },
		{ "after the new entry", { "f:a=1", "f:a=2 w:a" }, "a=2" },
		{ "of own layer's name only", { "f:a=1 w:a" }, "a=1" },
		{ "directory anew, mark first",
		  { "f:d/old=1", "w:d d:d f:d/new=2" },
		  "d/ d/new=2" },
		{ "directory anew, mark last", { "f:d/old=1", "d:d f:d/new=2 w:d" }, "d/ d/new=2" },
		{ "directory anew without an entry",
		  { "d:d=700 f:d/old=1", "f:d/new=2 w:d" },
		  "d/ d/new=2" },
		{ "file becomes a parent", { "f:a=1", "f:a/b=2 w:a" }, "a/ a/b=2" },
		{ "symlink becomes a directory",
		  { "f:b/x=1 l:a=b", "f:a/y=2 w:a" },
		  "a/ a/y=2 b/ b/x=1" },
		{ "two layers up", { "f:a=1", "f:b=2", "w:a" }, "b=2" },
		{ "comes back", { "f:a=1", "w:a", "f:a=3" }, "a=3" },
		{ "inside, through a symlink",
		  { "f:u/b/x=1 f:u/b/y=2 l:b=u/b", "w:b/x" },
		  "b>u/b u/ u/b/ u/b/y=2" },
		{ "through a symlink, new one stays",
		  { "f:u/x=1 l:b=u", "f:b/x=2 w:b/x" },
		  "b>u u/ u/x=2" },
		{ "through a symlink, subtree with new names",
		  { "d:u/d=700 f:u/d/old=1 l:b=u", "f:u/d/new=2 w:b/d" },
		  "b>u u/ u/d/ u/d/new=2" },
		{ "symlink that this layer replaces",
		  { "f:u/x=1 l:b=u", "d:b w:b/x" },
		  "b/ u/ u/x=1" },
		{ "of a symlink, not what it leads to", { "f:u/x=1 l:b=u", "w:b" }, "u/ u/x=1" },
		{ "beyond a loop", { "l:a=b l:b=a", "w:a/x" }, "a>b b>a" },
		{ "beyond a dangling link", { "l:a=no", "w:a/x" }, "a>no" },
	};

	(void)state;
	rows_check(rows, ARRAY_SIZE(rows));
}

static void test_opaque(void **state)
{
	static const struct row rows[] = {
		{ "first", { "f:d/a=1 f:d/b/c=2", "d:d o:d f:d/n=3" }, "d/ d/n=3" },
		{ "last", { "f:d/a=1 f:d/b/c=2", "d:d f:d/n=3 o:d" }, "d/ d/n=3" },
		{ "new one of an old name", { "f:d/a=1", "f:d/a=2 o:d" }, "d/ d/a=2" },
		{ "directory itself stays", { "d:d=700 f:d/a=1", "o:d" }, "d/700" },
		{ "root", { "f:a=1 f:d/b=2", "f:n=3 o:" }, "n=3" },
		{ "of nothing", { "f:a=1", "o:b o:a" }, "a=1" },
		{ "own layer only", { "f:d/a=1 o:d" }, "d/ d/a=1" },
		{ "inside a kept one", { "f:d/e/a=1 f:d/f=2", "o:d/e" }, "d/ d/e/ d/f=2" },
		{ "through a symlink", { "f:u/a=1 l:d=u", "f:d/n=2 o:d" }, "d>u u/ u/n=2" },
		{ "symlink that this layer replaces",
		  { "f:u/a=1 l:d=u", "d:d f:d/n=2 o:d" },
		  "d/ d/n=2 u/ u/a=1" },
		{ "many times", { "f:u/a=1 l:d=u", "o:d o:d o:u w:d/a o:d" }, "d>u u/" },
	};

	(void)state;
	rows_check(rows, ARRAY_SIZE(rows));
}

static void test_symlink_parents(void **state)
{
	static const struct row rows[] = {
		{ "merged usr",
		  { "d:usr/bin l:bin=usr/bin", "f:bin/x=1" },
		  "bin>usr/bin usr/ usr/bin/ usr/bin/x=1" },
		{ "absolute",
		  { "d:usr/bin l:bin=/usr/bin f:bin/x=1" },
		  "bin>/usr/bin usr/ usr/bin/ usr/bin/x=1" },
		{ "in the middle",
		  { "d:a/b l:a/c=b f:a/c/d/x=1" },
		  "a/ a/b/ a/b/d/ a/b/d/x=1 a/c>b" },
		{ "up and over",
		  { "d:a/b d:c l:a/b/l=../../c f:a/b/l/x=1" },
		  "a/ a/b/ a/b/l>../../c c/ c/x=1" },
		{ "cannot leave the root",
		  { "d:etc l:l=../../../etc f:l/x=1" },
		  "etc/ etc/x=1 l>../../../etc" },
		{ "nor absolutely",
		  { "d:etc l:l=/../../etc f:l/x=1" },
		  "etc/ etc/x=1 l>/../../etc" },
		{ "to the root", { "l:l=/ f:l/x=1" }, "l>/ x=1" },
		{ "dangling: made inside",
		  { "l:l=/new/dir f:l/x=1" },
		  "l>/new/dir new/ new/dir/ new/dir/x=1" },
		{ "chain", { "d:d l:a=b l:b=c l:c=d f:a/x=1" }, "a>b b>c c>d d/ d/x=1" },
		{ "two on one path",
		  { "d:d/e l:a=d l:d/f=e f:a/f/x=1" },
		  "a>d d/ d/e/ d/e/x=1 d/f>e" },
		{ "odd slashes and dots", { "d:d l:a=.//d/./ f:a/x=1" }, "a>.//d/./ d/ d/x=1" },
		{ "symlink replaced between",
		  { "d:d d:e l:a=d f:a/x=1 l:a=e f:a/y=2" },
		  "a>e d/ d/x=1 e/ e/y=2" },
		{ "directory replaced between",
		  { "d:a f:a/x=1 d:e l:a=e f:a/y=2" },
		  "a>e e/ e/y=2" },
	};

	(void)state;
	rows_check(rows, ARRAY_SIZE(rows));
}

static void test_hard_links(void **state)
{
	static const struct row rows[] = {
		{ "below", { "f:a=1", "h:b=a" }, "a=1 b=1" },
		{ "to a symlink", { "l:a=x h:b=a" }, "a>x b>x" },
		{ "to a device", { "c:a=1,3 h:b=a" }, "a%1,3 b%1,3" },
		{ "first name replaced", { "f:a=1 h:b=a", "f:a=2" }, "a=2 b=1" },
		{ "first name goes", { "f:a=1 h:b=a", "w:a" }, "b=1" },
		{ "first name's directory goes", { "f:d/a=1 h:b=d/a", "w:d" }, "b=1" },
		{ "name replaced in the same layer", { "f:a=1 h:b=a f:a=2" }, "a=2 b=1" },
		{ "to itself", { "f:a=1 h:a=a" }, "a=1" },
		{ "over a file", { "f:a=1 f:b=2 h:b=a" }, "a=1 b=1" },
		{ "over the directory it is in", { "f:d/a=1 h:d=d/a" }, "d=1" },
		{ "through symlinks", { "f:u/a=1 l:l=u h:l/b=l/a" }, "l>u u/ u/a=1 u/b=1" },
		{ "of a link", { "f:a=1 h:b=a h:c=b", "w:a w:b" }, "c=1" },
	};

	(void)state;
	rows_check(rows, ARRAY_SIZE(rows));
}

static void test_hard_link_is_one_inode(void **state)
{
	static const char *const layers[] = { "f:a=1 h:b=a f:c=1", NULL };
	struct fstree *t;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(fstree_new(&t, &e), 0);
	assert_int_equal(layers_apply(t, layers, 2, &e), 0);
	assert_ptr_equal(fstree_find(t, "a"), fstree_find(t, "b"));
	assert_ptr_not_equal(fstree_find(t, "a"), fstree_find(t, "c"));
	assert_null(fstree_find(t, "d"));
	assert_null(fstree_find(t, "a/b"));
	assert_ptr_equal(fstree_find(t, ""), fstree_root(t));
	fstree_free(t);
}

static void test_refused(void **state)
{
	static const struct {
		const char *layers[3];
		const char *words[3]; /* the message has them */
	} rows[] = {
		{ { "h:b=a" }, { "\"b\"", "\"a\"", "does not exist" } },
		{ { "f:a=1", "w:a h:b=a" }, { "\"b\"", "\"a\"", "does not exist" } },
		{ { "f:x=1 h:b=x/a" }, { "\"b\"", "\"x/a\"", "does not exist" } },
		{ { "d:a h:b=a" }, { "\"b\"", "\"a\"", "directory" } },
		{ { "f:a=1 f:a/b=2" }, { "\"a/b\"", "is a file" } },
		{ { "f:a=1", "d:a/b" }, { "\"a/b\"", "is a file" } },
		{ { "f:a=1 l:l=a f:l/b=2" }, { "\"l/b\"", "is a file" } },
		{ { "p:a f:a/b=2" }, { "\"a/b\"", "is a file" } },
		{ { "l:a=a f:a/b=2" }, { "\"a/b\"", "symlinks" } },
		{ { "l:a=b l:b=a f:a/b=2" }, { "\"a/b\"", "symlinks" } },
		{ { "l:a=a/a f:a/b=2" }, { "\"a/b\"", "symlinks" } },
		{ { "l:a=../a f:a/b=2" }, { "\"a/b\"", "symlinks" } },
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		struct fstree *t;
		struct err e = { 0 };

		assert_int_equal(fstree_new(&t, &e), 0);
		if (layers_apply(t, rows[k].layers, 3, &e) == 0)
			fail_msg("row %zu was taken", k);
		for (size_t w = 0; w < 3 && rows[k].words[w]; w++)
			if (!strstr(e.msg, rows[k].words[w]))
				fail_msg("\"%s\" lacks %s", e.msg, rows[k].words[w]);
		fstree_free(t);
	}
}

/* n symlinks, each to the one before; the first to a directory. */
static int chain_apply(unsigned n, struct err *e)
{
	auto_buf text = { 0 };
	const char *layers[2] = { NULL };
	struct fstree *t;
	int r;

	assert_int_equal(buf_add_str(&text, "d:d l:l1=d "), 0);
	for (unsigned k = 2; k <= n; k++)
		assert_int_equal(buf_addf(&text, "l:l%u=l%u ", k, k - 1), 0);
	assert_int_equal(buf_addf(&text, "f:l%u/x=1", n), 0);
	layers[0] = text.data;
	assert_int_equal(fstree_new(&t, e), 0);
	r = layers_apply(t, layers, 2, e);
	fstree_free(t);
	return r;
}

static void test_chain_limit(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(chain_apply(FSTREE_LINKS_MAX, &e), 0);
	assert_int_equal(chain_apply(FSTREE_LINKS_MAX + 1, &e), -ELOOP);
}

static void test_depth_limit(void **state)
{
	auto_buf text = { 0 };
	const char *layers[2] = { NULL };
	struct fstree *t;
	struct err e = { 0 };

	(void)state;
	/* A thousand deep, and a symlink that leads there from its own bottom: each goes deeper. */
	assert_int_equal(buf_add_str(&text, "d:"), 0);
	for (unsigned k = 0; k < 1000; k++)
		assert_int_equal(buf_addf(&text, "%sa", k ? "/" : ""), 0);
	assert_int_equal(buf_add_str(&text, " l:m="), 0);
	for (unsigned k = 0; k < 1000; k++)
		assert_int_equal(buf_addf(&text, "a/"), 0);
	assert_int_equal(buf_add_str(&text, " l:n=m"), 0);
	for (unsigned k = 0; k < 1000; k++)
		assert_int_equal(buf_addf(&text, "/b"), 0);
	assert_int_equal(buf_add_str(&text, " f:n/x=1 f:n/c/c/c/x=1 d:n"), 0);
	for (unsigned k = 0; k < 60; k++)
		assert_int_equal(buf_addf(&text, "/d"), 0);
	layers[0] = text.data;
	assert_int_equal(fstree_new(&t, &e), 0);
	assert_int_equal(layers_apply(t, layers, 2, &e), -ENAMETOOLONG);
	fstree_free(t);
}

static int one_apply(const struct ltree_record *r, struct fstree **ret, struct err *e)
{
	auto_buf b = { 0 };

	fixture_records(r, 1, (uint64_t)FIXTURE_BLOCKS * LTREE_BLOCK, &b);
	assert_int_equal(fstree_new(ret, e), 0);
	return fixture_apply(*ret, &b, e);
}

static void test_metadata(void **state)
{
	struct ltree_record r = { .kind = LTREE_FIFO,
				  .path = "p",
				  .mode = 06751,
				  .uid = 70000,
				  .gid = UINT32_MAX - 1,
				  .mtime_sec = -5,
				  .mtime_nsec = 999999999 };
	const struct fs_inode *i;
	struct fstree *t;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(one_apply(&r, &t, &e), 0);
	i = fstree_find(t, "p");
	assert_non_null(i);
	assert_int_equal(i->mode, S_IFIFO | 06751);
	assert_int_equal(i->uid, 70000);
	assert_int_equal(i->gid, UINT32_MAX - 1);
	assert_true(i->mtime_sec == -5);
	assert_int_equal(i->mtime_nsec, 999999999);
	i = fstree_root(t);
	assert_int_equal(i->mode, S_IFDIR | 0755);
	assert_true(i->mtime_sec == 0 && i->uid == 0 && i->gid == 0);
	fstree_free(t);
}

static uint32_t acl_make(uint8_t *at, const uint32_t (*rows)[3], size_t n)
{
	put_le32(at, 2);
	for (size_t k = 0; k < n; k++) {
		put_le16(at + 4 + k * 8, (uint16_t)rows[k][0]);
		put_le16(at + 6 + k * 8, (uint16_t)rows[k][1]);
		put_le32(at + 8 + k * 8, rows[k][2]);
	}
	return (uint32_t)(4 + n * 8);
}

static void test_acls(void **state)
{
	static const struct {
		uint32_t rows[6][3];
		size_t n;
		bool good;
	} acls[] = {
		{ { { 1, 6, ~0U }, { 4, 4, ~0U }, { 32, 4, ~0U } }, 3, true },
		{ { { 1, 6, ~0U },
		    { 2, 7, 5 },
		    { 2, 7, 6 },
		    { 4, 4, ~0U },
		    { 16, 7, ~0U },
		    { 32, 4, ~0U } },
		  6,
		  true },
		{ { { 1, 6, ~0U }, { 2, 7, 5 }, { 4, 4, ~0U }, { 32, 4, ~0U } }, 4, false },
		{ { { 1, 6, ~0U }, { 4, 4, ~0U } }, 2, false },
		{ { { 4, 4, ~0U }, { 1, 6, ~0U }, { 32, 4, ~0U } }, 3, false },
		{ { { 1, 8, ~0U }, { 4, 4, ~0U }, { 32, 4, ~0U } }, 3, false },
		{ { { 1, 6, ~0U }, { 1, 6, ~0U }, { 4, 4, ~0U }, { 32, 4, ~0U } }, 4, false },
		{ { { 1, 6, ~0U }, { 3, 6, 1 }, { 4, 4, ~0U }, { 32, 4, ~0U } }, 4, false },
		{ { { 1, 6, ~0U }, { 2, 6, ~0U }, { 4, 4, ~0U }, { 16, 1, ~0U }, { 32, 4, ~0U } },
		  5,
		  false },
		{ { { 0 } }, 0, false },
	};
	uint8_t value[64];
	struct ltree_xattr x = { "system.posix_acl_access", value, 0 };
	struct ltree_record r = { .kind = LTREE_FIFO, .path = "p", .xattrs = &x, .n_xattrs = 1 };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(acls); k++) {
		struct fstree *t;
		struct err e = { 0 };

		x.value_len = acl_make(value, acls[k].rows, acls[k].n);
		if ((one_apply(&r, &t, &e) == 0) != acls[k].good)
			fail_msg("ACL %zu: %s", k, e.msg);
		fstree_free(t);
	}
}

static void test_xattrs_kept(void **state)
{
	static const struct {
		enum ltree_kind kind;
		const char *name;
		bool kept;
	} rows[] = {
		{ LTREE_REG, "user.a", true },
		{ LTREE_DIR, "user.a", true },
		{ LTREE_FIFO, "user.a", false },
		{ LTREE_REG, "security.capability", true },
		{ LTREE_FIFO, "security.selinux", true },
		{ LTREE_REG, "trusted.a", true },
		{ LTREE_REG, "trusted.overlay.opaque", false },
		{ LTREE_DIR, "user.overlay.opaque", false },
		{ LTREE_REG, "user.overlay", true },
		{ LTREE_REG, "system.posix_acl_default", false },
		{ LTREE_REG, "system.nfs4_acl", false },
		{ LTREE_REG, "btrfs.x", false },
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		struct ltree_xattr x = { rows[k].name, "v", 1 };
		struct ltree_record r = {
			.kind = rows[k].kind, .path = "p", .xattrs = &x, .n_xattrs = 1
		};
		struct fstree *t;
		struct err e = { 0 };

		assert_int_equal(one_apply(&r, &t, &e), 0);
		if ((fstree_find(t, "p")->n_xattrs == 1) != rows[k].kept)
			fail_msg("%s", rows[k].name);
		fstree_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),     cmocka_unit_test(test_whiteouts),
		cmocka_unit_test(test_opaque),      cmocka_unit_test(test_symlink_parents),
		cmocka_unit_test(test_hard_links),  cmocka_unit_test(test_hard_link_is_one_inode),
		cmocka_unit_test(test_refused),     cmocka_unit_test(test_chain_limit),
		cmocka_unit_test(test_depth_limit), cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_acls),        cmocka_unit_test(test_xattrs_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
