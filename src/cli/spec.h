/* SPDX-License-Identifier: MIT */
/*
 * spec.h - the little languages of flags: sizes, ports, mounts, times, signals
 *
 * All pure but spec_env_file(). Errors have Docker's words where it has any.
 */
#ifndef SPEC_H
#define SPEC_H

#include <time.h>

#include "machine.h"

#define SPEC_FILE_MAX (1U << 20) /* an --env-file or --label-file */

/* "512m", "2g", "1.5gb", "1048576": binary units. */
must_check int spec_size(const char *text, uint64_t *ret, struct err *e);
/* Whole processors: "2", "2.0". */
must_check int spec_cpus(const char *text, uint32_t *ret, struct err *e);
/* "KILL", "SIGKILL", "9" */
must_check int spec_signal(const char *text, int *ret, struct err *e);
/*
 * A point in time, nanoseconds of CLOCK_REALTIME: RFC 3339 with or without zone (then local), a
 * date, seconds since 1970, or a duration before `now_ns` ("1h30m").
 */
must_check int spec_time(const char *text, int64_t now_ns, int64_t *ret, struct err *e);
/* "all" and negative numbers are -1. */
must_check int spec_tail(const char *text, int64_t *ret, struct err *e);

/* [ip:][host[-host]:]port[-port][/proto], appended to c->ports. */
must_check int spec_publish(const char *text, struct machine_config *c, struct err *e);
/* SOURCE:TARGET[:OPTIONS], NAME:TARGET[:OPTIONS] or TARGET; a source of "./x" is taken from `cwd`.
 */
must_check int spec_volume(const char *text, const char *cwd, struct machine_config *c,
			   struct err *e);
/* key=value,...; the source of a disk may be one of `cwd`. */
must_check int spec_mount(const char *text, const char *cwd, struct machine_config *c,
			  struct err *e);
must_check int spec_tmpfs(const char *text, struct machine_config *c, struct err *e);
/* "name:ip" or "name=ip" */
must_check int spec_add_host(const char *text, struct strv *to, struct err *e);

/* "A=1", or "A" with the value of our own environment; a name given again replaces. */
must_check int spec_env(const char *text, struct strv *to, struct err *e);
/* The lines of a file of the above; `name` is for errors. */
must_check int spec_env_lines(const char *text, size_t len, const char *name, struct strv *to,
			      struct err *e);
must_check int spec_env_file(const char *path, struct strv *to, struct err *e);
must_check int spec_label(const char *text, struct strv *to, struct err *e);

#endif
