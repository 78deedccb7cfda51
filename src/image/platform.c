/* SPDX-License-Identifier: MIT */
/* platform.c - see platform.h */
#include "platform.h"

#include <stdint.h>
#include <string.h>
#include <sys/utsname.h>

#define SCORE_SAME 100U
#define SCORE_NONE 1U /* told no variant */

static const struct alias {
	const char *said, *architecture, *variant;
} aliases[] = {
	{ "x86_64", "amd64", "" },      { "x86-64", "amd64", "" }, { "x64", "amd64", "" },
	{ "aarch64", "arm64", "" },     { "armhf", "arm", "v7" },  { "armel", "arm", "v6" },
	{ "armv5l", "arm", "v5" },      { "armv6l", "arm", "v6" }, { "armv7l", "arm", "v7" },
	{ "armv8l", "arm", "v7" },      { "i386", "386", "" },     { "i486", "386", "" },
	{ "i586", "386", "" },          { "i686", "386", "" },     { "ppc64el", "ppc64le", "" },
	{ "mips64el", "mips64le", "" },
};

static const char *const systems[] = { "linux",   "windows", "darwin",    "freebsd", "netbsd",
				       "openbsd", "solaris", "dragonfly", "aix",     "android",
				       "illumos", "plan9",   "js",        "wasip1",  "macos" };

static bool is_one_of(const char *s, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(s, list[i]) == 0)
			return true;
	return false;
}

static void lower(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
}

static bool is_arch(const struct platform *p, const char *name)
{
	return strcmp(p->architecture, name) == 0;
}

static void variant_set(struct platform *p, const char *v)
{
	snprintf(p->variant, sizeof(p->variant), "%s", v);
}

static void variant_normalise(struct platform *p)
{
	char text[sizeof(p->variant)];

	if (is_arch(p, "arm") && p->variant[0] == '\0')
		variant_set(p, "v7");
	if (p->variant[0] >= '1' && p->variant[0] <= '9' && p->variant[1] == '\0') { /* "7" */
		snprintf(text, sizeof(text), "v%.1s", p->variant);
		variant_set(p, text);
	}
	if (is_arch(p, "arm64") && (!strcmp(p->variant, "v8") || !strcmp(p->variant, "v8.0")))
		variant_set(p, "");
	if (is_arch(p, "amd64") && strcmp(p->variant, "v1") == 0)
		variant_set(p, "");
}

void platform_normalise(struct platform *p)
{
	lower(p->os);
	lower(p->architecture);
	lower(p->variant);
	if (strcmp(p->os, "macos") == 0)
		snprintf(p->os, sizeof(p->os), "darwin");
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
		if (!is_arch(p, aliases[i].said))
			continue;
		snprintf(p->architecture, sizeof(p->architecture), "%s", aliases[i].architecture);
		if (p->variant[0] == '\0')
			variant_set(p, aliases[i].variant);
		break;
	}
	variant_normalise(p);
}

void platform_host(struct platform *ret)
{
	struct utsname u;

	*ret = (struct platform){ .os = "linux" };
	if (uname(&u) == 0)
		snprintf(ret->architecture, sizeof(ret->architecture), "%s", u.machine);
	platform_normalise(ret);
}

/* The next component, up to '/' or the end; -1 when it is empty, too long or has other letters. */
static int component_take(const char **at, char *ret, size_t size)
{
	size_t n = strspn(*at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	if (n == 0 || n >= size || ((*at)[n] && (*at)[n] != '/'))
		return -1;
	memcpy(ret, *at, n);
	ret[n] = '\0';
	*at += n;
	return 0;
}

static int parts_take(const char *text, char parts[3][sizeof(((struct platform *)0)->os)])
{
	int n = 0;

	for (;;) {
		if (n == 3 || component_take(&text, parts[n++], sizeof(parts[0])) < 0)
			return -1;
		if (*text == '\0')
			return n;
		text++;
	}
}

int platform_parse(const char *text, struct platform *ret, struct err *e)
{
	char parts[3][sizeof(ret->os)] = { "" };
	int n = parts_take(text, parts);
	struct platform p;

	if (n < 0)
		return err_plain(
			e, EINVAL,
			"\"%.100s\" is not a platform: OS/ARCHITECTURE[/VARIANT], as linux/arm64",
			text);
	platform_host(&p);
	if (n == 1) {
		lower(parts[0]);
		if (is_one_of(parts[0], systems, ARRAY_SIZE(systems))) {
			memcpy(p.os, parts[0], sizeof(p.os));
		} else {
			memcpy(p.architecture, parts[0], sizeof(p.architecture));
			p.variant[0] = '\0';
		}
	} else {
		memcpy(p.os, parts[0], sizeof(p.os));
		memcpy(p.architecture, parts[1], sizeof(p.architecture));
		memcpy(p.variant, parts[2], sizeof(p.variant));
	}
	platform_normalise(&p);
	*ret = p;
	return 0;
}

void platform_format(const struct platform *p, char *ret, size_t len)
{
	snprintf(ret, len, "%s/%s%s%s", p->os[0] ? p->os : "unknown",
		 p->architecture[0] ? p->architecture : "unknown", p->variant[0] ? "/" : "",
		 p->variant);
}

/* Of architectures whose variants stand in a row: 7 of "v7", 3 of "v3"; 0 when it is not one. */
static unsigned variant_level(const struct platform *p)
{
	const char *v = p->variant;

	if (*v == '\0')
		return is_arch(p, "arm64") ? 8 : is_arch(p, "amd64") ? 1 : 0;
	if (!is_arch(p, "arm") && !is_arch(p, "arm64") && !is_arch(p, "amd64"))
		return 0;
	if (v[0] != 'v' || v[1] < '1' || v[1] > '9' || (v[2] && v[2] != '.'))
		return 0;
	return (unsigned)(v[1] - '0');
}

unsigned platform_fits(const struct platform *want_said, const struct platform *have_said)
{
	struct platform want = *want_said, have = *have_said;
	unsigned w, h;

	platform_normalise(&want);
	platform_normalise(&have);
	if (strcmp(want.os, have.os) != 0 || strcmp(want.architecture, have.architecture) != 0)
		return 0;
	if (strcmp(want.variant, have.variant) == 0)
		return SCORE_SAME;
	w = variant_level(&want);
	h = variant_level(&have);
	if (w && h && h < w)
		return SCORE_SAME - (w - h);
	if (have_said->variant[0] == '\0') /* of arm: before it became v7 */
		return SCORE_NONE;
	return want.variant[0] == '\0' && w == 0 ? SCORE_NONE : 0;
}
