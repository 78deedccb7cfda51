/* SPDX-License-Identifier: MIT */
/*
 * fuzz_vhd_chain.c - a child whose locator and name of the parent are the input
 *
 * Outside the allowed directory lies an image with the id that the child wants, and links lead to
 * it. It must never be opened, whatever the path; the parent inside may.
 *
 * Input: code of the locator, length of the name, name, text. '@' in the text is the directory.
 */
#include "fuzz_input.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "vhd_format.h"
#include "vhd_shim.h"

#define SIZE    (1U << 20)
#define TEXT_AT 4096U

static char top[64], inside[80], child[96];
static int child_fd = -1;

static const struct vhd_footer footer = {
	.features = 2,
	.data_offset = 512,
	.creator = "win",
	.original_size = SIZE,
	.size = SIZE,
	.type = VHD_TYPE_DYNAMIC,
	.id = { { 1, 2, 3 } },
};

static void image_make(const char *path, const struct vhd_footer *f)
{
	struct vhd_header h = {
		.table_offset = 8192, .table_entries = 1, .block_size = SIZE, .parent_id = footer.id
	};
	uint8_t raw[VHD_HEADER_SIZE], none[VHD_SECTOR];
	auto_fd fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	MUST(fd >= 0);
	vhd_footer_encode(f, raw);
	MUST(pwrite(fd, raw, VHD_FOOTER_SIZE, 0) == VHD_FOOTER_SIZE);
	MUST(pwrite(fd, raw, VHD_FOOTER_SIZE, 12288 - VHD_FOOTER_SIZE) == VHD_FOOTER_SIZE);
	vhd_header_encode(&h, raw);
	MUST(pwrite(fd, raw, VHD_HEADER_SIZE, 512) == VHD_HEADER_SIZE);
	memset(none, 0xff, sizeof(none));
	MUST(pwrite(fd, none, sizeof(none), 8192) == sizeof(none));
}

static const char *path_in(const char *dir, const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void tree_remove(void)
{
	static const char *const names[] = { "in/p.vhd",   "in/c.vhd", "in/l.vhd", "in/up",
					     "in/d/p.vhd", "in/d",     "in",       "s.vhd" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)remove(path_in(top, names[i])); /* nothing more can be done */
	(void)rmdir(top);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct vhd_footer f = footer;

	(void)argc;
	(void)argv;
	snprintf(top, sizeof(top), "/tmp/caisson-fuzz-XXXXXX");
	MUST(mkdtemp(top));
	atexit(tree_remove);
	snprintf(inside, sizeof(inside), "%s/in", top);
	snprintf(child, sizeof(child), "%s/c.vhd", inside);
	MUST(mkdir(inside, 0700) == 0 && mkdir(path_in(inside, "d"), 0700) == 0);
	image_make(path_in(top, "s.vhd"), &footer);
	image_make(path_in(inside, "p.vhd"), &footer);
	image_make(path_in(inside, "d/p.vhd"), &footer);
	MUST(symlink("../s.vhd", path_in(inside, "l.vhd")) == 0);
	MUST(symlink("..", path_in(inside, "up")) == 0);
	f.type = VHD_TYPE_DIFFERENCING;
	f.id.bytes[0] = 9;
	image_make(child, &f);
	child_fd = open(child, O_RDWR | O_CLOEXEC);
	MUST(child_fd >= 0);
	return 0;
}

/* The text, '@' made the directory; each byte a unit if it is to be UTF-16. */
static size_t text_make(uint8_t out[VHD_LOCATOR_MAX], const uint8_t *data, size_t len, bool is_wide)
{
	size_t n = 0, width = is_wide ? 2 : 1;

	for (size_t i = 0; i < len; i++) {
		const char *from = data[i] == '@' ? top : (const char *)&data[i];
		size_t k = data[i] == '@' ? strlen(top) : 1;

		for (size_t j = 0; j < k && n + width <= VHD_LOCATOR_MAX; j++, n += width) {
			out[n] = (uint8_t)from[j];
			if (is_wide)
				out[n + 1] = 0;
		}
	}
	return n;
}

static void child_write(const uint8_t *data, size_t len)
{
	static const char codes[][5] = { "W2ru", "W2ku", "MacX", "W2ru" };
	struct vhd_header h = {
		.table_offset = 8192, .table_entries = 1, .block_size = SIZE, .parent_id = footer.id
	};
	uint8_t raw[VHD_HEADER_SIZE], text[VHD_LOCATOR_MAX];
	size_t name_len = MIN_OF(data[1], len - 2), n;
	bool is_wide = data[0] % 4 < 2; /* the fourth: units as they are */

	for (size_t i = 0; i < name_len && 2 * i < VHD_NAME_BYTES; i++)
		h.parent_name[2 * i + 1] = data[2 + i];
	n = text_make(text, data + 2 + name_len, len - 2 - name_len, is_wide);
	memcpy(h.locators[0].code, codes[data[0] % 4], 4);
	h.locators[0].space = VHD_LOCATOR_MAX;
	h.locators[0].length = (uint32_t)(data[0] % 4 == 2 ? n : n & ~1UL);
	h.locators[0].offset = TEXT_AT;
	vhd_header_encode(&h, raw);
	MUST(pwrite(child_fd, raw, sizeof(raw), 512) == sizeof(raw));
	MUST(pwrite(child_fd, text, n, TEXT_AT) == (ssize_t)n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct vhd_open_options o = { .windows_root = inside };
	static struct vhd_info info;
	struct vhd_err e = { 0 };
	struct vhd *v;

	if (len < 2)
		return 0;
	child_write(data, len);
	if (vhd_open(child, &o, &v, &e) < 0) {
		MUST(e.code && e.msg[0] && memchr(e.msg, 0, sizeof(e.msg)));
		return 0;
	}
	MUST(vhd_depth(v) == 2 && vhd_info_get(v, 1, &info, &e) == 0);
	MUST(strcmp(info.name, path_in(inside, "p.vhd")) == 0 ||
	     strcmp(info.name, path_in(inside, "d/p.vhd")) == 0);
	(void)vhd_close(v, &e); /* read-only: nothing to lose */
	return 0;
}
