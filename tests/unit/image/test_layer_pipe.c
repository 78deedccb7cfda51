/* SPDX-License-Identifier: MIT */
/* test_layer_pipe.c - a blob that is whole, growing, given up, or wrong */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include "bytes.h"
#include "fdio.h"
#include "layer_pipe.h"
#include "tar_fixture.h"

struct run {
	struct layer_files f;
	int count_in; /* the writer's end */
	struct layer_result got;
	struct err err;
	int rc;
};

static void run_init(struct run *r)
{
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	*r = (struct run){ .f = { .blob_fd = memfd_create("blob", MFD_CLOEXEC),
				  .count_fd = p[0],
				  .data_fd = memfd_create("data", MFD_CLOEXEC),
				  .tree_fd = memfd_create("tree", MFD_CLOEXEC) },
			   .count_in = p[1] };
}

static void run_done(struct run *r)
{
	fd_drop(&r->f.blob_fd);
	fd_drop(&r->f.count_fd);
	fd_drop(&r->f.data_fd);
	fd_drop(&r->f.tree_fd);
	fd_drop(&r->count_in);
}
#define auto_run __attribute__((cleanup(run_done))) struct run

static void count_put(struct run *r, uint64_t n)
{
	uint8_t raw[8];

	put_le64(raw, n);
	assert_int_equal(fd_write_full(r->count_in, raw, sizeof(raw)), 0);
}

static void *run_main(void *arg)
{
	struct run *r = arg;

	r->rc = layer_unpack(&r->f, &r->got, &r->err);
	return NULL;
}

static void gzip_of(const struct buf *in, struct buf *out)
{
	z_stream z = { .next_in = (uint8_t *)in->data, .avail_in = (uInt)in->len };

	assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(buf_reserve(out, deflateBound(&z, in->len)), 0);
	z.next_out = (uint8_t *)out->data;
	z.avail_out = (uInt)deflateBound(&z, in->len);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len = z.total_out;
	assert_int_equal(deflateEnd(&z), Z_OK);
}

/* A tar that fills the ring several times over, hard to compress. */
static void layer_make(struct buf *tar, struct buf *blob)
{
	static char data[5 << 20];
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(data); i++) {
		x = x * 1664525 + 1013904223;
		data[i] = (char)(x >> 24);
	}
	tar_put(tar, &(struct tar_spec){ .name = "a", .data = data, .len = sizeof(data) });
	tar_put(tar, &(struct tar_spec){ .name = "b", .data = "end", .len = 3 });
	tar_put_end(tar);
	gzip_of(tar, blob);
}

static void result_check(const struct run *r, const struct buf *tar, const struct buf *blob)
{
	uint8_t md[EVP_MAX_MD_SIZE];

	if (r->rc < 0)
		fail_msg("%s", r->err.msg);
	assert_int_equal(r->got.blob_size, blob->len);
	assert_int_equal(r->got.out.n_records, 2);
	assert_int_equal(EVP_Digest(tar->data, tar->len, md, NULL, EVP_sha256(), NULL), 1);
	assert_memory_equal(r->got.diff_id, md, LAYER_DIGEST_SIZE);
	assert_int_equal(EVP_Digest(blob->data, blob->len, md, NULL, EVP_sha256(), NULL), 1);
	assert_memory_equal(r->got.blob_digest, md, LAYER_DIGEST_SIZE);
}

static void whole_blob(void **state)
{
	auto_buf tar = { 0 }, blob = { 0 };
	auto_run r;

	(void)state;
	run_init(&r);
	layer_make(&tar, &blob);
	assert_int_equal(fd_write_full(r.f.blob_fd, blob.data, blob.len), 0);
	fd_drop(&r.count_in); /* an end without any count: the file's size */
	run_main(&r);
	result_check(&r, &tar, &blob);
}

static void counts_may_be_short_of_the_file(void **state)
{
	auto_buf tar = { 0 }, blob = { 0 };
	auto_run r;

	(void)state;
	run_init(&r);
	layer_make(&tar, &blob);
	assert_int_equal(fd_write_full(r.f.blob_fd, blob.data, blob.len), 0);
	assert_int_equal(fd_write_full(r.f.blob_fd, "not of the blob", 15), 0);
	count_put(&r, 0);
	count_put(&r, blob.len);
	fd_drop(&r.count_in);
	run_main(&r);
	result_check(&r, &tar, &blob);
}

static void growing_blob(void **state)
{
	auto_buf tar = { 0 }, blob = { 0 };
	pthread_t t;
	auto_run r;
	size_t at = 0;

	(void)state;
	run_init(&r);
	layer_make(&tar, &blob);
	assert_int_equal(pthread_create(&t, NULL, run_main, &r), 0);
	for (size_t step = 1; at < blob.len; step = step * 3 + 1) {
		size_t n = MIN_OF(step, blob.len - at);
		uint8_t raw[8];

		assert_int_equal(fd_write_full(r.f.blob_fd, blob.data + at, n), 0);
		at += n;
		put_le64(raw, at);
		/* a count may come in two pieces */
		assert_int_equal(fd_write_full(r.count_in, raw, 3), 0);
		assert_int_equal(fd_write_full(r.count_in, raw + 3, 5), 0);
	}
	fd_drop(&r.count_in);
	assert_int_equal(pthread_join(t, NULL), 0);
	result_check(&r, &tar, &blob);
}

static void download_fails(void **state)
{
	static const struct {
		uint64_t counts[3];
		size_t n;
		const char *why;
	} t[] = {
		{ { UINT64_MAX }, 1, "given up" },
		{ { 100, UINT64_MAX }, 2, "given up" },
		{ { 100, 99 }, 2, "goes backwards" },
		{ { 1ULL << 63 }, 1, "goes backwards" },
		{ { 100 }, 1, "too early" },
		{ { 1 << 30 }, 1, "read blob" }, /* says more than there is */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf tar = { 0 }, blob = { 0 };
		auto_run r;

		run_init(&r);
		layer_make(&tar, &blob);
		assert_int_equal(fd_write_full(r.f.blob_fd, blob.data, 1000), 0);
		for (size_t k = 0; k < t[i].n; k++)
			count_put(&r, t[i].counts[k]);
		fd_drop(&r.count_in);
		run_main(&r);
		if (r.rc >= 0 || !strstr(r.err.msg, t[i].why))
			fail_msg("row %zu: %d %s", i, r.rc, r.err.msg);
	}
}

/* The unpacker's error ends a run whose download would go on for ever. */
static void bad_layer_ends_the_wait(void **state)
{
	auto_buf tar = { 0 };
	pthread_t t;
	auto_run r;

	(void)state;
	run_init(&r);
	tar_put(&tar, &(struct tar_spec){ .name = "../x" });
	for (int i = 0; i < 2000; i++)
		tar_put(&tar, &(struct tar_spec){ .name = "y" });
	assert_int_equal(fd_write_full(r.f.blob_fd, tar.data, tar.len), 0);
	assert_int_equal(pthread_create(&t, NULL, run_main, &r), 0);
	count_put(&r, tar.len); /* and the pipe stays open */
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(r.rc, -EBADMSG);
	assert_non_null(strstr(r.err.msg, "leaves the image"));
}

/* Records are whole before the stream is: its checksum still counts. */
static void bad_checksum_at_the_end(void **state)
{
	auto_buf tar = { 0 }, blob = { 0 };
	auto_run r;

	(void)state;
	run_init(&r);
	layer_make(&tar, &blob);
	blob.data[blob.len - 6] ^= 1;
	assert_int_equal(fd_write_full(r.f.blob_fd, blob.data, blob.len), 0);
	fd_drop(&r.count_in);
	run_main(&r);
	assert_int_equal(r.rc, -EBADMSG);
	assert_non_null(strstr(r.err.msg, "checksum"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_blob),
		cmocka_unit_test(counts_may_be_short_of_the_file),
		cmocka_unit_test(growing_blob),
		cmocka_unit_test(download_fails),
		cmocka_unit_test(bad_layer_ends_the_wait),
		cmocka_unit_test(bad_checksum_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
