/* SPDX-License-Identifier: MIT */
/*
 * kvm_works.c - run a small guest with SSE under KVM, and check what it computed
 *
 *   kvm_works [TIMES]
 *
 * Says how long each took; ends with 1 if one failed. The first guest of the nested machine is slow
 * (its emulator has not translated KVM's code yet): session.sh runs this before the command, so
 * that a program that measures KVM before it trusts it measures what is usual there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define GUEST_LEN   0x3000
#define CODE_AT     0x1000
#define RESULT_AT   0x2000
#define CR0_FLAGS   0x13  /* PE, MP, ET */
#define CR4_FLAGS   0x600 /* OSFXSR, OSXMMEXCPT */
#define DONE_PORT   0x80
#define TURNS       100000
#define TURNS_BYTES 0xa0, 0x86, 0x01, 0x00

/* 32-bit flat code. Four sums of floats, a population count, a loop, and the end. */
static const uint8_t guest_code[] = {
	0xb8, 0x01,        0x00, 0x00, 0x00,             /* mov eax, 1 */
	0x66, 0x0f,        0x6e, 0xc0,                   /* movd xmm0, eax */
	0x66, 0x0f,        0x70, 0xc0, 0x00,             /* pshufd xmm0, xmm0, 0 */
	0x0f, 0x5b,        0xc0,                         /* cvtdq2ps xmm0, xmm0: four times 1.0 */
	0x0f, 0x57,        0xc9,                         /* xorps xmm1, xmm1 */
	0xb9, TURNS_BYTES,                               /* mov ecx, TURNS */
	0x0f, 0x58,        0xc8,                         /* L: addps xmm1, xmm0 */
	0x49,                                            /* dec ecx */
	0x75, 0xfa,                                      /* jnz L */
	0x66, 0x0f,        0x5b, 0xc9,                   /* cvtps2dq xmm1, xmm1 */
	0x0f, 0x11,        0x0d, 0x00, 0x20, 0x00, 0x00, /* movups [RESULT_AT], xmm1 */
	0xba, TURNS_BYTES,                               /* mov edx, TURNS */
	0xf3, 0x0f,        0xb8, 0xc2,                   /* popcnt eax, edx */
	0xe6, DONE_PORT,                                 /* out DONE_PORT, al */
};

struct guest {
	int kvm, vm, vcpu;
	uint8_t *memory;
	struct kvm_run *run;
	size_t run_len;
};

static int failed(const char *what)
{
	fprintf(stderr, "kvm_works: %s: %s\n", what, strerror(errno));
	return -1;
}

static int cpuid_copy(const struct guest *g)
{
	union { /* its entries follow it */
		struct kvm_cpuid2 head;
		uint8_t room[sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2)];
	} c = { .head = { .nent = 256 } };

	if (ioctl(g->kvm, KVM_GET_SUPPORTED_CPUID, &c) < 0 ||
	    ioctl(g->vcpu, KVM_SET_CPUID2, &c) < 0)
		return failed("CPUID");
	return 0;
}

static int registers_set(const struct guest *g)
{
	struct kvm_regs r = { .rip = CODE_AT, .rflags = 2 };
	struct kvm_segment code = { .limit = UINT32_MAX,
				    .selector = 8,
				    .type = 11,
				    .present = 1,
				    .db = 1,
				    .s = 1,
				    .g = 1 };
	struct kvm_segment data = code;
	struct kvm_sregs s;

	if (ioctl(g->vcpu, KVM_GET_SREGS, &s) < 0)
		return failed("KVM_GET_SREGS");
	data.selector = 16;
	data.type = 3;
	s.cs = code;
	s.ds = s.es = s.ss = s.fs = s.gs = data;
	s.cr0 = CR0_FLAGS;
	s.cr4 = CR4_FLAGS;
	if (ioctl(g->vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(g->vcpu, KVM_SET_REGS, &r) < 0)
		return failed("set registers");
	return 0;
}

static int guest_make(struct guest *g)
{
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_LEN };
	int len = ioctl(g->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	g->vm = ioctl(g->kvm, KVM_CREATE_VM, 0);
	g->memory =
		mmap(NULL, GUEST_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (len <= 0 || g->vm < 0 || g->memory == MAP_FAILED)
		return failed("make a machine");
	g->run_len = (size_t)len;
	memcpy(g->memory + CODE_AT, guest_code, sizeof(guest_code));
	region.userspace_addr = (uintptr_t)g->memory;
	if (ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return failed("give it memory");
	g->vcpu = ioctl(g->vm, KVM_CREATE_VCPU, 0);
	if (g->vcpu < 0)
		return failed("KVM_CREATE_VCPU");
	g->run = mmap(NULL, g->run_len, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	if (g->run == MAP_FAILED)
		return failed("map the vCPU");
	return cpuid_copy(g) < 0 ? -1 : registers_set(g);
}

static int guest_check(const struct guest *g)
{
	int32_t sums[4];
	uint8_t bits;

	if (ioctl(g->vcpu, KVM_RUN, 0) < 0)
		return failed("KVM_RUN");
	if (g->run->exit_reason != KVM_EXIT_IO || g->run->io.port != DONE_PORT) {
		fprintf(stderr, "kvm_works: the guest stopped with reason %u\n",
			g->run->exit_reason);
		return -1;
	}
	memcpy(sums, g->memory + RESULT_AT, sizeof(sums));
	memcpy(&bits, (const uint8_t *)g->run + g->run->io.data_offset, 1);
	for (int i = 0; i < 4; i++) {
		if (sums[i] == TURNS)
			continue;
		fprintf(stderr, "kvm_works: sum %d is %d\n", i, sums[i]);
		return -1;
	}
	if (bits == __builtin_popcount(TURNS))
		return 0;
	fprintf(stderr, "kvm_works: %u bits of %d\n", bits, TURNS);
	return -1;
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	int times = argc > 1 ? atoi(argv[1]) : 1;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0)
		return failed("/dev/kvm") ? 1 : 0;
	for (int i = 0; i < times; i++) {
		struct guest g = { .kvm = kvm, .vm = -1, .vcpu = -1 };
		double begin = now_ms();

		if (guest_make(&g) < 0 || guest_check(&g) < 0)
			return 1;
		printf("guest %d: right after %.1f ms\n", i + 1, now_ms() - begin);
		munmap(g.run, g.run_len);
		munmap(g.memory, GUEST_LEN);
		close(g.vcpu);
		close(g.vm);
	}
	return 0;
}
