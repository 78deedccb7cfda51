/* SPDX-License-Identifier: MIT */
/* etc_files.c - see etc_files.h */
#include "etc_files.h"

#include <string.h>

int etc_hosts(const struct machine_config *c, const struct net_plan *p, const char *hostname,
	      struct buf *ret)
{
	const char *dot = strchr(hostname, '.');
	char ip[16];
	int rc = buf_add_str(ret, "127.0.0.1\tlocalhost\n"
				  "::1\tlocalhost ip6-localhost ip6-loopback\n"
				  "fe00::0\tip6-localnet\n"
				  "ff00::0\tip6-mcastprefix\n"
				  "ff02::1\tip6-allnodes\n"
				  "ff02::2\tip6-allrouters\n");

	for (uint32_t i = 0; rc == 0 && i < c->extra_hosts.n; i++) {
		const char *h = c->extra_hosts.v[i], *colon = strchr(h, ':');

		rc = buf_addf(ret, "%s\t%.*s\n", colon + 1, (int)(colon - h), h);
	}
	net_ip_text(p->ip, ip);
	if (rc == 0 && p->ip)
		rc = dot ? buf_addf(ret, "%s\t%s %.*s\n", ip, hostname, (int)(dot - hostname),
				    hostname)
			 : buf_addf(ret, "%s\t%s\n", ip, hostname);
	return rc;
}

static bool has_word(const char *line, const char *word)
{
	return strncmp(line, word, strlen(word)) == 0;
}

static bool line_is_taken(const char *line, bool takes_servers)
{
	if (has_word(line, "search ") || has_word(line, "options ") || has_word(line, "domain "))
		return true;
	return takes_servers && has_word(line, "nameserver ") &&
	       !has_word(line, "nameserver 127.") && !has_word(line, "nameserver ::1");
}

int etc_resolv_conf(const struct machine_config *c, const struct net_plan *plan,
		    const char *host_resolv, struct buf *ret)
{
	const bool takes_servers = c->dns.n == 0 && !plan->dns[0];
	char ip[16];
	int rc = 0;

	if (!c->has_network)
		return buf_add_str(ret, "# this machine has no network\n");
	for (const char *p = host_resolv; rc == 0 && *p;) {
		size_t n = strcspn(p, "\n");

		if (line_is_taken(p, takes_servers))
			rc = buf_addf(ret, "%.*s\n", (int)n, p);
		p += n + (p[n] == '\n');
	}
	for (uint32_t i = 0; rc == 0 && i < c->dns.n; i++)
		rc = buf_addf(ret, "nameserver %s\n", c->dns.v[i]);
	for (uint32_t i = 0; rc == 0 && c->dns.n == 0 && i < NET_DNS_MAX && plan->dns[i]; i++) {
		net_ip_text(plan->dns[i], ip);
		rc = buf_addf(ret, "nameserver %s\n", ip);
	}
	return rc;
}
