/* SPDX-License-Identifier: MIT */
/* From the plugin's parameters to an open image: by path, by list, by descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>

#include "cleanup.h"
#include "plugin_image.h"

static char dir[] = "/tmp/caisson-test-nbdkit-XXXXXX";

static void fd_numbers(void **state)
{
	static const struct {
		const char *path;
		int want;
	} rows[] = {
		{ "/proc/self/fd/3", 3 },
		{ "/dev/fd/12", 12 },
		{ "/proc/self/fd/0", 0 },
		{ "/proc/self/fd/", -1 },
		{ "/proc/self/fd/3/", -1 },
		{ "/proc/self/fd/3x", -1 },
		{ "/proc/self/fd/-3", -1 },
		{ "/proc/self/fd/ 3", -1 },
		{ "/proc/self/fd/99999999999", -1 },
		{ "/proc/self/fd/99999999999999999999999", -1 },
		{ "/proc/1/fd/3", -1 },
		{ "dev/fd/3", -1 },
		{ "3", -1 },
		{ "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (image_fd_number(rows[i].path) != rows[i].want)
			fail_msg("%s: %d", rows[i].path, image_fd_number(rows[i].path));
}

static int io_open(const char *path, int flags, struct vhd_io **ret, struct vhd_err *e)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : vhd_io_file(fd, path, ret, e);
}

/* onraw.vhd on base.raw, as blktap's vhd-util makes it with -m: the child names no id. */
static int raw_make(struct vhd_err *e)
{
	const struct vhd_open_options raw = { .flags = VHD_OPEN_RAW };
	const struct vhd_create_options o = { .type = VHD_TYPE_DIFFERENCING };
	auto_fd fd = open("base.raw", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct vhd_io *io;
	struct vhd *base;
	int rc;

	if (fd < 0 || ftruncate(fd, 8 << 20) < 0 || pwrite(fd, "raw!", 4, 4096) != 4 ||
	    io_open("base.raw", O_RDONLY, &io, e) < 0 ||
	    vhd_open_io(io, NULL, &raw, &base, e) < 0 ||
	    io_open("onraw.vhd", O_RDWR | O_CREAT, &io, e) < 0)
		return -1;
	rc = vhd_create_io(io, base, &o, e);
	vhd_io_close(io);
	return vhd_close(base, e) < 0 ? -1 : rc;
}

static int set_up(void **state)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = 8U << 20 };
	struct vhd_err e = { 0 };

	(void)state;
	if (!mkdtemp(dir) || chdir(dir) < 0)
		return -1;
	if (vhd_create("base.vhd", &o, &e) < 0 || vhd_create("other.vhd", &o, &e) < 0)
		return -1;
	o.type = VHD_TYPE_DIFFERENCING;
	o.parent = "base.vhd";
	if (vhd_create("leaf.vhd", &o, &e) < 0 || raw_make(&e) < 0)
		return -1;
	o.parent = "onraw.vhd";
	o.parent_options = &(const struct vhd_open_options){ .flags = VHD_OPEN_NO_PARENT };
	return vhd_create("top.vhd", &o, &e);
}

static int tear_down(void **state)
{
	(void)state;
	unlink("base.raw");
	unlink("onraw.vhd");
	unlink("top.vhd");
	unlink("base.vhd");
	unlink("other.vhd");
	unlink("leaf.vhd");
	return rmdir(dir);
}

static int try_open(const struct image_config *c, enum image_use use, unsigned int *ret_depth)
{
	struct vhd_err e = { 0 };
	struct vhd *v;

	if (image_open(c, use, &v, &e) < 0) {
		assert_true(strlen(e.msg) > 0);
		return -e.code;
	}
	*ret_depth = vhd_depth(v);
	return vhd_close(v, &e);
}

static void chains(void **state)
{
	static const struct {
		struct image_config c;
		unsigned int depth; /* 0: refused */
	} rows[] = {
		{ { .file = (char *)"leaf.vhd" }, 2 },
		{ { .file = (char *)"base.vhd" }, 1 },
		{ { .file = (char *)"leaf.vhd", .parents = { (char *)"base.vhd" }, .n_parents = 1 },
		  2 },
		{ { .file = (char *)"leaf.vhd",
		    .parents = { (char *)"other.vhd" },
		    .n_parents = 1 },
		  0 },
		{ { .file = (char *)"base.vhd",
		    .parents = { (char *)"leaf.vhd", (char *)"base.vhd" },
		    .n_parents = 2 },
		  0 },
		{ { .file = (char *)"leaf.vhd", .parents = { (char *)"no.vhd" }, .n_parents = 1 },
		  0 },
		{ { .file = (char *)"onraw.vhd",
		    .parents = { (char *)"base.raw" },
		    .n_parents = 1 },
		  2 },
		{ { .file = (char *)"top.vhd",
		    .parents = { (char *)"onraw.vhd", (char *)"base.raw" },
		    .n_parents = 2 },
		  3 },
		{ { .file = (char *)"top.vhd", .parents = { (char *)"base.raw" }, .n_parents = 1 },
		  0 },
		{ { .file = (char *)"leaf.vhd", .parents = { (char *)"base.raw" }, .n_parents = 1 },
		  0 },
		{ { .file = (char *)"base.vhd", .parents = { (char *)"base.raw" }, .n_parents = 1 },
		  0 },
		{ { .file = (char *)"onraw.vhd" }, 0 },
		{ { .file = (char *)"base.raw" }, 0 },
		{ { .file = (char *)"leaf.vhd", .roots = { (char *)"/proc" }, .n_roots = 1 }, 0 },
		{ { .file = (char *)"no.vhd" }, 0 },
		{ { .file = (char *)"/dev/fd/987" }, 0 },
		{ { .file = (char *)"/dev/null" }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (enum image_use use = IMAGE_READ; use <= IMAGE_WRITE; use++) {
			unsigned int depth = 0;
			int rc = try_open(&rows[i].c, use, &depth);

			if ((rc == 0) != (rows[i].depth > 0) || depth != rows[i].depth)
				fail_msg("row %zu, use %d: %d, depth %u", i, use, rc, depth);
		}
	}
}

static void raw_parent_is_read(void **state)
{
	static const struct image_config c = { .file = (char *)"top.vhd",
					       .parents = { (char *)"onraw.vhd",
							    (char *)"base.raw" },
					       .n_parents = 2 };
	struct vhd_err e = { 0 };
	char got[4] = "";
	struct vhd *v;

	(void)state;
	assert_int_equal(image_open(&c, IMAGE_WRITE, &v, &e), 0);
	assert_int_equal(vhd_read(v, got, 4, 4096, &e), 0);
	assert_memory_equal(got, "raw!", 4);
	assert_int_equal(vhd_write(v, "vhd!", 4, 4096, &e), 0);
	assert_int_equal(vhd_close(v, &e), 0);
	assert_int_equal(image_open(&c, IMAGE_READ, &v, &e), 0);
	assert_int_equal(vhd_read(v, got, 4, 4096, &e), 0);
	assert_memory_equal(got, "vhd!", 4);
	assert_int_equal(vhd_close(v, &e), 0);
}

/* What a sandbox is asked for: that nothing is to be opened. */
static void given(void **state)
{
	static const struct {
		struct image_config c;
		bool want;
	} rows[] = {
		{ { .file = (char *)"/dev/fd/3" }, true },
		{ { .file = (char *)"leaf.vhd" }, false },
		{ { .file = (char *)"/dev/fd/3",
		    .parents = { (char *)"/proc/self/fd/4" },
		    .n_parents = 1 },
		  true },
		{ { .file = (char *)"/dev/fd/3",
		    .parents = { (char *)"base.vhd" },
		    .n_parents = 1 },
		  false },
		{ { .file = (char *)"leaf.vhd",
		    .parents = { (char *)"/dev/fd/4" },
		    .n_parents = 1 },
		  false },
		{ { .file = (char *)"/dev/fd/3",
		    .parents = { (char *)"/dev/fd/4", (char *)"/dev/fd/x" },
		    .n_parents = 2 },
		  false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (image_is_given(&rows[i].c) != rows[i].want)
			fail_msg("row %zu", i);
}

/* The descriptors stay the caller's, and names may be gone. */
static void descriptors(void **state)
{
	auto_fd leaf = open("leaf.vhd", O_RDWR | O_CLOEXEC);
	auto_fd base = open("base.vhd", O_RDONLY | O_CLOEXEC);
	struct image_config c = { .n_parents = 1 };
	char file[32], parent[32];
	unsigned int depth = 0;

	(void)state;
	snprintf(file, sizeof(file), "/proc/self/fd/%d", leaf);
	snprintf(parent, sizeof(parent), "/dev/fd/%d", base);
	c.file = file;
	c.parents[0] = parent;
	assert_int_equal(rename("base.vhd", "gone.vhd"), 0);
	for (enum image_use use = IMAGE_READ; use <= IMAGE_WRITE; use++) {
		assert_int_equal(try_open(&c, use, &depth), 0);
		assert_int_equal(depth, 2);
	}
	assert_int_equal(rename("gone.vhd", "base.vhd"), 0);
	assert_true(fcntl(leaf, F_GETFD) >= 0 && fcntl(base, F_GETFD) >= 0);
	c.n_parents = 0; /* where its parent is cannot be known */
	assert_true(try_open(&c, IMAGE_READ, &depth) < 0);
	c.n_parents = 1;
	c.file = parent; /* open for reading only */
	c.n_parents = 0;
	assert_int_equal(try_open(&c, IMAGE_READ, &depth), 0);
	assert_true(try_open(&c, IMAGE_WRITE, &depth) < 0);
}

/* One writer, or readers; however the image is named, as vhd_open() has it. */
static void locks(void **state)
{
	struct image_config by_path = { .file = (char *)"leaf.vhd" };
	struct image_config by_list = { .file = (char *)"leaf.vhd",
					.parents = { (char *)"base.vhd" },
					.n_parents = 1 };
	const struct image_config *configs[] = { &by_path, &by_list };
	const struct vhd_open_options write = { .flags = VHD_OPEN_WRITE };
	struct vhd_err e = { 0 };
	unsigned int depth;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
		struct vhd *v, *other;

		assert_int_equal(vhd_open("leaf.vhd", &write, &v, &e), 0);
		assert_int_equal(try_open(configs[i], IMAGE_READ, &depth), -EBUSY);
		assert_int_equal(try_open(configs[i], IMAGE_WRITE, &depth), -EBUSY);
		assert_int_equal(vhd_close(v, &e), 0);

		assert_int_equal(image_open(configs[i], IMAGE_READ, &v, &e), 0);
		assert_int_equal(vhd_open("leaf.vhd", &write, &other, &e), -EBUSY);
		assert_int_equal(vhd_open("base.vhd", &write, &other, &e), -EBUSY);
		assert_int_equal(try_open(configs[i], IMAGE_READ, &depth), 0);
		assert_int_equal(vhd_close(v, &e), 0);

		assert_int_equal(image_open(configs[i], IMAGE_WRITE, &v, &e), 0);
		assert_int_equal(vhd_open("leaf.vhd", NULL, &other, &e), -EBUSY);
		assert_int_equal(vhd_close(v, &e), 0);
		assert_int_equal(try_open(configs[i], IMAGE_WRITE, &depth), 0);
	}
}

/* Who gives a descriptor keeps the lock it has on it. */
static void given_lock_stays(void **state)
{
	const struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	auto_fd leaf = open("leaf.vhd", O_RDWR | O_CLOEXEC);
	char file[32];
	struct image_config c = { .file = file, .parents = { (char *)"base.vhd" }, .n_parents = 1 };
	struct vhd_err e = { 0 };
	unsigned int depth;
	struct vhd *other;

	(void)state;
	snprintf(file, sizeof(file), "/dev/fd/%d", leaf);
	assert_int_equal(fcntl(leaf, F_OFD_SETLK, &lock), 0);
	for (enum image_use use = IMAGE_READ; use <= IMAGE_WRITE; use++) {
		assert_int_equal(try_open(&c, use, &depth), 0);
		assert_int_equal(vhd_open("leaf.vhd", NULL, &other, &e), -EBUSY);
	}
}

static void space_can_be_given_back(void **state)
{
	struct image_config c = { .file = (char *)"base.vhd" };

	(void)state;
	assert_true(image_can_punch(&c)); /* /tmp of any Linux of today */
	c.file = (char *)"/dev/null";
	assert_false(image_can_punch(&c));
	c.file = (char *)"no.vhd";
	assert_false(image_can_punch(&c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fd_numbers),         cmocka_unit_test(chains),
		cmocka_unit_test(raw_parent_is_read), cmocka_unit_test(given),
		cmocka_unit_test(descriptors),        cmocka_unit_test(locks),
		cmocka_unit_test(given_lock_stays),   cmocka_unit_test(space_can_be_given_back),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
