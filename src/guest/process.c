/* SPDX-License-Identifier: MIT */
/*
 * process.c - user, capabilities, directory, exec
 *
 * Runs in a child that is already inside the app's namespaces. The files it reads there are the
 * image's: a fifo, a device or an endless file must neither hang nor fill it.
 */
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fdio.h"
#include "guest_internal.h"

#define USER_FILE_MAX (1U << 20)
#define DEFAULT_PATH  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What container engines leave to root. */
static const uint8_t kept_caps[] = {
	CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_FSETID,      CAP_FOWNER,          CAP_MKNOD,
	CAP_NET_RAW, CAP_SETGID,       CAP_SETUID,      CAP_SETFCAP,         CAP_SETPCAP,
	CAP_KILL,    CAP_SYS_CHROOT,   CAP_AUDIT_WRITE, CAP_NET_BIND_SERVICE
};

/* A regular file of the image; "" when it is missing, no file, or too large. */
static void image_file_read(const char *path, struct buf *b)
{
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	b->max = USER_FILE_MAX;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || fd_read_all(fd, b) < 0)
		buf_clear(b);
	if (memchr(b->data ? b->data : "", '\0', b->len))
		buf_clear(b); /* no text file */
}

static int user_find(const char *spec, struct user_ids *ids, struct err *e)
{
	auto_buf passwd = { 0 };
	auto_buf group = { 0 };

	image_file_read("/etc/passwd", &passwd);
	image_file_read("/etc/group", &group);
	return user_lookup(spec, passwd.data ? passwd.data : "", group.data ? group.data : "", ids,
			   e);
}

static int bounding_drop(void)
{
	uint64_t keep = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kept_caps); i++)
		keep |= 1ULL << kept_caps[i];
	for (unsigned c = 0; c < 64; c++)
		if (!(keep >> c & 1) && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
			return errno == EINVAL
				       ? 0
				       : -errno; /* past the last one that this kernel has */
	return 0;
}

static int user_become(const struct user_ids *ids, bool privileged, struct err *e)
{
	if (!privileged && bounding_drop() < 0)
		return err_set(e, errno, "drop capabilities");
	if (setgroups(ids->n_groups, ids->groups) < 0 ||
	    setresgid(ids->gid, ids->gid, ids->gid) < 0 ||
	    setresuid(ids->uid, ids->uid, ids->uid) < 0)
		return err_set(e, errno, "become user %u", ids->uid);
	return 0;
}

static int io_place(const struct process_io *io, const struct agent_run *r, struct err *e)
{
	if (setsid() < 0 && errno != EPERM)
		return err_set(e, errno, "setsid");
	if (dup2(io->in, 0) < 0 || dup2(io->out, 1) < 0 || dup2(io->err, 2) < 0)
		return err_set(e, errno, "place descriptors");
	if (io->is_tty) {
		struct winsize ws = { .ws_row = r->rows, .ws_col = r->cols };

		if (ioctl(0, TIOCSCTTY, 0) < 0)
			return err_set(e, errno, "controlling terminal");
		if (r->rows && r->cols)
			(void)ioctl(0, TIOCSWINSZ, &ws); /* a terminal of no size works, too */
	}
	if (syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) < 0)
		return err_set(e, errno, "close_range");
	return 0;
}

static int directory_enter(const struct agent_run *r, struct err *e)
{
	const char *cwd = *r->cwd ? r->cwd : "/";

	if (chdir(cwd) == 0)
		return 0;
	if (errno != ENOENT || !(r->flags & AGENT_RUN_MAIN) ||
	    dir_make_at(AT_FDCWD, cwd, 0755, e) < 0 || chdir(cwd) < 0)
		return err_set(e, errno, "chdir to cwd (\"%s\")", cwd);
	return 0;
}

static const char *env_find(const struct agent_strings *env, const char *name)
{
	size_t n = strlen(name);

	for (uint32_t i = env->n; i-- > 0;)
		if (!strncmp(env->v[i], name, n) && env->v[i][n] == '=')
			return env->v[i] + n + 1;
	return NULL;
}

/* The environment, with HOME where it has none. `home` outlives the call. */
static const char **env_complete(const struct agent_strings *env, char *home)
{
	const char **v = calloc((size_t)env->n + 2, sizeof(*v));

	if (!v)
		return NULL;
	memcpy(v, env->v, env->n * sizeof(*v));
	if (!env_find(env, "HOME"))
		v[env->n] = home;
	return v;
}

/* The exit code that shells and container engines give for a failed exec. */
static int exec_code(int error)
{
	return error == ENOENT || error == ENOTDIR ? 127 : 126;
}

static int exec_failed(const char *name, int error, bool was_searched, char *text, size_t len)
{
	if (was_searched && error == ENOENT)
		snprintf(text, len, "exec: \"%s\": executable file not found in $PATH", name);
	else if (was_searched)
		snprintf(text, len, "exec: \"%s\": %s", name,
			 error == EACCES ? "permission denied" : strerror(error));
	else
		snprintf(text, len, "exec: \"%s\": stat %s: %s", name, name,
			 error == ENOENT   ? "no such file or directory"
			 : error == EACCES ? "permission denied"
					   : strerror(error));
	return exec_code(error);
}

/* execve through PATH, remembering that something was there but could not be executed. */
static int exec_program(const struct agent_run *r, const char **env, char *text, size_t len)
{
	const char *name = r->argv.v[0], *path = env_find(&r->env, "PATH");
	int error = ENOENT;

	if (strchr(name, '/')) {
		execve(name, (char *const *)r->argv.v, (char *const *)env);
		return exec_failed(name, errno, false, text, len);
	}
	for (const char *p = path ? path : DEFAULT_PATH; *name && *p;) {
		size_t n = strcspn(p, ":");
		char full[4096];

		if (snprintf(full, sizeof(full), "%.*s/%s", (int)n, n ? p : ".", name) <
		    (int)sizeof(full)) {
			execve(full, (char *const *)r->argv.v, (char *const *)env);
			if (errno != ENOENT && errno != ENOTDIR)
				error = errno;
		}
		p += n + (p[n] == ':');
	}
	return exec_failed(name, error, true, text, len);
}

static void signals_reset(void)
{
	sigset_t none;

	sigemptyset(&none);
	for (int i = 1; i < 32; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int process_become(const struct agent_run *r, const struct process_io *io, char *text, size_t len)
{
	struct err e = { 0 };
	struct user_ids ids;
	char home[300];
	const char **env;
	int code;

	signals_reset();
	umask(022);
	if (user_find(r->user, &ids, &e) < 0 || io_place(io, r, &e) < 0) {
		snprintf(text, len, "%s", e.msg);
		return 125;
	}
	if (io->is_tty && fchown(0, ids.uid, (gid_t)-1) < 0) {
		snprintf(text, len, "own the terminal: %s", strerror(errno));
		return 125;
	}
	if (directory_enter(r, &e) < 0 ||
	    user_become(&ids, r->flags & AGENT_RUN_PRIVILEGED, &e) < 0) {
		snprintf(text, len, "%s", e.msg);
		return 126;
	}
	snprintf(home, sizeof(home), "HOME=%s", *ids.home ? ids.home : "/");
	env = env_complete(&r->env, home);
	if (!env) {
		snprintf(text, len, "out of memory");
		return 125;
	}
	code = exec_program(r, env, text, len);
	free(env);
	return code;
}
