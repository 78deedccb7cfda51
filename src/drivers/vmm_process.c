/* SPDX-License-Identifier: MIT */
/* vmm_process.c - see vmm_process.h */
#include "vmm_process.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "child.h"
#include "fdio.h"

#define LAST_WORDS_MAX 4096U
#define OPEN_FILES_MAX 4096U
#define FDS_MAX        CHILD_FDS_MAX

struct confinement {
	uid_t uid;
	gid_t gid, extra_gid;
	bool shuts_itself_in;
};

/* Runs in the child before exec. */
static int sandbox_child(void *arg)
{
	const struct confinement *c = arg;
	struct rlimit no_core = { 0, 0 }, files = { OPEN_FILES_MAX, OPEN_FILES_MAX };

	/*
	 * Its own, empty network: the machine's packets go through a socket it was given. An
	 * ordinary user needs a user namespace for it, which some hosts refuse.
	 */
	if (!c->shuts_itself_in &&
	    unshare(c->uid ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0 && c->uid)
		return -errno;
	if (setrlimit(RLIMIT_CORE, &no_core) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	if (c->uid &&
	    (setgroups(c->extra_gid != 0, &c->extra_gid) < 0 ||
	     setresgid(c->gid, c->gid, c->gid) < 0 || setresuid(c->uid, c->uid, c->uid) < 0))
		return -errno;
	/* Lost by setresuid: killed with us, always. */
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

static int stderr_pipe(int ret[2], struct err *e)
{
	if (pipe2(ret, O_CLOEXEC) < 0 || fd_set_nonblock(ret[0], true) < 0 ||
	    fd_set_nonblock(ret[1], true) < 0)
		return err_set(e, errno, "pipe");
	return 0;
}

int vmm_process_start(struct vmm_process *p, const struct vmm_process_spec *s, struct err *e)
{
	struct confinement c = { s->uid, s->gid, s->extra_gid, s->shuts_itself_in };
	const char *env[] = { "PATH=/usr/bin:/bin", "LC_ALL=C", s->trace, NULL };
	int fds[FDS_MAX], errs[2] = { -1, -1 };
	struct child_spec spec = { .path = s->program,
				   .argv = s->argv,
				   .env = env,
				   .fds = fds,
				   .n_fds = s->n_fds,
				   .flags = CHILD_DIE_WITH_PARENT | CHILD_NO_NEW_PRIVS |
					    (s->shuts_itself_in ? CHILD_OWN_PIDS : 0U),
				   .setup = sandbox_child,
				   .setup_arg = &c };
	int rc;

	*p = (struct vmm_process)VMM_PROCESS_NONE;
	if (s->n_fds < 3 || s->n_fds > FDS_MAX)
		return err_plain(e, E2BIG, "%zu descriptors for the virtual machine monitor",
				 s->n_fds);
	rc = stderr_pipe(errs, e);
	if (rc == 0) {
		memcpy(fds, s->fds, s->n_fds * sizeof(*fds));
		fds[2] = s->trace ? STDERR_FILENO : errs[1];
		rc = child_spawn(&spec, &p->pid, &p->pidfd, e);
	}
	if (rc == 0)
		p->stderr_fd = TAKE_FD(errs[0]);
	fd_drop(&errs[0]);
	fd_drop(&errs[1]);
	return rc;
}

static void reap(struct vmm_process *p)
{
	if (p->is_reaped || p->pid <= 0)
		return;
	while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR)
		;
	p->is_reaped = true;
}

/* The last line that it wrote, control bytes escaped. */
static void last_words(struct vmm_process *p, char *buf, size_t len)
{
	char text[LAST_WORDS_MAX + 1];
	ssize_t n, total = 0;
	char *line, *end;
	size_t at = 0;

	while ((n = read(p->stderr_fd, text + total, LAST_WORDS_MAX - (size_t)total)) > 0)
		total += n;
	text[total] = '\0';
	end = text + total;
	while (end > text && end[-1] == '\n')
		*--end = '\0';
	line = memrchr(text, '\n', (size_t)(end - text));
	line = line ? line + 1 : text;
	for (; *line && at + 5 < len; line++) {
		unsigned char c = (unsigned char)*line;

		if (c < 0x20 || c == 0x7f)
			at += (size_t)snprintf(buf + at, len - at, "\\x%02x", c);
		else
			buf[at++] = (char)c;
	}
	buf[at] = '\0';
}

enum vm_end vmm_process_end_reason(struct vmm_process *p, char *buf, size_t len)
{
	char words[300] = "";

	reap(p);
	last_words(p, words, sizeof(words));
	if (WIFSIGNALED(p->status))
		snprintf(buf, len, "the virtual machine monitor was killed by signal %d%s%s",
			 WTERMSIG(p->status), *words ? ": " : "", words);
	else if (WEXITSTATUS(p->status) || *words)
		snprintf(buf, len, "the virtual machine monitor ended with exit code %d%s%s",
			 WEXITSTATUS(p->status), *words ? ": " : "", words);
	else
		snprintf(buf, len, "the machine powered off");
	return p->status ? VM_END_LOST : VM_END_OFF;
}

void vmm_process_done(struct vmm_process *p)
{
	if (p->pid > 0 && !p->is_reaped) {
		kill(p->pid, SIGKILL);
		reap(p);
	}
	fd_drop(&p->pidfd);
	fd_drop(&p->stderr_fd);
}
