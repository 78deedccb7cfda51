/* SPDX-License-Identifier: MIT */
/*
 * vhd_io.c - operations on a disk, timed: what bench/vhd sets beside qemu-io
 *
 *   vhd_io run [-w] [-d DEPTH] [-t TIMES] (vhd|plain) FILE   lists of operations from standard
 * input vhd_io create FILE SIZE | child FILE PARENT | same A B | memory FILE | layers DIR PARENT N
 *
 * A list is lines of "r OFFSET LENGTH" and "w OFFSET LENGTH [BYTE]"; "go" does it TIMES times, "go
 * flush" with one flush behind it, and prints the nanoseconds that each time took and those of
 * processor time. The file stays open for the next list. DEPTH threads take one operation after the
 * other; the clock starts when all are there and may begin. "plain" is pread(), pwrite() and
 * fdatasync(): the least that a file costs.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "vhd.h"

#define LENGTH_MAX (1U << 20)
#define DEPTH_MAX  64U

struct op {
	uint64_t off;
	uint32_t len;
	bool is_write;
	uint8_t byte;
};

struct run {
	struct vhd *vhd; /* or else fd */
	int fd;
	unsigned int depth, times;
	struct op *ops;
	size_t n_ops, n_room;
	atomic_size_t next;
	atomic_bool has_failed;
	pthread_barrier_t ready, start;
};

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "vhd_io: %s: %s\n", what, why);
	return 1;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* ---- run ---- */

static bool op_do(struct run *r, const struct op *op, uint8_t *buf)
{
	struct vhd_err e = { 0 };
	ssize_t n;
	int rc;

	if (op->is_write && buf[0] != op->byte)
		memset(buf, op->byte, op->len);
	if (r->vhd) {
		rc = op->is_write ? vhd_write(r->vhd, buf, op->len, op->off, &e)
				  : vhd_read(r->vhd, buf, op->len, op->off, &e);
		return rc == 0 || (fail("vhd", e.msg), false);
	}
	n = op->is_write ? pwrite(r->fd, buf, op->len, (off_t)op->off)
			 : pread(r->fd, buf, op->len, (off_t)op->off);
	return n == (ssize_t)op->len || (fail("plain", n < 0 ? strerror(errno) : "short"), false);
}

static void *worker(void *arg)
{
	struct run *r = arg;
	uint8_t *buf = aligned_alloc(4096, LENGTH_MAX);
	size_t i;

	if (buf)
		memset(buf, 0x5a, LENGTH_MAX);
	else
		r->has_failed = true;
	if (r->depth > 1) {
		pthread_barrier_wait(&r->ready);
		pthread_barrier_wait(&r->start);
	}
	while (!r->has_failed && (i = atomic_fetch_add(&r->next, 1)) < r->n_ops * r->times)
		if (!op_do(r, &r->ops[i % r->n_ops], buf))
			r->has_failed = true;
	free(buf);
	return NULL;
}

static bool flush(struct run *r)
{
	struct vhd_err e = { 0 };

	if (!r->vhd)
		return fdatasync(r->fd) == 0 || (fail("plain", strerror(errno)), false);
	return vhd_flush(r->vhd, &e) == 0 || (fail("vhd", e.msg), false);
}

static bool list_do(struct run *r, bool is_flushing)
{
	pthread_t threads[DEPTH_MAX];
	uint64_t wall, cpu;

	r->next = 0;
	for (unsigned int i = 0; r->depth > 1 && i < r->depth; i++)
		if (pthread_create(&threads[i], NULL, worker, r) != 0)
			exit(fail("thread", strerror(errno)));
	if (r->depth > 1)
		pthread_barrier_wait(&r->ready);
	wall = clock_ns(CLOCK_MONOTONIC);
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (r->depth > 1)
		pthread_barrier_wait(&r->start);
	else
		worker(r);
	for (unsigned int i = 0; r->depth > 1 && i < r->depth; i++)
		pthread_join(threads[i], NULL);
	if (r->has_failed || (is_flushing && !flush(r)))
		return false;
	wall = clock_ns(CLOCK_MONOTONIC) - wall;
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%llu %llu\n", (unsigned long long)wall / r->times,
	       (unsigned long long)cpu / r->times);
	fflush(stdout);
	r->n_ops = 0;
	return true;
}

static bool op_add(struct run *r, const char *line)
{
	unsigned long long off;
	unsigned int len, byte = 0x5a;
	char kind;

	if (sscanf(line, "%c %llu %u %u", &kind, &off, &len, &byte) < 3 || len > LENGTH_MAX ||
	    (kind != 'r' && kind != 'w'))
		return fail("no operation", line), false;
	if (r->n_ops == r->n_room) {
		r->n_room = r->n_room ? 2 * r->n_room : 1024;
		r->ops = realloc(r->ops, r->n_room * sizeof(*r->ops));
		if (!r->ops)
			return fail("list", strerror(ENOMEM)), false;
	}
	r->ops[r->n_ops++] = (struct op){
		.off = off, .len = len, .is_write = kind == 'w', .byte = (uint8_t)byte
	};
	return true;
}

static int lists_do(struct run *r)
{
	char line[128];
	bool is_good = true;

	while (is_good && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "go") == 0 || strcmp(line, "go flush") == 0)
			is_good = list_do(r, line[2] != '\0');
		else
			is_good = op_add(r, line);
	}
	return is_good ? 0 : 1;
}

static int cmd_run(int argc, char **argv)
{
	struct vhd_open_options o = { 0 };
	struct run r = { .depth = 1, .times = 1, .fd = -1 };
	struct vhd_err e = { 0 };
	int opt, rc;

	while ((opt = getopt(argc, argv, "wd:t:")) != -1) {
		if (opt == 'w')
			o.flags |= VHD_OPEN_WRITE;
		else if (opt == 'd')
			r.depth = (unsigned int)strtoul(optarg, NULL, 10);
		else if (opt == 't')
			r.times = (unsigned int)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (argc - optind != 2 || r.depth < 1 || r.depth > DEPTH_MAX || r.times < 1)
		return fail("run", "[-w] [-d DEPTH] [-t TIMES] (vhd|plain) FILE");
	if (strcmp(argv[optind], "plain") == 0)
		r.fd = open(argv[optind + 1], (o.flags ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	else if (vhd_open(argv[optind + 1], &o, &r.vhd, &e) < 0)
		return fail("open", e.msg);
	if (!r.vhd && r.fd < 0)
		return fail(argv[optind + 1], strerror(errno));
	pthread_barrier_init(&r.ready, NULL, r.depth + 1);
	pthread_barrier_init(&r.start, NULL, r.depth + 1);
	rc = lists_do(&r);
	pthread_barrier_destroy(&r.ready);
	pthread_barrier_destroy(&r.start);
	free(r.ops);
	fd_drop(&r.fd);
	return vhd_close(r.vhd, &e) < 0 ? fail("close", e.msg) : rc;
}

/* ---- images ---- */

static int cmd_create(int argc, char **argv)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .is_replacing = true };
	struct vhd_err e = { 0 };

	if (argc != 3)
		return fail("create", "FILE SIZE");
	o.size = strtoull(argv[2], NULL, 10);
	return vhd_create(argv[1], &o, &e) < 0 ? fail("create", e.msg) : 0;
}

static int cmd_child(int argc, char **argv)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DIFFERENCING, .is_replacing = true };
	struct vhd_err e = { 0 };

	if (argc != 3)
		return fail("child", "FILE PARENT");
	o.parent = argv[2];
	return vhd_create(argv[1], &o, &e) < 0 ? fail("child", e.msg) : 0;
}

static int range_seen(void *ctx, uint64_t off, uint64_t len)
{
	(void)len;
	(void)ctx;
	fprintf(stderr, "vhd_io: they differ at %llu\n", (unsigned long long)off);
	return -ECANCELED;
}

/* Do a VHD and a file of plain bytes read the same? */
static int cmd_same(int argc, char **argv)
{
	const struct vhd_open_options raw = { .flags = VHD_OPEN_RAW };
	struct vhd *a = NULL, *b = NULL;
	struct vhd_err e = { 0 }, ignored = { 0 };
	int rc;

	if (argc != 3)
		return fail("same", "VHD FILE");
	rc = vhd_open(argv[1], NULL, &a, &e);
	if (rc == 0)
		rc = vhd_open(argv[2], &raw, &b, &e);
	if (rc == 0)
		rc = vhd_diff(a, b, range_seen, NULL, NULL, &e);
	(void)vhd_close(b, &ignored); /* read-only: there is nothing to fail */
	(void)vhd_close(a, &ignored);
	return rc < 0 ? fail("same", e.msg) : 0;
}

static long rss_kib(void)
{
	auto_file f = fopen("/proc/self/statm", "re");
	long size = 0, pages = 0;

	if (!f || fscanf(f, "%ld %ld", &size, &pages) != 2)
		return -1;
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* KiB of resident memory that opening an image brings. */
static int cmd_memory(int argc, char **argv)
{
	const struct vhd_open_options o = { .flags = VHD_OPEN_WRITE };
	struct vhd_err e = { 0 };
	struct vhd *v;
	long before;

	if (argc != 2)
		return fail("memory", "FILE");
	before = rss_kib();
	if (vhd_open(argv[1], &o, &v, &e) < 0)
		return fail("open", e.msg);
	printf("%ld\n", rss_kib() - before);
	return vhd_close(v, &e) < 0 ? fail("close", e.msg) : 0;
}

/* As a machine's layer is made (src/disk/disk.c): the parent is opened for each, nothing is synced.
 */
static int layer_make(const char *parent_path, const char *path, struct vhd_err *e)
{
	struct vhd_create_options o = { .type = VHD_TYPE_DIFFERENCING, .parent_name = "parent" };
	struct vhd *parent = NULL;
	struct vhd_io *io = NULL;
	struct vhd_err ignored;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc;

	rc = vhd_io_file(fd, path, &io, e);
	if (rc == 0)
		rc = vhd_open(parent_path, NULL, &parent, e);
	if (rc == 0)
		rc = vhd_create_io(io, parent, &o, e);
	(void)vhd_close(parent, &ignored); /* only read */
	vhd_io_close(io);
	return rc;
}

/* Differencing images over one parent: microseconds of system time, of any, and KiB of each. */
static int cmd_layers(int argc, char **argv)
{
	unsigned long n = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	struct vhd_err e = { 0 };
	struct rusage a, b;
	uint64_t wall = clock_ns(CLOCK_MONOTONIC), blocks = 0;
	struct stat st;
	char path[4096];

	if (n == 0)
		return fail("layers", "DIR PARENT N");
	getrusage(RUSAGE_SELF, &a);
	for (unsigned long i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/layer-%lu.vhd", argv[1], i);
		if (layer_make(argv[2], path, &e) < 0)
			return fail("layer", e.msg);
	}
	getrusage(RUSAGE_SELF, &b);
	wall = clock_ns(CLOCK_MONOTONIC) - wall;
	for (unsigned long i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/layer-%lu.vhd", argv[1], i);
		if (stat(path, &st) == 0)
			blocks += (uint64_t)st.st_blocks;
		unlink(path);
	}
	printf("%.1f %.1f %.1f\n",
	       ((double)(b.ru_stime.tv_sec - a.ru_stime.tv_sec) * 1e6 +
		(double)(b.ru_stime.tv_usec - a.ru_stime.tv_usec)) /
		       (double)n,
	       (double)wall / 1e3 / (double)n, (double)blocks / 2 / (double)n);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*call)(int argc, char **argv);
	} cmds[] = {
		{ "run", cmd_run },   { "create", cmd_create }, { "child", cmd_child },
		{ "same", cmd_same }, { "memory", cmd_memory }, { "layers", cmd_layers },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(cmds) / sizeof(cmds[0]); i++)
		if (strcmp(argv[1], cmds[i].name) == 0)
			return cmds[i].call(argc - 1, argv + 1);
	return fail("usage", "vhd_io run|create|child|same|memory|layers ...");
}
