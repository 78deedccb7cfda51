/* SPDX-License-Identifier: MIT */
/* kvm_play.h - ioctl() in the place of the library's, for a test that plays KVM */
#ifndef KVM_PLAY_H
#define KVM_PLAY_H

#include <stdarg.h>
#include <sys/ioctl.h>

/* The test's. `arg` is whatever the request has: a pointer or a number. */
static int kvm_play(int fd, unsigned long request, void *arg);

int ioctl(int fd, unsigned long request, ...)
{
	void *arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	return kvm_play(fd, request, arg);
}

#endif
