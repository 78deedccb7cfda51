/* SPDX-License-Identifier: MIT */
/*
 * vmm_machine.c - building a machine, and its life
 *
 * Threads: the event thread owns everything here. vCPU threads come in through the functions of
 * `exits`: they touch transports, which have locks, the serial port, which has one, and `end`.
 *
 * Pausing: processors first, so that nothing new is asked of the devices, then the devices, which
 * finish what they were asked for and say so to the interrupt controllers; so state is saved in
 * that order too: devices, processors, controllers. Loading: memory is there, processors,
 * controllers, devices, and then the interrupt of the new generation.
 * #syscalls:vmm close read write #syscalls:vcpu write
 */
#include "vmm_machine.h"

#include <sys/eventfd.h>

#include "log.h"
#include "sandbox.h"
#include "virtio_blk.h"
#include "vmgenid.h"
#include "x86_acpi.h"

#define STATE_DEVICE_MAX (1U << 20)
#define DOORBELL_AFTER   32 /* kicks */

_Static_assert(X86_VIRTIO_COUNT == VMM_DEVICES_MAX, "as drivers are told");

static int event_new(int *ret, struct err *e)
{
	*ret = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return *ret < 0 ? err_set(e, errno, "eventfd") : 0;
}

/* ---- exits: on vCPU threads ---- */

static struct machine_slot *slot_at(struct machine *m, uint64_t gpa, uint32_t len,
				    uint32_t *ret_off)
{
	const uint64_t at = gpa - X86_VIRTIO_BASE;
	const uint64_t i = at / X86_VIRTIO_SIZE;

	*ret_off = (uint32_t)(at % X86_VIRTIO_SIZE);
	if (gpa < X86_VIRTIO_BASE || i >= m->n_slots || *ret_off + len > X86_VIRTIO_SIZE)
		return NULL;
	return &m->slots[i];
}

static void exit_read(void *arg, uint64_t gpa, void *data, uint32_t len)
{
	uint32_t off;
	struct machine_slot *s = slot_at(arg, gpa, len, &off);

	if (s)
		virtio_mmio_read(&s->t, off, data, len);
}

static void exit_write(void *arg, uint64_t gpa, const void *data, uint32_t len)
{
	uint32_t off;
	struct machine_slot *s = slot_at(arg, gpa, len, &off);

	if (s && off == VIRTIO_MMIO_NOTIFY)
		(void)eventfd_write(s->kick_fd, 1); /* full: it is readable already */
	else if (s)
		virtio_mmio_write(&s->t, off, data, len);
}

static void exit_port_read(void *arg, uint16_t port, void *data, uint32_t len)
{
	legacy_port_read(&((struct machine *)arg)->serial, port, data, len);
}

static enum port_event exit_port_write(void *arg, uint16_t port, const void *data, uint32_t len)
{
	return legacy_port_write(&((struct machine *)arg)->serial, port, data, len);
}

/* The first end counts. */
static void exit_ended(void *arg, enum vmm_ctl_end why, const char *text)
{
	struct machine *m = arg;

	pthread_mutex_lock(&m->cpus.lock);
	if (!m->end) {
		snprintf(m->end_text, sizeof(m->end_text), "%s", text);
		__atomic_store_n(&m->end, why, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&m->cpus.lock);
	(void)eventfd_write(m->end_fd, 1); /* full: it is readable already */
}

static const struct vcpus_ops exits = { exit_read, exit_write, exit_port_read, exit_port_write,
					exit_ended };

/* ---- transports ---- */

static uint64_t slot_base(const struct machine_slot *s)
{
	return X86_VIRTIO_BASE + (uint64_t)(s - s->m->slots) * X86_VIRTIO_SIZE;
}

/*
 * To tell KVM of a doorbell takes as long as many kicks that come by way of a vCPU thread. Most
 * devices of a short-lived machine are never that busy.
 */
static void doorbell_consider(struct machine_slot *s, uint64_t n)
{
	struct err e = { 0 };

	s->n_kicks += n;
	if (s->has_doorbell || s->n_kicks < DOORBELL_AFTER)
		return;
	s->has_doorbell = true;
	if (x86_vm_doorbell(&s->m->vm, s->kick_fd, slot_base(s) + VIRTIO_MMIO_NOTIFY, &e) < 0)
		log_warn("%s", e.msg); /* it works without */
}

static void kicked(void *arg, uint32_t events)
{
	struct machine_slot *s = arg;
	uint64_t n;

	(void)events;
	if (read(s->kick_fd, &n, sizeof(n)) != sizeof(n))
		return;
	doorbell_consider(s, n);
	for (unsigned int q = 0; q < s->t.dev->n_queues; q++)
		virtio_mmio_kick(&s->t, q);
}

int machine_slot_add(struct machine *m, struct virtio_device *dev, struct err *e)
{
	struct machine_slot *s = &m->slots[m->n_slots];
	const uint32_t i = m->n_slots;

	if (i == X86_VIRTIO_COUNT) {
		virtio_device_free(dev);
		return err_plain(e, E2BIG, "more than %u devices", X86_VIRTIO_COUNT);
	}
	*s = (struct machine_slot){ .m = m, .kick_fd = -1, .irq_fd = -1 };
	m->n_slots++;
	virtio_mmio_init(&s->t, dev, &m->mem, -1);
	if (event_new(&s->kick_fd, e) < 0 || event_new(&s->irq_fd, e) < 0 ||
	    x86_vm_irq(&m->vm, s->irq_fd, X86_VIRTIO_GSI + i, e) < 0 ||
	    loop_watch_fd(m->loop, s->kick_fd, EPOLLIN, kicked, s, &s->watch, e) < 0)
		return -e->code;
	s->t.irq_fd = s->irq_fd;
	return 0;
}

/* ---- building ---- */

static int memory_make(struct machine *m, struct err *e)
{
	static const enum guest_memory_kind kinds[] = { [VMM_MEM_ANON] = GUEST_MEMORY_ANON,
							[VMM_MEM_PRIVATE] = GUEST_MEMORY_PRIVATE,
							[VMM_MEM_SHARED] = GUEST_MEMORY_SHARED };

	if (x86_memory_layout(m->c->mem_bytes, &m->mem) < 0)
		return err_plain(e, EINVAL, "memory of %llu bytes",
				 (unsigned long long)m->c->mem_bytes);
	if (m->c->mem_max_bytes)
		x86_area_layout(&m->mem, m->c->mem_max_bytes - m->c->mem_bytes);
	if (guest_memory_map(&m->mem, kinds[m->c->mem], m->c->mem_fd, e) < 0)
		return -e->code;
	return x86_vm_memory(&m->vm, &m->mem, e);
}

static int lines_make(struct machine *m, struct err *e)
{
	if (event_new(&m->end_fd, e) < 0 || event_new(&m->serial_irq_fd, e) < 0 ||
	    event_new(&m->ged_irq_fd, e) < 0 ||
	    x86_vm_irq(&m->vm, m->serial_irq_fd, X86_COM1_GSI, e) < 0 ||
	    x86_vm_irq(&m->vm, m->ged_irq_fd, X86_GED_GSI, e) < 0)
		return -e->code;
	serial_init(&m->serial, m->c->console_fd, m->serial_irq_fd);
	return 0;
}

int machine_new(const struct vmm_config *c, struct loop *loop, int kvm_fd, struct machine **ret,
		struct err *e)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(e, ENOMEM, "machine");
	m->c = c;
	m->loop = loop;
	m->end_fd = m->serial_irq_fd = m->ged_irq_fd = m->vm.fd = -1;
	m->is_paused = true;
	if (x86_vm_create(kvm_fd, &m->vm, e) < 0 || memory_make(m, e) < 0 ||
	    vcpus_init(&m->cpus, &m->vm, c->cpus, &exits, m, e) < 0 || lines_make(m, e) < 0 ||
	    machine_devices_make(m, e) < 0) {
		machine_free(m);
		return -e->code;
	}
	*ret = m;
	return 0;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	vcpus_done(&m->cpus);
	for (uint32_t i = 0; i < m->n_slots; i++) {
		loop_watch_drop(m->slots[i].watch);
		virtio_mmio_done(&m->slots[i].t);
		fd_drop(&m->slots[i].kick_fd);
		fd_drop(&m->slots[i].irq_fd);
	}
	x86_vm_done(&m->vm);
	guest_memory_unmap(&m->mem);
	free(m->dirty);
	fd_drop(&m->serial_irq_fd);
	fd_drop(&m->ged_irq_fd);
	fd_drop(&m->end_fd);
	free(m);
}

/* ---- boot ---- */

static int cpuid_plan(struct machine *m, struct kvm_cpuid_entry2 cpuid[X86_CPUID_MAX],
		      size_t *ret_n, struct err *e)
{
	const struct x86_cpuid_spec spec = { m->c->cpus, m->c->cpu_model };

	return x86_cpuid_plan(m->vm.supported, m->vm.n_supported, &spec, cpuid, ret_n, e);
}

static int kernel_place(struct machine *m, struct x86_boot_regs *ret, struct err *e)
{
	struct x86_kernel kernel;
	struct x86_boot_spec spec = { .kernel = &kernel, .cmdline = m->c->cmdline };

	if (x86_kernel_load(&m->mem, m->c->kernel_fd, &kernel, e) < 0)
		return err_wrap(e, "kernel");
	if (m->c->initrd_fd >= 0 && x86_initrd_load(&m->mem, m->c->initrd_fd, &kernel, &spec.initrd,
						    &spec.initrd_size, e) < 0)
		return err_wrap(e, "initrd");
	if (x86_boot_write(&m->mem, &spec, ret, e) < 0 ||
	    x86_acpi_write(&m->mem, m->c->cpus, m->n_slots, e) < 0)
		return -e->code;
	return vmgenid_renew(&m->mem, X86_VMGENID, -1, e);
}

int machine_boot(struct machine *m, struct err *e)
{
	struct kvm_cpuid_entry2 cpuid[X86_CPUID_MAX];
	struct x86_boot_regs regs;
	size_t n;

	if (kernel_place(m, &regs, e) < 0 || cpuid_plan(m, cpuid, &n, e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < m->cpus.n; i++)
		if (x86_vcpu_boot(&m->cpus.v[i].x, cpuid, n, m->c->cpus, i == 0 ? &regs : NULL, e) <
		    0)
			return -e->code;
	return 0;
}

/* ---- state ---- */

/* Devices, each with its length before it. */
static int devices_save(struct machine *m, struct state_out *s, struct err *e)
{
	state_put_u32(s, m->n_slots);
	for (uint32_t i = 0; i < m->n_slots; i++) {
		auto_buf b = BUF_LIMIT(STATE_DEVICE_MAX);
		struct state_out one = { &b, false };

		virtio_mmio_save(&m->slots[i].t, &one);
		if (one.has_failed)
			return err_set(e, ENOMEM, "state of %s", m->slots[i].t.dev->ops->name);
		state_put_struct(s, b.data, (uint32_t)b.len);
	}
	serial_save(&m->serial, s);
	return 0;
}

int machine_save(struct machine *m, struct state_out *s, struct err *e)
{
	state_put_u32(s, m->c->cpus);
	state_put_u64(s, m->c->mem_bytes);
	if (devices_save(m, s, e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < m->cpus.n; i++)
		if (x86_vcpu_save(&m->cpus.v[i].x, &m->vm, s, e) < 0)
			return -e->code;
	if (x86_vm_save(&m->vm, s, e) < 0)
		return -e->code;
	return s->has_failed ? err_set(e, ENOMEM, "state") : 0;
}

struct device_states {
	struct state_in v[X86_VIRTIO_COUNT];
};

/* They come first, and are loaded last. */
static int devices_find(struct machine *m, struct device_states *d, struct state_in *s,
			struct err *e)
{
	const uint32_t n = state_get_u32(s);

	if (n != m->n_slots)
		return err_plain(e, EBADMSG, "the state is of a machine with %u devices, not %u", n,
				 m->n_slots);
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t len = state_get_u32(s);

		if (len > s->left)
			return err_plain(e, EBADMSG, "the state of device %u is cut short", i);
		d->v[i] = (struct state_in){ s->p, len, false };
		s->p += len;
		s->left -= len;
	}
	return 0;
}

static int devices_load(struct machine *m, struct device_states *d, struct err *e)
{
	for (uint32_t i = 0; i < m->n_slots; i++)
		if (virtio_mmio_load(&m->slots[i].t, &d->v[i], e) < 0)
			return err_wrap(e, "state of device %u (%s)", i,
					m->slots[i].t.dev->ops->name);
	return 0;
}

int machine_load(struct machine *m, struct state_in *s, struct err *e)
{
	struct device_states devices;
	const uint32_t cpus = state_get_u32(s);
	const uint64_t mem = state_get_u64(s);

	if (s->has_failed || cpus != m->c->cpus || mem != m->c->mem_bytes)
		return err_plain(e, EBADMSG, "the state is of a machine of another shape");
	if (devices_find(m, &devices, s, e) < 0)
		return -e->code;
	if (serial_load(&m->serial, s, e) < 0)
		return err_wrap(e, "state of the serial port");
	for (uint32_t i = 0; i < cpus; i++)
		if (x86_vcpu_load(&m->cpus.v[i].x, &m->vm, s, e) < 0)
			return err_wrap(e, "processor %u", i);
	if (x86_vm_load(&m->vm, s, e) < 0 || devices_load(m, &devices, e) < 0)
		return -e->code;
	if (s->left)
		return err_plain(e, EBADMSG, "%zu bytes too many in the state", s->left);
	return vmgenid_renew(&m->mem, X86_VMGENID, m->ged_irq_fd, e);
}

/* ---- life ---- */

static int disk_thread_begin(struct err *e)
{
	return sandbox_thread(SANDBOX_THREAD_DISK, e);
}

int machine_start(struct machine *m, struct err *e)
{
	for (uint32_t i = 0; i < m->c->n_disks; i++)
		if (machine_disk_start(m, i, e) < 0)
			return -e->code;
	return vcpus_start(&m->cpus, e);
}

int machine_disk_start(struct machine *m, uint32_t i, struct err *e)
{
	return m->disks[i] ? virtio_blk_start(m->disks[i], disk_thread_begin, e) : 0;
}

/* Every queue is looked at: a notification may be lost with the machine that it was given to. */
void machine_resume(struct machine *m)
{
	if (!m->is_paused)
		return;
	m->is_paused = false;
	for (uint32_t i = 0; i < m->n_slots; i++) {
		virtio_mmio_resume(&m->slots[i].t);
		virtio_mmio_kick_all(&m->slots[i].t);
	}
	vcpus_resume(&m->cpus);
}

void machine_pause(struct machine *m)
{
	if (m->is_paused)
		return;
	m->is_paused = true;
	vcpus_pause(&m->cpus);
	for (uint32_t i = 0; i < m->n_slots; i++)
		virtio_mmio_pause(&m->slots[i].t);
}
