/* SPDX-License-Identifier: MIT */
/*
 * kernel_store.c - kernels as they lie in the store
 *
 * A kernel's directory is made aside and renamed into place whole, so that a killed installation
 * leaves at most a ".new-*" directory, which the next one removes.
 */
#include "kernel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "child.h"
#include "cpio.h"
#include "fdio.h"
#include "json_text.h"
#include "kernel_internal.h"

#define KERNEL_JSON_MAX 65536U
#define INITRD_MAX      (64U << 20)
#define DEFAULT_LINK    "kernels/default"

void kernel_say(const struct progress_ops *p, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (!p || !p->message)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->message(p->arg, text);
}

void kernel_done(struct kernel *k)
{
	fd_drop(&k->kernel_fd);
	fd_drop(&k->initrd_fd);
}

static bool name_is_valid(const char *name)
{
	size_t n =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-");

	return n > 0 && n <= KERNEL_NAME_MAX && name[n] == '\0' && name[0] != '.' &&
	       strcmp(name, "default") != 0;
}

/* The name that is meant: what was asked for, or what the default link points at. */
static int name_resolve(struct engine *g, const char *name, char ret[KERNEL_NAME_MAX + 1],
			struct err *e)
{
	struct store *s = engine_store(g);
	ssize_t n;

	if (!s)
		return err_plain(e, EIO, "the store cannot be opened");
	if (name && *name) {
		if (!name_is_valid(name))
			return err_plain(e, EINVAL, "\"%s\" is not a kernel's name", name);
		snprintf(ret, KERNEL_NAME_MAX + 1, "%s", name);
		return 0;
	}
	n = readlinkat(store_root_fd(s), DEFAULT_LINK, ret, KERNEL_NAME_MAX);
	if (n < 0)
		return err_plain(e, ENOENT,
				 "no guest kernel is installed: run \"caisson kernel install\"");
	ret[n] = '\0';
	return name_is_valid(ret)
		       ? 0
		       : err_plain(e, EINVAL, "%s points outside the store", DEFAULT_LINK);
}

static int kernel_dir_open(struct engine *g, const char *name, int *ret_fd, struct err *e)
{
	char path[KERNEL_NAME_MAX + 16];

	snprintf(path, sizeof(path), "kernels/%s", name);
	*ret_fd = openat(store_root_fd(engine_store(g)), path,
			 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_fd >= 0)
		return 0;
	if (errno == ENOENT)
		return err_plain(e, ENOENT, "No such kernel: %s", name);
	return err_set(e, errno, "open kernel %s", name);
}

/* Size, time and inode stand for a file's content: these files are replaced whole, never written in
 * place. */
static int stat_hash(EVP_MD_CTX *md, int dir_fd, const char *path, struct err *e)
{
	struct stat st;
	char text[160];
	int n;

	if (fstatat(dir_fd, path, &st, 0) < 0)
		return err_set(e, errno, "stat %s", path);
	n = snprintf(text, sizeof(text), "%" PRIu64 ":%" PRIu64 ":%" PRId64 ".%09ld;",
		     (uint64_t)st.st_ino, (uint64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
		     st.st_mtim.tv_nsec);
	return EVP_DigestUpdate(md, text, (size_t)n) == 1 ? 0 : err_plain(e, EIO, "digest failed");
}

static int init_path(struct engine *g, char path[4096])
{
	return snprintf(path, 4096, "%s/caisson-init", engine_libexec(g));
}

static int digest_make(struct engine *g, int dir_fd, char ret[65], struct err *e)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	char init[4096];
	int rc = -EIO;

	init_path(g, init);
	if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		rc = err_plain(e, EIO, "digest failed");
	else if (stat_hash(md, dir_fd, "kernel", e) < 0 ||
		 stat_hash(md, dir_fd, "modules", e) < 0 || stat_hash(md, AT_FDCWD, init, e) < 0)
		rc = -e->code;
	else
		rc = EVP_DigestFinal_ex(md, sum, &len) == 1 ? 0
							    : err_plain(e, EIO, "digest failed");
	EVP_MD_CTX_free(md);
	for (unsigned i = 0; rc == 0 && i < 32; i++)
		snprintf(ret + 2 * i, 3, "%02x", sum[i]);
	return rc;
}

int kernel_digest(struct engine *g, const char *name, char ret_name[KERNEL_NAME_MAX + 1],
		  char ret_digest[65], struct err *e)
{
	auto_fd dir = -1;

	if (name_resolve(g, name, ret_name, e) < 0 || kernel_dir_open(g, ret_name, &dir, e) < 0)
		return -e->code;
	return digest_make(g, dir, ret_digest, e);
}

/* In a build directory it is a link. */
static int init_read(struct engine *g, struct buf *ret, struct err *e)
{
	auto_fd fd = -1;
	char path[4096];
	int rc;

	init_path(g, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno, "open %s", path);
	rc = fd_read_all(fd, ret);
	return rc < 0 ? err_set(e, -rc, "read %s", path) : 0;
}

/* The archive of caisson-init, then that of the modules: Linux reads concatenated archives. */
static int initrd_build(struct engine *g, int dir_fd, int *ret_fd, struct err *e)
{
	auto_buf init = BUF_LIMIT(INITRD_MAX);
	auto_buf out = BUF_LIMIT(INITRD_MAX);
	auto_fd fd = -1;

	if (init_read(g, &init, e) < 0)
		return -e->code;
	if (cpio_add(&out, "dev", S_IFDIR | 0755, NULL, 0) < 0 ||
	    cpio_add(&out, "init", S_IFREG | 0755, init.data, init.len) < 0 || cpio_end(&out) < 0)
		return err_set(e, ENOMEM, "initrd");
	if (file_read_at(dir_fd, "modules", INITRD_MAX - out.len, &out, e) < 0)
		return -e->code;
	fd = memfd_create("caisson-initrd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || fd_write_full(fd, out.data, out.len) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0)
		return err_set(e, errno, "initrd");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* The first kernel that has drivers, where the one that was meant has none. */
static int drivers_find(struct engine *g, const char *name, int *ret_dir, struct err *e)
{
	char found[KERNEL_NAME_MAX + 1];
	auto_dir d = NULL;
	struct dirent *de;

	if (name_resolve(g, name, found, e) < 0 || kernel_dir_open(g, found, ret_dir, e) < 0)
		return -e->code;
	if (faccessat(*ret_dir, KERNEL_DRIVERS_FILE, F_OK, 0) == 0)
		return 0;
	fd_drop(ret_dir);
	d = name && *name ? NULL : dir_open_at(store_root_fd(engine_store(g)), "kernels", 0);
	while (d && (de = readdir(d))) {
		if (!name_is_valid(de->d_name) || kernel_dir_open(g, de->d_name, ret_dir, e) < 0)
			continue;
		if (faccessat(*ret_dir, KERNEL_DRIVERS_FILE, F_OK, 0) == 0)
			return 0;
		fd_drop(ret_dir);
	}
	return err_plain(e, ENOENT,
			 "no kernel with the drivers of other machines is installed: run \"caisson "
			 "kernel install\"");
}

int kernel_disk_open(struct engine *g, const char *name, const struct buf *order,
		     int *ret_kernel_fd, struct buf *ret_initrd, struct err *e)
{
	auto_buf init = BUF_LIMIT(INITRD_MAX);
	auto_fd dir = -1;

	if (drivers_find(g, name, &dir, e) < 0 || init_read(g, &init, e) < 0)
		return -e->code;
	ret_initrd->max = INITRD_MAX;
	/* The kernel calls /sbin/poweroff when Hyper-V or Xen asks it to shut down. */
	if (cpio_add(ret_initrd, "dev", S_IFDIR | 0755, NULL, 0) < 0 ||
	    cpio_add(ret_initrd, "sbin", S_IFDIR | 0755, NULL, 0) < 0 ||
	    cpio_add(ret_initrd, "init", S_IFREG | 0755, init.data, init.len) < 0 ||
	    cpio_add(ret_initrd, "sbin/poweroff", S_IFLNK | 0777, "/init", 5) < 0 ||
	    cpio_add(ret_initrd, "sbin/reboot", S_IFLNK | 0777, "/init", 5) < 0 ||
	    cpio_add(ret_initrd, "disk.order", S_IFREG | 0400, order->data, order->len) < 0 ||
	    cpio_end(ret_initrd) < 0)
		return err_set(e, ENOMEM, "initrd");
	if (file_read_at(dir, KERNEL_DRIVERS_FILE, INITRD_MAX - ret_initrd->len, ret_initrd, e) < 0)
		return -e->code;
	*ret_kernel_fd = openat(dir, "kernel", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_kernel_fd < 0 ? err_set(e, errno, "open kernel") : 0;
}

static json_t *kernel_json_read(int dir_fd, struct err *e)
{
	auto_buf b = { 0 };
	json_t *j;

	if (file_read_at(dir_fd, "kernel.json", KERNEL_JSON_MAX, &b, e) < 0)
		return NULL;
	j = json_parse(b.data ? b.data : "", b.len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(j)) {
		json_decref(j);
		(void)err_plain(e, EINVAL, "kernel.json is damaged");
		return NULL;
	}
	return j;
}

int kernel_open(struct engine *g, const char *name, struct kernel *ret, struct err *e)
{
	struct kernel k = { .kernel_fd = -1, .initrd_fd = -1 };
	auto_fd dir = -1;
	json_t *j;

	if (name_resolve(g, name, k.name, e) < 0 || kernel_dir_open(g, k.name, &dir, e) < 0)
		return -e->code;
	if (digest_make(g, dir, k.digest, e) < 0)
		return err_wrap(e, "kernel %s", k.name);
	j = kernel_json_read(dir, e);
	if (!j)
		return err_wrap(e, "kernel %s", k.name);
	snprintf(k.version, sizeof(k.version), "%s",
		 json_string_value(json_object_get(j, "version")) ?: "");
	json_decref(j);
	k.kernel_fd = openat(dir, "kernel", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (k.kernel_fd < 0)
		return err_set(e, errno, "open kernel %s", k.name);
	if (initrd_build(g, dir, &k.initrd_fd, e) < 0) {
		kernel_done(&k);
		return err_wrap(e, "kernel %s", k.name);
	}
	*ret = k;
	return 0;
}

int kernel_scratch_make(struct engine *g, struct kernel_scratch *ret, struct err *e)
{
	struct kernel_scratch s = { .kernels_fd = -1, .fd = -1 };
	struct store *st = engine_store(g);

	if (!st)
		return err_plain(e, EIO, "the store cannot be opened");
	if (dir_make_at(store_root_fd(st), "kernels", 0700, e) < 0)
		return -e->code;
	s.kernels_fd = openat(store_root_fd(st), "kernels", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s.kernels_fd < 0)
		return err_set(e, errno, "open kernels");
	snprintf(s.name, sizeof(s.name), ".new-%d", (int)getpid());
	if (tree_remove_at(s.kernels_fd, s.name, e) == 0 && mkdirat(s.kernels_fd, s.name, 0700) < 0)
		(void)err_set(e, errno, "mkdir %s", s.name);
	s.fd = openat(s.kernels_fd, s.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s.fd < 0) {
		close(s.kernels_fd);
		return e->code ? -e->code : err_set(e, errno, "open %s", s.name);
	}
	*ret = s;
	return 0;
}

void kernel_scratch_drop(struct kernel_scratch *s)
{
	struct err ignored; /* what stays is removed by the next installation */

	if (s->kernels_fd < 0)
		return;
	if (*s->name && tree_remove_at(s->kernels_fd, s->name, &ignored) < 0)
		*s->name = '\0';
	fd_drop(&s->fd);
	fd_drop(&s->kernels_fd);
}

static int in_directory(void *arg)
{
	return fchdir(*(int *)arg) < 0 ? -errno : 0;
}

int kernel_tool(int dir_fd, const char *const *argv, struct buf *out, struct err *e)
{
	int p[2] = { -1, -1 }, status = 0, rc, read_rc = 0;
	struct child_spec s = { .path = argv[0],
				.argv = argv,
				.n_fds = 3,
				.flags = CHILD_DIE_WITH_PARENT | CHILD_SAME_GROUP,
				.setup = in_directory,
				.setup_arg = &dir_fd };
	pid_t pid;

	if (out && pipe2(p, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe");
	s.fds = (int[]){ -1, out ? p[1] : STDERR_FILENO, STDERR_FILENO };
	rc = child_spawn(&s, &pid, NULL, e);
	fd_drop(&p[1]);
	if (rc == 0 && out)
		read_rc = fd_read_all(p[0], out);
	fd_drop(&p[0]);
	if (rc < 0)
		return rc;
	if (child_wait(pid, &status, e) < 0)
		return -e->code;
	if (read_rc < 0)
		return err_set(e, -read_rc, "read output of %s", argv[0]);
	return status ? err_plain(e, EIO, "%s %s failed with exit code %d", argv[0], argv[1],
				  status)
		      : 0;
}

static int kernel_json_write(struct kernel_scratch *s, const char *name, const char *version,
			     const char *source, struct err *e)
{
	struct timespec now;
	json_t *j;
	char *text;
	int rc;

	clock_gettime(CLOCK_REALTIME, &now);
	j = json_pack("{s:s, s:s, s:s, s:I}", "name", name, "version", version, "source", source,
		      "created", (json_int_t)now.tv_sec);
	text = json_text(j, JSON_INDENT(2));
	json_decref(j);
	if (!text)
		return err_set(e, ENOMEM, "kernel.json");
	rc = file_write_atomic_at(s->fd, "kernel.json", 0600, text, strlen(text), e);
	free(text);
	return rc;
}

int kernel_keep(struct engine *g, struct kernel_scratch *s, const char *name, const char *version,
		const char *source, struct err *e)
{
	int root = store_root_fd(engine_store(g));

	if (!name_is_valid(name))
		return err_plain(e, EINVAL, "\"%s\" is not a kernel's name", name);
	if (kernel_json_write(s, name, version, source, e) < 0)
		return -e->code;
	/* A VMM of another user opens its own descriptor of it anew (qemu_argv.c). */
	if (fchmodat(s->fd, "kernel", 0444, 0) < 0 || syncfs(s->fd) < 0)
		return err_set(e, errno, "kernel %s", name);
	if (renameat2(s->kernels_fd, s->name, s->kernels_fd, name, RENAME_EXCHANGE) < 0 &&
	    renameat(s->kernels_fd, s->name, s->kernels_fd, name) < 0)
		return err_set(e, errno, "install kernel %s", name);
	if (symlinkat(name, root, DEFAULT_LINK) < 0 && errno != EEXIST)
		return err_set(e, errno, "make kernel %s the default", name);
	return fsync(s->kernels_fd) < 0 ? err_set(e, errno, "sync kernels") : 0;
}

int engine_kernel_use(struct engine *g, const char *name, struct err *e)
{
	char found[KERNEL_NAME_MAX + 1];
	auto_fd dir = -1;
	int root;

	if (!name || !*name)
		return err_plain(e, EINVAL, "which kernel?");
	if (name_resolve(g, name, found, e) < 0 || kernel_dir_open(g, found, &dir, e) < 0)
		return -e->code;
	root = store_root_fd(engine_store(g));
	(void)unlinkat(root, DEFAULT_LINK ".new", 0); /* of a run that was killed here */
	if (symlinkat(found, root, DEFAULT_LINK ".new") < 0 ||
	    renameat(root, DEFAULT_LINK ".new", root, DEFAULT_LINK) < 0)
		return err_set(e, errno, "make kernel %s the default", found);
	return 0;
}

static int list_add(json_t *list, int kernels_fd, const char *name, const char *standard,
		    struct err *e)
{
	auto_fd dir = openat(kernels_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat kernel = { 0 }, modules = { 0 };
	json_t *j;

	if (dir < 0)
		return 0; /* the default link, or removed meanwhile */
	j = kernel_json_read(dir, e);
	if (!j && e->code == ENOMEM)
		return -ENOMEM;
	if (!j || fstatat(dir, "kernel", &kernel, 0) < 0 ||
	    fstatat(dir, "modules", &modules, 0) < 0) {
		json_decref(j);
		return 0; /* damaged: not usable, so not listed */
	}
	(void)json_object_set_new(j, "size", json_integer(kernel.st_size + modules.st_size));
	(void)json_object_set_new(j, "default", json_boolean(!strcmp(name, standard)));
	(void)json_array_append_new(list, j);
	return 0;
}

int engine_kernel_list(struct engine *g, json_t **ret, struct err *e)
{
	struct store *s = engine_store(g);
	auto_dir d = s ? dir_open_at(store_root_fd(s), "kernels", 0) : NULL;
	char standard[KERNEL_NAME_MAX + 1] = "";
	struct err ignored;
	struct dirent *de;
	json_t *list;
	int rc = 0;

	if (!s)
		return err_plain(e, EIO, "the store cannot be opened");
	if (!d && errno != ENOENT)
		return err_set(e, errno, "kernels");
	json_build_begin();
	list = json_array();
	if (name_resolve(g, NULL, standard, &ignored) < 0)
		*standard = '\0';
	while (rc == 0 && d && (de = readdir(d)))
		if (de->d_name[0] != '.')
			rc = list_add(list, dirfd(d), de->d_name, standard, e);
	list = json_build_end(list);
	if (rc < 0) {
		json_decref(list);
		return rc;
	}
	*ret = list;
	return list ? 0 : err_set(e, ENOMEM, "kernel list");
}
