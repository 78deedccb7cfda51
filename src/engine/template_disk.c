/* SPDX-License-Identifier: MIT */
/*
 * template_disk.c - templates as files
 *
 * Written aside in ROOT/templates/KEY.new, synced, and renamed whole. Pages of zeros are holes.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "bytes.h"
#include "disk.h"
#include "engine_internal.h"
#include "fdio.h"
#include "json_text.h"
#include "kernel.h"
#include "shape.h"
#include "template_internal.h"

#define FRESH      ".new"
#define PAGE       4096U
#define COPY_CHUNK (1U << 20)
#define JSON_LIMIT 65536U

static int lock_take(struct store *s, const char *key, int how, int *ret_fd, struct err *e)
{
	char name[96];
	auto_fd fd = -1;

	if (dir_make_at(store_run_fd(s), "templates", 0700, e) < 0)
		return -e->code;
	snprintf(name, sizeof(name), "templates/%s.lock", key);
	fd = openat(store_run_fd(s), name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, errno, "create %s/%s", store_run_path(s), name);
	while (flock(fd, how) < 0)
		if (errno != EINTR)
			return err_set(e, errno == EWOULDBLOCK ? EBUSY : errno, "lock %s", name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int template_lock(struct store *s, const char *key, int *ret_fd, struct err *e)
{
	return lock_take(s, key, LOCK_EX, ret_fd, e);
}

int template_lock_try(struct store *s, const char *key, int *ret_fd, struct err *e)
{
	return lock_take(s, key, LOCK_EX | LOCK_NB, ret_fd, e);
}

int template_mem_make(uint64_t size, int *ret_fd, struct err *e)
{
	auto_fd fd = memfd_create("caisson-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return err_set(e, errno, "memory of %" PRIu64 " bytes", size);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int template_mem_seal(int fd, struct err *e)
{
	/* A read-only, private map is all that clones need. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return err_set(e, errno, "seal the template's memory");
	return 0;
}

bool template_disk_has(struct store *s, const char *key)
{
	char name[96];

	snprintf(name, sizeof(name), "templates/%s/template.json", key);
	return faccessat(store_root_fd(s), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_zero(const char *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/*
 * The sum over all words that are not 0, each mixed with its place, mod 2^64: the same whatever is
 * a hole, and in whatever pieces it is read. Mixing is one to one, so that one word that was
 * altered is found for certain, and more are but for an odd chance.
 */
static uint64_t words_sum(const char *data, size_t len, off_t at)
{
	uint64_t sum = 0;

	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t w = get_le64(data + i);

		if (w == 0)
			continue;
		w += ((uint64_t)at + i + 8) * 0x9e3779b97f4a7c15U;
		w ^= w >> 32;
		w *= 0xd6e8feb86659fd93U;
		sum += w ^ w >> 32;
	}
	return sum;
}

/* Data without its pages of zeros, to the same places; `to` gets the same length. */
static int memory_copy(int from, int to, uint64_t size, uint64_t *ret_sum, struct err *e)
{
	auto_free char *chunk = malloc(COPY_CHUNK);
	uint64_t sum = 0;
	off_t at = 0, end;

	if (!chunk)
		return err_set(e, ENOMEM, "template");
	if (ftruncate(to, (off_t)size) < 0)
		return err_set(e, errno, "template");
	while ((at = lseek(from, at, SEEK_DATA)) >= 0 && (uint64_t)at < size) {
		end = lseek(from, at, SEEK_HOLE);
		while (at < end) {
			size_t n = (size_t)MIN_OF(end - at, (off_t)COPY_CHUNK);
			int rc = fd_pread_full(from, chunk, n, at);

			for (size_t i = 0; rc == 0 && i < n;) {
				size_t run = i;

				while (run < n &&
				       !is_zero(chunk + run, MIN_OF((size_t)PAGE, n - run)))
					run += PAGE;
				run = MIN_OF(run, n);
				if (run > i)
					rc = fd_pwrite_full(to, chunk + i, run - i, at + (off_t)i);
				i = run > i ? run : i + PAGE;
			}
			sum += words_sum(chunk, n, at);
			if (rc < 0)
				return err_set(e, -rc, "copy the template's memory");
			at += (off_t)n;
		}
	}
	if (at < 0 && errno != ENXIO)
		return err_set(e, errno, "template");
	*ret_sum = sum;
	return 0;
}

static int file_create(int dir_fd, const char *name, int *ret_fd, struct err *e)
{
	*ret_fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *ret_fd < 0 ? err_set(e, errno, "create %s", name) : 0;
}

static int files_write(int dir_fd, const struct template *t, uint64_t *ret_sum, struct err *e)
{
	auto_fd mem = -1;
	auto_fd state = -1;
	auto_fd writable = -1;

	if (file_create(dir_fd, "memory", &mem, e) < 0 ||
	    memory_copy(t->mem_fd, mem, t->mem_bytes, ret_sum, e) < 0 ||
	    file_create(dir_fd, "state", &state, e) < 0 ||
	    disk_copy_sparse(t->state_fd, state, e) < 0)
		return -e->code;
	if (fdatasync(mem) < 0 || fdatasync(state) < 0)
		return err_set(e, errno, "sync the template");
	if (t->writable_fd < 0)
		return 0;
	if (file_create(dir_fd, "writable", &writable, e) < 0 ||
	    disk_copy_sparse(t->writable_fd, writable, e) < 0)
		return -e->code;
	return fdatasync(writable) < 0 ? err_set(e, errno, "sync the template") : 0;
}

static uint64_t fd_blocks(int fd)
{
	struct stat st;

	return fd < 0 || fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

static uint64_t fd_size(int fd)
{
	struct stat st;

	return fd < 0 || fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

static int json_write(int dir_fd, const struct template *t, const struct template_want *w,
		      uint64_t sum, struct err *e)
{
	struct timespec now;
	auto_free char *text = NULL;
	char shape[SHAPE_TEXT_SIZE], hex[17];
	json_t *j;

	clock_gettime(CLOCK_REALTIME, &now);
	shape_text(w, shape);
	snprintf(hex, sizeof(hex), "%016" PRIx64, sum);
	j = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:s,s:I,s:s}", "key", t->key,
		      "depth", t->depth == TEMPLATE_IMAGE ? "image" : "machine", "image",
		      w->image_id ? w->image_id : "", "kernel", w->kernel ? w->kernel : "", "shape",
		      shape, "created", (json_int_t)now.tv_sec, "size",
		      (json_int_t)(fd_blocks(t->mem_fd) + fd_blocks(t->state_fd) +
				   fd_blocks(t->writable_fd)),
		      "mem_bytes", (json_int_t)t->mem_bytes, "state_len",
		      (json_int_t)fd_size(t->state_fd), "writable_len",
		      (json_int_t)fd_size(t->writable_fd), "driver", w->driver->name, "disk_bytes",
		      (json_int_t)w->disk_bytes, "mem_sum", hex);
	text = json_text(j, JSON_COMPACT);
	json_decref(j);
	if (!text)
		return err_set(e, ENOMEM, "template");
	return file_write_atomic_at(dir_fd, "template.json", 0600, text, strlen(text), e);
}

int template_disk_save(struct store *s, const struct template *t, const struct template_want *w,
		       struct err *e)
{
	char fresh[96], name[96];
	uint64_t sum = 0;
	auto_fd dir = -1;

	snprintf(name, sizeof(name), "templates/%s", t->key);
	snprintf(fresh, sizeof(fresh), "%s" FRESH, name);
	if (tree_remove_at(store_root_fd(s), fresh, e) < 0 ||
	    dir_make_at(store_root_fd(s), fresh, 0700, e) < 0)
		return -e->code;
	dir = openat(store_root_fd(s), fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(e, errno, "open %s", fresh);
	if (files_write(dir, t, &sum, e) < 0 || json_write(dir, t, w, sum, e) < 0 ||
	    tree_remove_at(store_root_fd(s), name, e) < 0) {
		struct err ignored = { 0 };

		(void)!tree_remove_at(store_root_fd(s), fresh, &ignored); /* the next try does */
		return -e->code;
	}
	if (renameat(store_root_fd(s), fresh, store_root_fd(s), name) < 0)
		return err_set(e, errno, "rename %s", fresh);
	return 0;
}

uint64_t template_disk_bytes(struct store *s, const char *dir_name)
{
	static const char *const parts[] = { "memory", "state", "writable" };
	uint64_t sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		char path[160];
		struct stat st;

		snprintf(path, sizeof(path), "templates/%s/%s", dir_name, parts[i]);
		if (fstatat(store_root_fd(s), path, &st, AT_SYMLINK_NOFOLLOW) == 0)
			sum += (uint64_t)st.st_blocks * 512;
	}
	return sum;
}

/* The key of "KEY.new", else false. */
static bool fresh_key(const char *name, char ret_key[65])
{
	if (strlen(name) != 64 + strlen(FRESH) || strcmp(name + 64, FRESH) != 0 ||
	    strspn(name, "0123456789abcdef") != 64)
		return false;
	snprintf(ret_key, 65, "%.64s", name);
	return true;
}

int template_disk_sweep(struct store *s, uint64_t *io_freed, struct err *e)
{
	auto_dir dir = dir_open_at(store_root_fd(s), "templates", 0);
	const struct dirent *d;
	int rc = 0;

	if (!dir)
		return errno == ENOENT ? 0 : err_set(e, errno, "templates");
	while (rc == 0 && (d = readdir(dir))) {
		char key[65], path[96];
		struct err busy = { 0 };
		auto_fd lock = -1;

		if (!fresh_key(d->d_name, key) || template_lock_try(s, key, &lock, &busy) < 0)
			continue; /* being made */
		*io_freed += template_disk_bytes(s, d->d_name);
		snprintf(path, sizeof(path), "templates/%s", d->d_name);
		rc = tree_remove_at(store_root_fd(s), path, e);
	}
	return rc;
}

/* ---- loading ---- */

static bool number_get(const json_t *j, const char *key, uint64_t *ret)
{
	json_int_t n = json_integer_value(json_object_get(j, key));

	*ret = (uint64_t)n;
	return json_is_integer(json_object_get(j, key)) && n >= 0;
}

static int part_open(int dir_fd, const char *name, uint64_t len, int *ret_fd, struct err *e)
{
	*ret_fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd < 0)
		return err_set(e, errno, "template's %s", name);
	if (fd_size(*ret_fd) != len)
		return err_plain(e, ENOENT, "template's %s is cut short", name);
	return 0;
}

static int memory_load(int from, const json_t *j, struct template *t, struct err *e)
{
	const char *told = json_string_value(json_object_get(j, "mem_sum"));
	uint64_t sum = 0;
	char hex[17];

	if (template_mem_make(t->mem_bytes, &t->mem_fd, e) < 0 ||
	    memory_copy(from, t->mem_fd, t->mem_bytes, &sum, e) < 0)
		return -e->code;
	snprintf(hex, sizeof(hex), "%016" PRIx64, sum);
	if (!told || strcmp(hex, told) != 0)
		return err_plain(e, ENOENT, "template's memory was altered");
	return template_mem_seal(t->mem_fd, e);
}

static int parts_load(int dir_fd, const json_t *j, struct template *t, struct err *e)
{
	uint64_t state_len, writable_len;
	auto_fd mem = -1;

	if (!number_get(j, "mem_bytes", &t->mem_bytes) || !number_get(j, "state_len", &state_len) ||
	    !number_get(j, "writable_len", &writable_len) || t->mem_bytes < VM_MEM_MIN ||
	    t->mem_bytes > VM_MEM_MAX)
		return err_plain(e, ENOENT, "template.json is damaged");
	if (part_open(dir_fd, "memory", t->mem_bytes, &mem, e) < 0 ||
	    part_open(dir_fd, "state", state_len, &t->state_fd, e) < 0)
		return -e->code;
	if (writable_len && part_open(dir_fd, "writable", writable_len, &t->writable_fd, e) < 0)
		return -e->code;
	t->depth = writable_len ? TEMPLATE_IMAGE : TEMPLATE_MACHINE;
	return memory_load(mem, j, t, e);
}

int template_disk_load(struct store *s, const char *key, struct template *ret, struct err *e)
{
	struct template t = { .mem_fd = -1, .state_fd = -1, .writable_fd = -1 };
	auto_buf text = { 0 };
	char name[96];
	auto_fd dir = -1;
	json_t *j;
	int rc;

	snprintf(name, sizeof(name), "templates/%s", key);
	dir = openat(store_root_fd(s), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(e, errno, "open %s", name);
	if (file_read_at(dir, "template.json", JSON_LIMIT, &text, e) < 0)
		return -e->code;
	j = json_parse(text.data, text.len, 0, NULL);
	rc = parts_load(dir, j, &t, e);
	json_decref(j);
	if (rc < 0) {
		template_done(&t);
		return rc;
	}
	snprintf(t.key, sizeof(t.key), "%s", key);
	*ret = t;
	return 0;
}
