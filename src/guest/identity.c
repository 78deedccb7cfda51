/* SPDX-License-Identifier: MIT */
/*
 * identity.c - what two clones of one template may never share
 *
 * Entropy first: nothing else here may draw a random number before the pool is reseeded.
 * The files of machine id and boot id are bound into the app's root already (stage.c); writing them
 * in place changes what the app reads.
 */
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "fdio.h"
#include "guest_internal.h"

#define ENTROPY_MAX 512U

static int entropy_add(const struct agent_identity *id, struct err *e)
{
	union { /* the bytes follow it */
		struct rand_pool_info head;
		uint8_t room[sizeof(struct rand_pool_info) + ENTROPY_MAX];
	} pool = { .head = { .entropy_count = (int)id->entropy.len * 8,
			     .buf_size = (int)id->entropy.len } };
	auto_fd fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);

	memcpy(pool.room + sizeof(pool.head), id->entropy.data, id->entropy.len);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		return err_set(e, errno, "reseed the random number generator");
	return 0;
}

static int file_put(const char *path, const char *text, struct err *e)
{
	char line[80];
	int n = snprintf(line, sizeof(line), "%.76s\n", text);
	auto_fd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);

	if (fd < 0 || write(fd, line, (size_t)n) != n)
		return err_set(e, errno, "write %s", path);
	return 0;
}

int identity_apply(const struct agent_identity *id, struct err *e)
{
	struct timespec now = { .tv_sec = (time_t)(id->realtime_ns / 1000000000U),
				.tv_nsec = (long)(id->realtime_ns % 1000000000U) };

	if (id->entropy.len && entropy_add(id, e) < 0)
		return -e->code;
	if (id->realtime_ns && clock_settime(CLOCK_REALTIME, &now) < 0)
		return err_set(e, errno, "set the clock");
	if (sethostname(id->hostname, strlen(id->hostname)) < 0)
		return err_set(e, errno, "set the host name");
	if (file_put(MACHINE_ID_FILE, id->machine_id, e) < 0 ||
	    file_put(BOOT_ID_FILE, id->boot_id, e) < 0)
		return -e->code;
	return netlink_configure(id, e);
}
