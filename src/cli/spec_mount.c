/* SPDX-License-Identifier: MIT */
/* spec_mount.c - ports, volumes, mounts, hosts */
#include <stddef.h>
#include <string.h>

#include "spec.h"

#define TMPFS_VALUE_MAX 40

/* Cut the text at the separator; the rest, or NULL when there is none. */
static char *cut(char *text, char sep)
{
	char *at = strchr(text, sep);

	if (!at)
		return NULL;
	*at = 0;
	return at + 1;
}

/* ---- ports ---- */

struct port_range {
	unsigned first, last;
};

static int port_parse(const char *text, unsigned *ret)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (strspn(text, "0123456789") == 0 || *end || v == 0 || v > 65535)
		return -EINVAL;
	*ret = (unsigned)v;
	return 0;
}

static int range_parse(char *text, struct port_range *ret)
{
	char *last = cut(text, '-');

	if (port_parse(text, &ret->first) < 0 || port_parse(last ? last : text, &ret->last) < 0)
		return -EINVAL;
	return ret->last < ret->first ? -EINVAL : 0;
}

/* "ip:host:guest" from the right: only the address may hold colons, and then it is in brackets. */
static int publish_split(char *text, char **ret_ip, char **ret_host, char **ret_guest)
{
	char *colon;

	*ret_ip = *ret_host = NULL;
	colon = strrchr(text, ':');
	*ret_guest = colon ? colon + 1 : text;
	if (!colon)
		return 0;
	*colon = 0;
	*ret_host = text;
	colon = strrchr(text, ':');
	if (!colon)
		return 0;
	*colon = 0;
	*ret_host = colon + 1;
	*ret_ip = text;
	if (*text == '[') {
		size_t len = strlen(text);

		if (text[len - 1] != ']')
			return -EINVAL;
		text[len - 1] = 0;
		(*ret_ip)++;
	} else if (strchr(text, ':')) {
		return -EINVAL;
	}
	return strlen(*ret_ip) < sizeof(((struct machine_port *)0)->host_ip) ? 0 : -EINVAL;
}

static int ports_add(struct machine_config *c, const char *ip, const struct port_range *host,
		     const struct port_range *guest, bool is_udp)
{
	uint32_t n = guest->last - guest->first + 1;
	struct machine_port *p = realloc(c->ports, (c->n_ports + n) * sizeof(*p));

	if (!p)
		return -ENOMEM;
	c->ports = p;
	for (uint32_t i = 0; i < n; i++) {
		p[c->n_ports + i] = (struct machine_port){
			.host_port = (uint16_t)(host->first ? host->first + i : 0),
			.guest_port = (uint16_t)(guest->first + i),
			.is_udp = is_udp,
		};
		snprintf(p[c->n_ports + i].host_ip, sizeof(p->host_ip), "%s", ip ? ip : "");
	}
	c->n_ports += n;
	return 0;
}

int spec_publish(const char *text, struct machine_config *c, struct err *e)
{
	struct port_range host = { 0 }, guest = { 0 };
	auto_free char *copy = strdup(text);
	char *proto, *ip, *from, *to;

	if (!copy)
		return err_set(e, ENOMEM, "ports");
	proto = cut(copy, '/');
	if (proto && strcmp(proto, "sctp") == 0)
		return err_plain(e, ENOTSUP, "-p %s: sctp is not supported by caisson", text);
	if (proto && strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0)
		return err_plain(e, EINVAL, "invalid proto in -p: %s", text);
	if (publish_split(copy, &ip, &from, &to) < 0)
		return err_plain(e, EINVAL, "invalid IP address in -p: %s", text);
	if (range_parse(to, &guest) < 0)
		return err_plain(e, EINVAL, "invalid containerPort in -p: %s", text);
	if (from && *from && strcmp(from, "0") != 0 && range_parse(from, &host) < 0)
		return err_plain(e, EINVAL, "invalid hostPort in -p: %s", text);
	if (host.first && host.last - host.first != guest.last - guest.first)
		return err_plain(e, EINVAL, "ranges of different lengths in -p: %s", text);
	return ports_add(c, ip, &host, &guest, proto && *proto == 'u') < 0
		       ? err_set(e, ENOMEM, "ports")
		       : 0;
}

/* ---- mounts ---- */

static int mount_add(struct machine_config *c, enum machine_mount_kind kind, const char *source,
		     const char *target, const char *options, bool is_readonly, struct err *e)
{
	struct machine_mount *m = realloc(c->mounts, (c->n_mounts + 1) * sizeof(*m));

	if (!m)
		return err_set(e, ENOMEM, "mounts");
	c->mounts = m;
	m = &m[c->n_mounts++];
	*m = (struct machine_mount){ .kind = kind, .is_readonly = is_readonly };
	m->source = source ? strdup(source) : NULL;
	m->target = strdup(target);
	m->options = options ? strdup(options) : NULL;
	if (!m->target || (source && !m->source) || (options && !m->options))
		return err_set(e, ENOMEM, "mounts");
	return 0;
}

struct volume_words {
	bool is_readonly, is_nocopy;
};

/* What -v may say behind the second colon: most of it is about how hosts share mounts. */
static int volume_options(char *options, struct volume_words *ret)
{
	static const char *const harmless[] = { "rw",        "z",          "Z",        "cached",
						"delegated", "consistent", "rprivate", "private" };

	*ret = (struct volume_words){ 0 };
	while (options) {
		char *next = cut(options, ',');
		bool is_readonly = strcmp(options, "ro") == 0;
		bool is_nocopy = strcmp(options, "nocopy") == 0;
		bool is_known = is_readonly || is_nocopy;

		ret->is_readonly |= is_readonly;
		ret->is_nocopy |= is_nocopy;
		for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
			is_known |= strcmp(options, harmless[i]) == 0;
		if (!is_known)
			return -EINVAL;
		options = next;
	}
	return 0;
}

/* Docker's rule: [a-zA-Z0-9][a-zA-Z0-9_.-]* */
static bool is_volume_name(const char *text)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return !strchr("_.-", *text) && text[strspn(text, letters)] == 0;
}

/* A path of the host, also one of the working directory. */
static int path_full(const char *path, const char *cwd, char **ret, struct err *e)
{
	bool is_full = *path == '/';

	if (asprintf(ret, "%s%s%s", is_full ? "" : cwd, is_full ? "" : "/", path) >= 0)
		return 0;
	*ret = NULL;
	return err_set(e, ENOMEM, "path");
}

static int anonymous_add(const char *text, const char *target, struct machine_config *c,
			 struct err *e)
{
	if (*target != '/')
		return err_plain(e, EINVAL,
				 "invalid volume specification: '%s': mount path must be absolute",
				 text);
	return mount_add(c, MACHINE_MOUNT_VOLUME, "", target, NULL, false, e);
}

/* What begins with a dot or a slash is a directory or file of the host. */
static int source_add(const char *text, const char *source, const char *cwd,
		      const struct machine_mount *m, struct machine_config *c, struct err *e)
{
	auto_free char *full = NULL;

	if (is_volume_name(source))
		return mount_add(c, MACHINE_MOUNT_VOLUME, source, m->target, m->options,
				 m->is_readonly, e);
	if (*source != '/' && *source != '.')
		return err_plain(e, EINVAL,
				 "-v %s: \"%s\" includes invalid characters for a volume name; a "
				 "directory begins with / or ./",
				 text, source);
	if (path_full(source, cwd, &full, e) < 0)
		return -e->code;
	return mount_add(c, MACHINE_MOUNT_BIND, full, m->target, NULL, m->is_readonly, e);
}

int spec_volume(const char *text, const char *cwd, struct machine_config *c, struct err *e)
{
	auto_free char *copy = strdup(text);
	char nocopy[] = "nocopy";
	struct machine_mount m = { 0 };
	struct volume_words w;
	char *options;

	if (!copy)
		return err_set(e, ENOMEM, "volume");
	m.target = cut(copy, ':');
	if (!m.target && *copy)
		return anonymous_add(text, copy, c, e);
	options = m.target ? cut(m.target, ':') : NULL;
	if (!*copy || !*m.target || (options && strchr(options, ':')))
		return err_plain(e, EINVAL, "invalid volume specification: '%s'", text);
	if (*m.target != '/')
		return err_plain(e, EINVAL,
				 "invalid volume specification: '%s': mount path must be absolute",
				 text);
	if (volume_options(options, &w) < 0)
		return err_plain(e, EINVAL, "invalid mode in volume specification: %s", text);
	m.is_readonly = w.is_readonly;
	m.options = w.is_nocopy ? nocopy : NULL;
	return source_add(text, copy, cwd, &m, c, e);
}

int spec_tmpfs(const char *text, struct machine_config *c, struct err *e)
{
	auto_free char *copy = strdup(text);
	char *options;

	if (!copy)
		return err_set(e, ENOMEM, "tmpfs");
	options = cut(copy, ':');
	if (*copy != '/')
		return err_plain(e, EINVAL, "invalid tmpfs path \"%s\": it must be absolute", text);
	return mount_add(c, MACHINE_MOUNT_TMPFS, NULL, copy, options, false, e);
}

struct mount_words {
	const char *type, *source, *target, *tmpfs_size, *tmpfs_mode;
	bool is_readonly, is_nocopy;
};

static bool is_true(const char *v)
{
	return !v || strcmp(v, "true") == 0 || strcmp(v, "1") == 0;
}

static int mount_word(struct mount_words *m, const char *key, const char *value, struct err *e)
{
	static const struct {
		const char *key;
		size_t field;
	} texts[] = {
		{ "type", offsetof(struct mount_words, type) },
		{ "source", offsetof(struct mount_words, source) },
		{ "src", offsetof(struct mount_words, source) },
		{ "target", offsetof(struct mount_words, target) },
		{ "dst", offsetof(struct mount_words, target) },
		{ "destination", offsetof(struct mount_words, target) },
		{ "tmpfs-size", offsetof(struct mount_words, tmpfs_size) },
		{ "tmpfs-mode", offsetof(struct mount_words, tmpfs_mode) },
	};

	if (strcmp(key, "readonly") == 0 || strcmp(key, "ro") == 0) {
		m->is_readonly = is_true(value);
		return 0;
	}
	if (strcmp(key, "volume-nocopy") == 0) {
		m->is_nocopy = is_true(value);
		return 0;
	}
	if (!value)
		return err_plain(e, EINVAL, "invalid field '%s' must be a key=value pair", key);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strcmp(key, texts[i].key) == 0) {
			*(const char **)((char *)m + texts[i].field) = value;
			return 0;
		}
	return err_plain(e, EINVAL, "unexpected key '%s' in '%s=%s'", key, key, value);
}

/* "size=64m,mode=1777" of what was said; NULL when nothing was. */
static int tmpfs_options(const struct mount_words *m, char **ret, struct err *e)
{
	const char *size = m->tmpfs_size, *mode = m->tmpfs_mode;

	*ret = NULL;
	if (!size && !mode)
		return 0;
	if (size && strlen(size) > TMPFS_VALUE_MAX)
		return err_plain(e, EINVAL, "invalid value for tmpfs-size: %s", size);
	if (mode && strlen(mode) > TMPFS_VALUE_MAX)
		return err_plain(e, EINVAL, "invalid value for tmpfs-mode: %s", mode);
	if (asprintf(ret, "%s%s%s%s%s", size ? "size=" : "", size ? size : "",
		     size && mode ? "," : "", mode ? "mode=" : "", mode ? mode : "") < 0) {
		*ret = NULL;
		return err_set(e, ENOMEM, "mount");
	}
	return 0;
}

/* One of which the type is known to be right, and which has a target. */
static int words_add(const struct mount_words *m, const char *text, const char *cwd,
		     struct machine_config *c, struct err *e)
{
	auto_free char *full = NULL;

	if (strcmp(m->type, "volume") == 0)
		return mount_add(c, MACHINE_MOUNT_VOLUME, m->source ? m->source : "", m->target,
				 m->is_nocopy ? "nocopy" : NULL, m->is_readonly, e);
	if (strcmp(m->type, "disk") == 0 && m->source && *m->source) {
		if (path_full(m->source, cwd, &full, e) < 0)
			return -e->code;
		return mount_add(c, MACHINE_MOUNT_DISK, full, m->target, NULL, m->is_readonly, e);
	}
	if (strcmp(m->type, "disk") == 0)
		return err_plain(e, EINVAL, "invalid --mount %s: source is required", text);
	if (!m->source || *m->source != '/')
		return err_plain(e, EINVAL, "invalid --mount %s: source must be an absolute path",
				 text);
	return mount_add(c, MACHINE_MOUNT_BIND, m->source, m->target, NULL, m->is_readonly, e);
}

static int words_check(const struct mount_words *m, const char *text, struct err *e)
{
	bool is_volume = strcmp(m->type, "volume") == 0, is_tmpfs = strcmp(m->type, "tmpfs") == 0;

	if (!m->target || !*m->target)
		return err_plain(e, EINVAL, "invalid --mount %s: target is required", text);
	if ((!is_volume && !is_tmpfs && strcmp(m->type, "bind") != 0 &&
	     strcmp(m->type, "disk") != 0) ||
	    (is_tmpfs && m->source) || (!is_tmpfs && (m->tmpfs_size || m->tmpfs_mode)) ||
	    (!is_volume && m->is_nocopy))
		return err_plain(e, EINVAL,
				 "invalid --mount %s: type must be bind, disk, tmpfs or volume, "
				 "with fields of that type only",
				 text);
	if (is_volume && m->source && *m->source && !is_volume_name(m->source))
		return err_plain(e, EINVAL,
				 "invalid --mount %s: \"%s\" includes invalid characters for a "
				 "volume name",
				 text, m->source);
	return 0;
}

int spec_mount(const char *text, const char *cwd, struct machine_config *c, struct err *e)
{
	auto_free char *copy = strdup(text), *tmpfs = NULL;
	struct mount_words m = { .type = "volume" };

	if (!copy)
		return err_set(e, ENOMEM, "mount");
	for (char *word = copy, *next; word; word = next) {
		char *value;

		next = cut(word, ',');
		value = cut(word, '=');
		if (mount_word(&m, word, value, e) < 0)
			return -e->code;
	}
	if (words_check(&m, text, e) < 0 || tmpfs_options(&m, &tmpfs, e) < 0)
		return -e->code;
	if (strcmp(m.type, "tmpfs") == 0)
		return mount_add(c, MACHINE_MOUNT_TMPFS, NULL, m.target, tmpfs, m.is_readonly, e);
	return words_add(&m, text, cwd, c, e);
}

int spec_add_host(const char *text, struct strv *to, struct err *e)
{
	size_t len = strcspn(text, ":=");
	auto_free char *full = NULL;
	const char *ip = text[len] ? text + len + 1 : "";
	size_t ip_len = strlen(ip);

	if (len == 0 || ip_len == 0)
		return err_plain(e, EINVAL, "bad format for add-host: \"%s\"", text);
	if (strcmp(ip, "host-gateway") == 0)
		return err_plain(
			e, ENOTSUP,
			"--add-host %s: a machine cannot reach its host, so there is no host-gateway",
			text);
	if (*ip == '[' && ip[ip_len - 1] == ']') {
		ip++;
		ip_len -= 2;
	}
	if (asprintf(&full, "%.*s:%.*s", (int)len, text, (int)ip_len, ip) < 0 ||
	    strv_add(to, full) < 0)
		return err_set(e, ENOMEM, "hosts");
	return 0;
}
