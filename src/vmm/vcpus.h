/* SPDX-License-Identifier: MIT */
/*
 * vcpus.h - the threads that run the guest's processors, and how they are stopped and go on
 *
 * All but vcpus_run's callbacks is called on the event thread.
 */
#ifndef VCPUS_H
#define VCPUS_H

#include <pthread.h>
#include <signal.h>

#include "legacy_ports.h"
#include "vmm_ctl.h"
#include "x86_vcpu.h"

#define VCPUS_MAX    32U
#define VCPUS_SIGNAL SIGUSR1 /* takes a thread out of the guest; vcpus_start() sets its handler */

/* Called on vCPU threads, several at once. */
struct vcpus_ops {
	void (*mmio_read)(void *arg, uint64_t gpa, void *data, uint32_t len);
	void (*mmio_write)(void *arg, uint64_t gpa, const void *data, uint32_t len);
	void (*port_read)(void *arg, uint16_t port, void *data, uint32_t len);
	enum port_event (*port_write)(void *arg, uint16_t port, const void *data, uint32_t len);
	/* This one runs no more. Called at most once per vCPU. */
	void (*ended)(void *arg, enum vmm_ctl_end why, const char *text);
};

struct vcpus;

struct vcpu {
	struct x86_vcpu x;
	struct vcpus *all;
	pthread_t thread;
	bool has_thread, is_parked;
	uint64_t exits, mmio_exits, port_exits; /* its own thread writes them, atomically */
};

struct vcpus {
	const struct vcpus_ops *ops;
	void *arg;
	struct vcpu v[VCPUS_MAX];
	uint32_t n;
	pthread_mutex_t lock; /* of what follows, and is_parked */
	pthread_cond_t parked, changed;
	bool wants_pause, wants_end;
};

/* Creates the processors, not the threads. */
must_check int vcpus_init(struct vcpus *c, struct x86_vm *vm, uint32_t n,
			  const struct vcpus_ops *ops, void *arg, struct err *e);
/* Threads, in their filter, waiting for vcpus_resume(). */
must_check int vcpus_start(struct vcpus *c, struct err *e);
/* Returns when no thread is in the guest and all it asked for is completed. */
void vcpus_pause(struct vcpus *c);
void vcpus_resume(struct vcpus *c);
void vcpus_done(struct vcpus *c); /* ends the threads; what is half-made is fine */

#endif
