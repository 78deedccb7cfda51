/* SPDX-License-Identifier: MIT */
/*
 * test_malformed.c - hostile images: nothing outside is touched, nothing grows, nothing is written
 *
 * test_check.c has which structures are refused; here is what else must hold whatever is wrong: the
 * file stays as it is, memory is bounded, descriptors are closed, good blocks of an image with bad
 * ones are read. And parents: only those that may be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "image_patch.h"

#include <dirent.h>

/* ---- what is allocated ----------------------------------------------------------------------- */

#define ALLOCATED_MAX (10U << 20) /* for an image of 10 MiB, opened in five ways */

static uint64_t allocated;

static void count_malloc(const volatile void *p, size_t size)
{
	(void)p;
	allocated += size;
}

static void count_free(const volatile void *p)
{
	(void)p;
}

/* Of the sanitizer that unit tests are built with; without it, nothing is counted. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
					      void (*on_free)(const volatile void *))
	__attribute__((weak));

static unsigned int descriptors(void)
{
	auto_dir d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	return n;
}

/* ---- whatever is wrong ----------------------------------------------------------------------- */

static uint8_t *file_bytes(const char *name, size_t *ret_len)
{
	uint8_t *bytes;

	*ret_len = image_length(name);
	bytes = malloc(*ret_len + 1);
	assert_non_null(bytes);
	bytes_get(name, bytes, *ret_len, 0);
	return bytes;
}

/* Everything that it says and holds; errors are fine, in words. */
static void look(struct vhd *v)
{
	static struct vhd_info info;
	static uint8_t buf[MIB / 2];
	uint64_t size = MIN_OF(vhd_size(v), 64 * MIB);
	struct vhd_extent x;
	struct vhd_err e;

	for (unsigned int i = 0; i < vhd_depth(v); i++)
		assert_int_equal(vhd_info_get(v, i, &info, &e), 0);
	for (uint64_t off = 0; off < size; off += sizeof(buf)) {
		size_t n = MIN_OF(sizeof(buf), size - off);

		e.msg[0] = '\0';
		assert_true(vhd_read(v, buf, n, off, &e) == 0 || e.msg[0]);
		assert_true(vhd_extent_at(v, off, n, &x, &e) == 0 || e.msg[0]);
	}
}

static void nothing(void *ctx, const char *file, const struct vhd_finding *f)
{
	(void)ctx;
	(void)file;
	(void)f;
}

/* Opened in every way that must not write; what each says in `rcs`. */
static void open_all_ways(const char *name)
{
	static const uint32_t flags[] = { 0, VHD_OPEN_NO_PARENT, VHD_OPEN_ANY_PARENT,
					  VHD_OPEN_DAMAGED, VHD_OPEN_NO_LOCK };
	auto_free uint8_t *before = NULL, *after = NULL;
	size_t n_before, n_after;
	unsigned int fds = descriptors();
	struct vhd_err e;

	before = file_bytes(name, &n_before);
	allocated = 0;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const struct vhd_open_options o = { .flags = flags[i] };
		struct vhd *v = NULL;

		memset(&e, 0, sizeof(e));
		if (vhd_open(image_path(name), &o, &v, &e) < 0) {
			assert_non_null(strstr(e.msg, image_dir)); /* names the file */
			continue;
		}
		look(v);
		assert_int_equal(vhd_close(v, &e), 0);
	}
	assert_true(vhd_check(image_path(name), NULL, nothing, NULL, NULL, &e) >= 0);
	assert_true(allocated < ALLOCATED_MAX);
	after = file_bytes(name, &n_after);
	assert_int_equal(n_before, n_after);
	assert_memory_equal(before, after, n_before);
	assert_int_equal(descriptors(), fds);
}

/* Each field of each structure gets odd values; sums are right, so that they count. */
static void odd_fields(void **state)
{
	static const uint64_t odd[] = { 0, 1, 511, 1 << 20, UINT32_MAX, 1ULL << 50, UINT64_MAX };
	static const struct {
		enum patch_where where;
		uint64_t off, end;
	} parts[] = { { PATCH_BOTH, 0, 88 },
		      { PATCH_TAIL, 8, 72 },
		      { PATCH_HEADER, 0, 72 },
		      { PATCH_HEADER, 576, 624 },
		      { PATCH_FILE, 8192, 8216 } };

	(void)state;
	dynamic_make("a.vhd", VHD_FOR_ANY);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		for (uint64_t off = parts[i].off; off < parts[i].end; off += 4) {
			for (size_t k = 0; k < ARRAY_SIZE(odd); k++) {
				const struct patch p = { parts[i].where, off, odd[k],
							 odd[k] > UINT32_MAX ? 8 : 4 };

				if ((off / 4 + k) % 3) /* all would take a minute */
					continue;
				child_make("c.vhd", "a.vhd");
				image_patch("c.vhd", &p);
				open_all_ways("c.vhd");
			}
		}
	}
}

/* Blocks whose place is outside cost themselves only. */
static void good_blocks_are_read(void **state)
{
	static const uint64_t bad[] = { 1 << 24, 0xfffffffe, (IMG_TAIL - MIB) / 512 };
	char buf[8] = "";
	struct vhd_err e;
	struct vhd *v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct patch p = { PATCH_FILE, IMG_TABLE + 4 * 2, bad[i], 4 };

		dynamic_make("a.vhd", VHD_FOR_ANY);
		image_patch("a.vhd", &p);
		must_be(vhd_open(image_path("a.vhd"), NULL, &v, &e), &e);
		assert_int_equal(vhd_read(v, buf, 4, 4 * MIB, &e), -EIO);
		assert_non_null(strstr(e.msg, "table entry 2"));
		must_be(vhd_read(v, buf, 4, 5, &e), &e);
		assert_memory_equal(buf, "zero", 4);
		must_be(vhd_read(v, buf, 5, 6 * MIB + 512, &e), &e);
		assert_memory_equal(buf, "three", 5);
		must_be(vhd_close(v, &e), &e);
		open_all_ways("a.vhd");
	}
}

/* The largest disk of a small file: what is allocated is a table, and no more. */
static void largest_disk(void **state)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = VHD_SIZE_MAX };
	const struct patch few = { PATCH_HEADER, 16, 1 << 30, 8 };
	struct vhd_extent x;
	struct vhd_err e;
	char byte = 1;
	struct vhd *v;

	(void)state;
	image_make("a.vhd", &o);
	allocated = 0;
	must_be(vhd_open(image_path("a.vhd"), NULL, &v, &e), &e);
	must_be(vhd_read(v, &byte, 1, VHD_SIZE_MAX - 1, &e), &e);
	assert_int_equal(byte, 0);
	must_be(vhd_extent_at(v, 0, VHD_SIZE_MAX, &x, &e), &e);
	assert_true(x.kind == VHD_EXTENT_ABSENT && x.len == VHD_SIZE_MAX);
	must_be(vhd_close(v, &e), &e);
	if (__sanitizer_install_malloc_and_free_hooks)
		assert_true(allocated > 4 * MIB); /* it does count */
	assert_true(allocated < 12 * MIB);        /* the table, a state for each block, the cache */
	image_patch("a.vhd", &few);
	allocated = 0;
	assert_int_equal(vhd_open(image_path("a.vhd"), NULL, &v, &e), -EINVAL);
	assert_true(allocated < MIB);
	image_remove("a.vhd");
}

/* ---- parents --------------------------------------------------------------------------------- */

static void child_named(const char *name, const char *parent, const char *said)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_DIFFERENCING,
					      .profile = VHD_FOR_XENSERVER, /* MacX too */
					      .parent = parent,
					      .parent_name = said };

	image_make(name, &o);
}

static int opens(const char *name, const struct vhd_open_options *o, struct vhd_err *e)
{
	struct vhd *v = NULL;
	int rc;

	memset(e, 0, sizeof(*e));
	rc = vhd_open(image_path(name), o, &v, e);
	if (rc == 0) {
		look(v);
		must_be(vhd_close(v, e), e);
	} else {
		assert_true(rc == -e->code && e->msg[0]);
	}
	return rc;
}

static void parents_outside(void **state)
{
	char absolute[PATH_MAX];
	const char *roots[] = { image_dir };
	const struct vhd_open_options wider = { .roots = roots, .n_roots = 1 };
	struct vhd_open_options given = { 0 };
	struct vhd_err e;

	(void)state;
	assert_int_equal(mkdir(image_path("root"), 0700), 0);
	dynamic_make("p.vhd", VHD_FOR_ANY);
	snprintf(absolute, sizeof(absolute), "%s", image_path("p.vhd"));

	child_named("root/up.vhd", absolute, "../p.vhd");
	assert_true(opens("root/up.vhd", NULL, &e) < 0);
	assert_int_equal(opens("root/up.vhd", &wider, &e), 0); /* it is only not allowed */
	given.parent = absolute;
	assert_int_equal(opens("root/up.vhd", &given, &e), 0);

	child_named("root/deep.vhd", absolute, "x/../../p.vhd");
	assert_true(opens("root/deep.vhd", NULL, &e) < 0);
	child_named("root/url.vhd", absolute, absolute);
	assert_true(opens("root/url.vhd", NULL, &e) < 0);

	child_named("root/link.vhd", absolute, "inside.vhd");
	assert_int_equal(symlink("../p.vhd", image_path("root/inside.vhd")), 0);
	assert_true(opens("root/link.vhd", NULL, &e) < 0); /* the link leads out */
	assert_int_equal(opens("root/link.vhd", &wider, &e), 0);
}

/* No file of another kind is waited for, read or taken for a disk. */
static void parents_of_other_kinds(void **state)
{
	const struct patch no_id[] = { { PATCH_HEADER, 40, 0, 8 }, { PATCH_HEADER, 48, 0, 8 } };
	struct vhd_open_options raw = { 0 };
	struct vhd_err e;
	char path[PATH_MAX];
	uint8_t text[1024];

	(void)state;
	dynamic_make("p.vhd", VHD_FOR_ANY);
	snprintf(path, sizeof(path), "%s", image_path("p.vhd"));
	child_named("fifo.vhd", path, "fifo");
	assert_int_equal(mkfifo(image_path("fifo"), 0600), 0);
	assert_true(opens("fifo.vhd", NULL, &e) < 0);
	child_named("dir.vhd", path, "dir");
	assert_int_equal(mkdir(image_path("dir"), 0700), 0);
	assert_true(opens("dir.vhd", NULL, &e) < 0);
	child_named("null.vhd", path, "null");
	assert_int_equal(symlink("/dev/null", image_path("null")), 0);
	assert_true(opens("null.vhd", NULL, &e) < 0);

	/* tapdisk's way to say "a raw file": not without the caller's word */
	child_named("raw.vhd", path, "secret");
	memset(text, 's', sizeof(text));
	close(open(image_path("secret"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	bytes_put("secret", text, sizeof(text), 0);
	image_patch("raw.vhd", &no_id[0]);
	image_patch("raw.vhd", &no_id[1]);
	assert_true(opens("raw.vhd", NULL, &e) < 0);
	raw.flags = VHD_OPEN_ANY_PARENT;
	assert_true(opens("raw.vhd", &raw, &e) < 0);
	raw.flags = 0;
	snprintf(path, sizeof(path), "%s", image_path("secret"));
	raw.parent = path;
	assert_int_equal(opens("raw.vhd", &raw, &e), 0);

	child_named("self.vhd", image_path("p.vhd"), "self.vhd");
	assert_true(opens("self.vhd", NULL, &e) < 0);
	raw = (struct vhd_open_options){ .flags = VHD_OPEN_ANY_PARENT };
	assert_int_equal(opens("self.vhd", &raw, &e), -ELOOP);
}

/* A path of Windows is looked for beneath what stands for its drive, and only when that is told. */
static void windows_paths(void **state)
{
	struct vhd_open_options o = { 0 };
	const char *roots[1];
	struct vhd_err e;
	char root[PATH_MAX];

	(void)state;
	snprintf(root, sizeof(root), "%s", image_path("drive"));
	assert_int_equal(mkdir(root, 0700), 0);
	assert_int_equal(mkdir(image_path("drive/vms"), 0700), 0);
	dynamic_make("drive/vms/p.vhd", VHD_FOR_ANY);
	assert_int_equal(mkdir(image_path("here"), 0700), 0);
	child_named("here/w.vhd", image_path("drive/vms/p.vhd"), "C:\\vms\\p.vhd");
	assert_true(opens("here/w.vhd", NULL, &e) < 0);
	o.windows_root = root;
	assert_true(opens("here/w.vhd", &o, &e) < 0); /* named, but not allowed */
	roots[0] = root;
	o.roots = roots;
	o.n_roots = 1;
	assert_int_equal(opens("here/w.vhd", &o, &e), 0);
}

static void depth(void **state)
{
	struct vhd_open_options o = { .depth_max = 64 };
	struct vhd_err e;
	char parent[16], name[16];
	struct vhd *v;

	(void)state;
	dynamic_make("d0.vhd", VHD_FOR_ANY);
	for (int i = 1; i <= (int)VHD_DEPTH_MAX; i++) {
		snprintf(parent, sizeof(parent), "d%d.vhd", i - 1);
		snprintf(name, sizeof(name), "d%d.vhd", i);
		image_make(name, &(struct vhd_create_options){ .type = VHD_TYPE_DIFFERENCING,
							       .parent = image_path(parent) });
	}
	must_be(vhd_open(image_path("d63.vhd"), &o, &v, &e), &e);
	assert_int_equal(vhd_depth(v), 64);
	look(v);
	must_be(vhd_close(v, &e), &e);
	assert_int_equal(opens("d64.vhd", &o, &e), -ELOOP);
	assert_int_equal(opens("d127.vhd", NULL, &e), 0);
	assert_int_equal(opens("d128.vhd", NULL, &e), -ELOOP);
	o.depth_max = UINT32_MAX; /* the library's limit stays */
	assert_int_equal(opens("d128.vhd", &o, &e), -ELOOP);
}

/* The parent's file may be newer than the child says: only ids count. A fixed one is fine. */
static void parents_that_are_fine(void **state)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_FIXED, .size = IMG_SIZE };
	struct vhd_err e;

	(void)state;
	image_make("f.vhd", &o);
	child_make("c.vhd", "f.vhd");
	image_write("f.vhd", 9 * MIB, "later", 5);
	assert_int_equal(opens("c.vhd", NULL, &e), 0);
	assert_int_equal(symlink("c.vhd", image_path("l.vhd")), 0);
	assert_int_equal(opens("l.vhd", NULL, &e), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(odd_fields, image_setup, image_teardown),
		cmocka_unit_test_setup_teardown(good_blocks_are_read, image_setup, image_teardown),
		cmocka_unit_test_setup_teardown(largest_disk, image_setup, image_teardown),
		cmocka_unit_test_setup_teardown(parents_outside, image_setup, image_teardown),
		cmocka_unit_test_setup_teardown(parents_of_other_kinds, image_setup,
						image_teardown),
		cmocka_unit_test_setup_teardown(windows_paths, image_setup, image_teardown),
		cmocka_unit_test_setup_teardown(depth, image_setup, image_teardown),
		cmocka_unit_test_setup_teardown(parents_that_are_fine, image_setup, image_teardown),
	};

	if (__sanitizer_install_malloc_and_free_hooks)
		__sanitizer_install_malloc_and_free_hooks(count_malloc, count_free);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
