/* SPDX-License-Identifier: MIT */
/* ctl.c - [U] the payloads of ctl.h */
#include "ctl.h"

#include "bytes.h"

#define ATTACH_LEN    8U
#define MEMORY_IS_LEN 32U

int ctl_put_attach(struct buf *out, const struct ctl_attach *a)
{
	uint8_t raw[ATTACH_LEN];

	put_le32(raw, a->flags);
	put_le16(raw + 4, a->rows);
	put_le16(raw + 6, a->cols);
	return agent_put(out, CTL_ATTACH, 0, raw, sizeof(raw));
}

int ctl_get_attach(struct agent_bytes p, struct ctl_attach *ret, struct err *e)
{
	const uint8_t *raw = p.data;

	if (p.len != ATTACH_LEN)
		return err_plain(e, EPROTO, "an attach request of %u bytes", p.len);
	*ret = (struct ctl_attach){ .flags = get_le32(raw),
				    .rows = get_le16(raw + 4),
				    .cols = get_le16(raw + 6) };
	if (ret->flags & ~(uint32_t)(CTL_ATTACH_STDIN | CTL_ATTACH_OUTPUT))
		return err_plain(e, EPROTO, "unknown attach flags 0x%x", ret->flags);
	return 0;
}

int ctl_put_memory(struct buf *out, uint64_t bytes)
{
	uint8_t raw[8];

	put_le64(raw, bytes);
	return agent_put(out, CTL_MEMORY, 0, raw, sizeof(raw));
}

int ctl_get_memory(struct agent_bytes p, uint64_t *ret_bytes, struct err *e)
{
	if (p.len != 8)
		return err_plain(e, EPROTO, "a request for memory of %u bytes", p.len);
	*ret_bytes = get_le64(p.data);
	return 0;
}

int ctl_put_memory_is(struct buf *out, const struct ctl_memory *m)
{
	uint8_t raw[MEMORY_IS_LEN];

	put_le64(raw, m->least);
	put_le64(raw + 8, m->most);
	put_le64(raw + 16, m->wanted);
	put_le64(raw + 24, m->now);
	return agent_put(out, CTL_MEMORY_IS, 0, raw, sizeof(raw));
}

int ctl_get_memory_is(struct agent_bytes p, struct ctl_memory *ret, struct err *e)
{
	const uint8_t *raw = p.data;

	if (p.len != MEMORY_IS_LEN)
		return err_plain(e, EPROTO, "an answer about memory of %u bytes", p.len);
	*ret = (struct ctl_memory){ get_le64(raw), get_le64(raw + 8), get_le64(raw + 16),
				    get_le64(raw + 24) };
	return 0;
}
