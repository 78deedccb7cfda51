/* SPDX-License-Identifier: MIT */
/* tree_fixture.c - layers written as text, trees printed as text */
#include "tree_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "fdio.h"

static void record_parse(char *word, struct ltree_record *r, struct ltree_extent *x)
{
	char *value = strchr(word, '='), *comma;
	static const char letters[] = "fdlhwopc";
	static const enum ltree_kind kinds[] = { LTREE_REG,      LTREE_DIR,      LTREE_SYMLINK,
						 LTREE_HARDLINK, LTREE_WHITEOUT, LTREE_OPAQUE,
						 LTREE_FIFO,     LTREE_CHR };

	assert_non_null(strchr(letters, word[0]));
	assert_int_equal(word[1], ':');
	if (value)
		*value++ = '\0';
	*r = (struct ltree_record){ .kind = kinds[strchr(letters, word[0]) - letters],
				    .path = word + 2,
				    .mode = 0644 };
	if (r->kind == LTREE_REG) {
		r->size = strtoul(value, NULL, 10);
		*x = (struct ltree_extent){ 0, 0, r->size };
		r->extents = x;
		r->n_extents = r->size > 0;
	} else if (r->kind == LTREE_DIR) {
		r->mode = value ? (uint32_t)strtoul(value, NULL, 8) : 0755;
	} else if (r->kind == LTREE_SYMLINK || r->kind == LTREE_HARDLINK) {
		r->link = value;
	} else if (r->kind == LTREE_CHR) {
		r->major = (uint32_t)strtoul(value, &comma, 10);
		r->minor = (uint32_t)strtoul(comma + 1, NULL, 10);
	}
}

static void writer_end(struct ltree_writer *w, int fd, uint64_t data_len, struct buf *ret)
{
	struct err e = { 0 };

	assert_int_equal(ltree_writer_finish(w, data_len, &e), 0);
	ltree_writer_free(w);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	buf_clear(ret);
	assert_int_equal(fd_read_all(fd, ret), 0);
}

void fixture_layer(const char *text, struct buf *ret)
{
	auto_free char *copy = strdup(text);
	char *rest = copy, *word;
	auto_fd fd = memfd_create("layer", MFD_CLOEXEC);
	struct ltree_writer *w;
	struct ltree_record r;
	struct ltree_extent x;
	struct err e = { 0 };

	assert_int_equal(ltree_writer_new(fd, &w, &e), 0);
	while ((word = strsep(&rest, " ")) != NULL) {
		if (*word == '\0')
			continue;
		record_parse(word, &r, &x);
		if (ltree_writer_add(w, &r, &e) < 0)
			fail_msg("%s", e.msg);
	}
	writer_end(w, fd, (uint64_t)FIXTURE_BLOCKS * LTREE_BLOCK, ret);
}

void fixture_records(const struct ltree_record *r, size_t n, uint64_t data_len, struct buf *ret)
{
	auto_fd fd = memfd_create("layer", MFD_CLOEXEC);
	struct ltree_writer *w;
	struct err e = { 0 };

	assert_int_equal(ltree_writer_new(fd, &w, &e), 0);
	for (size_t k = 0; k < n; k++)
		if (ltree_writer_add(w, &r[k], &e) < 0)
			fail_msg("%s", e.msg);
	writer_end(w, fd, data_len, ret);
}

int fixture_apply(struct fstree *t, const struct buf *layer, struct err *e)
{
	struct ltree_reader *r;
	int ret;

	assert_int_equal(ltree_reader_new(layer->data, layer->len, &r, e), 0);
	ret = fstree_apply(t, r, e);
	ltree_reader_free(r);
	return ret;
}

static int name_cmp(const void *a, const void *b)
{
	const struct fs_dentry *x = *(struct fs_dentry *const *)a;
	const struct fs_dentry *y = *(struct fs_dentry *const *)b;
	int c = memcmp(x->name, y->name, MIN_OF(x->len, y->len));

	return c != 0 ? c : (int)x->len - (int)y->len;
}

static void inode_print(const struct fs_inode *i, struct buf *b)
{
	if (S_ISREG(i->mode))
		assert_int_equal(buf_addf(b, "=%lu", (unsigned long)i->size), 0);
	else if (S_ISLNK(i->mode))
		assert_int_equal(buf_addf(b, ">%.*s", (int)i->size, i->target), 0);
	else if (S_ISFIFO(i->mode))
		assert_int_equal(buf_add_str(b, "|"), 0);
	else if (S_ISCHR(i->mode))
		assert_int_equal(buf_addf(b, "%%%u,%u", i->rdev_major, i->rdev_minor), 0);
	else if ((i->mode & 07777) != 0755)
		assert_int_equal(buf_addf(b, "/%o", i->mode & 07777), 0);
	else
		assert_int_equal(buf_add_str(b, "/"), 0);
}

static void dir_print(const struct fs_inode *dir, const char *prefix, struct buf *b)
{
	struct fs_dentry *list[64], *d;
	size_t n = 0;

	for (d = dir->dir.first; d; d = d->next) {
		assert_true(n < ARRAY_SIZE(list));
		list[n++] = d;
	}
	qsort(list, n, sizeof(list[0]), name_cmp);
	for (size_t k = 0; k < n; k++) {
		char path[512];

		snprintf(path, sizeof(path), "%s%.*s", prefix, (int)list[k]->len, list[k]->name);
		assert_int_equal(buf_addf(b, "%s%s", b->len ? " " : "", path), 0);
		inode_print(list[k]->inode, b);
		if (S_ISDIR(list[k]->inode->mode)) {
			snprintf(path, sizeof(path), "%s%.*s/", prefix, (int)list[k]->len,
				 list[k]->name);
			dir_print(list[k]->inode, path, b);
		}
	}
}

void fixture_print(const struct fstree *t, struct buf *ret)
{
	buf_clear(ret);
	assert_int_equal(buf_add_str(ret, ""), 0);
	dir_print(fstree_root(t), "", ret);
}
