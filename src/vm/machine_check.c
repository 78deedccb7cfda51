/* SPDX-License-Identifier: MIT */
/* machine_check.c - the one validator of a machine's config */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "disk.h"
#include "machine.h"
#include "machine_net.h"
#include "vm_spec.h"
#include "volume.h"

#define PORTS_MAX       1024U
#define ARGS_MAX        16384U
#define HOSTNAME_MAX    63U /* one label; RFC 1123 */
#define HOSTNAME_FQ_MAX 253U
#define PATH_LIMIT      4096U
#define BPS_MIN         4096U /* less, and a machine's start seems to hang */

static bool name_is_valid(const char *n)
{
	static const char ok[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return strlen(n) >= 2 && strlen(n) <= MACHINE_NAME_MAX && strspn(n, ok) == strlen(n) &&
	       strchr("_.-", n[0]) == NULL;
}

static bool hostname_is_valid(const char *h)
{
	size_t label = 0;

	if (!*h || strlen(h) > HOSTNAME_FQ_MAX)
		return false;
	for (; *h; h++) {
		bool alnum = (*h >= 'a' && *h <= 'z') || (*h >= 'A' && *h <= 'Z') ||
			     (*h >= '0' && *h <= '9') || *h == '_';

		if (*h == '.' && label == 0)
			return false;
		if (*h != '.' && !alnum && !(*h == '-' && label > 0))
			return false;
		label = *h == '.' ? 0 : label + 1;
		if (label > HOSTNAME_MAX)
			return false;
	}
	return label > 0;
}

static bool path_is_absolute(const char *p)
{
	return p && p[0] == '/' && strlen(p) < PATH_LIMIT;
}

static int mount_check(const struct machine_mount *m, struct err *e)
{
	const char *source = m->source ? m->source : "";

	if (!path_is_absolute(m->target) || strcmp(m->target, "/") == 0)
		return err_plain(
			e, EINVAL,
			"invalid mount target \"%s\": an absolute path other than / is needed",
			m->target ? m->target : "");
	if ((m->kind == MACHINE_MOUNT_BIND || m->kind == MACHINE_MOUNT_DISK) &&
	    !path_is_absolute(source))
		return err_plain(e, EINVAL, "invalid mount source \"%s\": not an absolute path",
				 source);
	return m->kind == MACHINE_MOUNT_VOLUME ? volume_name_check(source, e) : 0;
}

static int mounts_check(const struct machine_config *c, struct err *e)
{
	uint32_t n[MACHINE_MOUNT_COUNT_] = { 0 }, disks;

	for (uint32_t i = 0; i < c->n_mounts; i++) {
		const struct machine_mount *m = &c->mounts[i];

		if (mount_check(m, e) < 0)
			return -e->code;
		n[m->kind]++;
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(m->target, c->mounts[k].target) == 0)
				return err_plain(e, EINVAL, "Duplicate mount point: %s", m->target);
	}
	if (n[MACHINE_MOUNT_BIND] > VM_SHARES_MAX)
		return err_plain(e, E2BIG, "%u bind mounts: at most %u", n[MACHINE_MOUNT_BIND],
				 VM_SHARES_MAX);
	disks = n[MACHINE_MOUNT_VOLUME] + n[MACHINE_MOUNT_DISK];
	if (disks > VM_DISKS_EXTRA_MAX)
		return err_plain(e, E2BIG, "%u volumes and disks: at most %u", disks,
				 VM_DISKS_EXTRA_MAX);
	if (n[MACHINE_MOUNT_BIND] + disks > VM_EXTRA_MAX)
		return err_plain(e, E2BIG, "%u bind mounts, volumes and disks: at most %u",
				 n[MACHINE_MOUNT_BIND] + disks, VM_EXTRA_MAX);
	return 0;
}

static int ports_check(const struct machine_config *c, struct err *e)
{
	struct in6_addr six;
	struct in_addr four;

	if (c->n_ports > PORTS_MAX)
		return err_plain(e, E2BIG, "%u published ports: at most %u", c->n_ports, PORTS_MAX);
	if (c->n_ports && !c->has_network)
		return err_plain(e, EINVAL, "ports cannot be published with --network none");
	for (uint32_t i = 0; i < c->n_ports; i++) {
		const char *ip = c->ports[i].host_ip;

		if (*ip && inet_pton(AF_INET, ip, &four) != 1 && inet_pton(AF_INET6, ip, &six) != 1)
			return err_plain(e, EINVAL, "invalid IP address in -p: %s", ip);
		if (c->ports[i].guest_port == 0)
			return err_plain(e, EINVAL, "invalid port 0 in -p");
	}
	return 0;
}

static int lists_check(const struct machine_config *c, struct err *e)
{
	struct in6_addr six;
	struct in_addr four;

	if (c->entrypoint.n + c->cmd.n == 0)
		return err_plain(e, EINVAL, "No command specified");
	if (c->entrypoint.n + c->cmd.n > ARGS_MAX || c->env.n > ARGS_MAX)
		return err_plain(e, E2BIG, "more than %u arguments or variables", ARGS_MAX);
	for (uint32_t i = 0; i < c->env.n; i++)
		if (c->env.v[i][0] == '=' || !strchr(c->env.v[i], '='))
			return err_plain(e, EINVAL, "invalid environment variable: %s",
					 c->env.v[i]);
	for (uint32_t i = 0; i < c->dns.n; i++)
		if (inet_pton(AF_INET, c->dns.v[i], &four) != 1 &&
		    inet_pton(AF_INET6, c->dns.v[i], &six) != 1)
			return err_plain(e, EINVAL, "invalid IP address in --dns: %s", c->dns.v[i]);
	for (uint32_t i = 0; i < c->extra_hosts.n; i++) {
		const char *colon = strchr(c->extra_hosts.v[i], ':');

		if (!colon || colon == c->extra_hosts.v[i] ||
		    (inet_pton(AF_INET, colon + 1, &four) != 1 &&
		     inet_pton(AF_INET6, colon + 1, &six) != 1))
			return err_plain(e, EINVAL, "bad format for add-host: \"%s\"",
					 c->extra_hosts.v[i]);
	}
	return 0;
}

static int numbers_check(const struct machine_config *c, struct err *e)
{
	if (c->mem_bytes && (c->mem_bytes < VM_MEM_MIN || c->mem_bytes > VM_MEM_MAX))
		return err_plain(e, EINVAL,
				 "Minimum memory limit allowed is %lluMB, maximum %lluGB",
				 VM_MEM_MIN >> 20, VM_MEM_MAX >> 30);
	if (c->mem_max_bytes &&
	    (c->mem_max_bytes < MAX_OF(c->mem_bytes, VM_MEM_MIN) || c->mem_max_bytes > VM_MEM_MAX))
		return err_plain(e, EINVAL,
				 "--memory-max is from the machine's memory, to which it does "
				 "not shrink, to %lluGB",
				 VM_MEM_MAX >> 30);
	if (c->cpus > VM_CPUS_MAX || c->cpus > (uint32_t)get_nprocs_conf())
		return err_plain(
			e, EINVAL,
			"Range of CPUs is from 1 to %d, as there are only %d CPUs available",
			get_nprocs_conf(), get_nprocs_conf());
	if (c->disk_bytes && (c->disk_bytes < DISK_SIZE_MIN || c->disk_bytes > DISK_SIZE_MAX))
		return err_plain(e, EINVAL, "--storage-opt size= is from %lluMB to %lluGB",
				 DISK_SIZE_MIN >> 20, DISK_SIZE_MAX >> 30);
	if (vm_cpu_model_check(c->cpu_model, e) < 0)
		return -e->code;
	if ((c->disk_bps && c->disk_bps < BPS_MIN) || (c->net_bps && c->net_bps < BPS_MIN))
		return err_plain(e, EINVAL, "--disk-bps and --net-bps are from %u bytes a second",
				 BPS_MIN);
	if (c->stop_timeout_s < -1)
		return err_plain(e, EINVAL, "invalid stop timeout %" PRId32, c->stop_timeout_s);
	return 0;
}

int machine_config_check(const struct machine_config *c, struct err *e)
{
	if (!name_is_valid(c->name))
		return err_plain(
			e, EINVAL,
			"Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
			c->name);
	if (strlen(c->id) != MACHINE_ID_LEN || strspn(c->id, "0123456789abcdef") != MACHINE_ID_LEN)
		return err_plain(e, EINVAL, "invalid machine id");
	if (c->hostname && *c->hostname && !hostname_is_valid(c->hostname))
		return err_plain(e, EINVAL, "invalid hostname \"%s\"", c->hostname);
	if (c->cwd && *c->cwd && !path_is_absolute(c->cwd))
		return err_plain(
			e, EINVAL,
			"the working directory '%s' is invalid, it needs to be an absolute path",
			c->cwd);
	if (c->cwd && strncmp(c->cwd, "/proc/self/fd", 13) == 0)
		return err_plain(e, EINVAL, "the working directory '%s' is not allowed", c->cwd);
	if (c->vsock && !path_is_absolute(c->vsock))
		return err_plain(e, EINVAL, "invalid --vsock \"%s\": not an absolute path",
				 c->vsock);
	if (numbers_check(c, e) < 0 || lists_check(c, e) < 0 || ports_check(c, e) < 0 ||
	    machine_net_check(c, e) < 0)
		return -e->code;
	return mounts_check(c, e);
}
