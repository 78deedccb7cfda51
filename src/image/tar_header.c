/* SPDX-License-Identifier: MIT */
/*
 * tar_header.c - [U] the header at hand: names, numbers, size, type
 *
 * What an extended header has said stands in `meta` and goes before the header's own fields.
 */
#include <string.h>

#include "tar_internal.h"

#define NAME_LEN        100U
#define PREFIX_LEN      155U
#define PREFIX_LEN_STAR 131U

static bool base256(const uint8_t *f, size_t len, int64_t *ret)
{
	bool is_negative = f[0] & 0x40;
	uint64_t v = is_negative ? UINT64_MAX : 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = i > 0 ? f[i] : (uint8_t)((f[0] & 0x3f) | (is_negative ? 0xc0 : 0));

		/* what is shifted out, and the sign bit after it, must be copies of the sign */
		if (v >> 55 != (is_negative ? 0x1ff : 0))
			return false;
		v = v << 8 | c;
	}
	*ret = (int64_t)v;
	return true;
}

bool tar_field_number(const uint8_t *f, size_t len, int64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	if (f[0] & 0x80)
		return base256(f, len, ret);
	while (i < len && (f[i] == ' ' || f[i] == 0))
		i++;
	for (; i < len && f[i] >= '0' && f[i] <= '7'; i++) /* 12 digits at most: 36 bits */
		v = v << 3 | (uint64_t)(f[i] - '0');
	for (; i < len; i++)
		if (f[i] != ' ' && f[i] != 0)
			return false;
	*ret = (int64_t)v;
	return true;
}

bool tar_header_is_right(const uint8_t *h)
{
	int64_t want, is = 0, is_signed = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		uint8_t c = i >= F_SUM && i < F_SUM + 8 ? ' ' : h[i];

		is += c;
		is_signed += (int8_t)c;
	}
	return tar_field_number(h + F_SUM, 8, &want) && (want == is || want == is_signed);
}

static int field_text(struct buf *b, const uint8_t *f, size_t len, struct err *e)
{
	if (buf_add(b, f, strnlen((const char *)f, len)) < 0)
		return err_set(e, ENOMEM, "tar");
	return 0;
}

/* The name of ustar and star has a prefix; GNU uses its place for other things. */
static int header_path(struct tar *t, struct err *e)
{
	const uint8_t *h = t->head;
	size_t n = memcmp(h + F_STAR, "tar\0", 4) == 0 ? PREFIX_LEN_STAR : PREFIX_LEN;

	buf_clear(&t->path);
	if (memcmp(h + F_MAGIC, "ustar\0", 6) == 0 && h[F_PREFIX] != 0 &&
	    (field_text(&t->path, h + F_PREFIX, n, e) < 0 || buf_add_str(&t->path, "/") < 0))
		return err_set(e, ENOMEM, "tar");
	return field_text(&t->path, h + F_NAME, NAME_LEN, e);
}

static const char *text_or_empty(const struct buf *b)
{
	return b->data ? b->data : "";
}

int tar_header_names(struct tar *t, struct tar_entry *r, struct err *e)
{
	struct tar_meta *m = &t->meta;

	if (header_path(t, e) < 0)
		return -e->code;
	buf_clear(&t->link);
	if (field_text(&t->link, t->head + F_LINK, NAME_LEN, e) < 0)
		return -e->code;
	r->path = text_or_empty(m->sparse_name.is_set ? &m->sparse_name.b
				: m->path.is_set      ? &m->path.b
				: m->long_path.is_set ? &m->long_path.b
						      : &t->path);
	r->link = text_or_empty(m->link.is_set        ? &m->link.b
				: m->long_link.is_set ? &m->long_link.b
						      : &t->link);
	return 0;
}

/* A header field, unless pax has said it. */
static int number_get(struct tar *t, const struct tar_number *pax, unsigned int off, size_t len,
		      int64_t *ret, struct err *e)
{
	if (pax && pax->is_set) {
		*ret = pax->v;
		return 0;
	}
	return tar_field_number(t->head + off, len, ret) ? 0
							 : tar_bad(t, e, "bad number in a header");
}

static int id_get(struct tar *t, const struct tar_number *pax, unsigned int off, uint32_t *ret,
		  struct err *e)
{
	int64_t v;

	if (number_get(t, pax, off, 8, &v, e) < 0)
		return -e->code;
	if (v < 0 || v >= UINT32_MAX) /* others take these for root */
		return err_plain(e, EBADMSG, "tar: owner %lld is out of range", (long long)v);
	*ret = (uint32_t)v;
	return 0;
}

static int device_get(struct tar *t, struct tar_entry *r, struct err *e)
{
	int64_t major, minor;

	if (number_get(t, NULL, F_MAJOR, 8, &major, e) < 0 ||
	    number_get(t, NULL, F_MINOR, 8, &minor, e) < 0)
		return -e->code;
	if (major < 0 || major > TAR_MAJOR_MAX || minor < 0 || minor > TAR_MINOR_MAX)
		return err_plain(e, EBADMSG, "tar: device %lld:%lld is out of range",
				 (long long)major, (long long)minor);
	r->major = (uint32_t)major;
	r->minor = (uint32_t)minor;
	return 0;
}

int tar_header_numbers(struct tar *t, struct tar_entry *r, struct err *e)
{
	const struct tar_meta *m = &t->meta;
	int64_t mode;

	if (number_get(t, NULL, F_MODE, 8, &mode, e) < 0 ||
	    id_get(t, &m->uid, F_UID, &r->uid, e) < 0 ||
	    id_get(t, &m->gid, F_GID, &r->gid, e) < 0 ||
	    number_get(t, &m->mtime, F_MTIME, 12, &r->mtime_sec, e) < 0)
		return -e->code;
	r->mode = (uint32_t)mode & 07777;
	r->mtime_nsec = m->mtime.is_set ? m->mtime_nsec : 0;
	return r->type == TAR_CHR || r->type == TAR_BLK ? device_get(t, r, e) : 0;
}

int tar_header_size(struct tar *t, uint64_t *ret, struct err *e)
{
	int64_t v;

	if (number_get(t, &t->meta.size, F_SIZE, 12, &v, e) < 0)
		return -e->code;
	if (v < 0)
		return tar_bad(t, e, "negative size");
	if ((uint64_t)v > TAR_FILE_MAX)
		return err_plain(e, EFBIG, "tar: file of more than %llu GiB", TAR_FILE_MAX >> 30);
	*ret = (uint64_t)v;
	return 0;
}

int tar_header_type(struct tar *t, const char *path, enum tar_type *ret, struct err *e)
{
	size_t n = strlen(path);

	switch (t->head[F_TYPE]) {
	case '0':
	case 0:
	case '7':
		/* how the oldest archives name a directory */
		*ret = n > 0 && path[n - 1] == '/' ? TAR_DIR : TAR_REG;
		return 0;
	case 'S':
		*ret = TAR_REG;
		return 0;
	case '1':
		*ret = TAR_HARDLINK;
		return 0;
	case '2':
		*ret = TAR_SYMLINK;
		return 0;
	case '3':
		*ret = TAR_CHR;
		return 0;
	case '4':
		*ret = TAR_BLK;
		return 0;
	case '5':
	case 'D':
		*ret = TAR_DIR;
		return 0;
	case '6':
		*ret = TAR_FIFO;
		return 0;
	default:
		return tar_bad(t, e, "entry of an unknown type");
	}
}
