/* SPDX-License-Identifier: MIT */
/*
 * sandbox_landlock.c - which files may still be opened
 *
 * Every right that this kernel's Landlock knows is taken away, then given back beneath the
 * directories of the policy and, for downloads, the files that name lookup and TLS read; for
 * programs of others, what the distribution has installed. A share's server can make no devices and
 * execute nothing. glibc has no functions for these system calls.
 */
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "log.h"
#include "sandbox_internal.h"

#ifndef LANDLOCK_ACCESS_FS_REFER /* Linux 5.19 */
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE /* Linux 6.2 */
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#define ACCESS_FS_IOCTL_DEV (1ULL << 15) /* Linux 6.10 */
#define ACCESS_NET_TCP      3ULL         /* bind and connect; Linux 6.7 */
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)  /* Linux 6.12 */

#define ACCESS_READ         (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_OF_FILES                                                                            \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |                              \
	 LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define ACCESS_WRITE                                                                               \
	(ACCESS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |               \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
/* No devices. */
#define ACCESS_SHARE                                                                               \
	(ACCESS_WRITE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM |                \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SOCK |                             \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REFER)

/* Own copy: the build machine's header may be older than the running kernel. */
struct ruleset_attr {
	uint64_t fs, net, scoped;
};

/* Name lookup (libnss is loaded on demand), TLS roots, registries' certificates, time zones. */
static const char *const fetch_paths[] = {
	"/etc/resolv.conf",
	"/etc/hosts",
	"/etc/host.conf",
	"/etc/nsswitch.conf",
	"/etc/gai.conf",
	"/etc/services",
	"/etc/protocols",
	"/etc/localtime",
	"/etc/passwd",
	"/etc/ld.so.cache",
	"/run/systemd/resolve",
	"/run/resolvconf",
	"/run/NetworkManager",
	"/etc/ssl",
	"/etc/pki",
	"/etc/ca-certificates",
	"/usr/share/ca-certificates",
	"/usr/local/share/ca-certificates",
	"/usr/lib/ssl",
	"/etc/gnutls",
	"/etc/crypto-policies",
	"/etc/docker/certs.d",
	"/etc/containers/certs.d",
	"/etc/caisson",
	"/usr/share/zoneinfo",
	"/lib",
	"/lib64",
	"/usr/lib",
	"/usr/lib64",
	"/dev/null",
	"/dev/urandom",
	"/dev/random",
};

/* What the loader and a program's modules read: no file of a user. */
static const char *const program_paths[] = {
	"/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom",
};

static uint64_t access_known(int abi)
{
	uint64_t fs = (1ULL << 13) - 1; /* Linux 5.13 */

	if (abi >= 2)
		fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi >= 5)
		fs |= ACCESS_FS_IOCTL_DEV;
	return fs;
}

static int rule_add(int ruleset, int fd, uint64_t access, struct err *e)
{
	struct landlock_path_beneath_attr a = { .allowed_access = access, .parent_fd = fd };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "sandbox: directory");
	if (!S_ISDIR(st.st_mode))
		a.allowed_access &= ACCESS_OF_FILES;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &a, 0) < 0)
		return err_set(e, errno, "sandbox: Landlock rule");
	return 0;
}

/* What is not there needs no rule. */
static int paths_add(int ruleset, const char *const *paths, size_t n, uint64_t access,
		     struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		auto_fd fd = open(paths[i], O_PATH | O_CLOEXEC);

		if (fd >= 0 && rule_add(ruleset, fd, access, e) < 0)
			return -e->code;
	}
	return 0;
}

static int rules_add(int ruleset, const struct sandbox_policy *p, uint64_t known, struct err *e)
{
	static const char *const null = "/dev/null";
	const uint64_t run = ACCESS_READ | LANDLOCK_ACCESS_FS_EXECUTE;

	const uint64_t write = p->kind == SANDBOX_SHARE ? ACCESS_SHARE : ACCESS_WRITE;

	if (p->kind != SANDBOX_FETCH && p->kind != SANDBOX_PROGRAM && p->kind != SANDBOX_SHARE)
		return 0;
	for (size_t i = 0; i < p->n_dir_fds; i++)
		if (rule_add(ruleset, p->dir_fds[i], write & known, e) < 0)
			return -e->code;
	for (size_t i = 0; i < p->n_read_fds; i++)
		if (rule_add(ruleset, p->read_fds[i], ACCESS_READ, e) < 0)
			return -e->code;
	if (p->kind == SANDBOX_SHARE)
		return 0;
	if (p->kind == SANDBOX_FETCH)
		return paths_add(ruleset, fetch_paths, ARRAY_SIZE(fetch_paths), ACCESS_READ, e);
	if (rule_add(ruleset, p->program_fd, run, e) < 0 ||
	    paths_add(ruleset, &null, 1, ACCESS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE, e) < 0)
		return -e->code;
	return paths_add(ruleset, program_paths, ARRAY_SIZE(program_paths), run, e);
}

int sandbox_landlock(const struct sandbox_policy *p, bool *ret_is_there, struct err *e)
{
	int abi =
		(int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset_attr a = { .fs = access_known(abi) };
	size_t size = sizeof(a.fs);
	auto_fd ruleset = -1;

	if (abi < 1) {
		log_debug("sandbox: this kernel has no Landlock");
		*ret_is_there = false;
		return 0;
	}
	if (abi >= 4 && p->kind != SANDBOX_FETCH) {
		a.net = ACCESS_NET_TCP;
		size = offsetof(struct ruleset_attr, scoped);
	}
	if (abi >= 6 && p->kind == SANDBOX_VMM) { /* sendmsg() can name one */
		a.scoped = SCOPE_ABSTRACT_UNIX;
		size = sizeof(a);
	}
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &a, size, 0);
	if (ruleset < 0)
		return err_set(e, errno, "sandbox: Landlock");
	if (rules_add(ruleset, p, a.fs, e) < 0)
		return -e->code;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_set(e, errno, "sandbox: Landlock");
	*ret_is_there = true;
	return 0;
}
