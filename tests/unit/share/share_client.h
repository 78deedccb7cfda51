/* SPDX-License-Identifier: MIT */
/*
 * share_client.h - the guest's side of a share, for tests
 *
 * A request is begun, gets its parts, and is sent. Results are 0 or -errno, as the guest sees it;
 * a reply that breaks the protocol ends the test.
 */
#ifndef SHARE_CLIENT_H
#define SHARE_CLIENT_H

#include <linux/fuse.h>

#include "share.h"

#define CLIENT_NO_REPLY (-1000)

struct share_client {
	struct share *s;
	uint32_t uid, gid;
	uint64_t unique;
	size_t len;
	uint8_t req[2 * SHARE_REQUEST_MAX];
	uint8_t reply[SHARE_REPLY_MAX];
	const uint8_t *out; /* of the last reply, behind its header */
	size_t out_len;
};

void client_begin(struct share_client *c, uint32_t opcode, uint64_t nodeid);
void client_add(struct share_client *c, const void *data, size_t len);
void client_text(struct share_client *c, const char *text); /* with its NUL */
int client_send(struct share_client *c);
/* CLIENT_NO_REPLY: there was none. */
int client_send_len(struct share_client *c, uint32_t header_len);

int client_init(struct share_client *c); /* INIT, as Linux says it */
/* `arg` then names; a NULL is no name. */
int client_call(struct share_client *c, uint32_t opcode, uint64_t nodeid, const void *arg,
		size_t arg_len, const char *name, const char *name2);

int client_lookup(struct share_client *c, uint64_t dir, const char *name,
		  struct fuse_entry_out *ret);
void client_forget(struct share_client *c, uint64_t nodeid, uint64_t n);
int client_create(struct share_client *c, uint64_t dir, const char *name, uint32_t flags,
		  uint32_t mode, struct fuse_entry_out *ret, uint64_t *ret_fh);
int client_open(struct share_client *c, uint64_t nodeid, uint32_t flags, uint64_t *ret_fh);
int client_opendir(struct share_client *c, uint64_t nodeid, uint64_t *ret_fh);
/* Bytes or -errno. */
int client_read(struct share_client *c, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t size);
int client_write(struct share_client *c, uint64_t nodeid, uint64_t fh, uint64_t off,
		 const void *data, uint32_t size, uint32_t write_flags);
int client_release(struct share_client *c, uint32_t opcode, uint64_t nodeid, uint64_t fh);
int client_setattr(struct share_client *c, uint64_t nodeid, const struct fuse_setattr_in *in,
		   struct fuse_attr *ret);
int client_getattr(struct share_client *c, uint64_t nodeid, struct fuse_attr *ret);

#endif
