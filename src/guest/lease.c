/* SPDX-License-Identifier: MIT */
/*
 * lease.c - the process that keeps a machine's lease, where its host leaves the address to DHCP
 *
 * Asking takes seconds when nobody answers, and the agent has one thread; so it is done beside it,
 * while the root is mounted. The agent hears of a lease by a pipe, and passes it on to the host.
 */
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "bytes.h"
#include "fdio.h"
#include "guest_dhcp.h"
#include "guest_internal.h"
#include "log.h"

#define RENEW_LEAST_S 30

struct keeping {
	uint8_t mac[6];
	uint32_t mtu; /* of the host's interface; a lease may say less */
	struct dhcp_lease lease;
	int out;
};

static void identity_of(const struct keeping *k, struct agent_identity *ret)
{
	*ret = (struct agent_identity){ .ip = k->lease.ip,
					.gateway = k->lease.gateway,
					.prefix_len = k->lease.prefix_len,
					.mtu = k->mtu };
	if (k->lease.mtu && k->lease.mtu < k->mtu)
		ret->mtu = k->lease.mtu;
	memcpy(ret->mac, k->mac, sizeof(ret->mac));
}

static void tell(const struct keeping *k, int code, const char *text)
{
	struct lease_news n = { .code = code, .lease = k->lease };

	snprintf(n.text, sizeof(n.text), "%s", text);
	if (fd_write_full(k->out, &n, sizeof(n)) < 0)
		log_error("lease: nobody listens");
}

/* Whether it says the same, but for its time. */
static bool is_same(const struct dhcp_lease *a, const struct dhcp_lease *b)
{
	return a->ip == b->ip && a->gateway == b->gateway && a->prefix_len == b->prefix_len &&
	       a->n_dns == b->n_dns && memcmp(a->dns, b->dns, sizeof(a->dns)) == 0;
}

/* Ask for the same again, or for any; eth0 has it then. On failure all is as before. */
static int lease_take(struct keeping *k, struct err *e)
{
	struct keeping next = *k;
	struct agent_identity old, id;
	bool is_news;

	if (dhcp_obtain(k->mac, &next.lease, e) < 0)
		return -e->code;
	identity_of(k, &old);
	identity_of(&next, &id);
	if (netlink_readdress(&old, &id, e) < 0)
		return -e->code;
	is_news = !is_same(&k->lease, &next.lease);
	*k = next;
	if (is_news)
		tell(k, 0, "");
	return 0;
}

static _Noreturn void keep(struct keeping *k)
{
	struct err e = { 0 };

	if (lease_take(k, &e) < 0) {
		tell(k, e.code, e.msg);
		_exit(1);
	}
	while (k->lease.seconds != UINT32_MAX) {
		uint32_t wait_s = MAX_OF(k->lease.seconds / 2, RENEW_LEAST_S);

		do { /* without an answer the machine keeps what it has, and asks again soon */
			nanosleep(&(struct timespec){ .tv_sec = wait_s }, NULL);
			wait_s = RENEW_LEAST_S;
		} while (lease_take(k, &e) < 0);
	}
	_exit(0);
}

int lease_start(const uint8_t mac[6], uint32_t mtu, int *ret_fd, struct err *e)
{
	struct keeping k = { .mtu = mtu };
	int ends[2];
	pid_t pid;

	memcpy(k.mac, mac, sizeof(k.mac));
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe");
	k.out = ends[1];
	pid = fork();
	if (pid == 0)
		keep(&k);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return err_set(e, errno, "fork");
	}
	*ret_fd = ends[0];
	return 0;
}
