/* SPDX-License-Identifier: MIT */
/* test_failnth.c - what the engine shows when memory is short: all of it, or an error */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "engine.h"
#include "failnth.h"
#include "json_text.h"
#include "store_fixture.h"
#include "vm_record.h"
#include "volume.h"

#define N_FINDINGS 10U /* on a host without a VMM */
#define ID         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct fixture_image image = {
	{ "base" },
	1,
	"{\"created\":\"2026-01-01T00:00:00Z\",\"os\":\"linux\","
	"\"config\":{\"Env\":[\"A=1\"],\"Labels\":{\"a\":\"b\"}},"
	"\"rootfs\":{\"diff_ids\":[\"sha256:x\"]}}",
	"docker.io/library/one:latest",
	NULL
};

static char *words[] = { (char[]){ "A=a value that is not short" }, (char[]){ "B=2" }, NULL };
static struct machine_port ports[] = { { "127.0.0.1", 8080, 80, false }, { "", 0, 53, true } };
static struct machine_mount mounts[] = {
	{ MACHINE_MOUNT_BIND, (char[]){ "/a" }, (char[]){ "/b" }, NULL, true },
	{ MACHINE_MOUNT_TMPFS, NULL, (char[]){ "/t" }, (char[]){ "size=64m" }, false },
};
static struct machine_config config = {
	.id = ID,
	.name = "one",
	.created_ns = 5,
	.image_ref = (char[]){ "nginx:latest" },
	.entrypoint = { words, 1 },
	.cmd = { words, 2 },
	.env = { words, 2 },
	.labels = { words, 2 },
	.user = (char[]){ "user:group" },
	.cwd = (char[]){ "/a/working/directory" },
	.hostname = (char[]){ "host" },
	.stop_signal = (char[]){ "SIGTERM" },
	.platform = (char[]){ "linux/amd64" },
	.stop_timeout_s = 7,
	.ports = ports,
	.n_ports = 2,
	.mounts = mounts,
	.n_mounts = 2,
	.dns = { words, 2 },
	.extra_hosts = { words, 2 },
	.has_network = true,
	.exposed = { words, 2 },
};

/* Findings may differ when memory is short, but none is missing or in part. */
static int doctor(void *arg, struct err *e)
{
	struct engine *g = arg;
	json_t *list, *o;
	bool has_vmm;
	size_t i, n;

	if (engine_doctor(g, &list, e) < 0)
		return -e->code;
	n = json_array_size(list);
	has_vmm = strcmp(json_string_value(json_object_get(json_array_get(list, 0), "status")),
			 "ok") == 0; /* then its accelerator is told too */
	json_array_foreach (list, i, o)
		assert_int_equal(json_object_size(o), 4);
	json_decref(list);
	assert_int_equal(n, N_FINDINGS + has_vmm);
	return 0;
}

/* What can be shown, by whom; `want` is what is shown when nothing fails. */
struct shown {
	const char *name;
	int (*show)(struct engine *g, json_t **ret, struct err *e);
	struct engine *g;
	char *want;
};

static int machine_list(struct engine *g, json_t **ret, struct err *e)
{
	return engine_machine_list(g, true, ret, e);
}

static int machine_inspect(struct engine *g, json_t **ret, struct err *e)
{
	return engine_machine_inspect(g, ID, ret, e);
}

static int image_inspect(struct engine *g, json_t **ret, struct err *e)
{
	return engine_image_inspect(g, image.tag_ref, ret, e);
}

static int volume_inspect(struct engine *g, json_t **ret, struct err *e)
{
	return engine_volume_inspect(g, "vol", ret, e);
}

static struct shown shown[] = {
	{ "machine list", machine_list, NULL, NULL },
	{ "machine inspect", machine_inspect, NULL, NULL },
	{ "image list", engine_image_list, NULL, NULL },
	{ "image inspect", image_inspect, NULL, NULL },
	{ "volume list", engine_volume_list, NULL, NULL },
	{ "volume inspect", volume_inspect, NULL, NULL },
};

static char *shown_text(const struct shown *s, struct err *e)
{
	json_t *j = NULL;
	char *text;

	if (s->show(s->g, &j, e) < 0)
		return NULL;
	text = json_text(j, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(j);
	if (!text)
		(void)err_set(e, ENOMEM, "text");
	return text;
}

static int show(void *arg, struct err *e)
{
	const struct shown *s = arg;
	auto_free char *text = shown_text(s, e);

	if (!text)
		return -e->code;
	assert_string_equal(text, s->want);
	return 0;
}

static void fill(struct engine *g)
{
	const struct volume vol = {
		.name = "vol", .driver = "vhd", .size = 1 << 30, .labels = { words, 2 }
	};
	struct sqlite3 *db = store_db(engine_store(g));
	struct err e = { 0 };

	if (fixture_ingest(engine_store(g), &image, config.image_id, &e) < 0 ||
	    vm_record_add(db, &config, &(struct machine_state){ 0 }, &e) < 0 ||
	    volume_record_add(db, &vol, &e) < 0)
		fail_msg("%s", e.msg);
}

static void all_or_an_error(void **state)
{
	struct store_dir dir;
	struct err e = { 0 };
	struct engine *g;

	(void)state;
	assert_int_equal(store_dir_make(&dir), 0);
	assert_int_equal(
		engine_open(&(struct engine_options){ dir.root, dir.run, "/none" }, &g, &e), 0);
	fill(g);
	failnth_run(&(struct failnth){ "doctor", doctor, NULL, g, FAIL_ALLOC, NULL });
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		shown[i].g = g;
		shown[i].want = shown_text(&shown[i], &e);
		assert_non_null(shown[i].want);
		failnth_run(&(struct failnth){ shown[i].name, show, NULL, &shown[i], FAIL_ALLOC,
					       NULL });
		free(shown[i].want);
	}
	engine_close(g);
	assert_int_equal(store_dir_remove(&dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_or_an_error) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
