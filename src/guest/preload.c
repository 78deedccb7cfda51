/* SPDX-License-Identifier: MIT */
/*
 * preload.c - files of the image that a clone will read, read once into a template's memory
 *
 * A clone then finds them in its page cache, which it shares with all clones, where it would wait
 * for its disk some tens of times. Nothing of the image runs. The files are the program that the
 * image runs, what its ELF headers name (the interpreter, libraries), the user database.
 *
 * Hostile: the image. All offsets are checked against limits here and against the file by pread();
 * numbers of files and bytes have limits. What cannot be read is not read: this is never an error.
 */
#include <elf.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "guest_internal.h"

#define FILES_MAX    64U
#define FILE_MAX     (32ULL << 20)
#define TOTAL_MAX    (64ULL << 20)
#define PHDRS_MAX    32U
#define DYNAMIC_MAX  512U
#define NAME_MAX_LEN 255U
#define CHUNK        (256U << 10)

struct preload {
	int root;
	char names[FILES_MAX][NAME_MAX_LEN + 1]; /* libraries and programs that were looked for */
	uint32_t n;
	uint64_t total;
	uint8_t *chunk;
};

static const char *const program_dirs[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
					    "/usr/bin",        "/sbin",          "/bin" };
static const char *const library_dirs[] = { "/lib/x86_64-linux-gnu",
					    "/usr/lib/x86_64-linux-gnu",
					    "/lib64",
					    "/usr/lib64",
					    "/usr/local/lib",
					    "/lib",
					    "/usr/lib" };

static int file_open(const struct preload *p, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, p->root, path, &how, sizeof(how));
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Its bytes, up to the limits: they stay in the page cache. */
static void bytes_read(struct preload *p, int fd)
{
	uint64_t at = 0;
	ssize_t n;

	while (at < FILE_MAX && p->total < TOTAL_MAX &&
	       (n = pread(fd, p->chunk, CHUNK, (off_t)at)) > 0) {
		at += (uint64_t)n;
		p->total += (uint64_t)n;
	}
}

static void name_add(struct preload *p, const char *name)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (strcmp(p->names[i], name) == 0)
			return;
	if (*name && p->n < FILES_MAX)
		snprintf(p->names[p->n++], NAME_MAX_LEN + 1, "%s", name);
}

/* A string of the file, ended by NUL within the limit. */
static void string_add(struct preload *p, int fd, uint64_t off)
{
	char name[NAME_MAX_LEN + 1] = "";
	ssize_t n = off <= INT64_MAX ? pread(fd, name, NAME_MAX_LEN, (off_t)off) : -1;

	if (n > 0 && memchr(name, '\0', (size_t)n))
		name_add(p, name);
}

/* Where in the file an address is. */
static bool address_find(const Elf64_Phdr *ph, unsigned n, uint64_t addr, uint64_t *ret)
{
	for (unsigned i = 0; i < n; i++) {
		if (ph[i].p_type != PT_LOAD || addr < ph[i].p_vaddr ||
		    addr - ph[i].p_vaddr >= ph[i].p_filesz)
			continue;
		*ret = ph[i].p_offset + (addr - ph[i].p_vaddr);
		return true;
	}
	return false;
}

static void dynamic_read(struct preload *p, int fd, const Elf64_Phdr *ph, unsigned n,
			 const Elf64_Phdr *dynamic)
{
	Elf64_Dyn d[DYNAMIC_MAX];
	ssize_t got = dynamic->p_offset <= INT64_MAX
			      ? pread(fd, d, MIN_OF(sizeof(d), dynamic->p_filesz),
				      (off_t)dynamic->p_offset)
			      : -1;
	size_t count = got > 0 ? (size_t)got / sizeof(d[0]) : 0;
	uint64_t strings = 0;
	bool has_strings = false;

	for (size_t i = 0; i < count; i++)
		if (d[i].d_tag == DT_STRTAB)
			has_strings = address_find(ph, n, d[i].d_un.d_ptr, &strings);
	for (size_t i = 0; has_strings && i < count && d[i].d_tag != DT_NULL; i++)
		if (d[i].d_tag == DT_NEEDED)
			string_add(p, fd, strings + d[i].d_un.d_val);
}

static void elf_read(struct preload *p, int fd)
{
	Elf64_Phdr ph[PHDRS_MAX];
	Elf64_Ehdr eh;
	size_t len;

	if (pread(fd, &eh, sizeof(eh), 0) != (ssize_t)sizeof(eh) ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_phentsize != sizeof(ph[0]) || eh.e_phnum > PHDRS_MAX || eh.e_phoff > INT64_MAX)
		return;
	len = eh.e_phnum * sizeof(ph[0]);
	if (pread(fd, ph, len, (off_t)eh.e_phoff) != (ssize_t)len)
		return;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		if (ph[i].p_type == PT_INTERP)
			string_add(p, fd, ph[i].p_offset);
		if (ph[i].p_type == PT_DYNAMIC)
			dynamic_read(p, fd, ph, eh.e_phnum, &ph[i]);
	}
}

static bool path_read(struct preload *p, const char *path)
{
	auto_fd fd = file_open(p, path);

	if (fd < 0)
		return false;
	bytes_read(p, fd);
	elf_read(p, fd);
	return true;
}

static void name_read(struct preload *p, const char *name, const char *const *dirs, size_t n_dirs)
{
	char path[NAME_MAX_LEN + 64];

	if (strchr(name, '/')) {
		(void)path_read(p, name);
		return;
	}
	for (size_t i = 0; i < n_dirs; i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (path_read(p, path))
			return;
	}
}

void preload_program(const char *name)
{
	static const char *const files[] = { "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
					     "/etc/ld.so.cache", "/etc/localtime" };
	struct preload *p = calloc(1, sizeof(*p));

	if (p)
		p->root = open(ROOT_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p && p->root >= 0 && strlen(name) <= NAME_MAX_LEN && (p->chunk = malloc(CHUNK))) {
		for (size_t i = 0; i < ARRAY_SIZE(files); i++)
			(void)path_read(p, files[i]);
		if (*name)
			name_read(p, name, program_dirs, ARRAY_SIZE(program_dirs));
		for (uint32_t i = 0; i < p->n; i++) /* grows on the way */
			name_read(p, p->names[i], library_dirs, ARRAY_SIZE(library_dirs));
	}
	if (p) {
		fd_drop(&p->root);
		free(p->chunk);
	}
	free(p);
}
