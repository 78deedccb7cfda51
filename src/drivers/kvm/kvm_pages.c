/* SPDX-License-Identifier: MIT */
/*
 * kvm_pages.c - which pages of its template a clone has written
 *
 * Seen from outside, in the page table of its process: a page of a private map of a file that is
 * not the file's. Linux Documentation/admin-guide/mm/pagemap.rst.
 */
#include "kvm_pages.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "bytes.h"
#include "cleanup.h"
#include "fdio.h"
#include "vmm_pages.h"

#define PAGE         4096U
#define ENTRIES      4096U
#define PM_PRESENT   (1ULL << 63)
#define PM_SWAPPED   (1ULL << 62)
#define PM_FILE_PAGE (1ULL << 61) /* of a file, or shared */

struct map {
	uint64_t start, end, file_off;
};

static bool is_own(uint64_t entry)
{
	return entry & (PM_PRESENT | PM_SWAPPED) && !(entry & PM_FILE_PAGE);
}

/* Those behind the end of a full list are left out. */
static int map_add(int fd, const struct map *m, struct vmm_pages *io_pages)
{
	auto_free uint64_t *entries = malloc(ENTRIES * sizeof(*entries));
	const uint64_t n = (m->end - m->start) / PAGE;

	if (!entries)
		return -ENOMEM;
	for (uint64_t at = 0; at < n; at += ENTRIES) {
		const uint64_t some = MIN_OF(n - at, (uint64_t)ENTRIES);
		const int rc = fd_pread_full(fd, entries, some * sizeof(*entries),
					     (off_t)((m->start / PAGE + at) * sizeof(*entries)));

		if (rc < 0)
			return rc;
		for (uint64_t i = 0; i < some; i++)
			if (is_own(entries[i]) &&
			    !vmm_pages_add(io_pages, (uint32_t)(m->file_off / PAGE + at + i)))
				return 0;
	}
	return 0;
}

/* A line of maps: whether it is of this file. */
static bool map_parse(const char *line, const struct stat *file, struct map *ret)
{
	unsigned int major_n, minor_n;
	uint64_t inode;

	return sscanf(line, "%" SCNx64 "-%" SCNx64 " %*4s %" SCNx64 " %x:%x %" SCNu64, &ret->start,
		      &ret->end, &ret->file_off, &major_n, &minor_n, &inode) == 6 &&
	       inode == file->st_ino && major_n == major(file->st_dev) &&
	       minor_n == minor(file->st_dev);
}

/* Maps come as their addresses ascend; a list as places in the file do: one slot after the other.
 */
static int map_next(FILE *maps, const struct stat *file, uint64_t from_off, struct map *ret)
{
	struct map m;
	char line[512];

	*ret = (struct map){ .file_off = UINT64_MAX };
	rewind(maps);
	while (fgets(line, sizeof(line), maps))
		if (map_parse(line, file, &m) && m.file_off >= from_off &&
		    m.file_off < ret->file_off)
			*ret = m;
	return ret->file_off == UINT64_MAX ? -ENOENT : 0;
}

static int pages_find(pid_t pid, int mem_fd, struct vmm_pages *ret, struct err *e)
{
	auto_file maps = NULL;
	auto_fd table = -1;
	char path[64];
	struct map m;
	struct stat st;
	int rc;

	if (fstat(mem_fd, &st) < 0)
		return err_set(e, errno, "memory of the template");
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	table = open(path, O_RDONLY | O_CLOEXEC);
	if (!maps || table < 0)
		return err_set(e, errno, "%s", path);
	if (map_next(maps, &st, 0, &m) < 0)
		return err_plain(e, ENOENT, "the clone has not mapped its template");
	do {
		rc = map_add(table, &m, ret);
		if (rc < 0)
			return err_set(e, -rc, "%s", path);
	} while (map_next(maps, &st, m.file_off + 1, &m) == 0);
	return 0;
}

int kvm_pages_record(pid_t pid, int mem_fd, int state_fd, struct err *e)
{
	auto_free struct vmm_pages *pages = calloc(1, sizeof(*pages));
	auto_buf out = { 0 };
	struct stat st;
	int rc;

	if (!pages || fstat(state_fd, &st) < 0)
		return err_set(e, errno, "pages of a clone");
	if (pages_find(pid, mem_fd, pages, e) < 0)
		return -e->code;
	rc = vmm_pages_put(&out, pages);
	if (rc == 0)
		rc = fd_pwrite_full(state_fd, out.data, out.len, st.st_size);
	return rc < 0 ? err_set(e, -rc, "pages of a clone") : 0;
}
