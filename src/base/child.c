/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "buf.h"
#include "fdio.h"

extern char **environ;

/* Move the wanted descriptors to 0..n-1. First away from that range, so that none is overwritten.
 */
static int fds_place(const struct child_spec *s, int *report_fd)
{
	int tmp[CHILD_FDS_MAX];
	int base = (int)s->n_fds + 1;
	int moved_fd = fcntl(*report_fd, F_DUPFD_CLOEXEC, base);

	if (moved_fd < 0)
		return -errno; /* the report goes where it went */
	*report_fd = moved_fd;
	for (size_t i = 0; i < s->n_fds; i++) {
		int from = s->fds[i];
		int null = from < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;

		tmp[i] = fcntl(from < 0 ? null : from, F_DUPFD_CLOEXEC, base);
		if (tmp[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < s->n_fds; i++)
		if (dup2(tmp[i], (int)i) < 0)
			return -errno;
	return 0;
}

static void signals_reset(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &dfl, NULL); /* KILL, STOP and libc's own refuse */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* After prctl(): a parent that died before it reads no report. */
static bool parent_is_there(int report_fd)
{
	struct pollfd p = { .fd = report_fd };

	return poll(&p, 1, 0) == 0;
}

static int file_say(const char *path, const char *text)
{
	auto_fd fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Of a new user namespace: who is nobody there may not make another. */
static int user_map(uid_t uid, gid_t gid)
{
	char users[32], groups[32];
	int rc = file_say("/proc/self/setgroups", "deny");

	snprintf(users, sizeof(users), "%u %u 1", uid, uid);
	snprintf(groups, sizeof(groups), "%u %u 1", gid, gid);
	if (rc == 0)
		rc = file_say("/proc/self/uid_map", users);
	return rc < 0 ? rc : file_say("/proc/self/gid_map", groups);
}

/* `ret_program_fd` is above what the program gets. */
static int child_prepare(const struct child_spec *s, int *report_fd, int *ret_program_fd)
{
	int rc;

	signals_reset();
	if (s->flags & CHILD_NEW_SESSION) {
		if (setsid() < 0)
			return -errno;
	} else if (!(s->flags & CHILD_SAME_GROUP) && setpgid(0, 0) < 0) {
		return -errno;
	}
	if (s->flags & CHILD_DIE_WITH_PARENT) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			return -errno;
		if (!parent_is_there(*report_fd))
			return -ESRCH;
	}
	rc = fds_place(s, report_fd);
	if (rc < 0)
		return rc;
	/* Everything else closes at exec; close_range marks what a library forgot. */
	if (syscall(SYS_close_range, (unsigned)s->n_fds, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) < 0)
		return -errno;
	if ((s->flags & CHILD_NO_NEW_PRIVS) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (s->setup && strchr(s->path, '/'))
		*ret_program_fd = open(s->path, O_PATH | O_CLOEXEC);
	return s->setup ? s->setup(s->setup_arg) : 0;
}

static _Noreturn void child_main(const struct child_spec *s, int user_rc, int report_fd)
{
	char *const *env = s->env ? (char *const *)s->env : environ;
	int program_fd = -1;
	int rc = user_rc < 0 ? user_rc : child_prepare(s, &report_fd, &program_fd);

	if (rc == 0) {
		execvpe(s->path, (char *const *)s->argv, env);
		/* Who it has become may not go where it is: to somebody's home, say. */
		if (errno == EACCES && program_fd >= 0)
			execveat(program_fd, "", (char *const *)s->argv, env, AT_EMPTY_PATH);
		rc = -errno;
	}
	if (write(report_fd, &rc, sizeof(rc)) < 0)
		_exit(126);
	_exit(127);
}

/* What the child said before exec; 0 when it has said nothing, so runs. */
static int report_read(int fd)
{
	int said = 0;
	int rc = fd_read_full(fd, &said, sizeof(said));

	if (rc == -ENODATA)
		return 0; /* closed by exec */
	return rc < 0 ? rc : said;
}

/* fork(), but by the kernel's own call, which takes flags. The child only gets itself ready. */
static pid_t fork_apart(int *ret_user_rc)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	const long flags = SIGCHLD | CLONE_NEWPID | (uid ? CLONE_NEWUSER : 0);
	const pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, 0);

	if (pid == 0 && uid)
		*ret_user_rc = user_map(uid, gid);
	return pid < 0 ? fork() : pid;
}

int child_spawn(const struct child_spec *s, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	sigset_t all, old;
	int report[2], rc = 0, user_rc = 0;
	pid_t pid;

	if (s->n_fds > CHILD_FDS_MAX)
		return err_plain(e, EINVAL, "start %s: too many descriptors", s->path);
	if (pipe2(report, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old); /* no handler of ours may run in the child */
	pid = s->flags & CHILD_OWN_PIDS ? fork_apart(&user_rc) : fork();
	if (pid == 0) {
		close(report[0]);
		child_main(s, user_rc, report[1]);
	}
	rc = pid < 0 ? -errno : 0;
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(report[1]);
	if (rc == 0)
		rc = report_read(report[0]);
	close(report[0]);
	if (rc == 0 && ret_pidfd) {
		*ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		rc = *ret_pidfd < 0 ? -errno : 0;
	}
	if (rc < 0) {
		if (pid > 0) {
			kill(pid, SIGKILL); /* it may run, unheard */
			waitpid(pid, NULL, 0);
		}
		return err_set(e, -rc, "start %s", s->path);
	}
	*ret_pid = pid;
	return 0;
}

int child_wait(pid_t pid, int *ret_status, struct err *e)
{
	int st;

	while (waitpid(pid, &st, 0) < 0)
		if (errno != EINTR)
			return err_set(e, errno, "wait for process %d", (int)pid);
	*ret_status = WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
	return 0;
}

int child_run(const char *const *argv, struct buf *out, int *ret_status, struct err *e)
{
	int p[2] = { -1, -1 };
	struct child_spec s = { .path = argv[0],
				.argv = argv,
				.n_fds = 3,
				.flags = CHILD_DIE_WITH_PARENT | CHILD_SAME_GROUP };
	pid_t pid;
	int rc, read_rc = 0;

	if (out && pipe2(p, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe");
	s.fds = (int[]){ -1, out ? p[1] : STDERR_FILENO, STDERR_FILENO };
	rc = child_spawn(&s, &pid, NULL, e);
	fd_drop(&p[1]);
	if (rc == 0 && out)
		read_rc = fd_read_all(p[0], out);
	fd_drop(&p[0]);
	if (rc < 0)
		return rc;
	if (child_wait(pid, ret_status, e) < 0)
		return -e->code;
	return read_rc < 0 ? err_set(e, -read_rc, "read output of %s", argv[0]) : 0;
}
