/* SPDX-License-Identifier: MIT */
/*
 * agent.c - [U] frames and payloads of the agent protocol
 *
 * Hostile: every byte that is decoded. Invariants: I1 a cursor never moves past its end; after a
 * short read it stays failed and yields zeros. I2 a string handed out is NUL-terminated inside the
 * payload. I3 counts are checked against what is left before anything is allocated.
 */
#include "agent.h"

#include <string.h>

#include "bytes.h"

#define LEASE_LEN (12U + 4U * AGENT_LEASE_DNS)

struct cursor {
	const uint8_t *p, *end;
	bool failed;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->failed || (size_t)(c->end - c->p) < n) {
		c->failed = true;
		return NULL;
	}
	c->p += n;
	return p;
}

static uint16_t take_u16(struct cursor *c)
{
	const uint8_t *p = take(c, 2);

	return p ? get_le16(p) : 0;
}

static uint32_t take_u32(struct cursor *c)
{
	const uint8_t *p = take(c, 4);

	return p ? get_le32(p) : 0;
}

static uint64_t take_u64(struct cursor *c)
{
	const uint8_t *p = take(c, 8);

	return p ? get_le64(p) : 0;
}

static struct agent_bytes take_bytes(struct cursor *c)
{
	uint32_t len = take_u32(c);
	const uint8_t *p = take(c, len);

	return (struct agent_bytes){ .data = p, .len = p ? len : 0 };
}

/* u32 length without the NUL, the bytes, a NUL; the bytes hold no other NUL. */
static const char *take_str(struct cursor *c)
{
	uint32_t len = take_u32(c);
	const uint8_t *p = len == UINT32_MAX ? NULL : take(c, (size_t)len + 1);

	if (!p || p[len] != '\0' || memchr(p, '\0', len)) {
		c->failed = true;
		return "";
	}
	return (const char *)p;
}

static int bad(struct err *e, const char *what)
{
	return err_plain(e, EPROTO, "agent protocol: bad %s", what);
}

static struct cursor cursor_on(struct agent_bytes p)
{
	const uint8_t *d = p.data;

	return (struct cursor){ .p = d, .end = d ? d + p.len : d };
}

static int cursor_end(const struct cursor *c, const char *what, struct err *e)
{
	return c->failed || c->p != c->end ? bad(e, what) : 0;
}

int agent_frame_parse(const void *in, size_t len, struct agent_frame *ret, size_t *ret_len,
		      struct err *e)
{
	const uint8_t *p = in;
	uint32_t n;

	if (len < AGENT_HEAD_LEN)
		return 0;
	n = get_le32(p);
	if (n > AGENT_PAYLOAD_MAX)
		return err_plain(e, EPROTO, "agent protocol: frame of %u bytes", n);
	if (get_le16(p + 6) != 0)
		return bad(e, "frame head");
	if (len - AGENT_HEAD_LEN < n)
		return 0;
	*ret = (struct agent_frame){ .type = get_le16(p + 4),
				     .stream = get_le32(p + 8),
				     .payload = { .data = p + AGENT_HEAD_LEN, .len = n } };
	*ret_len = AGENT_HEAD_LEN + n;
	return 1;
}

/* ---- encoding ---- */

static int frame_begin(struct buf *out, uint16_t type, uint32_t stream, size_t *ret_at)
{
	uint8_t head[AGENT_HEAD_LEN] = { 0 };

	put_le16(head + 4, type);
	put_le32(head + 8, stream);
	*ret_at = out->len;
	return buf_add(out, head, sizeof(head));
}

/* Fill in the length, or take back the frame after an error. */
static int frame_end(struct buf *out, size_t at, int rc)
{
	size_t n = out->len - at - AGENT_HEAD_LEN;

	if (rc == 0 && n > AGENT_PAYLOAD_MAX)
		rc = -EFBIG;
	if (rc < 0)
		out->len = at;
	else
		put_le32(out->data + at, (uint32_t)n);
	return rc;
}

static int add_u16(struct buf *b, uint16_t v)
{
	uint8_t raw[2];

	put_le16(raw, v);
	return buf_add(b, raw, sizeof(raw));
}

static int add_u32(struct buf *b, uint32_t v)
{
	uint8_t raw[4];

	put_le32(raw, v);
	return buf_add(b, raw, sizeof(raw));
}

static int add_u64(struct buf *b, uint64_t v)
{
	uint8_t raw[8];

	put_le64(raw, v);
	return buf_add(b, raw, sizeof(raw));
}

static int add_bytes(struct buf *b, const void *data, size_t len)
{
	int rc = len > AGENT_PAYLOAD_MAX ? -EFBIG : add_u32(b, (uint32_t)len);

	return rc < 0 ? rc : buf_add(b, data, len);
}

static int add_str(struct buf *b, const char *s)
{
	size_t len = s ? strlen(s) : 0;
	int rc = len > AGENT_PAYLOAD_MAX ? -EFBIG : add_u32(b, (uint32_t)len);

	return rc < 0 ? rc : buf_add(b, s ? s : "", len + 1);
}

static int add_strings(struct buf *b, const struct agent_strings *s)
{
	int rc = s->n > AGENT_ARGS_MAX ? -EFBIG : add_u32(b, s->n);

	for (uint32_t i = 0; rc == 0 && i < s->n; i++)
		rc = add_str(b, s->v[i]);
	return rc;
}

int agent_put(struct buf *out, uint16_t type, uint32_t stream, const void *payload, size_t len)
{
	size_t at;
	int rc = frame_begin(out, type, stream, &at);

	if (rc < 0)
		return rc;
	return frame_end(out, at, buf_add(out, payload, len));
}

/* The first failing step decides; the rest are not run. */
#define STEP(call)                                                                                 \
	do {                                                                                       \
		if (rc == 0)                                                                       \
			rc = (call);                                                               \
	} while (0)

int agent_put_identity(struct buf *out, const struct agent_identity *id)
{
	size_t at;
	int rc = frame_begin(out, AGENT_IDENTITY, 0, &at);

	if (rc < 0)
		return rc;
	STEP(add_bytes(out, id->entropy.data, id->entropy.len));
	STEP(add_u64(out, id->realtime_ns));
	STEP(add_str(out, id->hostname));
	STEP(add_str(out, id->machine_id));
	STEP(add_str(out, id->boot_id));
	STEP(buf_add(out, id->mac, sizeof(id->mac)));
	STEP(add_u32(out, id->ip));
	STEP(add_u32(out, id->gateway));
	STEP(add_u32(out, id->prefix_len));
	STEP(add_bytes(out, id->ip6.data, id->ip6.len));
	STEP(add_bytes(out, id->gateway6.data, id->gateway6.len));
	STEP(add_u32(out, id->prefix6_len));
	STEP(add_u32(out, id->mtu));
	return frame_end(out, at, rc);
}

int agent_put_root(struct buf *out, const struct agent_root *r)
{
	size_t at;
	int rc = frame_begin(out, AGENT_ROOT, 0, &at);

	if (rc < 0)
		return rc;
	STEP(add_u32(out, r->image_slot));
	STEP(add_u32(out, r->writable_slot));
	STEP(add_u32(out, r->flags));
	STEP(add_u64(out, r->image_len));
	STEP(add_u64(out, r->writable_len));
	return frame_end(out, at, rc);
}

static int add_mount(struct buf *out, const struct agent_mount *m)
{
	int rc = add_u32(out, m->kind);

	STEP(add_str(out, m->source));
	STEP(add_str(out, m->target));
	STEP(add_str(out, m->options));
	STEP(add_bytes(out, m->content.data, m->content.len));
	return rc;
}

int agent_put_run(struct buf *out, uint32_t stream, const struct agent_run *r)
{
	size_t at;
	int rc = frame_begin(out, AGENT_RUN, stream, &at);

	if (rc < 0)
		return rc;
	STEP(add_u32(out, r->flags));
	STEP(add_strings(out, &r->argv));
	STEP(add_strings(out, &r->env));
	STEP(add_str(out, r->cwd));
	STEP(add_str(out, r->user));
	STEP(add_u16(out, r->rows));
	STEP(add_u16(out, r->cols));
	STEP(r->n_mounts > AGENT_MOUNTS_MAX ? -EFBIG : add_u32(out, r->n_mounts));
	for (uint32_t i = 0; rc == 0 && i < r->n_mounts; i++)
		rc = add_mount(out, &r->mounts[i]);
	return frame_end(out, at, rc);
}

int agent_put_lease(struct buf *out, const struct agent_lease *l)
{
	uint8_t raw[LEASE_LEN];

	put_le32(raw, l->ip);
	put_le32(raw + 4, l->gateway);
	put_le32(raw + 8, l->prefix_len);
	for (size_t i = 0; i < AGENT_LEASE_DNS; i++)
		put_le32(raw + 12 + 4 * i, l->dns[i]);
	return agent_put(out, AGENT_LEASE, 0, raw, sizeof(raw));
}

int agent_put_u32(struct buf *out, uint16_t type, uint32_t stream, uint32_t v)
{
	uint8_t raw[4];

	put_le32(raw, v);
	return agent_put(out, type, stream, raw, sizeof(raw));
}

int agent_put_credit(struct buf *out, uint32_t stream, uint32_t bytes, uint16_t which)
{
	uint8_t raw[6];

	put_le32(raw, bytes);
	put_le16(raw + 4, which);
	return agent_put(out, AGENT_CREDIT, stream, raw, sizeof(raw));
}

int agent_put_resize(struct buf *out, uint32_t stream, uint16_t rows, uint16_t cols)
{
	uint8_t raw[4];

	put_le16(raw, rows);
	put_le16(raw + 2, cols);
	return agent_put(out, AGENT_RESIZE, stream, raw, sizeof(raw));
}

int agent_put_text(struct buf *out, uint16_t type, uint32_t stream, uint16_t request, uint32_t code,
		   const char *text)
{
	size_t at;
	int rc = frame_begin(out, type, stream, &at);

	if (rc < 0)
		return rc;
	if (type == AGENT_ERROR)
		rc = add_u16(out, request);
	STEP(add_u32(out, code));
	STEP(buf_add(out, text, strlen(text)));
	return frame_end(out, at, rc);
}

/* ---- decoding ---- */

int agent_get_identity(struct agent_bytes p, struct agent_identity *ret, struct err *e)
{
	struct cursor c = cursor_on(p);
	struct agent_identity id = { 0 };
	const uint8_t *mac;
	uint32_t prefix, prefix6;

	id.entropy = take_bytes(&c);
	id.realtime_ns = take_u64(&c);
	id.hostname = take_str(&c);
	id.machine_id = take_str(&c);
	id.boot_id = take_str(&c);
	mac = take(&c, sizeof(id.mac));
	if (mac)
		memcpy(id.mac, mac, sizeof(id.mac));
	id.ip = take_u32(&c);
	id.gateway = take_u32(&c);
	prefix = take_u32(&c);
	id.ip6 = take_bytes(&c);
	id.gateway6 = take_bytes(&c);
	prefix6 = take_u32(&c);
	id.mtu = take_u32(&c);
	if (cursor_end(&c, "identity", e) < 0)
		return -e->code;
	if (prefix > 32 || prefix6 > 128 || (id.ip6.len && id.ip6.len != 16) ||
	    (id.gateway6.len && id.gateway6.len != 16) || id.entropy.len > 512 ||
	    strlen(id.hostname) > 253)
		return bad(e, "identity");
	id.prefix_len = (uint8_t)prefix;
	id.prefix6_len = (uint8_t)prefix6;
	*ret = id;
	return 0;
}

int agent_get_root(struct agent_bytes p, struct agent_root *ret, struct err *e)
{
	struct cursor c = cursor_on(p);
	struct agent_root r = { 0 };

	r.image_slot = take_u32(&c);
	r.writable_slot = take_u32(&c);
	r.flags = take_u32(&c);
	r.image_len = take_u64(&c);
	r.writable_len = take_u64(&c);
	if (cursor_end(&c, "root", e) < 0)
		return -e->code;
	*ret = r;
	return 0;
}

/* Each string takes five bytes at least, so the count is bounded by what is left. */
static void take_strings(struct cursor *c, struct agent_strings *s)
{
	uint32_t n = take_u32(c);

	if (c->failed || n > AGENT_ARGS_MAX || n > (size_t)(c->end - c->p) / 5) {
		c->failed = true;
		return;
	}
	s->v = calloc((size_t)n + 1, sizeof(*s->v));
	if (!s->v) {
		c->failed = true;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		s->v[i] = take_str(c);
	s->n = n;
}

/* "disk2", "disk2/name": a slot of at most two digits, a plain name. */
static bool is_disk_source(const char *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
	size_t digits;

	if (strncmp(s, "disk", 4) != 0)
		return false;
	digits = strspn(s + 4, "0123456789");
	s += 4 + digits;
	if (digits == 0 || digits > 2)
		return false;
	return *s == '\0' || (*s == '/' && s[1] && s[1 + strspn(s + 1, letters)] == '\0');
}

static bool is_mount(const struct agent_mount *m)
{
	if (m->kind > AGENT_MOUNT_DISK || m->target[0] != '/')
		return false;
	return m->kind != AGENT_MOUNT_DISK || is_disk_source(m->source);
}

static void take_mounts(struct cursor *c, struct agent_run *r)
{
	uint32_t n = take_u32(c);

	if (c->failed || n > AGENT_MOUNTS_MAX) {
		c->failed = true;
		return;
	}
	r->mounts = calloc((size_t)n + 1, sizeof(*r->mounts));
	if (!r->mounts) {
		c->failed = true;
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct agent_mount *m = &r->mounts[i];

		m->kind = take_u32(c);
		m->source = take_str(c);
		m->target = take_str(c);
		m->options = take_str(c);
		m->content = take_bytes(c);
		if (!is_mount(m))
			c->failed = true;
	}
	r->n_mounts = n;
}

int agent_get_run(struct agent_bytes p, struct agent_run *ret, struct err *e)
{
	struct cursor c = cursor_on(p);
	struct agent_run r = { 0 };

	r.flags = take_u32(&c);
	take_strings(&c, &r.argv);
	take_strings(&c, &r.env);
	r.cwd = take_str(&c);
	r.user = take_str(&c);
	r.rows = take_u16(&c);
	r.cols = take_u16(&c);
	take_mounts(&c, &r);
	if (cursor_end(&c, "run", e) < 0 || r.argv.n == 0) {
		agent_run_done(&r);
		return bad(e, "run");
	}
	*ret = r;
	return 0;
}

void agent_run_done(struct agent_run *r)
{
	free(r->argv.v);
	free(r->env.v);
	free(r->mounts);
	*r = (struct agent_run){ 0 };
}

int agent_get_u32(struct agent_bytes p, uint32_t *ret, struct err *e)
{
	if (p.len != 4)
		return bad(e, "number");
	*ret = get_le32(p.data);
	return 0;
}

int agent_get_credit(struct agent_bytes p, uint32_t *ret_bytes, uint16_t *ret_which, struct err *e)
{
	if (p.len != 6)
		return bad(e, "credit");
	*ret_bytes = get_le32(p.data);
	*ret_which = get_le16((const uint8_t *)p.data + 4);
	return 0;
}

int agent_get_resize(struct agent_bytes p, uint16_t *ret_rows, uint16_t *ret_cols, struct err *e)
{
	if (p.len != 4)
		return bad(e, "window size");
	*ret_rows = get_le16(p.data);
	*ret_cols = get_le16((const uint8_t *)p.data + 2);
	return 0;
}

static void text_copy(const uint8_t *p, size_t n, char *text, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < n && at + 5 < len; i++) {
		bool is_c1 = (p[i] == 0xc2 && i + 1 < n && (p[i + 1] & 0xe0) == 0x80) ||
			     (i > 0 && p[i - 1] == 0xc2 && (p[i] & 0xe0) == 0x80);

		if (p[i] < 0x20 || p[i] == 0x7f || is_c1)
			at += (size_t)snprintf(text + at, len - at, "\\x%02x", p[i]);
		else
			text[at++] = (char)p[i];
	}
	if (len)
		text[at] = '\0';
}

int agent_get_error(struct agent_bytes p, uint16_t *ret_request, uint32_t *ret_code, char *text,
		    size_t len, struct err *e)
{
	const uint8_t *d = p.data;

	if (p.len < 6)
		return bad(e, "error");
	*ret_request = get_le16(d);
	*ret_code = get_le32(d + 2);
	text_copy(d + 6, p.len - 6, text, len);
	return 0;
}

int agent_get_failed(struct agent_bytes p, uint32_t *ret_code, char *text, size_t len,
		     struct err *e)
{
	const uint8_t *d = p.data;

	if (p.len < 4)
		return bad(e, "failure");
	*ret_code = get_le32(d);
	text_copy(d + 4, p.len - 4, text, len);
	return 0;
}

int agent_get_lease(struct agent_bytes p, struct agent_lease *ret, struct err *e)
{
	const uint8_t *d = p.data;
	struct agent_lease l = { 0 };

	if (p.len != LEASE_LEN || !get_le32(d) || !get_le32(d + 8) || get_le32(d + 8) > 32)
		return bad(e, "lease");
	l.ip = get_le32(d);
	l.gateway = get_le32(d + 4);
	l.prefix_len = (uint8_t)get_le32(d + 8);
	for (size_t i = 0; i < AGENT_LEASE_DNS; i++)
		l.dns[i] = get_le32(d + 12 + 4 * i);
	*ret = l;
	return 0;
}

int agent_get_exited(struct agent_bytes p, uint32_t *ret_status, bool *ret_oom, struct err *e)
{
	const uint8_t *d = p.data;

	if (p.len != 8)
		return bad(e, "end");
	*ret_status = get_le32(d);
	*ret_oom = get_le32(d + 4) == 1;
	return 0;
}
