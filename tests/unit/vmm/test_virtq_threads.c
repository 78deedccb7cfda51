/* SPDX-License-Identifier: MIT */
/* test_virtq_threads.c - a driver and a device on two threads: no notification is lost */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <sys/eventfd.h>

#include "guest_driver.h"
#include "toy_device.h"

#define REQUESTS 30000U
#define STALL_MS 10000 /* longer than any machine is busy */

/* The event thread: an eventfd in place of the ioeventfd. */
struct event_thread {
	struct guest_driver *g;
	pthread_t thread;
	int kick_fd;
	bool is_ending; /* atomic */
};

static void *event_run(void *arg)
{
	struct event_thread *t = arg;
	uint64_t count;

	while (read(t->kick_fd, &count, sizeof(count)) == sizeof(count)) {
		if (__atomic_load_n(&t->is_ending, __ATOMIC_ACQUIRE))
			break;
		virtio_mmio_kick(&t->g->t, 0);
	}
	return NULL;
}

static void kick(const struct event_thread *t)
{
	uint64_t one = 1;

	assert_int_equal(write(t->kick_fd, &one, sizeof(one)), sizeof(one));
}

static void interrupt_wait(struct guest_driver *g)
{
	struct pollfd p = { .fd = g->irq_fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, STALL_MS), 1); /* else a notification was lost */
	guest_driver_interrupts(g);
}

static void drive(struct guest_driver *g, const struct event_thread *t)
{
	const struct iovec out = { NULL, 4 }, in = { NULL, 4 };
	unsigned int n_added = 0, n_done = 0;
	uint32_t len;
	uint16_t head;

	while (n_done < REQUESTS) {
		while (n_added < REQUESTS && g->queues[0].n_free >= 2) {
			guest_driver_add(g, 0, &out, 1, &in, 1);
			n_added++;
			if (guest_driver_kick_wanted(g, 0))
				kick(t);
		}
		interrupt_wait(g);
		while (guest_driver_used(g, 0, &head, &len)) {
			assert_int_equal(len, 4);
			n_done++;
		}
	}
}

static void run(uint64_t features, uint16_t size)
{
	struct guest_driver g = { 0 };
	struct event_thread t = { .g = &g, .kick_fd = eventfd(0, EFD_CLOEXEC) };

	assert_true(t.kick_fd >= 0);
	guest_driver_attach(&g, &toy_device_new()->dev);
	assert_int_equal(guest_driver_negotiate(&g, features, size), STATUS_RUNNING);
	assert_int_equal(pthread_create(&t.thread, NULL, event_run, &t), 0);
	drive(&g, &t);
	__atomic_store_n(&t.is_ending, true, __ATOMIC_RELEASE);
	kick(&t);
	pthread_join(t.thread, NULL);
	close(t.kick_fd);
	guest_driver_stop(&g);
}

static void test_no_loss(void **state)
{
	(void)state;
	run(TOY_FEATURES, 16);
	run(TOY_FEATURES, 2);
	run(TOY_FEATURES & ~VIRTIO_F_EVENT_IDX, 16);
	run(TOY_FEATURES & ~VIRTIO_F_EVENT_IDX, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_no_loss) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
