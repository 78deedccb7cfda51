/* SPDX-License-Identifier: MIT */
/* test_volume.c - volumes in the database, and the machines that have them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <string.h>

#include "vm_record.h"
#include "volume.h"

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
		"CREATE TABLE volumes(name TEXT PRIMARY KEY, config TEXT NOT NULL);"
		"CREATE TABLE machine_volumes(machine TEXT NOT NULL REFERENCES machines(id)"
		" ON DELETE CASCADE, volume TEXT NOT NULL REFERENCES volumes(name),"
		" PRIMARY KEY(machine, volume));"
		"INSERT INTO images VALUES('sha256:i')",
		NULL, NULL, NULL);
}

static int teardown(void **state)
{
	return sqlite3_close(*state);
}

static void add(sqlite3 *db, const char *name)
{
	struct volume v = { .driver = "vhd", .created_ns = 7, .size = 1U << 30 };
	struct err e = { 0 };

	snprintf(v.name, sizeof(v.name), "%s", name);
	assert_int_equal(strv_add(&v.labels, "a=b"), 0);
	assert_int_equal(volume_record_add(db, &v, &e), 0);
	assert_int_equal(volume_record_add(db, &v, &e), -EEXIST);
	volume_done(&v);
}

/* A machine that has the volumes, one of them twice. */
static int machine_add(sqlite3 *db, const char *one, const char *two, struct err *e)
{
	struct machine_mount m[] = {
		{ MACHINE_MOUNT_VOLUME, (char *)one, (char *)"/a", NULL, false },
		{ MACHINE_MOUNT_VOLUME, (char *)two, (char *)"/b", NULL, false },
		{ MACHINE_MOUNT_VOLUME, (char *)two, (char *)"/c", NULL, false }
	};
	const struct machine_config c = { .id = "aa",
					  .name = "mm",
					  .image_id = "sha256:i",
					  .mounts = m,
					  .n_mounts = ARRAY_SIZE(m) };
	const struct machine_state s = { .status = MACHINE_CREATED };

	return vm_record_add(db, &c, &s, e);
}

static void names(void **state)
{
	static const struct {
		const char *name;
		int rc;
	} t[] = { { "ab", 0 },         { "a.b-c_1", 0 },       { "0a", 0 },
		  { "", -EINVAL },     { "a", -EINVAL },       { ".a", -EINVAL },
		  { "..", -EINVAL },   { "_a", -EINVAL },      { "-a", -EINVAL },
		  { "a/b", -EINVAL },  { "a b", -EINVAL },     { "a:b", -EINVAL },
		  { "a\nb", -EINVAL }, { "\xc3\xa4", -EINVAL } };
	char lengthy[VOLUME_NAME_MAX + 2];
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		if (volume_name_check(t[i].name, &e) != t[i].rc)
			fail_msg("%s", t[i].name);
	memset(lengthy, 'a', sizeof(lengthy));
	lengthy[VOLUME_NAME_MAX + 1] = '\0';
	assert_int_equal(volume_name_check(lengthy, &e), -EINVAL);
	assert_int_equal(volume_name_check(lengthy + 1, &e), 0);
}

static void life(void **state)
{
	sqlite3 *db = *state;
	struct strv list = { 0 };
	struct volume v;
	struct err e = { 0 };

	assert_int_equal(volume_record_get(db, "v2", &v, &e), -ENOENT);
	assert_string_equal(e.msg, "get v2: no such volume");
	add(db, "v2");
	add(db, "v1");
	assert_int_equal(volume_record_get(db, "v2", &v, &e), 0);
	assert_string_equal(v.name, "v2");
	assert_string_equal(v.driver, "vhd");
	assert_string_equal(v.labels.v[0], "a=b");
	assert_true(v.size == 1U << 30 && v.created_ns == 7 && !v.is_anonymous);
	volume_done(&v);
	assert_int_equal(volume_record_list(db, &list, &e), 0);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.v[0], "v1");
	strv_done(&list);
	assert_int_equal(volume_record_remove(db, "v1", &e), 0);
	assert_int_equal(volume_record_remove(db, "v1", &e), -ENOENT);
}

static void held_by_machines(void **state)
{
	sqlite3 *db = *state;
	struct strv ids = { 0 };
	struct err e = { 0 };

	add(db, "v1");
	assert_int_equal(machine_add(db, "v1", "v2", &e), -ENOENT);
	assert_non_null(strstr(e.msg, "v2: no such volume"));
	/* taken back whole: the volume is free, the name, too */
	assert_int_equal(volume_record_users(db, "v1", &ids, &e), 0);
	assert_int_equal(ids.n, 0);
	add(db, "v2");
	assert_int_equal(machine_add(db, "v1", "v2", &e), 0);
	assert_int_equal(volume_record_remove(db, "v2", &e), -EBUSY);
	assert_string_equal(e.msg, "remove v2: volume is in use - [aa]");
	assert_int_equal(vm_record_remove(db, "aa", &e), 0);
	assert_int_equal(volume_record_remove(db, "v2", &e), 0);
}

static void transactions(void **state)
{
	sqlite3 *db = *state;
	struct err e = { 0 };

	add(db, "v1");
	assert_int_equal(volume_record_begin(db, VOLUME_TXN_DURABLE, &e), 0);
	assert_int_equal(volume_record_remove(db, "v1", &e), 0);
	assert_int_equal(volume_record_end(db, -EIO, &e), -EIO);
	assert_int_equal(volume_record_begin(db, VOLUME_TXN_FAST, &e), 0);
	assert_int_equal(volume_record_remove(db, "v1", &e), 0);
	assert_int_equal(volume_record_end(db, 0, &e), 0);
	assert_int_equal(volume_record_remove(db, "v1", &e), -ENOENT);
}

static void damaged_rows(void **state)
{
	static const char *const t[] = {
		"UPDATE volumes SET config = ''",
		"UPDATE volumes SET config = '{}'",
		"UPDATE volumes SET config = '{\"size\":0,\"labels\":[],\"options\":[]}'",
		"UPDATE volumes SET config = '{\"size\":-1,\"labels\":[],\"options\":[]}'",
		"UPDATE volumes SET config = '{\"size\":1,\"labels\":[1],\"options\":[]}'",
		"UPDATE volumes SET config = '{\"size\":1,\"labels\":[\"a\"],\"options\":{}}'",
	};
	sqlite3 *db = *state;
	struct volume v;
	struct err e = { 0 };

	add(db, "v1");
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(sqlite3_exec(db, t[i], NULL, NULL, NULL), SQLITE_OK);
		if (volume_record_get(db, "v1", &v, &e) != -EBADMSG)
			fail_msg("row %zu", i);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(names),
		TEST(life),
		TEST(held_by_machines),
		TEST(transactions),
		TEST(damaged_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
