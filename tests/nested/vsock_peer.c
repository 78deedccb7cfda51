/* SPDX-License-Identifier: MIT */
/*
 * vsock_peer.c - both sides of a connection over AF_VSOCK: the guest's, and the host's unix sockets
 *
 *   vsock_peer call PORT             in the guest: connect to the host
 *   vsock_peer serve PORT            in the guest: echo what each caller sends
 *   vsock_peer host-call PATH PORT   on the host: connect to the guest; says nothing if it is
 * refused vsock_peer host-serve PATH       on the host: echo what each caller sends
 *
 * Who calls sends its stdin, then says that it is the end, and writes what comes back to stdout.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static char buf[32768];

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void write_all(int fd, const char *p, ssize_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, (size_t)n);

		if (done < 0)
			fail("write");
		p += done;
		n -= done;
	}
}

/* Both ways at once: the other side may send as soon as it has something. */
static void pump(int s)
{
	struct pollfd p[] = { { .fd = s, .events = POLLIN }, { .fd = 0, .events = POLLIN } };

	while (poll(p, 2, -1) > 0) {
		ssize_t n = p[1].revents ? read(0, buf, sizeof(buf)) : 1;

		if (n <= 0) {
			p[1].fd = -1;
			p[1].revents = 0;
			if (shutdown(s, SHUT_WR) < 0)
				fail("shutdown");
		} else if (p[1].revents) {
			write_all(s, buf, n);
		}
		if (!p[0].revents)
			continue;
		n = read(s, buf, sizeof(buf));
		if (n < 0)
			fail("receive");
		if (n == 0)
			return;
		write_all(1, buf, n);
	}
}

static void echo_all(int listener)
{
	int c;

	if (listen(listener, 8) < 0)
		fail("listen");
	while ((c = accept(listener, NULL, NULL)) >= 0) {
		ssize_t n;

		while ((n = read(c, buf, sizeof(buf))) > 0)
			write_all(c, buf, n);
		close(c);
	}
	fail("accept");
}

static int guest_do(bool is_call, const char *port)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK,
				 .svm_cid = is_call ? VMADDR_CID_HOST : VMADDR_CID_ANY,
				 .svm_port = (unsigned int)strtoul(port, NULL, 10) };
	int s = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (s < 0)
		fail("socket");
	if (is_call && connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
		fail("connect");
	if (!is_call && bind(s, (struct sockaddr *)&a, sizeof(a)) < 0)
		fail("bind");
	if (is_call)
		pump(s);
	else
		echo_all(s);
	return 0;
}

static int host_do(const char *path, const char *port)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0), len;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (!port) {
		if (bind(s, (struct sockaddr *)&a, sizeof(a)) < 0)
			fail("bind");
		echo_all(s);
	}
	if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
		fail("connect");
	len = snprintf(buf, sizeof(buf), "CONNECT %s\n", port);
	write_all(s, buf, len);
	do { /* the answer's line, and nothing behind it */
		if (read(s, buf, 1) <= 0)
			return 0;
	} while (*buf != '\n');
	pump(s);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && strncmp(argv[1], "host-", 5) == 0)
		return host_do(argv[2], argc == 4 ? argv[3] : NULL);
	return argc == 3 ? guest_do(strcmp(argv[1], "call") == 0, argv[2]) : 2;
}
