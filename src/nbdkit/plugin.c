/* SPDX-License-Identifier: MIT */
/*
 * plugin.c - nbdkit-caisson-vhd-plugin: an image and its parents as an NBD disk
 *
 * One `struct vhd` serves all connections: what one wrote the others read, and a flush of any makes
 * all durable, so several connections are safe. nbdkit says only at the first connection whether
 * the disk is read-only (-r); the image is opened once before, so that errors are told before
 * nbdkit goes to the background, and for good then. It stays open and locked until nbdkit ends.
 *
 * nbdkit calls config functions from one thread before it forks, then the others from any number.
 * In between, with sandbox=1, the process gives up all that serving descriptors does not need: who
 * speaks to it may be a VMM that its guest has taken over.
 *
 * Who made the image need not have synced it: a machine's layer is copied in no time and used at
 * once. So an image that is opened for writing is flushed once, by a thread beside the first
 * requests: it is on the disk some milliseconds after the start, and nobody has waited. Should that
 * fail, every later write and flush fails too, which the client hears.
 */
#include <pthread.h>
#include <string.h>

#include "cleanup.h"
#include "plugin_image.h"
#include "sandbox.h"

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* The one process is one server: nbdkit has no handle for it. */
static struct image_config config;
static struct vhd *image;
static bool is_sandboxed; /* to be, with sandbox=1 */
static bool is_image_writable, can_punch, has_flusher;
static pthread_t flusher;
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;

static int fail(const struct vhd_err *e)
{
	nbdkit_error("%s", e->msg);
	nbdkit_set_error(e->code);
	return -1;
}

/* ---- parameters ---- */

/* Relative paths are those of the directory that nbdkit was started in; it leaves it. */
static char *path_copy(const char *path)
{
	return image_fd_number(path) >= 0 ? strdup(path) : nbdkit_absolute_path(path);
}

static int list_add(char **list, size_t *io_n, size_t max, const char *key, const char *value)
{
	if (*io_n == max) {
		nbdkit_error("%s: more than %zu are given", key, max);
		return -1;
	}
	list[*io_n] = path_copy(value);
	if (!list[*io_n])
		return -1;
	++*io_n;
	return 0;
}

static int cache_set(const char *value)
{
	int64_t size = nbdkit_parse_size(value);

	if (size < 0)
		return -1;
	config.cache_max = (size_t)size;
	return 0;
}

static int sandbox_set(const char *value)
{
	int on = nbdkit_parse_bool(value);

	if (on < 0)
		return -1;
	is_sandboxed = on;
	return 0;
}

static int plugin_config(const char *key, const char *value)
{
	if (strcmp(key, "parent") == 0)
		return list_add(config.parents, &config.n_parents, IMAGE_PARENTS_MAX, key, value);
	if (strcmp(key, "roots") == 0)
		return list_add(config.roots, &config.n_roots, IMAGE_ROOTS_MAX, key, value);
	if (strcmp(key, "cache") == 0)
		return cache_set(value);
	if (strcmp(key, "sandbox") == 0)
		return sandbox_set(value);
	if (strcmp(key, "file") != 0) {
		nbdkit_error("unknown parameter '%s'", key);
		return -1;
	}
	if (config.file) {
		nbdkit_error("file: given twice");
		return -1;
	}
	config.file = path_copy(value);
	return config.file ? 0 : -1;
}

static int plugin_config_complete(void)
{
	if (!config.file) {
		nbdkit_error("give the image to serve: file=IMAGE");
		return -1;
	}
	if (is_sandboxed && !image_is_given(&config)) {
		nbdkit_error("sandbox: no file can be opened in it; give the image and its parents "
			     "as descriptors");
		return -1;
	}
	return 0;
}

static int image_try(void)
{
	struct vhd_err e = { 0 };
	struct vhd *v;

	if (image_open(&config, IMAGE_READ, &v, &e) < 0 || vhd_close(v, &e) < 0)
		return fail(&e);
	return 0;
}

static int plugin_get_ready(void)
{
	return is_sandboxed ? 0 : image_try();
}

/*
 * The last moment with one thread: nbdkit is the user that it will be, nobody is connected. The
 * image is first looked at in the sandbox, since its bytes may be anybody's.
 */
static int plugin_after_fork(void)
{
	const struct sandbox_policy policy = { .kind = SANDBOX_DISK };
	struct err e = { 0 };

	if (!is_sandboxed)
		return 0;
	if (sandbox_enter(&policy, &e) < 0) {
		nbdkit_error("%s", e.msg);
		return -1;
	}
	return image_try();
}

static void plugin_unload(void)
{
	struct vhd_err e = { 0 };

	if (has_flusher)
		(void)pthread_join(flusher, NULL); /* cannot fail: it is joined once */
	if (vhd_close(image, &e) < 0)
		nbdkit_error("%s", e.msg);
	image = NULL;
	image_config_done(&config);
}

/* ---- connections ---- */

static void *flusher_main(void *arg)
{
	struct vhd_err e = { 0 };

	(void)arg;
	if (vhd_flush(image, &e) < 0)
		nbdkit_error("%s", e.msg);
	return NULL;
}

static int image_use(bool is_write, struct vhd_err *e)
{
	if (image && is_write && !is_image_writable) {
		/* only a filter can want this; others read from it now, so it cannot be closed */
		e->code = EROFS;
		snprintf(e->msg, sizeof(e->msg), "%.300s: already served read-only", config.file);
		return -EROFS;
	}
	if (image)
		return 0;
	if (image_open(&config, is_write ? IMAGE_WRITE : IMAGE_READ, &image, e) < 0)
		return -e->code;
	is_image_writable = is_write;
	can_punch = is_write && image_can_punch(&config);
	/* without one the first flush of the client does it, as before */
	has_flusher = is_write && pthread_create(&flusher, NULL, flusher_main, NULL) == 0;
	return 0;
}

static void *plugin_open(int readonly)
{
	static int handles[2]; /* all a connection has of its own is whether it may write */
	struct vhd_err e = { 0 };
	int rc;

	pthread_mutex_lock(&open_lock);
	rc = image_use(!readonly, &e);
	pthread_mutex_unlock(&open_lock);
	if (rc < 0) {
		(void)fail(&e);
		return NULL;
	}
	return &handles[!readonly];
}

static int64_t plugin_get_size(void *handle)
{
	(void)handle;
	return (int64_t)vhd_size(image);
}

static int plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
			     uint32_t *maximum)
{
	(void)handle;
	*minimum = 1;
	*preferred = 4096;
	*maximum = 0xffffffff;
	return 0;
}

static int yes(void *handle)
{
	(void)handle;
	return 1;
}

static int plugin_can_fast_zero(void *handle)
{
	(void)handle;
	return can_punch;
}

static int plugin_can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_NATIVE;
}

static int plugin_can_cache(void *handle)
{
	(void)handle;
	return NBDKIT_CACHE_EMULATE; /* a read: what it read is in the host's page cache */
}

/* ---- data ---- */

static int plugin_pread(void *handle, void *buf, uint32_t count, uint64_t off, uint32_t flags)
{
	struct vhd_err e = { 0 };

	(void)handle;
	(void)flags;
	return vhd_read(image, buf, count, off, &e) < 0 ? fail(&e) : 0;
}

static int done(int rc, uint32_t flags, struct vhd_err *e)
{
	if (rc == 0 && flags & NBDKIT_FLAG_FUA)
		rc = vhd_flush(image, e);
	return rc < 0 ? fail(e) : 0;
}

static int plugin_pwrite(void *handle, const void *buf, uint32_t count, uint64_t off,
			 uint32_t flags)
{
	struct vhd_err e = { 0 };

	(void)handle;
	return done(vhd_write(image, buf, count, off, &e), flags, &e);
}

static int plugin_flush(void *handle, uint32_t flags)
{
	struct vhd_err e = { 0 };

	(void)handle;
	(void)flags;
	return vhd_flush(image, &e) < 0 ? fail(&e) : 0;
}

static int plugin_trim(void *handle, uint32_t count, uint64_t off, uint32_t flags)
{
	struct vhd_err e = { 0 };

	(void)handle;
	return done(vhd_discard(image, count, off, &e), flags, &e);
}

/* Who does not allow trimming wants the space to stay: nbdkit writes zeros then. */
static int plugin_zero(void *handle, uint32_t count, uint64_t off, uint32_t flags)
{
	struct vhd_err e = { 0 };

	(void)handle;
	if (!(flags & NBDKIT_FLAG_MAY_TRIM) || (flags & NBDKIT_FLAG_FAST_ZERO && !can_punch)) {
		nbdkit_set_error(EOPNOTSUPP);
		return -1;
	}
	return done(vhd_zero(image, count, off, &e), flags, &e);
}

static int plugin_extents(void *handle, uint32_t count, uint64_t off, uint32_t flags,
			  struct nbdkit_extents *extents)
{
	uint64_t end = off + count;
	struct vhd_err e = { 0 };

	(void)handle;
	while (off < end) {
		struct vhd_extent x;
		uint32_t type = 0;

		if (vhd_extent_at(image, off, end - off, &x, &e) < 0)
			return fail(&e);
		if (x.kind == VHD_EXTENT_ABSENT)
			type = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
		if (nbdkit_add_extent(extents, off, x.len, type) < 0)
			return -1;
		off += x.len;
		if (flags & NBDKIT_FLAG_REQ_ONE)
			break;
	}
	return 0;
}

static struct nbdkit_plugin plugin = {
	.name = "caisson-vhd",
	.version = CAISSON_VERSION,
	.longname = "virtual hard disks (VHD)",
	.description = "Serves a fixed, dynamic or differencing VHD with its parents.",
	.magic_config_key = "file",
	.config_help = "file=IMAGE    (required) The image to serve.\n"
		       "parent=IMAGE  Its parent; again for the parent's parent.\n"
		       "roots=DIR     Where parents may lie.\n"
		       "cache=SIZE    Most memory for bitmaps of each image.\n"
		       "sandbox=1     Serve descriptors, and can do nothing else.",
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.get_ready = plugin_get_ready,
	.after_fork = plugin_after_fork,
	.unload = plugin_unload,
	.open = plugin_open,
	.get_size = plugin_get_size,
	.block_size = plugin_block_size,
	.can_multi_conn = yes,
	.can_trim = yes,
	.can_zero = yes,
	.can_extents = yes,
	.can_fast_zero = plugin_can_fast_zero,
	.can_fua = plugin_can_fua,
	.can_cache = plugin_can_cache,
	.pread = plugin_pread,
	.pwrite = plugin_pwrite,
	.flush = plugin_flush,
	.trim = plugin_trim,
	.zero = plugin_zero,
	.extents = plugin_extents,
	.errno_is_preserved = 0,
};

struct nbdkit_plugin *plugin_init(void); /* the macro's function has no prototype */
NBDKIT_REGISTER_PLUGIN(plugin)
