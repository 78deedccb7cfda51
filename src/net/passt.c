/* SPDX-License-Identifier: MIT */
/*
 * passt.c - start passt with a plan
 *
 * Ports are checked by binding them first: passt's own message comes too late and in another form.
 * Between check and use another process may take a port; passt then ends, and so does the start.
 */
#include "passt.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "child.h"
#include "fdio.h"
#include "net_plan.h"

#define PASST_ARGS_MAX 320

static int port_bind(const struct machine_port *p, uint16_t *ret_port, int *ret_fd, struct err *e)
{
	int type = p->is_udp ? SOCK_DGRAM : SOCK_STREAM;
	bool is_v6 = strchr(p->host_ip, ':');
	auto_fd fd = socket(is_v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} a = { 0 };
	socklen_t len = is_v6 ? sizeof(a.in6) : sizeof(a.in);
	int one = 1;

	if (fd < 0)
		return err_set(e, errno, "socket");
	a.sa.sa_family = is_v6 ? AF_INET6 : AF_INET;
	if (*p->host_ip &&
	    inet_pton(a.sa.sa_family, p->host_ip,
		      is_v6 ? (void *)&a.in6.sin6_addr : (void *)&a.in.sin_addr) != 1)
		return err_plain(e, EINVAL, "invalid IP address: %s", p->host_ip);
	a.in.sin_port = htons(p->host_port); /* at the same place in both */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
			 sizeof(one)); /* only old connections matter less */
	if (bind(fd, &a.sa, len) < 0 || (!p->is_udp && listen(fd, 1) < 0))
		return err_plain(e, errno, "Bind for %s:%u failed: %s",
				 *p->host_ip ? p->host_ip : "0.0.0.0", p->host_port,
				 errno == EADDRINUSE ? "port is already allocated"
						     : strerror(errno));
	if (getsockname(fd, &a.sa, &len) < 0)
		return err_set(e, errno, "getsockname");
	*ret_port = ntohs(a.in.sin_port);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int passt_ports_choose(struct machine_port *ports, uint32_t n, struct err *e)
{
	int *held = calloc(n ? n : 1, sizeof(*held));
	uint32_t i;
	int rc = 0;

	if (!held)
		return err_set(e, ENOMEM, "ports");
	/* All are held until all are chosen, so that two never get the same one. */
	for (i = 0; i < n && rc == 0; i++) {
		held[i] = -1;
		rc = port_bind(&ports[i], &ports[i].host_port, &held[i], e);
	}
	while (i-- > 0)
		fd_drop(&held[i]);
	free(held);
	return rc;
}

struct args {
	char *v[PASST_ARGS_MAX];
	unsigned n;
};

static int args_add(struct args *a, const char *text)
{
	if (a->n + 1 >= PASST_ARGS_MAX)
		return -E2BIG;
	a->v[a->n] = strdup(text);
	return a->v[a->n] ? (a->n++, 0) : -ENOMEM;
}

static int args_build(struct args *a, const struct machine_port *ports, uint32_t n)
{
	char ip[16], gateway[16], dns[16], mtu[16];
	const char *fixed[] = { "passt",         "--foreground",
				"--stderr",      "--quiet",
				"--fd",          "3",
				"--no-map-gw",   "--no-dhcp",
				"--no-dhcpv6",   "--no-ndp",
				"--no-ra",       "-4",
				"--address",     ip,
				"--netmask",     "24",
				"--gateway",     gateway,
				"--dns-forward", dns,
				"--mtu",         mtu };
	int rc = 0;

	net_ip_text(NET_GUEST_IP, ip);
	net_ip_text(NET_GATEWAY_IP, gateway);
	net_ip_text(NET_DNS_IP, dns);
	snprintf(mtu, sizeof(mtu), "%u", NET_MTU);
	for (size_t i = 0; i < ARRAY_SIZE(fixed) && rc == 0; i++)
		rc = args_add(a, fixed[i]);
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		const struct machine_port *p = &ports[i];
		char spec[96];

		snprintf(spec, sizeof(spec), "%s%s%u:%u", p->host_ip, *p->host_ip ? "/" : "",
			 p->host_port, p->guest_port);
		rc = args_add(a, p->is_udp ? "--udp-ports" : "--tcp-ports");
		if (rc == 0)
			rc = args_add(a, spec);
	}
	return rc;
}

int passt_start(const struct machine_port *ports, uint32_t n, int sock, struct passt *ret,
		struct err *e)
{
	int errs[2] = { -1, -1 }, rc;
	struct args a = { 0 };
	struct child_spec s = { .path = "passt",
				.argv = (const char *const *)a.v,
				.n_fds = 4,
				.flags = CHILD_DIE_WITH_PARENT | CHILD_NEW_SESSION };

	*ret = (struct passt)PASST_NONE;
	rc = args_build(&a, ports, n);
	if (rc < 0)
		rc = err_set(e, -rc, "command line of passt");
	else if (pipe2(errs, O_CLOEXEC | O_NONBLOCK) < 0)
		rc = err_set(e, errno, "pipe of passt");
	if (rc == 0) {
		s.fds = (int[]){ -1, -1, errs[1], sock };
		rc = child_spawn(&s, &ret->pid, &ret->pidfd, e);
	}
	if (rc == 0)
		ret->errs = TAKE_FD(errs[0]);
	fd_drop(&errs[0]);
	fd_drop(&errs[1]);
	for (unsigned i = 0; i < a.n; i++)
		free(a.v[i]);
	return rc < 0 ? err_wrap(e, "network") : 0;
}

void passt_end_reason(struct passt *p, char *buf, size_t len)
{
	char text[1024];
	ssize_t n = p->errs >= 0 ? read(p->errs, text, sizeof(text) - 1) : -1;
	size_t at = (size_t)snprintf(buf, len, "the network (passt) ended%s", n > 0 ? ": " : "");

	for (ssize_t i = 0; i < n && at + 2 < len; i++) {
		if (text[i] == '\n')
			buf[at++] = ' ';
		else if ((unsigned char)text[i] >= 0x20 && text[i] != 0x7f)
			buf[at++] = text[i];
	}
	buf[at < len ? at : len - 1] = '\0';
}

void passt_stop(struct passt *p)
{
	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	p->pid = 0;
	fd_drop(&p->pidfd);
	fd_drop(&p->errs);
}
