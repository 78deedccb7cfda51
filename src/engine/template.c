/* SPDX-License-Identifier: MIT */
/*
 * template.c - finding templates, making them when they are not there
 *
 * Places, from fast to slow: a holder (a connection), the disk (tens of milliseconds), a boot
 * (seconds). A lock per key makes one process do the work and others wait; they look again
 * afterwards.
 */
#include "template.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "child.h"
#include "engine_internal.h"
#include "fdio.h"
#include "json_text.h"
#include "kernel.h"
#include "log.h"
#include "shape.h"
#include "template_internal.h"

#define TEMPLATE_VERSION 7 /* counts up when guest or host expect another state in a template */
#define WORKER           "caisson-template"
#define JSON_LIMIT       65536U

void template_done(struct template *t)
{
	fd_drop(&t->mem_fd);
	fd_drop(&t->state_fd);
	fd_drop(&t->writable_fd);
}

int template_key(struct engine *g, const struct template_want *w, enum template_depth depth,
		 char ret_key[65], struct err *e)
{
	struct vm_driver_info info;
	char name[KERNEL_NAME_MAX + 1], digest[65], shape[SHAPE_TEXT_SIZE];
	uint8_t md[EVP_MAX_MD_SIZE];
	auto_buf b = { 0 };

	if (shape_driver_info(g, w->driver, &info, e) < 0 ||
	    kernel_digest(g, w->kernel, name, digest, e) < 0)
		return -e->code;
	shape_text(w, shape);
	if (buf_addf(&b, "%d %s %s %s %s " SHAPE_CMDLINE, TEMPLATE_VERSION, w->driver->name,
		     info.fingerprint, digest, shape) < 0 ||
	    (depth == TEMPLATE_IMAGE &&
	     buf_addf(&b, " %s %" PRIu64, w->image_id, w->disk_bytes) < 0))
		return err_set(e, ENOMEM, "template");
	if (EVP_Digest(b.data, b.len, md, NULL, EVP_sha256(), NULL) != 1)
		return err_plain(e, EIO, "digest failed");
	for (size_t i = 0; i < 32; i++)
		snprintf(ret_key + 2 * i, 3, "%02x", md[i]);
	return 0;
}

/* A holder, else the disk. -ENOENT. */
static int template_find(struct engine *g, const char *key, struct template *ret, struct err *e)
{
	struct store *s = engine_store(g);
	struct err why = { 0 };
	auto_fd lock = -1;
	char path[96];

	if (template_hold_get(s, key, ret, NULL, e) == 0)
		return 0;
	if (e->code != ENOENT || !template_disk_has(s, key))
		return -e->code;
	if (template_lock(s, key, &lock, e) < 0)
		return -e->code;
	if (template_hold_get(s, key, ret, NULL, e) == 0)
		return 0; /* another process was quicker */
	if (template_disk_load(s, key, ret, e) < 0) {
		if (e->code == ENOENT) { /* damaged: to be made again */
			snprintf(path, sizeof(path), "templates/%s", key);
			(void)!tree_remove_at(store_root_fd(s), path, &why);
		}
		return -e->code;
	}
	if (template_hold_start(g, ret, &why) < 0)
		log_warn("template is not held: %s", why.msg); /* it works without */
	return 0;
}

int template_get(struct engine *g, const struct template_want *w, struct template *ret,
		 struct err *e)
{
	char key[65];
	int rc;

	if (w->image_id) {
		if (template_key(g, w, TEMPLATE_IMAGE, key, e) < 0)
			return -e->code;
		rc = template_find(g, key, ret, e);
		if (rc != -ENOENT) {
			ret->depth = TEMPLATE_IMAGE;
			return rc;
		}
	}
	if (template_key(g, w, TEMPLATE_MACHINE, key, e) < 0)
		return -e->code;
	rc = template_find(g, key, ret, e);
	ret->depth = TEMPLATE_MACHINE;
	return rc;
}

/* Depth image is made of depth machine: when that does not fit, both are made anew, once. */
static int template_build_or_renew(struct engine *g, const struct template_want *w,
				   enum template_depth depth, const char *key, struct template *ret,
				   struct err *e)
{
	struct template_want base = *w;
	char base_key[65];

	if (template_build(g, w, depth, key, ret, e) == 0)
		return 0;
	if (e->code != ESTALE || depth != TEMPLATE_IMAGE)
		return -e->code;
	log_warn("%s; it is made anew", e->msg);
	base.image_id = NULL;
	if (template_key(g, &base, TEMPLATE_MACHINE, base_key, e) < 0 ||
	    template_drop(g, base_key, e) < 0 || template_make(g, &base, e) < 0)
		return -e->code;
	return template_build(g, w, depth, key, ret, e);
}

int template_make(struct engine *g, const struct template_want *w, struct err *e)
{
	enum template_depth depth = w->image_id ? TEMPLATE_IMAGE : TEMPLATE_MACHINE;
	struct template t = { .mem_fd = -1, .state_fd = -1, .writable_fd = -1 };
	struct err why = { 0 };
	struct template_want base = *w, named = *w;
	char name[KERNEL_NAME_MAX + 1], digest[65];
	struct store *s;
	auto_fd lock = -1;
	uint64_t freed = 0;
	char key[65];
	int rc;

	if (engine_store_need(g, &s, e) < 0 || template_key(g, w, depth, key, e) < 0)
		return -e->code;
	base.image_id = NULL;
	if (depth == TEMPLATE_IMAGE && template_make(g, &base, e) < 0)
		return -e->code;
	if (template_lock(s, key, &lock, e) < 0)
		return -e->code;
	if (template_disk_has(s, key))
		return 0;
	if (template_disk_sweep(s, &freed, &why) < 0)
		log_warn("%s", why.msg); /* it only takes space */
	if (kernel_digest(g, w->kernel, name, digest, e) < 0 ||
	    template_build_or_renew(g, w, depth, key, &t, e) < 0)
		return -e->code;
	named.kernel = name; /* what the default is today */
	rc = template_disk_save(s, &t, &named, e);
	if (rc == 0 && template_old_remove(g, w->image_id, &why) < 0)
		log_warn("old templates: %s", why.msg); /* they only take space */
	if (rc == 0 && template_hold_start(g, &t, &why) < 0)
		log_warn("template is not held: %s", why.msg);
	template_done(&t);
	return rc;
}

int template_make_in_background(struct engine *g, const struct template_want *w, struct err *e)
{
	struct store *s;
	char path[4096], disk[32], shape[SHAPE_TEXT_SIZE];
	const char *argv[] = { WORKER,
			       "make",
			       NULL,
			       NULL,
			       w->driver->name,
			       w->kernel ? w->kernel : "",
			       shape,
			       w->image_id ? w->image_id : "",
			       disk,
			       NULL };
	struct child_spec spec = { .path = path,
				   .argv = argv,
				   .fds = (const int[]){ -1, -1, -1 },
				   .n_fds = 3,
				   .flags = CHILD_NEW_SESSION };
	pid_t pid;
	int status;

	if (engine_store_need(g, &s, e) < 0)
		return -e->code;
	argv[2] = store_root_path(s);
	argv[3] = store_run_path(s);
	snprintf(path, sizeof(path), "%s/" WORKER, engine_libexec(g));
	shape_text(w, shape);
	snprintf(disk, sizeof(disk), "%" PRIu64, w->disk_bytes);
	if (child_spawn(&spec, &pid, NULL, e) < 0)
		return -e->code;
	return child_wait(pid, &status, e); /* it forks at once: nobody is left to wait for it */
}

/* ---- list and prune ---- */

bool template_key_is_valid(const char *name)
{
	return strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64;
}

static int list_add(struct store *s, const char *key, json_t *list, struct err *e)
{
	struct template t = { .mem_fd = -1, .state_fd = -1, .writable_fd = -1 };
	auto_buf text = { 0 };
	struct err ignored = { 0 };
	char name[128];
	json_t *j;
	int32_t pid = 0;
	bool held;

	snprintf(name, sizeof(name), "templates/%s/template.json", key);
	if (file_read_at(store_root_fd(s), name, JSON_LIMIT, &text, e) < 0)
		return e->code == ENOMEM ? -ENOMEM : 0; /* being removed */
	j = json_parse(text.data, text.len, 0, NULL);
	if (!json_is_object(j)) {
		json_decref(j);
		return 0;
	}
	held = template_hold_get(s, key, &t, &pid, &ignored) == 0;
	template_done(&t);
	(void)json_object_set_new(j, "held", json_boolean(held));
	(void)json_object_set_new(j, "holder_pid", json_integer(pid));
	(void)json_array_append_new(list, j);
	return 0;
}

int engine_template_list(struct engine *g, json_t **ret, struct err *e)
{
	struct store *s;
	const struct dirent *d;
	auto_dir dir = NULL;
	json_t *list;
	int rc = 0;

	if (engine_store_need(g, &s, e) < 0)
		return -e->code;
	dir = dir_open_at(store_root_fd(s), "templates", 0);
	if (!dir && errno != ENOENT)
		return err_set(e, errno, "templates");
	json_build_begin();
	list = json_array();
	while (rc == 0 && dir && (d = readdir(dir)))
		if (template_key_is_valid(d->d_name))
			rc = list_add(s, d->d_name, list, e);
	list = json_build_end(list);
	if (rc < 0) {
		json_decref(list);
		return rc;
	}
	*ret = list;
	return list ? 0 : err_set(e, ENOMEM, "list of templates");
}

int template_remove(struct store *s, const char *key, uint64_t *io_freed, struct err *e)
{
	struct template t = { .mem_fd = -1, .state_fd = -1, .writable_fd = -1 };
	struct err ignored = { 0 };
	int32_t pid = 0;
	char path[96];

	if (template_hold_get(s, key, &t, &pid, &ignored) == 0 && pid > 0)
		kill(pid, SIGTERM);
	template_done(&t);
	*io_freed += template_disk_bytes(s, key);
	snprintf(path, sizeof(path), "templates/%s", key);
	if (tree_remove_at(store_root_fd(s), path, e) < 0)
		return -e->code;
	snprintf(path, sizeof(path), "templates/%s.lock", key);
	(void)unlinkat(store_run_fd(s), path, 0);
	return 0;
}

static int prune_one(struct store *s, const char *key, uint64_t *io_freed, struct err *e)
{
	auto_fd lock = -1;

	if (template_lock(s, key, &lock, e) < 0)
		return -e->code;
	return template_remove(s, key, io_freed, e);
}

int template_drop(struct engine *g, const char *key, struct err *e)
{
	uint64_t freed = 0;
	auto_fd lock = -1;
	struct store *s;

	if (!template_key_is_valid(key))
		return 0;
	if (engine_store_need(g, &s, e) < 0)
		return -e->code;
	if (template_lock_try(s, key, &lock, e) < 0) /* who has it may be making another one */
		return e->code == EBUSY ? 0 : -e->code;
	return template_remove(s, key, &freed, e);
}

int engine_template_prune(struct engine *g, uint64_t *ret_freed, struct err *e)
{
	struct store *s;
	json_t *list = NULL, *j;
	size_t i;
	int rc;

	*ret_freed = 0;
	if (engine_store_need(g, &s, e) < 0)
		return -e->code;
	rc = engine_template_list(g, &list, e);
	json_array_foreach (list, i, j) {
		const char *key = json_string_value(json_object_get(j, "key"));

		if (rc == 0 && key && template_key_is_valid(key))
			rc = prune_one(s, key, ret_freed, e);
	}
	json_decref(list);
	return rc < 0 ? rc : template_disk_sweep(s, ret_freed, e);
}
