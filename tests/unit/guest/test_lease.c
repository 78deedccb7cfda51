/* SPDX-License-Identifier: MIT */
/*
 * test_lease.c - a lease is asked for, renewed and changed; server, interface and clock are played
 *
 * They run in the process that keeps the lease, so what they see is in shared memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "fdio.h"
#include "guest_dhcp.h"
#include "guest_internal.h"

#define STEPS_MAX 8U
#define MTU       1400U
#define OVER      77 /* exit code of one that asks more than it should */
#define A         0x0a000002U
#define B         0x0a000003U

struct answer {
	int rc; /* of the server */
	struct dhcp_lease lease;
	int readdress_rc;
};

static struct play {
	struct answer answers[STEPS_MAX];
	uint32_t n_answers, n_asked, n_readdressed;
	uint32_t asked_ip[STEPS_MAX]; /* 0: any */
	uint32_t waited_s[STEPS_MAX]; /* before that */
	struct {
		uint32_t old_ip, ip, mtu;
	} readdressed[STEPS_MAX];
} * play;

int dhcp_obtain(const uint8_t mac[6], struct dhcp_lease *io, struct err *e)
{
	const struct answer *a = &play->answers[play->n_asked];

	if (play->n_asked == play->n_answers || mac[5] != 6)
		_exit(OVER);
	play->asked_ip[play->n_asked++] = io->ip;
	if (a->rc < 0)
		return err_plain(e, -a->rc, "dhcp: no lease");
	*io = a->lease;
	return 0;
}

int netlink_readdress(const struct agent_identity *old, const struct agent_identity *id,
		      struct err *e)
{
	const struct answer *a = &play->answers[play->n_asked - 1];

	play->readdressed[play->n_readdressed].old_ip = old->ip;
	play->readdressed[play->n_readdressed].ip = id->ip;
	play->readdressed[play->n_readdressed++].mtu = id->mtu;
	return a->readdress_rc < 0 ? err_plain(e, -a->readdress_rc, "eth0") : 0;
}

int nanosleep(const struct timespec *t, struct timespec *left)
{
	(void)left;
	if (play->n_asked < STEPS_MAX)
		play->waited_s[play->n_asked] = (uint32_t)t->tv_sec;
	return 0;
}

/* All that it says, into `news`; its exit code. */
static int keep(const struct answer *answers, uint32_t n, struct lease_news *news, uint32_t *ret_n)
{
	static const uint8_t mac[6] = { 2, 2, 3, 4, 5, 6 };
	struct err e = { 0 };
	int fd, status;

	memset(play, 0, sizeof(*play));
	memcpy(play->answers, answers, n * sizeof(*answers));
	play->n_answers = n;
	assert_int_equal(lease_start(mac, MTU, &fd, &e), 0);
	for (*ret_n = 0; fd_read_full(fd, &news[*ret_n], sizeof(*news)) == 0; (*ret_n)++)
		assert_true(*ret_n < STEPS_MAX - 1);
	close(fd);
	assert_true(wait(&status) > 0 && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static struct dhcp_lease lease_of(uint32_t ip, uint32_t seconds)
{
	return (struct dhcp_lease){ .ip = ip, .prefix_len = 24, .seconds = seconds };
}

/* The same again is no news; without an answer it keeps what it has, and asks soon. */
static void test_renewed(void **state)
{
	const struct answer answers[] = {
		{ .lease = lease_of(A, 600) },  { .lease = lease_of(A, 60) },
		{ .rc = -ETIMEDOUT },           { .rc = -ETIMEDOUT },
		{ .lease = lease_of(A, 1000) }, { .lease = lease_of(B, 600) },
	};
	static const uint32_t asked[] = { 0, A, A, A, A, A },
			      waited[] = { 0, 300, 30, 30, 30, 500 };
	struct lease_news news[STEPS_MAX];
	uint32_t n;

	(void)state;
	assert_int_equal(keep(answers, ARRAY_SIZE(answers), news, &n), OVER);
	assert_int_equal(play->n_asked, ARRAY_SIZE(answers));
	assert_memory_equal(play->asked_ip, asked, sizeof(asked));
	assert_memory_equal(play->waited_s, waited, sizeof(waited));
	assert_int_equal(n, 2);
	assert_int_equal(news[0].code | news[1].code, 0);
	assert_int_equal(news[0].lease.ip, A);
	assert_int_equal(news[1].lease.ip, B);
	assert_int_equal(play->n_readdressed, 4);
	assert_int_equal(play->readdressed[0].old_ip, 0);
	assert_int_equal(play->readdressed[3].old_ip, A);
	assert_int_equal(play->readdressed[3].ip, B);
}

/* Another name server is news, too. */
static void test_news(void **state)
{
	struct answer answers[3] = {
		{ .lease = lease_of(A, 600) },
		{ .lease = lease_of(A, 600) },
		{ .lease = lease_of(A, 600) },
	};
	struct lease_news news[STEPS_MAX];
	uint32_t n;

	(void)state;
	answers[1].lease.n_dns = 1;
	answers[1].lease.dns[0] = B;
	answers[2].lease = answers[1].lease;
	answers[2].lease.gateway = B;
	assert_int_equal(keep(answers, 3, news, &n), OVER);
	assert_int_equal(n, 3);
	assert_int_equal(news[1].lease.dns[0], B);
	assert_int_equal(news[2].lease.gateway, B);
}

/* eth0 has the old address until it has the new one, and nobody is told otherwise. */
static void test_interface_fails(void **state)
{
	const struct answer answers[] = {
		{ .lease = lease_of(A, 600) },
		{ .lease = lease_of(B, 600), .readdress_rc = -EIO },
		{ .lease = lease_of(B, 600) },
	};
	struct lease_news news[STEPS_MAX];
	uint32_t n;

	(void)state;
	assert_int_equal(keep(answers, ARRAY_SIZE(answers), news, &n), OVER);
	assert_int_equal(play->n_readdressed, 3);
	assert_int_equal(play->readdressed[2].old_ip, A);
	assert_int_equal(play->readdressed[2].ip, B);
	assert_int_equal(n, 2);
	assert_int_equal(news[1].lease.ip, B);
}

static void test_none(void **state)
{
	const struct answer answer = { .rc = -ETIMEDOUT };
	struct lease_news news[STEPS_MAX];
	uint32_t n;

	(void)state;
	assert_int_equal(keep(&answer, 1, news, &n), 1);
	assert_int_equal(n, 1);
	assert_int_equal(news[0].code, ETIMEDOUT);
	assert_string_equal(news[0].text, "dhcp: no lease");
}

/* One that has no end is not asked for again. A server may make packets smaller, not larger. */
static void test_for_ever(void **state)
{
	static const uint32_t mtus[][2] = { { 0, MTU }, { 1300, 1300 }, { 9000, MTU } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(mtus); i++) {
		struct answer answer = { .lease = lease_of(A, UINT32_MAX) };
		struct lease_news news[STEPS_MAX];
		uint32_t n;

		answer.lease.mtu = (uint16_t)mtus[i][0];
		assert_int_equal(keep(&answer, 1, news, &n), 0);
		assert_int_equal(n, 1);
		assert_int_equal(play->readdressed[0].mtu, mtus[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_renewed),         cmocka_unit_test(test_news),
		cmocka_unit_test(test_interface_fails), cmocka_unit_test(test_none),
		cmocka_unit_test(test_for_ever),
	};

	play = mmap(NULL, sizeof(*play), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(play, MAP_FAILED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
