/* SPDX-License-Identifier: MIT */
/*
 * shape.c - specs of templates and clones; the cached probe of a driver
 *
 * The cache is good for one boot of the host and one VMM program (path, size, time, inode). It is
 * read once: what a driver says does not change while an engine is open.
 */
#include "shape.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "engine_internal.h"
#include "fdio.h"
#include "json_text.h"

#define INFO_MAX 4096U

/*
 * Where we are root, each VMM runs as a user of its own out of a range that no distribution gives
 * out, so that one that was broken into cannot reach another.
 */
#define VMM_UID_FIRST 0x60000000U
#define VMM_UID_COUNT 0x01000000U

static uid_t vmm_uid(const char *name)
{
	char hex[7] = "";

	if (geteuid() != 0)
		return 0;
	snprintf(hex, sizeof(hex), "%.6s", name);
	return VMM_UID_FIRST + (uid_t)(strtoul(hex, NULL, 16) % VMM_UID_COUNT);
}

uint32_t shape_share_slots(uint32_t n)
{
	static const uint32_t sizes[] = { 0, 2, SHAPE_SHARES_MAX };
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(sizes) && sizes[i] < n)
		i++;
	return sizes[i];
}

void shape_spec(const struct template_want *w, const char *name, struct vm_spec *ret)
{
	*ret = (struct vm_spec){
		.cpus = w->cpus,
		.cpu_model = w->cpu_model,
		.mem_bytes = w->mem_bytes,
		.mem_max_bytes = w->mem_max_bytes,
		.kernel_fd = -1,
		.initrd_fd = -1,
		.cmdline = SHAPE_CMDLINE,
		.state_fd = -1,
		.mem_fd = -1,
		.n_disks = TEMPLATE_DISK_COUNT + TEMPLATE_DISK_SPARE,
		.n_shares = w->n_shares,
		.has_net = w->net != TEMPLATE_NET_NONE,
		.net_is_tap = w->net == TEMPLATE_NET_TAP,
		.net_fd = -1,
		.has_vsock = w->has_vsock,
		.vsock_listen_fd = -1,
		.vsock_broker_fd = -1,
		.agent_fd = -1,
		.console_fd = -1,
		.uid = vmm_uid(name),
		.gid = (gid_t)vmm_uid(name),
	};
	snprintf(ret->id, sizeof(ret->id), "%s", name);
	for (uint32_t i = 0; i < ret->n_disks; i++)
		ret->disks[i] =
			(struct vm_disk){ .kind = VM_DISK_EMPTY,
					  .is_readonly = i == TEMPLATE_DISK_IMAGE,
					  .is_mapped = i == TEMPLATE_DISK_IMAGE && w->has_dax,
					  .fd = -1,
					  .size = 512 };
	for (uint32_t i = 0; i < ret->n_shares; i++) {
		snprintf(ret->shares[i].tag, sizeof(ret->shares[i].tag), "share%u", i);
		ret->shares[i].sock_fd = -1;
	}
}

static int boot_id_read(char *ret, size_t len)
{
	auto_fd fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, len - 1);

	if (n <= 0)
		return -EIO;
	ret[n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

/* A driver's own program lies beside ours. */
static int program_stat(struct engine *g, const char *program, struct stat *ret)
{
	char path[PATH_MAX];

	if (strchr(program, '/'))
		return stat(program, ret);
	if (snprintf(path, sizeof(path), "%s/%s", engine_libexec(g), program) >= PATH_MAX)
		return -1;
	return stat(path, ret);
}

static void stamp_make(struct engine *g, const struct vm_driver_ops *d, char *ret, size_t len)
{
	const bool has_kvm = access("/dev/kvm", R_OK | W_OK) == 0;
	char boot[64] = "";
	struct stat st = { 0 };

	if (boot_id_read(boot, sizeof(boot)) < 0 ||
	    (d->program && program_stat(g, d->program, &st) < 0)) {
		*ret = '\0'; /* matches no cache */
		return;
	}
	snprintf(ret, len, "2 %s %s %d %" PRIdMAX " %" PRIdMAX ".%09ld %" PRIuMAX, CAISSON_VERSION,
		 boot, has_kvm, (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec,
		 st.st_mtim.tv_nsec, (uintmax_t)st.st_ino);
}

static bool text_get(const json_t *j, const char *key, char *ret, size_t len)
{
	const char *t = json_string_value(json_object_get(j, key));

	if (!t || strlen(t) >= len)
		return false;
	snprintf(ret, len, "%s", t);
	return true;
}

static bool cache_read(int run_fd, const char *name, const char *stamp, struct vm_driver_info *ret)
{
	auto_buf text = { 0 };
	struct vm_driver_info i = { 0 };
	struct err ignored = { 0 };
	char was[256];
	json_t *j;
	bool ok;

	if (!*stamp || file_read_at(run_fd, name, INFO_MAX, &text, &ignored) < 0)
		return false;
	j = json_parse(text.data, text.len, 0, NULL);
	ok = text_get(j, "stamp", was, sizeof(was)) && strcmp(was, stamp) == 0 &&
	     text_get(j, "accel", i.accel, sizeof(i.accel)) &&
	     text_get(j, "accel_reason", i.accel_reason, sizeof(i.accel_reason)) &&
	     text_get(j, "version", i.version, sizeof(i.version)) &&
	     text_get(j, "fingerprint", i.fingerprint, sizeof(i.fingerprint));
	i.tsc_khz = (uint32_t)json_integer_value(json_object_get(j, "tsc_khz"));
	json_decref(j);
	if (ok)
		*ret = i;
	return ok;
}

static void cache_write(int run_fd, const char *name, const char *stamp,
			const struct vm_driver_info *i)
{
	json_t *j = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I}", "stamp", stamp, "accel", i->accel,
			      "accel_reason", i->accel_reason, "version", i->version, "fingerprint",
			      i->fingerprint, "tsc_khz", (json_int_t)i->tsc_khz);
	auto_free char *text = json_text(j, JSON_COMPACT);
	struct err ignored = { 0 };

	json_decref(j);
	if (text && *stamp) /* without a cache the next start looks again */
		(void)!file_write_atomic_at(run_fd, name, 0600, text, strlen(text), &ignored);
}

int shape_driver_info(struct engine *g, const struct vm_driver_ops *d, struct vm_driver_info *ret,
		      struct err *e)
{
	struct store *s;
	char name[64], stamp[256];

	if (g->known_driver == d) {
		*ret = g->known_info;
		return 0;
	}
	if (engine_store_need(g, &s, e) < 0)
		return -e->code;
	snprintf(name, sizeof(name), "driver-%s.json", d->name);
	stamp_make(g, d, stamp, sizeof(stamp));
	if (!cache_read(store_run_fd(s), name, stamp, ret)) {
		if (d->probe(ret, e) < 0)
			return -e->code;
		cache_write(store_run_fd(s), name, stamp, ret);
	}
	g->known_driver = d;
	g->known_info = *ret;
	return 0;
}

int shape_driver(struct engine *g, const char *name, const struct vm_driver_ops **ret,
		 struct err *e)
{
	struct vm_driver_info info;
	struct err ignored = { 0 }; /* then it is not the best one */

	if (*name && strcmp(name, SHAPE_DRIVER_AUTO) != 0) {
		*ret = vm_driver_find(name, e);
		return *ret ? 0 : -e->code;
	}
	*ret = vm_driver_find("kvm", e);
	if (!*ret || shape_driver_info(g, *ret, &info, &ignored) < 0 ||
	    strcmp(info.accel, "kvm") != 0)
		*ret = vm_driver_find("qemu", e);
	return *ret ? 0 : -e->code;
}
