/* SPDX-License-Identifier: MIT */
/*
 * kvm_probe.h - can this host's KVM run ordinary guests?
 *
 * That /dev/kvm opens proves nothing: some hosts have a KVM that only runs guests made for it, and
 * emulates others one instruction at a time. So a few instructions are run, with a deadline.
 */
#ifndef KVM_PROBE_H
#define KVM_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when it can. `why` tells people the reason either way. Takes some milliseconds. */
bool kvm_probe(char *why, size_t len);

/* A number that differs where KVM offers guests another processor, though the host's own have the
 * same name; 0 when KVM does not tell. */
uint64_t kvm_cpu_hash(void);

/* Rate of the host's time stamp counter in kHz; 0 when it cannot be told. Takes up to 20 ms. */
uint32_t tsc_khz_measure(void);

#endif
