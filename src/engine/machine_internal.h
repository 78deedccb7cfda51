/* SPDX-License-Identifier: MIT */
/* machine_internal.h - shared by engine_machine*.c, machine_conn.c and machine_pump.c */
#ifndef MACHINE_INTERNAL_H
#define MACHINE_INTERNAL_H

#include "engine_internal.h"

struct machine { /* a record, corrected where its keeper is gone */
	struct machine_config config;
	struct machine_state state;
};
void machine_done(struct machine *m);

struct sqlite3;
must_check int machine_db(struct engine *g, struct sqlite3 **ret, struct err *e);
/* Exact id. A machine that says it runs and has no keeper is recorded as exited; one that was to be
 * removed at its end, or that somebody began to remove, is removed: -ENOENT. */
must_check int machine_read(struct engine *g, const char *id, struct machine *ret, struct err *e);
/* The machine's lock, waited for at most wait_ms: -EBUSY. */
must_check int machine_lock(struct engine *g, const char *id, uint32_t wait_ms, int *ret_fd,
			    struct err *e);
must_check int machine_connect(struct engine *g, const char *id, int *ret_fd, struct err *e);
/* ROOT/machines/ID. */
must_check int machine_data_dir(struct engine *g, const char *id, int *ret_fd, struct err *e);
/* {"a": "b"} of "a=b". Between json_build_begin() and json_build_end(). */
json_t *pairs_show(const struct strv *s);
/* "2006-01-02T15:04:05.999999999Z"; 0 is Docker's zero time. */
void time_format(int64_t ns, char ret[40]);

#endif
