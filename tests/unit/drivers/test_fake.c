/* SPDX-License-Identifier: MIT */
/* test_fake.c - a machine's life with the fake driver, over the agent's protocol */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "agent.h"
#include "fake.h"
#include "fdio.h"

struct machine {
	int fd; /* our end of the agent's socket */
	void *priv;
	struct buf in;
};

static void launch(struct machine *m)
{
	struct vm_driver_info info;
	struct vm_spec s = { 0 };
	struct err e = { 0 };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	*m = (struct machine){ .fd = fds[0] };
	s.agent_fd = fds[1];
	assert_int_equal(fake_driver.probe(&info, &e), 0);
	assert_string_equal(info.accel, "none");
	assert_int_equal(fake_driver.launch(&s, &info, &m->priv, &e), 0);
	assert_true(fake_driver.pid(m->priv) > 0);
	close(fds[1]); /* borrowed: ours to close */
}

static void end(struct machine *m)
{
	fake_driver.free(m->priv);
	fd_drop(&m->fd);
	buf_done(&m->in);
}

static bool has_ended(struct machine *m)
{
	struct pollfd p = { .fd = fake_driver.pidfd(m->priv), .events = POLLIN };

	return poll(&p, 1, 60000) == 1;
}

static void say(struct machine *m, struct buf *out)
{
	assert_int_equal(fd_write_full(m->fd, out->data, out->len), 0);
	buf_clear(out);
}

/* The next frame's type; its payload as text. */
static uint16_t hear(struct machine *m, uint32_t stream, char text[200])
{
	struct agent_frame f;
	struct err e = { 0 };
	size_t used;
	int rc;

	while ((rc = agent_frame_parse(m->in.data, m->in.len, &f, &used, &e)) == 0) {
		ssize_t n;

		assert_int_equal(buf_reserve(&m->in, 4096), 0);
		n = read(m->fd, m->in.data + m->in.len, 4096);
		assert_true(n > 0);
		m->in.len += (size_t)n;
	}
	assert_int_equal(rc, 1);
	assert_int_equal(f.stream, stream);
	snprintf(text, 200, "%.*s", (int)f.payload.len, (const char *)f.payload.data);
	buf_consume(&m->in, used);
	return f.type;
}

static void run_put(struct buf *out, uint32_t stream, const char *program, const char *arg)
{
	const char *argv[] = { program, arg };
	struct agent_run r = { .argv = { argv, arg ? 2 : 1 } };

	assert_int_equal(agent_put_run(out, stream, &r), 0);
}

static void programs(void **state)
{
	struct machine m;
	auto_buf out = { 0 };
	char text[200];

	(void)state;
	launch(&m);
	assert_int_equal(hear(&m, 0, text), AGENT_READY);
	assert_int_equal(agent_put(&out, AGENT_PING, 0, "abc", 3), 0);
	assert_int_equal(agent_put_root(&out, &(struct agent_root){ 0 }), 0);
	run_put(&out, 1, "echo", "hi");
	run_put(&out, 2, "missing", NULL);
	say(&m, &out);
	assert_int_equal(hear(&m, 0, text), AGENT_PONG);
	assert_string_equal(text, "abc");
	assert_int_equal(hear(&m, 0, text), AGENT_OK);
	assert_int_equal(hear(&m, 1, text), AGENT_STARTED);
	assert_int_equal(hear(&m, 1, text), AGENT_STDOUT);
	assert_string_equal(text, "hi");
	assert_int_equal(hear(&m, 1, text), AGENT_STDOUT); /* the newline */
	assert_int_equal(hear(&m, 1, text), AGENT_STDOUT); /* its end */
	assert_string_equal(text, "");
	assert_int_equal(hear(&m, 1, text), AGENT_STDERR);
	assert_int_equal(hear(&m, 1, text), AGENT_EXITED);
	assert_int_equal(hear(&m, 2, text), AGENT_FAILED);
	run_put(&out, 3, "cat", NULL);
	assert_int_equal(agent_put(&out, AGENT_STDIN, 3, "in", 2), 0);
	assert_int_equal(agent_put(&out, AGENT_STDIN, 3, NULL, 0), 0);
	say(&m, &out);
	assert_int_equal(hear(&m, 3, text), AGENT_STARTED);
	assert_int_equal(hear(&m, 3, text), AGENT_CREDIT);
	assert_int_equal(hear(&m, 3, text), AGENT_STDOUT);
	assert_string_equal(text, "in");
	end(&m);
}

static void signals(void **state)
{
	struct machine m;
	auto_buf out = { 0 };
	char text[200];

	(void)state;
	launch(&m);
	assert_int_equal(hear(&m, 0, text), AGENT_READY);
	run_put(&out, 1, "deaf", NULL);
	assert_int_equal(agent_put_u32(&out, AGENT_SIGNAL, 1, SIGTERM), 0);
	assert_int_equal(agent_put(&out, AGENT_PING, 0, "x", 1), 0);
	assert_int_equal(agent_put_u32(&out, AGENT_SIGNAL, 1, SIGKILL), 0);
	say(&m, &out);
	assert_int_equal(hear(&m, 1, text), AGENT_STARTED);
	assert_int_equal(hear(&m, 0, text), AGENT_PONG); /* nothing came of the first */
	assert_int_equal(hear(&m, 1, text), AGENT_STDOUT);
	assert_int_equal(hear(&m, 1, text), AGENT_STDERR);
	assert_int_equal(hear(&m, 1, text), AGENT_EXITED);
	assert_int_equal((uint8_t)text[0], 128 + SIGKILL);
	end(&m);
}

static void ends(void **state)
{
	static const char *const how[] = { "shutdown", "die", "close" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		struct machine m;
		auto_buf out = { 0 };
		char text[200] = "";

		launch(&m);
		assert_int_equal(hear(&m, 0, text), AGENT_READY);
		if (i == 0)
			assert_int_equal(agent_put(&out, AGENT_SHUTDOWN, 0, NULL, 0), 0);
		else if (i == 1)
			run_put(&out, 1, "die", NULL);
		else
			fd_drop(&m.fd);
		if (out.len)
			say(&m, &out);
		assert_true(has_ended(&m));
		assert_int_equal(fake_driver.end_reason(m.priv, text, sizeof(text)), VM_END_LOST);
		assert_string_equal(text, "the fake machine ended");
		end(&m);
	}
	fake_driver.free(NULL);
}

static void killed_when_freed(void **state)
{
	struct machine m;
	pid_t pid;

	(void)state;
	launch(&m);
	pid = fake_driver.pid(m.priv);
	end(&m);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

static void found_by_name(void **state)
{
	static const struct {
		const char *name, *want;
	} t[] = { { "fake", "fake" }, { "qemu", "qemu" }, { "kvm", "kvm" }, { "auto", NULL },
		  { "", NULL },       { "QEMU", NULL },   { "fake ", NULL } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = { 0 };
		const struct vm_driver_ops *d = vm_driver_find(t[i].name, &e);

		if (t[i].want)
			assert_string_equal(d->name, t[i].want);
		else
			assert_true(!d && e.code == EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs),      cmocka_unit_test(signals),
		cmocka_unit_test(ends),          cmocka_unit_test(killed_when_freed),
		cmocka_unit_test(found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
