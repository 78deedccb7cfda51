/* SPDX-License-Identifier: MIT */
/*
 * vmm_start.c - starts machines and takes times: what bench/vmm runs beside a real KVM, as root
 *
 *   vmm_start [OPTION...] ROW PEER...
 *   -n ROUNDS  -m MIB  -k KERNEL  -i INITRD  -d DISK  -c CLONES  -o OPERATIONS  -t TAP  -s SECONDS
 *
 * Prints lines of "PEER VALUE KEY"; times in microseconds, memory in KiB, disks in operations a
 * second, networks in bits a second. Peers take turns. One that fails says why on stderr and is
 * left out from then on; the exit code is 1 then.
 *
 * We are a real-time process, and our children are not: so the time of exec and that of a mark are
 * taken when they happen, also where there is one processor.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "fdio.h"
#include "vmm_guest.h"

#define PEERS_MAX  4U
#define CLONES_MAX 200U
#define TIMEOUT_MS 180000U
#define BLK_MS     600000U
#define MANY_MS    300000U
#define SETTLE_S   5
#define NET_TRIES  20U
#define FAST_TICKS 200U
#define FEW_TICKS  60U /* of many at once: they disturb those that have not begun */
#define TRACE_LAST "vmm: runs"

struct bench {
	struct guest_setup setup;
	uint32_t rounds, clones, operations, seconds;
	const char *tap;
	struct guest_peer peers[PEERS_MAX];
	struct guest_template templates[PEERS_MAX];
	bool has_failed[PEERS_MAX];
	uint32_t n_peers;
};

struct row {
	const char *name;
	bool has_warmup;
	uint32_t n_fast; /* ticks of its template; 0: no template */
	must_check int (*round)(const struct bench *b, const struct guest_peer *p,
				const struct guest_template *t, bool counts, struct err *e);
};

static void say(const struct guest_peer *p, double value, const char *key)
{
	printf("%s %.3f %s\n", p->name, value, key);
	fflush(stdout);
}

/* ---- start ---- */

static int start_round(const struct bench *b, const struct guest_peer *p,
		       const struct guest_template *t, bool counts, struct err *e)
{
	struct guest_setup setup = b->setup;
	struct guest g;
	uint64_t at = 0;
	int rc;

	setup.has_own_memory = true;
	rc = guest_start(p, &setup, "tick,0", t, &g, e);

	if (rc == 0)
		rc = guest_wait(&g, t ? MARK_TICK : MARK_FIRST, TIMEOUT_MS, &at, e);
	if (rc == 0 && counts) {
		say(p, (double)(at - g.exec_ns) / 1e3, "exec");
		say(p, (double)(at - g.launch_ns) / 1e3, "launch");
	}
	guest_end(&g);
	return rc;
}

/* ---- memory ---- */

static int memory_round(const struct bench *b, const struct guest_peer *p,
			const struct guest_template *t, bool counts, struct err *e)
{
	struct guest_memory_use use;
	struct guest g;
	int rc = guest_start(p, &b->setup, "tick,0", t, &g, e);

	if (rc == 0)
		rc = guest_wait_idle(&g, e);
	if (rc == 0)
		rc = guest_memory_read(&g, &use, e);
	if (rc == 0 && counts) {
		say(p, (double)use.own, "own");
		say(p, (double)use.guest, "guest");
		say(p, (double)(use.own + use.guest), "all");
		say(p, (double)use.page_tables, "tables");
	}
	guest_end(&g);
	return rc;
}

/* ---- many at once ---- */

static double available_kib(void)
{
	auto_file f = fopen("/proc/meminfo", "re");
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "MemAvailable:", 13) == 0)
			return strtod(line + 13, NULL);
	return 0;
}

static int many_start(const struct bench *b, const struct guest_peer *p,
		      const struct guest_template *t, struct guest *g, struct err *e)
{
	for (uint32_t i = 0; i < b->clones; i++)
		if (guest_start(p, &b->setup, "", t, &g[i], e) < 0)
			return -e->code;
	return 0;
}

/* Each has ticked at least once. */
static int many_wait(uint32_t n, struct guest *g, uint64_t *ret_ns, struct err *e)
{
	const uint64_t until = guest_clock_ns() + MANY_MS * 1000000ULL;

	for (uint32_t i = 0; i < n; i++) {
		const uint64_t now = guest_clock_ns();
		const uint32_t left = now < until ? (uint32_t)((until - now) / 1000000U) : 0;

		if (guest_wait(&g[i], MARK_TICK, left, ret_ns, e) < 0)
			return err_wrap(e, "clone %u of %u", i + 1, n);
	}
	return 0;
}

static int many_memory(const struct bench *b, const struct guest *g, double before, struct err *e)
{
	struct guest_memory_use use;
	double sum = 0;

	for (uint32_t i = 0; i < b->clones; i++) {
		if (guest_memory_read(&g[i], &use, e) < 0)
			return -e->code;
		sum += (double)(use.own + use.guest);
	}
	say(g->peer, sum / b->clones, "private");
	say(g->peer, (before - available_kib()) / b->clones, "available");
	return 0;
}

static int many_round(const struct bench *b, const struct guest_peer *p,
		      const struct guest_template *t, bool counts, struct err *e)
{
	struct guest g[CLONES_MAX] = { 0 };
	const double before = available_kib();
	uint64_t begin = guest_clock_ns(), at = 0;
	int rc = many_start(b, p, t, g, e);

	(void)counts;
	if (rc == 0)
		rc = many_wait(b->clones, g, &at, e);
	if (rc == 0) {
		say(p, (double)(at - begin) / 1e3, "answered");
		nanosleep(&(struct timespec){ .tv_sec = SETTLE_S }, NULL);
		rc = many_memory(b, g, before, e);
	}
	for (uint32_t i = 0; i < b->clones; i++)
		guest_end(&g[i]);
	nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL); /* for their memory to be free */
	return rc;
}

/* ---- blk ---- */

static int blk_kinds(const struct bench *b, struct guest *g, bool counts, struct err *e)
{
	static const char *const keys[BLK_KINDS] = { "read 1", "write 1", "read 32", "write 32" };

	for (uint32_t i = 0; i < BLK_KINDS; i++) {
		uint64_t begin, end;

		if (guest_wait(g, MARK_BEGIN, BLK_MS, &begin, e) < 0 ||
		    guest_wait(g, MARK_END, BLK_MS, &end, e) < 0)
			return err_wrap(e, "%s", keys[i]);
		if (counts)
			say(g->peer, b->operations * 1e9 / (double)(end - begin), keys[i]);
	}
	return 0;
}

static int blk_round(const struct bench *b, const struct guest_peer *p,
		     const struct guest_template *t, bool counts, struct err *e)
{
	struct guest g;
	char what[32];
	int rc;

	snprintf(what, sizeof(what), "blk,%u", b->operations);
	rc = guest_start(p, &b->setup, what, t, &g, e);
	if (rc == 0)
		rc = blk_kinds(b, &g, counts, e);
	if (rc == 0 && counts)
		say(p, guest_has_ring(&g), "ring");
	guest_end(&g);
	return rc;
}

/* ---- net ---- */

static int tap_open(const char *name, int *ret_fd, struct err *e)
{
	auto_fd fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
		return err_set(e, errno, "tap %s", name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* What arrived at the other end, as iperf3 says; 0: it failed. */
static double iperf3_run(uint32_t seconds, const char *option)
{
	auto_buf b = BUF_LIMIT(4U << 20);
	char command[200];
	const char *at;
	FILE *f;

	snprintf(command, sizeof(command),
		 "exec iperf3 -J -c " NET_GUEST " -p " NET_PORT " -t %u -O 1 %s", seconds, option);
	f = popen(command, "re");
	if (!f)
		return 0;
	(void)!fd_read_all(fileno(f), &b); /* cut off, it lacks the sum */
	if (pclose(f) != 0 || buf_add(&b, "", 1) < 0)
		return 0;
	at = strstr(b.data, "\"sum_received\"");
	at = at ? strstr(at, "\"bits_per_second\":") : NULL;
	return at ? strtod(at + strlen("\"bits_per_second\":"), NULL) : 0;
}

static int net_directions(const struct bench *b, const struct guest *g, bool counts, struct err *e)
{
	static const struct {
		const char *key, *option;
	} rows[] = { { "to guest", "" }, { "from guest", "-R" } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		double bits = 0;

		for (uint32_t k = 0; k < NET_TRIES && bits <= 0; k++) { /* its server comes up */
			nanosleep(&(struct timespec){ .tv_nsec = 500000000 }, NULL);
			bits = iperf3_run(counts ? b->seconds : 2, rows[i].option);
		}
		if (bits <= 0)
			return err_plain(e, EIO, "iperf3, %s: failed", rows[i].key);
		if (counts)
			say(g->peer, bits, rows[i].key);
	}
	return 0;
}

static int net_round(const struct bench *b, const struct guest_peer *p,
		     const struct guest_template *t, bool counts, struct err *e)
{
	struct guest_setup setup = b->setup;
	auto_fd tap = -1;
	struct guest g = { .serial_fd = -1, .agent_fd = -1, .mem_fd = -1 };
	uint64_t at;
	int rc = tap_open(b->tap, &tap, e);

	setup.tap_fd = tap;
	if (rc == 0)
		rc = guest_start(p, &setup, "net", t, &g, e);
	if (rc == 0)
		rc = guest_wait(&g, MARK_BEGIN, TIMEOUT_MS, &at, e);
	if (rc == 0)
		rc = net_directions(b, &g, counts, e);
	guest_end(&g);
	return rc;
}

/* ---- phases ---- */

struct trace {
	int fd; /* the VMM's stderr */
	char text[4096];
	size_t len;
};

/* The VMM inherits our stderr when it is traced. */
static int traced_start(const struct bench *b, const struct guest_peer *p,
			const struct guest_template *t, struct guest *g, struct trace *ret,
			struct err *e)
{
	auto_fd saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	struct guest_setup setup = b->setup;
	int ends[2], rc;

	setup.has_own_memory = true;
	*ret = (struct trace){ .fd = -1 };
	*g = (struct guest){ .serial_fd = -1, .agent_fd = -1, .mem_fd = -1 };
	if (saved < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return err_set(e, errno, "trace");
	ret->fd = ends[0];
	setenv("CAISSON_TRACE", "1", 1);
	if (dup2(ends[1], STDERR_FILENO) < 0)
		rc = err_set(e, errno, "trace");
	else
		rc = guest_start(p, &setup, "tick,0", t, g, e);
	(void)!dup2(saved, STDERR_FILENO); /* it was ours before */
	unsetenv("CAISSON_TRACE");
	close(ends[1]);
	return rc;
}

/* More of it, until `mark` is there. */
static int trace_read(struct trace *t, const char *mark, struct err *e)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };

	while (!strstr(t->text, mark)) {
		ssize_t n = -1;

		if (poll(&p, 1, (int)TIMEOUT_MS) > 0)
			n = read(t->fd, t->text + t->len, sizeof(t->text) - 1 - t->len);
		if (n <= 0)
			return err_plain(e, EIO, "the trace ends before \"%s\": %s", mark, t->text);
		t->len += (size_t)n;
		t->text[t->len] = '\0';
	}
	return 0;
}

/* "caisson-vmm: trace     1.234 ms  vmm: machine": each says when it ended, since main(). */
static void phases_say(const struct guest_peer *p, const char *text, double main_us, double mark_us)
{
	double last = main_us;
	const char *at;

	say(p, main_us, "exec to main()");
	while ((at = strstr(text, "trace "))) {
		char *name;
		const double now = main_us + strtod(at + strlen("trace "), &name) * 1e3;
		char key[64];

		name += strspn(name, " ms");
		text = name + strcspn(name, "\n");
		snprintf(key, sizeof(key), "%.*s", (int)(text - name), name);
		say(p, now - last, key);
		last = now;
	}
	say(p, mark_us - last, "guest");
	say(p, mark_us, "all");
}

static int phases_round(const struct bench *b, const struct guest_peer *p,
			const struct guest_template *t, bool counts, struct err *e)
{
	struct trace trace;
	struct guest g;
	uint64_t at = 0, first = 0;
	int rc = traced_start(b, p, t, &g, &trace, e);

	if (rc == 0)
		rc = trace_read(&trace, "\n", e);
	first = guest_clock_ns();
	if (rc == 0)
		rc = guest_wait(&g, t ? MARK_TICK : MARK_FIRST, TIMEOUT_MS, &at, e);
	if (rc == 0)
		rc = trace_read(&trace, TRACE_LAST "\n", e);
	if (rc == 0 && counts) {
		const char *ms = strstr(trace.text, "trace ");
		const double main_us = (double)(first - g.exec_ns) / 1e3 -
				       (ms ? strtod(ms + strlen("trace "), NULL) * 1e3 : 0);

		phases_say(p, trace.text, main_us, (double)(at - g.exec_ns) / 1e3);
	}
	guest_end(&g);
	fd_drop(&trace.fd);
	return rc;
}

/* ---- all rows ---- */

static const struct row rows[] = {
	{ "cold", true, 0, start_round },
	{ "template", true, FAST_TICKS, start_round },
	{ "memory", false, 0, memory_round },
	{ "clone", false, FAST_TICKS, memory_round },
	{ "many", false, FEW_TICKS, many_round },
	{ "blk", true, 0, blk_round },
	{ "net", false, 0, net_round },
	{ "phases-cold", true, 0, phases_round },
	{ "phases-template", true, FAST_TICKS, phases_round },
};

static void peer_failed(struct bench *b, uint32_t i, const struct err *e)
{
	fprintf(stderr, "%s: %s\n", b->peers[i].name, e->msg);
	b->has_failed[i] = true;
}

static void templates_make(struct bench *b, const struct row *r)
{
	for (uint32_t i = 0; i < b->n_peers; i++) {
		struct err e = { 0 };

		b->templates[i] = (struct guest_template){ -1, -1 };
		if (r->n_fast && !b->has_failed[i] &&
		    guest_template_make(&b->peers[i], &b->setup, r->n_fast, &b->templates[i], &e) <
			    0) {
			(void)err_wrap(&e, "template");
			peer_failed(b, i, &e);
		}
	}
}

static void row_run(struct bench *b, const struct row *r)
{
	templates_make(b, r);
	for (uint32_t k = r->has_warmup ? 0 : 1; k <= b->rounds; k++) {
		for (uint32_t j = 0; j < b->n_peers; j++) {
			const uint32_t i = (k + j) % b->n_peers;
			struct err e = { 0 };

			if (!b->has_failed[i] &&
			    r->round(b, &b->peers[i], r->n_fast ? &b->templates[i] : NULL, k > 0,
				     &e) < 0)
				peer_failed(b, i, &e);
		}
	}
	for (uint32_t i = 0; i < b->n_peers; i++)
		guest_template_done(&b->templates[i]);
}

/* A copy in memory, that any user may read. */
static int file_load(const char *path, int *ret_fd, struct err *e)
{
	auto_fd from = open(path, O_RDONLY | O_CLOEXEC);
	auto_fd to = memfd_create("bench-file", MFD_CLOEXEC);
	auto_buf b = BUF_LIMIT(256U << 20);

	if (from < 0 || to < 0 || fd_read_all(from, &b) < 0 || fd_write_full(to, b.data, b.len) < 0)
		return err_set(e, errno, "%s", path);
	*ret_fd = TAKE_FD(to);
	return 0;
}

static int disk_open(struct guest_setup *s, const char *path, struct err *e)
{
	struct stat st;

	s->disk_fd = open(path, O_RDWR | O_CLOEXEC);
	if (s->disk_fd < 0 || fstat(s->disk_fd, &st) < 0)
		return err_set(e, errno, "%s", path);
	s->disk_bytes = (uint64_t)st.st_size;
	return 0;
}

static int option_take(struct bench *b, int c, const char *value, struct err *e)
{
	const uint32_t n = (uint32_t)strtoul(value, NULL, 10);

	switch (c) {
	case 'n':
		b->rounds = n;
		return 0;
	case 'm':
		b->setup.mem_bytes = (uint64_t)n << 20;
		return 0;
	case 'c':
		b->clones = MIN_OF(n, CLONES_MAX);
		return 0;
	case 'o':
		b->operations = n;
		return 0;
	case 's':
		b->seconds = n;
		return 0;
	case 't':
		b->tap = value;
		return 0;
	case 'k':
		return file_load(value, &b->setup.kernel_fd, e);
	case 'i':
		return file_load(value, &b->setup.initrd_fd, e);
	case 'd':
		return disk_open(&b->setup, value, e);
	default:
		return err_plain(e, EINVAL,
				 "usage: vmm_start [-n ROUNDS] [-m MIB] [-k KERNEL] "
				 "[-i INITRD] [-d DISK] [-c N] [-o N] [-t TAP] [-s N] ROW PEER...");
	}
}

static const struct row *arguments_take(struct bench *b, int argc, char **argv, struct err *e)
{
	const struct row *r = NULL;
	int c;

	while ((c = getopt(argc, argv, "n:m:k:i:d:c:o:t:s:")) >= 0)
		if (option_take(b, c, c == '?' ? "" : optarg, e) < 0)
			return NULL;
	for (size_t i = 0; optind < argc && i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].name, argv[optind]) == 0)
			r = &rows[i];
	for (int i = optind + 1; i < argc && b->n_peers < PEERS_MAX; i++) {
		struct err why = { 0 };

		if (guest_peer_find(argv[i], &b->peers[b->n_peers], &why) < 0)
			peer_failed(b, b->n_peers, &why);
		b->n_peers++;
	}
	if (!r || !b->n_peers)
		(void)option_take(b, '?', "", e);
	return b->n_peers ? r : NULL;
}

int main(int argc, char **argv)
{
	struct bench b = {
		.setup = { .kernel_fd = -1,
			   .initrd_fd = -1,
			   .disk_fd = -1,
			   .tap_fd = -1,
			   .mem_bytes = 512ULL << 20 },
		.rounds = 1,
		.clones = 1,
		.operations = 64,
		.seconds = 5,
		.tap = "bench0",
	};
	struct err e = { 0 };
	const struct row *r = arguments_take(&b, argc, argv, &e);
	bool is_whole = true;

	if (!r) {
		fprintf(stderr, "vmm_start: %s\n", e.msg);
		return 2;
	}
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK,
			       &(struct sched_param){ .sched_priority = 1 }) < 0)
		fprintf(stderr, "vmm_start: not a real-time process: times may be late\n");
	row_run(&b, r);
	for (uint32_t i = 0; i < b.n_peers; i++)
		is_whole = is_whole && !b.has_failed[i];
	return is_whole ? 0 : 1;
}
