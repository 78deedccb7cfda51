/* SPDX-License-Identifier: MIT */
/*
 * disk_export.c - an image as a bootable disk
 *
 * MBR with GRUB in the gap before the first partition; partition 1 (ext4): kernel, initrd,
 * grub.cfg; 2: the image's EROFS as it is in the store; 3 (ext4): what is written. File systems
 * are made by mke2fs at an offset of the file: no mount, no loop device, no root.
 */
#include "disk_export.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "agent.h"
#include "bytes.h"
#include "engine_internal.h"
#include "fdio.h"
#include "image_defaults.h"
#include "kernel.h"
#include "kernel_internal.h"

#define MIB            (1ULL << 20)
#define SECTOR         512U
#define BOOT_SLACK     (8 * MIB) /* journal-less ext4 of a few files, and room for another initrd */
#define WRITABLE_LEAST (64 * MIB)
#define WRITABLE_USUAL (1024 * MIB)
#define GRUB_DIR       "/usr/lib/grub/i386-pc"
#define CORE_MAX       (MIB - SECTOR)
#define MBR_CODE       440U
#define COPY_CHUNK     (1U << 20)
#define CONFIG_FILE    "boot/config.json"

struct layout { /* bytes; all at multiples of 1 MiB */
	uint64_t boot_off, boot_len, image_off, image_len, data_off, data_len, size;
	uint32_t signature;
};

struct export
{
	struct engine *g;
	const struct disk_export *x;
	const struct vhd_progress *step;
	struct store_image image;
	struct store_disk disk;
	struct kernel_scratch scratch;
	struct machine_config config;
	char *document; /* the image's config */
	size_t document_len;
	struct layout at;
	int fd;
	uint64_t done;
};

static int step(struct export *x, uint64_t bytes, struct err *e)
{
	x->done += bytes;
	if (x->step && x->step->step && x->step->step(x->step->ctx, x->done, x->at.size))
		return err_plain(e, ECANCELED, "interrupted");
	return 0;
}

/* ---- what the first process is told ---- */

static int order_make(const struct machine_config *c, struct buf *frame, struct err *e)
{
	static const char path[] =
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	struct strv argv = { 0 }, env = { 0 };
	struct agent_run r = { .flags = AGENT_RUN_MAIN,
			       .cwd = c->cwd ? c->cwd : "",
			       .user = c->user ? c->user : "" };
	int rc = strv_add(&env, path); /* the image's own comes later, and wins */

	for (uint32_t i = 0; rc == 0 && i < c->entrypoint.n; i++)
		rc = strv_add(&argv, c->entrypoint.v[i]);
	for (uint32_t i = 0; rc == 0 && i < c->cmd.n; i++)
		rc = strv_add(&argv, c->cmd.v[i]);
	for (uint32_t i = 0; rc == 0 && i < c->env.n; i++) {
		if (strncmp(c->env.v[i], "PATH=", 5) == 0 && env.n)
			free(env.v[--env.n]);
		rc = strv_add(&env, c->env.v[i]);
	}
	r.argv = (struct agent_strings){ (const char **)argv.v, argv.n };
	r.env = (struct agent_strings){ (const char **)env.v, env.n };
	if (rc == 0)
		rc = agent_put_run(frame, AGENT_STREAM_MAIN, &r);
	strv_done(&argv);
	strv_done(&env);
	if (rc < 0)
		return err_set(e, -rc, "the image's command and environment");
	buf_consume(frame, AGENT_HEAD_LEN);
	return 0;
}

static int config_read(struct export *x, struct err *e)
{
	struct store *s = engine_store(x->g);

	if (store_image_config(s, x->image.id, &x->document, &x->document_len, e) < 0 ||
	    image_defaults_apply(&x->config, x->document, x->document_len, e) < 0)
		return -e->code;
	return x->config.entrypoint.n + x->config.cmd.n
		       ? 0
		       : err_plain(e, EINVAL, "%s: the image has no command to run", x->x->image);
}

/* ---- partition 1 ---- */

static int file_copy(int from, int dir, const char *name, uint64_t *io_len, struct err *e)
{
	auto_fd to = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	char data[65536];
	ssize_t n;

	if (to < 0)
		return err_set(e, errno, "create %s", name);
	while ((n = read(from, data, sizeof(data))) > 0) {
		if (fd_write_full(to, data, (size_t)n) < 0)
			return err_set(e, errno, "write %s", name);
		*io_len += (uint64_t)n;
	}
	return n < 0 ? err_set(e, errno, "read %s", name) : 0;
}

static int text_write(int dir, const char *name, const char *text, size_t len, struct err *e)
{
	return file_write_atomic_at(dir, name, 0644, text, len, e);
}

/* A number: what the image says is text of a stranger, and goes into a script. */
static int stop_signal(const struct machine_config *c)
{
	const char *name = c->stop_signal ? c->stop_signal : "";
	unsigned long number = strtoul(name, NULL, 10);

	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	for (int i = 1; i < NSIG; i++) {
		const char *known = sigabbrev_np(i);

		if ((known && strcmp(known, name) == 0) || number == (unsigned long)i)
			return i;
	}
	return SIGTERM;
}

/* Serial for a cloud's log, VGA for who sits before it; the first entry at once. */
static int grub_config(const struct export *x, struct err *e)
{
	auto_buf b = { 0 };

	if (buf_addf(&b,
		     "serial --unit=0 --speed=115200\n"
		     "terminal_input console serial\n"
		     "terminal_output console serial\n"
		     "set timeout=0\n"
		     "menuentry caisson {\n"
		     "\tlinux /vmlinuz console=tty0 console=ttyS0,115200 "
		     "quiet loglevel=4 panic=10 net.ifnames=0 caisson.disk=%08x caisson.stop=%d\n"
		     "\tinitrd /initrd\n"
		     "}\n",
		     x->at.signature, stop_signal(&x->config)) < 0)
		return err_set(e, ENOMEM, "grub.cfg");
	return text_write(x->scratch.fd, "boot/grub/grub.cfg", b.data, b.len, e);
}

static int boot_files(struct export *x, struct err *e)
{
	auto_buf order = BUF_LIMIT(2 * AGENT_PAYLOAD_MAX);
	auto_buf initrd = { 0 };
	auto_fd kernel = -1;
	uint64_t len = 0;

	if (mkdirat(x->scratch.fd, "boot", 0755) < 0 ||
	    mkdirat(x->scratch.fd, "boot/grub", 0755) < 0)
		return err_set(e, errno, "mkdir");
	if (order_make(&x->config, &order, e) < 0 ||
	    kernel_disk_open(x->g, x->x->kernel, &order, &kernel, &initrd, e) < 0 ||
	    file_copy(kernel, x->scratch.fd, "boot/vmlinuz", &len, e) < 0 ||
	    text_write(x->scratch.fd, "boot/initrd", initrd.data, initrd.len, e) < 0 ||
	    text_write(x->scratch.fd, CONFIG_FILE, x->document, x->document_len, e) < 0 ||
	    grub_config(x, e) < 0)
		return -e->code;
	x->at.boot_len = align_up(len + initrd.len + x->document_len + BOOT_SLACK, MIB);
	return 0;
}

static int fs_make(struct export *x, const char *label, const char *dir, uint64_t off, uint64_t len,
		   struct err *e)
{
	char path[64], extra[120], size[32];
	auto_buf out = { 0 };
	const char *argv[16] = { "mkfs.ext4", "-q", "-F", "-m", "0", "-L", label, "-E", extra };
	size_t n = 9;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), x->fd);
	snprintf(extra, sizeof(extra),
		 "offset=%llu,root_owner=0:0,nodiscard,lazy_itable_init=1,lazy_journal_init=1",
		 (unsigned long long)off);
	snprintf(size, sizeof(size), "%lluk", (unsigned long long)(len / 1024));
	if (dir) {
		argv[n++] = "-O";
		argv[n++] = "^has_journal,^metadata_csum,^64bit";
		argv[n++] = "-d";
		argv[n++] = dir;
	}
	argv[n++] = path;
	argv[n++] = size;
	if (kernel_tool(x->scratch.fd, argv, &out, e) < 0)
		return err_wrap(e, "is the package e2fsprogs installed, and is there room?");
	return step(x, 0, e);
}

/* ---- the gap before it ---- */

static int core_make(struct export *x, struct buf *core, struct err *e)
{
	static const char *const argv[] = { "grub-mkimage", "-d",         GRUB_DIR,
					    "-O",           "i386-pc",    "-o",
					    "core.img",     "-p",         "(hd0,msdos1)/grub",
					    "biosdisk",     "part_msdos", "ext2",
					    "normal",       "linux",      "serial",
					    "terminal",     NULL };
	auto_buf out = { 0 };

	if (access(GRUB_DIR "/boot.img", R_OK) < 0)
		return err_plain(e, ENOENT,
				 "no boot loader: install the packages grub-pc-bin and "
				 "grub-common");
	if (kernel_tool(x->scratch.fd, argv, &out, e) < 0)
		return err_wrap(e, "make the boot loader (package grub-common)");
	return file_read_at(x->scratch.fd, "core.img", CORE_MAX, core, e);
}

/* Partition entry without CHS: that is all ones where it does not fit, which BIOSes know. */
static void partition_put(uint8_t *mbr, unsigned i, uint8_t flags, uint64_t off, uint64_t len)
{
	uint8_t *p = mbr + 446 + 16UL * i;

	p[0] = flags;
	memcpy(p + 1, "\xfe\xff\xff", 3);
	p[4] = 0x83;
	memcpy(p + 5, "\xfe\xff\xff", 3);
	put_le32(p + 8, (uint32_t)(off / SECTOR));
	put_le32(p + 12, (uint32_t)(len / SECTOR));
}

static int gap_write(struct export *x, struct err *e)
{
	auto_buf boot = { 0 };
	auto_buf core = BUF_LIMIT(CORE_MAX);
	uint8_t mbr[SECTOR] = { 0 };
	int rc;

	if (file_read_at(AT_FDCWD, GRUB_DIR "/boot.img", SECTOR, &boot, e) < 0 ||
	    core_make(x, &core, e) < 0)
		return -e->code;
	if (boot.len != SECTOR)
		return err_plain(e, EBADMSG, GRUB_DIR "/boot.img has %zu bytes", boot.len);
	memcpy(mbr, boot.data, MBR_CODE); /* finds the rest at sector 1, on the disk it came from */
	put_le32(mbr + MBR_CODE, x->at.signature);
	partition_put(mbr, 0, 0x80, x->at.boot_off, x->at.boot_len);
	partition_put(mbr, 1, 0, x->at.image_off, x->at.image_len);
	partition_put(mbr, 2, 0, x->at.data_off, x->at.data_len);
	mbr[510] = 0x55;
	mbr[511] = 0xaa;
	rc = fd_pwrite_full(x->fd, mbr, sizeof(mbr), 0);
	if (rc == 0)
		rc = fd_pwrite_full(x->fd, core.data, core.len, SECTOR);
	return rc < 0 ? err_set(e, -rc, "write the boot loader") : 0;
}

/* ---- partition 2 ---- */

static bool is_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static int part_copy(struct export *x, const struct store_disk_part *p, uint8_t *data,
		     struct err *e)
{
	for (uint64_t at = 0; at < p->len;) {
		size_t n = (size_t)MIN_OF(p->len - at, (uint64_t)COPY_CHUNK);
		int rc = fd_pread_full(p->fd, data, n, (off_t)(p->file_off + at));

		if (rc < 0)
			return err_set(e, -rc, "read the image");
		if (!is_zero(data, n))
			rc = fd_pwrite_full(x->fd, data, n,
					    (off_t)(x->at.image_off + p->disk_off + at));
		if (rc < 0)
			return err_set(e, -rc, "write the image");
		at += n;
		if (step(x, n, e) < 0)
			return -e->code;
	}
	return 0;
}

static int image_copy(struct export *x, struct err *e)
{
	auto_free uint8_t *data = malloc(COPY_CHUNK);

	if (!data)
		return err_set(e, ENOMEM, "export");
	for (uint32_t i = 0; i < x->disk.n_parts; i++)
		if (part_copy(x, &x->disk.parts[i], data, e) < 0)
			return -e->code;
	return 0;
}

/* ---- the whole ---- */

static int layout_make(struct export *x, struct err *e)
{
	struct layout *l = &x->at;
	uint64_t least;

	l->boot_off = MIB;
	l->image_off = l->boot_off + l->boot_len;
	l->image_len = align_up(x->disk.disk_len, MIB);
	l->data_off = l->image_off + l->image_len;
	least = l->data_off + WRITABLE_LEAST;
	l->size = x->x->size ? align_up(x->x->size, MIB) : l->data_off + WRITABLE_USUAL;
	if (l->size < least)
		return err_plain(e, EINVAL, "the disk must have at least %lluM for this image",
				 (unsigned long long)(least / MIB));
	if (l->size > VHD_SIZE_MAX)
		return err_plain(e, EFBIG, "the disk would be larger than 2040 GiB");
	l->data_len = l->size - l->data_off;
	return 0;
}

static int footer_write(struct export *x, struct err *e)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_FIXED,
					      .size = x->at.size,
					      .profile = x->x->profile };
	struct vhd_err v = { 0 };
	struct vhd_io *io;
	int rc, fd = fcntl(x->fd, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return err_set(e, errno, "export");
	if (vhd_io_file(fd, x->x->output, &io, &v) < 0)
		return err_plain(e, v.code, "%s", v.msg);
	rc = vhd_create_io(io, NULL, &o, &v);
	vhd_io_close(io);
	return rc < 0 ? err_plain(e, v.code, "%s", v.msg) : 0;
}

static int fill(struct export *x, struct err *e)
{
	if (getrandom(&x->at.signature, sizeof(x->at.signature), 0) != 4)
		return err_set(e, errno, "random signature");
	if (boot_files(x, e) < 0 || layout_make(x, e) < 0 || footer_write(x, e) < 0 ||
	    fs_make(x, "caisson-boot", "boot", x->at.boot_off, x->at.boot_len, e) < 0 ||
	    fs_make(x, "caisson-data", NULL, x->at.data_off, x->at.data_len, e) < 0 ||
	    image_copy(x, e) < 0)
		return -e->code;
	return gap_write(x, e);
}

static int parent_open(const char *path, int *ret_fd, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char dir[VHD_PATH_MAX];

	if ((size_t)snprintf(dir, sizeof(dir), "%.*s/", slash ? (int)(slash - path) : 1,
			     slash ? path : ".") >= sizeof(dir))
		return err_set(e, ENAMETOOLONG, "%.300s", path);
	*ret_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? err_set(e, errno, "%.300s", dir) : 0;
}

/* A name for the file that has none; another name first where one is replaced. */
static int name_give(const struct export *x, int dir, struct err *e)
{
	const char *slash = strrchr(x->x->output, '/');
	const char *name = slash ? slash + 1 : x->x->output;
	char from[64], aside[64];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", x->fd);
	snprintf(aside, sizeof(aside), ".caisson-%d", (int)getpid());
	if (fsync(x->fd) < 0)
		return err_set(e, errno, "%.300s", x->x->output);
	if (linkat(AT_FDCWD, from, dir, x->x->is_replacing ? aside : name, AT_SYMLINK_FOLLOW) < 0)
		return err_set(e, errno, "%.300s", x->x->output);
	if (x->x->is_replacing && renameat(dir, aside, dir, name) < 0) {
		(void)err_set(e, errno, "%.300s", x->x->output);
		unlinkat(dir, aside, 0);
		return -e->code;
	}
	return fsync(dir) < 0 ? err_set(e, errno, "%.300s", x->x->output) : 0;
}

static int export_run(struct export *x, struct err *e)
{
	struct store *s;
	auto_fd dir = -1;
	mode_t mask = umask(0);

	umask(mask);
	if (engine_store_need(x->g, &s, e) < 0 ||
	    store_image_find(s, x->x->image, &x->image, e) < 0 ||
	    engine_image_prepare(x->g, x->image.id, e) < 0 ||
	    store_image_disk(s, x->image.id, &x->disk, e) < 0 || config_read(x, e) < 0 ||
	    parent_open(x->x->output, &dir, e) < 0)
		return -e->code;
	x->fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666 & ~mask);
	if (x->fd < 0)
		return err_set(e, errno, "a file beside %.300s", x->x->output);
	if (kernel_scratch_make(x->g, &x->scratch, e) < 0)
		return -e->code;
	return fill(x, e) < 0 ? -e->code : name_give(x, dir, e);
}

int engine_disk_export(struct engine *g, const struct disk_export *options,
		       const struct vhd_progress *progress, struct err *e)
{
	struct export x = { .g = g,
			    .x = options,
			    .step = progress,
			    .scratch = { .kernels_fd = -1, .fd = -1 },
			    .fd = -1 };
	int rc = export_run(&x, e);

	kernel_scratch_drop(&x.scratch);
	store_disk_done(&x.disk);
	machine_config_done(&x.config);
	free(x.document);
	fd_drop(&x.fd);
	return rc;
}
