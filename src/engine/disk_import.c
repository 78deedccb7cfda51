/* SPDX-License-Identifier: MIT */
/*
 * disk_import.c - layers from caisson-import, documents from here, and into the store
 *
 * The worker has read the disk and may be in its hands: what it says is parsed by worker_msg.c, and
 * its blobs are checked against their digests as any others (image_bring.c).
 */
#include "disk_import.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "child.h"
#include "disk_words.h"
#include "engine_internal.h"
#include "fdio.h"
#include "image_bring.h"
#include "image_change.h"
#include "json_text.h"
#include "worker_msg.h"

#define WORKER       "caisson-import"
#define LOOK_MS      200
#define MEDIA_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_LAYER  "application/vnd.oci.image.layer.v1.tar+gzip"
#define SAYING       "caisson disk import"

enum { FILE_LOWER, FILE_UPPER, FILE_BASE, FILE_CONFIG, FILE_MANIFEST, FILE_COUNT_ };

struct import {
	struct engine *g;
	const struct disk_import *x;
	const struct vhd_progress *step;
	int fds[FILE_COUNT_]; /* what the worker writes, and our documents */
	char digests[FILE_COUNT_][DIGEST_SIZE];
	uint64_t sizes[FILE_COUNT_];
	struct import_line result;
	uint64_t done, of;
};

/* ---- the worker ---- */

static int words_make(struct disk_words *w, const struct disk_import *x, struct err *e)
{
	char number[16];

	*w = (struct disk_words){ .v = { WORKER, x->disk, x->is_raw ? "raw" : "vhd" }, .n = 3 };
	snprintf(number, sizeof(number), "%u", x->partition);
	if (disk_words_pair(w, "partition", x->partition == DISK_IMPORT_ANY ? NULL : number, e) < 0)
		return -e->code;
	return disk_words_parents(w, x->parents, e);
}

static int worker_start(struct import *im, int out, pid_t *ret_pid, struct err *e)
{
	const int fds[] = {
		-1, out, STDERR_FILENO, im->fds[FILE_LOWER], im->fds[FILE_UPPER], im->fds[FILE_BASE]
	};
	struct disk_words w = { 0 };
	char path[PATH_MAX];
	struct child_spec s = { .path = path,
				.argv = w.v,
				.fds = fds,
				.n_fds = ARRAY_SIZE(fds),
				.flags = CHILD_DIE_WITH_PARENT | CHILD_SAME_GROUP |
					 CHILD_NO_NEW_PRIVS };
	int rc;

	if ((size_t)snprintf(path, sizeof(path), "%s/" WORKER, engine_libexec(im->g)) >=
	    sizeof(path))
		return err_set(e, ENAMETOOLONG, "%s", engine_libexec(im->g));
	rc = words_make(&w, im->x, e);
	if (rc == 0)
		rc = child_spawn(&s, ret_pid, NULL, e);
	disk_words_done(&w);
	return rc;
}

static int step(const struct import *im, struct err *e)
{
	if (im->step && im->step->step && im->step->step(im->step->ctx, im->done, im->of))
		return err_plain(e, ECANCELED, "interrupted");
	return 0;
}

/* Whole lines at the front of `b`. 1: the result was among them. */
static int lines_take(struct import *im, struct buf *b, struct err *e)
{
	char *end;

	while (b->len && (end = memchr(b->data, '\n', b->len))) {
		struct import_line l;

		if (import_line_parse(b->data, (size_t)(end - b->data), &l, e) < 0)
			return -e->code;
		buf_consume(b, (size_t)(end - b->data) + 1);
		if (l.kind == IMPORT_RESULT) {
			im->result = l;
			return 1;
		}
		im->done = l.done;
		im->of = l.of;
	}
	return 0;
}

static int worker_hear(struct import *im, int fd, struct err *e)
{
	auto_buf b = BUF_LIMIT(IMPORT_LINE_MAX);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char data[1024];
	int rc = 0;

	while (rc == 0) {
		int n = poll(&p, 1, LOOK_MS);
		ssize_t got;

		if (step(im, e) < 0)
			return -e->code;
		if (n < 0 && errno != EINTR)
			return err_set(e, errno, "poll");
		if (n <= 0)
			continue;
		got = read(fd, data, sizeof(data));
		if (got <= 0)
			return err_plain(e, EIO, WORKER " ended without a word");
		if (buf_add(&b, data, (size_t)got) < 0)
			return err_plain(e, EBADMSG, WORKER " says too much at once");
		rc = lines_take(im, &b, e);
	}
	return rc < 0 ? rc : 0;
}

static int worker_run(struct import *im, struct err *e)
{
	int out[2], rc;
	struct err ignored = { 0 }; /* it has given its result, or is killed */
	int status;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe");
	rc = worker_start(im, out[1], &pid, e);
	close(out[1]);
	if (rc == 0) {
		rc = worker_hear(im, out[0], e);
		kill(pid, SIGKILL);
		(void)!child_wait(pid, &status, &ignored);
	}
	close(out[0]);
	return rc;
}

/* ---- documents ---- */

/* The config of the image that the disk was made of; only what a machine needs of it. */
static json_t *base_read(struct import *im, struct err *e)
{
	auto_buf b = BUF_LIMIT(DOC_CONFIG_MAX);
	json_t *j;

	if (!im->result.has_config)
		return json_object();
	if (lseek(im->fds[FILE_BASE], 0, SEEK_SET) < 0 || fd_read_all(im->fds[FILE_BASE], &b) < 0) {
		(void)err_plain(e, EIO, "the disk's config.json cannot be read");
		return NULL;
	}
	j = json_parse(b.data ? b.data : "", b.len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(j)) {
		json_decref(j);
		(void)err_plain(e, EBADMSG, "the disk's config.json is not a config");
		return NULL;
	}
	return j;
}

static void time_text(char ret[32])
{
	const time_t now = time(NULL);
	struct tm t;

	gmtime_r(&now, &t);
	strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &t);
}

static json_t *history_make(const struct import *im, const char *created)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < im->result.n_layers; i++) {
		json_t *row = json_pack("{s:s, s:s}", "created", created, "created_by", SAYING);

		if (im->x->message)
			json_object_set_new(row, "comment", json_string(im->x->message));
		json_array_append_new(list, row);
	}
	return list;
}

/* Text of the base, else the host's. */
static void platform_set(json_t *doc, const json_t *base)
{
	const char *os = json_string_value(json_object_get(base, "os"));
	const char *architecture = json_string_value(json_object_get(base, "architecture"));
	struct platform host;

	platform_host(&host);
	if (os && architecture) {
		json_object_set_new(doc, "os", json_string(os));
		json_object_set_new(doc, "architecture", json_string(architecture));
		if (json_is_string(json_object_get(base, "variant")))
			json_object_set(doc, "variant", json_object_get(base, "variant"));
		return;
	}
	json_object_set_new(doc, "os", json_string(host.os));
	json_object_set_new(doc, "architecture", json_string(host.architecture));
	if (*host.variant)
		json_object_set_new(doc, "variant", json_string(host.variant));
}

static json_t *config_make(const struct import *im, const json_t *base, json_t *config)
{
	json_t *doc, *ids = json_array();
	char created[32];

	time_text(created);
	for (uint32_t i = 0; i < im->result.n_layers; i++)
		json_array_append_new(ids, json_string(im->result.layers[i].diff_id));
	doc = json_pack("{s:s, s:O, s:{s:s, s:o}, s:o}", "created", created, "config", config,
			"rootfs", "type", "layers", "diff_ids", ids, "history",
			history_make(im, created));
	platform_set(doc, base);
	return doc;
}

static json_t *descriptor(const struct import *im, unsigned int file, const char *media)
{
	return json_pack("{s:s, s:s, s:I}", "mediaType", media, "digest", im->digests[file], "size",
			 (json_int_t)im->sizes[file]);
}

static json_t *manifest_make(const struct import *im)
{
	json_t *layers = json_array();

	for (uint32_t i = 0; i < im->result.n_layers; i++)
		json_array_append_new(layers, descriptor(im, FILE_LOWER + i, MEDIA_LAYER));
	return json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", DOC_OCI_MANIFEST,
			 "config", descriptor(im, FILE_CONFIG, MEDIA_CONFIG), "layers", layers);
}

/* Takes `doc`, which may be NULL for want of memory. */
static int document_keep(struct import *im, unsigned int file, json_t *doc, struct err *e)
{
	auto_free char *text = json_text(doc, JSON_COMPACT | JSON_SORT_KEYS);
	int rc;

	json_decref(doc);
	if (!text)
		return err_set(e, ENOMEM, "documents of the image");
	im->sizes[file] = strlen(text);
	if (digest_of(text, strlen(text), im->digests[file], e) < 0)
		return -e->code;
	rc = fd_write_full(im->fds[file], text, strlen(text));
	return rc < 0 ? err_set(e, -rc, "documents of the image") : 0;
}

static int changes_apply(const struct import *im, json_t *config, struct err *e)
{
	struct image_change c = { .config = config };

	for (size_t i = 0; i < im->x->n_changes; i++)
		if (image_change_apply(&c, im->x->changes[i], e) < 0)
			return -e->code;
	return 0;
}

static int documents_make(struct import *im, struct err *e)
{
	json_t *base = base_read(im, e), *config = json_object_get(base, "config"), *doc;
	int rc;

	if (!base)
		return e->code ? -e->code : err_set(e, ENOMEM, "import");
	config = json_is_object(config) ? json_incref(config) : json_object();
	rc = changes_apply(im, config, e);
	if (rc == 0) {
		json_build_begin();
		doc = config_make(im, base, config);
		rc = document_keep(im, FILE_CONFIG, json_build_end(doc), e);
	}
	json_decref(config);
	json_decref(base);
	if (rc < 0)
		return rc;
	json_build_begin();
	doc = manifest_make(im);
	return document_keep(im, FILE_MANIFEST, json_build_end(doc), e);
}

/* ---- the whole ---- */

static int files_make(struct import *im, struct store *s, struct err *e)
{
	for (unsigned int i = 0; i < FILE_COUNT_; i++) {
		im->fds[i] = openat(store_root_fd(s), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (im->fds[i] < 0)
			return err_set(e, errno, "a file in the store");
	}
	return 0;
}

static int blob_open(void *arg, const char *digest, int *ret_fd, struct err *e)
{
	const struct import *im = arg;

	for (unsigned int i = 0; i < FILE_COUNT_; i++) {
		if (strcmp(im->digests[i], digest) != 0)
			continue;
		*ret_fd = fcntl(im->fds[i], F_DUPFD_CLOEXEC, 3);
		return *ret_fd < 0 ? err_set(e, errno, "blob %s", digest) : 0;
	}
	return err_set(e, ENOENT, "blob %s", digest);
}

static int import_run(struct import *im, char **ret_id, struct err *e)
{
	const struct image_blobs from = { blob_open, im };
	struct doc_descriptor top = { .media_type = DOC_OCI_MANIFEST };
	char tag[REF_NORMAL_SIZE];
	json_t *scratch = json_object();
	struct store *s;
	int rc =
		changes_apply(im, scratch, e); /* what is wrong with them is said before the work */

	json_decref(scratch);
	if (rc < 0 || image_bring_tag(im->x->ref, tag, e) < 0 ||
	    engine_store_need(im->g, &s, e) < 0 || files_make(im, s, e) < 0 ||
	    worker_run(im, e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < im->result.n_layers; i++) {
		memcpy(im->digests[FILE_LOWER + i], im->result.layers[i].blob, DIGEST_SIZE);
		im->sizes[FILE_LOWER + i] = im->result.layers[i].size;
	}
	if (documents_make(im, e) < 0)
		return -e->code;
	snprintf(top.digest, sizeof(top.digest), "%s", im->digests[FILE_MANIFEST]);
	top.size = im->sizes[FILE_MANIFEST];
	return image_bring(im->g, &from, &top, tag, ret_id, e);
}

int engine_disk_import(struct engine *g, const struct disk_import *x,
		       const struct vhd_progress *progress, struct disk_imported *ret,
		       struct err *e)
{
	struct import im = { .g = g, .x = x, .step = progress };
	struct disk_imported r = { 0 };
	int rc;

	for (unsigned int i = 0; i < FILE_COUNT_; i++)
		im.fds[i] = -1;
	rc = import_run(&im, &r.id, e);
	for (unsigned int i = 0; i < FILE_COUNT_; i++)
		fd_drop(&im.fds[i]);
	if (rc < 0)
		return rc;
	r.partition = im.result.partition;
	for (uint32_t i = 0; i < im.result.n_layers; i++)
		r.left_out += im.result.layers[i].left_out;
	*ret = r;
	return 0;
}
