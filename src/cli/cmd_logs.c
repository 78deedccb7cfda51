/* SPDX-License-Identifier: MIT */
/* cmd_logs.c - what a machine has written, again */
#include <time.h>

#include "console.h"
#include "options.h"
#include "spec.h"

static int options_make(const struct logs_flags *o, struct logs_options *ret, struct err *e)
{
	struct timespec t;
	int64_t now_ns;

	clock_gettime(CLOCK_REALTIME, &t);
	now_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	*ret = (struct logs_options){ .follow = o->follow,
				      .timestamps = o->timestamps,
				      .want_stdout = true,
				      .want_stderr = true };
	if (spec_tail(o->tail, &ret->tail, e) < 0)
		return -e->code;
	if (o->since && spec_time(o->since, now_ns, &ret->since_ns, e) < 0)
		return err_wrap(e, "invalid value for \"since\"");
	if (o->until && spec_time(o->until, now_ns, &ret->until_ns, e) < 0)
		return err_wrap(e, "invalid value for \"until\"");
	return 0;
}

static int on_output(void *arg, int fd, const void *data, size_t len)
{
	int *rc = arg;

	*rc = console_write(fd, data, len);
	return *rc;
}

int cmd_logs(struct cli *c, const void *options, const struct args *a)
{
	int rc = 0;
	const struct machine_conn_ops out = { .output = on_output, .arg = &rc };
	struct logs_options o;
	struct engine *g;
	struct err e = { 0 };
	char id[65];

	if (options_make(options, &o, &e) < 0 || cli_engine(c, &g, &e) < 0 ||
	    engine_machine_find(g, a->v[0], id, &e) < 0)
		return cli_fail(&e, 1);
	if (engine_machine_logs(g, id, &o, &out, &e) == 0)
		return 0;
	if (rc < 0) /* the engine only hears that the output failed */
		err_set(&e, -rc, "write the log");
	return cli_fail(&e, 1);
}
