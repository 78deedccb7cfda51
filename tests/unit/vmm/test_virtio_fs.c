/* SPDX-License-Identifier: MIT */
/*
 * test_virtio_fs.c - requests of a guest to the server of a share, and answers of servers of all
 * kinds
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "bytes.h"
#include "fdio.h"
#include "guest_driver.h"
#include "loop.h"
#include "share_serve.h"
#include "temp_dir.h"
#include "virtio_fs.h"

#define HIPRIO    0U
#define REQUEST   1U
#define REPLY_MAX 256U
#define TURNS_MAX 2000

_Static_assert(VIRTIO_FS_MESSAGE_MAX == SHARE_REQUEST_MAX, "the server takes what is sent");
_Static_assert(VIRTIO_FS_MESSAGE_MAX == SHARE_REPLY_MAX, "what the server sends is taken");

struct fixture {
	struct loop *loop;
	struct loop_timer *timer;
	struct guest_driver g;
	int peer; /* the server's end */
	uint64_t unique;
};

static struct fixture fx;
static uint8_t message[VIRTIO_FS_MESSAGE_MAX];

static void quit(void *arg)
{
	loop_quit(arg, 0);
}

static int setup(void **state)
{
	struct virtio_device *dev = NULL;
	struct err e = { 0 };
	int fds[2];

	(void)state;
	fx = (struct fixture){ .peer = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	fx.peer = fds[1];
	if (loop_new(&fx.loop, &e) < 0 || loop_timer_new(fx.loop, quit, fx.loop, &fx.timer, &e) ||
	    virtio_fs_new(fx.loop, "tag", fds[0], &dev, &e) < 0)
		return -1;
	guest_driver_start(&fx.g, dev);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_driver_stop(&fx.g);
	loop_timer_drop(fx.timer);
	loop_free(fx.loop);
	fd_drop(&fx.peer);
	return 0;
}

static void turn(void)
{
	struct err e = { 0 };

	loop_timer_arm(fx.timer, 1);
	assert_int_equal(loop_run(fx.loop, &e), 0);
}

/* A request with `arg`, its header in two buffers; returns its head. */
static uint16_t request_add(unsigned int queue, uint32_t opcode, uint64_t nodeid, const void *arg,
			    size_t arg_len, size_t reply_len)
{
	struct fuse_in_header h = { .len = (uint32_t)(sizeof(h) + arg_len),
				    .opcode = opcode,
				    .nodeid = nodeid,
				    .unique = ++fx.unique };
	const struct iovec out[] = { { &h, 7 },
				     { (uint8_t *)&h + 7, sizeof(h) - 7 },
				     { (void *)(uintptr_t)arg, arg_len } };
	const struct iovec in[] = { { NULL, 5 }, { NULL, reply_len - MIN_OF(reply_len, 5) } };
	uint16_t head = guest_driver_add(&fx.g, queue, out, arg_len ? 3 : 2, in, reply_len ? 2 : 0);

	guest_driver_kick(&fx.g, queue);
	return head;
}

static uint16_t plain_add(void)
{
	return request_add(REQUEST, FUSE_STATFS, 1, NULL, 0, REPLY_MAX);
}

/* Wait for one used chain; its reply, joined, in `message`. Returns how much was written. */
static uint32_t used_wait(unsigned int queue, unsigned int n_out, uint16_t *ret_head)
{
	uint32_t len = 0;

	for (int i = 0; !guest_driver_used(&fx.g, queue, ret_head, &len); i++) {
		assert_true(i < TURNS_MAX);
		turn();
	}
	if (len > 0) {
		assert_true(len >= sizeof(struct fuse_out_header));
		memcpy(message, guest_driver_data(&fx.g, queue, *ret_head, n_out), 5);
		memcpy(message + 5, guest_driver_data(&fx.g, queue, *ret_head, n_out + 1), len - 5);
	}
	return len;
}

static int error_of(void)
{
	return (int)get_le32(message + 4);
}

/* ---- the server, by hand ---- */

static void server_bytes(void *data, size_t len)
{
	size_t done = 0;

	for (int i = 0; done < len; i++) {
		ssize_t n = recv(fx.peer, (uint8_t *)data + done, len - done, MSG_DONTWAIT);

		assert_true(n > 0 || (n < 0 && errno == EAGAIN && i < TURNS_MAX));
		if (n > 0)
			done += (size_t)n;
		else
			turn();
	}
}

/* Its number. */
static uint64_t server_take(void)
{
	uint8_t raw[4];

	server_bytes(raw, sizeof(raw));
	assert_true(get_le32(raw) <= sizeof(message));
	server_bytes(message, get_le32(raw));
	assert_int_equal(get_le32(message), get_le32(raw));
	return get_le64(message + 8);
}

static void server_send(uint32_t length, uint32_t header_len, uint64_t unique, size_t bytes)
{
	uint8_t raw[4 + REPLY_MAX + 64] = { 0 };

	put_le32(raw, length);
	put_le32(raw + 4, header_len);
	put_le64(raw + 12, unique);
	assert_int_equal(send(fx.peer, raw, 4 + bytes, MSG_NOSIGNAL), 4 + bytes);
}

static void server_answer(uint64_t unique)
{
	server_send(16, 16, unique, 16);
}

static void server_is_quiet(void)
{
	uint8_t c;

	turn();
	assert_int_equal(recv(fx.peer, &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

/* ---- tests ---- */

static void test_config(void **state)
{
	static const char *const bad[] = { "", "a tag of more than thirty-six letters" };
	struct virtio_device *dev = NULL;
	uint8_t raw[48], want[48] = { 't', 'a', 'g', [36] = 1 };
	struct err e = { 0 };

	(void)state;
	for (uint32_t i = 0; i < sizeof(raw); i++)
		virtio_mmio_read(&fx.g.t, REG_CONFIG + i, raw + i, 1);
	assert_memory_equal(raw, want, sizeof(raw));
	assert_int_equal(guest_driver_get(&fx.g, REG_DEVICE_ID), 26);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(virtio_fs_new(fx.loop, bad[i], fx.peer, &dev, &e), -EINVAL);
	assert_int_equal(virtio_fs_new(fx.loop, "tag", 9999, &dev, &e), -EBADF);
}

static void test_order(void **state)
{
	uint16_t heads[20], head = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		heads[i] = plain_add();
	for (uint64_t i = 1; i <= 16; i++)
		assert_int_equal(server_take(), i);
	server_is_quiet(); /* no more than that at a time */
	for (uint64_t i = 1; i <= 20; i++) {
		server_answer(i);
		assert_int_equal(used_wait(REQUEST, 2, &head), 16);
		assert_int_equal(head, heads[i - 1]);
		assert_int_equal(get_le64(message + 8), i);
		assert_int_equal(error_of(), 0);
		if (i <= 4)
			assert_int_equal(server_take(), i + 16);
	}
	assert_true(guest_driver_interrupts(&fx.g) & 1);
}

/* Those of high priority go first, and have no reply. */
static void test_hiprio(void **state)
{
	const struct fuse_forget_in in = { 1 };
	uint16_t head = 0, forget;
	uint64_t normal = 17;

	(void)state;
	for (int i = 0; i < 17; i++)
		(void)plain_add();
	forget = request_add(HIPRIO, FUSE_FORGET, 5, &in, sizeof(in), 0);
	for (uint64_t i = 1; i <= 16; i++) {
		assert_int_equal(server_take(), i);
		server_answer(i);
	}
	assert_int_equal(server_take(), 18);
	assert_int_equal(get_le64(message + 40), 1);
	server_send(0, 0, 0, 0);
	assert_int_equal(used_wait(HIPRIO, 3, &head), 0);
	assert_int_equal(head, forget);
	assert_int_equal(server_take(), normal);
}

static void test_bad_server(void **state)
{
	static const struct {
		const char *what;
		uint32_t length, header_len;
		uint64_t unique;
		size_t bytes;
	} rows[] = {
		{ "too long", UINT32_MAX, 16, 1, 16 },
		{ "a bit too long", VIRTIO_FS_MESSAGE_MAX + 1, 16, 1, 16 },
		{ "no header", 15, 15, 1, 15 },
		{ "one byte", 1, 1, 1, 1 },
		{ "header says more", 16, 17, 1, 16 },
		{ "header says less", 20, 16, 1, 20 },
		{ "not the oldest", 16, 16, 2, 16 },
		{ "unknown number", 16, 16, 1ULL << 32 | 1, 16 },
		{ "hangs up", 16, 16, 1, 0 },
		{ "hangs up within", 100, 100, 1, 60 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint16_t head = 0;

		if (i > 0)
			assert_int_equal(setup(NULL), 0);
		(void)plain_add();
		(void)plain_add();
		assert_int_equal(server_take(), 1);
		assert_int_equal(server_take(), 2);
		if (rows[i].bytes > 0)
			server_send(rows[i].length, rows[i].header_len, rows[i].unique,
				    rows[i].bytes);
		if (strncmp(rows[i].what, "hangs", 5) == 0)
			shutdown(fx.peer, SHUT_RDWR);
		for (uint64_t k = 1; k <= 3; k++) {
			if (used_wait(REQUEST, 2, &head) != 16 || error_of() != -EIO ||
			    get_le64(message + 8) != k)
				fail_msg("%s: reply %u, error %d", rows[i].what, (unsigned int)k,
					 error_of());
			if (k == 2)
				(void)plain_add(); /* after the end */
		}
		if (i + 1 < ARRAY_SIZE(rows))
			teardown(NULL);
	}
}

static void test_unasked(void **state)
{
	uint16_t head = 0;

	(void)state;
	server_answer(1);
	turn();
	(void)plain_add();
	assert_int_equal(used_wait(REQUEST, 2, &head), 16);
	assert_int_equal(error_of(), -EIO);
}

static void test_bad_requests(void **state)
{
	static uint8_t big[VIRTIO_FS_MESSAGE_MAX + 1] = { 0 };
	const struct iovec in = { NULL, 100 }, small = { NULL, 15 };
	const struct {
		size_t out;
		const struct iovec *in;
		uint32_t written;
	} rows[] = {
		{ 39, &in, 16 }, { 1, &in, 16 }, { 39, &small, 0 },
		{ 39, NULL, 0 }, { 0, &in, 16 }, { sizeof(big), &in, 16 },
	};
	uint16_t head = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct iovec out = { big, rows[i].out };
		uint32_t len = 0;

		(void)guest_driver_add(&fx.g, REQUEST, &out, rows[i].out ? 1 : 0, rows[i].in,
				       rows[i].in ? 1 : 0);
		guest_driver_kick(&fx.g, REQUEST);
		assert_true(guest_driver_used(&fx.g, REQUEST, &head, &len));
		assert_int_equal(len, rows[i].written);
		if (len)
			assert_int_equal(
				(int)get_le32((uint8_t *)guest_driver_data(&fx.g, REQUEST, head,
									   rows[i].out ? 1 : 0) +
					      4),
				-EIO);
	}
	server_is_quiet();
}

static void test_reply_too_long(void **state)
{
	uint16_t head = 0;

	(void)state;
	(void)plain_add();
	(void)plain_add();
	assert_int_equal(server_take(), 1);
	server_send(REPLY_MAX + 1, REPLY_MAX + 1, 1, REPLY_MAX + 1);
	assert_int_equal(used_wait(REQUEST, 2, &head), 16);
	assert_int_equal(error_of(), -EIO);
	assert_int_equal(server_take(), 2); /* and goes on */
	server_send(REPLY_MAX, REPLY_MAX, 2, REPLY_MAX);
	assert_int_equal(used_wait(REQUEST, 2, &head), REPLY_MAX);
	assert_int_equal(error_of(), 0);
}

/* More than the socket holds: each waits until the one before it has gone. */
static void test_full_socket(void **state)
{
	static uint8_t big[SHARE_DATA_MAX];
	uint16_t head = 0;

	(void)state;
	for (int i = 0; i < 5; i++) {
		memset(big, i, sizeof(big));
		(void)request_add(REQUEST, FUSE_WRITE, 1, big, sizeof(big), REPLY_MAX);
	}
	turn();
	for (uint64_t i = 1; i <= 5; i++) {
		assert_int_equal(server_take(), i);
		assert_int_equal(message[40], i - 1);
		assert_int_equal(message[40 + SHARE_DATA_MAX - 1], i - 1);
		server_answer(i);
		assert_int_equal(used_wait(REQUEST, 3, &head), 16);
	}
}

static void test_reset(void **state)
{
	uint16_t head = 0;
	uint32_t len = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		(void)plain_add();
	assert_int_equal(server_take(), 1);
	assert_int_equal(guest_driver_negotiate(&fx.g, fx.g.features, 64), STATUS_RUNNING);
	server_answer(1);
	assert_int_equal(server_take(), 2);
	assert_int_equal(server_take(), 3);
	turn();
	assert_false(guest_driver_used(&fx.g, REQUEST, &head, &len));
	(void)plain_add();
	server_answer(2);
	server_answer(3);
	assert_int_equal(server_take(), 4);
	server_answer(4);
	assert_int_equal(used_wait(REQUEST, 2, &head), 16);
	assert_int_equal(get_le64(message + 8), 4);
}

static void *answer_late(void *arg)
{
	(void)arg;
	usleep(50000);
	server_answer(1);
	server_answer(2);
	return NULL;
}

static void test_pause(void **state)
{
	const uint8_t *memory = fx.g.mem.slots[0].hva;
	const struct virtio_device *d = fx.g.t.dev;
	uint16_t head = 0;
	uint32_t len = 0;
	pthread_t thread;

	(void)state;
	(void)plain_add();
	(void)plain_add();
	assert_true(d->ops->uses(d, memory, GUEST_DRIVER_SIZE));
	assert_false(d->ops->uses(d, memory + GUEST_DRIVER_SIZE, 1));
	assert_int_equal(pthread_create(&thread, NULL, answer_late, NULL), 0);
	virtio_mmio_pause(&fx.g.t);
	pthread_join(thread, NULL);
	assert_false(d->ops->uses(d, memory, GUEST_DRIVER_SIZE));
	assert_true(guest_driver_used(&fx.g, REQUEST, &head, &len));
	assert_true(guest_driver_used(&fx.g, REQUEST, &head, &len));
	assert_int_equal(server_take(), 1);
	assert_int_equal(server_take(), 2);
	(void)plain_add();
	server_is_quiet();
	virtio_mmio_resume(&fx.g.t);
	assert_int_equal(server_take(), 3);
	shutdown(fx.peer, SHUT_RDWR); /* a pause ends then, too */
	virtio_mmio_pause(&fx.g.t);
	assert_true(guest_driver_used(&fx.g, REQUEST, &head, &len));
	virtio_mmio_resume(&fx.g.t);
}

/* ---- a real one ---- */

static void *serve(void *arg)
{
	struct err e = { 0 };

	return share_serve(arg, fx.peer, &e) < 0 ? arg : NULL;
}

static uint64_t real_lookup(const char *name)
{
	uint16_t head = 0;

	(void)request_add(REQUEST, FUSE_LOOKUP, 1, name, strlen(name) + 1, REPLY_MAX);
	assert_int_equal(used_wait(REQUEST, 3, &head), 16 + sizeof(struct fuse_entry_out));
	return get_le64(message + 16);
}

static void real_session(void)
{
	const struct fuse_init_in init = { .major = 7, .minor = 38, .flags = FUSE_MAX_PAGES };
	const struct fuse_open_in open_in = { .flags = O_RDONLY };
	const struct fuse_forget_in forget = { 1 };
	struct fuse_read_in read_in = { .size = SHARE_DATA_MAX };
	uint16_t head = 0;
	uint64_t node;

	(void)request_add(REQUEST, FUSE_INIT, 0, &init, sizeof(init), REPLY_MAX);
	assert_int_equal(used_wait(REQUEST, 3, &head), 16 + sizeof(struct fuse_init_out));
	node = real_lookup("file");
	(void)request_add(REQUEST, FUSE_OPEN, node, &open_in, sizeof(open_in), REPLY_MAX);
	assert_int_equal(used_wait(REQUEST, 3, &head), 16 + sizeof(struct fuse_open_out));
	read_in.fh = get_le64(message + 16);
	(void)request_add(REQUEST, FUSE_READ, node, &read_in, sizeof(read_in), 16 + SHARE_DATA_MAX);
	assert_int_equal(used_wait(REQUEST, 3, &head), 16 + 100000);
	assert_int_equal(message[16], 'x');
	assert_int_equal(message[16 + 99999], 'x');
	(void)request_add(HIPRIO, FUSE_FORGET, node, &forget, sizeof(forget), 0);
	assert_int_equal(used_wait(HIPRIO, 3, &head), 0);
}

static void test_real(void **state)
{
	struct share_options o = { .max_inodes = 16, .max_handles = 4 };
	static char text[100000];
	struct share *s = NULL;
	struct err e = { 0 };
	pthread_t thread;
	void *failed;

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(temp_dir_make(&temp_dir), 0);
	assert_int_equal(file_write_atomic_at(temp_dir.fd, "file", 0644, text, sizeof(text), &e),
			 0);
	o.root_fd = temp_dir.fd;
	assert_int_equal(share_new(&o, &s, &e), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve, s), 0);
	real_session();
	shutdown(fx.peer, SHUT_RDWR);
	pthread_join(thread, &failed);
	assert_null(failed);
	share_free(s);
	assert_int_equal(temp_dir_remove(&temp_dir), 0);
}

/* ---- a template's slot ---- */

/* The model's device becomes one with `fd` as its server, which is loaded with what `b` has. */
static int slot_load(struct guest_driver *g, int fd, const struct buf *b, struct err *e)
{
	struct state_in in = { (const uint8_t *)b->data, b->len, false };
	struct virtio_device *dev = NULL;

	assert_int_equal(virtio_fs_new(fx.loop, "tag", fd, &dev, e), 0);
	virtio_mmio_done(&g->t);
	virtio_mmio_init(&g->t, dev, &g->mem, g->irq_fd);
	return virtio_mmio_load(&g->t, &in, e);
}

static void slot_save(struct buf *b)
{
	struct state_out out = { b, false };

	buf_clear(b);
	virtio_mmio_pause(&fx.g.t);
	virtio_mmio_save(&fx.g.t, &out);
}

static void test_slot(void **state)
{
	auto_buf unused = { 0 }, used = { 0 };
	struct err e = { 0 };
	uint16_t head = 0;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	slot_save(&unused);
	/* without a server: as in the template; whoever asks is told so */
	assert_int_equal(slot_load(&fx.g, -1, &unused, &e), 0);
	(void)plain_add();
	assert_int_equal(used_wait(REQUEST, 2, &head), 16);
	assert_int_equal(error_of(), -EIO);
	slot_save(&used);
	/* a guest that was there knows another server */
	assert_int_equal(slot_load(&fx.g, -1, &used, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "has used the directory"));
	/* as in the clone */
	fd_drop(&fx.peer);
	fx.peer = fds[1];
	guest_driver_queue_lay(&fx.g, HIPRIO, 256);
	guest_driver_queue_lay(&fx.g, REQUEST, 256);
	assert_int_equal(slot_load(&fx.g, fds[0], &unused, &e), 0);
	fx.unique = 0;
	(void)plain_add();
	assert_int_equal(server_take(), 1);
	server_answer(1);
	assert_int_equal(used_wait(REQUEST, 2, &head), 16);
	assert_int_equal(error_of(), 0);
}

#define ROW(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_config),         ROW(test_order),       ROW(test_hiprio),
		ROW(test_bad_server),     ROW(test_unasked),     ROW(test_bad_requests),
		ROW(test_reply_too_long), ROW(test_full_socket), ROW(test_reset),
		ROW(test_pause),          ROW(test_real),        ROW(test_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
