/* SPDX-License-Identifier: MIT */
/* test_failnth_unpack.c - a layer on its way to the disk when memory or a call fails */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include "failnth.h"
#include "fdio.h"
#include "fstree.h"
#include "inflate.h"
#include "layer_pipe.h"
#include "ltree.h"
#include "merge.h"
#include "tar_fixture.h"
#include "unpack.h"

static struct {
	struct buf tar, gzip, zstd, tree;
} in;

/* All kinds of entries, long names, attributes, access lists, sparse files. */
static void tar_make(struct buf *b)
{
	static char data[300000];
	char name[200];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 >> 3);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	tar_put(b, &(struct tar_spec){ .type = '5', .name = "d/", .mode = "0000755" });
	tar_put(b, &(struct tar_spec){ .name = "d/file", .data = data, .len = sizeof(data) });
	tar_put_pax(b, 'x',
		    (const char *const[]){ "path", name, "SCHILY.xattr.user.a", "value",
					   "SCHILY.acl.access", "user::rw-,group::r--,other::r--",
					   "mtime", "1700000000.5", NULL });
	tar_put(b, &(struct tar_spec){ .name = "short", .data = data, .len = 5000 });
	tar_put(b, &(struct tar_spec){ .type = '2', .name = "link", .link = "d/file" });
	tar_put(b, &(struct tar_spec){ .type = '1', .name = "hard", .link = "d/file" });
	tar_put_pax(b, 'x',
		    (const char *const[]){ "GNU.sparse.size", "1000000", "GNU.sparse.numblocks",
					   "2", "GNU.sparse.map", "0,512,8192,512", NULL });
	tar_put(b, &(struct tar_spec){ .name = "sparse", .data = data, .len = 1024 });
	tar_put(b, &(struct tar_spec){ .name = "d/.wh.gone" });
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "many/%d/of/them", i);
		tar_put(b, &(struct tar_spec){ .name = name, .data = data, .len = 100 });
	}
	tar_put_end(b);
}

static void compress_it(void)
{
	z_stream z = { .next_in = (uint8_t *)in.tar.data, .avail_in = (uInt)in.tar.len };
	size_t room = compressBound(in.tar.len) + 100;

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(buf_reserve(&in.gzip, room), 0);
	z.next_out = (uint8_t *)in.gzip.data;
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	in.gzip.len = z.total_out;
	assert_int_equal(deflateEnd(&z), Z_OK);
	room = ZSTD_compressBound(in.tar.len);
	assert_int_equal(buf_reserve(&in.zstd, room), 0);
	in.zstd.len = ZSTD_compress(in.zstd.data, room, in.tar.data, in.tar.len, 3);
	assert_false(ZSTD_isError(in.zstd.len));
}

struct files {
	int data_fd, tree_fd;
};

static int files_open(struct files *f, struct err *e)
{
	f->data_fd = memfd_create("data", MFD_CLOEXEC);
	f->tree_fd = f->data_fd < 0 ? -1 : memfd_create("tree", MFD_CLOEXEC);
	return f->tree_fd < 0 ? err_set(e, errno, "memfd") : 0;
}

static void files_close(struct files *f)
{
	fd_drop(&f->data_fd);
	fd_drop(&f->tree_fd);
}

/* Whoever wrote it: the same tree each time. */
static int tree_check(int tree_fd, struct err *e)
{
	auto_buf b = { 0 };
	int rc;

	if (lseek(tree_fd, 0, SEEK_SET) < 0)
		return err_set(e, errno, "seek");
	rc = fd_read_all(tree_fd, &b);
	if (rc < 0)
		return err_set(e, -rc, "read");
	if (!in.tree.data)
		return buf_add(&in.tree, b.data, b.len);
	assert_int_equal(b.len, in.tree.len);
	assert_memory_equal(b.data, in.tree.data, b.len);
	return 0;
}

static int unpack(void *arg, struct err *e)
{
	struct mem_source m;
	struct byte_source src = mem_source_of(&m, &in.tar, 10000);
	struct unpack_result got;
	struct files f = { -1, -1 };
	int rc = files_open(&f, e);

	(void)arg;
	if (rc == 0)
		rc = unpack_tar(&src, f.data_fd, f.tree_fd, &got, e);
	if (rc == 0)
		rc = tree_check(f.tree_fd, e);
	files_close(&f);
	return rc;
}

static int inflate_all(void *arg, struct err *e)
{
	struct mem_source m;
	struct byte_source src = mem_source_of(&m, arg, 1000);
	static char out[65536];
	struct inflate *z;
	size_t n = 1, at = 0;
	int rc;

	if (inflate_new(&src, &z, e) < 0)
		return -e->code;
	while ((rc = inflate_read(z, out, sizeof(out), &n, e)) == 0 && n > 0) {
		assert_true(at + n <= in.tar.len);
		assert_memory_equal(out, in.tar.data + at, n);
		at += n;
	}
	inflate_free(z);
	if (rc == 0)
		assert_int_equal(at, in.tar.len);
	return rc;
}

/* With its three threads. */
static int pipe_run(void *arg, struct err *e)
{
	const struct buf *blob = arg;
	static struct layer_result first;
	struct layer_result got = { 0 };
	struct files f = { -1, -1 };
	struct layer_files l;
	int p[2], rc = files_open(&f, e);

	if (rc < 0 || pipe2(p, O_CLOEXEC) < 0) {
		files_close(&f);
		return rc < 0 ? rc : err_set(e, errno, "pipe");
	}
	close(p[1]); /* no count: the file's size */
	l = (struct layer_files){ .blob_fd = memfd_create("blob", MFD_CLOEXEC),
				  .count_fd = p[0],
				  .data_fd = f.data_fd,
				  .tree_fd = f.tree_fd };
	rc = l.blob_fd < 0 ? -errno : fd_write_full(l.blob_fd, blob->data, blob->len);
	rc = rc < 0 ? err_set(e, -rc, "blob") : layer_unpack(&l, &got, e);
	if (rc == 0)
		rc = tree_check(f.tree_fd, e);
	if (rc == 0 && first.blob_size == 0)
		first = got;
	if (rc == 0)
		assert_memory_equal(&got, &first, sizeof(got));
	fd_drop(&l.blob_fd);
	close(p[0]);
	files_close(&f);
	return rc;
}

static int read_back(void *arg, struct err *e)
{
	struct ltree_reader *r;
	struct ltree_record x;
	uint64_t n = 0;
	int rc;

	(void)arg;
	if (ltree_reader_new(in.tree.data, in.tree.len, &r, e) < 0)
		return -e->code;
	while ((rc = ltree_reader_next(r, &x, e)) > 0)
		n++;
	if (rc == 0)
		assert_int_equal(n, ltree_reader_n_records(r));
	ltree_reader_free(r);
	return rc;
}

static int apply(void *arg, struct err *e)
{
	struct ltree_reader *r = NULL;
	struct fstree *t = NULL;
	int rc = fstree_new(&t, e);

	(void)arg;
	for (int i = 0; rc == 0 && i < 2; i++) {
		rc = ltree_reader_new(in.tree.data, in.tree.len, &r, e);
		if (rc == 0)
			rc = fstree_apply(t, r, e);
		ltree_reader_free(r);
		r = NULL;
	}
	if (rc == 0)
		assert_non_null(fstree_find(t, "many/39/of/them"));
	fstree_free(t);
	return rc;
}

/* The same bytes each time. */
static int merge(void *arg, struct err *e)
{
	static struct merge_result got;
	struct buf *meta = arg;
	const struct merge_layer layers[2] = { { in.tree.data, in.tree.len },
					       { in.tree.data, in.tree.len } };
	auto_fd fd = memfd_create("meta", MFD_CLOEXEC);
	auto_buf b = { 0 };
	int rc;

	if (fd < 0)
		return err_set(e, errno, "memfd");
	if (merge_layers(layers, 2, (const uint8_t *)"fedcba9876543210", fd, &got, e) < 0)
		return -e->code;
	rc = lseek(fd, 0, SEEK_SET) < 0 ? -errno : fd_read_all(fd, &b);
	if (rc < 0)
		return err_set(e, -rc, "read");
	if (!meta->data)
		return buf_add(meta, b.data, b.len);
	assert_int_equal(b.len, meta->len);
	assert_memory_equal(b.data, meta->data, b.len);
	return 0;
}

static void each(void **state)
{
	auto_buf meta = { 0 };
	const struct failnth t[] = {
		{ "unpack", unpack, NULL, NULL, FAIL_ALLOC | FAIL_CALL, NULL },
		{ "plain", inflate_all, NULL, &in.tar, FAIL_ALLOC, NULL },
		{ "gzip", inflate_all, NULL, &in.gzip, FAIL_ALLOC, NULL },
		{ "zstd", inflate_all, NULL, &in.zstd, FAIL_ALLOC, NULL },
		{ "layer pipe", pipe_run, NULL, &in.gzip, FAIL_ALLOC | FAIL_CALL, NULL },
		{ "ltree", read_back, NULL, NULL, FAIL_ALLOC, NULL },
		{ "fstree", apply, NULL, NULL, FAIL_ALLOC, NULL },
		{ "merge", merge, NULL, &meta, FAIL_ALLOC | FAIL_CALL, NULL },
	};

	(void)state;
	tar_make(&in.tar);
	compress_it();
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		failnth_run(&t[i]);
	buf_done(&in.tar);
	buf_done(&in.gzip);
	buf_done(&in.zstd);
	buf_done(&in.tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
