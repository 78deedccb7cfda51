/* SPDX-License-Identifier: MIT */
/*
 * vsock_broker.h - what caisson-vmm asks its keeper for: a connection to a socket of the host
 *
 * One message each way on a SOCK_SEQPACKET socket; format: doc/format/vmm.md. The answer to a
 * request has a connected stream socket with it (SCM_RIGHTS), or an errno.
 */
#ifndef VSOCK_BROKER_H
#define VSOCK_BROKER_H

#include <stddef.h>

#include "bytes.h"

#define VSOCK_BROKER_SIZE 8U /* of a message */

struct vsock_broker_request {
	uint32_t port;
	uint32_t cookie; /* comes back with the answer */
};

struct vsock_broker_answer {
	uint32_t cookie;
	uint32_t error; /* errno; 0: the socket is with it */
};

static inline void vsock_broker_put(uint8_t raw[VSOCK_BROKER_SIZE], uint32_t first, uint32_t second)
{
	put_le32(raw, first);
	put_le32(raw + 4, second);
}

static inline struct vsock_broker_request vsock_broker_request(const uint8_t *raw)
{
	return (struct vsock_broker_request){ get_le32(raw), get_le32(raw + 4) };
}

static inline struct vsock_broker_answer vsock_broker_answer(const uint8_t *raw)
{
	return (struct vsock_broker_answer){ get_le32(raw), get_le32(raw + 4) };
}

#endif
