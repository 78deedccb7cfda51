/* SPDX-License-Identifier: MIT */
/*
 * engine_machine_show.c - machines as JSON: list, and inspect in Docker's shape
 *
 * Parts are added without a look; json_build_end() tells whether all are there.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "driver.h"
#include "json_text.h"
#include "machine_internal.h"
#include "vm_record.h"

static json_t *strings(const struct strv *s)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < s->n; i++)
		(void)json_array_append_new(a, json_string(s->v[i]));
	return a;
}

static json_t *strings_or_null(const struct strv *s)
{
	return s->n ? strings(s) : json_null();
}

static json_t *text(const char *t)
{
	return json_string(t ? t : "");
}

static json_t *time_text(int64_t ns)
{
	char t[40];

	time_format(ns, t);
	return json_string(t);
}

json_t *pairs_show(const struct strv *s)
{
	json_t *o = json_object();

	for (uint32_t i = 0; i < s->n; i++) {
		const char *eq = strchr(s->v[i], '=');
		size_t len = eq ? (size_t)(eq - s->v[i]) : strlen(s->v[i]);

		(void)json_object_setn_new(o, s->v[i], len, json_string(eq ? eq + 1 : ""));
	}
	return o;
}

static const char *port_key(const struct machine_port *p, char buf[16])
{
	snprintf(buf, 16, "%u/%s", p->guest_port, p->is_udp ? "udp" : "tcp");
	return buf;
}

static json_t *bindings(const struct machine_port *ports, uint32_t n)
{
	json_t *o = json_object();

	for (uint32_t i = 0; i < n; i++) {
		char key[16], host[8];
		json_t *list = json_object_get(o, port_key(&ports[i], key));

		if (!list) {
			list = json_array();
			(void)json_object_set_new(o, key, list);
		}
		snprintf(host, sizeof(host), "%u", ports[i].host_port);
		(void)json_array_append_new(
			list, json_pack("{s:s,s:s}", "HostIp",
					*ports[i].host_ip ? ports[i].host_ip : "0.0.0.0",
					"HostPort", ports[i].host_port ? host : ""));
	}
	return o;
}

static json_t *state_show(const struct machine_state *s)
{
	bool runs = s->status == MACHINE_RUNNING;
	json_t *o = json_pack(
		"{s:s,s:b,s:b,s:b,s:b,s:b,s:i,s:i}", "Status", machine_status_name(s->status),
		"Running", runs, "Paused", 0, "Restarting", 0, "OOMKilled", s->was_oom, "Dead",
		s->status == MACHINE_DEAD, "Pid", runs ? s->vmm_pid : 0, "ExitCode", s->exit_code);

	(void)json_object_set_new(o, "Error", text(s->error));
	(void)json_object_set_new(o, "StartedAt", time_text(s->started_ns));
	(void)json_object_set_new(o, "FinishedAt", time_text(s->finished_ns));
	return o;
}

static json_t *config_show(const struct machine_config *c)
{
	json_t *o = json_object(), *exposed = json_object();
	char host[13];

	for (uint32_t i = 0; i < c->exposed.n; i++)
		(void)json_object_set_new(exposed, c->exposed.v[i], json_object());
	snprintf(host, sizeof(host), "%.12s", c->id);
	(void)json_object_set_new(o, "Hostname",
				  text(c->hostname && *c->hostname ? c->hostname : host));
	(void)json_object_set_new(o, "User", text(c->user));
	(void)json_object_set_new(o, "Tty", json_boolean(c->has_tty));
	(void)json_object_set_new(o, "OpenStdin", json_boolean(c->has_stdin));
	(void)json_object_set_new(o, "Env", strings(&c->env));
	(void)json_object_set_new(o, "Cmd", strings_or_null(&c->cmd));
	(void)json_object_set_new(o, "Image", text(c->image_ref));
	(void)json_object_set_new(o, "WorkingDir", text(c->cwd));
	(void)json_object_set_new(o, "Entrypoint", strings_or_null(&c->entrypoint));
	(void)json_object_set_new(o, "Labels", pairs_show(&c->labels));
	(void)json_object_set_new(o, "ExposedPorts", exposed);
	if (c->stop_signal && *c->stop_signal)
		(void)json_object_set_new(o, "StopSignal", text(c->stop_signal));
	if (c->stop_timeout_s >= 0)
		(void)json_object_set_new(o, "StopTimeout", json_integer(c->stop_timeout_s));
	return o;
}

static json_t *mount_show(struct engine *g, const struct machine_mount *m)
{
	json_t *o = json_pack("{s:s,s:o,s:o,s:s,s:b}", "Type", machine_mount_name(m->kind),
			      "Source", text(m->source), "Destination", text(m->target), "Mode",
			      m->is_readonly ? "ro" : "", "RW", !m->is_readonly);
	char path[4096 + 300];

	if (m->kind != MACHINE_MOUNT_VOLUME)
		return o;
	snprintf(path, sizeof(path), "%s/volumes/%s/disk.vhd", store_root_path(engine_store(g)),
		 m->source);
	(void)json_object_set_new(o, "Name", text(m->source));
	(void)json_object_set_new(o, "Source", text(path));
	(void)json_object_set_new(o, "Driver", json_string("vhd"));
	return o;
}

static json_t *mounts_show(struct engine *g, const struct machine_config *c)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < c->n_mounts; i++)
		(void)json_array_append_new(a, mount_show(g, &c->mounts[i]));
	return a;
}

#define NETWORK_NAME_MAX (sizeof("tap:") + sizeof(((struct machine_config *)0)->tap))

static const char *network_name(const struct machine_config *c, const char *of_default,
				char buf[NETWORK_NAME_MAX])
{
	if (!*c->tap)
		return c->has_network ? of_default : "none";
	snprintf(buf, NETWORK_NAME_MAX, "tap:%s", c->tap);
	return buf;
}

static json_t *host_config_show(const struct machine_config *c)
{
	char name[NETWORK_NAME_MAX];

	return json_pack("{s:s,s:o,s:b,s:b,s:I,s:I,s:o,s:o,s:b}", "NetworkMode",
			 network_name(c, "default", name), "PortBindings",
			 bindings(c->ports, c->n_ports), "AutoRemove", c->is_auto_removed,
			 "ReadonlyRootfs", c->is_readonly, "Memory", (json_int_t)c->mem_bytes,
			 "NanoCpus", (json_int_t)c->cpus * 1000000000, "Dns", strings(&c->dns),
			 "ExtraHosts", strings(&c->extra_hosts), "PublishAllPorts", c->publish_all);
}

static json_t *network_show(const struct machine_state *s)
{
	bool runs = s->status == MACHINE_RUNNING;

	return json_pack("{s:o,s:s,s:s,s:s}", "Ports",
			 runs ? bindings(s->ports, s->n_ports) : json_object(), "IPAddress",
			 runs ? s->ip : "", "Gateway", runs ? s->gateway : "", "MacAddress",
			 runs ? s->mac : "");
}

/* Zeros for one that does not run, or is just ending. Its keeper is asked only if it may grow. */
static struct machine_memory memory_of(struct engine *g, const struct machine *m)
{
	struct machine_memory now = { 0 };
	struct err ignored = { 0 };

	if (m->state.status != MACHINE_RUNNING || !m->config.mem_max_bytes ||
	    engine_machine_memory(g, m->config.id, &now, &ignored) < 0)
		return (struct machine_memory){ 0 };
	return now;
}

static json_t *caisson_show(const struct machine *m, const struct machine_memory *now)
{
	const struct machine_state *s = &m->state;

	return json_pack(
		"{s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:i,s:I,s:I,s:s,s:s,s:s,s:I,s:I,s:I,s:b,s:I,s:I,s:I}",
		"Driver", s->driver, "Accelerator", s->accel, "AcceleratorReason", s->accel_reason,
		"Boot", s->boot, "BootReason", s->boot_reason, "Kernel", s->kernel, "KeeperPid",
		s->keeper_pid, "VmmPid", s->vmm_pid, "DiskBytes", (json_int_t)m->config.disk_bytes,
		"MemoryBytes", (json_int_t)m->config.mem_bytes, "WantedDriver", m->config.driver,
		"CpuModel", *m->config.cpu_model ? m->config.cpu_model : "host", "Vsock",
		m->config.vsock ? m->config.vsock : "", "MemoryMaxBytes",
		(json_int_t)m->config.mem_max_bytes, "MemoryWantedBytes", (json_int_t)now->wanted,
		"MemoryNowBytes", (json_int_t)now->now, "Dax", m->config.has_dax, "DiskBps",
		(json_int_t)m->config.disk_bps, "DiskIops", (json_int_t)m->config.disk_iops,
		"NetBps", (json_int_t)m->config.net_bps);
}

static json_t *command_list(const struct machine_config *c)
{
	const struct strv *parts[] = { &c->entrypoint, &c->cmd };
	json_t *a = json_array();

	for (size_t k = 0; k < 2; k++)
		for (uint32_t i = 0; i < parts[k]->n; i++)
			(void)json_array_append_new(a, json_string(parts[k]->v[i]));
	return a;
}

int engine_machine_inspect(struct engine *g, const char *id, json_t **ret, struct err *e)
{
	struct machine m = { 0 };
	struct machine_memory now;
	json_t *o, *all;
	char name[MACHINE_NAME_MAX + 2], log[4300];

	if (machine_read(g, id, &m, e) < 0)
		return -e->code;
	now = memory_of(g, &m);
	json_build_begin();
	o = json_object();
	all = command_list(&m.config);
	snprintf(name, sizeof(name), "/%s", m.config.name);
	snprintf(log, sizeof(log), "%s/machines/%s/log.json", store_root_path(engine_store(g)), id);
	(void)json_object_set_new(o, "Id", json_string(m.config.id));
	(void)json_object_set_new(o, "Created", time_text(m.config.created_ns));
	(void)json_object_set(o, "Path", json_array_get(all, 0));
	(void)json_array_remove(all, 0);
	(void)json_object_set_new(o, "Args", all);
	(void)json_object_set_new(o, "State", state_show(&m.state));
	(void)json_object_set_new(o, "Image", json_string(m.config.image_id));
	(void)json_object_set_new(o, "LogPath", json_string(log));
	(void)json_object_set_new(o, "Name", json_string(name));
	(void)json_object_set_new(o, "Platform", json_string("linux"));
	(void)json_object_set_new(o, "HostConfig", host_config_show(&m.config));
	(void)json_object_set_new(o, "Mounts", mounts_show(g, &m.config));
	(void)json_object_set_new(o, "Config", config_show(&m.config));
	(void)json_object_set_new(o, "NetworkSettings", network_show(&m.state));
	(void)json_object_set_new(o, "Caisson", caisson_show(&m, &now));
	machine_done(&m);
	*ret = json_build_end(o);
	return *ret ? 0 : err_set(e, ENOMEM, "inspect");
}

/* ---- list ---- */

static json_t *ports_list(const struct machine *m)
{
	const struct machine_state *s = &m->state;
	json_t *a = json_array();

	for (uint32_t i = 0; s->status == MACHINE_RUNNING && i < s->n_ports; i++)
		(void)json_array_append_new(
			a, json_pack("{s:s,s:i,s:i,s:s}", "host_ip",
				     *s->ports[i].host_ip ? s->ports[i].host_ip : "0.0.0.0",
				     "host_port", s->ports[i].host_port, "guest_port",
				     s->ports[i].guest_port, "proto",
				     s->ports[i].is_udp ? "udp" : "tcp"));
	return a;
}

/* Names of volumes, paths of the host; a tmpfs has neither. */
static json_t *mounts_list(const struct machine_config *c)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < c->n_mounts; i++)
		if (c->mounts[i].kind != MACHINE_MOUNT_TMPFS)
			(void)json_array_append_new(a, text(c->mounts[i].source));
	return a;
}

/* What the writable layer takes on the host's disk; 0 before the first start. */
static uint64_t writable_bytes(struct engine *g, const char *id)
{
	char name[120];
	struct stat st;

	snprintf(name, sizeof(name), "machines/%s/" MACHINE_WRITABLE_NAME, id);
	return fstatat(store_root_fd(engine_store(g)), name, &st, AT_SYMLINK_NOFOLLOW) < 0
		       ? 0
		       : (uint64_t)st.st_blocks * 512;
}

static int sizes_set(struct engine *g, const struct machine *m, json_t *o, struct err *e)
{
	struct store_image img = { 0 };
	int rc = store_image_find(engine_store(g), m->config.image_id, &img, e);

	if (rc < 0 && rc != -ENOENT) /* without its image only the own size is told */
		return rc;
	(void)json_object_set_new(o, "size",
				  json_integer((json_int_t)writable_bytes(g, m->config.id)));
	(void)json_object_set_new(o, "image_size", json_integer((json_int_t)img.size));
	return 0;
}

static int list_one(struct engine *g, const char *id, bool all, json_t *list, struct err *e)
{
	struct machine m = { 0 };
	char network[NETWORK_NAME_MAX];
	json_t *o;
	int rc = 0;

	if (machine_read(g, id, &m, e) < 0)
		return e->code == ENOENT ? 0 : -e->code; /* removed meanwhile */
	if (all || m.state.status == MACHINE_RUNNING) {
		o = json_pack("{s:s,s:s,s:o,s:s,s:I,s:s,s:i,s:I,s:I,s:b}", "id", m.config.id,
			      "name", m.config.name, "image", text(m.config.image_ref), "image_id",
			      m.config.image_id, "created_ns", (json_int_t)m.config.created_ns,
			      "status", machine_status_name(m.state.status), "exit_code",
			      m.state.exit_code, "started_ns", (json_int_t)m.state.started_ns,
			      "finished_ns", (json_int_t)m.state.finished_ns, "oom",
			      m.state.was_oom);
		(void)json_object_set_new(o, "command", command_list(&m.config));
		(void)json_object_set_new(o, "ports", ports_list(&m));
		(void)json_object_set_new(o, "exposed", strings(&m.config.exposed));
		(void)json_object_set_new(o, "labels", pairs_show(&m.config.labels));
		(void)json_object_set_new(o, "mounts", mounts_list(&m.config));
		(void)json_object_set_new(o, "network",
					  json_string(network_name(&m.config, "bridge", network)));
		rc = sizes_set(g, &m, o, e);
		(void)json_array_append_new(list, o);
	}
	machine_done(&m);
	return rc;
}

int engine_machine_list(struct engine *g, bool all, json_t **ret, struct err *e)
{
	struct strv ids = { 0 };
	struct sqlite3 *db;
	json_t *list;
	int rc = machine_db(g, &db, e);

	json_build_begin();
	list = json_array();
	if (rc == 0)
		rc = vm_record_list(db, &ids, e);
	for (uint32_t i = 0; rc == 0 && i < ids.n; i++)
		rc = list_one(g, ids.v[i], all, list, e);
	strv_done(&ids);
	list = json_build_end(list);
	if (rc < 0) {
		json_decref(list);
		return rc;
	}
	*ret = list;
	return list ? 0 : err_set(e, ENOMEM, "list of machines");
}
