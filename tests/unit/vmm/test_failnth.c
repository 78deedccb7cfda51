/* SPDX-License-Identifier: MIT */
/*
 * test_failnth.c - a machine with every device made, saved and loaded, when memory is short or a
 * system call fails; KVM is played here
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "dirty_log.h"
#include "failnth.h"
#include "kvm_play.h"
#include "log.h"
#include "snapshot.h"
#include "vhd.h"

#define DISK_SIZE (1ULL << 20)
#define RUN_SIZE  12288

/* ---- the KVM: a machine and a processor are files, and remember nothing */

static int cpuid_list(struct kvm_cpuid2 *c)
{
	memset(c->entries, 0, 2 * sizeof(c->entries[0]));
	c->nent = 2;
	c->entries[1].function = 0x80000008;
	c->entries[1].eax = 0x3028;
	return 0;
}

static int msrs_list(struct kvm_msr_list *l)
{
	l->nmsrs = 2;
	l->indices[0] = 0x10;
	l->indices[1] = 0x6e0;
	return 0;
}

static int file_made(size_t size)
{
	int fd = memfd_create("kvm", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, (off_t)size) < 0)
		fd_drop(&fd);
	return fd;
}

static int kvm_play(int fd, unsigned long request, void *arg)
{
	(void)fd;
	switch (request) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_CHECK_EXTENSION:
		return 1;
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
	case KVM_GET_CPUID2:
		return cpuid_list(arg);
	case KVM_GET_MSR_INDEX_LIST:
		return msrs_list(arg);
	case KVM_CREATE_VM:
	case KVM_CREATE_VCPU:
		return failnth_call("ioctl") ? (errno = ENOMEM, -1) : file_made(RUN_SIZE);
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		return (int)((const struct kvm_msrs *)arg)->nmsrs;
	case KVM_GET_IRQCHIP: /* its number stays */
		return 0;
	default:
		return failnth_call("ioctl") ? (errno = EIO, -1) : 0;
	}
}

/* ---- a machine */

static struct masters { /* each round has duplicates */
	int file, vhd, socks[2], listener, broker[2];
} masters;

static int state_fd, out_fd;

static int file_new(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
	return fd;
}

static int vhd_file_new(void)
{
	const struct vhd_create_options o = { .type = VHD_TYPE_DYNAMIC, .size = DISK_SIZE };
	int fd = memfd_create("vhd", MFD_CLOEXEC);
	struct vhd_err ve;
	struct vhd_io *io;

	assert_int_equal(vhd_io_file(dup(fd), "vhd", &io, &ve), 0);
	assert_int_equal(vhd_create_io(io, NULL, &o, &ve), 0);
	vhd_io_close(io);
	return fd;
}

static int listener_new(void)
{
	const struct sockaddr_un any = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(any.sun_family)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void masters_make(struct masters *m)
{
	m->file = file_new();
	m->vhd = vhd_file_new();
	m->listener = listener_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, m->socks), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, m->broker), 0);
}

static void disks_fill(struct vmm_config *c)
{
	c->n_disks = 5;
	c->disks[0] = (struct vmm_disk){ .kind = VMM_DISK_CONCAT,
					 .is_readonly = true,
					 .is_mapped = true,
					 .size = 2 * VMM_MAPPED_MIN,
					 .n_parts = 1 };
	c->disks[1] = (struct vmm_disk){ .kind = VMM_DISK_RAW, .size = DISK_SIZE, .n_fds = 1 };
	c->disks[2] = (struct vmm_disk){ .kind = VMM_DISK_CONCAT,
					 .is_readonly = true,
					 .size = DISK_SIZE,
					 .first_part = 1,
					 .n_parts = 2 };
	c->disks[3] = (struct vmm_disk){ .kind = VMM_DISK_VHD, .size = DISK_SIZE, .n_fds = 1 };
	c->disks[4] = (struct vmm_disk){ .kind = VMM_DISK_EMPTY };
	c->disks[1].fds[0] = dup(masters.file);
	c->disks[3].fds[0] = dup(masters.vhd);
	c->n_parts = 3;
	c->parts[0] = (struct vmm_part){ dup(masters.file), 0, 0, 8192 };
	c->parts[1] = (struct vmm_part){ dup(masters.file), 0, 0, 4096 };
	c->parts[2] = (struct vmm_part){ c->parts[1].fd, 8192, 4096, 4096 };
}

static void config_fill(struct vmm_config *c)
{
	vmm_config_init(c);
	c->cpus = 2;
	c->mem_bytes = VMM_MEM_MIN;
	disks_fill(c);
	c->n_shares = 1;
	memcpy(c->shares[0].tag, "share", 6);
	c->shares[0].sock_fd = dup(masters.socks[0]);
	c->has_net = true;
	c->net_fd = dup(masters.socks[0]);
	c->has_vsock = true;
	c->vsock_listen_fd = dup(masters.listener);
	c->vsock_broker_fd = dup(masters.broker[0]);
	c->agent_fd = dup(masters.socks[0]);
}

/* A descriptor that was not taken: the process would end now. */
static void leave(int fd)
{
	if (fd >= 0 && fcntl(fd, F_GETFD) >= 0)
		close(fd);
}

static void config_leave(const struct vmm_config *c)
{
	for (uint32_t i = 0; i < c->n_disks; i++)
		leave(c->disks[i].n_fds ? c->disks[i].fds[0] : -1);
	leave(c->parts[0].fd);
	leave(c->parts[1].fd);
	leave(c->shares[0].sock_fd);
	leave(c->net_fd);
	leave(c->vsock_listen_fd);
	leave(c->vsock_broker_fd);
	leave(c->agent_fd);
}

/* ---- the work */

struct job {
	uint64_t mem_max_bytes;
	uint32_t n_devices;
	int (*fn)(struct machine *m, struct err *e); /* NULL: it is made, and that is all */
};

static int machine_work(void *arg, struct err *e)
{
	static struct vmm_config c;
	const struct job *job = arg;
	struct machine *m = NULL;
	struct loop *loop = NULL;
	int rc;

	config_fill(&c);
	c.mem_max_bytes = job->mem_max_bytes;
	rc = loop_new(&loop, e);
	if (rc == 0)
		rc = machine_new(&c, loop, -1, &m, e);
	if (rc == 0)
		assert_int_equal(m->n_slots, job->n_devices);
	if (rc == 0 && job->fn)
		rc = job->fn(m, e);
	machine_free(m);
	loop_free(loop);
	config_leave(&c);
	return rc;
}

static void run(const char *name, struct job job, void (*check)(void *arg, int rc))
{
	failnth_run(&(struct failnth){ .name = name,
				       .work = machine_work,
				       .check = check,
				       .arg = &job,
				       .what = FAIL_ALLOC | FAIL_CALL });
}

static void test_made(void **state)
{
	(void)state;
	run("growing", (struct job){ 2 * VMM_MEM_MIN, 12, NULL }, NULL);
	run("not growing", (struct job){ 0, 11, NULL }, NULL);
}

static int state_write(struct machine *m, struct err *e)
{
	return snapshot_write(m, out_fd, e);
}

/* What says that it is written is whole. */
static void check_written(void *arg, int rc)
{
	auto_free uint8_t *data = malloc(SNAPSHOT_MAX);
	ssize_t n = pread(out_fd, data, SNAPSHOT_MAX, 0);
	struct state_in in;
	struct err e;

	(void)arg;
	if (rc == 0)
		assert_int_equal(snapshot_open(data, (size_t)n, &in, &e), 0);
	assert_int_equal(ftruncate(out_fd, 0), 0);
}

static int state_read(struct machine *m, struct err *e)
{
	return snapshot_read(m, state_fd, e);
}

static int state_keep(struct machine *m, struct err *e)
{
	return snapshot_write(m, state_fd, e);
}

static void test_saved_and_loaded(void **state)
{
	struct job keep = { 0, 11, state_keep };
	struct err e;

	(void)state;
	assert_int_equal(machine_work(&keep, &e), 0);
	run("saved", (struct job){ 0, 11, state_write }, check_written);
	run("loaded", (struct job){ 0, 11, state_read }, NULL);
}

static int log_read(struct machine *m, struct err *e)
{
	int rc = dirty_log_start(m, e);

	if (rc == 0)
		rc = dirty_log_get(m, out_fd, e);
	return rc < 0 ? rc : dirty_log_stop(m, e);
}

static void test_dirty_log(void **state)
{
	(void)state;
	run("dirty log", (struct job){ 0, 11, log_read }, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_saved_and_loaded),
		cmocka_unit_test(test_dirty_log),
	};

	log_init("test", LOG_LEVEL_ERROR + 1, -1);
	masters_make(&masters);
	state_fd = file_new();
	out_fd = file_new();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
