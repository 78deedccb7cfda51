/* SPDX-License-Identifier: MIT */
/* keeper_order.c - what the guest's agent is told at a start: identity, root, and what to run */
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "etc_files.h"
#include "fdio.h"
#include "keeper.h"
#include "net_plan.h"

#define ENTROPY_LEN  256
#define RESOLV_MAX   65536U
#define HOSTNAME_LEN 12 /* digits of the id */

/* Of a volume's file system: what machines see of it. */
#define VOLUME_DIRECTORY "data"

static const char *hostname_of(const struct keeper *k, char buf[HOSTNAME_LEN + 1])
{
	if (k->config.hostname && *k->config.hostname)
		return k->config.hostname;
	snprintf(buf, HOSTNAME_LEN + 1, "%.*s", HOSTNAME_LEN, k->config.id);
	return buf;
}

static void addresses_note(struct keeper *k)
{
	struct machine_state *s = &k->state;
	const uint8_t *m = k->net.mac;
	char text[16];

	s->ip[0] = s->gateway[0] = '\0';
	net_ip_text(k->net.ip, text);
	if (k->net.ip)
		snprintf(s->ip, sizeof(s->ip), "%s", text);
	net_ip_text(k->net.gateway, text);
	if (k->net.gateway)
		snprintf(s->gateway, sizeof(s->gateway), "%s", text);
	snprintf(s->mac, sizeof(s->mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
		 m[4], m[5]);
}

static int identity_put(struct keeper *k, struct err *e)
{
	uint8_t entropy[ENTROPY_LEN], random[32];
	char machine_id[33], boot_id[37], host[HOSTNAME_LEN + 1];
	struct agent_identity id = { .entropy = { entropy, sizeof(entropy) },
				     .hostname = hostname_of(k, host),
				     .machine_id = machine_id,
				     .boot_id = boot_id };
	struct timespec now;

	if (getrandom(entropy, sizeof(entropy), 0) != (ssize_t)sizeof(entropy) ||
	    getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_set(e, errno, "random bytes");
	for (size_t i = 0; i < 16; i++)
		snprintf(machine_id + 2 * i, 3, "%02x", random[i]);
	random[22] = (random[22] & 0x0f) | 0x40; /* RFC 4122, version 4 */
	random[24] = (random[24] & 0x3f) | 0x80;
	for (size_t i = 0, at = 0; i < 16; i++)
		at += (size_t)snprintf(boot_id + at, sizeof(boot_id) - at, "%s%02x",
				       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
				       random[16 + i]);
	clock_gettime(CLOCK_REALTIME, &now);
	id.realtime_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
	if (k->config.has_network) {
		memcpy(id.mac, k->net.mac, sizeof(id.mac));
		id.ip = k->net.ip;
		id.gateway = k->net.gateway;
		id.prefix_len = k->net.prefix_len;
		id.mtu = k->net.mtu;
		addresses_note(k);
	}
	return agent_put_identity(&k->agent_out, &id) < 0 ? err_set(e, ENOMEM, "orders") : 0;
}

static int root_put(struct keeper *k, struct err *e)
{
	const struct agent_root root = { .image_slot = TEMPLATE_DISK_IMAGE,
					 .writable_slot = TEMPLATE_DISK_WRITABLE,
					 .flags = k->want.has_dax ? AGENT_ROOT_MAPPED : 0,
					 .image_len = k->image_len,
					 .writable_len = k->want.disk_bytes };

	if (!k->is_cold && k->depth == TEMPLATE_IMAGE)
		return 0;
	return agent_put_root(&k->agent_out, &root) < 0 ? err_set(e, ENOMEM, "orders") : 0;
}

struct order { /* texts that an agent_run points at */
	struct agent_mount mounts[AGENT_MOUNTS_MAX];
	uint32_t n_mounts;
	char sources[VM_SHARES_MAX][32], disks[VM_DISKS_EXTRA_MAX][32];
	uint32_t n_shares, n_disks;
	struct buf hosts, resolv, hostname_file;
	struct strv argv, env;
};

static void order_done(struct order *o)
{
	buf_done(&o->hosts);
	buf_done(&o->resolv);
	buf_done(&o->hostname_file);
	strv_done(&o->argv);
	strv_done(&o->env);
}

static bool env_has(const struct strv *env, const char *name)
{
	size_t n = strlen(name);

	for (uint32_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], name, n) == 0 && env->v[i][n] == '=')
			return true;
	return false;
}

static int env_fill(struct order *o, const struct machine_config *c, const char *hostname)
{
	char text[300];
	int rc = 0;

	if (!env_has(&c->env, "PATH"))
		rc = strv_add(&o->env,
			      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	snprintf(text, sizeof(text), "HOSTNAME=%s", hostname);
	if (rc == 0 && !env_has(&c->env, "HOSTNAME"))
		rc = strv_add(&o->env, text);
	if (rc == 0 && c->has_tty && !env_has(&c->env, "TERM"))
		rc = strv_add(&o->env, "TERM=xterm");
	for (uint32_t i = 0; rc == 0 && i < c->env.n; i++)
		rc = strv_add(&o->env, c->env.v[i]);
	return rc;
}

static void file_mount(struct order *o, const char *target, const struct buf *content)
{
	o->mounts[o->n_mounts++] = (struct agent_mount){
		.kind = AGENT_MOUNT_FILE,
		.source = "",
		.target = target,
		.options = "rw",
		.content = { content->data ? content->data : "", (uint32_t)content->len },
	};
}

static void share_fill(struct order *o, const struct keeper *k, const struct machine_mount *m,
		       struct agent_mount *am)
{
	uint32_t share = o->n_shares++;

	am->kind = AGENT_MOUNT_VIRTIOFS;
	am->source = o->sources[share];
	am->options = m->is_readonly ? "ro" : "rw";
	snprintf(o->sources[share], sizeof(o->sources[share]), "share%u%s", share,
		 k->shares[share].is_file ? "/" VIRTIOFSD_FILE : "");
}

static void disk_fill(struct order *o, const struct machine_mount *m, struct agent_mount *am)
{
	uint32_t disk = o->n_disks++;
	bool copies = m->kind == MACHINE_MOUNT_VOLUME && strcmp(am->options, "nocopy") != 0;

	am->kind = AGENT_MOUNT_DISK;
	am->source = o->disks[disk];
	am->options = m->is_readonly ? (copies ? "ro,copy" : "ro") : (copies ? "rw,copy" : "rw");
	snprintf(o->disks[disk], sizeof(o->disks[disk]), "disk%u%s", TEMPLATE_DISK_COUNT + disk,
		 m->kind == MACHINE_MOUNT_VOLUME ? "/" VOLUME_DIRECTORY : "");
}

static void mount_fill(struct order *o, const struct keeper *k, const struct machine_mount *m)
{
	struct agent_mount *am = &o->mounts[o->n_mounts++];

	*am = (struct agent_mount){ .kind = AGENT_MOUNT_TMPFS,
				    .source = "",
				    .target = m->target,
				    .options = m->options ? m->options : "" };
	if (m->kind == MACHINE_MOUNT_BIND)
		share_fill(o, k, m, am);
	else if (m->kind != MACHINE_MOUNT_TMPFS)
		disk_fill(o, m, am);
}

static int mounts_fill(struct order *o, struct keeper *k, const char *hostname)
{
	const struct machine_config *c = &k->config;
	auto_buf host_resolv = BUF_LIMIT(RESOLV_MAX);
	struct err ignored = { 0 };

	/* Of the host only a hint: without it there are no search domains. */
	(void)!file_read_at(AT_FDCWD, "/etc/resolv.conf", RESOLV_MAX, &host_resolv, &ignored);
	if (etc_hosts(c, &k->net, hostname, &o->hosts) < 0 ||
	    etc_resolv_conf(c, &k->net, host_resolv.data ? host_resolv.data : "", &o->resolv) < 0 ||
	    buf_addf(&o->hostname_file, "%s\n", hostname) < 0)
		return -ENOMEM;
	file_mount(o, "/etc/hosts", &o->hosts);
	file_mount(o, "/etc/resolv.conf", &o->resolv);
	file_mount(o, "/etc/hostname", &o->hostname_file);
	for (uint32_t i = 0; i < c->n_mounts && o->n_mounts < AGENT_MOUNTS_MAX; i++)
		mount_fill(o, k, &c->mounts[i]);
	return 0;
}

static int order_fill(struct order *o, struct keeper *k, const char *hostname)
{
	const struct machine_config *c = &k->config;
	int rc = env_fill(o, c, hostname);

	for (uint32_t i = 0; rc == 0 && i < c->entrypoint.n; i++)
		rc = strv_add(&o->argv, c->entrypoint.v[i]);
	for (uint32_t i = 0; rc == 0 && i < c->cmd.n; i++)
		rc = strv_add(&o->argv, c->cmd.v[i]);
	return rc ? rc : mounts_fill(o, k, hostname);
}

static int run_put(struct keeper *k, struct err *e)
{
	const struct machine_config *c = &k->config;
	struct order *o = calloc(1, sizeof(*o));
	char host[HOSTNAME_LEN + 1];
	struct agent_run r;
	int rc;

	if (!o)
		return err_set(e, ENOMEM, "orders");
	rc = order_fill(o, k, hostname_of(k, host));
	r = (struct agent_run){
		.flags = AGENT_RUN_MAIN | (c->has_tty ? AGENT_RUN_TTY : 0U) |
			 (c->has_stdin ? AGENT_RUN_STDIN : 0U) |
			 (c->is_readonly ? AGENT_RUN_READONLY : 0U),
		.argv = { (const char **)o->argv.v, o->argv.n },
		.env = { (const char **)o->env.v, o->env.n },
		.cwd = c->cwd ? c->cwd : "",
		.user = c->user ? c->user : "",
		.mounts = o->mounts,
		.n_mounts = o->n_mounts,
	};
	if (rc == 0)
		rc = agent_put_run(&k->agent_out, AGENT_STREAM_MAIN, &r);
	order_done(o);
	free(o);
	if (rc == -EFBIG || rc == -E2BIG)
		return err_plain(e, E2BIG, "arguments and environment are too long");
	return rc < 0 ? err_set(e, -rc, "orders") : 0;
}

int keeper_order(struct keeper *k, struct err *e)
{
	if (identity_put(k, e) < 0 || root_put(k, e) < 0)
		return -e->code;
	k->waits_for_lease = k->config.has_network && !k->net.ip;
	if (!k->waits_for_lease && run_put(k, e) < 0)
		return -e->code;
	k->has_orders = true;
	link_flush(k);
	return 0;
}

int keeper_lease(struct keeper *k, const struct agent_lease *l, struct err *e)
{
	k->net.ip = l->ip;
	k->net.gateway = l->gateway;
	k->net.prefix_len = l->prefix_len;
	memcpy(k->net.dns, l->dns, sizeof(k->net.dns));
	addresses_note(k);
	if (!k->waits_for_lease) {
		record_state_write(k);
		return 0;
	}
	k->waits_for_lease = false;
	if (run_put(k, e) < 0)
		return -e->code;
	link_flush(k);
	return 0;
}
