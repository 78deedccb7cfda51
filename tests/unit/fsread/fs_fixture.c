/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "child.h"
#include "fdio.h"
#include "fs_fixture.h"
#include "inflate.h"
#include "tar.h"
#include "temp_dir.h"
#include "tree_tar.h"

static int memory_read(void *arg, void *data, size_t len, uint64_t off, struct err *e)
{
	const struct memory_disk *m = arg;

	if (!range_fits(off, len, m->len))
		return err_plain(e, EIO, "read outside");
	memcpy(data, m->data + off, len);
	return 0;
}

struct disk_view memory_view(struct memory_disk *m)
{
	return (struct disk_view){ memory_read, m, 0, m->len };
}

static int file_read(void *arg, void *data, size_t len, uint64_t off, struct err *e)
{
	int rc = fd_pread_full(*(const int *)arg, data, len, (off_t)off);

	return rc < 0 ? err_set(e, -rc, "read") : 0;
}

struct disk_view file_view(const int *fd)
{
	struct stat st;

	assert_int_equal(fstat(*fd, &st), 0);
	return (struct disk_view){ file_read, (void *)(uintptr_t)fd, 0, (uint64_t)st.st_size };
}

void must_run(const char *fmt, ...)
{
	const char *argv[] = { "sh", "-ec", NULL, NULL };
	struct err e = { 0 };
	char line[1024];
	int status = -1;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	argv[2] = line;
	if (child_run(argv, NULL, &status, &e) < 0 || status != 0)
		fail_msg("%s: status %d %s", line, status, e.msg);
}

/* ---- the stream ---- */

struct chunks {
	struct inflate *z;
	uint8_t data[65536];
};

static int file_next(void *arg, const uint8_t **ret, size_t *ret_len, struct err *e)
{
	static uint8_t data[65536];
	ssize_t n = read(*(const int *)arg, data, sizeof(data));

	*ret = data;
	*ret_len = n > 0 ? (size_t)n : 0;
	return n < 0 ? err_set(e, errno, "read") : 0;
}

static int chunk_next(void *arg, const uint8_t **ret, size_t *ret_len, struct err *e)
{
	struct chunks *c = arg;

	*ret = c->data;
	return inflate_read(c->z, c->data, sizeof(c->data), ret_len, e);
}

static int contents_sum(struct tar *t, uint64_t *ret, struct err *e)
{
	const uint8_t *p;
	uint64_t off, h = 0xcbf29ce484222325ULL;
	size_t n;

	do {
		if (tar_data(t, &p, &n, &off, e) < 0)
			return -e->code;
		for (size_t i = 0; i < n; i++)
			if (p[i]) /* where they are counts, not how holes are told */
				h = (h ^ (p[i] + ((off + i) << 8))) * 0x100000001b3ULL;
	} while (n > 0);
	*ret = h;
	return 0;
}

static int entry_list(struct tar *t, const struct tar_entry *x, struct buf *ret, struct err *e)
{
	static const char *const names[] = {
		"reg", "hard", "symlink", "chr", "blk", "dir", "fifo"
	};
	uint64_t sum = 0;

	if (buf_addf(ret, "%s %o %u:%u %" PRIu64 " %" PRId64 ".%u %s", names[x->type], x->mode,
		     x->uid, x->gid, x->size, x->mtime_sec, x->mtime_nsec, x->path) < 0)
		return err_set(e, ENOMEM, "list");
	if (x->link && *x->link && buf_addf(ret, " -> %s", x->link) < 0)
		return err_set(e, ENOMEM, "list");
	if ((x->type == TAR_CHR || x->type == TAR_BLK) &&
	    buf_addf(ret, " %u,%u", x->major, x->minor) < 0)
		return err_set(e, ENOMEM, "list");
	for (size_t i = 0; i < x->n_xattrs; i++)
		if (buf_addf(ret, " %s=%.*s", x->xattrs[i].name, (int)x->xattrs[i].value_len,
			     (const char *)x->xattrs[i].value) < 0)
			return err_set(e, ENOMEM, "list");
	if (x->type == TAR_REG) {
		if (contents_sum(t, &sum, e) < 0)
			return -e->code;
		if (buf_addf(ret, " #%" PRIx64 "%s", sum, x->is_sparse ? " sparse" : "") < 0)
			return err_set(e, ENOMEM, "list");
	}
	return buf_add(ret, "\n", 1) < 0 ? err_set(e, ENOMEM, "list") : 0;
}

int layer_list(int fd, struct buf *ret, struct err *e)
{
	const struct byte_source file = { file_next, &fd };
	auto_free struct chunks *c = calloc(1, sizeof(*c));
	struct byte_source tar = { chunk_next, c };
	struct tar_entry x;
	struct tar *t = NULL;
	int rc;

	assert_non_null(c);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	rc = inflate_new(&file, &c->z, e);
	if (rc == 0)
		rc = tar_new(&tar, &t, e);
	while (rc == 0 && (rc = tar_next(t, &x, e)) > 0)
		rc = entry_list(t, &x, ret, e);
	tar_free(t);
	inflate_free(c->z);
	return rc;
}

/* ---- file systems ---- */

int fs_walk(const struct disk_view *v, struct buf *list, struct err *e)
{
	int fd = memfd_create("layer", MFD_CLOEXEC), rc;
	struct tree_counts n;
	struct layer_written written;
	struct layer_writer *w;
	struct fs *f = NULL;

	assert_int_equal(layer_writer_new(fd, &w, e), 0);
	rc = fs_open(v, &f, e);
	if (rc == 0) {
		const struct tree_source s = { f, f->root, TREE_WHOLE, NULL, NULL };

		rc = tree_tar_write(&s, w, &n, e);
	}
	if (rc == 0)
		rc = layer_writer_finish(w, &written, e);
	layer_writer_free(w);
	fs_close(f);
	if (rc == 0 && list)
		rc = layer_list(fd, list, e);
	close(fd);
	return rc;
}

void fs_tree_make(void)
{
	must_run("cd %s && mkdir -p t/d/e t/lost+found && echo hello >t/d/f && ln t/d/f t/d/g && "
		 "ln -s f t/d/short && ln -s %0100d t/d/long && chmod 4751 t/d/f && "
		 "setfattr -n user.a -v b t/d/f && truncate -s 9M t/s && printf x | "
		 "dd of=t/s bs=1 seek=5M conv=notrunc status=none && mknod t/c c 5 1 && "
		 "for i in $(seq 300); do : >t/d/e/name-$i; done && touch -d @1000000000 t/d/f",
		 temp_dir.path, 7);
}

uint64_t fs_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 33;
}
