/* SPDX-License-Identifier: MIT */
/*
 * boot.c - what has to be there before the agent can work
 *
 * The initramfs cannot be pivoted away from, so a tmpfs becomes the root first: the waiting main
 * process can then use pivot_root like any container.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "fdio.h"
#include "guest_internal.h"
#include "log.h"

#define MODULE_LIST_MAX (64U << 10)
#define PORT_WAIT_MS    10000
#define PORT_STEP_MS    2
#define PORTS_DIR       "/sys/class/virtio-ports"

static void mount_at(const char *type, const char *target, unsigned long flags, const char *data)
{
	if (mkdir(target, 0755) < 0 && errno != EEXIST)
		log_error("mkdir %s: %s", target, strerror(errno));
	if (mount(type, target, type, flags, data) < 0 && errno != EBUSY)
		log_error("mount %s: %s", target, strerror(errno));
}

/* A bootable disk brings drivers of machines that this one is not, and what stands on them. */
static bool is_of_no_device(int error)
{
	return error == ENODEV || error == ENOENT;
}

static void module_load(const char *path)
{
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST &&
		       !is_of_no_device(errno)))
		log_error("module %s: %s", path, strerror(errno));
	(void)unlink(path); /* memory that nobody reads again */
}

static void modules_load(void)
{
	auto_buf list = { 0 };
	struct err e;

	if (file_read_at(AT_FDCWD, "/modules.list", MODULE_LIST_MAX, &list, &e) < 0) {
		log_error("%s", e.msg);
		return;
	}
	for (char *line = list.data; line && *line;) {
		char *end = strchr(line, '\n');

		if (end)
			*end = '\0';
		if (*line)
			module_load(line);
		line = end ? end + 1 : NULL;
	}
}

static void root_switch(void)
{
	if (mkdir("/newroot", 0755) < 0 ||
	    mount("tmpfs", "/newroot", "tmpfs", 0, "mode=755,size=16m") < 0 ||
	    chdir("/newroot") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		log_error("switch root: %s", strerror(errno));
}

static void sysctl_write(const char *path, const char *value)
{
	auto_fd fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, value, strlen(value)) < 0)
		log_error("%s: %s", path, strerror(errno));
}

static void limits_set(void)
{
	struct rlimit files = { .rlim_cur = 1048576, .rlim_max = 1048576 };
	struct rlimit unlimited = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };

	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_NPROC, &unlimited) < 0)
		log_error("rlimits: %s", strerror(errno));
	/* As container engines do: low ports and ping for everybody. */
	sysctl_write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
	sysctl_write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	/* Who sends to us knows our MAC before we have sent anything. */
	sysctl_write("/proc/sys/net/ipv4/conf/all/arp_notify", "1");
	sysctl_write("/proc/sys/vm/overcommit_memory", "0");
	sysctl_write("/proc/self/oom_score_adj", "-1000");
}

void boot_up(void)
{
	struct err e;

	modules_load();
	root_switch();
	mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("devtmpfs", "/dev", MS_NOSUID, NULL);
	mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755,size=16m");
	mount_at("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	limits_set();
	if (mkdir("/run/agent", 0755) < 0)
		log_error("/run/agent: %s", strerror(errno));
	if (netlink_loopback_up(&e) < 0)
		log_error("%s", e.msg);
}

/* The device of the port that has our name; -ENOENT while there is none. */
static int port_find(char path[64])
{
	auto_dir d = opendir(PORTS_DIR);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		auto_buf name = { 0 };
		struct err e;
		char file[320];

		snprintf(file, sizeof(file), PORTS_DIR "/%s/name", de->d_name);
		if (de->d_name[0] == '.' || file_read_at(AT_FDCWD, file, 4096, &name, &e) < 0)
			continue;
		if (name.len && !strncmp(name.data, AGENT_PORT_NAME, strlen(AGENT_PORT_NAME))) {
			snprintf(path, 64, "/dev/%.40s", de->d_name);
			return 0;
		}
	}
	return -ENOENT;
}

int boot_port_open(int *ret_fd, struct err *e)
{
	char path[64];

	for (int waited = 0; waited < PORT_WAIT_MS; waited += PORT_STEP_MS) {
		if (port_find(path) == 0) {
			*ret_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
			return *ret_fd < 0 ? err_set(e, errno, "open %s", path) : 0;
		}
		nanosleep(&(struct timespec){ .tv_nsec = PORT_STEP_MS * 1000000L }, NULL);
	}
	return err_plain(e, ETIMEDOUT, "no port named " AGENT_PORT_NAME);
}

void boot_power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	reboot(RB_AUTOBOOT); /* where there is no power register */
	_exit(0);
}
