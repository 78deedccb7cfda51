/* SPDX-License-Identifier: MIT */
/* test_virtio_vsock.c - connections both ways, their ends, credit, and guests that break rules */
#include "vsock_fixture.h"

#define NOBODY 5U /* a port of the host */

static void test_config(void **state)
{
	struct setup *s = *state;
	uint8_t raw[16], want[16] = { 3 };

	for (uint32_t i = 0; i < sizeof(raw); i++)
		virtio_mmio_read(&s->g.t, REG_CONFIG + i, raw + i, 1);
	assert_memory_equal(raw, want, sizeof(raw));
	assert_int_equal(guest_driver_get(&s->g, REG_DEVICE_ID), 19);
	assert_true(s->g.features & 1);
}

static void test_guest_calls(void **state)
{
	struct setup *s = *state;
	struct packet p;
	int fd;

	rx_add(s, 8);
	fd = guest_open(s, 77);
	guest_writes(s, 77, s->bytes, 1000);
	host_gets(s, fd, s->bytes, 1000);
	assert_int_equal(send(fd, s->bytes, 5000, MSG_NOSIGNAL), 5000);
	p = guest_wants(s, RW, 77);
	assert_int_equal(p.len, PAYLOAD);
	assert_int_equal(p.size, VSOCK_BUF);
	assert_int_equal(p.taken, 1000);
	assert_memory_equal(p.data, s->bytes, PAYLOAD);
	p = guest_wants(s, RW, 77);
	assert_int_equal(p.len, 5000 - PAYLOAD);
	assert_memory_equal(p.data, s->bytes + PAYLOAD, p.len);
	assert_int_equal(tx_used(s), 2);
	assert_true(guest_driver_interrupts(&s->g) & 1);
	close(fd);
}

static void test_nobody_there(void **state)
{
	struct setup *s = *state;
	struct vsock_broker_request first, second;
	struct packet p = packet_of(REQUEST, NOBODY);
	int fds[2];

	rx_add(s, 8);
	raw_send(s, &p);
	first = broker_asked(s);
	p.src_port++;
	raw_send(s, &p);
	second = broker_asked(s);
	assert_true(first.cookie != second.cookie);
	broker_answers(s, first.cookie + 1000, 0, -1); /* who asked is gone */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	broker_answers(s, first.cookie, ECONNREFUSED, fds[0]); /* with an error none counts */
	close(fds[0]);
	assert_true(is_closed(s, fds[1]));
	close(fds[1]);
	(void)guest_wants(s, RST, NOBODY);
	broker_answers(s, second.cookie, 0, -1); /* all right, it says, but there is none */
	assert_true(guest_gets(s, &p));
	assert_true(p.op == RST && p.dst_port == GUEST_PORT + 1);
	/* one that does not answer in time, and then does */
	guest_sends(s, REQUEST, NOBODY, 0);
	first = broker_asked(s);
	guest_is_quiet(s);
	skew_ms += VSOCK_WAIT_MS + 1000;
	(void)guest_wants(s, RST, NOBODY);
	broker_answers(s, first.cookie, 0, -1);
	guest_is_quiet(s);
	/* one that is gone */
	fd_drop(&s->broker);
	loop_turns(s->loop);
	guest_sends(s, REQUEST, NOBODY, 0);
	(void)guest_wants(s, RST, NOBODY);
}

static void test_broker_lies(void **state)
{
	struct setup *s = *state;

	rx_add(s, 2);
	assert_int_equal(send(s->broker, "abc", 3, 0), 3);
	loop_turns(s->loop);
	guest_sends(s, REQUEST, NOBODY, 0);
	(void)guest_wants(s, RST, NOBODY);
}

static void test_host_calls(void **state)
{
	struct setup *s = *state;
	uint32_t port, other;
	struct packet p;
	int fd, more;

	rx_add(s, 8);
	fd = call_open(s, &port);
	assert_true(port >= 0x40000000U && port < 0x80000000U);
	more = call_open(s, &other);
	assert_true(other != port);
	guest_writes(s, port, s->bytes, 100);
	host_gets(s, fd, s->bytes, 100);
	assert_int_equal(send(more, "other", 5, MSG_NOSIGNAL), 5);
	p = guest_wants(s, RW, other);
	assert_memory_equal(p.data, "other", 5);
	close(fd);
	close(more);
}

/* What is behind the line is the guest's, also when it was there before. */
static void test_line_in_pieces(void **state)
{
	struct setup *s = *state;
	int fd = caller_new(s, "CONN");
	struct packet p;

	rx_add(s, 4);
	guest_is_quiet(s);
	assert_int_equal(send(fd, "ECT 1000\nearly", 14, MSG_NOSIGNAL), 14);
	assert_true(guest_gets(s, &p));
	assert_int_equal(p.op, REQUEST);
	guest_is_quiet(s);
	guest_sends(s, RESPONSE, p.src_port, 0);
	p = guest_wants(s, RW, p.src_port);
	assert_int_equal(p.len, 5);
	assert_memory_equal(p.data, "early", 5);
	close(fd);
}

static void test_bad_lines(void **state)
{
	static const char *const rows[] = {
		"\n",
		"CONNECT\n",
		"CONNECT \n",
		"connect 1000\n",
		"CONNECT 4294967295\n", /* any port */
		"CONNECT 4294967296\n",
		"CONNECT 99999999999999999999\n",
		"CONNECT -1\n",
		"CONNECT 1000 \n",
		"CONNECT 0x10\n",
		"CONNECT  1000\n",
		"CONNECT 10\r\n",
		"CONNECT 000000000000000000000000001",
		"GET / HTTP/1.1\r\n\r\n",
	};
	struct setup *s = *state;

	rx_add(s, 2);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int fd = caller_new(s, rows[i]);

		if (!is_closed(s, fd))
			fail_msg("%s: was taken", rows[i]);
		close(fd);
	}
	guest_is_quiet(s);
}

static void test_callers_wait(void **state)
{
	struct setup *s = *state;
	int silent, refused, hasty, unheard;
	struct packet p;

	silent = caller_new(s, "CONNECT 10");
	refused = caller_new(s, "CONNECT 1000\n");
	unheard = caller_new(s, "CONNECT 1000\n");
	rx_add(s, 1);
	assert_true(guest_gets(s, &p));
	guest_sends(s, RST, p.src_port, 0);
	assert_true(is_closed(s, refused));
	skew_ms += VSOCK_WAIT_MS + 1000;
	assert_true(is_closed(s, silent) && is_closed(s, unheard));
	rx_add(s, 8);
	guest_is_quiet(s);
	hasty = caller_new(s, "CONNECT 1000\n"); /* goes before the guest has answered */
	assert_true(guest_gets(s, &p));
	close(hasty);
	(void)guest_wants(s, RST, p.src_port);
	guest_sends(s, RESPONSE, p.src_port, 0);
	(void)guest_wants(s, RST, p.src_port);
	hasty = caller_new(s, "CONNECT 1000\n"); /* the guest does not answer */
	assert_true(guest_gets(s, &p));
	skew_ms += VSOCK_WAIT_MS + 1000;
	(void)guest_wants(s, RST, p.src_port);
	assert_true(is_closed(s, hasty));
	close(silent);
	close(refused);
	close(unheard);
	close(hasty);
}

/* ---- ends ---- */

static void test_half_ends(void **state)
{
	struct setup *s = *state;
	struct packet p;
	int fd;

	rx_add(s, 8);
	fd = guest_open(s, 77);
	assert_int_equal(send(fd, "last", 4, MSG_NOSIGNAL), 4);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	p = guest_wants(s, RW, 77);
	assert_memory_equal(p.data, "last", 4);
	p = guest_wants(s, SHUTDOWN, 77);
	assert_int_equal(p.flags, 2);
	guest_is_quiet(s);
	guest_writes(s, 77, s->bytes, 10);
	host_gets(s, fd, s->bytes, 10);
	guest_sends(s, SHUTDOWN, 77, 2);
	assert_true(is_closed(s, fd));
	p = guest_wants(s, SHUTDOWN, 77); /* now nothing goes either way */
	assert_int_equal(p.flags, 3);
	guest_sends(s, RST, 77, 0);
	guest_is_quiet(s);
	guest_sends(s, CREDIT_UPDATE, 77, 0); /* it is none any more */
	(void)guest_wants(s, RST, 77);
	close(fd);
}

static void test_guest_receives_no_more(void **state)
{
	struct setup *s = *state;
	int fd;

	rx_add(s, 8);
	fd = guest_open(s, 77);
	guest_sends(s, SHUTDOWN, 77, 1);
	loop_turns(s->loop);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	guest_writes(s, 77, s->bytes, 10);
	host_gets(s, fd, s->bytes, 10);
	guest_is_quiet(s);
	close(fd);
	assert_int_equal(guest_wants(s, SHUTDOWN, 77).flags, 3);
}

static void test_host_goes(void **state)
{
	struct setup *s = *state;
	struct packet p;
	int fd;

	rx_add(s, 8);
	fd = guest_open(s, 77);
	assert_int_equal(send(fd, "last", 4, MSG_NOSIGNAL), 4);
	close(fd);
	do {
		assert_true(guest_gets(s, &p));
		if (p.op == RW)
			assert_memory_equal(p.data, "last", 4);
	} while (p.op != SHUTDOWN || p.flags != 3);
	guest_writes(s, 77, s->bytes, 10); /* it did not know */
	guest_is_quiet(s);
	skew_ms += VSOCK_WAIT_MS + 1000; /* and does not say that it does */
	(void)guest_wants(s, RST, 77);
	guest_writes(s, 77, s->bytes, 10);
	(void)guest_wants(s, RST, 77);
}

/* The guest is gone, and yet all that it sent arrives. */
static void test_last_bytes(void **state)
{
	static const uint16_t ops[] = { SHUTDOWN, RST };
	struct setup *s = *state;
	struct packet p;

	rx_add(s, 30);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		int fd = guest_open(s, 77);

		for (uint32_t at = 0; at < VSOCK_BUF; at += 8192)
			guest_writes(s, 77, s->bytes + at, 8192);
		while (guest_gets(s, &p)) /* the socket has taken some */
			assert_int_equal(p.op, CREDIT_UPDATE);
		guest_sends(s, ops[i], 77, 3);
		if (ops[i] == SHUTDOWN)
			(void)guest_wants(s, RST, 77);
		guest_is_quiet(s);
		guest_sends(s, CREDIT_REQUEST, 77, 0);
		(void)guest_wants(s, RST, 77);
		host_gets(s, fd, s->bytes, VSOCK_BUF);
		assert_true(is_closed(s, fd));
		close(fd);
		assert_true(tx_used(s) > 0);
	}
}

/* ---- credit ---- */

static void test_credit_of_guest(void **state)
{
	struct setup *s = *state;
	struct packet p = packet_of(REQUEST, 77);
	int fd;

	rx_add(s, 20);
	fd = guest_open(s, 77);
	p.op = CREDIT_UPDATE;
	p.size = 100;
	raw_send(s, &p);
	assert_int_equal(send(fd, s->bytes, 1000, MSG_NOSIGNAL), 1000);
	assert_int_equal(guest_wants(s, RW, 77).len, 100);
	guest_is_quiet(s);
	p.taken = 60;
	raw_send(s, &p);
	assert_int_equal(guest_wants(s, RW, 77).len, 60);
	guest_is_quiet(s);
	p.taken = 161; /* more than it was sent */
	raw_send(s, &p);
	guest_is_quiet(s);
	p.taken = 160;
	p.size = 0;
	raw_send(s, &p);
	guest_is_quiet(s);
	p.size = UINT32_MAX;
	raw_send(s, &p);
	assert_int_equal(guest_wants(s, RW, 77).len, 840);
	close(fd);
}

static void test_credit_of_host(void **state)
{
	struct setup *s = *state;
	uint32_t sent = 0, taken = 0, received = 0;
	struct packet p;
	int fd;

	rx_add(s, 20);
	fd = guest_open(s, 77);
	guest_sends(s, CREDIT_REQUEST, 77, 0);
	p = guest_wants(s, CREDIT_UPDATE, 77);
	assert_true(p.size == VSOCK_BUF && p.taken == 0);
	/* all that it may, and then what it is told that it may, until all has arrived */
	for (int i = 0; received < sizeof(s->bytes) && i < 10000; i++) {
		uint32_t free = VSOCK_BUF - (sent - taken);
		uint32_t n = MIN_OF(MIN_OF(free, 7000U), (uint32_t)sizeof(s->bytes) - sent);
		ssize_t got;

		if (n > 0)
			guest_writes(s, 77, s->bytes + sent, n);
		sent += n;
		(void)tx_used(s);
		while (guest_gets(s, &p)) {
			assert_int_equal(p.op, CREDIT_UPDATE);
			assert_true(p.taken - taken <= sent - taken);
			taken = p.taken;
			rx_add(s, 1);
		}
		got = i % 3 ? recv(fd, s->got, 5000, MSG_DONTWAIT) : 0;
		if (got > 0)
			assert_memory_equal(s->got, s->bytes + received, (size_t)got);
		received += got > 0 ? (uint32_t)got : 0;
	}
	assert_int_equal(received, sizeof(s->bytes));
	close(fd);
}

static void test_credit_violated(void **state)
{
	struct setup *s = *state;
	struct packet p = { 0 };
	int i = 0, fd;

	rx_add(s, 20);
	fd = guest_open(s, 77);
	while (i++ < 100 && p.op != RST) { /* nobody reads */
		guest_writes(s, 77, s->bytes, 8192);
		(void)tx_used(s);
		(void)guest_gets(s, &p);
	}
	assert_int_equal(p.op, RST);
	assert_true(i > 8);
	close(fd);
	fd = guest_open(s, 77); /* at once: more than there ever is */
	guest_writes(s, 77, s->bytes, VSOCK_BUF + 1);
	(void)guest_wants(s, RST, 77);
	assert_true(is_closed(s, fd));
	close(fd);
}

/* ---- rules ---- */

static void test_unknown(void **state)
{
	static const struct {
		uint64_t src_cid, dst_cid;
		uint16_t type, op;
		bool is_answered;
	} rows[] = {
		{ 3, 2, STREAM, RESPONSE, true },
		{ 3, 2, STREAM, SHUTDOWN, true },
		{ 3, 2, STREAM, RW, true },
		{ 3, 2, STREAM, CREDIT_UPDATE, true },
		{ 3, 2, STREAM, CREDIT_REQUEST, true },
		{ 3, 2, STREAM, 0, true },
		{ 3, 2, STREAM, 8, true },
		{ 3, 2, STREAM, UINT16_MAX, true },
		{ 3, 2, STREAM, RST, false }, /* never */
		{ 3, 2, 0, REQUEST, true },
		{ 3, 2, 2, REQUEST, true }, /* packets in order: not offered */
		{ 3, 2, UINT16_MAX, RW, true },
		{ 3, 2, 2, RST, false },
		{ 4, 2, STREAM, REQUEST, false }, /* not this guest */
		{ 2, 2, STREAM, REQUEST, false },
		{ 3 | 1ULL << 32, 2, STREAM, REQUEST, false },
		{ 3, 3, STREAM, REQUEST, false }, /* not the host */
		{ 3, 1, STREAM, REQUEST, false },
		{ 3, 2 | 1ULL << 32, STREAM, REQUEST, false },
	};
	struct setup *s = *state;

	rx_add(s, 30);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct packet p = packet_of(rows[i].op, NOBODY), got;

		p.src_cid = rows[i].src_cid;
		p.dst_cid = rows[i].dst_cid;
		p.type = rows[i].type;
		raw_send(s, &p);
		assert_int_equal(tx_used(s), 1);
		if (guest_gets(s, &got) != rows[i].is_answered)
			fail_msg("row %zu", i);
		if (rows[i].is_answered) {
			assert_true(got.op == RST && got.type == rows[i].type);
			assert_true(got.src_port == NOBODY && got.dst_port == GUEST_PORT);
		}
	}
	assert_int_equal(recv(s->broker, s->got, 1, 0), -1); /* nothing was asked */
}

/* What an open connection must not get: it ends. */
static void test_rules_of_open(void **state)
{
	static const struct {
		uint16_t op;
		uint32_t len, n_data;
		bool is_after_end;
	} rows[] = {
		{ REQUEST, 0, 0, false },
		{ RESPONSE, 0, 0, false },
		{ 0, 0, 0, false },
		{ 8, 0, 0, false },
		{ RW, 11, 10, false },
		{ RW, 1, 0, false },
		{ RW, UINT32_MAX, 10, false },
		{ RW, UINT32_MAX - HDR + 1, 10, false },
		{ RW, 10, 10, true },
	};
	struct setup *s = *state;

	rx_add(s, 30);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct packet p = packet_of(rows[i].op, 77);
		int fd = guest_open(s, 77);

		if (rows[i].is_after_end)
			guest_sends(s, SHUTDOWN, 77, 2);
		p.len = rows[i].len;
		p.n_data = rows[i].n_data;
		p.data = s->bytes;
		raw_send(s, &p);
		(void)guest_wants(s, RST, 77);
		assert_true(is_closed(s, fd));
		close(fd);
		(void)tx_used(s);
	}
}

/* Before the broker has answered, or the guest has accepted, there is nothing to say but no. */
static void test_rules_of_waiting(void **state)
{
	static const uint16_t ops[] = { REQUEST, SHUTDOWN, RW, RESPONSE };
	struct setup *s = *state;

	rx_add(s, 30);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct vsock_broker_request r;
		struct packet p;
		int fd;

		guest_sends(s, REQUEST, 77, 0);
		r = broker_asked(s);
		guest_sends(s, ops[i], 77, 2);
		(void)guest_wants(s, RST, 77);
		broker_answers(s, r.cookie, 0, -1);
		guest_is_quiet(s);
		fd = caller_new(s, "CONNECT 1000\n");
		assert_true(guest_gets(s, &p));
		if (ops[i] != RESPONSE) {
			guest_sends(s, ops[i], p.src_port, 2);
			(void)guest_wants(s, RST, p.src_port);
			assert_true(is_closed(s, fd));
		}
		close(fd);
		loop_turns(s->loop);
		while (guest_gets(s, &p))
			;
		(void)tx_used(s);
	}
}

static void test_short_header(void **state)
{
	struct setup *s = *state;
	struct iovec v = { s->bytes, HDR - 1 };

	rx_add(s, 2);
	guest_driver_add(&s->g, TX, &v, 1, NULL, 0);
	guest_driver_kick(&s->g, TX);
	guest_is_quiet(s);
	assert_int_equal(tx_used(s), 1);
	assert_int_equal(status_of(s), STATUS_RUNNING);
}

static void test_small_buffers(void **state)
{
	struct setup *s = *state;
	struct iovec v = { NULL, HDR };
	int fd;

	guest_driver_add(&s->g, RX, NULL, 0, &v, 1);
	guest_driver_kick(&s->g, RX);
	guest_sends(s, CREDIT_REQUEST, NOBODY, 0);
	loop_turns(s->loop);
	assert_int_equal(status_of(s), STATUS_RUNNING | STATUS_NEEDS_RESET);
	assert_int_equal(guest_driver_negotiate(&s->g, s->g.features, 64), STATUS_RUNNING);
	rx_add(s, 4);
	fd = guest_open(s, 77);
	close(fd);
}

/* ---- limits ---- */

static void test_table_full(void **state)
{
	struct setup *s = *state;
	struct packet p = packet_of(REQUEST, 77);
	int fd;

	rx_add(s, 8);
	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++) {
		p.src_port = 5000 + i;
		raw_send(s, &p);
		(void)broker_asked(s);
		(void)tx_used(s);
	}
	guest_sends(s, REQUEST, 77, 0);
	(void)guest_wants(s, RST, 77);
	fd = caller_new(s, "CONNECT 1000\n");
	assert_true(is_closed(s, fd));
	close(fd);
	p.op = RST;
	raw_send(s, &p);
	fd = guest_open(s, 77);
	close(fd);
}

/* Answers that the guest does not take: no more packets are, until it does; none is lost. */
static void test_answers_full(void **state)
{
	struct setup *s = *state;
	unsigned int sent = 0, used = 0, got = 0;
	struct packet p;

	for (; sent < 100; sent++) {
		if (s->g.queues[TX].n_free < 2)
			used += tx_used(s);
		if (s->g.queues[TX].n_free < 2)
			break;
		p = packet_of(CREDIT_UPDATE, sent);
		raw_send(s, &p);
	}
	loop_turns(s->loop);
	used += tx_used(s);
	assert_int_equal(used, 64);
	assert_true(sent > used);
	while (got < sent) {
		rx_add(s, 1);
		assert_true(guest_gets(s, &p));
		assert_true(p.op == RST && p.src_port == got);
		got++;
	}
	used += tx_used(s);
	assert_int_equal(used, sent);
	guest_is_quiet(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VSOCK_TEST(test_config),          VSOCK_TEST(test_guest_calls),
		VSOCK_TEST(test_nobody_there),    VSOCK_TEST(test_broker_lies),
		VSOCK_TEST(test_host_calls),      VSOCK_TEST(test_line_in_pieces),
		VSOCK_TEST(test_bad_lines),       VSOCK_TEST(test_callers_wait),
		VSOCK_TEST(test_half_ends),       VSOCK_TEST(test_guest_receives_no_more),
		VSOCK_TEST(test_host_goes),       VSOCK_TEST(test_last_bytes),
		VSOCK_TEST(test_credit_of_guest), VSOCK_TEST(test_credit_of_host),
		VSOCK_TEST(test_credit_violated), VSOCK_TEST(test_unknown),
		VSOCK_TEST(test_rules_of_open),   VSOCK_TEST(test_rules_of_waiting),
		VSOCK_TEST(test_short_header),    VSOCK_TEST(test_small_buffers),
		VSOCK_TEST(test_table_full),      VSOCK_TEST(test_answers_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
