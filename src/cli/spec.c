/* SPDX-License-Identifier: MIT */
/* spec.c - sizes, processors, signals, times, environment */
#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "fdio.h"
#include "spec.h"

#define NS_PER_S    1000000000LL
#define SECONDS_MAX 253402300799LL /* the year 9999 */

/* strtod() also takes "inf", "nan" and hexadecimal; nobody means those. */
static int decimal_parse(const char *text, double *ret, const char **ret_end)
{
	size_t digits = strspn(text, "0123456789.");
	char buf[32];
	char *end;

	if (digits == 0 || digits >= sizeof(buf))
		return -EINVAL;
	snprintf(buf, sizeof(buf), "%.*s", (int)digits, text);
	*ret = strtod(buf, &end);
	*ret_end = text + digits;
	return *end ? -EINVAL : 0;
}

int spec_size(const char *text, uint64_t *ret, struct err *e)
{
	static const char units[] = "bkmgtp";
	const char *end, *unit = units;
	double v;

	if (decimal_parse(text, &v, &end) < 0)
		return err_plain(e, EINVAL, "invalid size: '%s'", text);
	end += *end == ' ';
	if (*end) {
		unit = strchr(units, tolower((unsigned char)*end));
		if (!unit)
			return err_plain(e, EINVAL, "invalid size: '%s'", text);
		end++;
		if (unit != units && (*end == 'i' || *end == 'I'))
			end++;
		if (unit != units && (*end == 'b' || *end == 'B'))
			end++;
	}
	v *= (double)(1ULL << (10 * (unit - units)));
	if (*end || v >= 9e18)
		return err_plain(e, EINVAL, "invalid size: '%s'", text);
	*ret = (uint64_t)v;
	return 0;
}

int spec_cpus(const char *text, uint32_t *ret, struct err *e)
{
	const char *end;
	double v;

	if (decimal_parse(text, &v, &end) < 0 || *end || v > 100000)
		return err_plain(e, EINVAL, "invalid number of processors: '%s'", text);
	if (v < 1 || (double)(uint32_t)v != v)
		return err_plain(e, EINVAL,
				 "--cpus %s: a machine has whole processors, at least one", text);
	*ret = (uint32_t)v;
	return 0;
}

int spec_signal(const char *text, int *ret, struct err *e)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	char *end;
	long n = strtol(text, &end, 10);

	if (end != text && !*end && n > 0 && n <= 64) {
		*ret = (int)n;
		return 0;
	}
	for (int i = 1; i < 32; i++) {
		const char *known = sigabbrev_np(i);

		if (known && strcasecmp(known, name) == 0) {
			*ret = i;
			return 0;
		}
	}
	return err_plain(e, EINVAL, "invalid signal: %s", text);
}

/* "1h30m", "90s", "1.5h", as Go has them. */
static int duration_parse(const char *text, int64_t *ret_ns)
{
	double total = 0;

	if (!*text)
		return -EINVAL;
	while (*text) {
		double v, unit;

		if (decimal_parse(text, &v, &text) < 0)
			return -EINVAL;
		if (strncmp(text, "ms", 2) == 0)
			unit = 1e6;
		else if (*text == 'h')
			unit = 3600e9;
		else if (*text == 'm')
			unit = 60e9;
		else if (*text == 's')
			unit = 1e9;
		else
			return -EINVAL;
		text += unit < 1e9 ? 2 : 1;
		total += v * unit;
	}
	if (total > 9e18)
		return -EINVAL;
	*ret_ns = (int64_t)total;
	return 0;
}

/* ".123456789" at *p, moved behind it. */
static int64_t fraction_parse(const char **p)
{
	int64_t ns = 0, unit = NS_PER_S / 10;

	if (**p != '.')
		return 0;
	for ((*p)++; isdigit((unsigned char)**p); (*p)++, unit /= 10)
		ns += (**p - '0') * unit;
	return ns;
}

static int unix_parse(const char *text, int64_t *ret_ns)
{
	const char *p = text + strspn(text, "0123456789");
	int64_t s;

	if (p == text || p - text > 12)
		return -EINVAL;
	s = strtoll(text, NULL, 10);
	if (s > SECONDS_MAX / 40)
		return -EINVAL;
	*ret_ns = s * NS_PER_S + fraction_parse(&p);
	return *p ? -EINVAL : 0;
}

static int date_parse(const char *text, int64_t *ret_ns)
{
	static const char *const forms[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H",
					     "%Y-%m-%d" };
	struct tm tm = { 0 };
	const char *p = NULL;
	int64_t ns, zone = 0;
	bool is_local = false;

	for (size_t i = 0; i < ARRAY_SIZE(forms) && !p; i++) {
		tm = (struct tm){ .tm_isdst = -1 };
		p = strptime(text, forms[i], &tm);
	}
	if (!p || tm.tm_year < 70 || tm.tm_year > 300)
		return -EINVAL;
	ns = fraction_parse(&p);
	if (*p == '+' || *p == '-') {
		int h, m, used = 0;

		if (sscanf(p + 1, "%2d:%2d%n", &h, &m, &used) != 2 || p[1 + used])
			return -EINVAL;
		zone = (*p == '-' ? -1 : 1) * (h * 3600LL + m * 60LL);
	} else if (strcmp(p, "Z") == 0 || strcmp(p, "z") == 0) {
		zone = 0;
	} else if (*p) {
		return -EINVAL;
	} else {
		is_local = true;
	}
	*ret_ns = ((int64_t)(is_local ? mktime(&tm) : timegm(&tm)) - zone) * NS_PER_S + ns;
	return 0;
}

int spec_time(const char *text, int64_t now_ns, int64_t *ret, struct err *e)
{
	int64_t ns;

	if (unix_parse(text, ret) == 0 || date_parse(text, ret) == 0)
		return 0;
	if (duration_parse(text, &ns) == 0) {
		*ret = now_ns - ns;
		return 0;
	}
	return err_plain(e, EINVAL, "invalid time: %s", text);
}

int spec_tail(const char *text, int64_t *ret, struct err *e)
{
	char *end;

	*ret = -1;
	if (strcmp(text, "all") == 0)
		return 0;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		return err_plain(e, EINVAL, "invalid number of lines: %s", text);
	if (*ret < 0)
		*ret = -1;
	return 0;
}

/* ---- environment and labels ---- */

/* Add "name=value", or put it in the place of the one with the same name. */
static int named_add(struct strv *to, const char *text, size_t name_len, struct err *e)
{
	for (uint32_t i = 0; i < to->n; i++) {
		char *old = to->v[i];

		if (strncmp(old, text, name_len) != 0 || (old[name_len] != '=' && old[name_len]))
			continue;
		old = strdup(text);
		if (!old)
			return err_set(e, ENOMEM, "%s", "list");
		free(to->v[i]);
		to->v[i] = old;
		return 0;
	}
	return strv_add(to, text) < 0 ? err_set(e, ENOMEM, "%s", "list") : 0;
}

int spec_env(const char *text, struct strv *to, struct err *e)
{
	size_t len = strcspn(text, "=");
	auto_free char *full = NULL;
	const char *value;

	if (len == 0)
		return err_plain(e, EINVAL, "invalid environment variable: %s", text);
	if (text[len])
		return named_add(to, text, len, e);
	value = getenv(text);
	if (!value)
		return 0;
	if (asprintf(&full, "%s=%s", text, value) < 0)
		return err_set(e, ENOMEM, "environment");
	return named_add(to, full, len, e);
}

int spec_label(const char *text, struct strv *to, struct err *e)
{
	size_t len = strcspn(text, "=");
	auto_free char *full = NULL;

	if (len == 0)
		return err_plain(e, EINVAL, "invalid label: %s", text);
	if (text[len])
		return named_add(to, text, len, e);
	if (asprintf(&full, "%s=", text) < 0)
		return err_set(e, ENOMEM, "label");
	return named_add(to, full, len, e);
}

int spec_env_lines(const char *text, size_t len, const char *name, struct strv *to, struct err *e)
{
	const char *end = text + len;

	for (const char *p = text; p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		auto_free char *line = strndup(p, (size_t)((nl ? nl : end) - p));
		char *start = line;
		size_t n;

		if (!line)
			return err_set(e, ENOMEM, "%s", name);
		p = nl ? nl + 1 : end;
		start += strspn(start, " \t");
		n = strlen(start);
		if (n > 0 && start[n - 1] == '\r')
			start[n - 1] = 0;
		if (!*start || *start == '#')
			continue;
		n = strcspn(start, "=");
		if (n == 0)
			return err_plain(e, EINVAL, "%s: no variable name on line '%s'", name,
					 start);
		if (strcspn(start, " \t") < n)
			return err_plain(e, EINVAL, "%s: variable '%.*s' contains whitespaces",
					 name, (int)n, start);
		if (spec_env(start, to, e) < 0)
			return -e->code;
	}
	return 0;
}

int spec_env_file(const char *path, struct strv *to, struct err *e)
{
	auto_buf b = BUF_LIMIT(SPEC_FILE_MAX);
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_set(e, errno, "open %s", path);
	rc = fd_read_all(fd, &b);
	if (rc < 0)
		return err_set(e, -rc, "read %s", path);
	return b.len ? spec_env_lines(b.data, b.len, path, to, e) : 0;
}
