/* SPDX-License-Identifier: MIT */
/* test_reparent.c - another parent: which is accepted, what is written, that nothing is lost */
#include "image_dir.h"

#define SIZE (3U * MIB)

static uint8_t model[SIZE];

static void chain_make(void)
{
	memset(model, 0, sizeof(model));
	image_make("0", VHD_TYPE_DYNAMIC, SIZE, NULL);
	image_write("0", model, 0, MIB, 1);
	image_make("1", VHD_TYPE_DIFFERENCING, 0, "0");
	image_write("1", model, MIB + 5, 1000, 2);
	image_make("2", VHD_TYPE_DIFFERENCING, 0, "1");
	image_write("2", model, 10000, 10, 3);
}

static struct vhd_info *info_of(const char *name)
{
	struct vhd_info *info = malloc(sizeof(*info));
	struct vhd *v = image_open(name, VHD_OPEN_NO_PARENT);

	assert_non_null(info);
	OK(vhd_info_get(v, 0, info, &e));
	OK(vhd_close(v, &e));
	return info;
}

/* Moved away, it is found again by its new path; the file is laid out as it was. */
static void parent_has_moved(void **state)
{
	uint64_t size;
	struct vhd *v;

	(void)state;
	chain_make();
	size = file_size("2");
	assert_int_equal(mkdir(at("sub"), 0700), 0);
	assert_int_equal(rename(at("1"), at("sub/one.vhd")), 0);
	FAILS(ENOENT, vhd_open(at("2"), NULL, &v, &e));
	for (int i = 0; i < 3; i++)
		OK(vhd_reparent(at("2"), at("sub/one.vhd"), NULL, NULL, &e));
	assert_int_equal(file_size("2"), size);
	/* what it stands on lost its own parent by moving */
	FAILS(ENOENT, vhd_open(at("2"), NULL, &v, &e));
	OK(vhd_reparent(at("sub/one.vhd"), at("0"), NULL, NULL, &e));
	image_is("2", model, SIZE);
	assert_int_equal(unlink(at("sub/one.vhd")) + rmdir(at("sub")), 0);
}

static void header_is_as_if_created(void **state)
{
	struct vhd_info *before, *after;
	struct vhd *v;

	(void)state;
	chain_make();
	before = info_of("2");
	assert_int_equal(link(at("1"), at("other \xc3\xa4.vhd")), 0);
	OK(vhd_reparent(at("2"), at("other \xc3\xa4.vhd"), NULL, NULL, &e));
	after = info_of("2");
	assert_string_equal(after->parent_name, "other \xc3\xa4.vhd");
	assert_int_equal(after->n_locators, 1);
	assert_string_equal(after->locators[0].code, "W2ru");
	assert_string_equal(after->locators[0].path, "./other \xc3\xa4.vhd");
	assert_int_equal(after->locators[0].offset, before->locators[0].offset);
	assert_int_equal(after->locators[0].space, before->locators[0].space);
	assert_int_equal(after->parent_time, before->parent_time);
	v = image_open("2", 0);
	assert_int_equal(v->footer.data_offset, 512);
	OK(vhd_close(v, &e));
	image_is("2", model, SIZE);
	free(before);
	free(after);
}

static void names_that_are_given(void **state)
{
	struct vhd_info *info;

	(void)state;
	chain_make();
	OK(vhd_reparent(at("2"), at("1"), "C:\\disks\\1", NULL, &e));
	info = info_of("2");
	assert_int_equal(info->n_locators, 2);
	assert_string_equal(info->locators[0].code, "W2ku");
	assert_string_equal(info->locators[0].path, "C:/disks/1");
	assert_string_equal(info->locators[1].path, "./1");
	free(info);
	image_is("2", model, SIZE);
	OK(vhd_reparent(at("2"), at("1"), "../x/1", NULL, &e));
	info = info_of("2");
	assert_int_equal(info->n_locators, 1);
	assert_string_equal(info->locators[0].path, "../x/1");
	free(info);
	image_is("2", model, SIZE); /* by its name, beside it */
}

/* After a coalesce the child of the image that went reads the same on the one below. */
static void child_of_a_coalesced_image(void **state)
{
	(void)state;
	chain_make();
	OK(vhd_coalesce(at("1"), 1, NULL, NULL, NULL, &e));
	OK(vhd_reparent(at("2"), at("0"), NULL, NULL, &e));
	assert_int_equal(unlink(at("1")), 0);
	image_is("2", model, SIZE);
}

static void what_is_refused(void **state)
{
	const struct vhd_open_options any = { .flags = VHD_OPEN_ANY_PARENT };
	struct vhd *v;

	(void)state;
	chain_make();
	FAILS(ESTALE, vhd_reparent(at("2"), at("0"), NULL, NULL, &e)); /* reads otherwise */
	image_make("other", VHD_TYPE_DYNAMIC, SIZE, NULL);
	FAILS(EINVAL, vhd_reparent(at("other"), at("1"), NULL, NULL, &e));
	FAILS(ELOOP, vhd_reparent(at("0"), at("1"), NULL, NULL, &e));
	FAILS(ELOOP, vhd_reparent(at("1"), at("2"), NULL, NULL, &e));
	FAILS(ELOOP, vhd_reparent(at("1"), at("1"), NULL, NULL, &e));
	FAILS(ENOENT, vhd_reparent(at("2"), at("none"), NULL, NULL, &e));
	image_make("big", VHD_TYPE_DYNAMIC, SIZE + MIB, NULL);
	FAILS(EINVAL, vhd_reparent(at("2"), at("big"), NULL, &any, &e));
	v = image_open("2", 0);
	FAILS(EBUSY, vhd_reparent(at("2"), at("1"), NULL, NULL, &e));
	OK(vhd_close(v, &e));
	image_is("2", model, SIZE);
	OK(vhd_reparent(at("2"), at("0"), NULL, &any, &e));
	memset(model + MIB, 0, SIZE - MIB);
	image_is("2", model, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(parent_has_moved, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(header_is_as_if_created, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(names_that_are_given, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(child_of_a_coalesced_image, image_dir_setup,
						image_dir_teardown),
		cmocka_unit_test_setup_teardown(what_is_refused, image_dir_setup,
						image_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
