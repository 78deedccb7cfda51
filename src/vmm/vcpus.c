/* SPDX-License-Identifier: MIT */
/*
 * vcpus.c - one thread per processor
 *
 * States of a thread: running (in KVM_RUN, or serving an exit) and parked (waiting on `changed`).
 * It parks only when KVM_RUN was interrupted: by then KVM has completed what the guest asked for
 * before, which it does on the next entry, even one that leaves at once.
 *
 * Stopping: under the lock, wants_pause is set and each shared page's immediate_exit; then the
 * threads get a signal. A thread that is before KVM_RUN sees immediate_exit there, one in it gets
 * the signal: there is no moment in between. immediate_exit is cleared by the thread itself, under
 * the lock, when it does not have to stop.
 *
 * Hostile: what the guest makes KVM tell us. An address, a length or a count is used only within
 * the bounds of KVM's own ABI, which are checked all the same.
 *
 * #syscalls:vmm clone exit futex getpid mmap mprotect munmap prctl rseq rt_sigaction
 * rt_sigprocmask seccomp set_robust_list tgkill #syscalls:vcpu exit futex ioctl madvise
 * rt_sigprocmask rt_sigreturn
 */
#include "vcpus.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sandbox.h"

static void count(uint64_t *n)
{
	__atomic_store_n(n, *n + 1, __ATOMIC_RELAXED); /* one writer */
}

static void leave_set(struct x86_vcpu *x, uint8_t value)
{
	__atomic_store_n(&x->run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

/* ---- exits ---- */

static void ended(struct vcpu *v, enum vmm_ctl_end why, const char *text)
{
	v->all->ops->ended(v->all->arg, why, text);
}

/* False: the machine has ended. */
static bool port_serve(struct vcpu *v)
{
	struct kvm_run *r = v->x.run;
	const uint32_t len = r->io.size;
	uint8_t *data = (uint8_t *)r + r->io.data_offset;

	count(&v->port_exits);
	if ((len != 1 && len != 2 && len != 4) || r->io.data_offset > v->x.run_size ||
	    (uint64_t)len * r->io.count > v->x.run_size - r->io.data_offset) {
		ended(v, VMM_CTL_END_ERROR, "KVM: an access to ports makes no sense");
		return false;
	}
	for (uint32_t i = 0; i < r->io.count; i++, data += len) {
		enum port_event what = PORT_NOTHING;

		if (r->io.direction == KVM_EXIT_IO_IN)
			v->all->ops->port_read(v->all->arg, r->io.port, data, len);
		else
			what = v->all->ops->port_write(v->all->arg, r->io.port, data, len);
		if (what != PORT_NOTHING) {
			ended(v, what == PORT_RESET ? VMM_CTL_END_RESET : VMM_CTL_END_POWER_OFF,
			      "");
			return false;
		}
	}
	return true;
}

static void mmio_serve(struct vcpu *v)
{
	struct kvm_run *r = v->x.run;
	uint8_t data[8];
	const uint32_t len = MIN_OF(r->mmio.len, (uint32_t)sizeof(data));

	count(&v->mmio_exits);
	if (r->mmio.is_write) {
		memcpy(data, r->mmio.data, sizeof(data));
		v->all->ops->mmio_write(v->all->arg, r->mmio.phys_addr, data, len);
	} else {
		memset(data, 0, sizeof(data));
		v->all->ops->mmio_read(v->all->arg, r->mmio.phys_addr, data, len);
		memcpy(r->mmio.data, data, sizeof(data));
	}
}

static bool exit_serve(struct vcpu *v)
{
	const struct kvm_run *r = v->x.run;
	char text[120];

	count(&v->exits);
	switch (r->exit_reason) {
	case KVM_EXIT_IO:
		return port_serve(v);
	case KVM_EXIT_MMIO:
		mmio_serve(v);
		return true;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_DEBUG:
		return true;
	case KVM_EXIT_SHUTDOWN:
	case KVM_EXIT_SYSTEM_EVENT:
		ended(v, VMM_CTL_END_CRASH, "the guest's processor gave up");
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(text, sizeof(text), "KVM cannot go on (internal error %u)",
			 r->internal.suberror);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(text, sizeof(text), "the processor refuses the guest (%#" PRIx64 ")",
			 (uint64_t)r->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		snprintf(text, sizeof(text), "KVM stopped for an unknown reason (%u)",
			 r->exit_reason);
	}
	ended(v, VMM_CTL_END_ERROR, text);
	return false;
}

/* ---- threads ---- */

/* False: the thread ends. `for_good`: not again before that. */
static bool park(struct vcpu *v, bool for_good)
{
	struct vcpus *c = v->all;
	bool goes_on;

	pthread_mutex_lock(&c->lock);
	v->is_parked = true;
	pthread_cond_broadcast(&c->parked);
	while (!c->wants_end && (c->wants_pause || for_good))
		pthread_cond_wait(&c->changed, &c->lock);
	goes_on = !c->wants_end;
	v->is_parked = false;
	if (goes_on)
		leave_set(&v->x, 0);
	pthread_mutex_unlock(&c->lock);
	return goes_on;
}

/* RAM has no other reasons to fail. */
static const char *run_failed(int error)
{
	return error == EFAULT
		       ? "memory of the guest's is not there: it was not given, or its file "
			 "was cut short"
		       : strerror(error);
}

static void *run(void *arg)
{
	struct vcpu *v = arg;
	struct err e = { 0 };
	bool is_over = false;

	if (sandbox_thread(SANDBOX_THREAD_VCPU, &e) < 0) {
		ended(v, VMM_CTL_END_ERROR, e.msg);
		is_over = true;
	}
	while (park(v, is_over)) {
		int r = 0;

		while (!is_over && (r = ioctl(v->x.fd, KVM_RUN, 0)) >= 0)
			is_over = !exit_serve(v);
		if (r < 0 && errno != EINTR && errno != EAGAIN) {
			ended(v, VMM_CTL_END_ERROR, run_failed(errno));
			is_over = true;
		}
	}
	return NULL;
}

static void kicked(int signo)
{
	(void)signo; /* that KVM_RUN returns is all */
}

int vcpus_init(struct vcpus *c, struct x86_vm *vm, uint32_t n, const struct vcpus_ops *ops,
	       void *arg, struct err *e)
{
	*c = (struct vcpus){ .ops = ops, .arg = arg, .wants_pause = true };
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->parked, NULL);
	pthread_cond_init(&c->changed, NULL);
	for (; c->n < n; c->n++) {
		c->v[c->n].all = c;
		if (x86_vcpu_create(vm, c->n, &c->v[c->n].x, e) < 0)
			return -e->code;
	}
	return 0;
}

int vcpus_start(struct vcpus *c, struct err *e)
{
	const struct sigaction action = { .sa_handler = kicked };
	sigset_t all, old;
	int rc = 0;

	if (sigaction(VCPUS_SIGNAL, &action, NULL) < 0)
		return err_set(e, errno, "signal of vCPUs");
	sigfillset(&all);
	sigdelset(&all, VCPUS_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	for (uint32_t i = 0; rc == 0 && i < c->n; i++) {
		rc = pthread_create(&c->v[i].thread, NULL, run, &c->v[i]);
		c->v[i].has_thread = rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc ? err_set(e, rc, "thread of a vCPU") : 0;
}

static void leave_ask(struct vcpus *c)
{
	for (uint32_t i = 0; i < c->n; i++) {
		leave_set(&c->v[i].x, 1);
		if (c->v[i].has_thread)
			pthread_kill(c->v[i].thread, VCPUS_SIGNAL);
	}
}

void vcpus_pause(struct vcpus *c)
{
	pthread_mutex_lock(&c->lock);
	c->wants_pause = true;
	leave_ask(c);
	for (uint32_t i = 0; i < c->n; i++)
		while (c->v[i].has_thread && !c->v[i].is_parked)
			pthread_cond_wait(&c->parked, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void vcpus_resume(struct vcpus *c)
{
	pthread_mutex_lock(&c->lock);
	c->wants_pause = false;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void vcpus_done(struct vcpus *c)
{
	if (!c->ops)
		return;
	pthread_mutex_lock(&c->lock);
	c->wants_end = true;
	leave_ask(c);
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	for (uint32_t i = 0; i < c->n; i++) {
		if (c->v[i].has_thread)
			pthread_join(c->v[i].thread, NULL);
		x86_vcpu_done(&c->v[i].x);
	}
	pthread_cond_destroy(&c->changed);
	pthread_cond_destroy(&c->parked);
	pthread_mutex_destroy(&c->lock);
	c->ops = NULL;
}
