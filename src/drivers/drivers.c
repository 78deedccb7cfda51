/* SPDX-License-Identifier: MIT */
/* drivers.c - which drivers there are */
#include <string.h>

#include "driver.h"
#include "fake.h"
#include "kvm.h"
#include "qemu.h"

const struct vm_driver_ops *vm_driver_find(const char *name, struct err *e)
{
	static const struct vm_driver_ops *const all[] = { &kvm_driver, &qemu_driver,
							   &fake_driver };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (!strcmp(name, all[i]->name))
			return all[i];
	(void)err_plain(e, EINVAL, "there is no driver \"%s\" (auto, kvm, qemu)", name);
	return NULL;
}
