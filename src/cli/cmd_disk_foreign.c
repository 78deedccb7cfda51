/* SPDX-License-Identifier: MIT */
/*
 * cmd_disk_foreign.c - qcow2, VMDK and VHDX, through qemu-img in the sandbox of caisson-foreign
 *
 * Such an image may name other files: a backing file, a data file, extents. A hostile one names
 * the user's secrets, which would be in the result. caisson-foreign has the one file, and its
 * qemu-img can open no other; what `qemu-img info` finds to be in more than the one file is
 * refused before anything is converted, so that the result is the whole image or an error.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "child.h"
#include "cmd_disk.h"
#include "fdio.h"
#include "foreign_info.h"

#define WORKER     "caisson-foreign"
#define WORDS_SIZE 4096U

struct job {
	const char *libexec, *name; /* of the image, for people */
	const char *what, *format;
	int in_fd, out_fd; /* -1: none */
};

/* stdout until its end or the limit, which ends the worker as well; it is waited for in any case.
 */
static int job_end(pid_t pid, int out_fd, struct buf *out, int *ret_status, struct err *e)
{
	int rc = out ? fd_read_all(out_fd, out) : 0;

	if (rc < 0)
		kill(pid, SIGKILL);
	if (child_wait(pid, ret_status, e) < 0)
		return -e->code;
	return rc < 0 ? err_set(e, -rc, "read what qemu-img says") : 0;
}

static int job_fail(const struct job *j, int words_fd, int status, struct err *e)
{
	char text[WORDS_SIZE], words[FOREIGN_WORDS_MAX];
	ssize_t n = read(words_fd, text, sizeof(text));

	foreign_words(text, n > 0 ? (size_t)n : 0, words);
	if (foreign_words_name_file(words))
		return err_plain(e, EINVAL,
				 "%.150s: it names other files (a data file, extents); that is not "
				 "followed (%s)",
				 j->name, words);
	if (*words)
		return err_plain(e, EIO, "%.150s: qemu-img: %s", j->name, words);
	return err_plain(e, EIO, "%.150s: qemu-img ended with %d", j->name, status);
}

static void pipe_drop(int p[2])
{
	fd_drop(&p[0]);
	fd_drop(&p[1]);
}

static int job_run(const struct job *j, struct buf *out, struct err *e)
{
	char path[PATH_MAX];
	const char *const argv[] = { WORKER, j->what, j->format, NULL };
	int outs[2] = { -1, -1 }, words[2] = { -1, -1 }, status = 0, rc;
	struct child_spec s = {
		.path = path,
		.argv = argv,
		.n_fds = j->out_fd < 0 ? 4 : 5,
		.flags = CHILD_DIE_WITH_PARENT | CHILD_SAME_GROUP | CHILD_NO_NEW_PRIVS,
	};
	pid_t pid;

	if ((size_t)snprintf(path, sizeof(path), "%s/" WORKER, j->libexec) >= sizeof(path))
		return err_set(e, ENAMETOOLONG, "%s", j->libexec);
	/* who says more than a pipe holds is not heard, and not waited for */
	if ((out && pipe2(outs, O_CLOEXEC) < 0) || pipe2(words, O_CLOEXEC | O_NONBLOCK) < 0) {
		rc = err_set(e, errno, "pipe");
		pipe_drop(outs);
		return rc;
	}
	s.fds = (int[]){ -1, outs[1], words[1], j->in_fd, j->out_fd };
	rc = child_spawn(&s, &pid, NULL, e);
	fd_drop(&outs[1]);
	fd_drop(&words[1]);
	if (rc == 0)
		rc = job_end(pid, outs[0], out, &status, e);
	if (rc == 0 && status)
		rc = job_fail(j, words[0], status, e);
	pipe_drop(outs);
	pipe_drop(words);
	return rc;
}

/* A device, a pipe: qemu-img reads no such image here. */
static int file_open(const char *path, int flags, int *ret_fd, struct err *e)
{
	auto_fd fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, errno, "%.300s", path);
	if (!S_ISREG(st.st_mode))
		return err_plain(e, EINVAL, "%.300s: no regular file", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int info_get(const struct job *j, struct err *e)
{
	struct job info = *j;
	auto_buf out = BUF_LIMIT(FOREIGN_INFO_MAX);

	info.what = "info";
	info.out_fd = -1;
	if (job_run(&info, &out, e) < 0)
		return -e->code;
	return foreign_info_check(out.data ? out.data : "", out.len, j->format, e) < 0
		       ? err_wrap(e, "%.150s", j->name)
		       : 0;
}

int disk_foreign_to_raw(const char *libexec, const char *from, enum disk_format format,
			const char *to, struct err *e)
{
	auto_fd in = -1;
	auto_fd out = -1;
	struct job j = { libexec, from, "to-raw", disk_format_name(format), -1, -1 };

	if (file_open(from, O_RDONLY, &in, e) < 0 || file_open(to, O_RDWR, &out, e) < 0)
		return -e->code;
	j.in_fd = in;
	j.out_fd = out;
	return info_get(&j, e) < 0 ? -e->code : job_run(&j, NULL, e);
}

int disk_foreign_from_raw(const char *libexec, const char *from, const char *to,
			  enum disk_format format, struct err *e)
{
	auto_fd in = -1;
	auto_fd out = -1;
	struct job j = { libexec, from, "from-raw", disk_format_name(format), -1, -1 };

	if (file_open(from, O_RDONLY, &in, e) < 0 || file_open(to, O_RDWR, &out, e) < 0)
		return -e->code;
	j.in_fd = in;
	j.out_fd = out;
	return job_run(&j, NULL, e);
}
