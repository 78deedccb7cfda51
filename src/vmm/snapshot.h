/* SPDX-License-Identifier: MIT */
/*
 * snapshot.h - the state of a machine, without its memory, as a file (doc/format/snapshot.md)
 *
 * Versioned and checksummed: what was cut short or altered is refused, as is a state of another
 * machine or for another host, each with the reason. The memory is a file of its own.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "buf.h"
#include "vmm_machine.h"

#define SNAPSHOT_MAX (16U << 20) /* bytes */

/* The machine is paused. Written to `fd` (borrowed), a regular file, from its start. */
must_check int snapshot_write(struct machine *m, int fd, struct err *e);
/* All of the file into `m`, which was just made. -EBADMSG, -ENOTSUP. */
must_check int snapshot_read(struct machine *m, int fd, struct err *e);

/* Where the frame ends that begins `data`; a list of pages (vmm_pages.h) may follow. `len` when
 * there is no such place. */
size_t snapshot_len(const void *data, size_t len);
/* The frame alone, pure: what is between header and checksum of `len` bytes. -EBADMSG. */
must_check int snapshot_open(const void *data, size_t len, struct state_in *ret, struct err *e);
must_check int snapshot_seal(struct buf *b, struct err *e);
must_check int snapshot_begin(struct buf *b, struct err *e);

#endif
