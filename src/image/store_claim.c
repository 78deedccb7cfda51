/* SPDX-License-Identifier: MIT */
/*
 * store_claim.c - one process makes a layer, or an image's metadata; others wait for it
 *
 * The lock is flock() on the ".new" file that is being written, so a killed maker leaves it free,
 * and the worker that still has the file open keeps it until it is dead as well.
 * Who got the lock must look twice: the file may have been renamed into place, and the record been
 * made, between the first look and the lock.
 * A layer's record says in which boot of the host its files were written until a commit has synced
 * them: after a power cut such a layer is made anew. So is one whose files are shorter than the
 * record and the tree's own end say.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bytes.h"
#include "fdio.h"
#include "ltree.h"
#include "store_ingest_internal.h"

#define NAME_SIZE 96
#define LOOKS_MAX 100 /* times that another process may be quicker */

static int layer_record(struct store *s, const char *diff_id, bool *ret_is_good,
			uint64_t *ret_data_len, struct err *e)
{
	auto_stmt st = NULL;
	const char *boot = store_boot_id(s);
	int rc;

	*ret_is_good = false;
	if (store_db_query(s, &st, e, "SELECT boot, data_len FROM layers WHERE diff_id = ?", "t",
			   diff_id) < 0)
		return -e->code;
	rc = store_db_step(s, st, e);
	if (rc > 0) {
		const char *made = store_db_text(st, 0);

		*ret_is_good = *made == '\0' || (*boot && strcmp(made, boot) == 0);
		*ret_data_len = (uint64_t)sqlite3_column_int64(st, 1);
	}
	return rc < 0 ? rc : 0;
}

/* Lengths only: a file that was cut off, by a file system that lost its end or by a hand, is none.
 */
static bool data_is_whole(struct store *s, const char *hex, uint64_t len)
{
	char name[NAME_SIZE];
	struct stat st;

	snprintf(name, sizeof(name), "layers/%s.data", hex);
	return fstatat(s->root_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size >= len;
}

/* Its end is that of a tree, and of this data file's. */
static bool tree_is_whole(struct store *s, const char *hex, uint64_t data_len)
{
	uint8_t end[LTREE_TRAILER_SIZE];
	char name[NAME_SIZE];
	auto_fd fd = -1;
	struct stat st;

	snprintf(name, sizeof(name), "layers/%s.tree", hex);
	fd = openat(s->root_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(end) &&
	       fd_pread_full(fd, end, sizeof(end), st.st_size - (off_t)sizeof(end)) == 0 &&
	       memcmp(end, LTREE_TRAILER_MAGIC, strlen(LTREE_TRAILER_MAGIC)) == 0 &&
	       get_le64(end + LTREE_TRAILER_DATALEN) == data_len;
}

static int layer_is_there(struct store *s, const char *diff_id, bool *ret, struct err *e)
{
	const char *hex = store_id_hex(diff_id);
	uint64_t data_len = 0;

	if (layer_record(s, diff_id, ret, &data_len, e) < 0)
		return -e->code;
	*ret = *ret && data_is_whole(s, hex, data_len) && tree_is_whole(s, hex, data_len);
	return 0;
}

static int meta_is_there(struct store *s, const char *image_id, bool *ret, struct err *e)
{
	struct store_disk d;
	struct err why = { 0 };
	auto_stmt st = NULL;
	int rc;

	*ret = false;
	if (store_db_query(s, &st, e, "SELECT 1 FROM images WHERE id = ?", "t", image_id) < 0)
		return -e->code;
	rc = store_db_step(s, st, e);
	if (rc <= 0)
		return rc;
	if (store_image_disk(s, image_id, &d, &why) == 0) {
		*ret = true;
		store_disk_done(&d);
	}
	return 0;
}

static int is_there(struct store *s, const char *id, bool is_layer, bool *ret, struct err *e)
{
	return is_layer ? layer_is_there(s, id, ret, e) : meta_is_there(s, id, ret, e);
}

/* 0 with a locked file that still has its name, 1 when somebody else has it. */
static int new_file_lock(struct store *s, const char *name, int *ret_fd, struct err *e)
{
	for (unsigned i = 0; i < LOOKS_MAX; i++) {
		auto_fd fd =
			openat(s->root_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		struct stat mine, named;

		if (fd < 0)
			return err_set(e, errno, "create %s/%s", s->root, name);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK ? 1 : err_set(e, errno, "lock %s", name);
		if (fstat(fd, &mine) == 0 &&
		    fstatat(s->root_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		    mine.st_ino == named.st_ino && mine.st_dev == named.st_dev) {
			*ret_fd = TAKE_FD(fd);
			return 0;
		}
	}
	return err_plain(e, EBUSY, "%s changes all the time", name);
}

static int new_file_open(struct store *s, const char *name, int *ret_fd, struct err *e)
{
	*ret_fd =
		openat(s->root_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *ret_fd < 0 ? err_set(e, errno, "create %s/%s", s->root, name) : 0;
}

static int claim_files(struct store *s, struct store_claim *c, struct err *e)
{
	char name[NAME_SIZE];
	int rc;

	snprintf(name, sizeof(name), c->is_layer ? "layers/%s.data.new" : "images/%s.meta.new",
		 c->hex);
	rc = new_file_lock(s, name, &c->data_fd, e);
	if (rc)
		return rc;
	if (ftruncate(c->data_fd, 0) < 0)
		return err_set(e, errno, "empty %s", name);
	if (!c->is_layer)
		return 0;
	snprintf(name, sizeof(name), "layers/%s.tree.new", c->hex);
	return new_file_open(s, name, &c->tree_fd, e);
}

static int claim(struct store_ingest *in, const char *id, bool is_layer, struct store_claim *ret,
		 enum store_claim_state *ret_state, struct err *e)
{
	struct store_claim c = STORE_CLAIM_NONE;
	bool is_done;
	int rc;

	if (!store_id_is_valid(id))
		return err_plain(e, EINVAL, "\"%s\" is no sha256 digest", id);
	snprintf(c.hex, sizeof(c.hex), "%s", store_id_hex(id));
	c.is_layer = is_layer;
	if (is_there(in->s, id, is_layer, &is_done, e) < 0)
		return -e->code;
	if (is_done) {
		*ret_state = STORE_CLAIM_PRESENT;
		return 0;
	}
	rc = claim_files(in->s, &c, e);
	if (rc > 0) {
		*ret_state = STORE_CLAIM_BUSY;
		return 0;
	}
	if (rc == 0)
		rc = is_there(in->s, id, is_layer, &is_done, e);
	if (rc < 0 || is_done) {
		store_claim_drop(in, &c);
		*ret_state = STORE_CLAIM_PRESENT;
		return rc;
	}
	*ret = c;
	*ret_state = STORE_CLAIM_MINE;
	return 0;
}

int store_layer_claim(struct store_ingest *in, const char *diff_id, struct store_claim *ret,
		      enum store_claim_state *ret_state, struct err *e)
{
	return claim(in, diff_id, true, ret, ret_state, e);
}

int store_meta_claim(struct store_ingest *in, const char *image_id, struct store_claim *ret,
		     enum store_claim_state *ret_state, struct err *e)
{
	return claim(in, image_id, false, ret, ret_state, e);
}

static const char *const layer_exts[] = { "tree", "data", NULL };
static const char *const meta_exts[] = { "json", "meta", NULL };

/* The locked file (last of the list) goes last. */
void store_claim_drop(struct store_ingest *in, struct store_claim *c)
{
	const char *const *ext = c->is_layer ? layer_exts : meta_exts;
	char name[NAME_SIZE];

	for (; c->data_fd >= 0 && *ext; ext++) {
		snprintf(name, sizeof(name), "%s/%s.%s.new", c->is_layer ? "layers" : "images",
			 c->hex, *ext);
		(void)unlinkat(in->s->root_fd, name, 0); /* collection finds what stays */
	}
	fd_drop(&c->data_fd);
	fd_drop(&c->tree_fd);
}

int store_claim_rename(struct store_ingest *in, const struct store_claim *c, struct err *e)
{
	const char *const *ext = c->is_layer ? layer_exts : meta_exts;
	char from[NAME_SIZE + 8], to[NAME_SIZE];

	for (; *ext; ext++) {
		snprintf(to, sizeof(to), "%s/%s.%s", c->is_layer ? "layers" : "images", c->hex,
			 *ext);
		snprintf(from, sizeof(from), "%s.new", to);
		if (renameat(in->s->root_fd, from, in->s->root_fd, to) < 0)
			return err_set(e, errno, "rename %s", from);
	}
	return 0;
}

int store_layer_keep(struct store_ingest *in, struct store_claim *c, uint64_t data_len,
		     struct err *e)
{
	const char *boot = store_boot_id(in->s);
	char diff_id[STORE_ID_SIZE];
	struct stat st;

	if (fstat(c->data_fd, &st) < 0)
		return err_set(e, errno, "layer data");
	if (data_len > (uint64_t)st.st_size)
		return err_plain(e, EBADMSG, "the layer's data file is shorter than was said");
	/* the disk can write while the other layers are still coming; a hint, so nothing to check
	 */
	(void)sync_file_range(c->data_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	snprintf(diff_id, sizeof(diff_id), "sha256:%s", c->hex);
	if (store_claim_rename(in, c, e) < 0 ||
	    store_db_run(in->s, e,
			 "INSERT INTO layers(diff_id, data_len, boot) VALUES(?1, ?2, ?3)"
			 " ON CONFLICT(diff_id) DO UPDATE SET data_len = ?2, boot = ?3",
			 "tit", diff_id, (int64_t)data_len, *boot ? boot : "unknown") < 0)
		return -e->code;
	fd_drop(&c->data_fd);
	fd_drop(&c->tree_fd);
	return 0;
}

static int meta_key(const struct store_claim *c, struct store_parts *parts, struct err *e)
{
	struct stat st;
	void *map;
	int rc;

	if (fstat(c->data_fd, &st) < 0)
		return err_set(e, errno, "metadata");
	if (st.st_size <= 0 || parts->meta_len > (uint64_t)st.st_size)
		return err_plain(e, EBADMSG, "the metadata file is shorter than was said");
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, c->data_fd, 0);
	if (map == MAP_FAILED)
		return err_set(e, errno, "map metadata");
	rc = store_parts_set_key(parts, map, (size_t)st.st_size, e);
	munmap(map, (size_t)st.st_size);
	return rc;
}

int store_meta_keep(struct store_ingest *in, struct store_claim *c, struct store_parts *parts,
		    struct err *e)
{
	auto_buf text = { 0 };
	char name[NAME_SIZE];
	int rc;

	if (meta_key(c, parts, e) < 0 || store_parts_format(parts, &text, e) < 0)
		return -e->code;
	fd_drop(&in->json_fd);
	snprintf(name, sizeof(name), "images/%s.json.new", c->hex);
	if (new_file_open(in->s, name, &in->json_fd, e) < 0)
		return -e->code;
	rc = fd_write_full(in->json_fd, text.data, text.len);
	if (rc < 0)
		return err_set(e, -rc, "write %s", name);
	store_claim_drop(in, &in->meta);
	in->meta = *c;
	*c = (struct store_claim)STORE_CLAIM_NONE;
	return 0;
}

int store_layer_tree_open(struct store *s, const char *diff_id, int *ret_fd, struct err *e)
{
	char name[NAME_SIZE];

	if (!store_id_is_valid(diff_id))
		return err_plain(e, EINVAL, "\"%s\" is no sha256 digest", diff_id);
	snprintf(name, sizeof(name), "layers/%s.tree", store_id_hex(diff_id));
	*ret_fd = openat(s->root_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? err_set(e, errno, "open layer %.19s", diff_id) : 0;
}
