/* SPDX-License-Identifier: MIT */
/*
 * x86_vcpu.c - registers of a vCPU
 *
 * Saving: MP state first, since reading it may change the others; events last, since reading others
 * may change them. A deadline timer that reads 0 may just have fired and its interrupt be lost:
 * the present is saved as its deadline, which fires at once.
 *
 * Loading: CPUID before any MSR; the rate of the TSC before its value; registers before events,
 * which setting them drops; special registers (APIC base) before the local APIC, that before MSRs
 * (the deadline is taken in deadline mode only), the deadline after the TSC.
 * #syscalls:vmm ioctl
 */
#include "x86_vcpu.h"

#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define MSR_TSC          0x10U
#define MSR_TSC_DEADLINE 0x6e0U
#define MSR_MISC_ENABLE  0x1a0U
#define MSR_MTRR_DEFAULT 0x2ffU
#define XSAVE_MAX        (64U << 10)
#define TSC_PPM          250 /* a rate that differs by less is the same */

union msrs { /* entries follow the head */
	struct kvm_msrs head;
	uint8_t room[sizeof(struct kvm_msrs) + X86_MSRS_MAX * sizeof(struct kvm_msr_entry)];
};

int x86_vcpu_create(struct x86_vm *vm, uint32_t index, struct x86_vcpu *ret, struct err *e)
{
	struct x86_vcpu v = { .index = index, .run_size = vm->run_size };

	v.fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (v.fd < 0)
		return err_set(e, errno, "KVM: create vCPU %u", index);
	v.run = mmap(NULL, v.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v.fd, 0);
	if (v.run == MAP_FAILED) {
		(void)err_set(e, errno, "KVM: vCPU %u", index);
		fd_drop(&v.fd);
		return -e->code;
	}
	*ret = v;
	return 0;
}

void x86_vcpu_done(struct x86_vcpu *v)
{
	if (v->run)
		munmap(v->run, v->run_size);
	v->run = NULL;
	fd_drop(&v->fd);
}

/* ---- boot ---- */

static int cpuid_set(struct x86_vcpu *v, const struct kvm_cpuid_entry2 *cpuid, size_t n,
		     struct err *e)
{
	union x86_cpuid_room c = { .head = { .nent = (uint32_t)n } };

	if (n > X86_CPUID_MAX)
		return err_plain(e, EINVAL, "too much CPUID");
	memcpy(c.head.entries, cpuid, n * sizeof(*cpuid));
	return ioctl(v->fd, KVM_SET_CPUID2, &c) < 0 ? err_set(e, errno, "KVM: set CPUID") : 0;
}

static int msrs_boot(struct x86_vcpu *v, struct err *e)
{
	static const struct kvm_msr_entry values[] = {
		{ .index = 0x174 },
		{ .index = 0x175 },
		{ .index = 0x176 },
		{ .index = 0xc0000081 },
		{ .index = 0xc0000082 },
		{ .index = 0xc0000083 },
		{ .index = 0xc0000084 },
		{ .index = 0xc0000102 },
		{ .index = MSR_TSC },
		{ .index = MSR_MISC_ENABLE, .data = 1 },      /* fast strings */
		{ .index = MSR_MTRR_DEFAULT, .data = 0x806 }, /* on, write-back */
	};
	union msrs m = { .head = { .nmsrs = ARRAY_SIZE(values) } };

	memcpy(m.head.entries, values, sizeof(values));
	if (ioctl(v->fd, KVM_SET_MSRS, &m) != (int)ARRAY_SIZE(values))
		return err_plain(e, EIO, "KVM: MSRs of vCPU %u", v->index);
	return 0;
}

/* LINT0 takes the interrupts of a PIC, LINT1 is NMI: as firmware leaves them. */
static int lapic_boot(struct x86_vcpu *v, struct err *e)
{
	struct kvm_lapic_state l;

	if (ioctl(v->fd, KVM_GET_LAPIC, &l) < 0)
		return err_set(e, errno, "KVM: local APIC");
	put_le32(l.regs + 0x350, (get_le32(l.regs + 0x350) & ~0x700U) | 7U << 8);
	put_le32(l.regs + 0x360, (get_le32(l.regs + 0x360) & ~0x700U) | 4U << 8);
	return ioctl(v->fd, KVM_SET_LAPIC, &l) < 0 ? err_set(e, errno, "KVM: local APIC") : 0;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool is_long_code)
{
	return (struct kvm_segment){ .limit = 0xffffffffU,
				     .selector = selector,
				     .type = type,
				     .present = 1,
				     .db = !is_long_code,
				     .s = 1,
				     .l = is_long_code,
				     .g = 1 };
}

static int sregs_boot(struct x86_vcpu *v, bool is_long, struct err *e)
{
	struct kvm_sregs s;

	if (ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
		return err_set(e, errno, "KVM: registers");
	s.cs = segment(0x08, 11, is_long);
	s.ds = s.es = s.fs = s.gs = s.ss = segment(0x10, 3, false);
	s.tr = (struct kvm_segment){ .limit = 0x67, .selector = 0x18, .type = 11, .present = 1 };
	s.gdt = (struct kvm_dtable){ .base = X86_GDT, .limit = X86_GDT_LIMIT };
	s.idt = (struct kvm_dtable){ .base = X86_IDT, .limit = X86_IDT_LIMIT };
	s.cr0 = 0x11; /* PE, ET */
	s.cr4 = 0;
	s.efer = 0;
	if (is_long) {
		s.cr0 |= 1ULL << 31; /* PG */
		s.cr4 = 1U << 5;     /* PAE */
		s.efer = 0x500;      /* LME, LMA */
		s.cr3 = X86_PML4;
	}
	return ioctl(v->fd, KVM_SET_SREGS, &s) < 0 ? err_set(e, errno, "KVM: registers") : 0;
}

static int regs_boot(struct x86_vcpu *v, const struct x86_boot_regs *b, struct err *e)
{
	const struct kvm_regs r = { .rip = b->rip,
				    .rsp = b->rsp,
				    .rbp = b->rsp,
				    .rbx = b->rbx,
				    .rsi = b->rsi,
				    .rflags = 2 };
	struct kvm_fpu f = { .fcw = 0x37f, .mxcsr = 0x1f80 };

	if (ioctl(v->fd, KVM_SET_REGS, &r) < 0 || ioctl(v->fd, KVM_SET_FPU, &f) < 0)
		return err_set(e, errno, "KVM: registers");
	return sregs_boot(v, b->is_long_mode, e);
}

int x86_vcpu_boot(struct x86_vcpu *v, const struct kvm_cpuid_entry2 *cpuid, size_t n, uint32_t cpus,
		  const struct x86_boot_regs *regs, struct err *e)
{
	struct kvm_cpuid_entry2 own[X86_CPUID_MAX];

	if (n > X86_CPUID_MAX)
		return err_plain(e, EINVAL, "too much CPUID");
	memcpy(own, cpuid, n * sizeof(*own));
	x86_cpuid_for_vcpu(own, n, v->index, cpus);
	if (cpuid_set(v, own, n, e) < 0 || msrs_boot(v, e) < 0 ||
	    (regs && regs_boot(v, regs, e) < 0))
		return -e->code;
	return lapic_boot(v, e);
}

/* ---- saving ---- */

/* KVM does not tell how many entries there are: what follows them is zero. */
static int cpuid_save(struct x86_vcpu *v, struct state_out *s, struct err *e)
{
	static const struct kvm_cpuid_entry2 none;
	union x86_cpuid_room c = { .head = { .nent = X86_CPUID_MAX } };

	if (ioctl(v->fd, KVM_GET_CPUID2, &c) < 0)
		return err_set(e, errno, "KVM: save CPUID");
	while (c.head.nent > 0 &&
	       memcmp(&c.head.entries[c.head.nent - 1], &none, sizeof(none)) == 0)
		c.head.nent--;
	state_put_u32(s, c.head.nent);
	for (uint32_t i = 0; i < c.head.nent; i++)
		state_put_struct(s, &c.head.entries[i], sizeof(c.head.entries[i]));
	return 0;
}

static __u64 *msr_value(union msrs *m, uint32_t index)
{
	for (uint32_t i = 0; i < m->head.nmsrs; i++)
		if (m->head.entries[i].index == index)
			return &m->head.entries[i].data;
	return NULL;
}

/* KVM stops at one that this vCPU does not have after all: it is left out. */
static int msrs_save(struct x86_vcpu *v, const struct x86_vm *vm, struct state_out *s,
		     struct err *e)
{
	union msrs all;
	__u64 *deadline, *now;

	memset(&all, 0, sizeof(all));
	for (uint32_t i = 0; i < vm->n_msrs; i++) {
		union msrs one = { .head = { .nmsrs = 1 } };
		int n;

		one.head.entries[0].index = vm->msrs[i];
		n = ioctl(v->fd, KVM_GET_MSRS, &one);
		if (n < 0)
			return err_set(e, errno, "KVM: save MSR %#x", vm->msrs[i]);
		if (n == 1)
			all.head.entries[all.head.nmsrs++] = one.head.entries[0];
	}
	deadline = msr_value(&all, MSR_TSC_DEADLINE);
	now = msr_value(&all, MSR_TSC);
	if (deadline && now && *deadline == 0)
		*deadline = *now;
	state_put_u32(s, all.head.nmsrs);
	for (uint32_t i = 0; i < all.head.nmsrs; i++) {
		state_put_u32(s, all.head.entries[i].index);
		state_put_u64(s, all.head.entries[i].data);
	}
	return 0;
}

static int xsave_save(struct x86_vcpu *v, const struct x86_vm *vm, struct state_out *s,
		      struct err *e)
{
	const bool is_large = vm->xsave_size > sizeof(struct kvm_xsave);
	auto_free void *area = calloc(1, vm->xsave_size);

	if (!area)
		return err_set(e, ENOMEM, "XSAVE area");
	if (ioctl(v->fd, is_large ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, area) < 0)
		return err_set(e, errno, "KVM: save XSAVE area");
	state_put_struct(s, area, vm->xsave_size);
	return 0;
}

int x86_vcpu_save(struct x86_vcpu *v, const struct x86_vm *vm, struct state_out *s, struct err *e)
{
	struct kvm_mp_state mp = { 0 };
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	int khz;

	if (ioctl(v->fd, KVM_GET_MP_STATE, &mp) < 0 || ioctl(v->fd, KVM_GET_REGS, &regs) < 0 ||
	    ioctl(v->fd, KVM_GET_SREGS, &sregs) < 0)
		return err_set(e, errno, "KVM: save registers");
	state_put_u32(s, mp.mp_state);
	state_put_struct(s, &regs, sizeof(regs));
	state_put_struct(s, &sregs, sizeof(sregs));
	if (xsave_save(v, vm, s, e) < 0)
		return -e->code;
	khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
	if (ioctl(v->fd, KVM_GET_XCRS, &xcrs) < 0 || ioctl(v->fd, KVM_GET_DEBUGREGS, &debug) < 0 ||
	    ioctl(v->fd, KVM_GET_LAPIC, &lapic) < 0)
		return err_set(e, errno, "KVM: save registers");
	state_put_struct(s, &xcrs, sizeof(xcrs));
	state_put_struct(s, &debug, sizeof(debug));
	state_put_struct(s, &lapic, sizeof(lapic));
	state_put_u32(s, khz > 0 ? (uint32_t)khz : 0);
	if (cpuid_save(v, s, e) < 0 || msrs_save(v, vm, s, e) < 0)
		return -e->code;
	if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return err_set(e, errno, "KVM: save events");
	state_put_struct(s, &events, sizeof(events));
	return 0;
}

/* ---- loading ---- */

struct saved {
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	uint32_t khz, n_cpuid;
	struct kvm_cpuid_entry2 cpuid[X86_CPUID_MAX];
	uint8_t xsave[XSAVE_MAX];
	union msrs msrs;
};

static int cpuid_parse(struct saved *r, struct state_in *s, struct err *e)
{
	r->n_cpuid = state_get_u32(s);
	if (r->n_cpuid > X86_CPUID_MAX)
		return err_plain(e, EBADMSG, "state of a vCPU: CPUID");
	for (uint32_t i = 0; i < r->n_cpuid; i++)
		state_get_struct(s, &r->cpuid[i], sizeof(r->cpuid[i]));
	return 0;
}

static int msrs_parse(struct saved *r, const struct x86_vm *vm, struct state_in *s, struct err *e)
{
	const uint32_t n = state_get_u32(s);

	if (n > X86_MSRS_MAX)
		return err_plain(e, EBADMSG, "state of a vCPU: MSRs");
	for (r->msrs.head.nmsrs = 0; r->msrs.head.nmsrs < n && !s->has_failed;
	     r->msrs.head.nmsrs++) {
		const uint32_t index = state_get_u32(s);
		bool is_known = false;

		for (uint32_t i = 0; i < vm->n_msrs; i++)
			is_known |= vm->msrs[i] == index;
		if (!is_known && !s->has_failed)
			return err_plain(e, ENOTSUP, "this host's KVM has no MSR %#x", index);
		r->msrs.head.entries[r->msrs.head.nmsrs].index = index;
		r->msrs.head.entries[r->msrs.head.nmsrs].data = state_get_u64(s);
	}
	return 0;
}

static int saved_parse(struct saved *r, const struct x86_vm *vm, struct state_in *s, struct err *e)
{
	if (vm->xsave_size > sizeof(r->xsave))
		return err_plain(e, ENOTSUP, "XSAVE area of %u bytes", vm->xsave_size);
	r->mp.mp_state = state_get_u32(s);
	state_get_struct(s, &r->regs, sizeof(r->regs));
	state_get_struct(s, &r->sregs, sizeof(r->sregs));
	state_get_struct(s, r->xsave, vm->xsave_size);
	state_get_struct(s, &r->xcrs, sizeof(r->xcrs));
	state_get_struct(s, &r->debug, sizeof(r->debug));
	state_get_struct(s, &r->lapic, sizeof(r->lapic));
	r->khz = state_get_u32(s);
	if (cpuid_parse(r, s, e) < 0 || msrs_parse(r, vm, s, e) < 0)
		return -e->code;
	state_get_struct(s, &r->events, sizeof(r->events));
	return s->has_failed
		       ? err_plain(e, EBADMSG, "state of a vCPU: cut short, or of another KVM")
		       : 0;
}

/* The guest counts on the rate that it was told. */
static int khz_set(struct x86_vcpu *v, uint32_t khz, struct err *e)
{
	const int now = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);

	if (khz == 0 || now <= 0 ||
	    (uint64_t)labs((long)now - (long)khz) * 1000000 <= (uint64_t)khz * TSC_PPM)
		return 0;
	if (ioctl(v->fd, KVM_SET_TSC_KHZ, (unsigned long)khz) < 0)
		return err_plain(e, ENOTSUP,
				 "the time stamp counter runs at %d kHz here, at %u there, and "
				 "this CPU cannot scale it",
				 now, khz);
	return 0;
}

static int msrs_set(struct x86_vcpu *v, struct saved *r, struct err *e)
{
	__u64 *deadline = msr_value(&r->msrs, MSR_TSC_DEADLINE);
	union msrs last = { .head = { .nmsrs = 1 } };
	int n = ioctl(v->fd, KVM_SET_MSRS, &r->msrs);

	if (n < 0)
		return err_set(e, errno, "KVM: load MSRs");
	if ((uint32_t)n < r->msrs.head.nmsrs)
		return err_plain(e, ENOTSUP, "KVM refuses MSR %#x", r->msrs.head.entries[n].index);
	if (!deadline)
		return 0;
	last.head.entries[0] =
		(struct kvm_msr_entry){ .index = MSR_TSC_DEADLINE, .data = *deadline };
	return ioctl(v->fd, KVM_SET_MSRS, &last) != 1
		       ? err_plain(e, EIO, "KVM: load the deadline timer")
		       : 0;
}

static int saved_set(struct x86_vcpu *v, struct saved *r, struct err *e)
{
	if (cpuid_set(v, r->cpuid, r->n_cpuid, e) < 0 || khz_set(v, r->khz, e) < 0)
		return -e->code;
	if (ioctl(v->fd, KVM_SET_MP_STATE, &r->mp) < 0)
		return err_set(e, errno, "KVM: load MP state");
	if (ioctl(v->fd, KVM_SET_REGS, &r->regs) < 0 || ioctl(v->fd, KVM_SET_SREGS, &r->sregs) < 0)
		return err_set(e, errno, "KVM: load registers");
	if (ioctl(v->fd, KVM_SET_XCRS, &r->xcrs) < 0 || ioctl(v->fd, KVM_SET_XSAVE, r->xsave) < 0 ||
	    ioctl(v->fd, KVM_SET_DEBUGREGS, &r->debug) < 0)
		return err_set(e, errno, "KVM: load extended registers");
	if (ioctl(v->fd, KVM_SET_LAPIC, &r->lapic) < 0)
		return err_set(e, errno, "KVM: load the local APIC");
	if (msrs_set(v, r, e) < 0)
		return -e->code;
	if (ioctl(v->fd, KVM_SET_VCPU_EVENTS, &r->events) < 0)
		return err_set(e, errno, "KVM: load events");
	/* so that the guest does not take the pause for a hang; fails where it has no kvm-clock */
	(void)ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0);
	return 0;
}

int x86_vcpu_load(struct x86_vcpu *v, const struct x86_vm *vm, struct state_in *s, struct err *e)
{
	auto_free struct saved *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(e, ENOMEM, "state of a vCPU");
	if (saved_parse(r, vm, s, e) < 0 ||
	    x86_cpuid_check(r->cpuid, r->n_cpuid, vm->supported, vm->n_supported, e) < 0)
		return -e->code;
	return saved_set(v, r, e);
}
