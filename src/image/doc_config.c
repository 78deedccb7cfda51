/* SPDX-License-Identifier: MIT */
/*
 * doc_config.c - [U] the config of an image, as far as pulling needs it; see doc.h
 *
 * Hostile: all bytes. What gets through: every diff id is valid, and the time is one that a 64-bit
 * count of nanoseconds holds.
 */
#include <string.h>
#include <time.h>

#include "doc_internal.h"

#define NS_PER_S      1000000000LL
#define CREATED_MAX_S (INT64_MAX / NS_PER_S - 1)

static bool digits_take(const char **at, unsigned n, int *ret)
{
	*ret = 0;
	for (; n > 0; n--, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		*ret = *ret * 10 + (**at - '0');
	}
	return true;
}

static bool char_take(const char **at, const char *any)
{
	return **at && strchr(any, **at) && (*at)++;
}

static bool zone_take(const char **at, int *ret_s)
{
	int hours, minutes, sign = **at == '-' ? -1 : 1;

	*ret_s = 0;
	if (char_take(at, "Zz"))
		return true;
	if (!char_take(at, "+-") || !digits_take(at, 2, &hours) || !char_take(at, ":") ||
	    !digits_take(at, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

static int64_t fraction_take(const char **at)
{
	int64_t ns = 0, unit = NS_PER_S / 10;

	if (!char_take(at, "."))
		return 0;
	for (; **at >= '0' && **at <= '9'; (*at)++, unit /= 10)
		ns += (**at - '0') * unit;
	return ns;
}

/* RFC 3339, in years that a 64-bit count of nanoseconds holds; else 0. */
static int64_t time_parse(const char *s)
{
	struct tm t = { 0 };
	int64_t ns, seconds;
	int zone;

	if (!digits_take(&s, 4, &t.tm_year) || !char_take(&s, "-") ||
	    !digits_take(&s, 2, &t.tm_mon) || !char_take(&s, "-") ||
	    !digits_take(&s, 2, &t.tm_mday) || !char_take(&s, "Tt ") ||
	    !digits_take(&s, 2, &t.tm_hour) || !char_take(&s, ":") ||
	    !digits_take(&s, 2, &t.tm_min) || !char_take(&s, ":") || !digits_take(&s, 2, &t.tm_sec))
		return 0;
	ns = fraction_take(&s);
	if (!zone_take(&s, &zone) || *s || t.tm_mon < 1 || t.tm_mon > 12 || t.tm_mday < 1 ||
	    t.tm_mday > 31 || t.tm_hour > 23 || t.tm_min > 59 || t.tm_sec > 60)
		return 0;
	t.tm_year -= 1900;
	t.tm_mon--;
	seconds = (int64_t)timegm(&t) - zone;
	if (seconds > CREATED_MAX_S || seconds < -CREATED_MAX_S)
		return 0;
	return seconds * NS_PER_S + ns;
}

static int diff_ids_get(const json_t *rootfs, struct doc_config *c, struct err *e)
{
	const json_t *ids = NULL;
	char type[16];
	size_t n;

	if (doc_string_get(rootfs, "type", DOC_MUST_BE, type, sizeof(type), e) < 0 ||
	    doc_array_get(rootfs, "diff_ids", DOC_LAYERS_MAX, &ids, e) < 0)
		return -e->code;
	if (strcmp(type, "layers") != 0)
		return err_plain(e, EBADMSG, "type \"%s\" is not \"layers\"", SHOWN(type));
	n = json_array_size(ids);
	c->diff_ids = calloc(n + 1, sizeof(*c->diff_ids));
	if (!c->diff_ids)
		return err_set(e, ENOMEM, "config");
	for (; c->n_diff_ids < n; c->n_diff_ids++) {
		const char *id = json_string_value(json_array_get(ids, c->n_diff_ids));

		if (!digest_is_valid(id))
			return err_plain(e, EBADMSG, "diff id \"%s\" is not valid", SHOWN(id));
		memcpy(c->diff_ids[c->n_diff_ids], id, strlen(id) + 1);
	}
	return 0;
}

static int config_fill(const json_t *j, struct doc_config *c, struct err *e)
{
	struct platform *p = &c->platform;
	const char *created = json_string_value(json_object_get(j, "created"));
	json_t *rootfs = NULL;

	/* old builders left out one or the other: what is missing is the reader's to judge */
	if (doc_string_get(j, "os", DOC_MAY_BE, p->os, sizeof(p->os), e) < 0 ||
	    doc_string_get(j, "architecture", DOC_MAY_BE, p->architecture, sizeof(p->architecture),
			   e) < 0 ||
	    doc_string_get(j, "variant", DOC_MAY_BE, p->variant, sizeof(p->variant), e) < 0 ||
	    doc_object_get(j, "rootfs", &rootfs, e) < 0)
		return -e->code;
	c->created_ns = created ? time_parse(created) : 0;
	if (diff_ids_get(rootfs, c, e) < 0)
		return err_wrap(e, "rootfs");
	return 0;
}

void doc_config_done(struct doc_config *c)
{
	free(c->diff_ids);
	*c = (struct doc_config){ 0 };
}

int doc_config_parse(const void *data, size_t len, struct doc_config *ret, struct err *e)
{
	struct doc_config c = { 0 };
	json_t *j;
	int r;

	if (len > DOC_CONFIG_MAX)
		return err_plain(e, EBADMSG, "a config of %zu bytes, at most %u are allowed", len,
				 DOC_CONFIG_MAX);
	j = doc_object_load(data, len, e);
	if (!j)
		return -e->code;
	r = config_fill(j, &c, e);
	json_decref(j);
	if (r < 0) {
		doc_config_done(&c);
		return r;
	}
	*ret = c;
	return 0;
}
