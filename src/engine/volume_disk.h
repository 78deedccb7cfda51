/* SPDX-License-Identifier: MIT */
/*
 * volume_disk.h - volumes as machines have them
 *
 * For the keeper (the disk) and engine_machine.c (what a new machine brings along).
 */
#ifndef VOLUME_DISK_H
#define VOLUME_DISK_H

#include "disk_volume.h"
#include "engine.h"

/*
 * The disk of a volume for machine `id`. One who was cut off or is ending is waited for (at most
 * 10 s); a running machine's is -EBUSY at once. ret_access: DISK_READ_WRITE also for a reader, when
 * the disk needs a writer first.
 */
must_check int volume_disk_open(struct engine *g, const char *name, const char *id,
				enum disk_access access, struct disk_chain *ret,
				enum disk_access *ret_access, struct err *e);

/* Make what volumes the config names and nobody has yet; anonymous ones get their names. */
must_check int volumes_bring(struct engine *g, struct machine_config *c, struct err *e);
/* The anonymous ones of a machine whose row is gone, or never was. Others may have them: those
 * stay. */
void volumes_drop(struct engine *g, const struct machine_config *c);

#endif
