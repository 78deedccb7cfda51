/* SPDX-License-Identifier: MIT */
/*
 * fuzz_unpack.c - archives to records and data, and what goes into them
 *
 * First byte, low bits: 0 a path; 1 an access list as text; 2 one as bytes; else an archive whose
 * sums are made right, in pieces by the high bits. What was unpacked is read back and compared with
 * a second reading of the archive.
 */
#include "fuzz_input.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "acl.h"
#include "bytes.h"
#include "fdio.h"
#include "layer_path.h"
#include "ltree.h"
#include "tar.h"
#include "unpack.h"

static void path_try(const char *raw)
{
	auto_buf path = { 0 }, again = { 0 };
	enum layer_path_kind kind;
	struct err e = { 0 };

	if (layer_path_normalise(raw, &path, &e) < 0) {
		MUST(e.code == EBADMSG && e.msg[0]);
		return;
	}
	MUST(strlen(path.data) == path.len && path.len <= LTREE_PATH_MAX);
	MUST(path.data[0] != '/' && (path.len == 0 || path.data[path.len - 1] != '/'));
	MUST(layer_path_normalise(path.data, &again, &e) == 0 &&
	     strcmp(path.data, again.data) == 0);
	if (layer_path_classify(&path, &kind, &e) < 0) {
		MUST(e.code == EBADMSG);
		return;
	}
	MUST(strlen(path.data) == path.len);
	if (kind == LAYER_PATH_PLAIN)
		MUST(strcmp(path.data, again.data) == 0 && !strstr(again.data, "/.wh.") &&
		     strncmp(again.data, ".wh.", 4) != 0);
	else
		MUST(strstr(again.data, ".wh."));
	MUST(kind != LAYER_PATH_WHITEOUT || path.len > 0);
	MUST(layer_path_normalise(path.data, &again, &e) == 0 &&
	     strcmp(path.data, again.data) == 0);
}

static void acl_text_try(const char *text)
{
	auto_buf b = { 0 };
	struct err e = { 0 };

	MUST(buf_add(&b, "head", 4) == 0);
	if (acl_from_text(text, &b, &e) < 0)
		MUST(b.len == 4 && (e.code == EBADMSG || e.code == EOPNOTSUPP));
	else
		MUST(acl_is_valid(b.data + 4, b.len - 4));
	MUST(memcmp(b.data, "head", 4) == 0);
}

/* ---- archives ---- */

struct layer {
	struct ltree_reader *tree;
	int data_fd;
	uint64_t data_len;
};

static void xattrs_check(const struct ltree_record *r)
{
	static const char *const kept[] = { "user.", "trusted.", "security.", "system.posix_acl_" };

	for (uint32_t i = 0; i < r->n_xattrs; i++) {
		const struct ltree_xattr *x = &r->xattrs[i];
		bool is_kept = false;

		for (size_t k = 0; k < ARRAY_SIZE(kept); k++)
			is_kept |= strncmp(x->name, kept[k], strlen(kept[k])) == 0 &&
				   strlen(x->name) > strlen(kept[k]);
		MUST(is_kept && !strstr(x->name, ".overlay."));
		MUST(x->name[1] != 'y' || acl_is_valid(x->value, x->value_len));
	}
}

/* What the data file has at `off` of the file; every byte of the archive lies in an extent. */
static void bytes_check(const struct layer *l, const struct ltree_record *r, uint64_t off,
			const uint8_t *p, size_t n)
{
	uint8_t got[4096];

	for (uint32_t i = 0; n > 0 && i < r->n_extents; i++) {
		const struct ltree_extent *x = &r->extents[i];

		while (n > 0 && off >= x->file_off && off - x->file_off < x->len) {
			size_t part = MIN_OF(n, sizeof(got));

			part = (size_t)MIN_OF((uint64_t)part, x->len - (off - x->file_off));
			MUST(fd_pread_full(l->data_fd, got, part,
					   (off_t)(x->data_off + off - x->file_off)) == 0);
			MUST(memcmp(got, p, part) == 0);
			p += part;
			off += part;
			n -= part;
		}
	}
	MUST(n == 0);
}

static void contents_check(const struct layer *l, const struct ltree_record *r, struct tar *t)
{
	struct err e = { 0 };

	for (uint32_t i = 0; i < r->n_extents; i++) /* ltree.h: large ones begin at 2 MiB */
		MUST(r->size < LTREE_ALIGN || r->n_extents != 1 ||
		     r->extents[i].len < LTREE_ALIGN || r->extents[i].data_off % LTREE_ALIGN == 0);
	for (;;) {
		const uint8_t *p;
		uint64_t off;
		size_t n;

		MUST(tar_data(t, &p, &n, &off, &e) == 0);
		if (n == 0)
			return;
		bytes_check(l, r, off, p, n);
	}
}

static void entry_check(const struct layer *l, struct tar *t, const struct tar_entry *x)
{
	static const enum ltree_kind kinds[] = {
		[TAR_REG] = LTREE_REG,         [TAR_HARDLINK] = LTREE_HARDLINK,
		[TAR_SYMLINK] = LTREE_SYMLINK, [TAR_CHR] = LTREE_CHR,
		[TAR_BLK] = LTREE_BLK,         [TAR_DIR] = LTREE_DIR,
		[TAR_FIFO] = LTREE_FIFO,
	};
	auto_buf path = { 0 };
	enum layer_path_kind kind;
	struct ltree_record r;
	struct err e = { 0 };

	MUST(layer_path_normalise(x->path, &path, &e) == 0);
	MUST(layer_path_classify(&path, &kind, &e) == 0);
	if (kind == LAYER_PATH_DROP ||
	    (kind == LAYER_PATH_PLAIN && x->type == TAR_CHR && !x->major && !x->minor))
		return;
	MUST(ltree_reader_next(l->tree, &r, &e) == 1);
	MUST(strcmp(r.path, path.data) == 0);
	if (kind != LAYER_PATH_PLAIN) {
		MUST(r.kind == (kind == LAYER_PATH_OPAQUE ? LTREE_OPAQUE : LTREE_WHITEOUT));
		return;
	}
	MUST(r.kind == kinds[x->type]);
	xattrs_check(&r);
	if (r.kind == LTREE_HARDLINK)
		return;
	MUST(r.uid == x->uid && r.gid == x->gid && r.mtime_sec == x->mtime_sec);
	MUST(r.kind != LTREE_SYMLINK || strcmp(r.link, x->link) == 0);
	MUST(r.size == x->size);
	if (r.kind == LTREE_REG)
		contents_check(l, &r, t);
}

static void layer_check(struct layer *l, const uint8_t *data, size_t len)
{
	struct pieces in = { data, len, len + 1 };
	struct byte_source src = { pieces_next, &in };
	struct ltree_record r;
	struct tar_entry x;
	struct tar *t;
	struct err e = { 0 };

	MUST(tar_new(&src, &t, &e) == 0);
	while (tar_next(t, &x, &e) > 0)
		entry_check(l, t, &x);
	MUST(e.code == 0 && ltree_reader_next(l->tree, &r, &e) == 0);
	tar_free(t);
}

static void archive_try(const uint8_t *data, size_t len, size_t piece)
{
	struct pieces in = { data, len, piece };
	struct byte_source src = { pieces_next, &in };
	auto_fd data_fd = memfd_create("data", MFD_CLOEXEC);
	auto_fd tree_fd = memfd_create("tree", MFD_CLOEXEC);
	struct layer l = { .data_fd = data_fd };
	struct unpack_result got;
	auto_buf tree = { 0 };
	struct stat st;
	struct err e = { 0 };

	MUST(data_fd >= 0 && tree_fd >= 0);
	if (unpack_tar(&src, data_fd, tree_fd, &got, &e) < 0) {
		/* nothing that an archive says is our bug or the machine's fault */
		MUST(e.code == EBADMSG || e.code == EFBIG || e.code == EINVAL);
		return;
	}
	MUST(lseek(tree_fd, 0, SEEK_SET) == 0 && fd_read_all(tree_fd, &tree) == 0);
	MUST(ltree_reader_new(tree.data, tree.len, &l.tree, &e) == 0);
	MUST(ltree_reader_n_records(l.tree) == got.n_records &&
	     ltree_reader_data_len(l.tree) == got.data_len);
	MUST(fstat(data_fd, &st) == 0 && (uint64_t)st.st_size == got.data_len);
	layer_check(&l, data, len);
	ltree_reader_free(l.tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free void *copy = NULL;

	if (len == 0)
		return 0;
	copy = copy_of(data + 1, len - 1);
	switch (data[0] & 7) {
	case 0:
		path_try(copy);
		break;
	case 1:
		acl_text_try(copy);
		break;
	case 2:
		MUST(!acl_is_valid(copy, len - 1) || (len - 1) % 8 == 4);
		break;
	default:
		tar_sums_set(copy, len - 1);
		archive_try(copy, len - 1, piece_of(data[0] >> 3));
	}
	return 0;
}
