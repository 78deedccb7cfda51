/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fdio.h"
#include "store_fixture.h"

static int setup(void **state)
{
	static struct store_dir d;

	*state = &d;
	return store_dir_make(&d);
}

static int teardown(void **state)
{
	return store_dir_remove(*state);
}

static void opens_and_makes_the_layout(void **state)
{
	static const char *const names[] = { "oci-layout", "index.json", "blobs/sha256",
					     "partial",    "layers",     "images",
					     "kernels",    "templates",  "parents",
					     "machines" };
	struct store_dir *d = *state;
	struct err e = { 0 };
	struct store *s;
	struct stat st;

	assert_int_equal(store_open(d->root, d->run, &s, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(faccessat(store_root_fd(s), names[i], F_OK, 0), 0);
	assert_int_equal(faccessat(store_run_fd(s), "machines", F_OK, 0), 0);
	assert_int_equal(fstat(store_root_fd(s), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_string_equal(store_root_path(s), d->root);
	/* the database waits until somebody asks */
	assert_int_not_equal(faccessat(store_root_fd(s), "caisson.db", F_OK, 0), 0);
	assert_non_null(store_db(s));
	assert_int_equal(faccessat(store_root_fd(s), "caisson.db", F_OK, 0), 0);
	store_close(s);
	store_close(NULL);
}

static void second_opening_changes_nothing(void **state)
{
	struct store_dir *d = *state;
	struct stat before, after, run_before, run_after;
	struct err e = { 0 };
	struct store *s;

	assert_int_equal(store_open(d->root, d->run, &s, &e), 0);
	store_close(s);
	assert_int_equal(stat(d->root, &before), 0);
	assert_int_equal(stat(d->run, &run_before), 0);
	assert_int_equal(store_open(d->root, d->run, &s, &e), 0);
	store_close(s);
	assert_int_equal(stat(d->root, &after), 0);
	assert_int_equal(stat(d->run, &run_after), 0);
	assert_memory_equal(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim));
	assert_memory_equal(&run_before.st_ctim, &run_after.st_ctim, sizeof(before.st_ctim));
}

static void run_directory_comes_back_after_a_reboot(void **state)
{
	struct store_dir *d = *state;
	struct err e = { 0 };
	struct store *s;

	assert_int_equal(store_open(d->root, d->run, &s, &e), 0);
	store_close(s);
	assert_int_equal(tree_remove_at(AT_FDCWD, d->run, &e), 0);
	assert_int_equal(store_open(d->root, d->run, &s, &e), 0);
	assert_int_equal(faccessat(store_run_fd(s), "templates", F_OK, 0), 0);
	store_close(s);
}

static void places_come_from_the_environment(void **state)
{
	struct store_dir *d = *state;
	char data[128];
	struct err e = { 0 };
	struct store *s;

	setenv("CAISSON_ROOT", d->root, 1);
	setenv("CAISSON_RUN", d->run, 1);
	assert_int_equal(store_open(NULL, NULL, &s, &e), 0);
	assert_string_equal(store_root_path(s), d->root);
	assert_string_equal(store_run_path(s), d->run);
	store_close(s);
	/* a relative path is made absolute: other processes are told of it */
	assert_int_equal(chdir(d->dir.path), 0);
	assert_int_equal(store_open("rel/store", "rel/run", &s, &e), 0);
	snprintf(data, sizeof(data), "%s/rel/store", d->dir.path);
	assert_string_equal(store_root_path(s), data);
	store_close(s);
	assert_int_equal(chdir("/"), 0);
	unsetenv("CAISSON_ROOT");
	unsetenv("CAISSON_RUN");
}

static void refuses_a_root_that_is_not_private(void **state)
{
	struct store_dir *d = *state;
	char file[100];
	struct err e = { 0 };
	struct store *s;

	assert_int_equal(store_open(d->root, d->run, &s, &e), 0);
	store_close(s);
	assert_int_equal(chmod(d->root, 0777), 0);
	assert_int_equal(store_open(d->root, d->run, &s, &e), -EPERM);
	assert_non_null(strstr(e.msg, "written by others"));
	assert_int_equal(chmod(d->root, 0700), 0);
	snprintf(file, sizeof(file), "%s/file", d->dir.path);
	assert_int_equal(fixture_write(AT_FDCWD, file, "x", 1, &e), 0);
	assert_int_equal(store_open(file, d->run, &s, &e), -ENOTDIR);
	if (geteuid() == 0) {
		assert_int_equal(chown(d->root, 12345, 12345), 0);
		assert_int_equal(store_open(d->root, d->run, &s, &e), -EPERM);
		assert_non_null(strstr(e.msg, "another user"));
	}
}

static void database_errors_are_told(void **state)
{
	struct store_dir *d = *state;
	char name[128];
	struct err e = { 0 };
	struct store *s;
	struct store_image *list;
	uint32_t n;

	snprintf(name, sizeof(name), "%s/caisson.db", d->root);
	assert_int_equal(store_open(d->root, d->run, &s, &e), 0);
	assert_int_equal(fixture_write(AT_FDCWD, name,
				       "this is no database, and it is long enough "
				       "for a header of one hundred bytes in all, "
				       "is it not? Let it be longer still.",
				       120, &e),
			 0);
	assert_int_equal(store_image_list(s, &list, &n, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "caisson.db is damaged"));
	assert_null(store_db(s));
	assert_int_equal(store_db_error(s)->code, EBADMSG);
	/* moved away, it is made anew */
	assert_int_equal(unlink(name), 0);
	assert_int_equal(store_image_list(s, &list, &n, &e), 0);
	assert_int_equal(n, 0);
	free(list);
	store_close(s);
}

static void newer_database_is_refused(void **state)
{
	struct store_dir *d = *state;
	struct err e = { 0 };
	struct store *s;
	struct store_image *list;
	uint32_t n;

	assert_int_equal(store_open(d->root, d->run, &s, &e), 0);
	assert_non_null(store_db(s));
	assert_int_equal(sqlite3_exec(store_db(s), "PRAGMA user_version=99", NULL, NULL, NULL), 0);
	store_close(s);
	assert_int_equal(store_open(d->root, d->run, &s, &e), 0);
	assert_int_equal(store_image_list(s, &list, &n, &e), -EPROTO);
	assert_non_null(strstr(e.msg, "newer caisson"));
	store_close(s);
}

static void machines_table_is_there(void **state)
{
	struct store_dir *d = *state;
	struct err e = { 0 };
	struct store *s;

	assert_int_equal(store_open(d->root, d->run, &s, &e), 0);
	assert_int_equal(sqlite3_exec(store_db(s),
				      "INSERT INTO machines VALUES('i','n',NULL,'{}','{}')", NULL,
				      NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_exec(store_db(s),
				      "INSERT INTO machines VALUES('j','n',NULL,'{}','{}')", NULL,
				      NULL, NULL),
			 SQLITE_CONSTRAINT_UNIQUE);
	/* of an image that is there, or of none */
	assert_int_equal(sqlite3_exec(store_db(s),
				      "INSERT INTO machines VALUES('k','k','m','{}','{}')", NULL,
				      NULL, NULL),
			 SQLITE_CONSTRAINT_FOREIGNKEY);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(opens_and_makes_the_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(second_opening_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(run_directory_comes_back_after_a_reboot, setup,
						teardown),
		cmocka_unit_test_setup_teardown(places_come_from_the_environment, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_a_root_that_is_not_private, setup,
						teardown),
		cmocka_unit_test_setup_teardown(database_errors_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(newer_database_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(machines_table_is_there, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
