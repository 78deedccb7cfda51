/* SPDX-License-Identifier: MIT */
/*
 * fetch_main.c - caisson-fetch: one request to registries, in a sandbox
 *
 *	3 socket to the engine, 4 partial/, 5 blobs/sha256/ (doc/format/fetch.md)
 *
 * The request is the engine's and read before the walls go up; every byte of the network comes
 * after. The engine is gone when its socket closes, and so is this.
 */
#include <curl/curl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "fdio.h"
#include "log.h"
#include "registry.h"
#include "sandbox.h"

#define SOCK_FD    3
#define PARTIAL_FD 4
#define BLOBS_FD   5
#define LOOPBACK   "localhost,127.0.0.0/8,::1"

static bool is_dir(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static int walls_up(struct err *e)
{
	static const int partial = PARTIAL_FD, blobs = BLOBS_FD;
	const struct sandbox_policy policy = { .kind = SANDBOX_FETCH,
					       .dir_fds = &partial,
					       .n_dir_fds = is_dir(PARTIAL_FD) ? 1 : 0,
					       .read_fds = &blobs,
					       .n_read_fds = is_dir(BLOBS_FD) ? 1 : 0 };

	return sandbox_enter(&policy, e);
}

static const char *set_or_null(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/*
 * libcurl reads http_proxy in small letters only; people write both. A registry on this machine is
 * not reached through a proxy, whose loopback would be its own. Out of memory shows itself later.
 */
static void proxy_from_environment(void)
{
	const char *proxy = getenv("HTTP_PROXY"), *none = set_or_null("no_proxy");
	auto_free char *more = NULL;

	if (proxy && !getenv("http_proxy"))
		(void)setenv("http_proxy", proxy, 1);
	if (!none)
		none = set_or_null("NO_PROXY");
	if (none && strcmp(none, "*") == 0)
		return;
	if (asprintf(&more, "%s%s" LOOPBACK, none ? none : "", none ? "," : "") < 0)
		more = NULL;
	if (more)
		(void)setenv("no_proxy", more, 1);
}

static int request_get(char *packet, size_t size, size_t *ret_len, struct err *e)
{
	int fds[FD_PASS_MAX];
	size_t n_fds = 0; /* none is wanted: fd_recv() closes what comes */
	ssize_t n = fd_recv(SOCK_FD, packet, size, fds, &n_fds);

	if (n < 0)
		return err_set(e, (int)-n, "request");
	if (n == 0)
		return err_plain(e, ECANCELED, "no request came");
	*ret_len = (size_t)n;
	return 0;
}

/* libcurl and OpenSSL read their configuration before the walls, roots and names behind them. */
static int prepare(char *packet, size_t size, size_t *ret_len, struct err *e)
{
	if (request_get(packet, size, ret_len, e) < 0)
		return -e->code;
	proxy_from_environment();
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_plain(e, EIO, "libcurl cannot be used");
	return walls_up(e);
}

static int run(struct err *e)
{
	static char packet[REGISTRY_PACKET_MAX];
	const struct registry_io io = { SOCK_FD, PARTIAL_FD, BLOBS_FD };
	size_t len = 0;

	if (prepare(packet, sizeof(packet), &len, e) < 0) {
		registry_fail(&io, e);
		return -e->code;
	}
	return registry_serve(&io, packet, len, e);
}

int main(void)
{
	struct err e = { 0 };

	log_init("caisson-fetch", LOG_LEVEL_WARN, STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	return run(&e) < 0 ? 1 : 0; /* the engine has the error, or is gone */
}
