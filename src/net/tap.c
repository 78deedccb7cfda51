/* SPDX-License-Identifier: MIT */
/* tap.c - see tap.h; the kernel's side of it is in Documentation/networking/tuntap.rst */
#include "tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "cleanup.h"

#define DEVICE "/dev/net/tun"
#define FLAGS  (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

static int mtu_get(const char *name, uint32_t *ret, struct err *e)
{
	auto_fd sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (sock < 0 || ioctl(sock, SIOCGIFMTU, &r) < 0)
		return errno == ENODEV
			       ? err_plain(e, ENODEV,
					   "there is no interface %s (ip tuntap add %s mode tap "
					   "user NAME makes one)",
					   name, name)
			       : err_set(e, errno, "interface %s", name);
	*ret = (uint32_t)r.ifr_mtu;
	return 0;
}

static int refused(const char *name, int code, struct err *e)
{
	const char *why = code == EPERM || code == EACCES ? "it is another user's"
			  : code == EBUSY                 ? "a program has it open already"
			  : code == EINVAL ? "it is no tap, or one with several queues"
					   : NULL;

	return why ? err_plain(e, code, "tap %s: %s", name, why) : err_set(e, code, "tap %s", name);
}

int tap_open(const char *name, int *ret_fd, uint32_t *ret_mtu, struct err *e)
{
	struct ifreq r = { .ifr_flags = FLAGS };
	auto_fd fd = -1;
	uint32_t mtu;

	if (mtu_get(name, &mtu, e) < 0) /* also since root would make one that is not there */
		return -e->code;
	fd = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(e, errno, "tap %s: open " DEVICE, name);
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &r) < 0)
		return refused(name, errno, e);
	if (ioctl(fd, TUNGETIFF, &r) < 0)
		return err_set(e, errno, "tap %s", name);
	if (((unsigned int)r.ifr_flags & FLAGS) != FLAGS || !(r.ifr_flags & IFF_PERSIST))
		return err_plain(e, EINVAL, "tap %s: it is another program's, not persistent",
				 name);
	/* what its last user's guest took is nothing to the next one's */
	if (ioctl(fd, TUNSETOFFLOAD, 0UL) < 0)
		return err_set(e, errno, "tap %s: offloads", name);
	*ret_fd = TAKE_FD(fd);
	*ret_mtu = mtu;
	return 0;
}
