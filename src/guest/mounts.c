/* SPDX-License-Identifier: MIT */
/*
 * mounts.c - an order's own mounts: tmpfs, shared directories, single files; disks are in
 * mount_disk.c
 *
 * Runs in the main process, inside its root, before the app exists. Every mount is made detached
 * and attached to a target that was opened beneath the root (openat2 RESOLVE_IN_ROOT): a link in
 * the image leads to somewhere in the image, never to anything of the agent's.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fdio.h"
#include "mounts_internal.h"

#define PATH_LEN 4096

/*
 * A part of a mount can be taken only while the mount stands in our namespace (Linux before 6.15):
 * sources stand below /dev, which is no directory of the image, until all parts are taken.
 */
#define STASH "/dev/.stash"

int mounts_stash(struct mounts *m, int mount_fd, struct err *e)
{
	char path[32];

	snprintf(path, sizeof(path), STASH "%u", m->n_stashed);
	if (mkdir(path, 0700) < 0)
		return err_set(e, errno, "mkdir %s", path);
	m->n_stashed++;
	if (move_mount(mount_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(e, errno, "mount %s", path);
	return 0;
}

static void stash_clear(struct mounts *m)
{
	char path[32];

	while (m->n_stashed) {
		snprintf(path, sizeof(path), STASH "%u", --m->n_stashed);
		(void)umount2(path, MNT_DETACH); /* not there when its mount failed */
		(void)rmdir(path);
	}
}

int mounts_open_beneath(int dir, const char *path, uint64_t flags, uint64_t mode)
{
	struct open_how how = { .flags = flags | O_CLOEXEC,
				.mode = mode,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* Make the directories of `path` that are missing, each beneath the root. */
static int parents_make(int root, const char *path, bool with_last, struct err *e)
{
	char part[PATH_LEN];

	for (const char *p = path; *p;) {
		const char *start = p + strspn(p, "/");
		const char *end = start + strcspn(start, "/");
		auto_fd dir = -1;
		bool is_last = end[strspn(end, "/")] == '\0';

		if (end == start || (is_last && !with_last))
			return 0;
		if ((size_t)(end - path) >= sizeof(part))
			return err_plain(e, ENAMETOOLONG, "mount target is too long");
		memcpy(part, path, (size_t)(end - path));
		part[end - path] = '\0';
		dir = mounts_open_beneath(root, part, O_PATH | O_DIRECTORY, 0);
		if (dir < 0) {
			auto_fd parent = -1;
			char *slash = strrchr(part, '/');

			if (slash)
				*slash = '\0';
			parent = mounts_open_beneath(root, slash && *part ? part : "/",
						     O_PATH | O_DIRECTORY, 0);
			if (parent < 0 || mkdirat(parent, slash ? slash + 1 : part, 0755) < 0)
				return err_set(e, errno, "make mount point %s", path);
		}
		p = end;
	}
	return 0;
}

static int target_open(const struct mounts *m, const char *target, bool is_directory, struct err *e)
{
	int fd = mounts_open_beneath(m->root, target, O_PATH, 0);

	if (fd >= 0)
		return fd;
	if (parents_make(m->root, target, is_directory, e) < 0)
		return -e->code;
	if (!is_directory) {
		auto_fd made = mounts_open_beneath(m->root, target, O_WRONLY | O_CREAT, 0644);

		if (made < 0)
			return err_set(e, errno, "make mount point %s", target);
	}
	fd = mounts_open_beneath(m->root, target, O_PATH, 0);
	return fd < 0 ? err_set(e, errno, "open mount point %s", target) : fd;
}

int mounts_attach(const struct mounts *m, int mount_fd, const char *target, struct err *e)
{
	struct stat st, there;
	auto_fd at = -1;

	if (fstat(mount_fd, &st) < 0)
		return err_set(e, errno, "stat the source of %s", target);
	at = target_open(m, target, S_ISDIR(st.st_mode), e);
	if (at < 0)
		return -e->code;
	if (fstat(at, &there) < 0)
		return err_set(e, errno, "stat %s", target);
	if (S_ISDIR(st.st_mode) != S_ISDIR(there.st_mode))
		return err_plain(e, ENOTDIR, "mount at %s: one is a directory, the other is not",
				 target);
	if (move_mount(mount_fd, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_set(e, errno, "mount at %s", target);
	return 0;
}

static int fs_option(int fs, const char *option)
{
	char key[64];
	const char *eq = strchr(option, '=');

	if (!eq)
		return fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0);
	if ((size_t)(eq - option) >= sizeof(key))
		return -1;
	memcpy(key, option, (size_t)(eq - option));
	key[eq - option] = '\0';
	return fsconfig(fs, FSCONFIG_SET_STRING, key, eq + 1, 0);
}

/* One word of an option list: a flag of the mount, or an option of the file system. */
static int option_apply(int fs, const char *word, unsigned *io_attr)
{
	static const struct {
		const char *word;
		unsigned set, clear;
	} flags[] = { { "ro", MOUNT_ATTR_RDONLY, 0 },     { "rw", 0, MOUNT_ATTR_RDONLY },
		      { "noexec", MOUNT_ATTR_NOEXEC, 0 }, { "exec", 0, MOUNT_ATTR_NOEXEC },
		      { "nosuid", MOUNT_ATTR_NOSUID, 0 }, { "suid", 0, MOUNT_ATTR_NOSUID },
		      { "nodev", MOUNT_ATTR_NODEV, 0 },   { "dev", 0, MOUNT_ATTR_NODEV } };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (!strcmp(word, flags[i].word)) {
			*io_attr = (*io_attr & ~flags[i].clear) | flags[i].set;
			return 0;
		}
	}
	return fs_option(fs, word);
}

static int fs_mount(const char *type, const char *source, const char *options, unsigned attr,
		    int *ret, struct err *e)
{
	auto_fd fs = fsopen(type, FSOPEN_CLOEXEC);
	char word[256];

	if (fs < 0)
		return err_set(e, errno, "%s", type);
	if (source && fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return err_set(e, errno, "%s %s", type, source);
	for (const char *p = options; *p;) {
		size_t n = strcspn(p, ",");

		snprintf(word, sizeof(word), "%.*s", (int)MIN_OF(n, sizeof(word) - 1), p);
		if (n && option_apply(fs, word, &attr) < 0)
			return err_set(e, errno, "%s option %s", type, word);
		p += n + (p[n] == ',');
	}
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(e, errno, "%s", type);
	*ret = fsmount(fs, FSMOUNT_CLOEXEC, attr);
	return *ret < 0 ? err_set(e, errno, "%s", type) : 0;
}

static int mount_tmpfs(struct mounts *m, const struct agent_mount *a, struct err *e)
{
	auto_fd fd = -1;

	if (fs_mount("tmpfs", "tmpfs", a->options,
		     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &fd, e) < 0)
		return -e->code;
	return mounts_attach(m, fd, a->target, e);
}

/* source is "tag", or "tag/path" for one entry of the shared directory. */
static int mount_shared(struct mounts *m, const struct agent_mount *a, struct err *e)
{
	bool readonly = strstr(a->options, "ro") == a->options;
	size_t n = strcspn(a->source, "/");
	auto_fd fd = -1;
	auto_fd sub = -1;
	auto_fd part = -1;
	char tag[64];

	if (n >= sizeof(tag))
		return err_plain(e, EINVAL, "tag of a shared directory is too long");
	memcpy(tag, a->source, n);
	tag[n] = '\0';
	if (fs_mount("virtiofs", tag, "", readonly ? MOUNT_ATTR_RDONLY : 0, &fd, e) < 0)
		return -e->code;
	if (!a->source[n])
		return mounts_attach(m, fd, a->target, e);
	if (mounts_stash(m, fd, e) < 0)
		return -e->code;
	sub = mounts_open_beneath(fd, a->source + n, O_PATH, 0);
	if (sub < 0)
		return err_set(e, errno, "open %s", a->source);
	part = open_tree(sub, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return part < 0 ? err_set(e, errno, "take %s", a->source)
			: mounts_attach(m, part, a->target, e);
}

/* A link of the image where a file of ours belongs would lead that file to a place of its choice.
 */
static int link_remove(const struct mounts *m, const char *target, struct err *e)
{
	const char *slash = strrchr(target, '/');
	char dir[PATH_LEN];
	auto_fd parent = -1;
	struct stat st;

	if (!slash || (size_t)(slash - target) >= sizeof(dir))
		return 0;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - target), target);
	parent = mounts_open_beneath(m->root, *dir ? dir : "/", O_PATH | O_DIRECTORY, 0);
	if (parent < 0 || fstatat(parent, slash + 1, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISLNK(st.st_mode))
		return 0;
	return unlinkat(parent, slash + 1, 0) < 0 ? err_set(e, errno, "replace %s", target) : 0;
}

/* ret_file (may be NULL): the file, to be written later; untouched where the image has no place. */
static int mount_file(struct mounts *m, const struct agent_mount *a, int *ret_file, struct err *e)
{
	char name[16];
	auto_fd file = -1;
	auto_fd part = -1;

	if (m->files < 0 && (fs_mount("tmpfs", "tmpfs", "mode=755,size=4m",
				      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &m->files, e) < 0 ||
			     mounts_stash(m, m->files, e) < 0))
		return -e->code;
	snprintf(name, sizeof(name), "%u", m->n_files++);
	file = openat(m->files, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (file < 0 || fd_write_full(file, a->content.data, a->content.len) < 0)
		return err_set(e, errno, "write %s", a->target);
	part = open_tree(m->files, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (part < 0)
		return err_set(e, errno, "take %s", a->target);
	if (link_remove(m, a->target, e) < 0 || mounts_attach(m, part, a->target, e) < 0)
		return e->code == EROFS || e->code == ENOTDIR || e->code == ELOOP
			       ? 0
			       : -e->code; /* the image has no place for it */
	if (ret_file)
		*ret_file = TAKE_FD(file);
	return 0;
}

static void mounts_end(struct mounts *m)
{
	stash_clear(m);
	fd_drop(&m->files);
	fd_drop(&m->root);
}

/* Files that every order has: mounted empty before there is one, so that only bytes are left to do.
 */
static const char *const usual[MOUNTS_USUAL] = { "/etc/hosts", "/etc/resolv.conf",
						 "/etc/hostname" };

int mounts_prepare(struct mounts_usual *u, struct err *e)
{
	struct mounts m = { .files = -1, .root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) };
	int rc = m.root < 0 ? err_set(e, errno, "open the root") : 0;

	for (size_t i = 0; i < MOUNTS_USUAL; i++)
		u->fds[i] = -1;
	for (size_t i = 0; rc == 0 && i < MOUNTS_USUAL; i++) {
		const struct agent_mount a = { .target = usual[i] };

		rc = mount_file(&m, &a, &u->fds[i], e);
	}
	mounts_end(&m);
	return rc;
}

/* True when it was one of the files that are mounted already. */
static bool usual_fill(const struct mounts_usual *u, const struct agent_mount *a, int *ret_rc,
		       struct err *e)
{
	for (size_t i = 0; i < MOUNTS_USUAL; i++) {
		if (u->fds[i] < 0 || strcmp(a->target, usual[i]) != 0)
			continue;
		*ret_rc = fd_write_full(u->fds[i], a->content.data, a->content.len);
		if (*ret_rc < 0)
			*ret_rc = err_set(e, -*ret_rc, "write %s", a->target);
		return true;
	}
	return false;
}

int mounts_apply(const struct agent_run *r, struct mounts_usual *u, struct err *e)
{
	struct mounts m = { .files = -1, .root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) };
	int rc = m.root < 0 ? err_set(e, errno, "open the root") : 0;

	for (uint32_t i = 0; rc == 0 && i < r->n_mounts; i++) {
		const struct agent_mount *a = &r->mounts[i];

		if (a->kind == AGENT_MOUNT_TMPFS)
			rc = mount_tmpfs(&m, a, e);
		else if (a->kind == AGENT_MOUNT_VIRTIOFS)
			rc = mount_shared(&m, a, e);
		else if (a->kind == AGENT_MOUNT_DISK)
			rc = mounts_disk(&m, a, e);
		else if (!usual_fill(u, a, &rc, e))
			rc = mount_file(&m, a, NULL, e);
	}
	mounts_end(&m);
	for (size_t i = 0; i < MOUNTS_USUAL; i++)
		fd_drop(&u->fds[i]);
	if (rc == 0 && (r->flags & AGENT_RUN_READONLY) &&
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		rc = err_set(e, errno, "make the root read-only");
	return rc;
}
