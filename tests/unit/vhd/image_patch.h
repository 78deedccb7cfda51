/* SPDX-License-Identifier: MIT */
/* image_patch.h - small images in a directory of their own, and bytes of them changed on purpose */
#ifndef IMAGE_PATCH_H
#define IMAGE_PATCH_H

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "err.h"
#include "fdio.h"
#include "vhd_format.h"
#include "vhd_shim.h"

#define MIB (1ULL << 20)

/* The dynamic image: 10 MiB, 5 blocks, of which 0, 2, 3 are there in this order. */
#define IMG_SIZE   (10 * MIB)
#define IMG_TABLE  1536U
#define IMG_STRIDE (512 + 2 * MIB)
#define IMG_PLACE  (65536ULL - 512) /* of block 0: its bitmap */
#define IMG_STEP   (65536 + 2 * MIB)
#define IMG_TAIL   (IMG_PLACE + 2 * IMG_STEP + IMG_STRIDE + 3584)
#define IMG_LENGTH (IMG_TAIL + 512)

enum patch_where {
	PATCH_NONE,
	PATCH_TAIL,   /* the footer at the end, with a right checksum afterwards */
	PATCH_HEAD,   /* the copy at the front, likewise */
	PATCH_BOTH,   /* both */
	PATCH_HEADER, /* the header at 512, likewise */
	PATCH_FILE,   /* just there */
	PATCH_END,    /* just there, `off` is from the end of the file */
	PATCH_LENGTH, /* the file's length becomes `value` */
	PATCH_CUT,    /* `value` bytes less */
};

struct patch {
	enum patch_where where;
	uint64_t off, value;
	unsigned int width; /* bytes of value, big-endian */
};

static char image_dir[64];

static inline const char *image_path(const char *name)
{
	static char paths[16][PATH_MAX]; /* the last 16 stay */
	static unsigned int i;
	char *path = paths[i++ % 16];

	snprintf(path, PATH_MAX, "%s/%s", image_dir, name);
	return path;
}

static inline int image_setup(void **state)
{
	(void)state;
	snprintf(image_dir, sizeof(image_dir), "/tmp/caisson-vhd-XXXXXX");
	return mkdtemp(image_dir) ? 0 : -1;
}

static inline int image_teardown(void **state)
{
	struct err e;

	(void)state;
	return tree_remove_at(AT_FDCWD, image_dir, &e);
}

static inline void image_remove(const char *name)
{
	unlink(image_path(name));
}

static inline void must_be(int rc, const struct vhd_err *e)
{
	if (rc < 0)
		fail_msg("%d: %s", rc, e->msg);
}

static inline void image_write(const char *name, uint64_t off, const void *data, size_t len)
{
	const struct vhd_open_options o = { .flags = VHD_OPEN_WRITE };
	struct vhd_err e = { 0 };
	struct vhd *v;

	must_be(vhd_open(image_path(name), &o, &v, &e), &e);
	must_be(vhd_write(v, data, len, off, &e), &e);
	must_be(vhd_close(v, &e), &e);
}

static inline void image_make(const char *name, const struct vhd_create_options *o)
{
	struct vhd_err e = { 0 };

	image_remove(name);
	must_be(vhd_create(image_path(name), o, &e), &e);
}

static inline void dynamic_make(const char *name, enum vhd_profile profile)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC,
					      .size = IMG_SIZE,
					      .profile = profile };
	const struct vhd_open_options rw = { .flags = VHD_OPEN_WRITE };
	struct vhd_err e = { 0 };
	struct vhd *v;

	image_make(name, &o);
	must_be(vhd_open(image_path(name), &rw, &v, &e), &e);
	must_be(vhd_write(v, "zero", 4, 5, &e), &e);
	must_be(vhd_write(v, "two", 3, 4 * MIB, &e), &e);
	must_be(vhd_write(v, "three", 5, 6 * MIB + 512, &e), &e);
	must_be(vhd_close(v, &e), &e);
}

static inline void child_make(const char *name, const char *parent)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_DIFFERENCING,
					      .parent = image_path(parent) };

	image_make(name, &o);
	image_write(name, 4 * MIB + 1024, "child", 5);
}

static inline int image_fd(const char *name)
{
	int fd = open(image_path(name), O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline uint64_t image_length(const char *name)
{
	struct stat st;

	assert_int_equal(stat(image_path(name), &st), 0);
	return (uint64_t)st.st_size;
}

static inline void bytes_get(const char *name, void *data, size_t len, uint64_t off)
{
	auto_fd fd = image_fd(name);

	assert_int_equal(pread(fd, data, len, (off_t)off), len);
}

static inline void bytes_put(const char *name, const void *data, size_t len, uint64_t off)
{
	auto_fd fd = image_fd(name);

	assert_int_equal(pwrite(fd, data, len, (off_t)off), len);
}

static inline void value_put(uint8_t *raw, uint64_t value, unsigned int width)
{
	for (unsigned int i = 0; i < width; i++)
		raw[i] = (uint8_t)(value >> 8 * (width - 1 - i));
}

/* Change a structure of `len` bytes at `at` and set its checksum. */
static inline void summed_put(const char *name, uint64_t at, size_t len, size_t sum_at,
			      const struct patch *p)
{
	uint8_t raw[VHD_HEADER_SIZE];

	bytes_get(name, raw, len, at);
	value_put(raw + p->off, p->value, p->width);
	put_be32(raw + sum_at, vhd_checksum(raw, len, sum_at));
	bytes_put(name, raw, len, at);
}

static inline void image_patch(const char *name, const struct patch *p)
{
	uint64_t length = image_length(name);
	uint8_t raw[8];

	value_put(raw, p->value, p->width);
	switch (p->where) {
	case PATCH_NONE:
		break;
	case PATCH_TAIL:
		summed_put(name, length - 512, VHD_FOOTER_SIZE, 64, p);
		break;
	case PATCH_HEAD:
		summed_put(name, 0, VHD_FOOTER_SIZE, 64, p);
		break;
	case PATCH_BOTH:
		summed_put(name, length - 512, VHD_FOOTER_SIZE, 64, p);
		summed_put(name, 0, VHD_FOOTER_SIZE, 64, p);
		break;
	case PATCH_HEADER:
		summed_put(name, 512, VHD_HEADER_SIZE, 36, p);
		break;
	case PATCH_FILE:
		bytes_put(name, raw, p->width, p->off);
		break;
	case PATCH_END:
		bytes_put(name, raw, p->width, length - p->off);
		break;
	case PATCH_LENGTH:
		assert_int_equal(truncate(image_path(name), (off_t)p->value), 0);
		break;
	case PATCH_CUT:
		assert_int_equal(truncate(image_path(name), (off_t)(length - p->value)), 0);
		break;
	}
}

/* ---- findings, collected */

struct findings {
	struct vhd_finding f[400];
	size_t n;
	unsigned int n_of[3]; /* by severity */
};

static inline void findings_add(void *ctx, const char *file, const struct vhd_finding *f)
{
	struct findings *all = ctx;

	assert_non_null(strstr(file, image_dir));
	assert_non_null(f->field);
	assert_true(f->text[0] && memchr(f->text, 0, sizeof(f->text)));
	assert_true(all->n < ARRAY_SIZE(all->f));
	all->n_of[f->severity]++;
	all->f[all->n++] = *f;
}

static inline const struct vhd_finding *finding_of(const struct findings *all,
						   enum vhd_severity severity, const char *field,
						   const char *text)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->f[i].severity == severity && strcmp(all->f[i].field, field) == 0 &&
		    strstr(all->f[i].text, text))
			return &all->f[i];
	return NULL;
}

static inline void findings_print(const struct findings *all)
{
	for (size_t i = 0; i < all->n; i++)
		print_error("  %d%s %s @%" PRIu64 ": %s\n", (int)all->f[i].severity,
			    all->f[i].is_repairable ? " repairable" : "", all->f[i].field,
			    all->f[i].offset, all->f[i].text);
}

#endif
