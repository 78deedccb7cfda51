/* SPDX-License-Identifier: MIT */
/*
 * engine_machine.c - records of machines: create, find, remove, and the truth about their state
 *
 * While a keeper lives it holds the lock RUN/machines/ID/lock and alone changes the state. Whoever
 * reads "running" and gets the lock knows that the keeper died (kill -9, power cut) and puts the
 * record right. Removal is marked in the record ("dead") before the first file goes, and the row
 * goes last: whoever reads the mark and gets the lock removes what is left.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "driver.h"
#include "fdio.h"
#include "image_defaults.h"
#include "kernel.h"
#include "machine_internal.h"
#include "machine_name.h"
#include "shape.h"
#include "store_write.h"
#include "vm_record.h"
#include "volume_disk.h"

#define NAME_TRIES     20U
#define LOCK_STEP_NS   10000000L
#define CODE_KILLED    137
#define REMOVE_MS      15000U
#define REMOVE_STEP_MS 100U

void machine_done(struct machine *m)
{
	machine_config_done(&m->config);
	machine_state_done(&m->state);
}

int machine_db(struct engine *g, struct sqlite3 **ret, struct err *e)
{
	struct store *s;

	if (engine_store_need(g, &s, e) < 0)
		return -e->code;
	*ret = store_db(s);
	if (*ret)
		return 0;
	*e = *store_db_error(s);
	return -e->code;
}

int machine_data_dir(struct engine *g, const char *id, int *ret_fd, struct err *e)
{
	char name[96];

	snprintf(name, sizeof(name), "machines/%s", id);
	*ret_fd = openat(store_root_fd(engine_store(g)), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? err_set(e, errno, "open %s", name) : 0;
}

int machine_lock(struct engine *g, const char *id, uint32_t wait_ms, int *ret_fd, struct err *e)
{
	int run_fd = store_run_fd(engine_store(g));
	char name[96];
	auto_fd fd = -1;

	snprintf(name, sizeof(name), "machines/%s", id);
	if (dir_make_at(run_fd, name, 0700, e) < 0)
		return -e->code;
	snprintf(name, sizeof(name), "machines/%s/lock", id);
	fd = openat(run_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, errno, "create %s", name);
	for (uint32_t waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += 10) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_set(e, errno, "lock %s", name);
		if (waited >= wait_ms)
			return err_plain(e, EBUSY, "the machine is running");
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_STEP_NS }, NULL);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int files_remove(struct engine *g, struct sqlite3 *db, const char *id, struct err *e)
{
	struct store *s = engine_store(g);
	char name[96];

	snprintf(name, sizeof(name), "machines/%s", id);
	if (vm_record_set_dead(db, id, e) < 0 || tree_remove_at(store_root_fd(s), name, e) < 0 ||
	    tree_remove_at(store_run_fd(s), name, e) < 0)
		return -e->code;
	return vm_record_remove(db, id, e);
}

static int machine_erase(struct engine *g, const char *id, uint32_t flags, struct err *e)
{
	struct machine m = { 0 };
	struct err ignored = { 0 }; /* without a record that can be read there are no volumes */
	struct sqlite3 *db;
	int rc;

	if (machine_db(g, &db, e) < 0)
		return -e->code;
	if (vm_record_get(db, id, &m.config, &m.state, &ignored) == 0 && m.config.is_auto_removed)
		flags |= ENGINE_REMOVE_VOLUMES;
	rc = files_remove(g, db, id, e);
	if (rc == 0 && (flags & ENGINE_REMOVE_VOLUMES))
		volumes_drop(g, &m.config);
	machine_done(&m);
	return rc;
}

int engine_machine_erase(struct engine *g, const char *id, struct err *e)
{
	return machine_erase(g, id, 0, e);
}

/* With the lock: nobody else changes the record. */
static int cut_off_record(struct sqlite3 *db, struct machine *m, struct err *e)
{
	struct machine_state *s = &m->state;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	s->status = MACHINE_EXITED;
	s->exit_code = CODE_KILLED;
	s->keeper_pid = s->vmm_pid = 0;
	s->finished_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	snprintf(s->error, sizeof(s->error),
		 "the machine was cut off: its keeper or the host went down");
	return vm_record_set_state(db, m->config.id, s, e);
}

static bool is_unfinished(const struct machine *m)
{
	return m->state.status == MACHINE_RUNNING || m->state.status == MACHINE_DEAD;
}

/* With the lock, and so without a keeper. -ENOENT: it is gone now. */
static int state_correct(struct engine *g, struct sqlite3 *db, struct machine *m, struct err *e)
{
	struct err why = { 0 };

	if (m->state.status == MACHINE_RUNNING && !m->config.is_auto_removed)
		return cut_off_record(db, m, e);
	if (engine_machine_erase(g, m->config.id, &why) == 0)
		return err_plain(e, ENOENT, "No such container: %s", m->config.id);
	m->state.status = MACHINE_DEAD; /* `rm` says why */
	return 0;
}

/* The lock's directory was made for a row that went meanwhile. */
static void run_dir_drop(struct engine *g, const char *id)
{
	struct err ignored = { 0 }; /* gone after a reboot at the latest */
	char name[96];

	snprintf(name, sizeof(name), "machines/%s", id);
	(void)!tree_remove_at(store_run_fd(engine_store(g)), name, &ignored);
}

int machine_read(struct engine *g, const char *id, struct machine *ret, struct err *e)
{
	struct err busy = { 0 };
	struct sqlite3 *db;
	auto_fd lock = -1;
	int rc;

	if (machine_db(g, &db, e) < 0 || vm_record_get(db, id, &ret->config, &ret->state, e) < 0)
		return -e->code;
	if (!is_unfinished(ret) || machine_lock(g, id, 0, &lock, &busy) < 0)
		return 0;
	machine_done(ret); /* it may have changed before we had the lock */
	rc = vm_record_get(db, id, &ret->config, &ret->state, e);
	if (rc == -ENOENT)
		run_dir_drop(g, id);
	if (rc == 0 && is_unfinished(ret)) {
		rc = state_correct(g, db, ret, e);
		if (rc < 0)
			machine_done(ret);
	}
	return rc;
}

int engine_machine_find(struct engine *g, const char *name, char ret_id[65], struct err *e)
{
	struct sqlite3 *db;

	if (machine_db(g, &db, e) < 0)
		return -e->code;
	return vm_record_find(db, name, ret_id, e);
}

/* ---- create ---- */

static int ports_publish(struct machine_config *c, struct err *e)
{
	struct machine_port *p;

	if (!c->publish_all || !c->has_network)
		return 0;
	for (uint32_t i = 0; i < c->exposed.n; i++) {
		char *end;
		unsigned long port = strtoul(c->exposed.v[i], &end, 10);
		bool is_udp = strcmp(end, "/udp") == 0, is_there = false;

		if (port == 0 || port > UINT16_MAX || (*end && *end != '/'))
			continue;
		for (uint32_t k = 0; k < c->n_ports; k++)
			is_there |= c->ports[k].guest_port == port && c->ports[k].is_udp == is_udp;
		if (is_there)
			continue;
		p = realloc(c->ports, (c->n_ports + 1) * sizeof(*p));
		if (!p)
			return err_set(e, ENOMEM, "ports");
		c->ports = p;
		p[c->n_ports++] =
			(struct machine_port){ .guest_port = (uint16_t)port, .is_udp = is_udp };
	}
	return 0;
}

static int record_add(struct sqlite3 *db, struct machine_config *c, struct err *e)
{
	const struct machine_state s = { .status = MACHINE_CREATED };
	bool has_name = *c->name;
	int rc;

	for (unsigned i = 0; i < NAME_TRIES; i++) {
		if (!has_name && machine_name_random(i, c->name, sizeof(c->name), e) < 0)
			return -e->code;
		if (machine_config_check(c, e) < 0)
			return -e->code;
		rc = vm_record_add(db, c, &s, e);
		if (rc != -EEXIST || has_name)
			return rc;
	}
	return err_plain(e, EEXIST, "no name is free");
}

static int image_apply(struct engine *g, struct machine_config *c, struct err *e)
{
	struct store *s = engine_store(g);
	auto_free char *doc = NULL;
	size_t len = 0;

	if (!*c->image_id) {
		struct store_image img;

		if (store_image_find(s, c->image_ref ? c->image_ref : "", &img, e) < 0)
			return -e->code;
		snprintf(c->image_id, sizeof(c->image_id), "%s", img.id);
	}
	if (store_image_config(s, c->image_id, &doc, &len, e) < 0)
		return -e->code;
	return image_defaults_apply(c, doc, len, e);
}

/* A kernel that the user has named must be there; the default is looked for at the start. */
static int kernel_check(struct engine *g, const struct machine_config *c, struct err *e)
{
	char name[KERNEL_NAME_MAX + 1], digest[65];

	return *c->kernel ? kernel_digest(g, c->kernel, name, digest, e) : 0;
}

/* "auto" is chosen at the start, and looked at then. */
static int driver_check(const struct machine_config *c, struct err *e)
{
	const uint64_t least = c->mem_bytes ? c->mem_bytes : SHAPE_MEM_DEFAULT;
	const struct vm_driver_ops *d;

	if (c->mem_max_bytes && c->mem_max_bytes < least)
		return err_plain(e, EINVAL,
				 "--memory-max is less than the machine's memory, %lluMB",
				 (unsigned long long)(least >> 20));
	if (strcmp(c->driver, SHAPE_DRIVER_AUTO) == 0)
		return 0;
	d = vm_driver_find(c->driver, e);
	return d ? shape_check(c, d, e) : -e->code;
}

static unsigned depth_of(const struct machine_mount *m)
{
	unsigned n = 0;

	for (const char *p = m->target; *p; p++)
		n += *p == '/' && p[1] != '/' && p[1] != '\0';
	return n;
}

/* Docker's order, so that none hides another: fewer directories first, else as they were given. */
static void mounts_sort(struct machine_config *c)
{
	for (uint32_t i = 1; i < c->n_mounts; i++) {
		const struct machine_mount m = c->mounts[i];
		uint32_t k = i;

		for (; k > 0 && depth_of(&c->mounts[k - 1]) > depth_of(&m); k--)
			c->mounts[k] = c->mounts[k - 1];
		c->mounts[k] = m;
	}
}

int engine_machine_create(struct engine *g, struct machine_config *c, struct err *e)
{
	struct timespec now;
	struct sqlite3 *db;

	if (machine_db(g, &db, e) < 0 || image_apply(g, c, e) < 0 || ports_publish(c, e) < 0 ||
	    machine_id_random(c->id, e) < 0)
		return -e->code;
	clock_gettime(CLOCK_REALTIME, &now);
	c->created_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	if (!*c->driver)
		snprintf(c->driver, sizeof(c->driver), SHAPE_DRIVER_AUTO);
	if (driver_check(c, e) < 0 || kernel_check(g, c, e) < 0)
		return -e->code;
	mounts_sort(c);
	if (volumes_bring(g, c, e) == 0 && record_add(db, c, e) == 0)
		return 0;
	volumes_drop(g, c);
	return -e->code;
}

/*
 * The lock of a machine that is to be removed. One that is starting is killed as one that runs; for
 * a moment it has no socket yet, over which that could be told, and is asked again.
 */
static int remove_lock(struct engine *g, const char *id, bool force, int *ret_fd, struct err *e)
{
	bool is_killed = false, runs;

	for (uint32_t waited = 0;; waited += REMOVE_STEP_MS) {
		struct machine m = { 0 };

		if (machine_read(g, id, &m, e) < 0)
			return -e->code;
		runs = m.state.status == MACHINE_RUNNING;
		machine_done(&m);
		if (runs && !force)
			return err_plain(
				e, EBUSY,
				"You cannot remove a running container %s. Stop the container "
				"before attempting removal or force remove",
				id);
		if (machine_lock(g, id, waited ? REMOVE_STEP_MS : 0, ret_fd, e) == 0)
			return 0;
		if (e->code != EBUSY || waited >= REMOVE_MS)
			return -e->code;
		if (!force || is_killed)
			continue;
		is_killed = engine_machine_kill(g, id, 9, e) == 0;
		if (!is_killed && e->code != ESRCH && e->code != ECONNRESET) /* maybe gone by now */
			return -e->code;
	}
}

int engine_machine_remove(struct engine *g, const char *id, uint32_t flags, struct err *e)
{
	bool force = flags & ENGINE_REMOVE_FORCE;
	auto_fd lock = -1;

	if (remove_lock(g, id, force, &lock, e) < 0)
		return e->code == ENOENT && force ? 0 : -e->code;
	store_room_make(engine_store(g));
	return machine_erase(g, id, flags, e);
}

void time_format(int64_t ns, char ret[40])
{
	time_t s = (time_t)(ns / 1000000000);
	struct tm tm;
	char date[32];

	if (ns == 0) {
		snprintf(ret, 40, "0001-01-01T00:00:00Z");
		return;
	}
	gmtime_r(&s, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret, 40, "%s.%09" PRId64 "Z", date, ns % 1000000000);
}
