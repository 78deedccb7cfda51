/* SPDX-License-Identifier: MIT */
/*
 * qmp.h - a client of QEMU's machine protocol (docs/interop/qmp-spec of QEMU)
 *
 * Hostile: QEMU may be owned by its guest. An answer is bounded in bytes and in time.
 */
#ifndef QMP_H
#define QMP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define QMP_LINE_MAX (1U << 20)

struct qmp {
	int fd; /* owned */
	struct buf in;
	bool has_greeted;
};

void qmp_init(struct qmp *q, int fd);
void qmp_done(struct qmp *q);

/*
 * Carry out a command and wait for its answer; events on the way are dropped. `args` is consumed,
 * may be NULL. pass_fd >= 0 goes along ("getfd"). ret may be NULL; else a new reference to
 * "return".
 */
must_check int qmp_call(struct qmp *q, const char *command, json_t *args, int pass_fd,
			uint32_t timeout_ms, json_t **ret, struct err *e);

/* One line of QEMU: 1 an answer (*ret owned: its "return"), 0 an event or greeting, -code an error.
 */
must_check int qmp_line_parse(const char *line, size_t len, json_t **ret, struct err *e);

#endif
