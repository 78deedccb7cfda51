/* SPDX-License-Identifier: MIT */
/*
 * store.c - where the store is, and making it
 *
 * Opening is on the path of every command: when all is there it costs a few system calls, changes
 * nothing, and leaves the database alone until somebody asks for it. `oci-layout` is written last,
 * so its presence says that the directories beside it were made.
 * The root directory belongs to the caller and nobody else may write in it, so that names inside
 * need no further care; what an unprivileged process must read goes to it as a descriptor.
 */
#include "store.h"

#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#include "fdio.h"
#include "store_internal.h"

#define LAYOUT_NAME "oci-layout"
#define LAYOUT_TEXT "{\"imageLayoutVersion\":\"1.0.0\"}\n"
#define INDEX_EMPTY                                                                                \
	"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\","          \
	"\"manifests\":[]}"

static int path_absolute(const char *path, char **ret, struct err *e)
{
	char cwd[PATH_MAX];

	if (*path == '/') {
		*ret = strdup(path);
		return *ret ? 0 : err_set(e, ENOMEM, "store path");
	}
	if (!getcwd(cwd, sizeof(cwd)))
		return err_set(e, errno, "current directory");
	return asprintf(ret, "%s/%s", cwd, path) < 0 ? err_set(e, ENOMEM, "store path") : 0;
}

static int home_path(char **ret, struct err *e)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

	if (data && *data == '/')
		return asprintf(ret, "%s/caisson", data) < 0 ? err_set(e, ENOMEM, "store path") : 0;
	if (!home || *home != '/') {
		const struct passwd *pw = getpwuid(geteuid());

		home = pw ? pw->pw_dir : NULL;
	}
	if (!home || *home != '/')
		return err_plain(e, ENOENT, "no home directory for the store: set CAISSON_ROOT");
	return asprintf(ret, "%s/.local/share/caisson", home) < 0 ? err_set(e, ENOMEM, "store path")
								  : 0;
}

static int root_choose(const char *root, char **ret, struct err *e)
{
	if (!root || !*root)
		root = getenv("CAISSON_ROOT");
	if (root && *root)
		return path_absolute(root, ret, e);
	return geteuid() == 0 ? path_absolute("/var/lib/caisson", ret, e) : home_path(ret, e);
}

static int run_choose(const char *run, char **ret, struct err *e)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	int n;

	if (!run || !*run)
		run = getenv("CAISSON_RUN");
	if (run && *run)
		return path_absolute(run, ret, e);
	if (geteuid() == 0)
		return path_absolute("/run/caisson", ret, e);
	if (xdg && *xdg == '/')
		n = asprintf(ret, "%s/caisson", xdg);
	else
		n = asprintf(ret, "/tmp/caisson-%u", (unsigned)geteuid());
	return n < 0 ? err_set(e, ENOMEM, "store path") : 0;
}

/* Made with its parents when it is not there. */
static int dir_open_own(const char *path, int flags, int *ret_fd, struct err *e)
{
	auto_fd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
	struct stat st;

	if (fd < 0 && errno == ENOENT) {
		if (dir_make_at(AT_FDCWD, path, 0700, e) < 0)
			return -e->code;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
	}
	if (fd < 0)
		return err_set(e, errno, "open %s", path);
	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "stat %s", path);
	if (st.st_uid != geteuid())
		return err_plain(e, EPERM, "%s belongs to another user (uid %u)", path,
				 (unsigned)st.st_uid);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* After the set-up, which makes a new directory private. */
static int dir_check_private(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "stat %s", path);
	if (st.st_mode & 022)
		return err_plain(e, EPERM,
				 "%s can be written by others: chmod it to 0700 if that is right",
				 path);
	return 0;
}

static int root_set_up(struct store *s, struct err *e)
{
	static const char *const dirs[] = { "blobs",     "blobs/sha256", STORE_PARTIAL_DIR,
					    "layers",    "images",       "kernels",
					    "templates", "parents",      "machines" };

	if (faccessat(s->root_fd, LAYOUT_NAME, F_OK, 0) == 0)
		return 0;
	if (fchmod(s->root_fd, 0700) < 0)
		return err_set(e, errno, "chmod %s", s->root);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdirat(s->root_fd, dirs[i], 0700) < 0 && errno != EEXIST)
			return err_set(e, errno, "make %s/%s", s->root, dirs[i]);
	if (faccessat(s->root_fd, "index.json", F_OK, 0) < 0 &&
	    file_write_atomic_at(s->root_fd, "index.json", 0600, INDEX_EMPTY,
				 sizeof(INDEX_EMPTY) - 1, e) < 0)
		return -e->code;
	return file_write_atomic_at(s->root_fd, LAYOUT_NAME, 0600, LAYOUT_TEXT,
				    sizeof(LAYOUT_TEXT) - 1, e);
}

static int run_set_up(struct store *s, struct err *e)
{
	static const char *const dirs[] = { "machines", "templates" };

	if (faccessat(s->run_fd, dirs[ARRAY_SIZE(dirs) - 1], F_OK, 0) == 0)
		return 0;
	if (fchmod(s->run_fd, 0700) < 0)
		return err_set(e, errno, "chmod %s", s->run);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdirat(s->run_fd, dirs[i], 0700) < 0 && errno != EEXIST)
			return err_set(e, errno, "make %s/%s", s->run, dirs[i]);
	return 0;
}

static int store_open_dirs(struct store *s, const char *root, const char *run, struct err *e)
{
	if (root_choose(root, &s->root, e) < 0 || dir_open_own(s->root, 0, &s->root_fd, e) < 0 ||
	    root_set_up(s, e) < 0 || dir_check_private(s->root_fd, s->root, e) < 0)
		return -e->code;
	/* /tmp is everybody's: no link that another user has put there */
	if (run_choose(run, &s->run, e) < 0 ||
	    dir_open_own(s->run, strncmp(s->run, "/tmp/", 5) == 0 ? O_NOFOLLOW : 0, &s->run_fd, e) <
		    0 ||
	    run_set_up(s, e) < 0 || dir_check_private(s->run_fd, s->run, e) < 0)
		return -e->code;
	return 0;
}

int store_open(const char *root, const char *run, struct store **ret, struct err *e)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, ENOMEM, "store");
	s->root_fd = s->run_fd = -1;
	if (store_open_dirs(s, root, run, e) < 0) {
		store_close(s);
		return err_wrap(e, "store");
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_db_close(s);
	fd_drop(&s->root_fd);
	fd_drop(&s->run_fd);
	free(s->root);
	free(s->run);
	free(s);
}

int store_root_fd(const struct store *s)
{
	return s->root_fd;
}

int store_run_fd(const struct store *s)
{
	return s->run_fd;
}

const char *store_root_path(const struct store *s)
{
	return s->root;
}

const char *store_run_path(const struct store *s)
{
	return s->run;
}

bool store_id_is_valid(const char *id)
{
	return strncmp(id, "sha256:", 7) == 0 &&
	       strspn(id + 7, "0123456789abcdef") == STORE_HEX_LEN &&
	       strlen(id + 7) == STORE_HEX_LEN;
}

const char *store_boot_id(struct store *s)
{
	auto_buf b = { 0 };
	struct err ignored = { 0 };

	if (s->boot_id[0] == '\0' &&
	    file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &b, &ignored) == 0 &&
	    b.len >= 36)
		snprintf(s->boot_id, sizeof(s->boot_id), "%.36s", b.data);
	return s->boot_id;
}
