/* SPDX-License-Identifier: MIT */
/*
 * ltree.c - [U] the file of a layer's records: writer, and reader of hostile bytes
 *
 * File: header, records, trailer; little-endian; described in doc/format/layer-tree.md. The writer
 * refuses what the reader would refuse, by the same function, so that a broken record is found by
 * the process that made it.
 *
 * Hostile: all of the file. Invariants of what ltree_reader_next() returns: every rule in ltree.h.
 * The checksum finds torn files, not malice: no check is left out because of it.
 */
#include "ltree.h"

#include <limits.h>
#include <zlib.h>

#include "bytes.h"
#include "fdio.h"

#define HEADER_SIZE 16U
#define FIXED_SIZE  64U /* of a record, its length word included */
#define EXTENT_SIZE 24U
#define XATTR_SIZE  8U
#define RECORD_MAX  (96U << 20)
#define FLUSH_SIZE  (256U << 10)

static const char header_magic[8] = "CSNTREE1";
static const char trailer_magic[8] = LTREE_TRAILER_MAGIC;

struct ltree_writer {
	int fd;
	uint32_t crc;
	uint64_t n_records;
	uint64_t data_end; /* of the furthest extent */
	struct buf out;
};

struct ltree_reader {
	const uint8_t *records, *at, *end;
	uint64_t data_len, n_records, n_read;
	struct ltree_extent *extents;
	size_t extents_cap;
	struct ltree_xattr *xattrs;
	size_t xattrs_cap;
};

/* ---- rules, for both sides ---- */

static int path_check(const char *path, bool may_be_root, struct err *e)
{
	uint32_t depth = 0;

	if (!*path)
		return may_be_root ? 0 : err_plain(e, EINVAL, "the root directory cannot be this");
	if (strlen(path) > LTREE_PATH_MAX)
		return err_plain(e, EINVAL, "path of more than %u bytes", LTREE_PATH_MAX);
	for (const char *p = path;; p++) {
		size_t n = strcspn(p, "/");

		if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return err_plain(e, EINVAL,
					 "path with an empty, \".\" or \"..\" component");
		if (n > LTREE_NAME_MAX)
			return err_plain(e, EINVAL, "name of more than %u bytes", LTREE_NAME_MAX);
		if (++depth > LTREE_DEPTH_MAX)
			return err_plain(e, EINVAL, "more than %u directories deep",
					 LTREE_DEPTH_MAX);
		p += n;
		if (!*p)
			return 0;
	}
}

static int extents_check(const struct ltree_record *r, struct err *e)
{
	uint64_t at = 0;

	if (r->n_extents > LTREE_EXTENTS_MAX)
		return err_plain(e, EINVAL, "more than %u extents", LTREE_EXTENTS_MAX);
	for (uint32_t i = 0; i < r->n_extents; i++) {
		const struct ltree_extent *x = &r->extents[i];

		if (x->len == 0 || x->file_off < at || !range_fits(x->file_off, x->len, r->size))
			return err_plain(e, EINVAL, "extents out of order or outside the file");
		if (x->file_off % LTREE_BLOCK || x->data_off % LTREE_BLOCK ||
		    (x->len % LTREE_BLOCK && i + 1 < r->n_extents))
			return err_plain(e, EINVAL, "extent that does not start at a block");
		if (x->data_off > INT64_MAX || x->len > INT64_MAX - x->data_off - LTREE_BLOCK)
			return err_plain(e, EINVAL, "extent out of range");
		at = x->file_off + x->len;
	}
	return 0;
}

static int xattrs_check(const struct ltree_record *r, struct err *e)
{
	if (r->n_xattrs > LTREE_XATTRS_MAX)
		return err_plain(e, EINVAL, "more than %u extended attributes", LTREE_XATTRS_MAX);
	for (uint32_t i = 0; i < r->n_xattrs; i++) {
		size_t n = strlen(r->xattrs[i].name);

		if (n == 0 || n > LTREE_XATTR_NAME_MAX)
			return err_plain(e, EINVAL, "extended attribute with a name of %zu bytes",
					 n);
		if (r->xattrs[i].value_len > LTREE_XATTR_VALUE_MAX)
			return err_plain(e, EINVAL, "extended attribute of more than %u bytes",
					 LTREE_XATTR_VALUE_MAX);
	}
	return 0;
}

static int link_check(const struct ltree_record *r, struct err *e)
{
	size_t n = r->link ? strlen(r->link) : 0;

	if (r->kind == LTREE_SYMLINK)
		return n > 0 && n <= LTREE_LINK_MAX
			       ? 0
			       : err_plain(e, EINVAL, "symbolic link to a target of %zu bytes", n);
	if (r->kind == LTREE_HARDLINK)
		return path_check(r->link ? r->link : "", false, e);
	return n == 0 ? 0 : err_plain(e, EINVAL, "target of what is no link");
}

static int record_check(const struct ltree_record *r, struct err *e)
{
	if ((unsigned int)r->kind >= LTREE_KIND_COUNT_)
		return err_plain(e, EINVAL, "unknown kind");
	if (path_check(r->path, r->kind == LTREE_DIR || r->kind == LTREE_OPAQUE, e) < 0 ||
	    link_check(r, e) < 0)
		return -e->code;
	if (r->mode > 07777 || r->uid == UINT32_MAX || r->gid == UINT32_MAX ||
	    r->mtime_nsec >= 1000000000)
		return err_plain(e, EINVAL, "mode, owner or time out of range");
	if (r->kind != LTREE_REG && (r->size != 0 || r->n_extents != 0))
		return err_plain(e, EINVAL, "contents of what is no regular file");
	if (r->size > INT64_MAX)
		return err_plain(e, EINVAL, "size out of range");
	if (extents_check(r, e) < 0)
		return -e->code;
	return xattrs_check(r, e);
}

/* ---- writer ---- */

static int writer_flush(struct ltree_writer *w, struct err *e)
{
	int r;

	w->crc = (uint32_t)crc32_z(w->crc, (const Bytef *)w->out.data, w->out.len);
	r = fd_write_full(w->fd, w->out.data, w->out.len);
	if (r < 0)
		return err_set(e, -r, "write tree");
	buf_clear(&w->out);
	return 0;
}

int ltree_writer_new(int fd, struct ltree_writer **ret, struct err *e)
{
	struct ltree_writer *w = calloc(1, sizeof(*w));
	uint8_t header[HEADER_SIZE] = { 0 };

	memcpy(header, header_magic, sizeof(header_magic));
	if (w)
		w->out.max = RECORD_MAX + FLUSH_SIZE + LTREE_TRAILER_SIZE;
	if (!w || buf_add(&w->out, header, sizeof(header)) < 0) {
		ltree_writer_free(w);
		return err_set(e, ENOMEM, "tree");
	}
	w->fd = fd;
	*ret = w;
	return 0;
}

void ltree_writer_free(struct ltree_writer *w)
{
	if (!w)
		return;
	buf_done(&w->out);
	free(w);
}

static uint64_t record_len(const struct ltree_record *r, size_t path_len, size_t link_len)
{
	uint64_t n =
		FIXED_SIZE + path_len + 1 + link_len + 1 + (uint64_t)r->n_extents * EXTENT_SIZE;

	for (uint32_t i = 0; i < r->n_xattrs; i++)
		n += XATTR_SIZE + strlen(r->xattrs[i].name) + 1 + r->xattrs[i].value_len;
	return n;
}

static uint8_t *bytes_put(uint8_t *p, const void *data, size_t len)
{
	if (len > 0)
		memcpy(p, data, len);
	return p + len;
}

static uint8_t *fixed_put(uint8_t *p, const struct ltree_record *r, uint32_t len,
			  const uint32_t lens[2])
{
	put_le32(p, len);
	put_le32(p + 4, (uint32_t)r->kind);
	put_le32(p + 8, r->mode);
	put_le32(p + 12, r->uid);
	put_le32(p + 16, r->gid);
	put_le32(p + 20, r->mtime_nsec);
	put_le64(p + 24, (uint64_t)r->mtime_sec);
	put_le64(p + 32, r->size);
	put_le32(p + 40, r->major);
	put_le32(p + 44, r->minor);
	put_le32(p + 48, lens[0]);
	put_le32(p + 52, lens[1]);
	put_le32(p + 56, r->n_extents);
	put_le32(p + 60, r->n_xattrs);
	return p + FIXED_SIZE;
}

static void record_put(uint8_t *p, const struct ltree_record *r, uint32_t len,
		       const uint32_t lens[2])
{
	p = fixed_put(p, r, len, lens);
	p = bytes_put(p, r->path, lens[0] + 1);
	p = bytes_put(p, lens[1] ? r->link : "", lens[1] + 1);
	for (uint32_t i = 0; i < r->n_extents; i++, p += EXTENT_SIZE) {
		put_le64(p, r->extents[i].file_off);
		put_le64(p + 8, r->extents[i].data_off);
		put_le64(p + 16, r->extents[i].len);
	}
	for (uint32_t i = 0; i < r->n_xattrs; i++) {
		const struct ltree_xattr *x = &r->xattrs[i];
		size_t n = strlen(x->name);

		put_le32(p, (uint32_t)n);
		put_le32(p + 4, x->value_len);
		p = bytes_put(p + XATTR_SIZE, x->name, n + 1);
		p = bytes_put(p, x->value, x->value_len);
	}
}

int ltree_writer_add(struct ltree_writer *w, const struct ltree_record *r, struct err *e)
{
	uint32_t lens[2];
	uint64_t len;

	if (record_check(r, e) < 0)
		return -e->code;
	if (w->n_records >= LTREE_RECORDS_MAX)
		return err_plain(e, EINVAL, "more than %u entries in a layer", LTREE_RECORDS_MAX);
	lens[0] = (uint32_t)strlen(r->path);
	lens[1] = r->link ? (uint32_t)strlen(r->link) : 0;
	len = record_len(r, lens[0], lens[1]);
	if (len > RECORD_MAX)
		return err_plain(e, EINVAL, "record of more than %u bytes", RECORD_MAX);
	if (buf_reserve(&w->out, len) < 0)
		return err_set(e, ENOMEM, "tree");
	record_put((uint8_t *)w->out.data + w->out.len, r, (uint32_t)len, lens);
	w->out.len += len;
	w->n_records++;
	if (r->n_extents > 0) /* all of them: the order in the data file is free */
		for (uint32_t i = 0; i < r->n_extents; i++)
			w->data_end = MAX_OF(
				w->data_end,
				align_up(r->extents[i].data_off + r->extents[i].len, LTREE_BLOCK));
	return w->out.len < FLUSH_SIZE ? 0 : writer_flush(w, e);
}

int ltree_writer_finish(struct ltree_writer *w, uint64_t data_len, struct err *e)
{
	uint8_t t[LTREE_TRAILER_SIZE] = { 0 };
	int r;

	if (data_len % LTREE_BLOCK || data_len > INT64_MAX || w->data_end > data_len)
		return err_plain(e, EINVAL, "data length %llu, but extents end at %llu",
				 (unsigned long long)data_len, (unsigned long long)w->data_end);
	if (writer_flush(w, e) < 0)
		return -e->code;
	memcpy(t, trailer_magic, sizeof(trailer_magic));
	put_le64(t + 8, w->n_records);
	put_le64(t + 16, data_len);
	put_le32(t + 28, (uint32_t)crc32_z(w->crc, t, 28));
	r = fd_write_full(w->fd, t, sizeof(t));
	return r < 0 ? err_set(e, -r, "write tree") : 0;
}

/* ---- reader ---- */

static int bad(struct err *e, const char *what)
{
	return err_plain(e, EBADMSG, "bad layer tree: %s", what);
}

static int trailer_read(struct ltree_reader *r, const uint8_t *file, size_t len, struct err *e)
{
	const uint8_t *t;

	if (len < HEADER_SIZE + LTREE_TRAILER_SIZE)
		return bad(e, "too short");
	t = file + len - LTREE_TRAILER_SIZE;
	if (memcmp(file, header_magic, sizeof(header_magic)) != 0 || get_le64(file + 8) != 0 ||
	    memcmp(t, trailer_magic, sizeof(trailer_magic)) != 0 || get_le32(t + 24) != 0)
		return bad(e, "not one, of another version, or incomplete");
	if (get_le32(t + 28) != (uint32_t)crc32_z(0, file, len - 4))
		return bad(e, "checksum");
	r->records = r->at = file + HEADER_SIZE;
	r->end = t;
	r->n_records = get_le64(t + 8);
	r->data_len = get_le64(t + 16);
	if (r->n_records > LTREE_RECORDS_MAX || r->data_len % LTREE_BLOCK ||
	    r->data_len > INT64_MAX)
		return bad(e, "counts out of range");
	return 0;
}

int ltree_reader_new(const void *file, size_t len, struct ltree_reader **ret, struct err *e)
{
	struct ltree_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(e, ENOMEM, "tree");
	if (trailer_read(r, file, len, e) < 0) {
		ltree_reader_free(r);
		return -e->code;
	}
	*ret = r;
	return 0;
}

uint64_t ltree_reader_data_len(const struct ltree_reader *r)
{
	return r->data_len;
}

uint64_t ltree_reader_n_records(const struct ltree_reader *r)
{
	return r->n_records;
}

void ltree_reader_rewind(struct ltree_reader *r)
{
	r->at = r->records;
	r->n_read = 0;
}

void ltree_reader_free(struct ltree_reader *r)
{
	if (!r)
		return;
	free(r->extents);
	free(r->xattrs);
	free(r);
}

static int array_fit(void **array, size_t *io_cap, size_t n, size_t size, struct err *e)
{
	void *p;

	if (n <= *io_cap)
		return 0;
	p = reallocarray(*array, n, size);
	if (!p)
		return err_set(e, ENOMEM, "tree");
	*array = p;
	*io_cap = n;
	return 0;
}

/* `n` bytes and their NUL, none inside; NULL when not so. */
static const char *string_take(const uint8_t **io_p, const uint8_t *end, uint32_t n)
{
	const char *s = (const char *)*io_p;

	if (n >= (size_t)(end - *io_p) || memchr(s, 0, (size_t)n + 1) != s + n)
		return NULL;
	*io_p += (size_t)n + 1;
	return s;
}

static int extents_take(struct ltree_reader *r, const uint8_t **io_p, const uint8_t *end,
			uint32_t n, struct err *e)
{
	const uint8_t *p = *io_p;

	if (n > LTREE_EXTENTS_MAX || (size_t)n * EXTENT_SIZE > (size_t)(end - p))
		return bad(e, "extents");
	if (array_fit((void **)&r->extents, &r->extents_cap, n, sizeof(*r->extents), e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < n; i++, p += EXTENT_SIZE) {
		struct ltree_extent *x = &r->extents[i];

		*x = (struct ltree_extent){ get_le64(p), get_le64(p + 8), get_le64(p + 16) };
		if (x->len > INT64_MAX - LTREE_BLOCK ||
		    !range_fits(x->data_off, align_up(x->len, LTREE_BLOCK), r->data_len))
			return bad(e, "extent outside the data");
	}
	*io_p = p;
	return 0;
}

static int xattrs_take(struct ltree_reader *r, const uint8_t **io_p, const uint8_t *end, uint32_t n,
		       struct err *e)
{
	const uint8_t *p = *io_p;

	if (n > LTREE_XATTRS_MAX)
		return bad(e, "extended attributes");
	if (array_fit((void **)&r->xattrs, &r->xattrs_cap, n, sizeof(*r->xattrs), e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < n; i++) {
		struct ltree_xattr *x = &r->xattrs[i];
		uint32_t name_len;

		if ((size_t)(end - p) < XATTR_SIZE)
			return bad(e, "extended attributes");
		name_len = get_le32(p);
		x->value_len = get_le32(p + 4);
		p += XATTR_SIZE;
		x->name = string_take(&p, end, name_len);
		if (!x->name || x->value_len > (size_t)(end - p))
			return bad(e, "extended attributes");
		x->value = p;
		p += x->value_len;
	}
	*io_p = p;
	return 0;
}

static void fixed_get(const uint8_t *p, struct ltree_record *ret)
{
	*ret = (struct ltree_record){
		.kind = (enum ltree_kind)get_le32(p + 4),
		.mode = get_le32(p + 8),
		.uid = get_le32(p + 12),
		.gid = get_le32(p + 16),
		.mtime_nsec = get_le32(p + 20),
		.mtime_sec = (int64_t)get_le64(p + 24),
		.size = get_le64(p + 32),
		.major = get_le32(p + 40),
		.minor = get_le32(p + 44),
		.n_extents = get_le32(p + 56),
		.n_xattrs = get_le32(p + 60),
	};
}

int ltree_reader_next(struct ltree_reader *r, struct ltree_record *ret, struct err *e)
{
	const uint8_t *p = r->at, *end;
	size_t left = (size_t)(r->end - r->at);
	uint32_t len;

	if (left == 0)
		return r->n_read == r->n_records ? 0 : bad(e, "records are missing");
	if (r->n_read >= r->n_records || left < FIXED_SIZE)
		return bad(e, "bytes after the last record");
	len = get_le32(p);
	if (len < FIXED_SIZE || len > left)
		return bad(e, "record length");
	end = p + len;
	fixed_get(p, ret);
	p += FIXED_SIZE;
	ret->path = string_take(&p, end, get_le32(r->at + 48));
	ret->link = ret->path ? string_take(&p, end, get_le32(r->at + 52)) : NULL;
	if (!ret->link)
		return bad(e, "names");
	if (extents_take(r, &p, end, ret->n_extents, e) < 0 ||
	    xattrs_take(r, &p, end, ret->n_xattrs, e) < 0)
		return -e->code;
	if (p != end)
		return bad(e, "bytes after a record");
	ret->extents = r->extents;
	ret->xattrs = r->xattrs;
	if (record_check(ret, e) < 0)
		return err_wrap(e, "bad layer tree");
	r->at = end;
	r->n_read++;
	return 1;
}
