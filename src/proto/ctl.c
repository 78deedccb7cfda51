/* SPDX-License-Identifier: MIT */
/* ctl.c - [U] the payloads of ctl.h */
#include "ctl.h"

#include "bytes.h"

#define ATTACH_LEN 8U

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
