/* SPDX-License-Identifier: MIT */
/* test_failnth.c - machines and their records when memory is short */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <string.h>

#include "failnth.h"
#include "json_text.h"
#include "vm_record.h"

#define ID    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char *words[] = { (char[]){ "A=a value that is not short" }, (char[]){ "B=2" }, NULL };
static struct machine_port ports[] = { { "127.0.0.1", 8080, 80, false }, { "", 0, 53, true } };
static struct machine_mount mounts[] = {
	{ MACHINE_MOUNT_BIND, (char[]){ "/a" }, (char[]){ "/b" }, NULL, true },
	{ MACHINE_MOUNT_TMPFS, NULL, (char[]){ "/t" }, (char[]){ "size=64m" }, false },
};

static const struct machine_config config = {
	.id = ID,
	.name = "one",
	.created_ns = 5,
	.image_ref = (char[]){ "nginx:latest" },
	.image_id = "sha256:i",
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
static const struct machine_state running = { .status = MACHINE_RUNNING,
					      .error = "an error that is not short",
					      .accel_reason = "a reason that is not short",
					      .ports = ports,
					      .n_ports = 2,
					      .ip = "10.0.2.15" };

static char *config_text(const struct machine_config *c)
{
	json_t *j = machine_config_to_json(c);
	char *text = json_text(j, JSON_COMPACT | JSON_SORT_KEYS);

	json_decref(j);
	return text;
}

static char *state_text(const struct machine_state *s)
{
	json_t *j = machine_state_to_json(s);
	char *text = json_text(j, JSON_COMPACT | JSON_SORT_KEYS);

	json_decref(j);
	return text;
}

static char *want_config, *want_state;

/* No field gets lost on the way to text and back. */
static int config_there_and_back(void *arg, struct err *e)
{
	auto_free char *text = config_text(&config), *again = NULL;
	struct machine_config c = { 0 };
	json_t *j;
	int rc;

	(void)arg;
	if (!text)
		return err_set(e, ENOMEM, "config");
	assert_string_equal(text, want_config);
	j = json_parse(text, strlen(text), 0, NULL);
	if (!j)
		return err_set(e, ENOMEM, "parse");
	rc = machine_config_from_json(j, &c, e);
	json_decref(j);
	if (rc < 0)
		return rc;
	again = config_text(&c);
	machine_config_done(&c);
	if (!again)
		return err_set(e, ENOMEM, "config");
	assert_string_equal(again, want_config);
	return 0;
}

static int state_there_and_back(void *arg, struct err *e)
{
	auto_free char *text = state_text(&running), *again = NULL;
	struct machine_state s = { 0 };
	json_t *j;
	int rc;

	(void)arg;
	if (!text)
		return err_set(e, ENOMEM, "state");
	assert_string_equal(text, want_state);
	j = json_parse(text, strlen(text), 0, NULL);
	if (!j)
		return err_set(e, ENOMEM, "parse");
	rc = machine_state_from_json(j, &s, e);
	json_decref(j);
	if (rc < 0)
		return rc;
	again = state_text(&s);
	machine_state_done(&s);
	if (!again)
		return err_set(e, ENOMEM, "state");
	assert_string_equal(again, want_state);
	return 0;
}

static int record(void *arg, struct err *e)
{
	struct machine_config c = { 0 };
	struct machine_state s = { 0 };
	struct strv ids = { 0 };
	sqlite3 *db = arg;
	char id[MACHINE_ID_LEN + 1];

	if (vm_record_add(db, &config, &(struct machine_state){ 0 }, e) < 0 ||
	    vm_record_set_state(db, ID, &running, e) < 0 || vm_record_find(db, "aaa", id, e) < 0 ||
	    vm_record_get(db, id, &c, &s, e) < 0)
		return -e->code;
	assert_string_equal(c.cwd, config.cwd);
	assert_string_equal(s.error, running.error);
	machine_config_done(&c);
	machine_state_done(&s);
	if (vm_record_list(db, &ids, e) < 0) {
		strv_done(&ids); /* what it has found so far */
		return -e->code;
	}
	assert_int_equal(ids.n, 2);
	strv_done(&ids);
	return vm_record_remove(db, ID, e);
}

/* The other machine is as it was; this one is whole or not there. */
static void recorded_or_not(void *arg, int rc)
{
	struct machine_config c = { 0 };
	struct machine_state s = { 0 };
	sqlite3 *db = arg;
	struct err e = { 0 };

	if (vm_record_get(db, OTHER, &c, &s, &e) < 0)
		fail_msg("%s", e.msg);
	machine_config_done(&c);
	machine_state_done(&s);
	if (vm_record_get(db, ID, &c, &s, &e) < 0) {
		assert_int_equal(e.code, ENOENT);
		return;
	}
	assert_true(rc < 0);
	machine_state_done(&s);
	{
		auto_free char *text = config_text(&c);

		assert_string_equal(text, want_config);
	}
	machine_config_done(&c);
	assert_int_equal(vm_record_remove(db, ID, &e), 0);
}

static void each(void **state)
{
	struct machine_config other = { .id = OTHER, .name = "two", .image_id = "sha256:i" };
	struct err e = { 0 };
	sqlite3 *db;
	const struct failnth t[] = {
		{ "config", config_there_and_back, NULL, NULL, FAIL_ALLOC, NULL },
		{ "state", state_there_and_back, NULL, NULL, FAIL_ALLOC, NULL },
	};

	(void)state;
	want_config = config_text(&config);
	want_state = state_text(&running);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		failnth_run(&t[i]);
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				      "CREATE TABLE images(id TEXT PRIMARY KEY);"
				      "CREATE TABLE machines(id TEXT PRIMARY KEY, name TEXT UNIQUE,"
				      " image_id TEXT REFERENCES images(id), config TEXT, state"
				      " TEXT); INSERT INTO images VALUES('sha256:i')",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(vm_record_add(db, &other, &(struct machine_state){ 0 }, &e), 0);
	failnth_run(&(struct failnth){ "record", record, recorded_or_not, db, FAIL_ALLOC, NULL });
	sqlite3_close(db);
	free(want_config);
	free(want_state);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
