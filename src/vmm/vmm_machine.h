/* SPDX-License-Identifier: MIT */
/*
 * vmm_machine.h - the whole virtual machine: memory, processors, devices and what connects them
 *
 * Order of calls: new, then boot or load, start, resume; then pause and resume as often as wanted,
 * and save while paused. All on the event thread. After machine_start() the guest's own work
 * allocates nothing.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "loop.h"
#include "serial_16550.h"
#include "vcpus.h"
#include "virtio_mmio.h"
#include "vmm_config.h"

struct machine;

struct machine_slot { /* a transport, and what wakes it and the guest */
	struct virtio_mmio t;
	struct machine *m;
	int kick_fd, irq_fd;
	struct loop_watch *watch;
	uint64_t n_kicks;  /* until there is a doorbell */
	bool has_doorbell; /* or none can be had */
};

struct machine {
	const struct vmm_config *c;
	struct loop *loop;
	struct guest_memory mem;
	struct x86_vm vm;
	struct vcpus cpus;
	struct machine_slot slots[X86_VIRTIO_COUNT];
	uint32_t n_slots;
	struct virtio_device *disks[VMM_DISKS_MAX]; /* borrowed: of the slots; NULL: mapped */
	struct virtio_device *net, *balloon;        /* net: NULL where there is none */
	struct virtio_device *growth;               /* virtio_mem.h; NULL where it cannot grow */
	struct serial_16550 serial;
	int serial_irq_fd, ged_irq_fd;
	bool is_paused;
	uint64_t *dirty;      /* dirty_log.c */
	int end_fd;           /* an eventfd: readable when `end` is set */
	enum vmm_ctl_end end; /* atomic; 0: it runs */
	char end_text[120];   /* written before `end` */
};

/* `c`, whose descriptors are taken one by one as devices are made, and `loop` are borrowed and
 * outlive the machine. */
must_check int machine_new(const struct vmm_config *c, struct loop *loop, int kvm_fd,
			   struct machine **ret, struct err *e);
void machine_free(struct machine *m); /* NULL and what is half-made are fine */

must_check int machine_boot(struct machine *m, struct err *e);
/* A state of snapshot.h; the guest gets a new generation identifier. -EBADMSG: no state of such a
 * machine; -ENOTSUP: of another host. */
must_check int machine_load(struct machine *m, struct state_in *s, struct err *e);
must_check int machine_start(struct machine *m, struct err *e);

/* Of a disk that came later. */
must_check int machine_disk_start(struct machine *m, uint32_t i, struct err *e);

void machine_resume(struct machine *m);
void machine_pause(struct machine *m);
/* Paused. All but the memory. */
must_check int machine_save(struct machine *m, struct state_out *s, struct err *e);

/* vmm_devices.c: the devices of the configuration, in the order of its disks. */
must_check int machine_devices_make(struct machine *m, struct err *e);
/* The next transport; takes `dev`, also on failure. */
must_check int machine_slot_add(struct machine *m, struct virtio_device *dev, struct err *e);

#endif
