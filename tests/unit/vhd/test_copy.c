/* SPDX-License-Identifier: MIT */
/* test_copy.c - a chain becomes one image or raw file, without what is zeros */
#include "image_dir.h"

#define SIZE (5U * MIB + 512)

static uint8_t model[SIZE + MIB];

static void chain_make(void)
{
	memset(model, 0, sizeof(model));
	image_make("0", VHD_TYPE_DYNAMIC, SIZE, NULL);
	image_write("0", model, 3 * MIB, MIB, 1);
	image_make("1", VHD_TYPE_DIFFERENCING, 0, "0");
	image_write("1", model, 100, 5000, 2);
	image_write("1", model, 3 * MIB, BLOCK, 0); /* zeros over data */
	image_write("1", model, SIZE - 10, 10, 3);
}

static void copy_to(const char *to, enum vhd_type type, enum vhd_profile profile, uint64_t size)
{
	const struct vhd_copy_options o = {
		.type = type,
		.create = { .size = size,
			    .profile = profile,
			    .block_size = profile == VHD_FOR_ANY ? BLOCK : 0 },
	};
	struct vhd *from = image_open("1", 0);

	OK(vhd_copy(from, at(to), &o, NULL, &e));
	OK(vhd_close(from, &e));
}

static uint64_t file_used(const char *name)
{
	struct stat st;

	assert_int_equal(stat(at(name), &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void to_each_type(void **state)
{
	struct vhd_info *info = malloc(sizeof(*info));
	struct vhd *v;

	(void)state;
	chain_make();
	copy_to("dynamic", VHD_TYPE_DYNAMIC, VHD_FOR_ANY, 0);
	image_is("dynamic", model, SIZE);
	v = image_open("dynamic", 0);
	OK(vhd_info_get(v, 0, info, &e));
	assert_int_equal(info->type, VHD_TYPE_DYNAMIC);
	assert_int_equal(info->blocks_present, 3); /* of them the zeros over data are none */
	free(info);
	OK(vhd_close(v, &e));
	copy_to("fixed", VHD_TYPE_FIXED, VHD_FOR_ANY, 0);
	image_is("fixed", model, SIZE);
	assert_true(file_used("fixed") < 2 * MIB);
	copy_to("raw", VHD_TYPE_RAW, VHD_FOR_ANY, 0);
	assert_int_equal(file_size("raw"), SIZE);
	assert_true(file_used("raw") < 2 * MIB);
	v = image_open("raw", VHD_OPEN_RAW);
	disk_is(v, model, SIZE);
	OK(vhd_close(v, &e));
}

static void to_profiles_and_sizes(void **state)
{
	(void)state;
	chain_make();
	copy_to("azure", VHD_TYPE_FIXED, VHD_FOR_AZURE, 0); /* whole MiB */
	image_is("azure", model, 6 * MIB);
	copy_to("xen", VHD_TYPE_DYNAMIC, VHD_FOR_XENSERVER, 0);
	image_is("xen", model, SIZE);
	copy_to("larger", VHD_TYPE_DYNAMIC, VHD_FOR_ANY, SIZE + MIB);
	image_is("larger", model, SIZE + MIB);
}

static void of_a_raw_file(void **state)
{
	const struct vhd_copy_options o = { .type = VHD_TYPE_DYNAMIC };
	struct vhd *from;

	(void)state;
	chain_make();
	copy_to("raw", VHD_TYPE_RAW, VHD_FOR_ANY, 0);
	assert_int_equal(truncate(at("raw"), SIZE + 100), 0); /* no whole sectors */
	from = image_open("raw", VHD_OPEN_RAW);
	OK(vhd_copy(from, at("image"), &o, NULL, &e));
	OK(vhd_close(from, &e));
	image_is("image", model, SIZE + 512);
}

static int stop_later(void *ctx, uint64_t done, uint64_t total)
{
	(void)ctx;
	return done > total / 2;
}

static size_t files(void)
{
	DIR *d = opendir(image_dir);
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void what_is_refused_leaves_nothing(void **state)
{
	const struct vhd_progress stop = { stop_later, NULL };
	struct vhd_copy_options o = { .type = VHD_TYPE_DYNAMIC };
	struct vhd *from;
	size_t n;

	(void)state;
	chain_make();
	image_make("old", VHD_TYPE_DYNAMIC, MIB, NULL);
	n = files();
	from = image_open("1", 0);
	FAILS(EEXIST, vhd_copy(from, at("old"), &o, NULL, &e));
	FAILS(ECANCELED, vhd_copy(from, at("new"), &o, &stop, &e));
	o.create.size = SIZE - 512;
	FAILS(EINVAL, vhd_copy(from, at("new"), &o, NULL, &e));
	o.create.size = 0;
	o.type = VHD_TYPE_DIFFERENCING;
	FAILS(EINVAL, vhd_copy(from, at("new"), &o, NULL, &e));
	o.type = VHD_TYPE_DYNAMIC;
	o.create.profile = VHD_FOR_AZURE;
	FAILS(EINVAL, vhd_copy(from, at("new"), &o, NULL, &e));
	o.create.profile = VHD_FOR_ANY;
	assert_int_equal(files(), n);
	o.create.is_replacing = true;
	FAILS(ECANCELED, vhd_copy(from, at("old"), &o, &stop, &e));
	image_is("old", (uint8_t[MIB]){ 0 }, MIB);
	OK(vhd_copy(from, at("old"), &o, NULL, &e));
	OK(vhd_close(from, &e));
	assert_int_equal(files(), n);
	image_is("old", model, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(to_each_type, image_dir_setup, image_dir_teardown),
		cmocka_unit_test_setup_teardown(to_profiles_and_sizes, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(of_a_raw_file, image_dir_setup, image_dir_teardown),
		cmocka_unit_test_setup_teardown(what_is_refused_leaves_nothing, image_dir_setup,
						image_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
