/* SPDX-License-Identifier: MIT */
/*
 * unpack_main.c - caisson-unpack: one layer, or the merge of all, in a sandbox
 *
 *	caisson-unpack layer		3 blob, 4 counts, 5 data out, 6 tree out
 *	caisson-unpack merge N UUID	3 .. trees, lowest first, then metadata out
 *
 * Everything comes by descriptor and nothing is opened. One line of JSON goes to descriptor 1: the
 * result, or {"error":..,"code":..} and exit 1. The sandbox is entered before the first byte of
 * the layer is read.
 */
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fdio.h"
#include "json_text.h"
#include "layer_pipe.h"
#include "log.h"
#include "merge.h"
#include "sandbox.h"

#define FIRST_FD  3
#define TREE_MAX  (4ULL << 30) /* of one layer */
#define UUID_SIZE 16U

static int reply(json_t *o, struct err *e)
{
	char *text = json_text(o, JSON_COMPACT);
	int r = -ENOMEM;

	json_decref(o);
	if (text) {
		r = fd_write_full(STDOUT_FILENO, text, strlen(text));
		if (r == 0)
			r = fd_write_full(STDOUT_FILENO, "\n", 1);
	}
	free(text);
	return r < 0 ? err_set(e, -r, "reply") : 0;
}

/* A path of the image may hold any bytes; JSON holds UTF-8. */
static void fail(struct err *e)
{
	struct err ignored = { 0 };

	for (char *p = e->msg; *p; p++)
		if (*p < 0x20 || *p == 0x7f) /* char is signed: all above ASCII as well */
			*p = '?';
	(void)reply(json_pack("{s:s, s:i}", "error", e->msg, "code", e->code), &ignored);
}

static void digest_text(const uint8_t d[LAYER_DIGEST_SIZE], char ret[80])
{
	size_t n = (size_t)snprintf(ret, 80, "sha256:");

	for (size_t i = 0; i < LAYER_DIGEST_SIZE; i++, n += 2)
		snprintf(ret + n, 80 - n, "%02x", d[i]);
}

static int layer_run(struct err *e)
{
	const struct layer_files f = { FIRST_FD, FIRST_FD + 1, FIRST_FD + 2, FIRST_FD + 3 };
	const struct sandbox_policy policy = { .kind = SANDBOX_UNPACK };
	struct layer_result r = { 0 };
	char diff_id[80], blob_digest[80];

	if (sandbox_enter(&policy, e) < 0 || layer_unpack(&f, &r, e) < 0)
		return -e->code;
	digest_text(r.diff_id, diff_id);
	digest_text(r.blob_digest, blob_digest);
	return reply(json_pack("{s:s, s:s, s:I, s:I, s:I}", "diff_id", diff_id, "blob_digest",
			       blob_digest, "blob_size", (json_int_t)r.blob_size, "data_len",
			       (json_int_t)r.out.data_len, "records", (json_int_t)r.out.n_records),
		     e);
}

static int tree_map(int fd, struct merge_layer *ret, struct err *e)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "tree");
	if (st.st_size <= 0 || (uint64_t)st.st_size > TREE_MAX)
		return err_plain(e, EBADMSG, "tree of %lld bytes", (long long)st.st_size);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_set(e, errno, "tree");
	*ret = (struct merge_layer){ p, (size_t)st.st_size };
	return 0;
}

static json_t *part_json(const struct merge_part *p)
{
	static const char *const kinds[] = { [MERGE_PART_META_HEAD] = "head",
					     [MERGE_PART_LAYER] = "layer",
					     [MERGE_PART_META] = "meta" };

	return json_pack("{s:s, s:I, s:I, s:I, s:I}", "kind", kinds[p->kind], "layer",
			 (json_int_t)p->layer, "disk_off", (json_int_t)p->disk_off, "file_off",
			 (json_int_t)p->file_off, "len", (json_int_t)p->len);
}

static int merge_reply(const struct merge_result *m, struct err *e)
{
	json_t *parts = json_array();

	for (uint32_t i = 0; i < m->n_parts; i++)
		if (json_array_append_new(parts, part_json(&m->parts[i])) < 0) {
			json_decref(parts);
			return err_set(e, ENOMEM, "reply");
		}
	return reply(json_pack("{s:I, s:I, s:I, s:o}", "disk_len", (json_int_t)m->disk_len,
			       "meta_len", (json_int_t)m->meta_len, "inodes",
			       (json_int_t)m->n_inodes, "parts", parts),
		     e);
}

static int count_get(const char *s, uint32_t *ret, struct err *e)
{
	char *end;
	unsigned long v = strtoul(s, &end, 10);

	if (*s < '0' || *s > '9' || *end || v > MERGE_LAYERS_MAX)
		return err_plain(e, EINVAL, "bad count of layers");
	*ret = (uint32_t)v;
	return 0;
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

static int uuid_get(const char *s, uint8_t ret[UUID_SIZE], struct err *e)
{
	for (size_t i = 0; i < 2UL * UUID_SIZE; i++) {
		int v = hex_digit(s[i]);

		if (v < 0)
			return err_plain(e, EINVAL, "bad uuid");
		ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | v);
	}
	return s[2UL * UUID_SIZE] ? err_plain(e, EINVAL, "bad uuid") : 0;
}

static int merge_run(const char *count, const char *uuid_hex, struct err *e)
{
	static struct merge_layer layers[MERGE_LAYERS_MAX];
	static struct merge_result result;
	const struct sandbox_policy policy = { .kind = SANDBOX_UNPACK };
	uint8_t uuid[UUID_SIZE] = { 0 };
	uint32_t n = 0;

	if (count_get(count, &n, e) < 0 || uuid_get(uuid_hex, uuid, e) < 0 ||
	    sandbox_enter(&policy, e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < n; i++)
		if (tree_map(FIRST_FD + (int)i, &layers[i], e) < 0)
			return err_wrap(e, "layer %u", i);
	if (merge_layers(layers, n, uuid, FIRST_FD + (int)n, &result, e) < 0)
		return -e->code;
	return merge_reply(&result, e);
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	int r;

	log_init("caisson-unpack", LOG_LEVEL_WARN, STDERR_FILENO);
	if (argc == 2 && strcmp(argv[1], "layer") == 0)
		r = layer_run(&e);
	else if (argc == 4 && strcmp(argv[1], "merge") == 0)
		r = merge_run(argv[2], argv[3], &e);
	else
		r = err_plain(&e, EINVAL, "usage: caisson-unpack layer | merge COUNT UUID");
	if (r == 0)
		return 0;
	fail(&e);
	return 1;
}
