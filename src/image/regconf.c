/* SPDX-License-Identifier: MIT */
/*
 * regconf.c - registries.conf: reading it
 *
 * Lines: "[search]", "[alias]", "[registry PREFIX]", "key = value", "# comment". What is not known
 * is an error, so that a slip of the pen does not turn verification off, or fail to.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fdio.h"
#include "regconf_internal.h"

#define SYSTEM_FILE "/etc/caisson/registries.conf"
#define LINE_SIZE   1024
#define KEYS        "abcdefghijklmnopqrstuvwxyz"

enum part { PART_NONE, PART_SEARCH, PART_ALIAS, PART_REGISTRY };

struct reader {
	struct regconf *c;
	const char *file;
	unsigned line;
	enum part part;
	struct regconf_section *section; /* PART_REGISTRY */
};

static int bad(const struct reader *r, struct err *e, const char *what, const char *value)
{
	return err_plain(e, EINVAL, "%s:%u: %s: \"%.200s\"", r->file, r->line, what, value);
}

/* ---- values ---- */

/* Checked as ref.c checks a name: "HOST" is one with some path behind it. */
static bool place_split(const char *text, char *host, size_t host_size, char *path,
			size_t path_size)
{
	struct err ignored = { 0 };
	char probe[REF_NORMAL_SIZE];
	const char *slash = strchr(text, '/');
	struct ref r;

	if (strchr(text, '@') || strlen(text) >= REGCONF_PLACE_MAX)
		return false;
	snprintf(probe, sizeof(probe), "%s%s", text, slash ? "" : "/x");
	if (ref_parse(probe, &r, &ignored) < 0 || strcmp(r.tag, "latest") != 0 ||
	    (slash && strchr(slash, ':')))
		return false;
	snprintf(host, host_size, "%.*s", (int)strcspn(text, "/"), text);
	if (strcmp(host, "index.docker.io") == 0)
		snprintf(host, host_size, REF_DEFAULT_HOST);
	snprintf(path, path_size, "%s", slash ? slash + 1 : "");
	/* "debian/x" is a path on docker.io, not a host */
	return strcmp(r.host, host) == 0;
}

static int place_get(const struct reader *r, const char *value, struct regconf_place *ret,
		     struct err *e)
{
	const char *sep = strstr(value, "://"), *rest = sep ? sep + 3 : value;
	struct regconf_place p = { 0 };

	if (sep) {
		snprintf(p.scheme, sizeof(p.scheme), "%.*s", (int)MIN_OF(sep - value, 5), value);
		if (strncmp(value, "http://", 7) != 0 && strncmp(value, "https://", 8) != 0)
			return bad(r, e, "neither http:// nor https://", value);
	}
	if (!place_split(rest, p.host, sizeof(p.host), p.path, sizeof(p.path)))
		return bad(r, e, "not a HOST[:PORT][/PATH]", value);
	*ret = p;
	return 0;
}

static int tls_set(struct reader *r, const char *value, struct err *e)
{
	static const char *const names[] = { [REGCONF_TLS_ON] = "on",
					     [REGCONF_TLS_SKIP_VERIFY] = "skip-verify",
					     [REGCONF_TLS_OFF] = "off" };

	for (unsigned i = REGCONF_TLS_ON; i < ARRAY_SIZE(names); i++)
		if (strcmp(value, names[i]) == 0) {
			r->section->tls = (enum regconf_tls)i;
			return 0;
		}
	return bad(r, e, "tls is \"on\", \"skip-verify\" or \"off\", not", value);
}

static int blocked_set(struct reader *r, const char *value, struct err *e)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return bad(r, e, "blocked is \"yes\" or \"no\", not", value);
	r->section->is_blocked = strcmp(value, "yes") == 0;
	return 0;
}

static int mirror_add(struct reader *r, const char *value, struct err *e)
{
	struct regconf_section *s = r->section;

	if (s->n_mirrors == REGCONF_MIRRORS_MAX)
		return bad(r, e, "too many mirrors", value);
	if (place_get(r, value, &s->mirrors[s->n_mirrors], e) < 0)
		return -e->code;
	s->n_mirrors++;
	return 0;
}

static int once(const struct reader *r, bool *said, const char *key, struct err *e)
{
	if (*said)
		return bad(r, e, "said twice", key);
	*said = true;
	return 0;
}

static int registry_key(struct reader *r, const char *key, const char *value, struct err *e)
{
	struct regconf_section *s = r->section;

	if (strcmp(key, "mirror") == 0)
		return mirror_add(r, value, e);
	if (strcmp(key, "location") == 0)
		return once(r, &s->has_location, key, e) < 0 ? -e->code
							     : place_get(r, value, &s->location, e);
	if (strcmp(key, "tls") == 0)
		return once(r, &s->has_tls, key, e) < 0 ? -e->code : tls_set(r, value, e);
	if (strcmp(key, "blocked") == 0)
		return once(r, &s->has_blocked, key, e) < 0 ? -e->code : blocked_set(r, value, e);
	return bad(r, e, "unknown key", key);
}

static int search_key(struct reader *r, const char *key, const char *value, struct err *e)
{
	struct regconf *c = r->c;

	if (strcmp(key, "registries") != 0)
		return bad(r, e, "unknown key", key);
	if (once(r, &c->has_search, key, e) < 0)
		return -e->code;
	for (c->n_search = 0; *value; c->n_search++) {
		size_t n = strcspn(value, " \t");
		struct regconf_place p;
		char word[REGCONF_PLACE_MAX];

		snprintf(word, sizeof(word), "%.*s", (int)MIN_OF(n, sizeof(word) - 1), value);
		if (c->n_search == REGCONF_SEARCH_MAX)
			return bad(r, e, "too many registries", word);
		if (strstr(word, "://") || place_get(r, word, &p, e) < 0 || *p.path)
			return bad(r, e, "not a HOST[:PORT]", word);
		snprintf(c->search[c->n_search], sizeof(c->search[0]), "%s", p.host);
		value += n + strspn(value + n, " \t");
	}
	return 0;
}

static bool is_short(const char *name, struct err *e)
{
	size_t first = strcspn(name, "/");
	struct ref r;

	return ref_parse(name, &r, e) == 0 && !strpbrk(name, ":@") && strcspn(name, ".") >= first &&
	       strcmp(r.host, REF_DEFAULT_HOST) == 0;
}

static int alias_key(struct reader *r, const char *key, const char *value, struct err *e)
{
	struct regconf *c = r->c;
	struct regconf_alias a = { .is_of_this_file = true };
	uint32_t i;

	if (!is_short(key, e) || strlen(key) >= sizeof(a.name))
		return bad(r, e, "not a name without host and tag", key);
	if (ref_parse(value, &a.target, e) < 0 || strpbrk(strchr(value, '/') ?: value, ":@"))
		return bad(r, e, "not a name without a tag", value);
	snprintf(a.name, sizeof(a.name), "%s", key);
	for (i = 0; i < c->n_aliases && strcmp(c->aliases[i].name, key) != 0; i++)
		;
	if (i < c->n_aliases && c->aliases[i].is_of_this_file)
		return bad(r, e, "said twice", key);
	if (i == REGCONF_SECTIONS_MAX)
		return bad(r, e, "too many aliases", key);
	c->aliases[i] = a;
	c->n_aliases = MAX_OF(c->n_aliases, i + 1);
	return 0;
}

/* ---- lines ---- */

static int registry_begin(struct reader *r, const char *prefix, struct err *e)
{
	struct regconf *c = r->c;
	struct regconf_section s = { .is_of_this_file = true };
	char host[256], path[256];
	uint32_t i;

	if (!place_split(prefix, host, sizeof(host), path, sizeof(path)))
		return bad(r, e, "not a HOST[:PORT][/PATH]", prefix);
	snprintf(s.prefix, sizeof(s.prefix), "%s%s%s", host, *path ? "/" : "", path);
	for (i = 0; i < c->n_sections && strcmp(c->sections[i].prefix, s.prefix) != 0; i++)
		;
	if (i < c->n_sections && c->sections[i].is_of_this_file)
		return bad(r, e, "a second section of", prefix);
	if (i == REGCONF_SECTIONS_MAX)
		return bad(r, e, "too many sections", prefix);
	c->sections[i] = s;
	c->n_sections = MAX_OF(c->n_sections, i + 1);
	r->part = PART_REGISTRY;
	r->section = &c->sections[i];
	return 0;
}

static int section_line(struct reader *r, char *line, struct err *e)
{
	size_t n = strlen(line);

	if (line[n - 1] != ']')
		return bad(r, e, "\"]\" is missing", line);
	line[n - 1] = '\0';
	line++;
	if (strcmp(line, "search") == 0)
		r->part = PART_SEARCH;
	else if (strcmp(line, "alias") == 0)
		r->part = PART_ALIAS;
	else if (strncmp(line, "registry ", 9) == 0)
		return registry_begin(r, line + 9 + strspn(line + 9, " \t"), e);
	else
		return bad(r, e, "unknown section", line);
	return 0;
}

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t");
	n = strlen(s);
	while (n > 0 && strchr(" \t\r", s[n - 1]))
		s[--n] = '\0';
	return s;
}

static int value_line(struct reader *r, char *line, struct err *e)
{
	char *eq = strchr(line, '='), *key, *value;

	if (!eq)
		return bad(r, e, "neither \"[section]\" nor \"key = value\"", line);
	*eq = '\0';
	key = trim(line);
	value = trim(eq + 1);
	if (!*key || !*value)
		return bad(r, e, "key or value is missing", *key ? key : value);
	switch (r->part) {
	case PART_SEARCH:
		return search_key(r, key, value, e);
	case PART_ALIAS:
		return alias_key(r, key, value, e);
	case PART_REGISTRY:
		return registry_key(r, key, value, e);
	default:
		return bad(r, e, "key outside of a section", key);
	}
}

static int line_read(struct reader *r, const char *text, size_t len, struct err *e)
{
	char copy[LINE_SIZE], *line;

	if (len >= sizeof(copy))
		return bad(r, e, "the line is too long", "");
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (strlen(copy) != len)
		return bad(r, e, "a zero byte in the line", "");
	line = trim(copy);
	if (!*line || *line == '#')
		return 0;
	return *line == '[' ? section_line(r, line, e) : value_line(r, line, e);
}

/* What is there came from another file, and may be replaced. */
static void file_begin(struct regconf *c)
{
	for (uint32_t i = 0; i < c->n_sections; i++)
		c->sections[i].is_of_this_file = false;
	for (uint32_t i = 0; i < c->n_aliases; i++)
		c->aliases[i].is_of_this_file = false;
	c->has_search = false;
}

int regconf_parse(struct regconf *c, const char *file, const char *text, size_t len, struct err *e)
{
	struct reader r = { .c = c, .file = file };

	if (len > REGCONF_FILE_MAX)
		return err_plain(e, EINVAL, "%s: larger than %u bytes", file, REGCONF_FILE_MAX);
	file_begin(c);
	while (len > 0) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl ? (size_t)(nl - text) : len;

		r.line++;
		if (line_read(&r, text, n, e) < 0)
			return -e->code;
		n += nl ? 1 : 0;
		text += n;
		len -= n;
	}
	return 0;
}

/* ---- the object, the files ---- */

int regconf_new(struct regconf **ret, struct err *e)
{
	struct regconf *c = calloc(1, sizeof(*c));

	if (c) {
		c->sections = calloc(REGCONF_SECTIONS_MAX, sizeof(*c->sections));
		c->aliases = calloc(REGCONF_SECTIONS_MAX, sizeof(*c->aliases));
	}
	if (!c || !c->sections || !c->aliases) {
		regconf_free(c);
		return err_set(e, ENOMEM, "registries.conf");
	}
	*ret = c;
	return 0;
}

void regconf_free(struct regconf *c)
{
	if (!c)
		return;
	free(c->sections);
	free(c->aliases);
	free(c);
}

bool regconf_user_path(const char *name, char *ret, size_t len)
{
	const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (base && *base == '/')
		return (size_t)snprintf(ret, len, "%s/caisson/%s", base, name) < len;
	if (!home || *home != '/')
		return false;
	return (size_t)snprintf(ret, len, "%s/.config/caisson/%s", home, name) < len;
}

enum duty { MAY_BE, MUST_BE };

static int file_load(struct regconf *c, const char *path, enum duty duty, struct err *e)
{
	auto_buf b = BUF_LIMIT(REGCONF_FILE_MAX + 1);
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC); /* links are fine: it is ours */
	int rc;

	if (fd < 0 && duty == MAY_BE && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return err_set(e, errno, "%s", path);
	rc = fd_read_all(fd, &b);
	if (rc < 0)
		return err_set(e, -rc, "%s", path);
	return regconf_parse(c, path, b.data ? b.data : "", b.len, e);
}

static int files_load(struct regconf *c, struct err *e)
{
	const char *only = getenv("CAISSON_REGISTRIES_CONF");
	char user[4096];

	if (only && *only)
		return file_load(c, only, MUST_BE, e);
	if (file_load(c, SYSTEM_FILE, MAY_BE, e) < 0)
		return -e->code;
	return regconf_user_path("registries.conf", user, sizeof(user))
		       ? file_load(c, user, MAY_BE, e)
		       : 0;
}

int regconf_load(struct regconf **ret, struct err *e)
{
	struct regconf *c = NULL;

	if (regconf_new(&c, e) < 0)
		return -e->code;
	if (files_load(c, e) < 0) {
		regconf_free(c);
		return -e->code;
	}
	*ret = c;
	return 0;
}
