/* SPDX-License-Identifier: MIT */
/*
 * x86_vm.c - creating a machine of KVM's, and what it has beside vCPUs
 *
 * Order: task state segment before the interrupt controllers (real mode on old Intel CPUs), these
 * before vCPUs. There is no PIT: guests have kvm-clock and the local APIC's deadline timer.
 * #syscalls:vmm ioctl
 */
#include "x86_vm.h"

#include <string.h>
#include <sys/ioctl.h>

#include "x86_cpuid_internal.h"

#define ROM_SLOT        256U /* far behind those of RAM */

#define LOG_CLEAR_PAGES 16384U /* with one call; a multiple of 64 */

/* In /dev/kvm's own numbering; every one has been there since Linux 5.10 at the latest. */
static const struct {
	int number;
	const char *name;
} needed[] = {
	{ KVM_CAP_IRQCHIP, "interrupt controllers" },
	{ KVM_CAP_USER_MEMORY, "user memory" },
	{ KVM_CAP_SET_TSS_ADDR, "TSS address" },
	{ KVM_CAP_EXT_CPUID, "CPUID" },
	{ KVM_CAP_IRQFD, "irqfd" },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, "ioeventfd of any length" },
	{ KVM_CAP_MP_STATE, "MP state" },
	{ KVM_CAP_VCPU_EVENTS, "vCPU events" },
	{ KVM_CAP_DEBUGREGS, "debug registers" },
	{ KVM_CAP_XSAVE, "XSAVE" },
	{ KVM_CAP_XCRS, "XCRs" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate exit" },
	{ KVM_CAP_ADJUST_CLOCK, "clock" },
};

/* What a guest's kernel may have changed, as ranges; the reference of each is the SDM, volume 4. */
static bool msr_is_saved(uint32_t i)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{ 0x10, 0x10 },   /* TSC */
		{ 0x1b, 0x1b },   /* APIC base */
		{ 0x3b, 0x3b },   /* TSC adjust */
		{ 0x48, 0x48 },   /* speculation control */
		{ 0x122, 0x122 }, /* TSX control */
		{ 0x174, 0x176 }, /* SYSENTER */
		{ 0x1a0, 0x1a0 }, /* misc enable */
		{ 0x1d9, 0x1d9 }, /* debug control */
		{ 0x200, 0x20f }, /* MTRRs */
		{ 0x250, 0x250 },
		{ 0x258, 0x259 },
		{ 0x268, 0x26f },
		{ 0x277, 0x277 }, /* PAT */
		{ 0x2ff, 0x2ff },
		{ 0x6e0, 0x6e0 },           /* TSC deadline */
		{ 0xda0, 0xda0 },           /* XSS */
		{ 0x4b564d00, 0x4b564dff }, /* KVM's own: clock, steal time, async page faults */
		{ 0xc0000080, 0xc0000084 }, /* EFER, STAR, LSTAR, CSTAR, FMASK */
		{ 0xc0000100, 0xc0000103 }, /* FS, GS, KERNEL_GS, TSC_AUX */
		{ 0xc001011f, 0xc001011f }, /* AMD: virtualised speculation control */
	};

	for (size_t k = 0; k < ARRAY_SIZE(ranges); k++)
		if (i >= ranges[k].first && i <= ranges[k].last)
			return true;
	return false;
}

static int msrs_list(struct x86_vm *vm, struct err *e)
{
	union { /* its indices follow it */
		struct kvm_msr_list head;
		uint8_t room[sizeof(struct kvm_msr_list) + 2048 * sizeof(uint32_t)];
	} list = { .head = { .nmsrs = 2048 } };

	if (ioctl(vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, &list) < 0)
		return err_set(e, errno, "KVM: list of MSRs");
	for (uint32_t i = 0; i < list.head.nmsrs; i++) {
		const uint32_t index = list.head.indices[i];

		if (!msr_is_saved(index))
			continue;
		if (vm->n_msrs == X86_MSRS_MAX)
			return err_plain(e, E2BIG, "KVM: more than %u MSRs", X86_MSRS_MAX);
		vm->msrs[vm->n_msrs++] = index;
	}
	return 0;
}

static int cpuid_list(struct x86_vm *vm, struct err *e)
{
	union x86_cpuid_room c = { .head = { .nent = X86_CPUID_MAX } };

	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, &c) < 0)
		return err_set(e, errno, "KVM: supported CPUID");
	vm->n_supported = c.head.nent;
	memcpy(vm->supported, c.head.entries, c.head.nent * sizeof(vm->supported[0]));
	return 0;
}

static int facts_read(struct x86_vm *vm, struct err *e)
{
	int n;

	if (ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return err_plain(e, ENOTSUP, "KVM of another version");
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, needed[i].number) <= 0)
			return err_plain(e, ENOTSUP, "this host's KVM has no %s", needed[i].name);
	n = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (n < (int)sizeof(struct kvm_run))
		return err_plain(e, ENOTSUP, "KVM: shared page of a vCPU");
	vm->run_size = (uint32_t)n;
	return cpuid_list(vm, e) < 0 ? -e->code : msrs_list(vm, e);
}

int x86_vm_create(int kvm_fd, struct x86_vm *ret, struct err *e)
{
	int n;

	*ret = (struct x86_vm){ .kvm_fd = kvm_fd, .fd = -1 };
	if (facts_read(ret, e) < 0)
		return -e->code;
	ret->fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	if (ret->fd < 0)
		return err_set(e, errno, "KVM: create a machine");
	n = ioctl(ret->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	ret->xsave_size = n > (int)sizeof(struct kvm_xsave) ? (uint32_t)n
							    : (uint32_t)sizeof(struct kvm_xsave);
	if (ioctl(ret->fd, KVM_SET_TSS_ADDR, X86_KVM_TSS) < 0 ||
	    ioctl(ret->fd, KVM_CREATE_IRQCHIP, 0) < 0) {
		(void)err_set(e, errno, "KVM: interrupt controllers");
		x86_vm_done(ret);
		return -e->code;
	}
	return 0;
}

void x86_vm_done(struct x86_vm *vm)
{
	fd_drop(&vm->fd);
}

static int slot_set(struct x86_vm *vm, uint32_t i, const struct guest_slot *s, uint32_t flags,
		    struct err *e)
{
	const struct kvm_userspace_memory_region r = {
		.slot = i,
		.flags = flags,
		.guest_phys_addr = s->gpa,
		.memory_size = s->size,
		.userspace_addr = (uintptr_t)s->hva,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r) < 0 ? err_set(e, errno, "KVM: memory")
								 : 0;
}

static int slots_set(struct x86_vm *vm, const struct guest_memory *m, uint32_t flags, struct err *e)
{
	for (uint32_t i = 0; i < m->n_slots; i++)
		if (slot_set(vm, i, &m->slots[i], flags, e) < 0)
			return -e->code;
	return 0;
}

/* [SDM, CPUID 80000008h] 0: it does not say. */
static uint32_t address_bits(const struct x86_vm *vm)
{
	const struct kvm_cpuid_entry2 *c =
		cpuid_find(vm->supported, vm->n_supported, 0x80000008, 0);

	return c ? c->eax & 0xff : 0;
}

int x86_vm_rom(struct x86_vm *vm, const struct guest_slot *s, struct err *e)
{
	if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) <= 0)
		return err_plain(e, ENOTSUP, "this host's KVM has no read-only memory");
	if (address_bits(vm) < X86_ROM_ADDR_BITS)
		return err_plain(e, ENOTSUP, "processors with %u bits of address, not %u",
				 address_bits(vm), X86_ROM_ADDR_BITS);
	return slot_set(vm, ROM_SLOT, s, KVM_MEM_READONLY, e);
}

int x86_vm_memory(struct x86_vm *vm, const struct guest_memory *m, struct err *e)
{
	if (slots_set(vm, m, 0, e) < 0)
		return -e->code;
	/* All of the area, too: what of it is out has no memory behind it. */
	return m->area.size ? slot_set(vm, m->n_slots, &m->area, 0, e) : 0;
}

/* ---- the log of what is written ---- */

int x86_vm_log_start(struct x86_vm *vm, const struct guest_memory *m, struct err *e)
{
	const struct kvm_enable_cap apart = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
					      .args[0] = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE };
	struct err ignored = { 0 };

	/* Pages are made read-only again, which keeps the processors waiting, in pieces then. */
	vm->has_log_clear = ioctl(vm->fd, KVM_ENABLE_CAP, &apart) == 0;
	if (slots_set(vm, m, KVM_MEM_LOG_DIRTY_PAGES, e) == 0)
		return 0;
	(void)slots_set(vm, m, 0, &ignored); /* a log that nobody reads is only slow */
	return -e->code;
}

int x86_vm_log_stop(struct x86_vm *vm, const struct guest_memory *m, struct err *e)
{
	return slots_set(vm, m, 0, e);
}

static bool is_clean(const uint64_t *words, uint64_t n)
{
	while (n > 0 && words[n - 1] == 0)
		n--;
	return n == 0;
}

static int log_clear(struct x86_vm *vm, const struct guest_slot *s, uint32_t i, uint64_t *words,
		     struct err *e)
{
	const uint64_t n_pages = s->size / GUEST_PAGE;

	for (uint64_t at = 0; at < n_pages; at += LOG_CLEAR_PAGES) {
		const uint64_t n = MIN_OF(n_pages - at, (uint64_t)LOG_CLEAR_PAGES);
		const struct kvm_clear_dirty_log c = { .slot = i,
						       .first_page = at,
						       .num_pages = (uint32_t)n,
						       .dirty_bitmap = words + at / 64 };

		if (!is_clean(words + at / 64, align_up(n, 64) / 64) &&
		    ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &c) < 0)
			return err_set(e, errno, "KVM: clear the dirty log");
	}
	return 0;
}

int x86_vm_log_take(struct x86_vm *vm, const struct guest_memory *m, uint32_t i, uint64_t *words,
		    struct err *e)
{
	const struct kvm_dirty_log log = { .slot = i, .dirty_bitmap = words };

	if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0)
		return err_set(e, errno, "KVM: dirty log");
	return vm->has_log_clear ? log_clear(vm, &m->slots[i], i, words, e) : 0;
}

int x86_vm_irq(struct x86_vm *vm, int event_fd, uint32_t gsi, struct err *e)
{
	const struct kvm_irqfd irq = { .fd = (uint32_t)event_fd, .gsi = gsi };

	return ioctl(vm->fd, KVM_IRQFD, &irq) < 0 ? err_set(e, errno, "KVM: interrupt %u", gsi) : 0;
}

int x86_vm_doorbell(struct x86_vm *vm, int event_fd, uint64_t gpa, struct err *e)
{
	/* of any length: KVM does not have to decode the guest's instruction */
	const struct kvm_ioeventfd d = { .addr = gpa, .len = 0, .fd = event_fd };

	return ioctl(vm->fd, KVM_IOEVENTFD, &d) < 0 ? err_set(e, errno, "KVM: doorbell") : 0;
}

/* ---- state ---- */

static const uint32_t chips[] = { KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
				  KVM_IRQCHIP_IOAPIC };

int x86_vm_save(struct x86_vm *vm, struct state_out *s, struct err *e)
{
	struct kvm_clock_data clock = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(chips); i++) {
		struct kvm_irqchip c = { .chip_id = chips[i] };

		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &c) < 0)
			return err_set(e, errno, "KVM: save interrupt controller %zu", i);
		state_put_struct(s, &c, sizeof(c));
	}
	if (ioctl(vm->fd, KVM_GET_CLOCK, &clock) < 0)
		return err_set(e, errno, "KVM: save the clock");
	state_put_u64(s, clock.clock);
	return 0;
}

/* The clock goes on from where it was: the guest learns from its agent what time it is. */
int x86_vm_load(struct x86_vm *vm, struct state_in *s, struct err *e)
{
	struct kvm_clock_data clock = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(chips); i++) {
		struct kvm_irqchip c;

		state_get_struct(s, &c, sizeof(c));
		if (s->has_failed || c.chip_id != chips[i])
			return err_plain(e, EBADMSG, "state of an interrupt controller");
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &c) < 0)
			return err_set(e, errno, "KVM: load interrupt controller %zu", i);
	}
	clock.clock = state_get_u64(s);
	if (s->has_failed)
		return err_plain(e, EBADMSG, "state of the clock");
	return ioctl(vm->fd, KVM_SET_CLOCK, &clock) < 0 ? err_set(e, errno, "KVM: load the clock")
							: 0;
}
