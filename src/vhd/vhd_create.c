/* SPDX-License-Identifier: MIT */
/*
 * vhd_create.c - new images
 *
 * Layout: copy of the footer, header at 512; dynamic: table at 1536; differencing: a page for each
 * locator from 4096 on, then the table; for tapdisk a batmap behind it; the footer in the last
 * sector of a multiple of VHD_ALIGN. Fixed: the disk, then the footer.
 */
#include "vhd_internal.h"

#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

struct creator {
	char app[5], os[5];
	uint32_t version;
};

/* Readers believe sizes by the creator: doc/format/vhd.md, "Creator". */
static const struct creator creators[VHD_PROFILE_COUNT_] = {
	[VHD_FOR_ANY] = { "win ", "Wi2k", 0x000a0000 },
	[VHD_FOR_XENSERVER] = { "tap", "", 0x00010003 },
	[VHD_FOR_AZURE] = { "win ", "Wi2k", 0x000a0000 },
	[VHD_FOR_HYPERV] = { "win ", "Wi2k", 0x000a0000 },
};

#define AZURE_UNIT (1U << 20)

uint32_t vhd_time_stamp(int64_t unix_time)
{
	int64_t t = (unix_time ? unix_time : (int64_t)time(NULL)) - VHD_EPOCH;

	return t < 0 ? 0 : (uint32_t)MIN_OF(t, (int64_t)UINT32_MAX);
}

/* ---- what is asked for, made definite ------------------------------------------------------ */

struct plan {
	struct vhd_io *io;
	struct vhd_footer footer;
	struct vhd_header header;
	struct vhd_parent_text parent;
	bool has_batmap;
	struct vhd_batmap batmap;
	uint64_t batmap_at, end; /* of all that comes before blocks */
};

static int options_check(const struct plan *p, const struct vhd *parent,
			 const struct vhd_create_options *o, struct vhd_err *e)
{
	const char *name = p->io->name;
	uint32_t block = p->header.block_size;

	if (o->type != VHD_TYPE_FIXED && o->type != VHD_TYPE_DYNAMIC &&
	    o->type != VHD_TYPE_DIFFERENCING)
		return vhd_err_set(e, EINVAL, "%s: type %d cannot be created", name, o->type);
	if ((o->type == VHD_TYPE_DIFFERENCING) != (parent != NULL))
		return vhd_err_set(e, EINVAL, "%s: a %s image %s a parent", name,
				   vhd_type_name(o->type), parent ? "has not" : "needs");
	if ((unsigned int)o->profile >= VHD_PROFILE_COUNT_)
		return vhd_err_set(e, EINVAL, "%s: unknown profile %d", name, o->profile);
	if (p->footer.size == 0 || p->footer.size % VHD_SECTOR || p->footer.size > VHD_SIZE_MAX)
		return vhd_err_set(e, EINVAL,
				   "%s: a disk of %llu bytes (whole sectors, at most 2040 GiB)",
				   name, (unsigned long long)p->footer.size);
	if (parent && p->footer.size < parent->size)
		return vhd_err_set(e, EINVAL, "%s: smaller than its parent of %llu bytes", name,
				   (unsigned long long)parent->size);
	if (block & (block - 1) || block < VHD_BLOCK_MIN || block > VHD_BLOCK_MAX)
		return vhd_err_set(e, EINVAL,
				   "%s: blocks of %u bytes (a power of two, 512 KiB to 256 MiB)",
				   name, block);
	if (o->profile == VHD_FOR_XENSERVER && block != VHD_BLOCK_DEFAULT)
		return vhd_err_set(e, EINVAL, "%s: XenServer wants blocks of 2 MiB", name);
	if (o->profile == VHD_FOR_AZURE &&
	    (o->type != VHD_TYPE_FIXED || p->footer.size % AZURE_UNIT))
		return vhd_err_set(e, EINVAL, "%s: Azure wants fixed images of whole MiB", name);
	return 0;
}

static void footer_plan(struct vhd_footer *f, const struct vhd *parent,
			const struct vhd_create_options *o)
{
	const struct creator *c = &creators[o->profile < VHD_PROFILE_COUNT_ ? o->profile : 0];

	*f = (struct vhd_footer){
		.features = 2,
		.data_offset = o->type == VHD_TYPE_FIXED ? UINT64_MAX : VHD_FOOTER_SIZE,
		.time_stamp = vhd_time_stamp(o->created),
		.creator_version = c->version,
		.size = o->size || !parent ? o->size : parent->size,
		.type = o->type,
		.id = o->id,
	};
	memcpy(f->creator, c->app, sizeof(f->creator));
	memcpy(f->creator_os, c->os, sizeof(f->creator_os));
	f->original_size = f->size;
	f->geometry = vhd_geometry_of(MIN_OF(f->size, VHD_SIZE_MAX));
}

int vhd_uuid_make(struct vhd_uuid *u, struct vhd_err *e)
{
	if (!vhd_uuid_is_zero(u))
		return 0;
	if (getrandom(u->bytes, sizeof(u->bytes), 0) != (ssize_t)sizeof(u->bytes))
		return vhd_err_sys(e, errno, "random id");
	u->bytes[6] = (uint8_t)((u->bytes[6] & 0x0f) | 0x40); /* RFC 4122 section 4.4 */
	u->bytes[8] = (uint8_t)((u->bytes[8] & 0x3f) | 0x80);
	return 0;
}

/* ---- locators ------------------------------------------------------------------------------ */

static int locator_add(struct vhd_parent_text *t, const char *code, const uint8_t *data, int len,
		       uint64_t first_offset, struct vhd_err *e)
{
	struct vhd_locator *l = &t->locators[t->n];

	if (len < 0)
		return vhd_err_sys(e, -len, "path of the parent for %s", code);
	memcpy(l->code, code, sizeof(l->code));
	l->space = VHD_ALIGN;
	l->length = (uint32_t)len;
	l->offset = first_offset + t->n * VHD_ALIGN;
	memcpy(t->data[t->n++], data, (size_t)len);
	return 0;
}

/* `.\dir\name`: every '/' a backslash, and what Windows takes for a relative path in front. */
static int windows_relative(const char *name, char path[VHD_PATH_MAX])
{
	bool is_dotted = strncmp(name, "./", 2) == 0 || strncmp(name, "../", 3) == 0;

	if (snprintf(path, VHD_PATH_MAX, "%s%s", is_dotted ? "" : ".\\", name) >= (int)VHD_PATH_MAX)
		return -ENAMETOOLONG;
	for (char *p = path; *p; p++)
		if (*p == '/')
			*p = '\\';
	return 0;
}

/* "file://./dir/name", each byte that is not plain as %XX. */
static int url_make(const char *name, uint8_t *url, size_t cap)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
	bool is_dotted = strncmp(name, "./", 2) == 0 || strncmp(name, "../", 3) == 0;
	int len = snprintf((char *)url, cap, "file://%s", is_dotted || name[0] == '/' ? "" : "./");

	for (; *name; name++) {
		if ((size_t)len + 4 > cap)
			return -ENAMETOOLONG;
		if (strchr(plain, *name))
			url[len++] = (uint8_t)*name;
		else
			len += snprintf((char *)url + len, 4, "%%%02X", (uint8_t)*name);
	}
	return len;
}

int vhd_parent_text_make(const char *name, const char *windows_path, enum vhd_profile profile,
			 uint64_t first_offset, struct vhd_parent_text *ret, struct vhd_err *e)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
	uint8_t raw[VHD_LOCATOR_MAX];
	char path[VHD_PATH_MAX];

	memset(ret, 0, sizeof(*ret));
	if (vhd_utf16_encode(base, VHD_BE, ret->name, sizeof(ret->name) - 2) < 0 ||
	    windows_relative(name, path) < 0)
		return vhd_err_set(e, EINVAL, "%s: no name for a parent in a VHD", name);
	if (profile == VHD_FOR_XENSERVER &&
	    locator_add(ret, "MacX", raw, url_make(name, raw, sizeof(raw)), first_offset, e) < 0)
		return -e->code;
	if (windows_path &&
	    locator_add(ret, "W2ku", raw, vhd_utf16_encode(windows_path, VHD_LE, raw, sizeof(raw)),
			first_offset, e) < 0)
		return -e->code;
	return locator_add(ret, "W2ru", raw, vhd_utf16_encode(path, VHD_LE, raw, sizeof(raw)),
			   first_offset, e);
}

/* A path of Windows, with a drive? */
static bool is_windows_path(const char *path)
{
	return path[0] && path[1] == ':' && path[2] == '\\';
}

static int parent_plan(struct plan *p, const struct vhd *parent, const struct vhd_create_options *o,
		       struct vhd_err *e)
{
	const char *name = o->parent_name ? o->parent_name : parent->io->name;
	const char *windows = is_windows_path(name) ? name : NULL;
	const char *backslash = windows ? strrchr(name, '\\') : NULL;

	if (vhd_parent_text_make(backslash ? backslash + 1 : name, windows, o->profile, VHD_ALIGN,
				 &p->parent, e) < 0)
		return -e->code;
	memcpy(p->header.locators, p->parent.locators, sizeof(p->header.locators));
	memcpy(p->header.parent_name, p->parent.name, sizeof(p->header.parent_name));
	if (parent->type != VHD_TYPE_RAW)
		p->header.parent_id = parent->footer.id;
	p->header.parent_time_stamp = o->parent_time ? vhd_time_stamp(o->parent_time) : 0;
	return 0;
}

static void table_plan(struct plan *p, const struct vhd_create_options *o)
{
	struct vhd_header *h = &p->header;

	h->table_entries = vhd_blocks_of(p->footer.size, h->block_size);
	h->table_offset = o->type == VHD_TYPE_DIFFERENCING ? (1 + p->parent.n) * VHD_ALIGN
							   : VHD_FOOTER_SIZE + VHD_HEADER_SIZE;
	p->end = h->table_offset + align_up(4ULL * h->table_entries, VHD_SECTOR);
	p->has_batmap = o->profile == VHD_FOR_XENSERVER;
	if (!p->has_batmap)
		return;
	p->batmap_at = p->end;
	p->batmap = (struct vhd_batmap){
		.offset = p->batmap_at + VHD_BATMAP_SIZE,
		.sectors = (uint32_t)MAX_OF(1, (p->footer.size >> 24) / VHD_SECTOR + 1),
		.version = 0x00010002,
		.checksum = UINT32_MAX, /* of zeros */
	};
	p->end = p->batmap.offset + (uint64_t)p->batmap.sectors * VHD_SECTOR;
}

/* Small blocks of a large disk would run out of sector numbers while the disk is written. */
static int room_check(const struct plan *p, struct vhd_err *e)
{
	if (p->footer.type == VHD_TYPE_FIXED ||
	    vhd_blocks_fit(p->end, p->header.table_entries, p->header.block_size))
		return 0;
	return vhd_err_set(
		e, EFBIG, "%s: a table cannot address %llu bytes in blocks of %u; take larger ones",
		p->io->name, (unsigned long long)p->footer.size, p->header.block_size);
}

/* ---- writing it ---------------------------------------------------------------------------- */

static int put(const struct plan *p, const void *data, size_t len, uint64_t off, struct vhd_err *e)
{
	VHD_NEED(vhd_pwrite(p->io, data, len, off), e, "%s: write at offset %llu", p->io->name,
		 (unsigned long long)off);
	return 0;
}

static int table_put(const struct plan *p, struct vhd_err *e)
{
	uint64_t left = align_up(4ULL * p->header.table_entries, VHD_SECTOR);
	uint64_t off = p->header.table_offset;
	uint8_t none[16384];

	memset(none, 0xff, sizeof(none));
	while (left > 0) {
		size_t n = (size_t)MIN_OF(left, sizeof(none));

		if (put(p, none, n, off, e) < 0)
			return -e->code;
		off += n;
		left -= n;
	}
	return 0;
}

static int blocks_put(const struct plan *p, const uint8_t footer[VHD_FOOTER_SIZE],
		      struct vhd_err *e)
{
	uint8_t raw[VHD_FOOTER_SIZE + VHD_HEADER_SIZE];

	memcpy(raw, footer, VHD_FOOTER_SIZE);
	vhd_header_encode(&p->header, raw + VHD_FOOTER_SIZE);
	if (put(p, raw, sizeof(raw), 0, e) < 0)
		return -e->code;
	for (size_t i = 0; i < p->parent.n; i++)
		if (put(p, p->parent.data[i], p->parent.locators[i].length,
			p->parent.locators[i].offset, e) < 0)
			return -e->code;
	if (table_put(p, e) < 0)
		return -e->code;
	if (p->has_batmap) {
		vhd_batmap_encode(&p->batmap, raw);
		if (put(p, raw, VHD_BATMAP_SIZE, p->batmap_at, e) < 0)
			return -e->code;
	}
	return put(p, footer, VHD_FOOTER_SIZE, vhd_tail_of(p->end), e);
}

int vhd_create_io(struct vhd_io *io, struct vhd *parent, const struct vhd_create_options *o,
		  struct vhd_err *e)
{
	struct plan p = { .io = io };
	uint8_t footer[VHD_FOOTER_SIZE];
	int rc;

	footer_plan(&p.footer, parent, o);
	p.header.block_size = o->block_size ? o->block_size : VHD_BLOCK_DEFAULT;
	if (!o->block_size && parent && vhd_has_blocks(parent))
		p.header.block_size = vhd_block_size(parent);
	if (options_check(&p, parent, o, e) < 0 || vhd_uuid_make(&p.footer.id, e) < 0 ||
	    (parent && parent_plan(&p, parent, o, e) < 0))
		return -e->code;
	table_plan(&p, o);
	if (room_check(&p, e) < 0)
		return -e->code;
	vhd_footer_encode(&p.footer, footer);
	if (o->type == VHD_TYPE_FIXED)
		rc = put(&p, footer, sizeof(footer), p.footer.size, e);
	else
		rc = blocks_put(&p, footer, e);
	if (rc < 0)
		return rc;
	VHD_NEED(io->ops->flush(io), e, "%s: flush", io->name);
	return 0;
}

/* ---- by path ------------------------------------------------------------------------------- */

/* In the place of one of the images that it stands on the new one would end all of them. */
static int replaced_check(const char *path, const struct stat *old,
			  const struct vhd_create_options *o, struct vhd_err *e)
{
	struct vhd_open_options open = { 0 };
	struct vhd *chain;
	int rc = 0;

	if (o->parent_options)
		open = *o->parent_options;
	open.flags = VHD_OPEN_NO_LOCK | (open.flags & VHD_OPEN_ANY_PARENT);
	if (vhd_open(o->parent, &open, &chain, e) < 0)
		return vhd_err_wrap(e, "%s is not replaced, it may be one of the parents", path);
	for (const struct vhd *v = chain; v && rc == 0; v = v->parent)
		if (vhd_io_is_file(v->io, old))
			rc = vhd_err_set(e, EINVAL, "%s: %s stands on it", path, o->parent);
	vhd_free(chain);
	return rc;
}

/* The parent, this file alone, and what the new image will say of it. */
static int parent_open(const char *path, struct vhd_create_options *o, char name[VHD_PATH_MAX],
		       struct vhd **ret, struct vhd_err *e)
{
	const struct vhd_open_options alone = { .flags = VHD_OPEN_NO_PARENT };
	struct stat st, old;

	if (stat(o->parent, &st) < 0)
		return vhd_err_sys(e, errno, "%s", o->parent);
	if (stat(path, &old) == 0) {
		if (old.st_dev == st.st_dev && old.st_ino == st.st_ino)
			return vhd_err_set(e, EINVAL, "%s: would be its own parent", o->parent);
		if (o->is_replacing && replaced_check(path, &old, o, e) < 0)
			return -e->code;
	}
	o->parent_time = o->parent_time ? o->parent_time : (int64_t)st.st_mtime;
	if (!o->parent_name) {
		if (vhd_path_relative(path, o->parent, name, e) < 0)
			return -e->code;
		o->parent_name = name;
	}
	return vhd_open(o->parent, &alone, ret, e);
}

static int file_create(int fd, const char *path, struct vhd *parent,
		       const struct vhd_create_options *o, struct vhd_err *e)
{
	struct vhd_io *io;
	int rc;

	if (vhd_io_file(fd, path, &io, e) < 0)
		return -e->code;
	rc = vhd_create_io(io, parent, o, e);
	vhd_io_close(io);
	return rc;
}

int vhd_create(const char *path, const struct vhd_create_options *o, struct vhd_err *e)
{
	struct vhd_create_options full = *o;
	struct vhd_new_file file = { .dir_fd = -1 };
	char name[VHD_PATH_MAX];
	struct vhd *parent = NULL;
	int rc, fd;

	if (o->parent && parent_open(path, &full, name, &parent, e) < 0)
		return vhd_err_wrap(e, "parent of %s", path);
	rc = vhd_new_file_begin(path, &file, &fd, e);
	if (rc == 0)
		rc = file_create(fd, path, parent, &full, e);
	if (rc == 0)
		rc = vhd_new_file_commit(&file, o->is_replacing, e);
	vhd_new_file_abort(&file);
	vhd_free(parent);
	return rc;
}
