/* SPDX-License-Identifier: MIT */
/* ps_row.c - a machine as a row of ps */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "ps_row.h"
#include "text.h"

#define ID_SHOWN      12
#define COMMAND_SHOWN 20U
#define MOUNT_SHOWN   15U
#define NS_PER_S      1000000000

static const char *text_of(const json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	return t ? t : "";
}

static int64_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* ---- ports ---- */

struct port {
	const char *ip, *proto; /* ip "": only exposed */
	int host, guest;
	bool is_shown;
};

static int port_compare(const void *va, const void *vb)
{
	const struct port *a = va, *b = vb;
	int d = a->guest - b->guest;

	if (d == 0)
		d = strcmp(a->ip, b->ip);
	if (d == 0)
		d = a->host - b->host;
	return d ? d : strcmp(a->proto, b->proto);
}

static bool is_published(const struct port *ports, size_t n, const struct port *p)
{
	for (size_t i = 0; i < n; i++)
		if (ports[i].guest == p->guest && strcmp(ports[i].proto, p->proto) == 0)
			return true;
	return false;
}

static size_t ports_collect(const json_t *published, const json_t *exposed, struct port *ret)
{
	size_t n = 0, n_published, i;
	const json_t *j;

	json_array_foreach (published, i, j) {
		ret[n++] = (struct port){ .ip = text_of(j, "host_ip"),
					  .proto = text_of(j, "proto"),
					  .host = (int)number_of(j, "host_port"),
					  .guest = (int)number_of(j, "guest_port") };
	}
	n_published = n;
	json_array_foreach (exposed, i, j) {
		const char *text = json_string_value(j);
		struct port p = { .ip = "", .proto = "tcp" };
		char *end;

		if (!text)
			continue;
		p.guest = (int)strtoul(text, &end, 10);
		if (*end == '/')
			p.proto = end + 1;
		if (!is_published(ret, n_published, &p))
			ret[n++] = p;
	}
	qsort(ret, n, sizeof(*ret), port_compare);
	return n;
}

static int port_add(struct buf *b, const struct port *p, int last)
{
	const char *comma = b->len ? ", " : "";
	bool is_six = strchr(p->ip, ':') != NULL;
	char range[32];

	if (last == p->guest)
		snprintf(range, sizeof(range), "%d", p->guest);
	else
		snprintf(range, sizeof(range), "%d-%d", p->guest, last);
	if (!*p->ip)
		return buf_addf(b, "%s%s/%s", comma, range, p->proto);
	if (p->host != p->guest)
		return buf_addf(b, "%s%s%s%s:%d->%s/%s", comma, is_six ? "[" : "", p->ip,
				is_six ? "]" : "", p->host, range, p->proto);
	return buf_addf(b, "%s%s%s%s:%s->%s/%s", comma, is_six ? "[" : "", p->ip, is_six ? "]" : "",
			range, range, p->proto);
}

/* The last port of the range that begins with ports[at]; those of it count as shown. */
static int range_end(struct port *ports, size_t n, size_t at)
{
	const struct port *p = &ports[at];
	int last = p->guest;

	for (size_t i = at + 1; i < n; i++) {
		struct port *q = &ports[i];

		if (q->guest != last + 1 || strcmp(q->ip, p->ip) != 0 ||
		    strcmp(q->proto, p->proto) != 0 || (*q->ip && q->host != q->guest))
			continue;
		q->is_shown = true;
		last = q->guest;
	}
	return last;
}

int ps_ports_text(struct buf *b, const json_t *published, const json_t *exposed)
{
	size_t max = json_array_size(published) + json_array_size(exposed);
	auto_free struct port *ports = calloc(max + 1, sizeof(*ports));
	size_t n;
	int rc = 0;

	if (!ports)
		return -ENOMEM;
	n = ports_collect(published, exposed, ports);
	for (size_t i = 0; i < n && rc == 0; i++) {
		bool is_range = !*ports[i].ip || ports[i].host == ports[i].guest;

		if (!ports[i].is_shown)
			rc = port_add(b, &ports[i],
				      is_range ? range_end(ports, n, i) : ports[i].guest);
	}
	return rc;
}

/* ---- status ---- */

static void ago_text(int64_t since_ns, int64_t now_ns, char *ret, size_t len)
{
	duration_text((now_ns - since_ns) / NS_PER_S, ret, len);
}

int ps_status_text(struct buf *b, const json_t *m, int64_t now_ns)
{
	const char *status = text_of(m, "status");
	char ago[40];

	if (strcmp(status, "running") == 0) {
		ago_text(number_of(m, "started_ns"), now_ns, ago, sizeof(ago));
		return buf_addf(b, "Up %s", ago);
	}
	if (strcmp(status, "exited") == 0) {
		ago_text(number_of(m, "finished_ns"), now_ns, ago, sizeof(ago));
		return buf_addf(b, "Exited (%" PRId64 ") %s ago", number_of(m, "exit_code"), ago);
	}
	return buf_add_str(b, strcmp(status, "created") == 0 ? "Created"
			      : strcmp(status, "dead") == 0  ? "Dead"
							     : status);
}

/* ---- command ---- */

int ps_quote(struct buf *b, const char *text, size_t len)
{
	static const char named[] = "\a\b\f\n\r\t\v\"\\", letters[] = "abfnrtv\"\\";
	int rc = buf_add_str(b, "\"");

	for (size_t i = 0; i < len && rc == 0; i++) {
		unsigned char c = (unsigned char)text[i];
		unsigned char next = i + 1 < len ? (unsigned char)text[i + 1] : 0;
		const char *at = c ? strchr(named, c) : NULL;

		if (at) {
			rc = buf_addf(b, "\\%c", letters[at - named]);
		} else if (c < 0x20 || c == 0x7f) {
			rc = buf_addf(b, "\\x%02x", c);
		} else if (c == 0xc2 && next >= 0x80 && next < 0xa0) { /* C1 */
			rc = buf_addf(b, "\\u00%02x", next);
			i++;
		} else {
			rc = buf_add(b, &text[i], 1);
		}
	}
	return rc == 0 ? buf_add_str(b, "\"") : rc;
}

static int command_text(struct buf *b, const json_t *words, enum ps_length length)
{
	auto_buf all = { 0 }, cut = { 0 };
	const json_t *j;
	size_t i;

	json_array_foreach (words, i, j) {
		const char *word = json_string_value(j);
		const char *quote = word && i > 0 && strchr(word, ' ') ? "'" : "";

		if (word && buf_addf(&all, "%s%s%s%s", i ? " " : "", quote, word, quote) < 0)
			return -ENOMEM;
	}
	if (!all.data)
		return ps_quote(b, "", 0);
	if (length == PS_WHOLE)
		return ps_quote(b, all.data, all.len);
	if (text_shorten(&cut, all.data, COMMAND_SHOWN) < 0)
		return -ENOMEM;
	return ps_quote(b, cut.data, cut.len);
}

/* ---- the rest ---- */

static int labels_text(struct buf *b, json_t *labels)
{
	const char *key;
	json_t *value;

	json_object_foreach (labels, key, value) {
		if (buf_addf(b, "%s%s=%s", b->len ? "," : "", key, json_string_value(value)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* "2026-01-02 15:04:05 +0100 CET", as Go prints a time. */
static void time_text(int64_t ns, char *ret, size_t len)
{
	time_t s = (time_t)(ns / NS_PER_S);
	struct tm tm;

	if (!localtime_r(&s, &tm) || strftime(ret, len, "%Y-%m-%d %H:%M:%S %z %Z", &tm) == 0)
		*ret = '\0';
}

/* "12kB (virtual 4.5MB)": what it has written, and that with its image. */
static void size_show(const json_t *m, char *ret, size_t len)
{
	int64_t own = MAX_OF(number_of(m, "size"), 0);
	int64_t image = MAX_OF(number_of(m, "image_size"), 0);
	char own_text[32], all_text[32];

	size_text((uint64_t)own, 3, own_text, sizeof(own_text));
	size_text((uint64_t)own + (uint64_t)image, 3, all_text, sizeof(all_text));
	snprintf(ret, len, "%s (virtual %s)", own_text, all_text);
}

static int mounts_text(struct buf *b, const json_t *mounts, enum ps_length length)
{
	const json_t *j;
	size_t i;

	json_array_foreach (mounts, i, j) {
		const char *source = json_string_value(j);

		if (!source)
			continue;
		if ((b->len && buf_add_str(b, ",") < 0) ||
		    (length == PS_WHOLE ? buf_add_str(b, source)
					: text_shorten(b, source, MOUNT_SHOWN)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* As the user said it; an image without a name by its id. */
static const char *image_text(const json_t *m, enum ps_length length, char *buf, size_t len)
{
	const char *ref = text_of(m, "image"), *id = *ref ? ref : text_of(m, "image_id");

	if (strncmp(id, "sha256:", 7) != 0 || length == PS_WHOLE)
		return id;
	snprintf(buf, len, "%.*s", ID_SHOWN, id + 7);
	return buf;
}

/* What is not UTF-8 (a word of the command line may be cut anywhere) cannot be JSON text. */
static int text_set(json_t *row, const char *key, const char *text)
{
	json_t *value = json_string(text ? text : "");

	return json_object_set_new(row, key, value ? value : json_string("?"));
}

static int texts_make(const json_t *m, enum ps_length length, int64_t now_ns, json_t *row)
{
	auto_buf command = { 0 }, ports = { 0 }, status = { 0 }, labels = { 0 }, mounts = { 0 };
	const json_t *exposed = json_object_get(m, "exposed");
	bool is_running = strcmp(text_of(m, "status"), "running") == 0;

	if (command_text(&command, json_object_get(m, "command"), length) < 0 ||
	    ps_status_text(&status, m, now_ns) < 0 ||
	    ps_ports_text(&ports, json_object_get(m, "ports"), is_running ? exposed : NULL) < 0 ||
	    labels_text(&labels, json_object_get(m, "labels")) < 0 ||
	    mounts_text(&mounts, json_object_get(m, "mounts"), length) < 0)
		return -ENOMEM;
	if (text_set(row, "Command", command.data) < 0 || text_set(row, "Status", status.data) < 0)
		return -ENOMEM;
	return text_set(row, "Ports", ports.data) < 0 || text_set(row, "Labels", labels.data) < 0 ||
			       text_set(row, "Mounts", mounts.data) < 0
		       ? -ENOMEM
		       : 0;
}

json_t *ps_row_make(const json_t *m, enum ps_length length, int64_t now_ns)
{
	int64_t created_ns = number_of(m, "created_ns");
	char ago[40], since[48], created[64], size[80], image[ID_SHOWN + 1], id[65];
	json_t *row = json_object();

	ago_text(created_ns, now_ns, ago, sizeof(ago));
	snprintf(since, sizeof(since), "%s ago", ago);
	time_text(created_ns, created, sizeof(created));
	size_show(m, size, sizeof(size));
	snprintf(id, sizeof(id), "%.*s", length == PS_CUT ? ID_SHOWN : 64, text_of(m, "id"));
	if (row && texts_make(m, length, now_ns, row) == 0 && text_set(row, "ID", id) == 0 &&
	    text_set(row, "Names", text_of(m, "name")) == 0 &&
	    text_set(row, "Image", image_text(m, length, image, sizeof(image))) == 0 &&
	    text_set(row, "State", text_of(m, "status")) == 0 &&
	    text_set(row, "RunningFor", since) == 0 && text_set(row, "CreatedAt", created) == 0 &&
	    text_set(row, "Size", size) == 0 && text_set(row, "LocalVolumes", "0") == 0 &&
	    text_set(row, "Networks", text_of(m, "network")) == 0)
		return row;
	json_decref(row);
	return NULL;
}
