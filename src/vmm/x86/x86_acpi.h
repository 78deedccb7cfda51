/* SPDX-License-Identifier: MIT */
/*
 * x86_acpi.h - the ACPI tables of the machine
 *
 * RSDP at X86_RSDP -> XSDT -> FADT (-> DSDT), MADT, from X86_ACPI. Hardware-reduced ACPI 6.5: sleep
 * and reset are one byte at the port X86_PM_PORT. Write 1 to reset; 0x34 (sleep type 5, enable) is
 * power off; it reads as 0. Linux writes 0x80 (clear the wake status) first, which means nothing.
 *
 * The DSDT names n virtio-mmio devices (LNRO0005), COM1, the VM generation ID page, and the event
 * device (GED) whose one interrupt, edge on X86_GED_GSI, says that the generation ID has changed.
 */
#ifndef X86_ACPI_H
#define X86_ACPI_H

#include "x86_layout.h"

/* Write the tables for 1 to X86_CPUS_MAX vCPUs, whose APIC ids are 0, 1, ..., and `n_virtio` up to
 * X86_VIRTIO_COUNT devices. -EINVAL: more of either, or no such memory. */
must_check int x86_acpi_write(const struct guest_memory *m, uint32_t cpus, uint32_t n_virtio,
			      struct err *e);

#endif
