/* SPDX-License-Identifier: MIT */
/*
 * vmgenid.c - a new generation identifier
 * #syscalls:vmm getrandom write
 */
#include "vmgenid.h"

#include <sys/eventfd.h>
#include <sys/random.h>

#include "guest_memory.h"

int vmgenid_renew(const struct guest_memory *mem, uint64_t gpa, int irq_fd, struct err *e)
{
	uint8_t id[VMGENID_SIZE];
	int rc;

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return err_set(e, errno, "random bytes");
	rc = guest_write(mem, gpa, id, sizeof(id));
	if (rc < 0)
		return err_set(e, -rc, "generation identifier at %#llx", (unsigned long long)gpa);
	if (irq_fd >= 0 && eventfd_write(irq_fd, 1) < 0)
		return err_set(e, errno, "interrupt for the generation identifier");
	return 0;
}
