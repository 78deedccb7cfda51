/* SPDX-License-Identifier: MIT */
/* test_vm_record.c - machines in the database */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <string.h>

#include "vm_record.h"

static int setup(void **state)
{
	sqlite3 *db;

	if (sqlite3_open(":memory:", &db) != SQLITE_OK)
		return -1;
	*state = db;
	return sqlite3_exec(
		db,
		"PRAGMA foreign_keys=ON; CREATE TABLE images(id TEXT PRIMARY KEY);"
		"CREATE TABLE machines(id TEXT PRIMARY KEY, name TEXT UNIQUE, image_id TEXT"
		" REFERENCES images(id), config TEXT, state TEXT);"
		"INSERT INTO images VALUES('sha256:i')",
		NULL, NULL, NULL);
}

static int teardown(void **state)
{
	return sqlite3_close(*state);
}

static int add(sqlite3 *db, const char *id, const char *name, int64_t created, struct err *e)
{
	struct machine_config c = { .created_ns = created, .image_id = "sha256:i" };
	struct machine_state s = { .status = MACHINE_CREATED };

	snprintf(c.id, sizeof(c.id), "%s", id);
	snprintf(c.name, sizeof(c.name), "%s", name);
	return vm_record_add(db, &c, &s, e);
}

static void life(void **state)
{
	sqlite3 *db = *state;
	struct machine_config c;
	struct machine_state s;
	struct err e = { 0 };

	assert_int_equal(add(db, "aa11", "one", 5, &e), 0);
	assert_int_equal(vm_record_get(db, "aa11", &c, &s, &e), 0);
	assert_string_equal(c.name, "one");
	assert_int_equal(s.status, MACHINE_CREATED);
	s.status = MACHINE_EXITED;
	s.exit_code = 3;
	assert_int_equal(vm_record_set_state(db, "aa11", &s, &e), 0);
	machine_config_done(&c);
	machine_state_done(&s);
	assert_int_equal(vm_record_get(db, "aa11", &c, &s, &e), 0);
	assert_int_equal(s.exit_code, 3);
	c.mem_bytes = 64 << 20;
	assert_int_equal(vm_record_set_config(db, &c, &e), 0);
	machine_config_done(&c);
	machine_state_done(&s);
	assert_int_equal(vm_record_get(db, "aa11", &c, &s, &e), 0);
	assert_true(c.mem_bytes == 64 << 20 && strcmp(c.name, "one") == 0 && s.exit_code == 3);
	machine_config_done(&c);
	machine_state_done(&s);
	assert_int_equal(vm_record_set_dead(db, "aa11", &e), 0);
	assert_int_equal(vm_record_set_dead(db, "none", &e), 0);
	assert_int_equal(vm_record_get(db, "aa11", &c, &s, &e), 0);
	assert_int_equal(s.status, MACHINE_DEAD);
	assert_int_equal(s.exit_code, 3); /* the rest of the state stays */
	machine_config_done(&c);
	machine_state_done(&s);
	assert_int_equal(vm_record_get(db, "aa", &c, &s, &e), -ENOENT); /* no prefixes here */
	assert_int_equal(vm_record_remove(db, "aa11", &e), 0);
	assert_int_equal(vm_record_remove(db, "aa11", &e), 0);
	assert_int_equal(vm_record_get(db, "aa11", &c, &s, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "No such container: aa11"));
}

static void conflicts(void **state)
{
	sqlite3 *db = *state;
	struct machine_config c = { .id = "cc", .name = "three", .image_id = "sha256:none" };
	struct machine_state s = { .status = MACHINE_CREATED };
	struct err e = { 0 };

	assert_int_equal(add(db, "aa", "one", 1, &e), 0);
	assert_int_equal(add(db, "bb", "one", 2, &e), -EEXIST);
	assert_non_null(strstr(e.msg, "\"/one\" is already in use by container \"aa\""));
	assert_int_equal(add(db, "aa", "two", 2, &e), -EEXIST);
	assert_non_null(strstr(e.msg, "id aa"));
	assert_int_equal(vm_record_add(db, &c, &s, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "No such image"));
	snprintf(c.image_id, sizeof(c.image_id), "sha256:i");
	c.user = (char[]){ "\xff" }; /* no UTF-8: JSON cannot hold it */
	assert_int_equal(vm_record_add(db, &c, &s, &e), -EINVAL);
}

static void found(void **state)
{
	static const struct {
		const char *name, *id;
		int rc;
	} t[] = {
		{ "one", "aa11", 0 },       { "/one", "aa11", 0 },
		{ "aa11", "aa11", 0 },      { "aa1", "aa11", 0 },
		{ "b", "bb11", 0 },         { "abc", "cc33", 0 },
		{ "aa", NULL, -EINVAL },    { "", NULL, -ENOENT },
		{ "/", NULL, -ENOENT },     { "x", NULL, -ENOENT },
		{ "%", NULL, -ENOENT },     { "a_11", NULL, -ENOENT },
		{ "on", NULL, -ENOENT },    { "AA1", NULL, -ENOENT },
		{ "aa111", NULL, -ENOENT }, { "' OR 1 --", NULL, -ENOENT },
	};
	sqlite3 *db = *state;
	struct err e = { 0 };

	assert_int_equal(add(db, "aa11", "one", 1, &e), 0);
	assert_int_equal(add(db, "aa22", "two", 2, &e), 0);
	assert_int_equal(add(db, "bb11", "three", 3, &e), 0);
	assert_int_equal(add(db, "cc33", "abc", 4, &e), 0); /* a name goes before an id */
	assert_int_equal(add(db, "abcd", "four", 5, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char id[MACHINE_ID_LEN + 1] = "";

		memset(&e, 0, sizeof(e));
		if (vm_record_find(db, t[i].name, id, &e) != t[i].rc)
			fail_msg("%s: %s", t[i].name, e.msg);
		if (t[i].id)
			assert_string_equal(id, t[i].id);
	}
}

static void listed_newest_first(void **state)
{
	sqlite3 *db = *state;
	struct strv ids = { 0 };
	struct err e = { 0 };

	assert_int_equal(vm_record_list(db, &ids, &e), 0);
	assert_int_equal(ids.n, 0);
	assert_int_equal(add(db, "aa", "one", 1, &e), 0);
	assert_int_equal(add(db, "bb", "two", 3, &e), 0);
	assert_int_equal(add(db, "cc", "three", 2, &e), 0);
	assert_int_equal(vm_record_list(db, &ids, &e), 0);
	assert_int_equal(ids.n, 3);
	assert_string_equal(ids.v[0], "bb");
	assert_string_equal(ids.v[1], "cc");
	assert_string_equal(ids.v[2], "aa");
	strv_done(&ids);
}

static void damaged_rows(void **state)
{
	static const char *const t[] = {
		"UPDATE machines SET config = NULL",
		"UPDATE machines SET config = '{'",
		"UPDATE machines SET config = '[]'",
		"UPDATE machines SET config = '{\"cpus\":\"x\"}'",
		"UPDATE machines SET config = '{}', state = '{}'",
		"UPDATE machines SET config = '{\"user\":\"u\"}', state = NULL",
	};
	sqlite3 *db = *state;
	struct machine_config c;
	struct machine_state s;
	struct err e = { 0 };

	assert_int_equal(add(db, "aa", "one", 1, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(sqlite3_exec(db, t[i], NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(vm_record_get(db, "aa", &c, &s, &e), -EBADMSG);
	}
	assert_int_equal(sqlite3_exec(db, "DROP TABLE machines", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(vm_record_get(db, "aa", &c, &s, &e), -EIO);
	assert_int_equal(vm_record_remove(db, "aa", &e), -EIO);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(life),
		TEST(conflicts),
		TEST(found),
		TEST(listed_newest_first),
		TEST(damaged_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
