/* SPDX-License-Identifier: MIT */
/* keeper_record.c - the machine's record, directories and lock */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "fdio.h"
#include "keeper.h"
#include "log.h"
#include "vm_record.h"

#define LOCK_TRIES   750 /* for an earlier keeper that is just ending */
#define LOCK_WAIT_NS 20000000L

static int dir_open(int at_fd, const char *id, int *ret, struct err *e)
{
	char name[16 + MACHINE_ID_LEN];

	snprintf(name, sizeof(name), "machines/%s", id);
	if (dir_make_at(at_fd, name, 0700, e) < 0)
		return -e->code;
	*ret = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? err_set(e, errno, "open %s", name) : 0;
}

static int lock_take(struct keeper *k, struct err *e)
{
	auto_fd fd = openat(k->run_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_set(e, errno, "create the machine's lock");
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK)
			return err_set(e, errno, "lock the machine");
		if (i == LOCK_TRIES)
			return err_plain(e, EBUSY, "the machine is running");
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_WAIT_NS }, NULL);
	}
	k->lock_fd = TAKE_FD(fd);
	return 0;
}

/* Before anything is made for a machine that another process has just removed, or is removing: in
 * that case the directory was made anew here behind its back. */
static int record_read(struct keeper *k, const char *id, struct err *e)
{
	int rc = vm_record_get(k->db, id, &k->config, &k->state, e);
	struct err ignored = { 0 }; /* the record's error is the one to tell */
	char name[16 + MACHINE_ID_LEN];

	if (rc == 0 && k->state.status == MACHINE_DEAD)
		rc = err_plain(e, EBUSY, "the machine is being removed");
	else if (rc != -ENOENT)
		return rc;
	snprintf(name, sizeof(name), "machines/%s", id);
	(void)!tree_remove_at(store_run_fd(engine_store(k->g)), name, &ignored);
	return rc;
}

int record_open(struct keeper *k, const char *id, struct err *e)
{
	struct store *s = engine_store(k->g);

	if (!s)
		return err_plain(e, EIO, "the store cannot be opened");
	if (strlen(id) != MACHINE_ID_LEN || strspn(id, "0123456789abcdef") != MACHINE_ID_LEN)
		return err_plain(e, EINVAL, "\"%s\" is no machine id", id);
	k->db = store_db(s);
	if (!k->db) {
		*e = *store_db_error(s);
		return -e->code;
	}
	if (dir_open(store_run_fd(s), id, &k->run_fd, e) < 0 || lock_take(k, e) < 0 ||
	    record_read(k, id, e) < 0)
		return -e->code;
	if (dir_open(store_root_fd(s), id, &k->data_fd, e) < 0)
		return -e->code;
	snprintf(k->run_path, sizeof(k->run_path), "%s/machines/%s", store_run_path(s), id);
	return log_file_open(k->data_fd, &k->log, e);
}

void record_state_write(struct keeper *k)
{
	struct err e = { 0 };

	if (vm_record_set_state(k->db, k->config.id, &k->state, &e) < 0)
		log_error("%s", e.msg);
}

void record_remove(struct keeper *k)
{
	struct err e = { 0 };

	if (engine_machine_erase(k->g, k->config.id, &e) < 0)
		log_error("remove the machine: %s", e.msg);
}

void record_failed(struct keeper *k)
{
	if (k->config.is_auto_removed)
		record_remove(k);
	else
		record_state_write(k);
}
