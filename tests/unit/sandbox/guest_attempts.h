/* SPDX-License-Identifier: MIT */
/* guest_attempts.h - what test_guest.c tries, and with which descriptors */
#ifndef GUEST_ATTEMPTS_H
#define GUEST_ATTEMPTS_H

/* Descriptors of each child, by fixed numbers so that tables can name them. */
enum {
	DIR_FD = 200, /* what a share serves */
	FILE_FD,      /* a file in it */
	OUTSIDE_FD,   /* a directory that it does not serve */
	SOCKET_FD,
	PEER_FD,
	DATAGRAM_FD,
	LETTER_FD, /* has a datagram of one from outside, who has an abstract address */
	EVENT_FD,
	EPOLL_FD,
	PROC_FD, /* the child's own /proc/self/fd */
};
#define FILE_NAME "201" /* in PROC_FD */
_Static_assert(FILE_FD == 201, "its name");

/* Each returns 0 when all of it worked, or errno. */
int try_file_made(void);
int try_names(void);
int try_special_files(void);
int try_attributes(void);
int try_anothers_file(void);
int try_owner_seen(void);
int try_directory_read(void);
int try_reopen(void);
int try_thread(void);
int try_memory(void);
int try_sort(void);
int try_raise(void);
int try_abstract(void);

#endif
