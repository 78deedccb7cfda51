/* SPDX-License-Identifier: MIT */
/* test_coalesce.c - what a chain reads stays the same when images of it go into one below */
#include "image_dir.h"

#define SIZE (3U * MIB + 4 * KIB)

static uint8_t base[SIZE + MIB], model[SIZE + MIB];

/* 0 <- 1 <- 2 <- 3, each with bytes of its own, and zeros over bytes of the one below. */
static void chain_make(enum vhd_type base_type)
{
	memset(model, 0, sizeof(model));
	image_make("0", base_type, SIZE, NULL);
	image_write("0", model, 0, SIZE / 2, 1);
	image_write("0", model, SIZE - 700, 700, 2);
	memcpy(base, model, sizeof(base));
	image_make("1", VHD_TYPE_DIFFERENCING, 0, "0");
	image_write("1", model, 10000, 300 * KIB, 3);
	image_write("1", model, 2 * MIB + 512, 512, 4);
	image_make("2", VHD_TYPE_DIFFERENCING, 0, "1");
	image_write("2", model, 20000, 128 * KIB, 0);
	image_write("2", model, 2 * MIB + 512, 512, 0);
	image_write("2", model, 600 * KIB + 100, 1000, 5);
	image_make("3", VHD_TYPE_DIFFERENCING, 0, "2");
	image_write("3", model, 0, 512, 6);
}

static void from_top_reads_the_same(void **state)
{
	static const struct {
		const char *top, *target;
		unsigned int levels;
		enum vhd_type base;
	} t[] = {
		{ "3", "2", 1, VHD_TYPE_DYNAMIC }, { "3", "1", 2, VHD_TYPE_DYNAMIC },
		{ "3", "0", 3, VHD_TYPE_DYNAMIC }, { "3", "0", 3, VHD_TYPE_FIXED },
		{ "2", "1", 1, VHD_TYPE_FIXED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint64_t moved = 0, again = 0;
		struct vhd *top;

		chain_make(t[i].base);
		top = image_open(t[i].top, 0);
		OK(vhd_read(top, model, SIZE, 0, &e));
		OK(vhd_close(top, &e));
		OK(vhd_coalesce(at(t[i].top), t[i].levels, NULL, &moved, NULL, &e));
		image_is(t[i].target, model, SIZE);
		image_is(t[i].top, model, SIZE);
		assert_true(moved > 0);
		OK(vhd_coalesce(at(t[i].top), t[i].levels, NULL, &again, NULL, &e));
		assert_int_equal(again, moved);
		image_is(t[i].target, model, SIZE);
	}
}

static void child_is_untouched(void **state)
{
	static uint8_t before[4 * MIB], after[4 * MIB];
	int fd;
	ssize_t n;

	(void)state;
	chain_make(VHD_TYPE_DYNAMIC);
	fd = open(at("2"), O_RDONLY | O_CLOEXEC);
	n = read(fd, before, sizeof(before));
	assert_true(n > 0);
	OK(vhd_coalesce(at("2"), 1, NULL, NULL, NULL, &e));
	assert_int_equal(pread(fd, after, sizeof(after), 0), n);
	close(fd);
	assert_memory_equal(before, after, (size_t)n);
}

static void target_grows_with_child(void **state)
{
	uint8_t head[VHD_FOOTER_SIZE];
	struct vhd *v;

	(void)state;
	chain_make(VHD_TYPE_DYNAMIC);
	image_make("big", VHD_TYPE_DIFFERENCING, SIZE + MIB, "3");
	image_write("big", model, SIZE - 512, MIB, 7);
	v = image_open("0", 0);
	OK(vhd_pread(v->io, head, sizeof(head), 0));
	OK(vhd_close(v, &e));
	OK(vhd_coalesce(at("big"), 4, NULL, NULL, NULL, &e));
	image_is("0", model, SIZE + MIB);
	file_patch("0", head, sizeof(head), 0); /* as if it had been cut while it grew */
	OK(vhd_coalesce(at("big"), 4, NULL, NULL, NULL, &e));
	image_is("0", model, SIZE + MIB);
}

static void zeros_take_no_space(void **state)
{
	uint64_t before;

	(void)state;
	image_make("0", VHD_TYPE_DYNAMIC, SIZE, NULL);
	image_make("1", VHD_TYPE_DIFFERENCING, 0, "0");
	image_write("1", NULL, 0, SIZE, 0);
	before = file_size("0");
	OK(vhd_coalesce(at("1"), 1, NULL, NULL, NULL, &e));
	assert_int_equal(file_size("0"), before);
}

static int stop_at_once(void *ctx, uint64_t done, uint64_t total)
{
	(void)ctx;
	assert_true(done <= total);
	return 1;
}

static void what_is_refused(void **state)
{
	const struct vhd_progress stop = { stop_at_once, NULL };
	struct vhd *reader;

	(void)state;
	chain_make(VHD_TYPE_DYNAMIC);
	FAILS(EINVAL, vhd_coalesce(at("3"), 0, NULL, NULL, NULL, &e));
	FAILS(EINVAL, vhd_coalesce(at("3"), 4, NULL, NULL, NULL, &e));
	FAILS(EINVAL, vhd_coalesce(at("0"), 1, NULL, NULL, NULL, &e));
	reader = image_open("2", 0); /* holds the target's lock */
	FAILS(EBUSY, vhd_coalesce(at("3"), 1, NULL, NULL, NULL, &e));
	OK(vhd_close(reader, &e));
	FAILS(ECANCELED, vhd_coalesce(at("3"), 1, NULL, NULL, &stop, &e));
	image_is("3", model, SIZE);
	image_set_saved("1");
	FAILS(EBUSY, vhd_coalesce(at("3"), 3, NULL, NULL, NULL, &e));
	OK(vhd_coalesce(at("3"), 1, NULL, NULL, NULL, &e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(from_top_reads_the_same, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(child_is_untouched, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(target_grows_with_child, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(zeros_take_no_space, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(what_is_refused, image_dir_setup,
						image_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
