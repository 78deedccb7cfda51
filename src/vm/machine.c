/* SPDX-License-Identifier: MIT */
/*
 * machine.c - config and state of a machine, to JSON and back
 *
 * One table of scalar fields for each struct drives both directions; lists have a function each.
 * Reading is strict where a wrong value would do harm (types, lengths, enum names) and lenient
 * where a field is missing: an older record has fewer.
 */
#include "machine.h"

#include <stddef.h>

#include <string.h>

#define LIST_MAX 65536U

enum field_kind { F_STR, F_TEXT, F_I64, F_I32, F_U32, F_U64, F_BOOL };

struct field { /* F_STR is a char * of its own, F_TEXT an array of `size` bytes */
	const char *name;
	enum field_kind kind;
	size_t off, size;
};

#define CFG(field_, kind_)                                                                         \
	{                                                                                          \
#field_, kind_, offsetof(struct machine_config, field_),                           \
			sizeof(((struct machine_config *)NULL)->field_)                            \
	}
#define STA(field_, kind_)                                                                         \
	{                                                                                          \
#field_, kind_, offsetof(struct machine_state, field_),                            \
			sizeof(((struct machine_state *)NULL)->field_)                             \
	}

static const struct field config_fields[] = {
	CFG(id, F_TEXT),          CFG(name, F_TEXT),          CFG(created_ns, F_I64),
	CFG(image_ref, F_STR),    CFG(image_id, F_TEXT),      CFG(user, F_STR),
	CFG(cwd, F_STR),          CFG(hostname, F_STR),       CFG(stop_signal, F_STR),
	CFG(platform, F_STR),     CFG(stop_timeout_s, F_I32), CFG(has_tty, F_BOOL),
	CFG(has_stdin, F_BOOL),   CFG(is_readonly, F_BOOL),   CFG(is_auto_removed, F_BOOL),
	CFG(publish_all, F_BOOL), CFG(is_detached, F_BOOL),   CFG(has_network, F_BOOL),
	CFG(mem_bytes, F_U64),    CFG(mem_max_bytes, F_U64),  CFG(cpus, F_U32),
	CFG(disk_bytes, F_U64),   CFG(no_template, F_BOOL),   CFG(has_dax, F_BOOL),
	CFG(driver, F_TEXT),      CFG(kernel, F_TEXT),        CFG(cpu_model, F_TEXT),
	CFG(vsock, F_STR),        CFG(tap, F_TEXT),           CFG(ip, F_TEXT),
	CFG(gateway, F_TEXT),     CFG(mac, F_TEXT),           CFG(disk_bps, F_U64),
	CFG(disk_iops, F_U64),    CFG(net_bps, F_U64),
};

static const struct field state_fields[] = {
	STA(exit_code, F_I32),     STA(was_oom, F_BOOL),    STA(error, F_TEXT),
	STA(started_ns, F_I64),    STA(finished_ns, F_I64), STA(keeper_pid, F_I32),
	STA(vmm_pid, F_I32),       STA(driver, F_TEXT),     STA(accel, F_TEXT),
	STA(accel_reason, F_TEXT), STA(boot, F_TEXT),       STA(template_key, F_TEXT),
	STA(kernel, F_TEXT),       STA(ip, F_TEXT),         STA(mac, F_TEXT),
	STA(boot_reason, F_TEXT),  STA(gateway, F_TEXT),
};

struct list_field {
	const char *name;
	size_t off;
};
#define LIST(field_)                                                                               \
	{                                                                                          \
#field_, offsetof(struct machine_config, field_)                                   \
	}
static const struct list_field config_lists[] = {
	LIST(entrypoint), LIST(cmd),         LIST(env),     LIST(labels),
	LIST(dns),        LIST(extra_hosts), LIST(exposed),
};

static const char *const status_names[] = { "created", "running", "exited", "dead" };
_Static_assert(ARRAY_SIZE(status_names) == MACHINE_STATUS_COUNT_, "a name for each status");

static const char *const mount_names[] = { "bind", "tmpfs", "volume", "disk" };
_Static_assert(ARRAY_SIZE(mount_names) == MACHINE_MOUNT_COUNT_, "a name for each kind");

const char *machine_mount_name(enum machine_mount_kind kind)
{
	return (unsigned)kind < ARRAY_SIZE(mount_names) ? mount_names[kind] : "unknown";
}

const char *machine_status_name(enum machine_status s)
{
	return (unsigned)s < ARRAY_SIZE(status_names) ? status_names[s] : "unknown";
}

int strv_add(struct strv *s, const char *text)
{
	char **v = realloc(s->v, (s->n + 2) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	s->v = v;
	v[s->n] = strdup(text);
	if (!v[s->n])
		return -ENOMEM;
	v[++s->n] = NULL;
	return 0;
}

void strv_done(struct strv *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strv){ 0 };
}

void machine_config_done(struct machine_config *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(config_fields); i++)
		if (config_fields[i].kind == F_STR)
			free(*(char **)((char *)c + config_fields[i].off));
	for (size_t i = 0; i < ARRAY_SIZE(config_lists); i++)
		strv_done((struct strv *)(void *)((char *)c + config_lists[i].off));
	for (uint32_t i = 0; i < c->n_mounts; i++) {
		free(c->mounts[i].source);
		free(c->mounts[i].target);
		free(c->mounts[i].options);
	}
	free(c->mounts);
	free(c->ports);
	memset(c, 0, sizeof(*c));
}

void machine_state_done(struct machine_state *s)
{
	free(s->ports);
	memset(s, 0, sizeof(*s));
}

/* ---- to JSON ---- */

static json_t *field_put(const struct field *f, const char *base)
{
	const void *p = base + f->off;

	switch (f->kind) {
	case F_STR:
		return *(char *const *)p ? json_string_nocheck(*(char *const *)p) : json_null();
	case F_TEXT:
		return json_string_nocheck(p);
	case F_I64:
		return json_integer(*(const int64_t *)p);
	case F_I32:
		return json_integer(*(const int32_t *)p);
	case F_U32:
		return json_integer(*(const uint32_t *)p);
	case F_U64:
		return json_integer((json_int_t) * (const uint64_t *)p);
	default:
		return json_boolean(*(const bool *)p);
	}
}

static int fields_put(json_t *o, const struct field *f, size_t n, const void *base)
{
	for (size_t i = 0; i < n; i++)
		if (json_object_set_new(o, f[i].name, field_put(&f[i], base)) < 0)
			return -ENOMEM;
	return 0;
}

/* Append `v`, which is consumed. An array that lacks something is none: NULL, as `a` may be. */
static json_t *array_add(json_t *a, json_t *v)
{
	if (json_array_append_new(a, v) == 0)
		return a;
	json_decref(a);
	return NULL;
}

static json_t *list_put(const struct strv *s)
{
	json_t *a = json_array();

	for (uint32_t i = 0; a && i < s->n; i++)
		a = array_add(a, json_string_nocheck(s->v[i]));
	return a;
}

static json_t *ports_put(const struct machine_port *p, uint32_t n)
{
	json_t *a = json_array();

	for (uint32_t i = 0; a && i < n; i++)
		a = array_add(a, json_pack("{s:s,s:i,s:i,s:b}", "host_ip", p[i].host_ip,
					   "host_port", p[i].host_port, "guest_port",
					   p[i].guest_port, "is_udp", p[i].is_udp));
	return a;
}

static json_t *mount_put(const struct machine_mount *m)
{
	json_t *o = json_object();
	int rc = json_object_set_new(o, "kind", json_string(machine_mount_name(m->kind)));

	rc |= json_object_set_new(o, "source", json_string_nocheck(m->source ? m->source : ""));
	rc |= json_object_set_new(o, "target", json_string_nocheck(m->target));
	rc |= json_object_set_new(o, "options", json_string_nocheck(m->options ? m->options : ""));
	rc |= json_object_set_new(o, "is_readonly", json_boolean(m->is_readonly));
	if (m->is_anonymous)
		rc |= json_object_set_new(o, "is_anonymous", json_true());
	if (rc == 0)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *mounts_put(const struct machine_config *c)
{
	json_t *a = json_array();

	for (uint32_t i = 0; a && i < c->n_mounts; i++)
		a = array_add(a, mount_put(&c->mounts[i]));
	return a;
}

json_t *machine_config_to_json(const struct machine_config *c)
{
	json_t *o = json_object();
	int rc = fields_put(o, config_fields, ARRAY_SIZE(config_fields), c);

	for (size_t i = 0; i < ARRAY_SIZE(config_lists); i++)
		rc |= json_object_set_new(
			o, config_lists[i].name,
			list_put((const void *)((const char *)c + config_lists[i].off)));
	rc |= json_object_set_new(o, "ports", ports_put(c->ports, c->n_ports));
	rc |= json_object_set_new(o, "mounts", mounts_put(c));
	if (rc == 0)
		return o;
	json_decref(o);
	return NULL;
}

json_t *machine_state_to_json(const struct machine_state *s)
{
	json_t *o = json_object();
	int rc = fields_put(o, state_fields, ARRAY_SIZE(state_fields), s);

	rc |= json_object_set_new(o, "status", json_string(machine_status_name(s->status)));
	rc |= json_object_set_new(o, "ports", ports_put(s->ports, s->n_ports));
	if (rc == 0)
		return o;
	json_decref(o);
	return NULL;
}

/* ---- from JSON ---- */

static int bad(struct err *e, const char *name)
{
	return err_plain(e, EBADMSG, "the machine's record is damaged: field \"%s\"", name);
}

static int number_get(const struct field *f, char *p, const json_t *v, struct err *e)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v))
		return bad(e, f->name);
	switch (f->kind) {
	case F_I64:
		*(int64_t *)(void *)p = n;
		return 0;
	case F_I32:
		*(int32_t *)(void *)p = (int32_t)n;
		return n < INT32_MIN || n > INT32_MAX ? bad(e, f->name) : 0;
	case F_U32:
		*(uint32_t *)(void *)p = (uint32_t)n;
		return n < 0 || n > UINT32_MAX ? bad(e, f->name) : 0;
	default:
		*(uint64_t *)(void *)p = (uint64_t)n;
		return n < 0 ? bad(e, f->name) : 0;
	}
}

static int field_get(const struct field *f, char *base, const json_t *v, struct err *e)
{
	char *p = base + f->off;

	if (!v || json_is_null(v))
		return 0;
	switch (f->kind) {
	case F_STR:
		if (!json_is_string(v))
			return bad(e, f->name);
		*(char **)(void *)p = strdup(json_string_value(v));
		return *(char **)(void *)p ? 0 : err_set(e, ENOMEM, "record");
	case F_TEXT:
		if (!json_is_string(v) || json_string_length(v) >= f->size)
			return bad(e, f->name);
		memcpy(p, json_string_value(v), json_string_length(v) + 1);
		return 0;
	case F_BOOL:
		*(bool *)(void *)p = json_is_true(v);
		return json_is_boolean(v) ? 0 : bad(e, f->name);
	default:
		return number_get(f, p, v, e);
	}
}

static int list_get(const json_t *a, const char *name, struct strv *s, struct err *e)
{
	if (!a)
		return 0;
	if (!json_is_array(a) || json_array_size(a) > LIST_MAX)
		return bad(e, name);
	for (size_t i = 0; i < json_array_size(a); i++) {
		const char *t = json_string_value(json_array_get(a, i));

		if (!t)
			return bad(e, name);
		if (strv_add(s, t) < 0)
			return err_set(e, ENOMEM, "record");
	}
	return 0;
}

static bool port_get(const json_t *o, struct machine_port *p)
{
	const char *ip = json_string_value(json_object_get(o, "host_ip"));
	json_int_t host = json_integer_value(json_object_get(o, "host_port"));
	json_int_t guest = json_integer_value(json_object_get(o, "guest_port"));

	if (!ip || strlen(ip) >= sizeof(p->host_ip) || host < 0 || host > UINT16_MAX || guest < 1 ||
	    guest > UINT16_MAX)
		return false;
	snprintf(p->host_ip, sizeof(p->host_ip), "%s", ip);
	p->host_port = (uint16_t)host;
	p->guest_port = (uint16_t)guest;
	p->is_udp = json_is_true(json_object_get(o, "is_udp"));
	return true;
}

static int ports_get(const json_t *a, struct machine_port **ret, uint32_t *ret_n, struct err *e)
{
	size_t n = json_array_size(a);

	if (n == 0)
		return 0;
	if (n > LIST_MAX)
		return bad(e, "ports");
	*ret = calloc(n, sizeof(**ret));
	if (!*ret)
		return err_set(e, ENOMEM, "record");
	for (size_t i = 0; i < n; i++)
		if (!port_get(json_array_get(a, i), &(*ret)[i]))
			return bad(e, "ports");
	*ret_n = (uint32_t)n;
	return 0;
}

static int mount_get(const json_t *o, struct machine_mount *m, struct err *e)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));
	const char *source = json_string_value(json_object_get(o, "source"));
	const char *target = json_string_value(json_object_get(o, "target"));
	const char *options = json_string_value(json_object_get(o, "options"));

	if (!kind || !source || !target || !options)
		return bad(e, "mounts");
	for (m->kind = 0; m->kind < MACHINE_MOUNT_COUNT_; m->kind++)
		if (strcmp(kind, mount_names[m->kind]) == 0)
			break;
	if (m->kind == MACHINE_MOUNT_COUNT_)
		return bad(e, "mounts");
	m->source = strdup(source);
	m->target = strdup(target);
	m->options = strdup(options);
	m->is_readonly = json_is_true(json_object_get(o, "is_readonly"));
	m->is_anonymous = json_is_true(json_object_get(o, "is_anonymous"));
	return m->source && m->target && m->options ? 0 : err_set(e, ENOMEM, "record");
}

static int mounts_get(const json_t *a, struct machine_config *c, struct err *e)
{
	size_t n = json_array_size(a);

	if (n == 0)
		return 0;
	if (n > LIST_MAX)
		return bad(e, "mounts");
	c->mounts = calloc(n, sizeof(*c->mounts));
	if (!c->mounts)
		return err_set(e, ENOMEM, "record");
	for (size_t i = 0; i < n; i++) {
		c->n_mounts++;
		if (mount_get(json_array_get(a, i), &c->mounts[i], e) < 0)
			return -e->code;
	}
	return 0;
}

static int config_fill(const json_t *j, struct machine_config *c, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(config_fields); i++)
		if (field_get(&config_fields[i], (char *)c,
			      json_object_get(j, config_fields[i].name), e) < 0)
			return -e->code;
	for (size_t i = 0; i < ARRAY_SIZE(config_lists); i++)
		if (list_get(json_object_get(j, config_lists[i].name), config_lists[i].name,
			     (struct strv *)(void *)((char *)c + config_lists[i].off), e) < 0)
			return -e->code;
	if (ports_get(json_object_get(j, "ports"), &c->ports, &c->n_ports, e) < 0)
		return -e->code;
	return mounts_get(json_object_get(j, "mounts"), c, e);
}

int machine_config_from_json(const json_t *j, struct machine_config *ret, struct err *e)
{
	struct machine_config c = { .stop_timeout_s = -1 };

	if (!json_is_object(j))
		return bad(e, "config");
	if (config_fill(j, &c, e) < 0) {
		machine_config_done(&c);
		return -e->code;
	}
	*ret = c;
	return 0;
}

static int state_fill(const json_t *j, struct machine_state *s, struct err *e)
{
	const char *status = json_string_value(json_object_get(j, "status"));

	for (size_t i = 0; i < ARRAY_SIZE(state_fields); i++)
		if (field_get(&state_fields[i], (char *)s, json_object_get(j, state_fields[i].name),
			      e) < 0)
			return -e->code;
	for (s->status = 0; s->status < MACHINE_STATUS_COUNT_; s->status++)
		if (status && strcmp(status, status_names[s->status]) == 0)
			return ports_get(json_object_get(j, "ports"), &s->ports, &s->n_ports, e);
	return bad(e, "status");
}

int machine_state_from_json(const json_t *j, struct machine_state *ret, struct err *e)
{
	struct machine_state s = { 0 };

	if (!json_is_object(j))
		return bad(e, "state");
	if (state_fill(j, &s, e) < 0) {
		machine_state_done(&s);
		return -e->code;
	}
	*ret = s;
	return 0;
}
