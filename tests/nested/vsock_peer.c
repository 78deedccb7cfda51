/* SPDX-License-Identifier: MIT */
/*
 * vsock_peer.c - the guest's side of a connection over AF_VSOCK
 *
 *   vsock_peer call PORT     connect to the host; stdin there, what comes back to stdout
 *   vsock_peer serve PORT    echo what each caller sends, until none comes any more
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

static bool write_all(int fd, const char *p, ssize_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, (size_t)n);

		if (done < 0)
			return false;
		p += done;
		n -= done;
	}
	return true;
}

/* Both ways at once: the other side may send as soon as it has something. */
static int pump(int s)
{
	struct pollfd p[] = { { .fd = s, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
	static char buf[32768];

	while (poll(p, 2, -1) > 0) {
		ssize_t n;

		if (p[1].revents) {
			n = read(0, buf, sizeof(buf));
			if (n <= 0) {
				p[1].fd = -1;
				if (shutdown(s, SHUT_WR) < 0)
					return fail("shutdown");
			} else if (!write_all(s, buf, n)) {
				return fail("send");
			}
		}
		if (p[0].revents) {
			n = read(s, buf, sizeof(buf));
			if (n == 0)
				return 0;
			if (n < 0 || !write_all(1, buf, n))
				return fail("receive");
		}
	}
	return fail("poll");
}

static void echo(int s)
{
	static char buf[32768];
	ssize_t n;

	while ((n = read(s, buf, sizeof(buf))) > 0 && write_all(s, buf, n))
		;
	close(s);
}

int main(int argc, char **argv)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK };
	int s = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (argc != 3)
		return 2;
	if (s < 0)
		return fail("socket");
	a.svm_port = (unsigned int)strtoul(argv[2], NULL, 10);
	if (strcmp(argv[1], "call") == 0) {
		a.svm_cid = VMADDR_CID_HOST;
		if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
			return fail("connect");
		return pump(s);
	}
	a.svm_cid = VMADDR_CID_ANY;
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 8) < 0)
		return fail("listen");
	for (;;) {
		int c = accept(s, NULL, NULL);

		if (c < 0)
			return fail("accept");
		echo(c);
	}
}
