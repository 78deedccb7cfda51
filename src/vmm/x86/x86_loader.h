/* SPDX-License-Identifier: MIT */
/*
 * x86_loader.h - a kernel and an initrd, from files into the guest's memory
 *
 * The memory must be fresh: what a kernel's segments do not fill must be zero already. Files are
 * borrowed, must be regular, and are read from their start whatever their offset.
 */
#ifndef X86_LOADER_H
#define X86_LOADER_H

#include "x86_layout.h"

enum x86_kernel_kind {
	X86_KERNEL_PVH,     /* 32-bit entry of an ELF vmlinux (Xen's PVH start protocol) */
	X86_KERNEL_LINUX64, /* 64-bit entry of a bzImage (Documentation/arch/x86/boot.rst) */
};

/* The setup header's place in a bzImage and in the zero page. */
#define X86_SETUP_START 0x1f1U
#define X86_SETUP_END   0x290U

struct x86_kernel {
	enum x86_kernel_kind kind;
	uint64_t entry;
	uint64_t start, end;  /* the memory it needs before it can read a memory map */
	uint64_t initrd_end;  /* an initrd must end at or below this */
	uint32_t cmdline_max; /* longest command line it takes, without the NUL */
	uint32_t setup_len;   /* bytes of `setup`; 0 for PVH */
	uint8_t setup[X86_SETUP_END - X86_SETUP_START]; /* as in the file */
};

/*
 * Load an ELF64 vmlinux that has the PVH note, or a bzImage (protocol 2.12 or later, with its
 * 64-bit entry). -ENOEXEC: it is neither, or malformed; -ENOMEM: it does not fit in the memory;
 * -errno of reading. After a failure the memory may hold parts of it.
 */
must_check int x86_kernel_load(const struct guest_memory *m, int kernel_fd, struct x86_kernel *ret,
			       struct err *e);

/* Load an initrd as high as it goes below the gap, on a page of its own, apart from the kernel.
 * -EINVAL: empty or not a file; -ENOMEM: no room; -errno of reading. */
must_check int x86_initrd_load(const struct guest_memory *m, int fd, const struct x86_kernel *k,
			       uint64_t *ret_addr, uint64_t *ret_size, struct err *e);

#endif
