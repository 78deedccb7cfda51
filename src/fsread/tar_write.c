/* SPDX-License-Identifier: MIT */
/* tar_write.c - headers of tar; sparse files as of pax 1.0 of GNU */
#include "tar_write.h"

#include <inttypes.h>

#define NAME_LEN    100U
#define OCTAL_7_MAX 07777777ULL     /* ids, devices */
#define OCTAL_11    077777777777ULL /* sizes, times */
#define PAX_MAX     (64U << 20)     /* all of the xattrs of an entry, and paths */
#define MAP_MAX     (LTREE_EXTENTS_MAX * 48ULL)

void tar_writer_init(struct tar_writer *w, struct layer_writer *out)
{
	*w = (struct tar_writer){ .out = out, .pax = BUF_LIMIT(PAX_MAX) };
}

void tar_writer_done(struct tar_writer *w)
{
	buf_done(&w->pax);
}

/* ---- pax records ---- */

/* "LEN KEY=VALUE\n", where LEN counts itself. */
static int pax_add(struct tar_writer *w, const char *key, const void *value, size_t len)
{
	const size_t rest = strlen(key) + len + 3; /* space, '=' and newline */
	size_t total = rest + 1;

	for (size_t power = 10; power <= total; power *= 10)
		total++; /* one digit more */
	if (buf_addf(&w->pax, "%zu %s=", total, key) < 0 || buf_add(&w->pax, value, len) < 0 ||
	    buf_add(&w->pax, "\n", 1) < 0)
		return -ENOMEM;
	return 0;
}

static int pax_number(struct tar_writer *w, const char *key, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	return pax_add(w, key, text, strlen(text));
}

/* "-1.5" is what one and a half seconds before the epoch are: seconds -2, nanoseconds 5e8. */
static int pax_time(struct tar_writer *w, int64_t sec, uint32_t nsec)
{
	char text[48];

	if (sec < 0 && nsec) {
		sec++;
		nsec = 1000000000U - nsec;
		snprintf(text, sizeof(text), "-%" PRIu64 ".%09" PRIu32, (uint64_t)-sec, nsec);
	} else if (nsec) {
		snprintf(text, sizeof(text), "%" PRId64 ".%09" PRIu32, sec, nsec);
	} else {
		snprintf(text, sizeof(text), "%" PRId64, sec);
	}
	return pax_add(w, "mtime", text, strlen(text));
}

static int pax_xattrs(struct tar_writer *w, const struct tar_entry *t)
{
	char key[sizeof("SCHILY.xattr.") + LTREE_XATTR_NAME_MAX];

	for (size_t i = 0; i < t->n_xattrs; i++) {
		snprintf(key, sizeof(key), "SCHILY.xattr.%s", t->xattrs[i].name);
		if (pax_add(w, key, t->xattrs[i].value, t->xattrs[i].value_len) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int pax_make(struct tar_writer *w, const struct tar_entry *t, const char *path,
		    uint64_t stored)
{
	int rc = 0;

	if (t->is_sparse) {
		rc = pax_add(w, "GNU.sparse.major", "1", 1);
		if (rc == 0)
			rc = pax_add(w, "GNU.sparse.minor", "0", 1);
		if (rc == 0)
			rc = pax_add(w, "GNU.sparse.name", path, strlen(path));
		if (rc == 0)
			rc = pax_number(w, "GNU.sparse.realsize", t->size);
	}
	if (rc == 0 && strlen(path) > NAME_LEN)
		rc = pax_add(w, "path", path, strlen(path));
	if (rc == 0 && t->link && strlen(t->link) > NAME_LEN)
		rc = pax_add(w, "linkpath", t->link, strlen(t->link));
	if (rc == 0 && stored > OCTAL_11)
		rc = pax_number(w, "size", stored);
	if (rc == 0 && t->uid > OCTAL_7_MAX)
		rc = pax_number(w, "uid", t->uid);
	if (rc == 0 && t->gid > OCTAL_7_MAX)
		rc = pax_number(w, "gid", t->gid);
	if (rc == 0 && (t->mtime_nsec || t->mtime_sec < 0 || (uint64_t)t->mtime_sec > OCTAL_11))
		rc = pax_time(w, t->mtime_sec, t->mtime_nsec);
	return rc == 0 ? pax_xattrs(w, t) : rc;
}

/* ---- headers ---- */

static void octal(char *field, size_t size, uint64_t value, uint64_t max)
{
	snprintf(field, size, "%0*" PRIo64, (int)size - 1, value > max ? 0 : value);
}

static char flag_of(enum tar_type type)
{
	static const char flags[] = {
		[TAR_REG] = '0', [TAR_HARDLINK] = '1', [TAR_SYMLINK] = '2', [TAR_CHR] = '3',
		[TAR_BLK] = '4', [TAR_DIR] = '5',      [TAR_FIFO] = '6'
	};

	return flags[type];
}

static void sum_set(char h[TAR_BLOCK])
{
	unsigned int sum = 0;

	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
}

static int header_put(struct tar_writer *w, const struct tar_entry *t, const char *path, char flag,
		      uint64_t size, struct err *e)
{
	char h[TAR_BLOCK] = { 0 };

	memcpy(h, path, MIN_OF(strlen(path), (size_t)NAME_LEN));
	octal(h + 100, 8, t->mode, OCTAL_7_MAX);
	octal(h + 108, 8, t->uid, OCTAL_7_MAX);
	octal(h + 116, 8, t->gid, OCTAL_7_MAX);
	octal(h + 124, 12, size, OCTAL_11);
	octal(h + 136, 12, t->mtime_sec < 0 ? 0 : (uint64_t)t->mtime_sec, OCTAL_11);
	h[156] = flag;
	if (t->link)
		memcpy(h + 157, t->link, MIN_OF(strlen(t->link), (size_t)NAME_LEN));
	memcpy(h + 257, "ustar\00000", 8);
	if (t->type == TAR_CHR || t->type == TAR_BLK) {
		octal(h + 329, 8, t->major, OCTAL_7_MAX);
		octal(h + 337, 8, t->minor, OCTAL_7_MAX);
	}
	sum_set(h);
	return layer_writer_add(w->out, h, sizeof(h), e);
}

static int pad(struct tar_writer *w, uint64_t len, struct err *e)
{
	static const char zeros[TAR_BLOCK];
	const size_t rest = (size_t)(len % TAR_BLOCK);

	return rest ? layer_writer_add(w->out, zeros, TAR_BLOCK - rest, e) : 0;
}

static int pax_put(struct tar_writer *w, struct err *e)
{
	static const struct tar_entry plain = { .type = TAR_REG, .mode = 0644 };

	if (w->pax.len == 0)
		return 0;
	if (header_put(w, &plain, "pax", 'x', w->pax.len, e) < 0 ||
	    layer_writer_add(w->out, w->pax.data, w->pax.len, e) < 0)
		return -e->code;
	return pad(w, w->pax.len, e);
}

/* The map before the contents: decimal numbers, a line each, padded to a block. */
static int map_make(const struct tar_entry *t, struct buf *map, uint64_t *ret_data, struct err *e)
{
	int rc = buf_addf(map, "%zu\n", t->n_map);

	*ret_data = 0;
	for (size_t i = 0; rc == 0 && i < t->n_map; i++) {
		rc = buf_addf(map, "%" PRIu64 "\n%" PRIu64 "\n", t->map[i].off, t->map[i].len);
		if (*ret_data % TAR_BLOCK && t->map[i].len)
			return err_plain(e, EINVAL, "a piece of a sparse file is no whole block");
		*ret_data += t->map[i].len;
	}
	while (rc == 0 && map->len % TAR_BLOCK)
		rc = buf_add(map, "", 1);
	return rc < 0 ? err_set(e, -rc, "map of a sparse file") : 0;
}

int tar_writer_entry(struct tar_writer *w, const struct tar_entry *t, struct err *e)
{
	auto_buf path = { 0 };
	auto_buf map = BUF_LIMIT(MAP_MAX);
	uint64_t data = t->type == TAR_REG ? t->size : 0, stored;

	if (buf_addf(&path, "%s%s", t->path, t->type == TAR_DIR ? "/" : "") < 0)
		return err_set(e, ENOMEM, "tar");
	if (t->is_sparse && map_make(t, &map, &data, e) < 0)
		return -e->code;
	stored = data + map.len;
	buf_clear(&w->pax);
	if (pax_make(w, t, path.data, stored) < 0)
		return err_set(e, ENOMEM, "pax header of %.200s", t->path);
	if (pax_put(w, e) < 0 || header_put(w, t, path.data, flag_of(t->type), stored, e) < 0)
		return -e->code;
	if (map.len && layer_writer_add(w->out, map.data, map.len, e) < 0)
		return -e->code;
	w->left = data;
	w->padding = (uint32_t)(stored % TAR_BLOCK);
	return 0;
}

int tar_writer_data(struct tar_writer *w, const void *data, size_t len, struct err *e)
{
	if (len > w->left)
		return err_plain(e, EINVAL, "more contents than the header of a file says");
	if (layer_writer_add(w->out, data, len, e) < 0)
		return -e->code;
	w->left -= len;
	return w->left || len == 0 ? 0 : pad(w, w->padding, e);
}

int tar_writer_finish(struct tar_writer *w, struct err *e)
{
	static const char zeros[2 * TAR_BLOCK];

	return layer_writer_add(w->out, zeros, sizeof(zeros), e);
}
