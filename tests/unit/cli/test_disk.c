/* SPDX-License-Identifier: MIT */
/* Words of the flags of "caisson disk", and what is refused of other programs' images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cmd_disk.h"
#include "foreign_info.h"

#define MIB (1ULL << 20)

static void sizes(void **state)
{
	static const uint64_t now = 100 * MIB;
	static const struct {
		const char *text;
		bool has_now;
		uint64_t want; /* 0: refused */
	} rows[] = {
		{ "10m", false, 10 * MIB },
		{ "512", false, 512 },
		{ "1.5g", false, 1536 * MIB },
		{ "2040g", false, 2040ULL << 30 },
		{ "2TiB", false, 0 },
		{ "2041g", false, 0 },
		{ "0", false, 0 },
		{ "511", false, 0 },
		{ "513", false, 0 },
		{ "", false, 0 },
		{ "+1m", false, 0 },
		{ "-1m", false, 0 },
		{ "ten", false, 0 },
		{ "10x", false, 0 },
		{ "1e30t", false, 0 },
		{ "+1m", true, 101 * MIB },
		{ "-1m", true, 99 * MIB },
		{ "7m", true, 7 * MIB },
		{ "-100m", true, 0 },
		{ "-101m", true, 0 },
		{ "+2040g", true, 0 },
		{ "+8191p", true, 0 },
		{ "++1m", true, 0 },
		{ "+-1m", true, 0 },
		{ "+", true, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t size = 77;
		struct err e = { 0 };
		int rc = disk_size(rows[i].text, rows[i].has_now ? &now : NULL, &size, &e);

		if ((rc == 0) != (rows[i].want != 0) || size != (rc ? 77 : rows[i].want))
			fail_msg("%s: %d, %llu", rows[i].text, rc, (unsigned long long)size);
		assert_true(rc == 0 || strstr(e.msg, "invalid size"));
	}
}

static void formats(void **state)
{
	static const struct {
		const char *text, *path;
		int want; /* -1: refused */
	} rows[] = {
		{ "raw", "a.vhd", DISK_RAW },
		{ "vhd", "a", DISK_VHD },
		{ "vhd-fixed", "a", DISK_VHD_FIXED },
		{ "vhd-dynamic", "a", DISK_VHD_DYNAMIC },
		{ "qcow2", "a.raw", DISK_QCOW2 },
		{ NULL, "a.vhd", DISK_VHD },
		{ NULL, "a.VHD", DISK_VHD },
		{ NULL, "dir.raw/a.vmdk", DISK_VMDK },
		{ NULL, "a.vhdx", DISK_VHDX },
		{ NULL, "a.raw", DISK_RAW },
		{ NULL, "a", -1 },
		{ NULL, "a.", -1 },
		{ NULL, "a.img", -1 },
		{ NULL, "vhd", -1 },
		{ NULL, "a.vhd-fixed", -1 },
		{ "", "a.vhd", -1 },
		{ "RAW", "a.vhd", -1 },
		{ "vpc", "a.vhd", -1 },
		{ "nbd:localhost:1", "a.vhd", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum disk_format f = DISK_FORMAT_COUNT_;
		struct err e = { 0 };
		int rc = disk_format(rows[i].text, rows[i].path, &f, &e);

		if ((rc == 0 ? (int)f : -1) != rows[i].want)
			fail_msg("%s of %s: %d, %d", rows[i].text ? rows[i].text : "-",
				 rows[i].path, rc, (int)f);
		if (rc == 0 && rows[i].text)
			assert_string_equal(disk_format_name(f), rows[i].text);
	}
}

static void create_options(void **state)
{
	static const struct {
		struct disk_flags flags;
		int rc;
		struct vhd_create_options want;
	} rows[] = {
		{ { 0 }, 0, { .type = VHD_TYPE_DYNAMIC } },
		{ { .type = "fixed" }, 0, { .type = VHD_TYPE_FIXED } },
		{ { .type = "dynamic", .is_forced = true },
		  0,
		  { .type = VHD_TYPE_DYNAMIC, .is_replacing = true } },
		{ { .profile = "azure" }, 0, { .type = VHD_TYPE_FIXED, .profile = VHD_FOR_AZURE } },
		{ { .profile = "xenserver" },
		  0,
		  { .type = VHD_TYPE_DYNAMIC, .profile = VHD_FOR_XENSERVER } },
		{ { .profile = "hyperv", .block_size = "512k" },
		  0,
		  { .type = VHD_TYPE_DYNAMIC,
		    .profile = VHD_FOR_HYPERV,
		    .block_size = 512 << 10 } },
		{ { .block_size = "256m" },
		  0,
		  { .type = VHD_TYPE_DYNAMIC, .block_size = 256U << 20 } },
		{ { .type = "differencing" }, -EINVAL, { 0 } },
		{ { .type = "raw" }, -EINVAL, { 0 } },
		{ { .type = "" }, -EINVAL, { 0 } },
		{ { .profile = "Azure" }, -EINVAL, { 0 } },
		{ { .profile = "" }, -EINVAL, { 0 } },
		{ { .block_size = "3m" }, -EINVAL, { 0 } },
		{ { .block_size = "256k" }, -EINVAL, { 0 } },
		{ { .block_size = "512m" }, -EINVAL, { 0 } },
		{ { .block_size = "0" }, -EINVAL, { 0 } },
		{ { .block_size = "4294967808" }, -EINVAL, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vhd_create_options c = { 0 };
		struct err e = { 0 };

		assert_int_equal(disk_create_options(&rows[i].flags, &c, &e), rows[i].rc);
		assert_int_equal(c.type, rows[i].want.type);
		assert_int_equal(c.profile, rows[i].want.profile);
		assert_int_equal(c.block_size, rows[i].want.block_size);
		assert_int_equal(c.is_replacing, rows[i].want.is_replacing);
	}
}

#define SELF     "/proc/self/fd/3"
#define INFO(x)  "{\"format\": \"vmdk\", \"virtual-size\": 512" x "}"
#define DATA(x)  INFO(", \"format-specific\": {\"data\": {" x "}}")
#define NAMED(x) "{\"filename\": \"" x "\"}"

/* What `qemu-img info` says of images that would make it read other files. */
static void other_files_are_refused(void **state)
{
	static const struct {
		const char *json, *error; /* NULL: fine */
	} rows[] = {
		{ INFO(""), NULL },
		{ INFO(", \"format-specific\": {\"type\": \"vmdk\"}"), NULL },
		{ DATA("\"compat\": \"1.1\""), NULL },
		{ DATA("\"extents\": [" NAMED(SELF) "]"), NULL },
		{ INFO(", \"backing-filename\": \"/etc/passwd\""), "backing file" },
		{ INFO(", \"full-backing-filename\": \"a.img\""), "backing file" },
		{ INFO(", \"backing-filename\": null"), "backing file" },
		{ DATA("\"data-file\": \"/etc/shadow\""), "data file" },
		{ DATA("\"extents\": [" NAMED("a-flat.img") "]"), "other files" },
		{ DATA("\"extents\": [" NAMED(SELF) ", " NAMED("/dev/sda") "]"), "other files" },
		{ DATA("\"extents\": [" NAMED(SELF "1") "]"), "other files" },
		{ DATA("\"extents\": [{}]"), "other files" },
		{ DATA("\"extents\": [7]"), "other files" },
		{ DATA("\"extents\": {\"filename\": \"/dev/sda\"}"), "understood" },
		{ INFO(", \"format-specific\": [{\"data\": {\"data-file\": \"a\"}}]"),
		  "understood" },
		{ INFO(", \"format-specific\": {\"data\": [{\"data-file\": \"a\"}]}"),
		  "understood" },
		{ "{\"format\": \"qcow2\", \"virtual-size\": 512}", "understood" },
		{ "{\"format\": \"vmdk\", \"virtual-size\": -1}", "understood" },
		{ "{\"format\": \"vmdk\", \"virtual-size\": \"512\"}", "understood" },
		{ "{\"format\": \"vmdk\"}", "understood" },
		{ "", "understood" },
		{ "[]", "understood" },
		{ "null", "understood" },
		{ "{\"backing-filename\": ", "understood" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e = { 0 };
		int rc = foreign_info_check(rows[i].json, strlen(rows[i].json), "vmdk", &e);

		if ((rc < 0) != (rows[i].error != NULL))
			fail_msg("%s: %d", rows[i].json, rc);
		if (rows[i].error && !strstr(e.msg, rows[i].error))
			fail_msg("%s: %s", rows[i].json, e.msg);
	}
}

static void more_than_an_answer_is_refused(void **state)
{
	static char json[FOREIGN_INFO_MAX + 1] = INFO("");
	struct err e = { 0 };

	(void)state;
	memset(json + strlen(json), ' ', sizeof(json) - strlen(json));
	assert_int_equal(foreign_info_check(json, FOREIGN_INFO_MAX, "vmdk", &e), 0);
	assert_int_equal(foreign_info_check(json, FOREIGN_INFO_MAX + 1, "vmdk", &e), -EINVAL);
}

static void reasons_of_qemu_img(void **state)
{
	static const struct {
		const char *in, *words;
		bool is_file;
	} rows[] = {
		{ "qemu-img: Could not open 'json:{\"driver\":\"qcow2\"}': Could not open '/x': "
		  "Permission denied\n",
		  "Could not open '/x': Permission denied", true },
		{ "qemu-img: Could not open 'json:{}': Could not open '/x': No such file or "
		  "directory",
		  "Could not open '/x': No such file or directory", true },
		{ "qemu-img: Could not open 'json:{}': Image is not in qcow2 format\nmore\n",
		  "Image is not in qcow2 format", false },
		{ "Permission denied, they say", "Permission denied, they say", false },
		{ "Could not open '': Permission denied", "Could not open '': Permission denied",
		  true },
		{ "start /opt/qemu-img: Permission denied",
		  "start /opt/qemu-img: Permission denied", false },
		{ "Could not open '/x': Is a directory", "Could not open '/x': Is a directory",
		  false },
		{ "Permission denied", "Permission denied", false },
		{ "qemu-img: ", "", false },
		{ "\n\n", "", false },
		{ "", "", false },
	};
	char words[FOREIGN_WORDS_MAX], large[2 * FOREIGN_WORDS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		foreign_words(rows[i].in, strlen(rows[i].in), words);
		assert_string_equal(words, rows[i].words);
		assert_int_equal(foreign_words_name_file(words), rows[i].is_file);
	}
	memset(large, 'x', sizeof(large));
	foreign_words(large, sizeof(large), words);
	assert_int_equal(strlen(words), FOREIGN_WORDS_MAX - 1);
}

static void texts(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = { { "disk.vhd", "disk.vhd" },
		     { "k\xc3\xa4se", "k\xc3\xa4se" },
		     { "k\xe4se", "k?se" },
		     { "", "" },
		     { "\xff", "?" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *v = disk_text(rows[i].in);

		assert_string_equal(json_string_value(v), rows[i].want);
		json_decref(v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(formats),
		cmocka_unit_test(create_options),
		cmocka_unit_test(other_files_are_refused),
		cmocka_unit_test(more_than_an_answer_is_refused),
		cmocka_unit_test(reasons_of_qemu_img),
		cmocka_unit_test(texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
