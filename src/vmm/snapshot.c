/* SPDX-License-Identifier: MIT */
/*
 * snapshot.c - [U] the frame around a machine's state
 *
 * Hostile: the file, as far as a template may have been damaged or come from elsewhere. The
 * checksum finds accidents; the parts check every value themselves.
 * #syscalls:vmm brk fstat newfstatat ftruncate mmap mremap munmap pread64 pwrite64
 */
#include "snapshot.h"

#include <sys/stat.h>
#include <zlib.h>

#include "fdio.h"
#include "vmm_pages.h"

#define MAGIC    "CSNSTATE"
#define VERSION  1U
#define HEAD_LEN 24U
#define TAIL_LEN 4U

int snapshot_begin(struct buf *b, struct err *e)
{
	struct state_out s = { b, false };

	state_put(&s, MAGIC, 8);
	state_put_u32(&s, VERSION);
	state_put_u32(&s, 0); /* flags */
	state_put_u64(&s, 0); /* length of the body, once it is known */
	return s.has_failed ? err_set(e, ENOMEM, "state") : 0;
}

int snapshot_seal(struct buf *b, struct err *e)
{
	uint8_t tail[TAIL_LEN];

	put_le64(b->data + 16, b->len - HEAD_LEN);
	put_le32(tail, (uint32_t)crc32(0, (const Bytef *)b->data, (uInt)b->len));
	return buf_add(b, tail, sizeof(tail)) < 0 ? err_set(e, ENOMEM, "state") : 0;
}

int snapshot_open(const void *data, size_t len, struct state_in *ret, struct err *e)
{
	const uint8_t *p = data;

	if (len < HEAD_LEN + TAIL_LEN || len > SNAPSHOT_MAX || memcmp(p, MAGIC, 8) != 0)
		return err_plain(e, EBADMSG, "this is no saved machine");
	if (get_le32(p + 8) != VERSION || get_le32(p + 12) != 0)
		return err_plain(e, EBADMSG, "a saved machine of version %u, not %u",
				 get_le32(p + 8), VERSION);
	if (get_le64(p + 16) != len - HEAD_LEN - TAIL_LEN)
		return err_plain(e, EBADMSG,
				 "the saved machine is cut short, or longer than it says");
	if ((uint32_t)crc32(0, p, (uInt)(len - TAIL_LEN)) != get_le32(p + len - TAIL_LEN))
		return err_plain(e, EBADMSG,
				 "the saved machine was altered: its checksum is wrong");
	*ret = (struct state_in){ p + HEAD_LEN, len - HEAD_LEN - TAIL_LEN, false };
	return 0;
}

int snapshot_write(struct machine *m, int fd, struct err *e)
{
	auto_buf b = BUF_LIMIT(SNAPSHOT_MAX);
	struct state_out s = { &b, false };
	int rc;

	if (snapshot_begin(&b, e) < 0 || machine_save(m, &s, e) < 0 || snapshot_seal(&b, e) < 0)
		return -e->code;
	rc = fd_pwrite_full(fd, b.data, b.len, 0);
	if (rc < 0)
		return err_set(e, -rc, "write the state");
	return ftruncate(fd, (off_t)b.len) < 0 ? err_set(e, errno, "write the state") : 0;
}

/* Before the guest runs: a fault of it costs more, and for most of these it would have two. */
static int pages_populate(struct machine *m, const uint8_t *data, size_t len, struct err *e)
{
	auto_free struct vmm_pages *p = NULL;

	if (len == 0 || m->c->mem != VMM_MEM_PRIVATE)
		return 0;
	p = malloc(sizeof(*p));
	if (!p)
		return err_set(e, ENOMEM, "state");
	if (vmm_pages_parse(data, len, m->c->mem_bytes / GUEST_PAGE, p, e) < 0)
		return -e->code;
	for (uint32_t i = 0; i < p->n; i++)
		guest_memory_populate(&m->mem, (uint64_t)p->v[i].first * GUEST_PAGE,
				      (uint64_t)p->v[i].n * GUEST_PAGE);
	return 0;
}

size_t snapshot_len(const void *data, size_t len)
{
	uint64_t body = len < HEAD_LEN + TAIL_LEN ? 0 : get_le64((const uint8_t *)data + 16);

	return body && body < len - HEAD_LEN - TAIL_LEN ? HEAD_LEN + (size_t)body + TAIL_LEN : len;
}

int snapshot_read(struct machine *m, int fd, struct err *e)
{
	auto_free uint8_t *data = NULL;
	struct state_in s;
	struct stat st;
	size_t len, all;
	int rc;

	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "state");
	if (st.st_size <= 0 || st.st_size > SNAPSHOT_MAX)
		return err_plain(e, EBADMSG, "a state of %lld bytes", (long long)st.st_size);
	data = malloc((size_t)st.st_size);
	if (!data)
		return err_set(e, ENOMEM, "state");
	rc = fd_pread_full(fd, data, (size_t)st.st_size, 0);
	if (rc < 0)
		return err_set(e, -rc, "read the state");
	all = (size_t)st.st_size;
	len = snapshot_len(data, all);
	if (snapshot_open(data, len, &s, e) < 0 || pages_populate(m, data + len, all - len, e) < 0)
		return -e->code;
	return machine_load(m, &s, e);
}
