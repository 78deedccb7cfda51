/* SPDX-License-Identifier: MIT */
/*
 * vmm_main.c - caisson-vmm: one virtual machine on KVM
 *
 * Descriptor 0 is /dev/kvm, 3 the configuration (vmm_config.h), the rest what that names. Nothing
 * is opened by path. The machine is built, then the process shuts itself in, and only then is the
 * kernel or a saved state read and the first instruction of the guest run.
 *
 * Exit code 0: the guest powered off or rebooted, or the driver said so; 1: an error, on stderr.
 * The driver hears of all of them on its socket (VMM_CTL_ENDED) but an error in the configuration.
 * #syscalls:vmm brk exit_group gettid munmap
 */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>

#include "fdio.h"
#include "log.h"
#include "sandbox.h"
#include "snapshot.h"
#include "vmm_ctl.h"
#include "vmm_control.h"

#define KVM_FD 0

static uint32_t descriptors_count(void)
{
	uint32_t n = 0;

	while (n < VMM_FDS_MAX && fcntl(VMM_FD_FIRST + (int)n, F_GETFD) >= 0)
		n++;
	return n;
}

static int config_read(struct vmm_config *c, struct err *e)
{
	auto_buf b = BUF_LIMIT(VMM_CONFIG_SIZE_MAX);

	if (lseek(VMM_CONFIG_FD, 0, SEEK_SET) < 0 || fd_read_all(VMM_CONFIG_FD, &b) < 0)
		return err_set(e, errno, "configuration");
	close(VMM_CONFIG_FD);
	return vmm_config_parse(b.data, b.len, descriptors_count(), c, e);
}

static int shut_in(struct err *e)
{
	const struct sandbox_policy policy = { .kind = SANDBOX_VMM };

	close(KVM_FD); /* the machine's own descriptors do the rest */
	return sandbox_enter(&policy, e);
}

/* The error becomes the driver's to tell; one that is gone needs none. */
static void failure_tell(const struct vmm_config *c, enum vmm_ctl_end how, const struct err *e)
{
	auto_buf b = { 0 };

	if (vmm_ctl_put_ended(&b, how, e->msg) == 0)
		(void)!fd_write_full(c->ctl_fd, b.data, b.len);
}

static int contents_load(struct machine *m, const struct vmm_config *c, enum vmm_ctl_end *ret_how,
			 struct err *e)
{
	if (c->boot != VMM_BOOT_RESTORE)
		return machine_boot(m, e);
	if (snapshot_read(m, c->state_fd, e) == 0)
		return 0;
	*ret_how = VMM_CTL_END_STATE;
	return -e->code;
}

static int serve(struct machine *m, const struct vmm_config *c, struct vmm_control *control,
		 enum vmm_ctl_end *ret_how, struct err *e)
{
	if (shut_in(e) < 0)
		return -e->code;
	log_trace("vmm: sandbox");
	if (contents_load(m, c, ret_how, e) < 0)
		return -e->code;
	log_trace("vmm: contents");
	if (machine_start(m, e) < 0 || vmm_control_ready(control, e) < 0)
		return -e->code;
	machine_resume(m);
	log_trace("vmm: runs");
	return loop_run(m->loop, e);
}

static int run(const struct vmm_config *c, struct err *e)
{
	enum vmm_ctl_end how = VMM_CTL_END_ERROR;
	struct vmm_control *control = NULL;
	struct machine *m = NULL;
	struct loop *loop;
	int rc;

	if (loop_new(&loop, e) < 0)
		return -e->code;
	rc = machine_new(c, loop, KVM_FD, &m, e);
	log_trace("vmm: machine");
	if (rc == 0)
		rc = vmm_control_new(m, c->ctl_fd, &control, e);
	if (rc == 0)
		rc = serve(m, c, control, &how, e);
	if (rc < 0)
		failure_tell(c, how, e);
	vmm_control_free(control);
	machine_free(m);
	loop_free(loop);
	return rc;
}

int main(void)
{
	static struct vmm_config config;
	struct err e = { 0 };
	int rc;

	log_init("caisson-vmm", LOG_LEVEL_WARN, STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	(void)mallopt(M_ARENA_MAX, 1); /* threads hardly allocate; it cannot fail */
	rc = config_read(&config, &e);
	if (rc == 0)
		rc = run(&config, &e);
	if (rc < 0)
		log_error("%s", e.msg);
	return rc != 0;
}
