/* SPDX-License-Identifier: MIT */
/*
 * vmm_ctl.c - [U] frames between the driver and caisson-vmm
 *
 * Hostile: every byte that is decoded. A guest that broke out of its machine speaks as the VMM.
 * Invariants: I1 a payload is looked into only after its length was compared with the type's row.
 * I2 a text that is handed out is printable ASCII, and bounded.
 */
#include "vmm_ctl.h"

#include <string.h>

#include "bytes.h"
#include "vmm_config.h"

#define BALLOON_UNIT 4096U
#define ATTACH_LEN   13U
#define COUNTS_N     8U
#define ERRNO_MAX    4095U

enum role {
	REQUEST,
	ANSWER,
	EVENT,
};

struct row {
	uint16_t type;
	enum role role;
	bool wants_fd;
	uint32_t len_min, len_max; /* of the payload */
};

static const struct row rows[] = {
	{ VMM_CTL_PAUSE, REQUEST, false, 0, 0 },
	{ VMM_CTL_RESUME, REQUEST, false, 0, 0 },
	{ VMM_CTL_SNAPSHOT, REQUEST, true, 0, 0 },
	{ VMM_CTL_BALLOON, REQUEST, false, 8, 8 },
	{ VMM_CTL_STATISTICS, REQUEST, false, 0, 0 },
	{ VMM_CTL_ATTACH, REQUEST, true, ATTACH_LEN, ATTACH_LEN },
	{ VMM_CTL_NET_ATTACH, REQUEST, true, 0, 0 },
	{ VMM_CTL_STOP, REQUEST, false, 0, 0 },
	{ VMM_CTL_RESIZE, REQUEST, false, 8, 8 },
	{ VMM_CTL_DIRTY_START, REQUEST, false, 0, 0 },
	{ VMM_CTL_DIRTY_STOP, REQUEST, false, 0, 0 },
	{ VMM_CTL_DIRTY_GET, REQUEST, true, 0, 0 },
	{ VMM_CTL_OK, ANSWER, false, 0, 0 },
	{ VMM_CTL_ERROR, ANSWER, false, 4, 4 + VMM_CTL_TEXT_MAX },
	{ VMM_CTL_COUNTS, ANSWER, false, COUNTS_N * 8, COUNTS_N * 8 },
	{ VMM_CTL_READY, EVENT, false, 4, 4 },
	{ VMM_CTL_ENDED, EVENT, false, 4, 4 + VMM_CTL_TEXT_MAX },
};

static const struct row *row_of(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].type == type)
			return &rows[i];
	return NULL;
}

bool vmm_ctl_is_request(uint16_t type)
{
	const struct row *r = row_of(type);

	return r && r->role == REQUEST;
}

bool vmm_ctl_is_answer(uint16_t type)
{
	const struct row *r = row_of(type);

	return r && r->role == ANSWER;
}

bool vmm_ctl_wants_fd(uint16_t type)
{
	const struct row *r = row_of(type);

	return r && r->wants_fd;
}

static int len_check(uint16_t type, uint32_t len, struct err *e)
{
	const struct row *r = row_of(type);

	if (!r)
		return err_plain(e, EBADMSG, "VMM control: unknown type %u", type);
	if (len < r->len_min || len > r->len_max)
		return err_plain(e, EBADMSG, "VMM control: %u bytes for type %u", len, type);
	return 0;
}

int vmm_ctl_next(const void *in, size_t len, struct vmm_ctl_frame *ret, size_t *ret_len,
		 struct err *e)
{
	const uint8_t *p = in;
	uint16_t type;
	uint32_t n;

	if (len < VMM_CTL_HEAD_LEN)
		return 0;
	n = get_le32(p);
	type = get_le16(p + 4);
	if (get_le16(p + 6) != VMM_CTL_VERSION)
		return err_plain(e, EBADMSG, "VMM control: version %u", get_le16(p + 6));
	if (n > VMM_CTL_PAYLOAD_MAX)
		return err_plain(e, EBADMSG, "VMM control: frame of %u bytes", n);
	if (len_check(type, n, e) < 0)
		return -e->code;
	if (len - VMM_CTL_HEAD_LEN < n)
		return 0;
	*ret = (struct vmm_ctl_frame){ .type = type, .payload = p + VMM_CTL_HEAD_LEN, .len = n };
	*ret_len = VMM_CTL_HEAD_LEN + n;
	return 1;
}

/* ---- encoding ---- */

static int frame_put(struct buf *out, uint16_t type, const void *payload, uint32_t len)
{
	uint8_t raw[VMM_CTL_HEAD_LEN + 4 + VMM_CTL_TEXT_MAX]; /* the longest of `rows` */

	put_le32(raw, len);
	put_le16(raw + 4, type);
	put_le16(raw + 6, VMM_CTL_VERSION);
	if (len)
		memcpy(raw + VMM_CTL_HEAD_LEN, payload, len);
	return buf_add(out, raw, VMM_CTL_HEAD_LEN + len);
}

int vmm_ctl_put(struct buf *out, uint16_t type)
{
	const struct row *r = row_of(type);

	return r && !r->len_max ? frame_put(out, type, NULL, 0) : -EINVAL;
}

static int bytes_put(struct buf *out, uint16_t type, uint64_t bytes)
{
	uint8_t raw[8];

	put_le64(raw, bytes);
	return frame_put(out, type, raw, sizeof(raw));
}

int vmm_ctl_put_balloon(struct buf *out, uint64_t bytes)
{
	return bytes_put(out, VMM_CTL_BALLOON, bytes);
}

int vmm_ctl_put_resize(struct buf *out, uint64_t bytes)
{
	return bytes_put(out, VMM_CTL_RESIZE, bytes);
}

int vmm_ctl_put_attach(struct buf *out, const struct vmm_ctl_attach *a)
{
	uint8_t raw[ATTACH_LEN];

	put_le32(raw, a->disk);
	raw[4] = a->is_readonly;
	put_le64(raw + 5, a->size);
	return frame_put(out, VMM_CTL_ATTACH, raw, sizeof(raw));
}

/* Nothing that a terminal would obey, and no part of a longer character where a text was cut. */
static void text_copy(char *to, const void *from, size_t len)
{
	const uint8_t *p = from;

	for (size_t i = 0; i < len; i++)
		to[i] = p[i] < ' ' || p[i] > '~' ? '?' : (char)p[i];
}

static int text_put(struct buf *out, uint16_t type, uint32_t number, const char *text)
{
	char raw[4 + VMM_CTL_TEXT_MAX];
	size_t len = strnlen(text, VMM_CTL_TEXT_MAX);

	put_le32(raw, number);
	text_copy(raw + 4, text, len);
	return frame_put(out, type, raw, (uint32_t)(4 + len));
}

int vmm_ctl_put_error(struct buf *out, uint32_t code, const char *text)
{
	return text_put(out, VMM_CTL_ERROR, code ? code : EIO, text);
}

int vmm_ctl_put_counts(struct buf *out, const struct vmm_ctl_counts *c)
{
	const uint64_t v[COUNTS_N] = { c->cpu_ns,        c->exits,      c->mmio_exits,
				       c->pio_exits,     c->disk_reads, c->disk_writes,
				       c->balloon_bytes, c->grown_bytes };
	uint8_t raw[COUNTS_N * 8];

	for (size_t i = 0; i < COUNTS_N; i++)
		put_le64(raw + i * 8, v[i]);
	return frame_put(out, VMM_CTL_COUNTS, raw, sizeof(raw));
}

int vmm_ctl_put_ready(struct buf *out)
{
	uint8_t raw[4];

	put_le32(raw, VMM_CTL_VERSION);
	return frame_put(out, VMM_CTL_READY, raw, sizeof(raw));
}

int vmm_ctl_put_ended(struct buf *out, enum vmm_ctl_end reason, const char *text)
{
	return text_put(out, VMM_CTL_ENDED, reason, text);
}

/* ---- decoding ---- */

static int frame_check(const struct vmm_ctl_frame *f, uint16_t type, struct err *e)
{
	if (f->type != type)
		return err_plain(e, EBADMSG, "VMM control: type %u, not %u", f->type, type);
	return len_check(type, f->len, e);
}

/* Of memory, in whole units. */
static int bytes_get(const struct vmm_ctl_frame *f, uint16_t type, uint64_t unit, uint64_t *ret,
		     struct err *e)
{
	uint64_t bytes;

	if (frame_check(f, type, e) < 0)
		return -e->code;
	bytes = get_le64(f->payload);
	if (bytes > VMM_MEM_MAX || bytes % unit)
		return err_plain(e, EBADMSG, "VMM control: type %u with %llu bytes", type,
				 (unsigned long long)bytes);
	*ret = bytes;
	return 0;
}

int vmm_ctl_get_balloon(const struct vmm_ctl_frame *f, uint64_t *ret, struct err *e)
{
	return bytes_get(f, VMM_CTL_BALLOON, BALLOON_UNIT, ret, e);
}

int vmm_ctl_get_resize(const struct vmm_ctl_frame *f, uint64_t *ret, struct err *e)
{
	return bytes_get(f, VMM_CTL_RESIZE, VMM_MEM_UNIT, ret, e);
}

int vmm_ctl_get_attach(const struct vmm_ctl_frame *f, struct vmm_ctl_attach *ret, struct err *e)
{
	const uint8_t *p = f->payload;
	uint32_t disk;
	uint64_t size;

	if (frame_check(f, VMM_CTL_ATTACH, e) < 0)
		return -e->code;
	disk = get_le32(p);
	size = get_le64(p + 5);
	if (disk >= VMM_DISKS_MAX || p[4] > 1)
		return err_plain(e, EBADMSG, "VMM control: disk %u, read-only %u", disk, p[4]);
	if (!size || size % VMM_SECTOR || size > VMM_DISK_SIZE_MAX)
		return err_plain(e, EBADMSG, "VMM control: disk %u of %llu bytes", disk,
				 (unsigned long long)size);
	*ret = (struct vmm_ctl_attach){ .disk = disk, .is_readonly = p[4], .size = size };
	return 0;
}

/* The number before the text, which is 1 to `max`. */
static int text_get(const struct vmm_ctl_frame *f, uint32_t max, uint32_t *ret, char *ret_text,
		    struct err *e)
{
	const uint8_t *p = f->payload;
	uint32_t v = get_le32(p);

	if (v < 1 || v > max)
		return err_plain(e, EBADMSG, "VMM control: type %u says %u", f->type, v);
	*ret = v;
	text_copy(ret_text, p + 4, f->len - 4);
	ret_text[f->len - 4] = '\0';
	return 0;
}

int vmm_ctl_get_error(const struct vmm_ctl_frame *f, struct vmm_ctl_error *ret, struct err *e)
{
	if (frame_check(f, VMM_CTL_ERROR, e) < 0)
		return -e->code;
	return text_get(f, ERRNO_MAX, &ret->code, ret->text, e);
}

int vmm_ctl_get_counts(const struct vmm_ctl_frame *f, struct vmm_ctl_counts *ret, struct err *e)
{
	const uint8_t *p = f->payload;

	if (frame_check(f, VMM_CTL_COUNTS, e) < 0)
		return -e->code;
	*ret = (struct vmm_ctl_counts){ .cpu_ns = get_le64(p),
					.exits = get_le64(p + 8),
					.mmio_exits = get_le64(p + 16),
					.pio_exits = get_le64(p + 24),
					.disk_reads = get_le64(p + 32),
					.disk_writes = get_le64(p + 40),
					.balloon_bytes = get_le64(p + 48),
					.grown_bytes = get_le64(p + 56) };
	return 0;
}

int vmm_ctl_get_ready(const struct vmm_ctl_frame *f, struct err *e)
{
	if (frame_check(f, VMM_CTL_READY, e) < 0)
		return -e->code;
	if (get_le32(f->payload) != VMM_CTL_VERSION)
		return err_plain(e, EBADMSG, "VMM control: ready with version %u",
				 get_le32(f->payload));
	return 0;
}

int vmm_ctl_get_ended(const struct vmm_ctl_frame *f, struct vmm_ctl_ended *ret, struct err *e)
{
	uint32_t reason;

	if (frame_check(f, VMM_CTL_ENDED, e) < 0 ||
	    text_get(f, VMM_CTL_END_STATE, &reason, ret->text, e) < 0)
		return -e->code;
	ret->reason = (enum vmm_ctl_end)reason;
	return 0;
}
