/* SPDX-License-Identifier: MIT */
/* test_virtio_vsock_state.c - pause, reset, and guests that were restored */
#include "vsock_fixture.h"

#include <fcntl.h>

#define HOST_PORT_END 0x80000000U

/* Into a new device, which is paused, over the same memory: as a clone. */
static int load_from(struct setup *s, const struct buf *b)
{
	struct state_in in = { .p = (const uint8_t *)b->data, .left = b->len };
	struct virtio_device *d;
	struct err e = { 0 };
	int rc;

	virtio_mmio_done(&s->g.t);
	d = vsock_make(s);
	virtio_mmio_init(&s->g.t, d, &s->g.mem, s->g.irq_fd);
	virtio_mmio_pause(&s->g.t);
	rc = virtio_mmio_load(&s->g.t, &in, &e);
	assert_true(rc == 0 ? in.left == 0 : e.msg[0]);
	return rc;
}

static void state_save(struct setup *s, struct buf *b)
{
	struct state_out out = { .b = b };

	virtio_mmio_pause(&s->g.t);
	virtio_mmio_save(&s->g.t, &out);
	assert_false(out.has_failed);
}

static void state_put_back(struct setup *s)
{
	auto_buf b = { 0 };

	state_save(s, &b);
	assert_int_equal(load_from(s, &b), 0);
	virtio_mmio_resume(&s->g.t);
	virtio_mmio_kick_all(&s->g.t);
}

/* The guest's driver takes events and gives their buffers back; how many there were. */
static unsigned int events_hear(struct setup *s)
{
	unsigned int n = 0;
	uint32_t len;
	uint16_t head;

	while (guest_driver_used(&s->g, EVENT, &head, &len)) {
		assert_int_equal(len, 4);
		assert_int_equal(get_le32(guest_driver_data(&s->g, EVENT, head, 0)), 0);
		n++;
	}
	events_add(s, n);
	if (n > 0 && guest_driver_kick_wanted(&s->g, EVENT))
		guest_driver_kick(&s->g, EVENT);
	return n;
}

static void test_pause(void **state)
{
	struct setup *s = *state;
	int fd, more;

	rx_add(s, 8);
	fd = guest_open(s, 77);
	virtio_mmio_pause(&s->g.t);
	assert_int_equal(send(fd, "host", 4, MSG_NOSIGNAL), 4);
	guest_writes(s, 77, s->bytes, 10);
	more = caller_new(s, "CONNECT 1000\n");
	guest_is_quiet(s);
	assert_int_equal(recv(fd, s->got, 1, MSG_DONTWAIT), -1);
	assert_int_equal(tx_used(s), 1); /* of the call */
	skew_ms += VSOCK_WAIT_MS / 2;
	virtio_mmio_resume(&s->g.t);
	assert_memory_equal(guest_wants(s, RW, 77).data, "host", 4);
	host_gets(s, fd, s->bytes, 10);
	struct packet p;
	assert_true(guest_gets(s, &p) && p.op == REQUEST);
	assert_int_equal(events_hear(s), 0); /* it goes on, it was not restored */
	close(fd);
	close(more);
}

static void test_reset(void **state)
{
	struct setup *s = *state;
	struct vsock_broker_request r;
	uint32_t port;
	int fds[3];

	rx_add(s, 8);
	fds[0] = guest_open(s, 77);
	fds[1] = call_open(s, &port);
	fds[2] = caller_new(s, "CONNECT 10");
	guest_sends(s, REQUEST, 78, 0);
	r = broker_asked(s);
	guest_driver_set(&s->g, REG_STATUS, 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		assert_true(is_closed(s, fds[i]));
		close(fds[i]);
	}
	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 64), STATUS_RUNNING);
	rx_add(s, 8);
	broker_answers(s, r.cookie, 0, -1);
	guest_is_quiet(s);
	fds[0] = guest_open(s, 77);
	close(fds[0]);
}

/* A driver comes late; a caller waits for it as long as for an answer. */
static void test_no_driver_yet(void **state)
{
	struct setup *s = *state;
	struct packet p;
	int early, late;

	guest_driver_set(&s->g, REG_STATUS, 0);
	early = caller_new(s, "CONNECT 1000\n");
	assert_false(is_closed(s, early));
	skew_ms += VSOCK_WAIT_MS + 1000;
	assert_true(is_closed(s, early));
	late = caller_new(s, "CONNECT 1000\n");
	/* begins with a reset, at which all go */
	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 64), STATUS_RUNNING);
	assert_true(is_closed(s, late));
	close(late);
	late = caller_new(s, "CONNECT 1000\n");
	rx_add(s, 2);
	assert_true(guest_gets(s, &p) && p.op == REQUEST);
	close(early);
	close(late);
}

/* Nothing new reaches the guest before it has heard that the old is gone, and nothing of the old
 * harms the new. */
static void test_restored(void **state)
{
	struct setup *s = *state;
	struct vsock_broker_request r;
	uint32_t port = 0, before;
	struct packet p;
	int fd, old, fds[2];

	rx_add(s, 10);
	old = guest_open(s, 77);
	fd = call_open(s, &before);
	(void)guest_driver_interrupts(&s->g);
	(void)guest_driver_kick_wanted(&s->g, EVENT);
	state_put_back(s);
	assert_true(guest_driver_interrupts(&s->g) & 1); /* for the event, before anything runs */
	assert_true(is_closed(s, old) && is_closed(s, fd));
	close(old);
	close(fd);
	(void)tx_used(s);
	guest_writes(s, 77, s->bytes, 10); /* it does not know yet */
	guest_sends(s, SHUTDOWN, before, 3);
	guest_sends(s, REQUEST, 78, 0); /* this is no answer to anything, and so is new */
	r = broker_asked(s);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	broker_answers(s, r.cookie, 0, fds[0]);
	close(fds[0]);
	fd = caller_new(s, "CONNECT 1000\n");
	guest_is_quiet(s);
	assert_int_equal(tx_used(s), 3);
	assert_int_equal(events_hear(s), 1);
	for (int i = 0; i < 2; i++) { /* in either order */
		assert_true(guest_gets(s, &p));
		if (p.op == REQUEST)
			port = p.src_port;
		else
			assert_true(p.op == RESPONSE && p.src_port == 78);
	}
	assert_true(port > before); /* the guest may not have let go of that */
	guest_is_quiet(s);
	guest_sends(s, RESPONSE, port, 0);
	loop_turns(s->loop);
	assert_int_equal(recv(fd, s->got, 3, MSG_DONTWAIT), 3);
	guest_writes(s, 77, s->bytes, 10); /* now it should know */
	(void)guest_wants(s, RST, 77);
	close(fd);
	close(fds[1]);
}

/* What lay in the ring is served, and the guest is asked to kick for what comes after: with
 * EVENT_IDX it would not else, ever. */
static void test_packets_in_flight(void **state)
{
	struct setup *s = *state;
	auto_buf b = { 0 };
	int fd;

	rx_add(s, 4);
	state_save(s, &b);
	guest_sends(s, RST, 5, 0); /* between the processors' stop and the state's */
	guest_sends(s, CREDIT_UPDATE, 5, 0);
	(void)guest_driver_kick_wanted(&s->g, TX);
	assert_int_equal(load_from(s, &b), 0);
	virtio_mmio_resume(&s->g.t);
	assert_int_equal(tx_used(s), 2);
	assert_int_equal(events_hear(s), 1);
	guest_is_quiet(s);
	assert_true(s->g.features & VIRTIO_F_EVENT_IDX);
	struct packet p = packet_of(REQUEST, 77);
	raw_add(s, &p);
	assert_true(guest_driver_kick_wanted(&s->g, TX));
	guest_driver_kick(&s->g, TX);
	broker_answers(s, broker_asked(s).cookie, ECONNREFUSED, -1);
	(void)guest_wants(s, RST, 77);
	fd = guest_open(s, 77);
	close(fd);
}

/* Restored again before it has heard of the first time: both events count. */
static void test_restored_twice(void **state)
{
	struct setup *s = *state;
	uint32_t len;
	uint16_t head;
	int fd;

	rx_add(s, 4);
	state_put_back(s);
	state_put_back(s);
	fd = caller_new(s, "CONNECT 1000\n");
	guest_is_quiet(s);
	assert_true(guest_driver_used(&s->g, EVENT, &head, &len));
	events_add(s, 1);
	guest_driver_kick(&s->g, EVENT);
	guest_is_quiet(s);
	assert_int_equal(events_hear(s), 1);
	struct packet p;
	assert_true(guest_gets(s, &p) && p.op == REQUEST);
	close(fd);
}

/* A guest that has no buffer for the event gets it with the first one that it gives. */
static void test_no_event_buffers(void **state)
{
	struct setup *s = *state;
	struct packet p;
	int fd;

	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 64), STATUS_RUNNING);
	rx_add(s, 4);
	state_put_back(s);
	fd = caller_new(s, "CONNECT 1000\n");
	guest_is_quiet(s);
	events_add(s, 1);
	guest_driver_kick(&s->g, EVENT);
	assert_int_equal(events_hear(s), 1);
	assert_true(guest_gets(s, &p) && p.op == REQUEST);
	close(fd);
	/* and one that is too small breaks the queue */
	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 64), STATUS_RUNNING);
	guest_driver_add(&s->g, EVENT, NULL, 0, &(struct iovec){ NULL, 3 }, 1);
	state_put_back(s);
	assert_int_equal(status_of(s), STATUS_RUNNING | STATUS_NEEDS_RESET);
}

/* Saved before its driver was there: there is nothing to hear. */
static void test_restored_without_driver(void **state)
{
	struct setup *s = *state;
	int fd;

	guest_driver_set(&s->g, REG_STATUS, 0);
	state_put_back(s);
	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 64), STATUS_RUNNING);
	events_add(s, 2);
	guest_driver_kick(&s->g, EVENT);
	rx_add(s, 4);
	assert_int_equal(events_hear(s), 0);
	fd = guest_open(s, 77);
	close(fd);
}

static void test_load_bad(void **state)
{
	static const struct {
		size_t from_end; /* where the number is */
		uint32_t value;
		size_t bytes, cut;
	} rows[] = {
		{ 6, 0, 4, 0 },          { 6, HOST_PORT_END, 4, 0 },
		{ 6, UINT32_MAX, 4, 0 }, { 6, 0x3fffffff, 4, 0 },
		{ 2, 65, 2, 0 },         { 2, 0xffff, 2, 0 },
		{ 2, 8, 2, 1 },          { 2, 8, 2, 2 },
		{ 2, 8, 2, 5 },          { 2, 8, 2, 6 },
	};
	struct setup *s = *state;
	int fd;

	rx_add(s, 4);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf b = { 0 };

		state_save(s, &b);
		for (size_t k = 0; k < rows[i].bytes; k++)
			b.data[b.len - rows[i].from_end + k] = (char)(rows[i].value >> (8 * k));
		b.len -= rows[i].cut;
		if (load_from(s, &b) != -EINVAL)
			fail_msg("row %zu is taken", i);
		assert_int_equal(status_of(s), 0);
	}
	virtio_mmio_resume(&s->g.t);
	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 64), STATUS_RUNNING);
	rx_add(s, 4);
	fd = guest_open(s, 77);
	close(fd);
}

/* After the last port for callers comes the first. */
static void test_ports_wrap(void **state)
{
	struct setup *s = *state;
	auto_buf b = { 0 };
	struct packet p;
	int fds[2];

	rx_add(s, 8);
	state_save(s, &b);
	for (size_t k = 0; k < 4; k++)
		b.data[b.len - 6 + k] = (char)((HOST_PORT_END - 1) >> (8 * k));
	assert_int_equal(load_from(s, &b), 0);
	virtio_mmio_resume(&s->g.t);
	(void)events_hear(s);
	for (size_t i = 0; i < 2; i++) {
		fds[i] = caller_new(s, "CONNECT 1000\n");
		assert_true(guest_gets(s, &p));
		assert_int_equal(p.src_port, i == 0 ? HOST_PORT_END - 1 : 0x40000000U);
	}
	close(fds[0]);
	close(fds[1]);
}

static void test_new_bad(void **state)
{
	auto_fd file = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct virtio_device *d;
	struct loop *l;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(loop_new(&l, &e), 0);
	assert_int_equal(virtio_vsock_new(l, 1000000, -1, &d, &e), -EBADF);
	assert_int_equal(virtio_vsock_new(l, -1, 1000000, &d, &e), -EBADF);
	assert_int_equal(virtio_vsock_new(l, -1, file, &d, &e), -EPERM); /* cannot be waited for */
	assert_true(fcntl(file, F_GETFD) >= 0);
	loop_free(l);
}

/* In a template that is being made there is neither side. */
static void test_without_host(void **state)
{
	struct setup *s = *state;
	struct virtio_device *d;
	struct err e = { 0 };

	virtio_mmio_done(&s->g.t);
	assert_int_equal(virtio_vsock_new(s->loop, -1, -1, &d, &e), 0);
	virtio_mmio_init(&s->g.t, d, &s->g.mem, s->g.irq_fd);
	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 64), STATUS_RUNNING);
	rx_add(s, 2);
	guest_sends(s, REQUEST, 77, 0);
	(void)guest_wants(s, RST, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VSOCK_TEST(test_pause),
		VSOCK_TEST(test_reset),
		VSOCK_TEST(test_no_driver_yet),
		VSOCK_TEST(test_restored),
		VSOCK_TEST(test_packets_in_flight),
		VSOCK_TEST(test_restored_twice),
		VSOCK_TEST(test_no_event_buffers),
		VSOCK_TEST(test_restored_without_driver),
		VSOCK_TEST(test_load_bad),
		VSOCK_TEST(test_ports_wrap),
		cmocka_unit_test(test_new_bad),
		VSOCK_TEST(test_without_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
