/* SPDX-License-Identifier: MIT */
/*
 * test_vcpus.c - vCPU threads are stopped, go on and end, against a KVM that is played here
 *
 * ioctl() is called in the place of the library's. KVM_RUN "runs the guest": it returns at once
 * where immediate_exit is set, else it waits a moment for the signal, and then exits for a
 * register, a port or nothing. What the guest asked for is completed on the next entry only, as in
 * KVM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kvm_play.h"
#include "sandbox.h"
#include "vcpus.h"

#define CPUS      4U
#define RUN_SIZE  8192U
#define DATA_AT   4096U
#define GPA       0xd0000000ULL
#define REG_VALUE 0x5a
#define WAIT_NS   200000
#define PORT      0x3f8

enum script {
	SCRIPT_MIXED,
	SCRIPT_SLEEP, /* exits for nothing: waits in KVM_RUN until it is asked to leave */
	SCRIPT_RESET, /* the first processor writes 1 to port 0x600 after some exits, the rest as
			 mixed */
	SCRIPT_ALL_RESET,  /* all do */
	SCRIPT_SHUTDOWN,   /* triple fault */
	SCRIPT_BAD_PORT,   /* a size that is none */
	SCRIPT_BAD_OFFSET, /* data behind the shared page */
	SCRIPT_UNKNOWN,
	SCRIPT_EIO,
	SCRIPT_EFAULT,
	SCRIPT_COUNT_,
};

struct fake_vcpu {
	int fd;
	struct kvm_run *run;
	uint64_t turns;         /* its thread's, atomically */
	bool is_in_run;         /* atomically */
	bool has_read;          /* its answer is due */
	uint32_t requests_open; /* atomically: what the main thread sees of it */
};

static struct fake {
	enum script script;
	struct fake_vcpu v[CPUS];
	uint32_t n_created;
	int create_fails_at; /* -1: never */
	uint64_t wrong;      /* answers that were none, atomically */
	bool filter_fails;
} fake;

static void count_up(uint64_t *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

static uint64_t count_get(const uint64_t *n)
{
	return __atomic_load_n(n, __ATOMIC_SEQ_CST);
}

/* ---- the KVM ---- */

int sandbox_thread(enum sandbox_thread kind, struct err *e)
{
	assert_int_equal(kind, SANDBOX_THREAD_VCPU);
	return fake.filter_fails ? err_plain(e, EPERM, "no filter") : 0;
}

static int vcpu_create(unsigned long index)
{
	const int fd = memfd_create("vcpu", MFD_CLOEXEC);

	if ((int)index == fake.create_fails_at) {
		close(fd);
		errno = EMFILE;
		return -1;
	}
	assert_true(fd >= 0 && index < CPUS);
	assert_int_equal(ftruncate(fd, RUN_SIZE), 0);
	fake.v[index].fd = fd;
	fake.n_created++;
	return fd;
}

static struct fake_vcpu *vcpu_of(int fd)
{
	for (uint32_t i = 0; i < CPUS; i++)
		if (fake.v[i].fd == fd)
			return &fake.v[i];
	return NULL;
}

/* What was asked for is done: KVM does so even where it leaves at once. */
static void request_complete(struct fake_vcpu *v)
{
	if (v->has_read && v->run->mmio.data[0] != REG_VALUE)
		count_up(&fake.wrong);
	v->has_read = false;
	__atomic_store_n(&v->requests_open, 0, __ATOMIC_SEQ_CST);
}

static void exit_mmio(struct fake_vcpu *v, bool is_write)
{
	v->run->exit_reason = KVM_EXIT_MMIO;
	v->run->mmio.phys_addr = GPA;
	v->run->mmio.len = 4;
	v->run->mmio.is_write = is_write;
	memset(v->run->mmio.data, 0, sizeof(v->run->mmio.data));
	v->has_read = !is_write;
}

static void exit_port(struct fake_vcpu *v, uint16_t port, uint8_t value, uint32_t n)
{
	v->run->exit_reason = KVM_EXIT_IO;
	v->run->io.direction = KVM_EXIT_IO_OUT;
	v->run->io.size = 1;
	v->run->io.port = port;
	v->run->io.count = n;
	v->run->io.data_offset = DATA_AT;
	memset((uint8_t *)v->run + DATA_AT, value, n);
}

static int exit_special(struct fake_vcpu *v)
{
	exit_port(v, 0x600, 1, 1);
	switch (fake.script) {
	case SCRIPT_SHUTDOWN:
		v->run->exit_reason = KVM_EXIT_SHUTDOWN;
		break;
	case SCRIPT_BAD_PORT:
		v->run->io.size = 3;
		break;
	case SCRIPT_BAD_OFFSET:
		v->run->io.data_offset = RUN_SIZE - 1;
		v->run->io.size = 4;
		break;
	case SCRIPT_UNKNOWN:
		v->run->exit_reason = 999;
		break;
	case SCRIPT_EIO:
		errno = EIO;
		return -1;
	case SCRIPT_EFAULT:
		errno = EFAULT;
		return -1;
	default:
		break;
	}
	return 0;
}

static bool is_special(const struct fake_vcpu *v)
{
	return fake.script >= SCRIPT_RESET && count_get(&v->turns) % 50 == 49 &&
	       (fake.script == SCRIPT_ALL_RESET || v == &fake.v[0]);
}

/* The guest's instructions. Interrupted (no signal is lost between the look and the wait: it is
 * blocked but in the wait): true. */
static bool guest_runs(struct fake_vcpu *v)
{
	const struct timespec wait = { 0, WAIT_NS };
	sigset_t with, without;
	bool leaves = false;

	sigemptyset(&with);
	sigaddset(&with, VCPUS_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &with, &without);
	do {
		if (__atomic_load_n(&v->run->immediate_exit, __ATOMIC_SEQ_CST))
			leaves = true;
		else if (fake.script == SCRIPT_SLEEP)
			leaves = ppoll(NULL, 0, NULL, &without) < 0;
		else
			leaves = ppoll(NULL, 0, &wait, &without) < 0;
	} while (fake.script == SCRIPT_SLEEP && !leaves);
	pthread_sigmask(SIG_SETMASK, &without, NULL);
	return leaves;
}

static int vcpu_run(struct fake_vcpu *v)
{
	const uint64_t turn = count_get(&v->turns);

	request_complete(v);
	if (guest_runs(v)) {
		v->run->exit_reason = KVM_EXIT_INTR;
		errno = EINTR;
		return -1;
	}
	count_up(&v->turns);
	__atomic_store_n(&v->requests_open, 1, __ATOMIC_SEQ_CST);
	if (is_special(v))
		return exit_special(v);
	switch (turn % 4) {
	case 0:
		exit_mmio(v, true);
		break;
	case 1:
		exit_mmio(v, false);
		break;
	case 2:
		exit_port(v, PORT, 'x', 3);
		break;
	default:
		request_complete(v);
		v->run->exit_reason = KVM_EXIT_INTR;
	}
	return 0;
}

static int kvm_play(int fd, unsigned long request, void *arg)
{
	struct fake_vcpu *v = vcpu_of(fd);
	int rc;

	if (request == KVM_CREATE_VCPU)
		return vcpu_create((uintptr_t)arg);
	assert_true(v && request == KVM_RUN);
	__atomic_store_n(&v->is_in_run, true, __ATOMIC_SEQ_CST);
	rc = vcpu_run(v);
	__atomic_store_n(&v->is_in_run, false, __ATOMIC_SEQ_CST);
	return rc;
}

/* ---- the machine ---- */

struct fixture {
	struct x86_vm vm;
	struct vcpus c;
	uint64_t reads, writes, port_bytes, ends; /* atomically */
	uint32_t why;
	char text[120];
	pthread_mutex_t lock;
};

static void on_read(void *arg, uint64_t gpa, void *data, uint32_t len)
{
	assert_int_equal(gpa, GPA);
	assert_int_equal(len, 4);
	memset(data, REG_VALUE, len);
	count_up(&((struct fixture *)arg)->reads);
}

static void on_write(void *arg, uint64_t gpa, const void *data, uint32_t len)
{
	(void)data;
	assert_int_equal(gpa, GPA);
	assert_int_equal(len, 4);
	count_up(&((struct fixture *)arg)->writes);
}

static void on_port_read(void *arg, uint16_t port, void *data, uint32_t len)
{
	(void)arg;
	(void)port;
	memset(data, 0xff, len);
}

static enum port_event on_port_write(void *arg, uint16_t port, const void *data, uint32_t len)
{
	if (port == PORT)
		count_up(&((struct fixture *)arg)->port_bytes);
	return legacy_port_write(NULL, port, data, len);
}

static void on_ended(void *arg, enum vmm_ctl_end why, const char *text)
{
	struct fixture *f = arg;

	pthread_mutex_lock(&f->lock);
	f->why = why;
	snprintf(f->text, sizeof(f->text), "%s", text);
	pthread_mutex_unlock(&f->lock);
	count_up(&f->ends);
}

static const struct vcpus_ops ops = { on_read, on_write, on_port_read, on_port_write, on_ended };

static void begin(struct fixture *f, enum script script)
{
	struct err e = { 0 };

	memset(&fake, 0, sizeof(fake));
	fake.script = script;
	fake.create_fails_at = -1;
	for (uint32_t i = 0; i < CPUS; i++)
		fake.v[i].fd = -1;
	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	f->vm = (struct x86_vm){ .kvm_fd = -1, .fd = -1, .run_size = RUN_SIZE };
	assert_int_equal(vcpus_init(&f->c, &f->vm, CPUS, &ops, f, &e), 0);
	for (uint32_t i = 0; i < CPUS; i++)
		fake.v[i].run = f->c.v[i].x.run;
}

static void start(struct fixture *f, enum script script)
{
	struct err e = { 0 };

	begin(f, script);
	assert_int_equal(vcpus_start(&f->c, &e), 0);
}

static void finish(struct fixture *f)
{
	vcpus_done(&f->c);
	assert_int_equal(count_get(&fake.wrong), 0);
	pthread_mutex_destroy(&f->lock);
	for (uint32_t i = 0; i < CPUS; i++)
		assert_false(fake.v[i].is_in_run);
}

static void nap(long us)
{
	const struct timespec t = { 0, us * 1000 };

	nanosleep(&t, NULL);
}

static uint64_t turns(void)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < CPUS; i++)
		n += count_get(&fake.v[i].turns);
	return n;
}

static void wait_for(const uint64_t *n, uint64_t at_least)
{
	for (int i = 0; i < 20000 && count_get(n) < at_least; i++)
		nap(1000);
	assert_true(count_get(n) >= at_least);
}

/* No thread is in the guest, none owes it an answer, and that stays so. */
static void assert_still(const struct fixture *f, long us)
{
	const uint64_t before = turns();
	const uint64_t reads = count_get(&f->reads);

	for (int i = 0; i < 2; i++) {
		for (uint32_t k = 0; k < CPUS; k++) {
			assert_false(__atomic_load_n(&fake.v[k].is_in_run, __ATOMIC_SEQ_CST));
			assert_int_equal(
				__atomic_load_n(&fake.v[k].requests_open, __ATOMIC_SEQ_CST), 0);
		}
		nap(us);
	}
	assert_int_equal(turns(), before);
	assert_int_equal(count_get(&f->reads), reads);
}

/* ---- tests ---- */

static void waits_until_resumed(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SCRIPT_MIXED);
	assert_still(&f, 20000);
	assert_int_equal(turns(), 0);
	vcpus_pause(&f.c); /* it is */
	vcpus_resume(&f.c);
	for (uint32_t i = 0; i < CPUS; i++)
		wait_for(&fake.v[i].turns, 20);
	finish(&f);
	assert_int_equal(f.ends, 0);
}

static void pauses_and_goes_on(void **state)
{
	struct fixture f;
	uint64_t progress = 0;
	uint32_t seed = 1;

	(void)state;
	start(&f, SCRIPT_MIXED);
	for (int i = 0; i < 400; i++) {
		const uint64_t before = turns();

		vcpus_resume(&f.c);
		seed = seed * 1103515245U + 12345U;
		if (seed >> 30) /* one in four: at once */
			nap((seed >> 16) % 1500);
		vcpus_pause(&f.c);
		assert_still(&f, i % 20 ? 0 : 3000);
		progress += turns() > before;
	}
	assert_true(progress > 50);
	assert_true(f.reads > 0 && f.writes > 0 && f.port_bytes > 0);
	vcpus_resume(&f.c);
	for (uint32_t i = 0; i < CPUS; i++)
		wait_for(&fake.v[i].turns, count_get(&fake.v[i].turns) + 5);
	for (uint32_t i = 0; i < CPUS; i++)
		assert_true(__atomic_load_n(&f.c.v[i].exits, __ATOMIC_RELAXED) > 0);
	finish(&f);
	assert_int_equal(f.ends, 0);
}

/* One that sleeps in the guest hears only the signal. */
static void sleepers_leave(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SCRIPT_SLEEP);
	for (int i = 0; i < 300; i++) {
		vcpus_resume(&f.c);
		if (i % 3)
			nap(i % 5 * 200);
		vcpus_pause(&f.c);
		assert_still(&f, 0);
	}
	vcpus_resume(&f.c);
	nap(2000);
	finish(&f);
}

static void ends_in_any_state(void **state)
{
	struct fixture f;

	(void)state;
	for (int i = 0; i < 60; i++) {
		const enum script script = i % 2 ? SCRIPT_SLEEP : SCRIPT_MIXED;

		if (i % 6 == 0) { /* no threads at all */
			begin(&f, script);
			finish(&f);
			vcpus_done(&f.c); /* again: nothing */
			continue;
		}
		start(&f, script);
		if (i % 6 >= 2)
			vcpus_resume(&f.c);
		if (i % 6 >= 3)
			nap(i * 20);
		if (i % 6 >= 4)
			vcpus_pause(&f.c);
		if (i % 6 == 5)
			vcpus_resume(&f.c);
		finish(&f);
		assert_int_equal(f.ends, 0);
	}
}

static void creation_fails(void **state)
{
	struct fixture f = { 0 };
	struct err e = { 0 };

	(void)state;
	begin(&f, SCRIPT_MIXED);
	finish(&f);
	fake.create_fails_at = 2;
	f.vm.run_size = RUN_SIZE;
	assert_int_equal(vcpus_init(&f.c, &f.vm, CPUS, &ops, &f, &e), -EMFILE);
	assert_string_not_equal(e.msg, "");
	vcpus_done(&f.c);
}

static const struct {
	enum script script;
	enum vmm_ctl_end why;
	uint32_t ends;
	const char *text;
} ends[] = {
	{ SCRIPT_RESET, VMM_CTL_END_RESET, 1, "" },
	{ SCRIPT_ALL_RESET, VMM_CTL_END_RESET, CPUS, "" },
	{ SCRIPT_SHUTDOWN, VMM_CTL_END_CRASH, 1, "the guest's processor gave up" },
	{ SCRIPT_BAD_PORT, VMM_CTL_END_ERROR, 1, "KVM: an access to ports makes no sense" },
	{ SCRIPT_BAD_OFFSET, VMM_CTL_END_ERROR, 1, "KVM: an access to ports makes no sense" },
	{ SCRIPT_UNKNOWN, VMM_CTL_END_ERROR, 1, "KVM stopped for an unknown reason (999)" },
	{ SCRIPT_EIO, VMM_CTL_END_ERROR, 1, "Input/output error" },
	{ SCRIPT_EFAULT, VMM_CTL_END_ERROR, 1,
	  "memory of the guest's is not there: it was not given, or its file was cut short" },
};

/* It is told once, the processor runs no more, and all can still be paused, resumed and ended. */
static void the_end_is_told_once(void **state)
{
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		uint64_t last;

		start(&f, ends[i].script);
		vcpus_resume(&f.c);
		wait_for(&f.ends, ends[i].ends);
		last = count_get(&fake.v[0].turns);
		for (int k = 0; k < 20; k++) {
			vcpus_pause(&f.c);
			vcpus_resume(&f.c);
			nap(500);
		}
		vcpus_pause(&f.c);
		assert_int_equal(count_get(&fake.v[0].turns), last);
		assert_int_equal(f.ends, ends[i].ends);
		assert_int_equal(f.why, ends[i].why);
		assert_string_equal(f.text, ends[i].text);
		if (i % 2)
			vcpus_resume(&f.c);
		finish(&f);
		assert_int_equal(f.ends, ends[i].ends);
	}
}

static void a_filter_that_fails_ends_it(void **state)
{
	struct fixture f;
	struct err e = { 0 };

	(void)state;
	begin(&f, SCRIPT_MIXED);
	fake.filter_fails = true;
	assert_int_equal(vcpus_start(&f.c, &e), 0);
	wait_for(&f.ends, CPUS);
	vcpus_resume(&f.c);
	nap(5000);
	vcpus_pause(&f.c);
	assert_int_equal(turns(), 0);
	assert_int_equal(f.why, VMM_CTL_END_ERROR);
	assert_string_equal(f.text, "no filter");
	finish(&f);
	assert_int_equal(f.ends, CPUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_until_resumed),
		cmocka_unit_test(pauses_and_goes_on),
		cmocka_unit_test(sleepers_leave),
		cmocka_unit_test(ends_in_any_state),
		cmocka_unit_test(creation_fails),
		cmocka_unit_test(the_end_is_told_once),
		cmocka_unit_test(a_filter_that_fails_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
