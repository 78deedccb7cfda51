/* SPDX-License-Identifier: MIT */
#include "share_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

void client_begin(struct share_client *c, uint32_t opcode, uint64_t nodeid)
{
	const struct fuse_in_header h = {
		.opcode = opcode,
		.nodeid = nodeid,
		.unique = ++c->unique,
		.uid = c->uid,
		.gid = c->gid,
		.pid = 1,
	};

	c->len = 0;
	client_add(c, &h, sizeof(h));
}

void client_add(struct share_client *c, const void *data, size_t len)
{
	assert_true(len <= sizeof(c->req) - c->len);
	if (len)
		memcpy(c->req + c->len, data, len);
	c->len += len;
}

void client_text(struct share_client *c, const char *text)
{
	client_add(c, text, strlen(text) + 1);
}

/* A copy of exactly the request's size, so that a read beyond it is seen. */
int client_send_len(struct share_client *c, uint32_t header_len)
{
	struct fuse_out_header head;
	uint8_t *req = malloc(c->len + 1);
	size_t n;

	assert_non_null(req);
	if (c->len >= sizeof(header_len))
		memcpy(c->req, &header_len, sizeof(header_len));
	memcpy(req, c->req, c->len);
	n = share_handle(c->s, req, c->len, c->reply);
	free(req);
	if (n == 0)
		return CLIENT_NO_REPLY;
	assert_true(n >= sizeof(head) && n <= sizeof(c->reply));
	memcpy(&head, c->reply, sizeof(head));
	assert_int_equal(head.len, n);
	assert_int_equal(head.unique, c->unique);
	assert_true(head.error <= 0 && head.error > -512);
	assert_true(head.error == 0 || n == sizeof(head));
	c->out = c->reply + sizeof(head);
	c->out_len = n - sizeof(head);
	return head.error;
}

int client_send(struct share_client *c)
{
	return client_send_len(c, (uint32_t)c->len);
}

int client_call(struct share_client *c, uint32_t opcode, uint64_t nodeid, const void *arg,
		size_t arg_len, const char *name, const char *name2)
{
	client_begin(c, opcode, nodeid);
	client_add(c, arg, arg_len);
	if (name)
		client_text(c, name);
	if (name2)
		client_text(c, name2);
	return client_send(c);
}

int client_init(struct share_client *c)
{
	const struct fuse_init_in in = {
		.major = 7, .minor = 38, .max_readahead = 1 << 20, .flags = UINT32_MAX
	};

	return client_call(c, FUSE_INIT, 0, &in, sizeof(in), NULL, NULL);
}

static void out_take(const struct share_client *c, size_t off, void *ret, size_t size)
{
	assert_true(off + size <= c->out_len);
	if (ret)
		memcpy(ret, c->out + off, size);
}

int client_lookup(struct share_client *c, uint64_t dir, const char *name,
		  struct fuse_entry_out *ret)
{
	int rc = client_call(c, FUSE_LOOKUP, dir, NULL, 0, name, NULL);

	if (rc == 0)
		out_take(c, 0, ret, sizeof(*ret));
	return rc;
}

void client_forget(struct share_client *c, uint64_t nodeid, uint64_t n)
{
	const struct fuse_forget_in in = { n };

	assert_int_equal(client_call(c, FUSE_FORGET, nodeid, &in, sizeof(in), NULL, NULL),
			 CLIENT_NO_REPLY);
}

static uint64_t fh_take(const struct share_client *c, size_t off)
{
	struct fuse_open_out out;

	out_take(c, off, &out, sizeof(out));
	return out.fh;
}

int client_create(struct share_client *c, uint64_t dir, const char *name, uint32_t flags,
		  uint32_t mode, struct fuse_entry_out *ret, uint64_t *ret_fh)
{
	const struct fuse_create_in in = { .flags = flags, .mode = mode };
	int rc = client_call(c, FUSE_CREATE, dir, &in, sizeof(in), name, NULL);

	if (rc == 0) {
		out_take(c, 0, ret, sizeof(*ret));
		*ret_fh = fh_take(c, sizeof(*ret));
	}
	return rc;
}

static int opened(struct share_client *c, uint32_t opcode, uint64_t nodeid, uint32_t flags,
		  uint64_t *ret_fh)
{
	const struct fuse_open_in in = { .flags = flags };
	int rc = client_call(c, opcode, nodeid, &in, sizeof(in), NULL, NULL);

	if (rc == 0)
		*ret_fh = fh_take(c, 0);
	return rc;
}

int client_open(struct share_client *c, uint64_t nodeid, uint32_t flags, uint64_t *ret_fh)
{
	return opened(c, FUSE_OPEN, nodeid, flags, ret_fh);
}

int client_opendir(struct share_client *c, uint64_t nodeid, uint64_t *ret_fh)
{
	return opened(c, FUSE_OPENDIR, nodeid, 0, ret_fh);
}

int client_read(struct share_client *c, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t size)
{
	const struct fuse_read_in in = { .fh = fh, .offset = off, .size = size };
	int rc = client_call(c, FUSE_READ, nodeid, &in, sizeof(in), NULL, NULL);

	return rc < 0 ? rc : (int)c->out_len;
}

int client_write(struct share_client *c, uint64_t nodeid, uint64_t fh, uint64_t off,
		 const void *data, uint32_t size, uint32_t write_flags)
{
	const struct fuse_write_in in = {
		.fh = fh, .offset = off, .size = size, .write_flags = write_flags
	};
	struct fuse_write_out out;
	int rc;

	client_begin(c, FUSE_WRITE, nodeid);
	client_add(c, &in, sizeof(in));
	client_add(c, data, size);
	rc = client_send(c);
	if (rc < 0)
		return rc;
	out_take(c, 0, &out, sizeof(out));
	return (int)out.size;
}

int client_release(struct share_client *c, uint32_t opcode, uint64_t nodeid, uint64_t fh)
{
	const struct fuse_release_in in = { .fh = fh };

	return client_call(c, opcode, nodeid, &in, sizeof(in), NULL, NULL);
}

static int attr_taken(struct share_client *c, int rc, struct fuse_attr *ret)
{
	struct fuse_attr_out out;

	if (rc < 0)
		return rc;
	out_take(c, 0, &out, sizeof(out));
	if (ret)
		*ret = out.attr;
	return 0;
}

int client_setattr(struct share_client *c, uint64_t nodeid, const struct fuse_setattr_in *in,
		   struct fuse_attr *ret)
{
	return attr_taken(c, client_call(c, FUSE_SETATTR, nodeid, in, sizeof(*in), NULL, NULL),
			  ret);
}

int client_getattr(struct share_client *c, uint64_t nodeid, struct fuse_attr *ret)
{
	const struct fuse_getattr_in in = { 0 };

	return attr_taken(c, client_call(c, FUSE_GETATTR, nodeid, &in, sizeof(in), NULL, NULL),
			  ret);
}
