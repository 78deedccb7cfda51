/* SPDX-License-Identifier: MIT */
/*
 * image_dir.h - a directory of small images for the tests of operations, and arrays that they must
 * read as
 */
#ifndef IMAGE_DIR_H
#define IMAGE_DIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vhd_internal.h"

#define KIB   1024U
#define MIB   (1U << 20)
#define BLOCK VHD_BLOCK_MIN

static char image_dir[64];
static struct vhd_err e;

#define OK(call)                                                                                   \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			fail_msg("line %d: %s: %s", __LINE__, #call, e.msg);                       \
	} while (0)
#define FAILS(number, call)                                                                        \
	do {                                                                                       \
		e.msg[0] = '\0';                                                                   \
		assert_int_equal(call, -(number));                                                 \
		assert_int_equal(e.code, number);                                                  \
		assert_true(e.msg[0]);                                                             \
	} while (0)

static inline int image_dir_setup(void **state)
{
	(void)state;
	snprintf(image_dir, sizeof(image_dir), "/tmp/caisson-vhd-XXXXXX");
	return mkdtemp(image_dir) ? 0 : -1;
}

static inline int image_dir_teardown(void **state)
{
	DIR *d = opendir(image_dir);
	const struct dirent *entry;

	(void)state;
	while (d && (entry = readdir(d)))
		(void)unlinkat(dirfd(d), entry->d_name, 0); /* "." and ".." stay */
	if (d)
		closedir(d);
	return rmdir(image_dir);
}

/* The path of an image; a few at a time. */
static inline const char *at(const char *name)
{
	static char path[8][160];
	static unsigned int turn;

	turn = (turn + 1) % 8;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", image_dir, name);
	return path[turn];
}

static inline void image_make(const char *name, enum vhd_type type, uint64_t size,
			      const char *parent)
{
	struct vhd_create_options o = {
		.type = type,
		.size = size,
		.block_size = type == VHD_TYPE_FIXED ? 0 : BLOCK,
		.parent = parent ? at(parent) : NULL,
		.is_replacing = true,
	};

	OK(vhd_create(at(name), &o, &e));
}

static inline struct vhd *image_open(const char *name, uint32_t flags)
{
	const struct vhd_open_options o = { .flags = flags };
	struct vhd *v = NULL;

	OK(vhd_open(at(name), &o, &v, &e));
	return v;
}

static inline void pattern_fill(uint8_t *p, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245U + 12345U;
		p[i] = (uint8_t)(seed >> 16) | 1; /* never zero */
	}
}

/* Bytes that `seed` says, or zeros if it is 0, into an image and (may be NULL) an array. */
static inline void image_write(const char *name, uint8_t *model, uint64_t off, size_t len,
			       uint32_t seed)
{
	uint8_t *data = calloc(1, len);
	struct vhd *v = image_open(name, VHD_OPEN_WRITE);

	assert_non_null(data);
	if (seed)
		pattern_fill(data, len, seed);
	OK(vhd_write(v, data, len, off, &e));
	OK(vhd_close(v, &e));
	if (model)
		memcpy(model + off, data, len);
	free(data);
}

/* Does an open disk read as `model`? */
static inline void disk_is(struct vhd *v, const uint8_t *model, uint64_t size)
{
	uint8_t *got = malloc(size);

	assert_non_null(got);
	assert_int_equal(vhd_size(v), size);
	OK(vhd_read(v, got, size, 0, &e));
	for (uint64_t i = 0; i < size; i++)
		if (got[i] != model[i])
			fail_msg("%s: differs at %llu: %02x, not %02x", v->io->name,
				 (unsigned long long)i, got[i], model[i]);
	free(got);
}

static inline void finding_show(void *ctx, const char *file, const struct vhd_finding *f)
{
	(void)ctx;
	print_message("%s: %s at %llu: %s\n", file, f->field, (unsigned long long)f->offset,
		      f->text);
}

/* The image opens, for writing too, has nothing wrong with it, and reads as `model`. */
static inline void image_is(const char *name, const uint8_t *model, uint64_t size)
{
	struct vhd *v;

	assert_int_equal(vhd_check(at(name), NULL, finding_show, NULL, NULL, &e), 0);
	v = image_open(name, VHD_OPEN_WRITE);
	assert_int_equal(v->problems, 0);
	disk_is(v, model, size);
	vhd_free(v);
}

static inline uint64_t file_size(const char *name)
{
	struct stat st;

	assert_int_equal(stat(at(name), &st), 0);
	return (uint64_t)st.st_size;
}

/* Change bytes of the file itself. */
static inline void file_patch(const char *name, const void *data, size_t len, uint64_t off)
{
	int fd = open(at(name), O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, (off_t)off), len);
	close(fd);
}

/* The footer of an image, at the end and (with blocks) in front, with a change. */
static inline void image_set_saved(const char *name)
{
	struct vhd *v = image_open(name, VHD_OPEN_NO_PARENT);
	uint8_t raw[VHD_FOOTER_SIZE];

	v->footer.is_saved_state = true;
	vhd_footer_encode(&v->footer, raw);
	file_patch(name, raw, sizeof(raw), v->tail);
	if (vhd_has_blocks(v))
		file_patch(name, raw, sizeof(raw), 0);
	OK(vhd_close(v, &e));
}

#endif
