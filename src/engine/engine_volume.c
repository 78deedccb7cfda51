/* SPDX-License-Identifier: MIT */
/*
 * engine_volume.c - volumes: create, show, remove, and their disks for machines
 *
 * A row says that a volume is there. Its directory is made before the row is committed, and goes
 * before the row's removal is, in the same write transaction: killed in between, a directory
 * without a row is thrown away by the next one of that name, and a row without a disk is an empty
 * volume, as it would be soon anyway.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "bytes.h"
#include "disk.h"
#include "fdio.h"
#include "json_text.h"
#include "log.h"
#include "machine_internal.h"
#include "machine_name.h"
#include "vm_record.h"
#include "volume.h"
#include "volume_disk.h"

#define LABEL_ANONYMOUS "com.docker.volume.anonymous="
#define SIZE_GRAIN      (1ULL << 20)
#define DIR_NAME        (16 + VOLUME_NAME_MAX)
#define WAIT_MS         10000U
#define WAIT_STEP_MS    20U

static void dir_name(const char *volume, char ret[DIR_NAME])
{
	snprintf(ret, DIR_NAME, "volumes/%s", volume);
}

static int dir_open(struct engine *g, const char *volume, int *ret_fd, struct err *e)
{
	int root = store_root_fd(engine_store(g));
	char name[DIR_NAME];

	dir_name(volume, name);
	if (dir_make_at(root, name, 0700, e) < 0)
		return -e->code;
	*ret_fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? err_set(e, errno, "open %s", name) : 0;
}

static int parent_open(struct engine *g, uint64_t size, int *ret_fd, struct err *e)
{
	int root = store_root_fd(engine_store(g));
	auto_fd parents = -1;

	if (dir_make_at(root, "parents", 0700, e) < 0)
		return -e->code;
	parents = openat(root, "parents", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parents < 0)
		return err_set(e, errno, "parents");
	return disk_parent_open(parents, size, ret_fd, e);
}

/* ---- create ---- */

static int driver_check(const char *name, const char *driver, struct err *e)
{
	if (strcmp(driver, "vhd") == 0 || strcmp(driver, "local") == 0)
		return 0;
	return err_plain(e, ENOENT,
			 "create %.64s: error looking up volume plugin %.64s: plugin \"%.64s\" not "
			 "found; there are vhd and local",
			 name, driver, driver);
}

static int list_copy(struct strv *to, const struct strv *from)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < from->n; i++)
		rc = strv_add(to, from->v[i]);
	return rc;
}

static int volume_fill(const struct volume_want *w, struct volume *v, struct err *e)
{
	const char *driver = w->driver && *w->driver ? w->driver : "vhd";
	struct timespec now;

	if (w->name && *w->name) {
		if (volume_name_check(w->name, e) < 0)
			return -e->code;
		snprintf(v->name, sizeof(v->name), "%s", w->name);
	} else {
		if (machine_id_random(v->name, e) < 0)
			return -e->code;
		v->is_anonymous = true;
	}
	if (driver_check(v->name, driver, e) < 0)
		return -e->code;
	snprintf(v->driver, sizeof(v->driver), "%s", driver);
	if (w->size && (w->size < DISK_SIZE_MIN || w->size > DISK_SIZE_MAX))
		return err_plain(e, EINVAL, "create %.64s: size is from %lluMB to %lluGB", v->name,
				 DISK_SIZE_MIN >> 20, DISK_SIZE_MAX >> 30);
	v->size = w->size ? align_up(w->size, SIZE_GRAIN) : DISK_SIZE_DEFAULT;
	clock_gettime(CLOCK_REALTIME, &now);
	v->created_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	if (list_copy(&v->labels, &w->labels) < 0 || list_copy(&v->options, &w->options) < 0 ||
	    (v->is_anonymous && strv_add(&v->labels, LABEL_ANONYMOUS) < 0))
		return err_set(e, ENOMEM, "volume");
	return 0;
}

/* In a write transaction, without a row of that name. */
static int disk_make(struct engine *g, const struct volume *v, int parent, struct err *e)
{
	char name[DIR_NAME];
	auto_fd dir = -1;
	auto_fd above = -1;
	auto_fd fd = -1;

	dir_name(v->name, name);
	if (tree_remove_at(store_root_fd(engine_store(g)), name, e) < 0 ||
	    dir_open(g, v->name, &dir, e) < 0 ||
	    disk_volume_open(dir, parent, DISK_READ_WRITE, &fd, e) < 0)
		return -e->code;
	above = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return above < 0 || fsync(fd) < 0 || fsync(dir) < 0 || fsync(above) < 0
		       ? err_set(e, errno, "sync %s", name)
		       : 0;
}

static bool is_there(struct sqlite3 *db, const char *name)
{
	struct volume v = { 0 };
	struct err ignored = { 0 };

	if (volume_record_get(db, name, &v, &ignored) < 0)
		return false;
	volume_done(&v);
	return true;
}

static int volume_make(struct engine *g, const struct volume *v, struct err *e)
{
	struct sqlite3 *db;
	auto_fd parent = -1;
	int rc = 0;

	if (machine_db(g, &db, e) < 0)
		return -e->code;
	if (is_there(db, v->name))
		return 0;
	if (parent_open(g, v->size, &parent, e) < 0 ||
	    volume_record_begin(db, VOLUME_TXN_DURABLE, e) < 0)
		return -e->code;
	if (!is_there(db, v->name)) {
		rc = volume_record_add(db, v, e);
		if (rc == 0)
			rc = disk_make(g, v, parent, e);
	}
	return volume_record_end(db, rc, e);
}

int engine_volume_create(struct engine *g, const struct volume_want *w, char ret_name[256],
			 struct err *e)
{
	struct volume v = { 0 };
	int rc = volume_fill(w, &v, e);

	if (rc == 0)
		rc = volume_make(g, &v, e);
	if (rc == 0)
		snprintf(ret_name, 256, "%s", v.name);
	volume_done(&v);
	return rc;
}

/* ---- show ---- */

static json_t *pairs(const struct strv *s)
{
	return s->n ? pairs_show(s) : json_null();
}

/* Between json_build_begin() and json_build_end(). */
static int volume_show(struct engine *g, struct sqlite3 *db, const char *name, json_t **ret,
		       struct err *e)
{
	struct volume v = { 0 };
	char path[4096 + DIR_NAME], at[40];

	if (volume_record_get(db, name, &v, e) < 0)
		return -e->code;
	snprintf(path, sizeof(path), "%s/volumes/%s/" DISK_VOLUME_NAME,
		 store_root_path(engine_store(g)), name);
	time_format(v.created_ns, at);
	snprintf(at + strcspn(at, "."), 2, "Z"); /* whole seconds, as Docker has it */
	*ret = json_pack("{s:s,s:s,s:o,s:s,s:s,s:o,s:s}", "CreatedAt", at, "Driver", v.driver,
			 "Labels", pairs(&v.labels), "Mountpoint", path, "Name", v.name, "Options",
			 pairs(&v.options), "Scope", "local");
	volume_done(&v);
	return *ret ? 0 : err_set(e, ENOMEM, "volume");
}

int engine_volume_inspect(struct engine *g, const char *name, json_t **ret, struct err *e)
{
	struct sqlite3 *db;
	json_t *o;

	if (machine_db(g, &db, e) < 0)
		return -e->code;
	json_build_begin();
	if (volume_show(g, db, name, &o, e) < 0)
		return -e->code;
	*ret = json_build_end(o);
	return *ret ? 0 : err_set(e, ENOMEM, "volume");
}

static int list_add(struct engine *g, struct sqlite3 *db, const char *name, json_t *list,
		    struct err *e)
{
	struct strv users = { 0 };
	json_t *o;
	int rc = volume_show(g, db, name, &o, e);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc; /* removed meanwhile */
	rc = volume_record_users(db, name, &users, e);
	(void)json_object_set_new(o, "Links", json_integer(users.n));
	strv_done(&users);
	(void)json_array_append_new(list, o);
	return rc;
}

int engine_volume_list(struct engine *g, json_t **ret, struct err *e)
{
	struct strv names = { 0 };
	struct sqlite3 *db;
	json_t *list;
	int rc = machine_db(g, &db, e);

	json_build_begin();
	list = json_array();
	if (rc == 0)
		rc = volume_record_list(db, &names, e);
	for (uint32_t i = 0; rc == 0 && i < names.n; i++)
		rc = list_add(g, db, names.v[i], list, e);
	strv_done(&names);
	list = json_build_end(list);
	if (rc < 0) {
		json_decref(list);
		return rc;
	}
	*ret = list;
	return list ? 0 : err_set(e, ENOMEM, "list of volumes");
}

/* ---- remove ---- */

int engine_volume_remove(struct engine *g, const char *name, uint64_t *ret_freed, struct err *e)
{
	char dir[DIR_NAME], file[DIR_NAME + 16];
	struct stat st = { 0 };
	struct sqlite3 *db;
	int root, rc;

	if (machine_db(g, &db, e) < 0 || volume_record_begin(db, VOLUME_TXN_DURABLE, e) < 0)
		return -e->code;
	root = store_root_fd(engine_store(g));
	rc = volume_record_remove(db, name, e);
	if (rc == 0) { /* so the name is one of ours */
		dir_name(name, dir);
		snprintf(file, sizeof(file), "%s/" DISK_VOLUME_NAME, dir);
		(void)!fstatat(root, file, &st, AT_SYMLINK_NOFOLLOW); /* only to tell the size */
		rc = tree_remove_at(root, dir, e);
	}
	rc = volume_record_end(db, rc, e);
	if (rc == 0 && ret_freed)
		*ret_freed = (uint64_t)st.st_blocks * 512;
	return rc;
}

/* ---- machines ---- */

int volumes_bring(struct engine *g, struct machine_config *c, struct err *e)
{
	for (uint32_t i = 0; i < c->n_mounts; i++) {
		struct machine_mount *m = &c->mounts[i];
		struct volume_want w = { .name = m->source };
		char name[256];

		if (m->kind != MACHINE_MOUNT_VOLUME)
			continue;
		if (engine_volume_create(g, &w, name, e) < 0)
			return -e->code;
		if (m->source && *m->source)
			continue;
		m->is_anonymous = true;
		free(m->source);
		m->source = strdup(name);
		if (!m->source)
			return err_set(e, ENOMEM, "volume");
	}
	return 0;
}

void volumes_drop(struct engine *g, const struct machine_config *c)
{
	for (uint32_t i = 0; i < c->n_mounts; i++) {
		const struct machine_mount *m = &c->mounts[i];
		struct err e = { 0 };

		if (m->kind != MACHINE_MOUNT_VOLUME || !m->is_anonymous)
			continue;
		if (engine_volume_remove(g, m->source, NULL, &e) < 0 && e.code != EBUSY &&
		    e.code != ENOENT)
			log_warn("%s", e.msg);
	}
}

/* A running machine other than `id` that has the volume: -EBUSY and its name. */
static int user_find(struct engine *g, struct sqlite3 *db, const char *name, const char *id,
		     struct err *e)
{
	struct strv ids = { 0 };
	int rc = volume_record_users(db, name, &ids, e);

	for (uint32_t i = 0; rc == 0 && i < ids.n; i++) {
		struct machine m = { 0 };
		struct err ignored = { 0 };

		if (strcmp(ids.v[i], id) == 0 || machine_read(g, ids.v[i], &m, &ignored) < 0)
			continue;
		if (m.state.status == MACHINE_RUNNING)
			rc = err_plain(e, EBUSY,
				       "volume %.100s is in use by the running machine %s: only "
				       "one may write, or several read",
				       name, m.config.name);
		machine_done(&m);
	}
	strv_done(&ids);
	return rc;
}

static int disk_wait(struct engine *g, const struct volume *v, const char *id, int parent,
		     enum disk_access access, int *ret_fd, struct err *e)
{
	struct sqlite3 *db;
	auto_fd dir = -1;

	if (machine_db(g, &db, e) < 0 || dir_open(g, v->name, &dir, e) < 0)
		return -e->code;
	for (unsigned waited = 0;; waited += WAIT_STEP_MS) {
		if (disk_volume_open(dir, parent, access, ret_fd, e) == 0)
			return 0;
		if (e->code != EBUSY || waited >= WAIT_MS)
			return err_wrap(e, "volume %.100s", v->name);
		if (user_find(g, db, v->name, id, e) < 0)
			return -e->code;
		nanosleep(&(struct timespec){ .tv_nsec = WAIT_STEP_MS * 1000000L }, NULL);
	}
}

static int reader_open(struct engine *g, const struct volume *v, const char *id, int parent,
		       int *ret_fd, enum disk_access *ret_access, struct err *e)
{
	bool wants_writer = false;
	auto_fd fd = -1;

	if (disk_wait(g, v, id, parent, DISK_READ_ONLY, &fd, e) < 0 ||
	    disk_volume_wants_writer(fd, parent, &wants_writer, e) < 0)
		return -e->code;
	*ret_access = wants_writer ? DISK_READ_WRITE : DISK_READ_ONLY;
	if (!wants_writer) {
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	fd_drop(&fd);
	return disk_wait(g, v, id, parent, DISK_READ_WRITE, ret_fd, e);
}

int volume_disk_open(struct engine *g, const char *name, const char *id, enum disk_access access,
		     struct disk_chain *ret, enum disk_access *ret_access, struct err *e)
{
	struct volume v = { 0 };
	struct sqlite3 *db;
	auto_fd parent = -1;
	auto_fd fd = -1;
	uint64_t size;
	int rc;

	if (machine_db(g, &db, e) < 0 || volume_record_get(db, name, &v, e) < 0)
		return -e->code;
	size = v.size;
	rc = parent_open(g, size, &parent, e);
	*ret_access = access;
	if (rc == 0)
		rc = access == DISK_READ_ONLY ? reader_open(g, &v, id, parent, &fd, ret_access, e)
					      : disk_wait(g, &v, id, parent, access, &fd, e);
	volume_done(&v);
	if (rc == 0)
		*ret = (struct disk_chain){ .fds = { TAKE_FD(fd), TAKE_FD(parent) },
					    .n = 2,
					    .size = size };
	return rc;
}
