/* SPDX-License-Identifier: MIT */
/*
 * fuzz_merge.c - layers to EROFS metadata
 *
 * First byte even: the rest is a tree file as it is, which tries the reader. Odd: the rest is a
 * script of records with short paths of few letters, so that names meet; they go through the
 * writer, so that its checksum does not keep the fuzzer from the merge.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "bytes.h"
#include "fdio.h"
#include "ltree.h"
#include "merge.h"

#define LAYERS 4U
#define DATA   (16ULL * LTREE_BLOCK)

struct script {
	const uint8_t *p, *end;
};

static uint8_t next(struct script *s)
{
	return s->p < s->end ? *s->p++ : 0;
}

/* Up to 7 components of one letter; for a symlink's target "." and "/" count as letters. */
static void path_make(struct script *s, const char *letters, bool target, char ret[16])
{
	uint8_t n = next(s) % 8, at = 0;

	for (; n > 0; n--) {
		if (at > 0 && !target)
			ret[at++] = '/';
		ret[at++] = letters[next(s) % strlen(letters)];
	}
	ret[at] = '\0';
}

static void record_make(struct script *s, struct ltree_writer *w)
{
	char path[16], link[16], value[2] = { 'v', 0 };
	struct ltree_extent x[2];
	static const char *const names[] = { "user.a", "security.selinux",
					     "system.posix_acl_access", "trusted.overlay.opaque" };
	struct ltree_xattr xattr = { NULL, value, 1 };
	struct ltree_record r = { .kind = next(s) % LTREE_KIND_COUNT_, .path = path, .mode = 0644 };
	uint8_t b = next(s);
	struct err e = { 0 };

	path_make(s, "abcd", false, path);
	if (r.kind == LTREE_SYMLINK || r.kind == LTREE_HARDLINK) {
		path_make(s, r.kind == LTREE_SYMLINK ? "ab./" : "abcd", r.kind == LTREE_SYMLINK,
			  link);
		r.link = link;
	}
	if (r.kind == LTREE_REG) {
		r.size = (uint64_t)next(s) << (next(s) % 64);
		x[0] = (struct ltree_extent){ next(s) * 4096U, next(s) * 4096U, next(s) * 512U };
		x[1] = (struct ltree_extent){ x[0].file_off + next(s) * 4096U, next(s) * 4096U,
					      next(s) * 512U };
		r.extents = x;
		r.n_extents = b % 3;
	}
	if (r.kind == LTREE_CHR || r.kind == LTREE_BLK)
		r.major = b % 2;
	if (b & 4) {
		xattr.name = names[next(s) % ARRAY_SIZE(names)];
		value[0] = (char)next(s);
		r.xattrs = &xattr;
		r.n_xattrs = 1;
	}
	r.uid = b & 8 ? 70000 : 0;
	r.mtime_sec = b >> 4;
	if (ltree_writer_add(w, &r, &e) < 0)
		return; /* not a record: the next one */
}

static void layer_make(struct script *s, struct buf *ret)
{
	auto_fd fd = memfd_create("layer", MFD_CLOEXEC);
	struct ltree_writer *w;
	struct err e = { 0 };
	uint8_t n = next(s) % 32;

	if (fd < 0 || ltree_writer_new(fd, &w, &e) < 0)
		return;
	for (; n > 0; n--)
		record_make(s, w);
	if (ltree_writer_finish(w, DATA, &e) == 0 && lseek(fd, 0, SEEK_SET) == 0 &&
	    fd_read_all(fd, ret) < 0)
		buf_clear(ret);
	ltree_writer_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t uuid[16];
	struct script s = { data + 1, data + len };
	auto_free struct merge_result *r = calloc(1, sizeof(*r));
	struct merge_layer layers[LAYERS] = { { 0 } };
	struct buf files[LAYERS] = { { 0 } };
	uint32_t n = 1;
	auto_fd fd = memfd_create("meta", MFD_CLOEXEC);
	struct err e = { 0 };

	if (len == 0 || fd < 0 || !r)
		return 0;
	if (data[0] & 1) {
		for (n = 0; n < LAYERS && s.p < s.end; n++) {
			layer_make(&s, &files[n]);
			layers[n] = (struct merge_layer){ files[n].data, files[n].len };
		}
	} else {
		layers[0] = (struct merge_layer){ data + 1, len - 1 };
	}
	if (merge_layers(layers, n, uuid, fd, r, &e) == 0 &&
	    (r->n_inodes == 0 || r->disk_len % 4096 != 0 ||
	     r->parts[r->n_parts - 1].len != r->meta_len))
		__builtin_trap();
	for (uint32_t k = 0; k < LAYERS; k++)
		buf_done(&files[k]);
	return 0;
}
