/* SPDX-License-Identifier: MIT */
/*
 * keeper_disks.c - volumes and disks of the user's: a slot for each, and a server where the VMM
 * needs one
 *
 * What a machine has written to them is to be there when its end is told: its guest unmounts
 * them, and the servers write what they have, before anybody hears of it. Only what is thrown away
 * with the machine is not waited for.
 *
 * The first slots are those that templates have spare; a device that is read-only is another one
 * than the template's.
 */
#include <limits.h>
#include <string.h>

#include "keeper.h"
#include "log.h"
#include "volume_disk.h"

#define DISK_END_MS 30000

static bool is_disk(const struct machine_mount *m)
{
	return m->kind == MACHINE_MOUNT_VOLUME || m->kind == MACHINE_MOUNT_DISK;
}

static uint32_t disks_count(const struct machine_config *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n_mounts; i++)
		n += is_disk(&c->mounts[i]);
	return n;
}

bool disks_fit_template(const struct machine_config *c)
{
	for (uint32_t i = 0; i < c->n_mounts; i++)
		if (is_disk(&c->mounts[i]) && c->mounts[i].is_readonly)
			return false;
	return disks_count(c) <= TEMPLATE_DISK_SPARE;
}

static int chain_open(struct keeper *k, const struct machine_mount *m, struct disk_chain *ret,
		      enum disk_access *ret_access, struct err *e)
{
	*ret_access = m->is_readonly ? DISK_READ_ONLY : DISK_READ_WRITE;
	if (m->kind == MACHINE_MOUNT_VOLUME)
		return volume_disk_open(k->g, m->source, k->config.id, *ret_access, ret, ret_access,
					e);
	return disk_chain_open(m->source, *ret_access, ret, e) < 0 ? err_wrap(e, "--mount disk")
								   : 0;
}

void disks_open_init(struct disks_open *d)
{
	*d = (struct disks_open){ 0 };
	for (size_t i = 0; i < VM_DISKS_EXTRA_MAX; i++)
		d->socks[i] = -1;
}

void disks_open_done(struct disks_open *d)
{
	for (size_t i = 0; i < VM_DISKS_EXTRA_MAX; i++) {
		disk_chain_done(&d->chains[i]);
		fd_drop(&d->socks[i]);
	}
}

static int disk_serve(struct keeper *k, const struct disk_chain *c, enum disk_access access,
		      struct vm_spec *spec, int *ret_sock, struct err *e)
{
	const struct disk_server_files files = { c->fds, c->n, access == DISK_READ_ONLY };
	char plugin[PATH_MAX];

	snprintf(plugin, sizeof(plugin), "%s/" DISK_SERVER_PLUGIN, engine_libexec(k->g));
	return disk_server_start(plugin, &files, spec->uid, spec->gid, &k->extra[k->n_extra],
				 ret_sock, e);
}

/* The VMM reads the images itself. */
static void disk_pass(const struct disk_chain *c, struct vm_disk *d)
{
	_Static_assert(DISK_SERVER_FILES_MAX <= VM_LAYERS_MAX, "a chain fits");
	d->kind = VM_DISK_VHD;
	d->fd = -1;
	d->n_layers = (uint32_t)c->n;
	memcpy(d->layers, c->fds, c->n * sizeof(c->fds[0]));
}

static int disk_add(struct keeper *k, const struct machine_mount *m, struct vm_spec *spec,
		    struct disks_open *open, struct err *e)
{
	uint32_t slot = TEMPLATE_DISK_COUNT + k->n_extra;
	struct disk_chain *c = &open->chains[k->n_extra];
	struct vm_disk *d = &spec->disks[slot];
	enum disk_access access;

	if (chain_open(k, m, c, &access, e) < 0)
		return -e->code;
	*d = (struct vm_disk){ .is_readonly = access == DISK_READ_ONLY, .size = c->size };
	k->extra[k->n_extra] = (struct disk_server)DISK_SERVER_NONE;
	if (k->driver->caps & VM_CAP_VHD) {
		disk_pass(c, d);
	} else {
		int *sock = &open->socks[k->n_extra];

		if (disk_serve(k, c, access, spec, sock, e) < 0)
			return -e->code;
		d->kind = VM_DISK_NBD;
		d->fd = *sock;
		disk_chain_done(c);
	}
	k->has_kept_disks |=
		access == DISK_READ_WRITE && !(m->is_anonymous && k->config.is_auto_removed);
	k->n_extra++;
	spec->n_disks = MAX_OF(spec->n_disks, slot + 1);
	return 0;
}

int disks_start(struct keeper *k, struct vm_spec *spec, struct disks_open *d, struct err *e)
{
	const struct machine_config *c = &k->config;

	if (!(k->driver->caps & VM_CAP_TEMPLATE)) /* the fake looks at no disk */
		return 0;
	for (uint32_t i = 0; i < c->n_mounts; i++) {
		if (!is_disk(&c->mounts[i]))
			continue;
		if (k->n_extra == VM_DISKS_EXTRA_MAX)
			return err_plain(e, E2BIG, "more than %u volumes and disks",
					 VM_DISKS_EXTRA_MAX);
		if (disk_add(k, &c->mounts[i], spec, d, e) < 0)
			return -e->code;
	}
	return 0;
}

void disks_end(struct keeper *k)
{
	struct err e = { 0 };

	for (uint32_t i = 0; i < k->n_extra; i++) {
		if (!k->has_kept_disks && k->config.is_auto_removed)
			disk_server_kill(&k->extra[i]);
		else if (disk_server_wait(&k->extra[i], DISK_END_MS, &e) < 0)
			log_warn("disk: %s", e.msg);
	}
	k->n_extra = 0;
}
