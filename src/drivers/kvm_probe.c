/* SPDX-License-Identifier: MIT */
/*
 * kvm_probe.c - run popcnt and a loop of 100,000 turns in a guest
 *
 * Hardware needs well under a millisecond; a KVM that interprets ordinary guests stops at popcnt,
 * or takes a hundred milliseconds for the loop. A child does it, so that a wedged vCPU can be
 * killed.
 */
#include "kvm_probe.h"

#include <cpuid.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <x86intrin.h>

#include "cleanup.h"

#define PROBE_MS  1000 /* an interpreter fails by its error at once, or by being slow */
#define SLOW_MS   50
#define TRIES     4
#define GUEST_LEN 0x2000

enum verdict { PROBE_OK, PROBE_NO_VM, PROBE_STOPPED, PROBE_SLOW };

/* popcnt eax,ecx; mov ecx,100000; L: dec ecx; jnz L; out 0x80,al - the same bytes in 32-bit flat
 * mode */
static const uint8_t guest_code[] = { 0xf3, 0x0f, 0xb8, 0xc1, 0xb9, 0xa0, 0x86, 0x01,
				      0x00, 0xff, 0xc9, 0x75, 0xfc, 0xe6, 0x80 };

static int vcpu_start_state(int vcpu)
{
	struct kvm_sregs s;
	struct kvm_regs r = { .rip = 0x1000, .rflags = 2 };

	if (ioctl(vcpu, KVM_GET_SREGS, &s) < 0)
		return -1;
	s.cs = (struct kvm_segment){ .limit = 0xffffffff,
				     .selector = 8,
				     .type = 11,
				     .present = 1,
				     .db = 1,
				     .s = 1,
				     .g = 1 };
	s.ds = s.es = s.ss = s.fs = s.gs = (struct kvm_segment){ .limit = 0xffffffff,
								 .selector = 16,
								 .type = 3,
								 .present = 1,
								 .db = 1,
								 .s = 1,
								 .g = 1 };
	s.cr0 = 0x11;
	return ioctl(vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(vcpu, KVM_SET_REGS, &r) < 0 ? -1 : 0;
}

static int cpuid_copy(int kvm, int vcpu)
{
	union { /* its entries follow it */
		struct kvm_cpuid2 head;
		uint8_t room[sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2)];
	} c = { .head = { .nent = 256 } };

	return ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &c) < 0 || ioctl(vcpu, KVM_SET_CPUID2, &c) < 0
		       ? -1
		       : 0;
}

static enum verdict guest_run(int kvm)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0), vcpu;
	int run_len = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *mem =
		mmap(NULL, GUEST_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_LEN,
						      .userspace_addr = (uintptr_t)mem };
	struct kvm_run *run;

	if (vm < 0 || mem == MAP_FAILED || run_len <= 0 ||
	    ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return PROBE_NO_VM;
	memcpy((uint8_t *)mem + 0x1000, guest_code, sizeof(guest_code));
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0 || cpuid_copy(kvm, vcpu) < 0 || vcpu_start_state(vcpu) < 0)
		return PROBE_NO_VM;
	run = mmap(NULL, (size_t)run_len, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED || ioctl(vcpu, KVM_RUN, 0) < 0)
		return PROBE_STOPPED;
	return run->exit_reason == KVM_EXIT_IO ? PROBE_OK : PROBE_STOPPED;
}

static double monotonic_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* A host that is busy is slow now and then, an interpreter always. */
static enum verdict best_verdict(int kvm)
{
	enum verdict v = PROBE_SLOW;

	for (int i = 0; i < TRIES && v == PROBE_SLOW; i++) {
		const double begin = monotonic_ms();

		v = guest_run(kvm);
		if (v == PROBE_OK && monotonic_ms() - begin > SLOW_MS)
			v = PROBE_SLOW;
	}
	return v;
}

static enum verdict probe_in_child(int kvm)
{
	int status, waited;
	pid_t pid = fork();

	if (pid < 0)
		return PROBE_NO_VM;
	if (pid == 0)
		_exit(best_verdict(kvm));
	for (waited = 0; waited < PROBE_MS && waitpid(pid, &status, WNOHANG) == 0; waited++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	if (waited == PROBE_MS) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return PROBE_SLOW;
	}
	return WIFEXITED(status) ? (enum verdict)WEXITSTATUS(status) : PROBE_STOPPED;
}

bool kvm_probe(char *why, size_t len)
{
	static const char *const texts[] = {
		[PROBE_OK] = "/dev/kvm runs guests",
		[PROBE_NO_VM] = "/dev/kvm opens, but makes no machine",
		[PROBE_STOPPED] =
			"this /dev/kvm cannot run ordinary guests (their instructions stop it); using emulation",
		[PROBE_SLOW] = "this /dev/kvm only interprets ordinary guests; using emulation",
	};
	auto_fd kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	enum verdict v;

	if (kvm < 0) {
		snprintf(why, len, "/dev/kvm: %s; using emulation", strerror(errno));
		return false;
	}
	v = probe_in_child(kvm);
	snprintf(why, len, "%s", texts[v]);
	return v == PROBE_OK;
}

/* What an entry says of this one processor and not of all: its APIC id. */
static void cpu_own_drop(struct kvm_cpuid_entry2 *c)
{
	if (c->function == 1)
		c->ebx &= 0x00ffffffU;
	if (c->function == 0xb || c->function == 0x1f)
		c->edx = 0;
	if (c->function == 0x8000001e)
		c->eax = c->ebx = c->ecx = 0;
}

uint64_t kvm_cpu_hash(void)
{
	union { /* its entries follow it */
		struct kvm_cpuid2 head;
		uint8_t room[sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2)];
	} c = { .head = { .nent = 256 } };
	auto_fd kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	uint64_t hash = 0xcbf29ce484222325ULL;

	if (kvm < 0 || ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &c) < 0)
		return 0;
	for (uint32_t i = 0; i < c.head.nent; i++) {
		const uint8_t *raw = (const uint8_t *)&c.head.entries[i];

		cpu_own_drop(&c.head.entries[i]);
		for (size_t k = 0; k < sizeof(c.head.entries[i]); k++)
			hash = (hash ^ raw[k]) * 0x100000001b3ULL;
	}
	return hash;
}

uint32_t tsc_khz_measure(void)
{
	unsigned a, b, c, d;
	uint64_t t0, t1;
	double m0, m1;

	/* Leaf 0x15: crystal in Hz, and its ratio to the counter. */
	if (__get_cpuid_count(0x15, 0, &a, &b, &c, &d) && a && b && c)
		return (uint32_t)((uint64_t)c * b / a / 1000);
	m0 = monotonic_ms();
	t0 = __rdtsc();
	nanosleep(&(struct timespec){ .tv_nsec = 15000000 }, NULL);
	m1 = monotonic_ms();
	t1 = __rdtsc();
	return m1 > m0 && t1 > t0 ? (uint32_t)((double)(t1 - t0) / (m1 - m0)) : 0;
}
