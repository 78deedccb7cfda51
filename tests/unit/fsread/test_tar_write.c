/* SPDX-License-Identifier: MIT */
/* test_tar_write.c - what is written is read back, by our reader and by tar's */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "fdio.h"
#include "fs_fixture.h"
#include "tar_write.h"
#include "temp_dir.h"

static char long_name[300], long_link[400];

struct stream {
	int fd;
	struct layer_writer *layer;
	struct tar_writer tar;
};

static void stream_begin(struct stream *s)
{
	struct err e = { 0 };

	s->fd = openat(temp_dir.fd, "layer", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(s->fd >= 0);
	assert_int_equal(layer_writer_new(s->fd, &s->layer, &e), 0);
	tar_writer_init(&s->tar, s->layer);
}

static void stream_end(struct stream *s, struct layer_written *ret)
{
	struct err e = { 0 };

	assert_int_equal(tar_writer_finish(&s->tar, &e), 0);
	assert_int_equal(layer_writer_finish(s->layer, ret, &e), 0);
	tar_writer_done(&s->tar);
	layer_writer_free(s->layer);
}

static void expect(const struct tar_entry *t, const void *data, size_t len, const char *want)
{
	auto_buf list = { 0 };
	struct layer_written w;
	struct err e = { 0 };
	struct stream s;
	char first[LAYER_WRITE_DIGEST];

	for (int again = 0; again < 2; again++) {
		stream_begin(&s);
		assert_int_equal(tar_writer_entry(&s.tar, t, &e), 0);
		assert_int_equal(tar_writer_data(&s.tar, data, len, &e), 0);
		stream_end(&s, &w);
		if (again)
			assert_string_equal(w.blob, first);
		memcpy(first, w.blob, sizeof(first));
		buf_clear(&list);
		if (layer_list(s.fd, &list, &e) < 0)
			fail_msg("%s: %s", want, e.msg);
		assert_true((uint64_t)lseek(s.fd, 0, SEEK_END) == w.size);
		close(s.fd);
	}
	assert_string_equal(list.data, want);
	must_run("tar tzf %s/layer >/dev/null", temp_dir.path);
}

static void entries(void **state)
{
	char want[2000];

	(void)state;
	memset(long_name, 'n', sizeof(long_name) - 1);
	memset(long_link, 'l', sizeof(long_link) - 1);
	expect(
		&(struct tar_entry){
			.type = TAR_DIR, .path = "d", .mode = 01755, .uid = 1, .gid = 2 },
		NULL, 0, "dir 1755 1:2 0 0.0 d/\n");
	expect(&(struct tar_entry){ .path = "f", .mode = 0644, .size = 3, .mtime_sec = 5 }, "abc",
	       3, "reg 644 0:0 3 5.0 f #ea83a21908211a4b\n");
	snprintf(want, sizeof(want), "symlink 777 0:0 0 -2.500000000 %s -> %s\n", long_name,
		 long_link);
	expect(&(struct tar_entry){ .type = TAR_SYMLINK,
				    .path = long_name,
				    .link = long_link,
				    .mode = 0777,
				    .mtime_sec = -2,
				    .mtime_nsec = 500000000 },
	       NULL, 0, want);
	expect(&(struct tar_entry){ .type = TAR_FIFO,
				    .path = "p",
				    .uid = 3000000,
				    .gid = UINT32_MAX - 1,
				    .mtime_sec = 1LL << 40,
				    .mtime_nsec = 7 },
	       NULL, 0, "fifo 0 3000000:4294967294 0 1099511627776.7 p\n");
	expect(&(struct tar_entry){ .type = TAR_CHR, .path = "c", .major = 4095, .minor = 1048575 },
	       NULL, 0, "chr 0 0:0 0 0.0 c 4095,1048575\n");
	expect(&(struct tar_entry){ .type = TAR_HARDLINK, .path = "h", .link = "f" }, NULL, 0,
	       "hard 0 0:0 0 0.0 h -> f\n");
}

static void attributes(void **state)
{
	static const struct ltree_xattr x[] = { { "security.capability", "\1\0\0", 3 },
						{ "user.a", "line\nb=c", 8 },
						{ "user.empty", "", 0 } };

	(void)state;
	expect(&(struct tar_entry){ .path = "f", .xattrs = x, .n_xattrs = 3 }, NULL, 0,
	       "reg 0 0:0 0 0.0 f security.capability=\1 user.a=line\nb=c user.empty= "
	       "#cbf29ce484222325\n");
}

static void sparse(void **state)
{
	static const struct tar_extent map[] = { { 4096, 512 },
						 { 1ULL << 33, 2 },
						 { 1ULL << 34, 0 } };
	auto_buf list = { 0 };
	static const char piece[512] = "abc";
	struct layer_written w;
	struct err e = { 0 };
	struct stream s;

	(void)state;
	stream_begin(&s);
	assert_int_equal(tar_writer_entry(&s.tar,
					  &(struct tar_entry){ .path = "s",
							       .mode = 0600,
							       .size = 1ULL << 34,
							       .is_sparse = true,
							       .map = map,
							       .n_map = 3 },
					  &e),
			 0);
	assert_int_equal(tar_writer_data(&s.tar, piece, sizeof(piece), &e), 0);
	assert_int_equal(tar_writer_data(&s.tar, "de", 2, &e), 0);
	assert_int_equal(tar_writer_data(&s.tar, "f", 1, &e), -EINVAL);
	stream_end(&s, &w);
	assert_int_equal(layer_list(s.fd, &list, &e), 0);
	assert_non_null(strstr(list.data, "reg 600 0:0 17179869184 0.0 s #"));
	assert_non_null(strstr(list.data, " sparse\n"));
	close(s.fd);
	must_run(
		"cd %s && mkdir x && tar xzf layer -C x && [ $(stat -c %%s x/s) = 17179869184 ] && "
		"[ $(tail -c +4097 x/s | head -c 3) = abc ]",
		temp_dir.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(entries, temp_dir_setup, temp_dir_teardown),
		cmocka_unit_test_setup_teardown(attributes, temp_dir_setup, temp_dir_teardown),
		cmocka_unit_test_setup_teardown(sparse, temp_dir_setup, temp_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
