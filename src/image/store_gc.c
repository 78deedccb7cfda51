/* SPDX-License-Identifier: MIT */
/*
 * store_gc.c - collection: what nothing refers to goes
 *
 * Mark is the database, sweep is the directories. Records are deleted first, synced, then the
 * files: killed in between, the files are found by the next sweep. The exclusive lock means that no
 * image is on its way in. Machines hold their image in every state; one that runs has its files
 * open besides.
 * Deleting records takes room for the database's log, which a full disk does not have. What can be
 * given up without a record, partial blobs, goes before.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "fdio.h"
#include "log.h"
#include "store_internal.h"
#include "store_write.h"

#define STORE_LOCK_NAME ".lock"
#define NAME_MAX_LEN    120
#define ROOM_MIN        (1U << 20)
#define ROOM_FILES_MIN  4U

struct sweep {
	struct store *s;
	const char *dir;
	const char *is_kept_sql; /* a row for the "sha256:..." of a file that stays */
	uint32_t flags;
	uint64_t freed;
	int64_t now_s;
};

static int records_delete(struct store *s, uint32_t flags, struct err *e)
{
	static const char untag[] =
		"DELETE FROM names WHERE is_digest = 1"
		" AND NOT EXISTS (SELECT 1 FROM names t WHERE t.image_id = names.image_id"
		" AND t.is_digest = 0)"
		" AND NOT EXISTS (SELECT 1 FROM machines m WHERE m.image_id = names.image_id)";
	static const char *const unheld[] = {
		"DELETE FROM images WHERE NOT EXISTS"
		" (SELECT 1 FROM names WHERE image_id = images.id) AND NOT EXISTS"
		" (SELECT 1 FROM machines WHERE image_id = images.id)",
		/* a manifest of a tag that has moved on, when another leads to the image */
		"DELETE FROM manifests WHERE NOT EXISTS"
		" (SELECT 1 FROM names WHERE manifest = manifests.digest) AND EXISTS"
		" (SELECT 1 FROM names WHERE image_id = manifests.image_id)",
		"DELETE FROM layers WHERE diff_id NOT IN (SELECT diff_id FROM image_layers)",
	};
	auto_txn txn = { 0 };

	if (store_txn_begin(&txn, s, STORE_TXN_DURABLE, e) < 0)
		return -e->code;
	if ((flags & STORE_GC_UNTAGGED) && store_db_run(s, e, untag, "") < 0)
		return -e->code;
	for (size_t i = 0; i < ARRAY_SIZE(unheld); i++)
		if (store_db_run(s, e, unheld[i], "") < 0)
			return -e->code;
	return store_txn_commit(&txn, e);
}

/* 1 when the record says that it stays. */
static int is_kept(struct sweep *w, const char *name, struct err *e)
{
	char id[STORE_ID_SIZE];
	auto_stmt st = NULL;

	if (strlen(name) > NAME_MAX_LEN || strstr(name, ".new"))
		return 0;
	snprintf(id, sizeof(id), "sha256:%.*s", (int)strcspn(name, "."), name);
	if (!store_id_is_valid(id))
		return 0;
	if (store_db_query(w->s, &st, e, w->is_kept_sql, "t", id) < 0)
		return -e->code;
	return store_db_step(w->s, st, e);
}

static int partial_is_kept(struct sweep *w, const struct stat *st)
{
	int64_t age = w->now_s - st->st_mtim.tv_sec;

	return !(w->flags & STORE_GC_PARTIAL) && age < (int64_t)STORE_STALE_DAYS * 86400;
}

static int sweep_file(struct sweep *w, int dir_fd, const char *name, struct err *e)
{
	struct stat st;
	int kept;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
		return 0; /* gone, or not ours */
	kept = w->is_kept_sql ? is_kept(w, name, e) : partial_is_kept(w, &st);
	if (kept)
		return kept < 0 ? kept : 0;
	if (unlinkat(dir_fd, name, 0) < 0)
		return err_set(e, errno, "remove %s/%s", w->dir, name);
	if (st.st_nlink == 1)
		w->freed += (uint64_t)st.st_blocks * 512;
	return 0;
}

static int sweep_dir(struct sweep *w, struct err *e)
{
	auto_dir d = dir_open_at(w->s->root_fd, w->dir, O_NOFOLLOW);
	const struct dirent *ent;

	if (!d)
		return err_set(e, errno, "open %s/%s", w->s->root, w->dir);
	while ((ent = readdir(d)))
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0 &&
		    sweep_file(w, dirfd(d), ent->d_name, e) < 0)
			return -e->code;
	return 0;
}

static int partial_sweep(struct store *s, uint32_t flags, uint64_t *io_freed, struct err *e)
{
	struct sweep w = { s, STORE_PARTIAL_DIR, NULL, flags, 0, (int64_t)time(NULL) };

	if (sweep_dir(&w, e) < 0)
		return -e->code;
	*io_freed += w.freed;
	return 0;
}

static int sweep_all(struct store *s, uint64_t *io_freed, struct err *e)
{
	static const struct {
		const char *dir, *sql;
	} dirs[] = {
		{ "blobs/sha256", "SELECT 1 FROM manifest_blobs WHERE digest = ?1 UNION ALL"
				  " SELECT 1 FROM manifests WHERE digest = ?1 UNION ALL"
				  " SELECT 1 FROM names WHERE digest = ?1 LIMIT 1" },
		{ "layers", "SELECT 1 FROM layers WHERE diff_id = ?" },
		{ "images", "SELECT 1 FROM images WHERE id = ?" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		struct sweep w = { .s = s, .dir = dirs[i].dir, .is_kept_sql = dirs[i].sql };

		if (sweep_dir(&w, e) < 0)
			return -e->code;
		*io_freed += w.freed;
	}
	return 0;
}

int store_gc(struct store *s, uint32_t flags, uint32_t wait_ms, uint64_t *ret_freed, struct err *e)
{
	struct err index_err = { 0 };
	uint64_t freed = 0;
	auto_fd lock = -1;

	if (store_lock(s, STORE_LOCK_NAME, STORE_LOCK_EXCLUSIVE, wait_ms, &lock, e) < 0 ||
	    partial_sweep(s, flags, &freed, e) < 0)
		return -e->code;
	if (records_delete(s, flags, e) < 0)
		return err_wrap(e, "collection");
	if (store_index_write(s, &index_err) < 0)
		log_warn("%s", index_err.msg); /* the next change writes it again */
	if (sweep_all(s, &freed, e) < 0)
		return -e->code;
	*ret_freed = freed;
	return 0;
}

static bool has_room(const struct store *s)
{
	struct statvfs v;

	if (fstatvfs(s->root_fd, &v) < 0)
		return true;
	return v.f_bavail >= ROOM_MIN / v.f_frsize &&
	       (v.f_files == 0 || v.f_favail >= ROOM_FILES_MIN); /* 0: made as needed */
}

void store_room_make(struct store *s)
{
	struct err ignored = { 0 }; /* whoever needs the room says that there is none */
	uint64_t freed = 0;
	auto_fd lock = -1;

	if (!has_room(s) &&
	    store_lock(s, STORE_LOCK_NAME, STORE_LOCK_EXCLUSIVE, 0, &lock, &ignored) == 0)
		(void)!partial_sweep(s, STORE_GC_PARTIAL, &freed, &ignored);
}
