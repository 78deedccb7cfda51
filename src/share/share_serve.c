/* SPDX-License-Identifier: MIT */
/*
 * share_serve.c - [U] requests from a socket, replies to it
 *
 * Hostile: lengths. The other end is the VMM, which may be its guest's by now.
 */
#include "share_serve.h"

#include "bytes.h"
#include "fdio.h"

#define LENGTH_SIZE 4U

int share_serve(struct share *s, int sock, struct err *e)
{
	auto_free uint8_t *req = malloc(SHARE_REQUEST_MAX);
	auto_free uint8_t *reply = malloc(LENGTH_SIZE + SHARE_REPLY_MAX);
	uint8_t raw[LENGTH_SIZE];
	uint32_t len;
	size_t n;
	int rc;

	if (!req || !reply)
		return err_set(e, ENOMEM, "share");
	for (;;) {
		rc = fd_read_full(sock, raw, sizeof(raw));
		if (rc < 0)
			break;
		len = get_le32(raw);
		if (len > SHARE_REQUEST_MAX)
			return err_plain(e, EPROTO, "share: a request of %u bytes", len);
		rc = fd_read_full(sock, req, len);
		if (rc < 0)
			break;
		n = share_handle(s, req, len, reply + LENGTH_SIZE);
		put_le32(reply, (uint32_t)n);
		rc = fd_write_full(sock, reply, LENGTH_SIZE + n);
		if (rc < 0)
			break;
	}
	if (rc == -ENODATA || rc == -EPIPE || rc == -ECONNRESET)
		return 0;
	return err_set(e, -rc, "share: socket");
}
