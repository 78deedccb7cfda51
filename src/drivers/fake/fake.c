/* SPDX-License-Identifier: MIT */
/* fake.c - see fake.h; blocking, one frame at a time, honest about credit */
#include "fake.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "agent.h"
#include "bytes.h"
#include "fdio.h"

#define STREAMS 64

struct fake {
	pid_t pid;
	int pidfd;
	bool is_reaped;
	int status;
};

struct fake_stream {
	uint32_t id; /* 0: free */
	char program[16];
	uint64_t credit;
};

struct guest {
	int fd;
	struct buf in, out;
	struct fake_stream streams[STREAMS];
};

static struct fake_stream *stream_get(struct guest *g, uint32_t id)
{
	for (int i = 0; i < STREAMS; i++)
		if (g->streams[i].id == id)
			return &g->streams[i];
	return NULL;
}

static void put(struct guest *g, uint16_t type, uint32_t stream, const void *data, size_t len)
{
	if (agent_put(&g->out, type, stream, data, len) < 0)
		_exit(9);
}

static void put_exited(struct guest *g, struct fake_stream *s, uint32_t status)
{
	uint8_t raw[8] = { 0 };

	put_le32(raw, status);
	put(g, AGENT_STDOUT, s->id, NULL, 0);
	put(g, AGENT_STDERR, s->id, NULL, 0);
	put(g, AGENT_EXITED, s->id, raw, sizeof(raw));
	s->id = 0;
}

static void put_ok(struct guest *g, uint16_t request)
{
	uint8_t raw[2];

	put_le16(raw, request);
	put(g, AGENT_OK, 0, raw, sizeof(raw));
}

static void run(struct guest *g, const struct agent_frame *f)
{
	struct fake_stream *s = stream_get(g, 0);
	struct agent_run r;
	struct err e;
	const char *name;

	if (!s || agent_get_run(f->payload, &r, &e) < 0)
		_exit(9);
	name = r.argv.v[0];
	*s = (struct fake_stream){ .id = f->stream, .credit = AGENT_WINDOW };
	snprintf(s->program, sizeof(s->program), "%s", name);
	if (!strcmp(name, "die"))
		_exit(3);
	if (!strcmp(name, "garbage"))
		put(g, 9999, 1, "\xff\xff", 2), g->out.data[0] = (char)0xff,
						g->out.data[3] = (char)0xff;
	if (!strcmp(name, "hang")) {
		s->id = 0;
	} else if (!strcmp(name, "missing")) {
		if (agent_put_text(&g->out, AGENT_FAILED, f->stream, 0, 127,
				   "exec: \"missing\": executable file not found in $PATH") < 0)
			_exit(9);
		s->id = 0;
	} else {
		if (agent_put_u32(&g->out, AGENT_STARTED, f->stream, 1) < 0)
			_exit(9);
		if (!strcmp(name, "echo")) {
			for (uint32_t i = 1; i < r.argv.n; i++)
				put(g, AGENT_STDOUT, f->stream, r.argv.v[i], strlen(r.argv.v[i]));
			put(g, AGENT_STDOUT, f->stream, "\n", 1);
		}
		if (!strcmp(name, "true") || !strcmp(name, "echo"))
			put_exited(g, s, 0);
		else if (!strcmp(name, "exit"))
			put_exited(g, s,
				   r.argv.n > 1 ? (uint32_t)strtoul(r.argv.v[1], NULL, 10) : 0);
	}
	agent_run_done(&r);
}

static void stdin_data(struct guest *g, const struct agent_frame *f)
{
	struct fake_stream *s = stream_get(g, f->stream);

	if (!s)
		return;
	if (!f->payload.len) {
		put_exited(g, s, 0);
		return;
	}
	if (agent_put_credit(&g->out, f->stream, f->payload.len, AGENT_STDIN) < 0)
		_exit(9);
	if (!strcmp(s->program, "cat"))
		put(g, AGENT_STDOUT, f->stream, f->payload.data, f->payload.len);
}

static void frame(struct guest *g, const struct agent_frame *f)
{
	struct fake_stream *s;
	struct err e;
	uint32_t n;
	uint16_t which;

	switch (f->type) {
	case AGENT_IDENTITY:
	case AGENT_ROOT:
	case AGENT_SYNC:
	case AGENT_TEMPLATE:
		put_ok(g, f->type);
		break;
	case AGENT_PING:
		put(g, AGENT_PONG, 0, f->payload.data, f->payload.len);
		break;
	case AGENT_RUN:
		run(g, f);
		break;
	case AGENT_STDIN:
		stdin_data(g, f);
		break;
	case AGENT_SIGNAL:
		s = stream_get(g, f->stream);
		if (s && agent_get_u32(f->payload, &n, &e) == 0 &&
		    (strcmp(s->program, "deaf") != 0 || n == SIGKILL))
			put_exited(g, s, 128 + n);
		break;
	case AGENT_CREDIT:
		s = stream_get(g, f->stream);
		if (s && agent_get_credit(f->payload, &n, &which, &e) == 0 && which == AGENT_STDOUT)
			s->credit += n;
		break;
	case AGENT_SHUTDOWN:
		_exit(0);
	default:
		break;
	}
}

static void spew(struct guest *g)
{
	static const char line[1024] = { [0 ... 1022] = 'y', [1023] = '\n' };

	for (int i = 0; i < STREAMS; i++) {
		struct fake_stream *s = &g->streams[i];

		while (s->id && !strcmp(s->program, "yes") && s->credit >= sizeof(line) &&
		       g->out.len < 65536) {
			put(g, AGENT_STDOUT, s->id, line, sizeof(line));
			s->credit -= sizeof(line);
		}
	}
}

static _Noreturn void guest_main(int fd)
{
	struct guest g = { .fd = fd };
	uint8_t version[4] = { AGENT_VERSION };

	put(&g, AGENT_READY, 0, version, sizeof(version));
	for (;;) {
		struct agent_frame f;
		struct err e;
		size_t len;
		ssize_t n;

		if (g.out.len && fd_write_full(fd, g.out.data, g.out.len) < 0)
			_exit(0);
		buf_clear(&g.out);
		if (buf_reserve(&g.in, 65536) < 0)
			_exit(9);
		n = read(fd, g.in.data + g.in.len, 65536);
		if (n <= 0)
			_exit(0);
		g.in.len += (size_t)n;
		while (agent_frame_parse(g.in.data, g.in.len, &f, &len, &e) == 1) {
			frame(&g, &f);
			buf_consume(&g.in, len);
		}
		spew(&g);
	}
}

static int fake_probe(struct vm_driver_info *ret, struct err *e)
{
	(void)e;
	*ret = (struct vm_driver_info){ .accel = "none",
					.accel_reason = "no machine at all",
					.version = "fake",
					.fingerprint = "fake" };
	return 0;
}

static int fake_launch(const struct vm_spec *s, const struct vm_driver_info *i, void **ret,
		       struct err *e)
{
	struct fake *f = calloc(1, sizeof(*f));

	(void)i;
	if (!f)
		return err_set(e, ENOMEM, "fake machine");
	f->pid = fork();
	if (f->pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(s->agent_fd, 3);
		syscall(SYS_close_range, 4U, ~0U, 0U);
		(void)!fd_set_nonblock(
			3, false); /* a socket of ours that is bad ends the guest anyway */
		guest_main(3);
	}
	if (f->pid > 0)
		f->pidfd = (int)syscall(SYS_pidfd_open, f->pid, 0);
	if (f->pid < 0 || f->pidfd < 0) {
		free(f);
		return err_set(e, errno, "fake machine");
	}
	*ret = f;
	return 0;
}

static int fake_pidfd(void *priv)
{
	return ((struct fake *)priv)->pidfd;
}

static pid_t fake_pid(void *priv)
{
	return ((struct fake *)priv)->pid;
}

static void fake_reap(struct fake *f)
{
	if (!f->is_reaped)
		waitpid(f->pid, &f->status, 0);
	f->is_reaped = true;
}

static enum vm_end fake_end_reason(void *priv, char *buf, size_t len)
{
	fake_reap(priv);
	snprintf(buf, len, "the fake machine ended");
	return VM_END_LOST;
}

static void fake_free(void *priv)
{
	struct fake *f = priv;

	if (!f)
		return;
	if (!f->is_reaped)
		kill(f->pid, SIGKILL);
	fake_reap(f);
	fd_drop(&f->pidfd);
	free(f);
}

const struct vm_driver_ops fake_driver = {
	.name = "fake",
	.probe = fake_probe,
	.launch = fake_launch,
	.pidfd = fake_pidfd,
	.pid = fake_pid,
	.end_reason = fake_end_reason,
	.free = fake_free,
};
