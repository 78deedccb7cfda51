/* SPDX-License-Identifier: MIT */
/*
 * store_disk.c - an image's disk, opened: on the path of every start of a machine
 *
 * One small file is read, and each part's file opened. The parts list was checked by its parser;
 * here each part is checked to lie inside its file, so that a lost or cut file is an error now and
 * no read error inside the machine.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "bytes.h"
#include "fdio.h"
#include "store_internal.h"
#include "store_write.h"

#define NAME_SIZE 96

void store_disk_done(struct store_disk *d)
{
	for (uint32_t i = 0; i < d->n_parts; i++)
		fd_drop(&d->parts[i].fd);
	free(d->parts);
	memset(d, 0, sizeof(*d));
}

static int part_open(struct store *s, const char *image_id, const struct store_parts *all,
		     const struct merge_part *p, struct store_disk_part *ret, struct err *e)
{
	char name[NAME_SIZE];
	struct stat st;

	if (p->kind == MERGE_PART_LAYER)
		snprintf(name, sizeof(name), "layers/%s.data",
			 store_id_hex(all->diff_ids[p->layer]));
	else
		snprintf(name, sizeof(name), "images/%s.meta", store_id_hex(image_id));
	ret->fd = openat(s->root_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (ret->fd < 0)
		return err_set(e, errno, "open %s", name);
	if (fstat(ret->fd, &st) < 0)
		return err_set(e, errno, "stat %s", name);
	if (!S_ISREG(st.st_mode) || !range_fits(p->file_off, p->len, (uint64_t)st.st_size))
		return err_plain(e, EBADMSG, "%s is shorter than the image needs", name);
	ret->disk_off = p->disk_off;
	ret->file_off = p->file_off;
	ret->len = p->len;
	return 0;
}

static int parts_read(struct store *s, const char *image_id, struct store_parts *ret, struct err *e)
{
	auto_buf b = { 0 };
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), "images/%s.json", store_id_hex(image_id));
	if (file_read_at(s->root_fd, name, STORE_PARTS_JSON_MAX, &b, e) < 0)
		return -e->code;
	if (store_parts_parse(b.data ? b.data : "", b.len, ret, e) < 0)
		return err_wrap(e, "%s", name);
	return 0;
}

static int disk_open(struct store *s, const char *image_id, const struct store_parts *p,
		     struct store_disk *d, struct err *e)
{
	d->parts = calloc(p->n_parts, sizeof(*d->parts));
	if (!d->parts)
		return err_set(e, ENOMEM, "disk");
	for (uint32_t i = 0; i < p->n_parts; i++) {
		d->parts[i].fd = -1;
		d->n_parts = i + 1;
		if (part_open(s, image_id, p, &p->parts[i], &d->parts[i], e) < 0)
			return -e->code;
	}
	d->disk_len = p->disk_len;
	snprintf(d->key, sizeof(d->key), "%s", p->key);
	return 0;
}

int store_image_disk(struct store *s, const char *image_id, struct store_disk *ret, struct err *e)
{
	struct store_disk d = { 0 };
	struct store_parts p = { 0 };
	int rc;

	if (!store_id_is_valid(image_id))
		return err_plain(e, EINVAL, "\"%s\" is no image id", image_id);
	rc = parts_read(s, image_id, &p, e);
	if (rc == 0)
		rc = disk_open(s, image_id, &p, &d, e);
	store_parts_done(&p);
	if (rc < 0) {
		store_disk_done(&d);
		return err_wrap(e, "disk of image %.19s", image_id);
	}
	*ret = d;
	return 0;
}
