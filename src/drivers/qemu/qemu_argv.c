/* SPDX-License-Identifier: MIT */
/*
 * qemu_argv.c - QEMU's command line
 *
 * Two machines that share a template must have the same devices in the same order: nothing here may
 * depend on whether the machine boots or is restored, but for kernel, memory backing and incoming
 * state.
 */
#include "qemu_argv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define TEMPLATE_MAC "02:ca:15:00:00:01" /* a clone's own is set by its agent */
#define GAP_MAX      (2ULL << 20)
#define EXTRA_PLAIN  3U /* virtio-mmio slots left beside our own five */
#define DISKS_OWN    2U

static int add(struct qemu_argv *a, const char *fmt, ...) printf_like(2, 3);

static int add(struct qemu_argv *a, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	if (a->n + 1 >= QEMU_ARGS_MAX)
		return -E2BIG;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	a->v[a->n++] = text;
	a->v[a->n] = NULL;
	return 0;
}

/* The number that the child will have `fd` under. */
static int fd_add(struct qemu_argv *a, int fd)
{
	if (a->n_fds == QEMU_FDS_MAX)
		return -EMFILE;
	a->fds[a->n_fds] = fd;
	return (int)a->n_fds++;
}

/* The first failure sticks. */
#define STEP(call)                                                                                 \
	do {                                                                                       \
		if (rc >= 0)                                                                       \
			rc = (call);                                                               \
	} while (0)
#define ARG(...) STEP(add(a, __VA_ARGS__))

/* A descriptor as "/dev/fdset/N", N being its number. */
static int fdset_add(struct qemu_argv *a, int fd)
{
	int n = fd_add(a, fd), rc = n;

	ARG("-add-fd");
	ARG("set=%d,fd=%d", n, n);
	return rc < 0 ? rc : n;
}

/* Devices beside our own, for which the few slots of the plain machine may not be enough. */
static bool has_many(const struct vm_spec *s)
{
	uint32_t disks = s->n_disks > DISKS_OWN ? s->n_disks - DISKS_OWN : 0;

	return s->n_shares + disks > EXTRA_PLAIN;
}

static int machine_add(struct qemu_argv *a, const struct vm_spec *s, const struct vm_driver_info *i)
{
	int rc = 0, n = -1;

	ARG("-name");
	ARG("caisson-%.12s", s->id);
	ARG("-M");
	/* a template's state has no description of itself, and QEMU complains to miss it */
	ARG("microvm,x-option-roms=off,rtc=off,isa-serial=%s,acpi=on,memory-backend=ram0,"
	    "suppress-vmdesc=on%s",
	    s->console_fd >= 0 ? "on" : "off", has_many(s) ? ",ioapic2=on" : "");
	ARG("-global");
	ARG("virtio-mmio.force-legacy=off"); /* vhost-user devices speak virtio 1 only */
	ARG("-accel");
	if (!strcmp(i->accel, "kvm"))
		ARG("kvm");
	else
		ARG("tcg,tb-size=%d", QEMU_TB_SIZE_MIB);
	ARG("-cpu");
	ARG(!strcmp(i->accel, "kvm") ? "host,migratable=on" : "max");
	ARG("-m");
	ARG("%" PRIu64 "M", s->mem_bytes >> 20);
	ARG("-smp");
	ARG("%u", s->cpus);
	ARG("-nodefaults");
	ARG("-no-user-config");
	ARG("-display");
	ARG("none");
	ARG("-no-reboot");
	ARG("-sandbox");
	ARG("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	ARG("-object");
	if (s->mem == VM_MEM_ANON) {
		ARG("memory-backend-ram,id=ram0,size=%" PRIu64, s->mem_bytes);
		return rc;
	}
	STEP(n = fd_add(a, s->mem_fd));
	ARG("memory-backend-file,id=ram0,size=%" PRIu64 ",mem-path=/proc/self/fd/%d,share=%s",
	    s->mem_bytes, n, s->mem == VM_MEM_SHARED ? "on" : "off");
	return rc;
}

static int boot_add(struct qemu_argv *a, const struct vm_spec *s, const struct vm_driver_info *i)
{
	int rc = 0, n = -1;

	/* A template is saved while it is paused: without this its clones would be paused, too. */
	ARG("-global");
	ARG("migration.store-global-state=off");
	if (s->boot == VM_BOOT_RESTORE) {
		ARG("-global");
		ARG("migration.send-configuration=off"); /* qemu_save_state() writes none */
		/*
		 * A restored QEMU would announce its network devices by frames from the template's
		 * MAC, and passt would send to that one instead of the clone's own.
		 */
		ARG("-global");
		ARG("migration.announce-rounds=0");
		STEP(n = fd_add(a, s->state_fd));
		ARG("-incoming");
		ARG("fd:%d", n);
		return rc;
	}
	/* Opened by name: QEMU's fdsets are not for these two. */
	STEP(n = fd_add(a, s->kernel_fd));
	ARG("-kernel");
	ARG("/proc/self/fd/%d", n);
	if (s->initrd_fd >= 0) {
		STEP(n = fd_add(a, s->initrd_fd));
		ARG("-initrd");
		ARG("/proc/self/fd/%d", n);
	}
	ARG("-append");
	/* Without a known TSC rate an emulated guest hangs in calibration on a loaded host. */
	if (i->tsc_khz && strcmp(i->accel, "kvm") != 0)
		ARG("%s tsc_early_khz=%u tsc=reliable no_timer_check", s->cmdline, i->tsc_khz);
	else
		ARG("%s", s->cmdline);
	return rc;
}

/* A file is an extent; so is a gap, of zeros (QEMU's vmdk driver leaves ZERO extents out). Sectors
 * of 512 bytes. */
static int extent_add(struct qemu_argv *a, uint64_t len, int fdset, uint64_t off)
{
	return buf_addf(&a->concat, "RW %" PRIu64 " FLAT \"/dev/fdset/%d\" %" PRIu64 "\n",
			len / 512, fdset, off / 512);
}

static int concat_describe(struct qemu_argv *a, const struct vm_disk *d, int zero_fd)
{
	uint64_t at = 0;
	int rc = buf_add_str(&a->concat,
			     "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
			     "createType=\"twoGbMaxExtentFlat\"\n"),
	    zero = -1, n;

	for (uint32_t i = 0; rc >= 0 && i <= d->n_parts; i++) {
		uint64_t next = i < d->n_parts ? d->parts[i].disk_off : d->size;

		while (rc >= 0 && at < next) {
			uint64_t len = MIN_OF(next - at, GAP_MAX);

			if (zero < 0)
				STEP(zero = fdset_add(a, zero_fd));
			STEP(extent_add(a, len, zero, 0));
			at += len;
		}
		if (i == d->n_parts)
			break;
		STEP(n = fdset_add(a, d->parts[i].fd));
		STEP(extent_add(a, d->parts[i].len, n, d->parts[i].file_off));
		at = d->parts[i].disk_off + d->parts[i].len;
	}
	return rc;
}

static int disk_add(struct qemu_argv *a, const struct vm_disk *d, unsigned slot,
		    const struct qemu_extra *x)
{
	int rc = 0, n = -1;

	if (d->is_mapped)
		return -ENOTSUP;
	if (d->kind == VM_DISK_EMPTY) {
		ARG("-blockdev");
		ARG("driver=null-co,node-name=n%u,size=512,read-zeroes=on,read-only=%s", slot,
		    d->is_readonly ? "on" : "off");
	} else if (d->kind == VM_DISK_RAW) {
		STEP(n = fdset_add(a, d->fd));
		ARG("-blockdev");
		ARG("driver=raw,node-name=n%u,read-only=%s,discard=unmap,detect-zeroes=unmap,file.driver=file,"
		    "file.filename=/dev/fdset/%d,file.aio=threads,file.locking=off,file.discard=unmap",
		    slot, d->is_readonly ? "on" : "off", n);
	} else if (d->kind == VM_DISK_NBD) {
		STEP(n = fd_add(a, d->fd));
		ARG("-blockdev");
		ARG("driver=nbd,node-name=n%u,read-only=%s,discard=unmap,detect-zeroes=unmap,server.type=fd,"
		    "server.str=%d",
		    slot, d->is_readonly ? "on" : "off", n);
	} else {
		STEP(concat_describe(a, d, x->zero_fd));
		STEP(n = fdset_add(a, x->concat_fd));
		ARG("-blockdev");
		ARG("driver=vmdk,node-name=n%u,read-only=on,file.driver=file,file.filename=/dev/fdset/%d,file.read-only=on,"
		    "file.locking=off",
		    slot, n);
	}
	ARG("-device");
	/* QEMU's default stops the machine when the host has no room: the app is told instead */
	ARG("virtio-blk-device,drive=n%u,serial=disk%u,werror=report", slot, slot);
	return rc;
}

static int net_add(struct qemu_argv *a, const struct vm_spec *s, const struct qemu_extra *x)
{
	int rc = 0, n = -1;

	if (!s->has_net)
		return 0;
	STEP(n = fd_add(a, s->net_fd >= 0 ? s->net_fd : x->idle_net_fd));
	ARG("-netdev");
	if (s->net_is_tap && s->net_fd >= 0)
		ARG("tap,id=net0,vhost=off,fd=%d", n);
	else
		ARG("stream,id=net0,server=off,addr.type=fd,addr.str=%d", n);
	ARG("-device");
	ARG("virtio-net-device,netdev=net0,mac=" TEMPLATE_MAC);
	return rc;
}

static int shares_add(struct qemu_argv *a, const struct vm_spec *s)
{
	int rc = 0, n = -1;

	for (unsigned i = 0; rc >= 0 && i < s->n_shares; i++) {
		STEP(s->shares[i].sock_fd < 0 ? -EBADF : (n = fd_add(a, s->shares[i].sock_fd)));
		ARG("-chardev");
		ARG("socket,id=fs%u,fd=%d", i, n);
		ARG("-device");
		ARG("vhost-user-fs-device,chardev=fs%u,tag=%s", i, s->shares[i].tag);
	}
	return rc;
}

static int devices_add(struct qemu_argv *a, const struct vm_spec *s, const struct qemu_extra *x)
{
	int rc = 0, n = -1;

	STEP(n = fd_add(a, x->qmp_fd));
	ARG("-chardev");
	ARG("socket,id=qmp,fd=%d", n);
	ARG("-mon");
	ARG("chardev=qmp,mode=control");
	if (s->console_fd >= 0) {
		STEP(n = fdset_add(a, s->console_fd));
		ARG("-chardev");
		ARG("file,id=console,path=/dev/fdset/%d,append=on", n);
		ARG("-serial");
		ARG("chardev:console");
	}
	STEP(n = fd_add(a, s->agent_fd));
	ARG("-chardev");
	ARG("socket,id=agent,fd=%d", n);
	ARG("-device");
	ARG("virtio-serial-device,max_ports=2");
	ARG("-device");
	ARG("virtserialport,chardev=agent,name=caisson.agent,nr=1");
	for (unsigned i = 0; rc >= 0 && i < s->n_disks; i++)
		rc = disk_add(a, &s->disks[i], i, x);
	STEP(net_add(a, s, x));
	ARG("-device");
	ARG("virtio-rng-device");
	STEP(shares_add(a, s));
	return rc;
}

int qemu_argv_build(const struct vm_spec *s, const struct vm_driver_info *i,
		    const struct qemu_extra *x, struct qemu_argv *a, struct err *e)
{
	int rc;

	*a = (struct qemu_argv){ .fds = { -1, -1, -1 }, .n_fds = 3 };
	rc = add(a, "qemu-system-x86_64");
	STEP(machine_add(a, s, i));
	STEP(boot_add(a, s, i));
	STEP(devices_add(a, s, x));
	if (rc < 0) {
		qemu_argv_done(a);
		return err_set(e, -rc, "command line of QEMU");
	}
	return 0;
}

void qemu_argv_done(struct qemu_argv *a)
{
	for (unsigned i = 0; i < a->n; i++)
		free((char *)a->v[i]);
	a->n = 0;
	buf_done(&a->concat);
}
