/* SPDX-License-Identifier: MIT */
/* machine_memory.c - how much memory a machine has, and shall have */
#include <time.h>

#include "machine_conn_internal.h"
#include "vm_record.h"

#define WAIT_STEP_NS 50000000L
#define WAIT_STEPS   200U  /* 10 s */
#define LOCK_MS      5000U /* a keeper that has told the end is there for another moment */

/* `bytes` 0: only ask. */
static int memory_ask(struct engine *g, const char *id, uint64_t bytes, struct machine_memory *ret,
		      struct err *e)
{
	struct machine_conn *c = NULL;
	struct ctl_memory m = { 0 };
	struct agent_frame f;
	auto_buf request = { 0 };
	int rc;

	if (ctl_put_memory(&request, bytes) < 0)
		return err_set(e, ENOMEM, "request");
	rc = machine_ask(g, id, &request, &f, &c, e);
	if (rc == 0 && f.type == CTL_MEMORY_IS)
		rc = ctl_get_memory_is(f.payload, &m, e);
	else if (rc == 0)
		rc = err_plain(e, EPROTO, "the machine's keeper did not say how much memory");
	machine_conn_free(c);
	if (rc == 0)
		*ret = (struct machine_memory){ m.wanted, m.now };
	return rc;
}

int engine_machine_memory(struct engine *g, const char *id, struct machine_memory *ret,
			  struct err *e)
{
	return memory_ask(g, id, 0, ret, e);
}

static int running_resize(struct engine *g, const char *id, uint64_t bytes,
			  struct machine_memory *ret, struct err *e)
{
	int rc = memory_ask(g, id, bytes, ret, e);

	for (unsigned int i = 0; rc == 0 && ret->now != ret->wanted && i < WAIT_STEPS; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = WAIT_STEP_NS }, NULL);
		rc = memory_ask(g, id, 0, ret, e);
	}
	return rc;
}

/* With the machine's lock: it does not begin to run meanwhile. */
static int record_resize(struct engine *g, const char *id, uint64_t bytes, struct err *e)
{
	struct machine m = { 0 };
	struct sqlite3 *db;
	auto_fd lock = -1;
	int rc;

	if (machine_db(g, &db, e) < 0 || machine_lock(g, id, LOCK_MS, &lock, e) < 0 ||
	    vm_record_get(db, id, &m.config, &m.state, e) < 0)
		return -e->code;
	m.config.mem_bytes = bytes;
	rc = machine_config_check(&m.config, e);
	if (rc == 0)
		rc = vm_record_set_config(db, &m.config, e);
	machine_done(&m);
	return rc;
}

int engine_machine_resize(struct engine *g, const char *id, uint64_t bytes,
			  struct machine_memory *ret, struct err *e)
{
	struct machine m = { 0 };
	bool runs;

	if (bytes == 0)
		return err_plain(e, EINVAL, "a machine has memory");
	if (machine_read(g, id, &m, e) < 0)
		return -e->code;
	runs = m.state.status == MACHINE_RUNNING;
	machine_done(&m);
	if (runs)
		return running_resize(g, id, bytes, ret, e);
	*ret = (struct machine_memory){ bytes, bytes };
	return record_resize(g, id, bytes, e);
}
