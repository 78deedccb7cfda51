/* SPDX-License-Identifier: MIT */
/*
 * x86_loader.c - [U] a kernel and an initrd, from files into the guest's memory
 *
 * Hostile: each byte of the files. A file may also shrink while it is read: that is an error, and
 * reading goes through pread(), never through a map.
 * Invariants: I1 a size or offset of the file's is compared with the file's size before use.
 *   I2 data go only where guest_span() found room for all of it, at or above 1 MiB, below the gap.
 *   I3 segments ascend, so all of them together are no larger than the memory. I4 each turn of a
 *   loop over notes takes at least NOTE_HEAD bytes of at most NOTES_MAX.
 * #syscalls:vmm fstat newfstatat pread64
 */
#include "x86_loader.h"

#include <elf.h>
#include <string.h>
#include <sys/stat.h>

#include "bytes.h"
#include "fdio.h"

#define HEAD_SIZE   X86_SETUP_END /* enough of a file for either kind of header */
#define PHDRS_MAX   64U           /* vmlinux has about 5 */
#define NOTES_MAX   8192U         /* vmlinux has about 500 bytes */
#define NOTE_HEAD   12U
#define NOTE_PVH    18U /* XEN_ELFNOTE_PHYS32_ENTRY */
#define SECTOR      512U
#define ENTRY64_OFF 0x200U /* of the 64-bit entry in a bzImage's protected-mode part */

/* Offsets in the setup header; boot.rst, "The Real-Mode Kernel Header". */
enum {
	SETUP_SECTS = 0x1f1,
	BOOT_FLAG = 0x1fe,
	JUMP_LENGTH = 0x201, /* the header ends this far behind 0x202 */
	MAGIC = 0x202,
	VERSION = 0x206,
	LOADFLAGS = 0x211,
	INITRD_ADDR_MAX = 0x22c,
	XLOADFLAGS = 0x236,
	CMDLINE_SIZE = 0x238,
	PREF_ADDRESS = 0x258,
	INIT_SIZE = 0x260,
	HEADER_END_2_12 = 0x268,
};

#define VERSION_2_12  0x20cU
#define LOADED_HIGH   1U
#define XLF_KERNEL_64 1U

struct loader {
	const struct guest_memory *m;
	int fd;
	uint64_t size; /* of the file */
	struct x86_kernel k;
};

static int file_size(int fd, uint64_t *ret, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "stat");
	if (!S_ISREG(st.st_mode) || st.st_size < 0)
		return err_plain(e, EINVAL, "not a regular file");
	*ret = (uint64_t)st.st_size;
	return 0;
}

/* Bytes [off, off + len) of the file, which lie inside it, to guest memory [gpa, gpa + room). */
static int place(const struct loader *l, uint64_t off, uint64_t len, uint64_t gpa, uint64_t room,
		 struct err *e)
{
	void *p = NULL;
	int rc;

	if (gpa < X86_HIGH_MEMORY || len > room || !range_fits(gpa, room, X86_GAP_START))
		return err_plain(e, ENOEXEC, "the kernel wants to be at %#llx",
				 (unsigned long long)gpa);
	if (gpa + room <= x86_low_end(l->m))
		p = guest_span(l->m, gpa, room);
	if (!p)
		return err_plain(e, ENOMEM, "the kernel needs memory up to %llu MiB",
				 (unsigned long long)(align_up(gpa + room, 1U << 20) >> 20));
	rc = len ? fd_pread_full(l->fd, p, len, (off_t)off) : 0;
	return rc < 0 ? err_set(e, -rc, "read the kernel") : 0;
}

static int segment_load(struct loader *l, const Elf64_Phdr *ph, struct err *e)
{
	int rc;

	if (!ph->p_memsz && !ph->p_filesz)
		return 0;
	if (!range_fits(ph->p_offset, ph->p_filesz, l->size))
		return err_plain(e, ENOEXEC, "a segment lies behind the end of the kernel's file");
	if (ph->p_paddr < l->k.end)
		return err_plain(e, ENOEXEC, "the kernel's segments do not ascend");
	rc = place(l, ph->p_offset, ph->p_filesz, ph->p_paddr, ph->p_memsz, e);
	if (rc < 0)
		return rc;
	if (!l->k.end)
		l->k.start = ph->p_paddr;
	l->k.end = ph->p_paddr + ph->p_memsz;
	return 0;
}

/* The PVH entry among notes; 0: it is not there. */
static uint64_t notes_entry(const uint8_t *p, size_t len)
{
	while (len >= NOTE_HEAD) {
		uint64_t name = get_le32(p), size = get_le32(p + 4);
		uint64_t at = NOTE_HEAD + align_up(name, 4), next = at + align_up(size, 4);
		bool is_pvh;

		if (!range_fits(at, size, len))
			return 0;
		is_pvh = get_le32(p + 8) == NOTE_PVH && name == 4 &&
			 !memcmp(p + NOTE_HEAD, "Xen", 4);
		if (is_pvh && size == 4)
			return get_le32(p + at);
		if (is_pvh && size == 8)
			return get_le64(p + at);
		next = MIN_OF(next, len); /* the last may lack its padding */
		p += next;
		len -= next;
	}
	return 0;
}

static int notes_load(struct loader *l, const Elf64_Phdr *ph, struct err *e)
{
	uint8_t notes[NOTES_MAX];
	int rc;

	if (ph->p_filesz > NOTES_MAX || !range_fits(ph->p_offset, ph->p_filesz, l->size))
		return err_plain(e, ENOEXEC, "the kernel's notes are too large");
	rc = fd_pread_full(l->fd, notes, ph->p_filesz, (off_t)ph->p_offset);
	if (rc < 0)
		return err_set(e, -rc, "read the kernel's notes");
	l->k.entry = notes_entry(notes, ph->p_filesz);
	return 0;
}

static int phdr_load(struct loader *l, uint64_t off, struct err *e)
{
	Elf64_Phdr ph;
	int rc = fd_pread_full(l->fd, &ph, sizeof(ph), (off_t)off);

	if (rc < 0)
		return err_set(e, -rc, "read the kernel's program headers");
	if (ph.p_type == PT_LOAD)
		return segment_load(l, &ph, e);
	if (ph.p_type == PT_NOTE && !l->k.entry)
		return notes_load(l, &ph, e);
	return 0;
}

static int elf_check(const struct loader *l, const Elf64_Ehdr *eh, struct err *e)
{
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh->e_machine != EM_X86_64)
		return err_plain(e, ENOEXEC, "an ELF file, but not for x86-64");
	if (eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phnum > PHDRS_MAX ||
	    !range_fits(eh->e_phoff, eh->e_phnum * sizeof(Elf64_Phdr), l->size))
		return err_plain(e, ENOEXEC, "the kernel's program headers are malformed");
	return 0;
}

static int elf_load(struct loader *l, const uint8_t *head, struct err *e)
{
	struct x86_kernel *k = &l->k;
	Elf64_Ehdr eh;
	int rc;

	memcpy(&eh, head, sizeof(eh));
	rc = elf_check(l, &eh, e);
	for (unsigned int i = 0; rc == 0 && i < eh.e_phnum; i++)
		rc = phdr_load(l, eh.e_phoff + i * sizeof(Elf64_Phdr), e);
	if (rc < 0)
		return rc;
	if (!k->entry)
		return err_plain(e, ENOEXEC, "the kernel has no PVH entry (CONFIG_PVH)");
	if (k->entry < k->start || k->entry >= k->end)
		return err_plain(e, ENOEXEC, "the kernel's PVH entry is outside of the kernel");
	k->kind = X86_KERNEL_PVH;
	k->initrd_end = X86_GAP_START;
	k->cmdline_max = X86_CMDLINE_MAX - 1;
	return 0;
}

static int bzimage_check(const uint8_t *head, uint64_t file_size, struct err *e)
{
	if (get_le16(head + VERSION) < VERSION_2_12 || MAGIC + head[JUMP_LENGTH] < HEADER_END_2_12)
		return err_plain(e, ENOEXEC, "a bzImage of a protocol older than 2.12");
	if (!(head[LOADFLAGS] & LOADED_HIGH) || !(get_le16(head + XLOADFLAGS) & XLF_KERNEL_64))
		return err_plain(e, ENOEXEC, "a bzImage without a 64-bit entry");
	if (file_size < HEAD_SIZE)
		return err_plain(e, ENOEXEC, "a bzImage that is cut off");
	return 0;
}

static int bzimage_load(struct loader *l, const uint8_t *head, struct err *e)
{
	uint64_t skip = ((head[SETUP_SECTS] ? head[SETUP_SECTS] : 4U) + 1U) * SECTOR;
	uint64_t load = get_le64(head + PREF_ADDRESS), init_size = get_le32(head + INIT_SIZE);
	struct x86_kernel *k = &l->k;
	int rc = bzimage_check(head, l->size, e);

	if (rc < 0)
		return rc;
	if (l->size < skip || l->size - skip <= ENTRY64_OFF || l->size - skip > init_size ||
	    load % X86_PAGE)
		return err_plain(e, ENOEXEC, "a bzImage whose sizes are malformed");
	rc = place(l, skip, l->size - skip, load, init_size, e);
	if (rc < 0)
		return rc;
	k->kind = X86_KERNEL_LINUX64;
	k->entry = load + ENTRY64_OFF;
	k->start = load;
	k->end = load + init_size;
	k->initrd_end = MIN_OF(get_le32(head + INITRD_ADDR_MAX) + 1ULL, X86_GAP_START);
	k->cmdline_max = MIN_OF(get_le32(head + CMDLINE_SIZE), X86_CMDLINE_MAX - 1);
	k->setup_len = MIN_OF(MAGIC + (uint32_t)head[JUMP_LENGTH], X86_SETUP_END) - X86_SETUP_START;
	memcpy(k->setup, head + X86_SETUP_START, k->setup_len);
	return 0;
}

int x86_kernel_load(const struct guest_memory *m, int kernel_fd, struct x86_kernel *ret,
		    struct err *e)
{
	struct loader l = { .m = m, .fd = kernel_fd };
	uint8_t head[HEAD_SIZE] = { 0 };
	int rc = file_size(kernel_fd, &l.size, e);

	if (rc < 0)
		return err_wrap(e, "kernel");
	rc = fd_pread_full(kernel_fd, head, MIN_OF(l.size, sizeof(head)), 0);
	if (rc < 0)
		return err_set(e, -rc, "read the kernel");
	if (!memcmp(head, ELFMAG, SELFMAG))
		rc = elf_load(&l, head, e);
	else if (get_le16(head + BOOT_FLAG) == 0xaa55 && !memcmp(head + MAGIC, "HdrS", 4))
		rc = bzimage_load(&l, head, e);
	else
		rc = err_plain(e, ENOEXEC, "the kernel is neither a vmlinux nor a bzImage");
	if (rc < 0)
		return rc;
	*ret = l.k;
	return 0;
}

int x86_initrd_load(const struct guest_memory *m, int fd, const struct x86_kernel *k,
		    uint64_t *ret_addr, uint64_t *ret_size, struct err *e)
{
	uint64_t top = MIN_OF(x86_low_end(m), k->initrd_end), size, addr;
	void *p;
	int rc = file_size(fd, &size, e);

	if (rc < 0)
		return err_wrap(e, "initrd");
	if (!size)
		return err_plain(e, EINVAL, "the initrd is empty");
	if (top < X86_HIGH_MEMORY || size > top - X86_HIGH_MEMORY)
		return err_plain(e, ENOMEM, "the initrd does not fit in the memory");
	addr = (top - size) & ~(uint64_t)(X86_PAGE - 1);
	if (addr < k->end && k->start < addr + size)
		return err_plain(e, ENOMEM,
				 "the initrd does not fit in the memory above the kernel");
	p = guest_span(m, addr, size);
	if (!p)
		return err_plain(e, ENOMEM, "the initrd does not fit in the memory");
	rc = fd_pread_full(fd, p, size, 0);
	if (rc < 0)
		return err_set(e, -rc, "read the initrd");
	*ret_addr = addr;
	*ret_size = size;
	return 0;
}
