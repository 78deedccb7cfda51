/* SPDX-License-Identifier: MIT */
/*
 * virtio_console.h - virtio console with several ports [virtio 1.2, 5.3]
 *
 * A port is a stream of bytes between the guest and a descriptor: a console (hvc0), or a named
 * stream (/dev/virtio-ports/NAME). Nothing is buffered here: what the host does not take waits in
 * the guest, and what the guest does not take waits in the host's socket.
 *
 * Threads: made, freed, paused, resumed and kicked on the event thread, which runs `loop`.
 */
#ifndef VIRTIO_CONSOLE_H
#define VIRTIO_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct loop;
struct virtio_device;

#define CONSOLE_PORTS_MAX 2U
#define CONSOLE_NAME_MAX  63U

struct console_port_spec {
	const char *name; /* "" or NULL: none; copied */
	/* A stream socket, pipe or terminal; -1: what the guest sends is thrown away. A pipe needs
	 * SIGPIPE to be ignored. */
	int fd;
	bool is_console;
};

/* 1 to CONSOLE_PORTS_MAX ports. Takes the descriptors, makes them nonblocking, and closes them at
 * the host's end of stream, of which the guest is told; on failure they stay the caller's.
 * -EINVAL: too many ports, or too long a name. */
must_check int virtio_console_new(struct loop *loop, const struct console_port_spec *ports,
				  uint32_t n, struct virtio_device **ret, struct err *e);

#endif
