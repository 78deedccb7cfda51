/* SPDX-License-Identifier: MIT */
/* test_tree_tar.c - walking what may be no tree, and the marks of overlays */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>

#include "fs_fixture.h"
#include "tree_tar.h"

/* A file system of rows: inode N is row N. */
struct row {
	struct fs_node node;
	const char *names[6]; /* of a directory: "NAME" ... */
	uint64_t inos[6];
	const char *link, *xattr, *value;
};

struct toy {
	struct fs fs;
	const struct row *rows;
	uint64_t n;
};

static const struct row *row_of(struct fs *f, uint64_t ino)
{
	struct toy *t = (struct toy *)f;

	assert_true(ino < t->n);
	return &t->rows[ino];
}

static int toy_node(struct fs *f, uint64_t ino, struct fs_node *ret, struct err *e)
{
	(void)e;
	*ret = row_of(f, ino)->node;
	return 0;
}

static int toy_list(struct fs *f, uint64_t dir, fs_name_fn *fn, void *arg, struct err *e)
{
	const struct row *r = row_of(f, dir);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(r->names) && r->names[i]; i++)
		rc = fn(arg, r->names[i], strlen(r->names[i]), r->inos[i], e);
	return rc;
}

static int toy_read(struct fs *f, uint64_t ino, void *data, size_t len, uint64_t off, struct err *e)
{
	(void)f, (void)e, (void)off;
	memset(data, (int)('a' + ino), len);
	return 0;
}

static int toy_map(struct fs *f, uint64_t ino, fs_run_fn *fn, void *arg, struct err *e)
{
	(void)f, (void)ino;
	return fn(arg, 8192, 4096, e);
}

static int toy_link(struct fs *f, uint64_t ino, struct buf *ret, struct err *e)
{
	(void)e;
	return buf_add_str(ret, row_of(f, ino)->link);
}

static int toy_xattrs(struct fs *f, uint64_t ino, fs_xattr_fn *fn, void *arg, struct err *e)
{
	const struct row *r = row_of(f, ino);

	return r->xattr ? fn(arg, r->xattr, r->value, strlen(r->value), e) : 0;
}

static int walk(const struct row *rows, uint64_t n, enum tree_kind kind, struct buf *list,
		struct tree_counts *counts, struct err *e)
{
	static const struct fs_ops ops = { toy_node, toy_list,   toy_read, toy_map,
					   toy_link, toy_xattrs, NULL };
	struct toy t = { .fs = { .ops = &ops, .root = 0 }, .rows = rows, .n = n };
	const struct tree_source s = { &t.fs, 0, kind, NULL, NULL };
	int fd = memfd_create("layer", MFD_CLOEXEC);
	struct layer_written written;
	struct layer_writer *w;
	int rc;

	assert_int_equal(layer_writer_new(fd, &w, e), 0);
	rc = tree_tar_write(&s, w, counts, e);
	if (rc == 0)
		rc = layer_writer_finish(w, &written, e);
	layer_writer_free(w);
	if (rc == 0)
		rc = layer_list(fd, list, e);
	close(fd);
	return rc;
}

#define DIR_NODE     .node = { .kind = FS_NODE_DIR, .mode = 0755, .links = 2 }
#define GONE_NODE    .node = { .kind = FS_NODE_CHR, .links = 1 }
#define FILE_NODE(l) .node = { .kind = FS_NODE_REG, .mode = 0644, .links = (l), .size = 1 }

static void whole(void **state)
{
	static const struct row rows[] = {
		{ DIR_NODE, .names = { "z", "a", ".wh.x", "s", "lost+found", "l" },
		  .inos = { 1, 2, 1, 3, 4, 5 } },
		{ FILE_NODE(2), .xattr = "user.k", .value = "v" },
		{ DIR_NODE, .names = { "again", "null" }, .inos = { 1, 6 },
		  .xattr = "trusted.overlay.opaque", .value = "y" },
		{ .node = { .kind = FS_NODE_SOCKET, .links = 1 } },
		{ DIR_NODE },
		{ .node = { .kind = FS_NODE_SYMLINK, .links = 1 }, .link = "to" },
		{ GONE_NODE },
	};
	struct tree_counts n = { 0 };
	auto_buf list = { 0 };
	struct err e = { 0 };

	(void)state;
	if (walk(rows, ARRAY_SIZE(rows), TREE_WHOLE, &list, &n, &e) < 0)
		fail_msg("%s", e.msg);
	/* sorted; the second name is a link; what a layer cannot hold is not there */
	assert_string_equal(list.data, "dir 755 0:0 0 0.0 ./\n"
				       "dir 755 0:0 0 0.0 a/\n"
				       "reg 644 0:0 1 0.0 a/again user.k=v #af63df4c8601f1a5\n"
				       "symlink 777 0:0 0 0.0 l -> to\n"
				       "hard 644 0:0 0 0.0 z -> a/again\n");
	assert_int_equal(n.left_out, 3);
	assert_int_equal(n.files, 5);
}

static void upper(void **state)
{
	static const struct row rows[] = {
		{ DIR_NODE, .names = { "b", "a" }, .inos = { 1, 2 } },
		{ DIR_NODE, .names = { "gone" }, .inos = { 2 }, .xattr = "trusted.overlay.opaque",
		  .value = "y" },
		{ GONE_NODE },
	};
	struct tree_counts n = { 0 };
	auto_buf list = { 0 };
	struct err e = { 0 };

	(void)state;
	if (walk(rows, ARRAY_SIZE(rows), TREE_UPPER, &list, &n, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(list.data, "dir 755 0:0 0 0.0 ./\n"
				       "reg 0 0:0 0 0.0 .wh.a #cbf29ce484222325\n"
				       "dir 755 0:0 0 0.0 b/\n"
				       "reg 0 0:0 0 0.0 b/.wh..wh..opq #cbf29ce484222325\n"
				       "reg 0 0:0 0 0.0 b/.wh.gone #cbf29ce484222325\n");
}

static void sparse(void **state)
{
	static const struct row rows[] = {
		{ DIR_NODE, .names = { "s", "t" }, .inos = { 1, 2 } },
		{ .node = { .kind = FS_NODE_REG,
			    .links = 1,
			    .size = 5U << 20,
			    .may_be_sparse = true } },
		{ .node = { .kind = FS_NODE_REG,
			    .links = 1,
			    .size = 1U << 20,
			    .may_be_sparse = true } },
	};
	struct tree_counts n = { 0 };
	auto_buf list = { 0 };
	struct err e = { 0 };

	(void)state;
	if (walk(rows, ARRAY_SIZE(rows), TREE_WHOLE, &list, &n, &e) < 0)
		fail_msg("%s", e.msg);
	assert_non_null(strstr(list.data, "5242880 0.0 s #"));
	assert_non_null(strstr(list.data, " sparse\n"));
	assert_null(strstr(strstr(list.data, " t #"), "sparse")); /* zeros do */
}

static void no_tree(void **state)
{
	static const struct {
		const char *what, *text;
		struct row rows[3];
	} t[] = {
		{ "a directory in itself",
		  "two names",
		  { { DIR_NODE, .names = { "a" }, .inos = { 0 } } } },
		{ "two names of a directory",
		  "two names",
		  { { DIR_NODE, .names = { "a", "b" }, .inos = { 1, 1 } }, { DIR_NODE } } },
		{ "a name twice",
		  "twice",
		  { { DIR_NODE, .names = { "a", "a" }, .inos = { 1, 2 } },
		    { FILE_NODE(1) },
		    { FILE_NODE(1) } } },
		{ "more than 16 TiB",
		  "16 TiB",
		  { { DIR_NODE, .names = { "a" }, .inos = { 1 } },
		    { .node = { .kind = FS_NODE_REG, .links = 1, .size = (1ULL << 44) + 1 } } } },
		{ "in pieces",
		  "redirect",
		  { { DIR_NODE, .names = { "a" }, .inos = { 1 } },
		    { DIR_NODE, .xattr = "trusted.overlay.redirect", .value = "x" } } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct tree_counts n = { 0 };
		auto_buf list = { 0 };
		struct err e = { 0 };

		if (walk(t[i].rows, 3, TREE_UPPER, &list, &n, &e) == 0)
			fail_msg("%s: not refused", t[i].what);
		if (!strstr(e.msg, t[i].text))
			fail_msg("%s: %s", t[i].what, e.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whole), cmocka_unit_test(upper),
					    cmocka_unit_test(sparse), cmocka_unit_test(no_tree) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
