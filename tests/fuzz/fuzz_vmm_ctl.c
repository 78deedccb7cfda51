/* SPDX-License-Identifier: MIT */
/*
 * fuzz_vmm_ctl.c - a stream of frames, from the driver or the VMM
 *
 * Each frame's payload is decoded by its type; what is taken is encoded again and must be the same
 * bytes, but for texts, which must be clean.
 */
#include "fuzz_input.h"

#include "vmm_ctl.h"

static void text_must(const char *text, size_t size)
{
	MUST(memchr(text, 0, size));
	for (; *text; text++)
		MUST(*text >= ' ' && *text <= '~');
}

/* 1: encoded again, 0: was not, as it is refused. */
static int request_again(const struct vmm_ctl_frame *f, struct buf *out, struct err *e)
{
	struct vmm_ctl_attach a;
	uint64_t bytes;

	if (f->type == VMM_CTL_BALLOON) {
		if (vmm_ctl_get_balloon(f, &bytes, e) < 0)
			return 0;
		MUST(vmm_ctl_put_balloon(out, bytes) == 0);
	} else if (f->type == VMM_CTL_RESIZE) {
		if (vmm_ctl_get_resize(f, &bytes, e) < 0)
			return 0;
		MUST(bytes % (2 << 20) == 0);
		MUST(vmm_ctl_put_resize(out, bytes) == 0);
	} else if (f->type == VMM_CTL_ATTACH) {
		if (vmm_ctl_get_attach(f, &a, e) < 0)
			return 0;
		MUST(a.disk < 8 && a.size && a.size % 512 == 0 && a.size <= INT64_MAX);
		MUST(vmm_ctl_put_attach(out, &a) == 0);
	} else {
		MUST(f->len == 0 && vmm_ctl_put(out, f->type) == 0);
	}
	return 1;
}

static int text_again(const struct vmm_ctl_frame *f, struct buf *out, struct err *e)
{
	struct vmm_ctl_error error;
	struct vmm_ctl_ended ended;

	if (f->type == VMM_CTL_ERROR) {
		if (vmm_ctl_get_error(f, &error, e) < 0)
			return 0;
		text_must(error.text, sizeof(error.text));
		MUST(error.code && strlen(error.text) == f->len - 4);
		MUST(vmm_ctl_put_error(out, error.code, error.text) == 0);
	} else {
		if (vmm_ctl_get_ended(f, &ended, e) < 0)
			return 0;
		text_must(ended.text, sizeof(ended.text));
		MUST(strlen(ended.text) == f->len - 4);
		MUST(vmm_ctl_put_ended(out, ended.reason, ended.text) == 0);
	}
	return 1;
}

static int said_again(const struct vmm_ctl_frame *f, struct buf *out, struct err *e)
{
	struct vmm_ctl_counts counts;

	switch (f->type) {
	case VMM_CTL_OK:
		MUST(f->len == 0 && vmm_ctl_put(out, f->type) == 0);
		return 1;
	case VMM_CTL_COUNTS:
		MUST(vmm_ctl_get_counts(f, &counts, e) == 0);
		MUST(vmm_ctl_put_counts(out, &counts) == 0);
		return 1;
	case VMM_CTL_READY:
		if (vmm_ctl_get_ready(f, e) < 0)
			return 0;
		MUST(vmm_ctl_put_ready(out) == 0);
		return 1;
	default:
		return text_again(f, out, e);
	}
}

static void frame_try(const uint8_t *raw, size_t used, const struct vmm_ctl_frame *f)
{
	auto_buf out = { 0 };
	struct err e = { 0 };
	size_t same =
		f->type == VMM_CTL_ERROR || f->type == VMM_CTL_ENDED ? VMM_CTL_HEAD_LEN + 4 : used;
	int rc;

	MUST(!vmm_ctl_wants_fd(f->type) || vmm_ctl_is_request(f->type));
	MUST(!vmm_ctl_is_answer(f->type) || !vmm_ctl_is_request(f->type));
	rc = vmm_ctl_is_request(f->type) ? request_again(f, &out, &e) : said_again(f, &out, &e);
	if (rc)
		MUST(out.len == used && memcmp(out.data, raw, same) == 0);
	else
		MUST(e.code == EBADMSG && e.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free uint8_t *copy = malloc(len ? len : 1);
	size_t at = 0;

	MUST(copy);
	if (len)
		memcpy(copy, data, len);
	for (;;) {
		struct vmm_ctl_frame f;
		struct err e = { 0 };
		size_t used = 0;
		int rc = vmm_ctl_next(copy + at, len - at, &f, &used, &e);

		if (rc <= 0) {
			MUST(rc == 0 || rc == -EBADMSG);
			return 0;
		}
		MUST(used == VMM_CTL_HEAD_LEN + f.len && used <= len - at);
		frame_try(copy + at, used, &f);
		at += used;
	}
}
