/* SPDX-License-Identifier: MIT */
/*
 * engine_logs.c - reading a machine's log
 *
 * The file only grows; following it is watching it and the machine's end. A line that is no JSON
 * (cut by a power failure) is left out.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fdio.h"
#include "json_text.h"
#include "machine_internal.h"

#define READ_CHUNK (256U << 10)
#define LINE_MAX_  (256U << 10) /* a LOG_LINE_MAX of control characters, escaped */
#define FOLLOW_NS  100000000L
#define TAIL_CHUNK 65536

struct logs {
	const struct logs_options *o;
	const struct machine_conn_ops *out;
	int fd;
	struct buf in;
};

static int64_t time_parse(const char *t)
{
	struct tm tm = { 0 };
	const char *p = strptime(t, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t ns = 0, unit = 100000000;

	if (!p)
		return 0;
	for (p += *p == '.'; *p >= '0' && *p <= '9' && unit; p++, unit /= 10)
		ns += (*p - '0') * unit;
	return (int64_t)timegm(&tm) * 1000000000 + ns;
}

static int line_show(struct logs *l, const char *line, size_t len, struct err *e)
{
	json_t *j = json_parse(line, len, JSON_ALLOW_NUL, NULL);
	const json_t *log = json_object_get(j, "log");
	const char *stream = json_string_value(json_object_get(j, "stream"));
	const char *when = json_string_value(json_object_get(j, "time"));
	bool is_err = stream && strcmp(stream, "stderr") == 0;
	int64_t at = when ? time_parse(when) : 0;
	int rc = 0;

	if (json_is_string(log) && when && (is_err ? l->o->want_stderr : l->o->want_stdout) &&
	    (!l->o->since_ns || at >= l->o->since_ns) &&
	    (!l->o->until_ns || at <= l->o->until_ns)) {
		int fd = is_err ? 2 : 1;

		if (l->o->timestamps)
			rc = l->out->output(l->out->arg, fd, when, strlen(when)) < 0 ||
			     l->out->output(l->out->arg, fd, " ", 1) < 0;
		if (rc == 0)
			rc = l->out->output(l->out->arg, fd, json_string_value(log),
					    json_string_length(log)) < 0;
	}
	json_decref(j);
	return rc ? err_set(e, EPIPE, "output") : 0;
}

/* All whole lines that are there. */
static int lines_show(struct logs *l, struct err *e)
{
	for (;;) {
		size_t used = 0;
		const char *nl;
		ssize_t n;

		if (buf_reserve(&l->in, READ_CHUNK) < 0)
			return err_plain(e, EFBIG, "a line of the log is too long");
		n = read(l->fd, l->in.data + l->in.len, READ_CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, errno, "read the log");
		if (n == 0)
			return 0;
		l->in.len += (size_t)n;
		while ((nl = memchr(l->in.data + used, '\n', l->in.len - used))) {
			size_t len = (size_t)(nl - (l->in.data + used));

			if (line_show(l, l->in.data + used, len, e) < 0)
				return -e->code;
			used += len + 1;
		}
		buf_consume(&l->in, used);
	}
}

/* Stand at the beginning of the last `lines` lines. */
static int tail_seek(int fd, int64_t lines, struct err *e)
{
	char chunk[TAIL_CHUNK];
	off_t end = lseek(fd, 0, SEEK_END), at = end;

	if (end < 0)
		return err_set(e, errno, "read the log");
	while (at > 0 && lines > 0) {
		size_t n = (size_t)MIN_OF(at, (off_t)TAIL_CHUNK);
		int rc = fd_pread_full(fd, chunk, n, at - (off_t)n);

		if (rc < 0)
			return err_set(e, -rc, "read the log");
		for (size_t i = n; i-- > 0;) {
			off_t pos = at - (off_t)n + (off_t)i;

			if (chunk[i] == '\n' && pos != end - 1 && --lines == 0)
				return lseek(fd, pos + 1, SEEK_SET) < 0 ? err_set(e, errno, "log")
									: 0;
		}
		at -= (off_t)n;
	}
	return lseek(fd, lines > 0 ? 0 : end, SEEK_SET) < 0 ? err_set(e, errno, "log") : 0;
}

static int is_running(struct engine *g, const char *id, bool *ret, struct err *e)
{
	struct machine m = { 0 };

	*ret = false;
	if (machine_read(g, id, &m, e) < 0)
		return e->code == ENOENT ? 0 : -e->code;
	*ret = m.state.status == MACHINE_RUNNING;
	machine_done(&m);
	return 0;
}

int engine_machine_logs(struct engine *g, const char *id, const struct logs_options *o,
			const struct machine_conn_ops *out, struct err *e)
{
	struct logs l = { .o = o, .out = out };
	auto_fd dir = -1;
	auto_fd fd = -1;
	bool runs = false;
	int rc;

	if (is_running(g, id, &runs, e) < 0)
		return -e->code;
	if (machine_data_dir(g, id, &dir, e) < 0)
		return e->code == ENOENT ? 0 : -e->code; /* never started: nothing to show */
	fd = openat(dir, "log.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_set(e, errno, "open the log");
	if (o->tail >= 0 && tail_seek(fd, o->tail, e) < 0)
		return -e->code;
	l.fd = fd;
	l.in.max = READ_CHUNK + LINE_MAX_;
	rc = lines_show(&l, e);
	while (rc == 0 && o->follow && runs) {
		rc = is_running(g, id, &runs, e); /* first: what it wrote before its end is there */
		if (rc == 0)
			rc = lines_show(&l, e);
		if (runs)
			nanosleep(&(struct timespec){ .tv_nsec = FOLLOW_NS }, NULL);
	}
	buf_done(&l.in);
	return rc;
}
