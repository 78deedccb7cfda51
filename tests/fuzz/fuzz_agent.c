/* SPDX-License-Identifier: MIT */
/*
 * fuzz_agent.c - a stream of frames, from host, guest or client
 *
 * Each frame's payload is decoded by its type; what is taken is encoded again and must be the same
 * bytes, as there is one encoding of each message.
 */
#include "fuzz_input.h"

#include "ctl.h"

static void same_check(const struct buf *out, const struct agent_frame *f)
{
	struct agent_frame again;
	struct err e = { 0 };
	size_t used;

	MUST(agent_frame_parse(out->data, out->len, &again, &used, &e) == 1 && used == out->len);
	MUST(again.type == f->type && again.payload.len == f->payload.len);
	MUST(memcmp(again.payload.data, f->payload.data, f->payload.len) == 0);
}

static void run_try(const struct agent_frame *f, struct buf *out, struct err *e)
{
	struct agent_run r;

	if (agent_get_run(f->payload, &r, e) < 0)
		return;
	MUST(r.argv.n > 0 && r.argv.n <= AGENT_ARGS_MAX && r.env.n <= AGENT_ARGS_MAX);
	MUST(!r.argv.v[r.argv.n] && r.n_mounts <= AGENT_MOUNTS_MAX);
	for (uint32_t i = 0; i < r.n_mounts; i++)
		MUST(r.mounts[i].target[0] == '/' && r.mounts[i].kind <= AGENT_MOUNT_DISK);
	MUST(agent_put_run(out, f->stream, &r) == 0);
	same_check(out, f);
	agent_run_done(&r);
}

static void identity_try(const struct agent_frame *f, struct buf *out, struct err *e)
{
	struct agent_identity id;

	if (agent_get_identity(f->payload, &id, e) < 0)
		return;
	MUST(id.prefix_len <= 32 && id.prefix6_len <= 128 && id.entropy.len <= 512);
	MUST(strlen(id.hostname) <= 253 && id.machine_id && id.boot_id);
	MUST(agent_put_identity(out, &id) == 0);
	same_check(out, f);
}

static void text_check(const char *text, size_t size)
{
	MUST(memchr(text, 0, size));
	for (; *text; text++)
		MUST((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void texts_try(const struct agent_frame *f, struct err *e)
{
	uint16_t request;
	uint32_t code;
	char text[40], one[1];

	if (f->type == AGENT_ERROR &&
	    agent_get_error(f->payload, &request, &code, text, sizeof(text), e) == 0)
		text_check(text, sizeof(text));
	if (f->type == AGENT_FAILED &&
	    agent_get_failed(f->payload, &code, text, sizeof(text), e) == 0)
		text_check(text, sizeof(text));
	if (agent_get_failed(f->payload, &code, one, sizeof(one), e) == 0)
		MUST(one[0] == '\0');
}

static void small_try(const struct agent_frame *f, struct buf *out, struct err *e)
{
	struct agent_root root;
	struct ctl_attach attach;
	struct ctl_memory memory;
	uint64_t bytes;
	struct agent_lease lease;
	uint32_t v = 0;
	uint16_t a = 0, b = 0;
	bool oom;
	int rc = -1;

	if (f->type == AGENT_ROOT && agent_get_root(f->payload, &root, e) == 0)
		rc = agent_put_root(out, &root);
	else if (f->type == AGENT_CREDIT && agent_get_credit(f->payload, &v, &a, e) == 0)
		rc = agent_put_credit(out, f->stream, v, a);
	else if (f->type == AGENT_RESIZE && agent_get_resize(f->payload, &a, &b, e) == 0)
		rc = agent_put_resize(out, f->stream, a, b);
	else if (f->type == CTL_ATTACH && ctl_get_attach(f->payload, &attach, e) == 0)
		rc = ctl_put_attach(out, &attach);
	else if (f->type == CTL_MEMORY && ctl_get_memory(f->payload, &bytes, e) == 0)
		rc = ctl_put_memory(out, bytes);
	else if (f->type == CTL_MEMORY_IS && ctl_get_memory_is(f->payload, &memory, e) == 0)
		rc = ctl_put_memory_is(out, &memory);
	else if (f->type == AGENT_SIGNAL && agent_get_u32(f->payload, &v, e) == 0)
		rc = agent_put_u32(out, f->type, f->stream, v);
	else if (f->type == AGENT_LEASE && agent_get_lease(f->payload, &lease, e) == 0)
		rc = agent_put_lease(out, &lease);
	else if (f->type == AGENT_EXITED)
		MUST((agent_get_exited(f->payload, &v, &oom, e) == 0) == (f->payload.len == 8));
	if (rc == 0)
		same_check(out, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_free uint8_t *copy = copy_of(data, len);
	size_t at = 0;

	for (;;) {
		auto_buf out = { 0 };
		struct agent_frame f;
		struct err e = { 0 };
		size_t used = 0;
		int rc = agent_frame_parse(copy + at, len - at, &f, &used, &e);

		if (rc <= 0) {
			MUST(rc == 0 || rc == -EPROTO);
			return 0;
		}
		MUST(used >= AGENT_HEAD_LEN && used <= len - at &&
		     used == AGENT_HEAD_LEN + f.payload.len);
		if (f.type == AGENT_RUN)
			run_try(&f, &out, &e);
		else if (f.type == AGENT_IDENTITY)
			identity_try(&f, &out, &e);
		else
			small_try(&f, &out, &e);
		texts_try(&f, &e);
		at += used;
	}
}
