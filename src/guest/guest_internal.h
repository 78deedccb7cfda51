/* SPDX-License-Identifier: MIT */
/*
 * guest_internal.h - the parts of caisson-init, and what they know of each other
 *
 * One process, one thread. Order of calls: boot_up(), then channel_open(), then the loop in
 * init_main.c. All of it runs in the guest, where the app is hostile: nothing here follows a path
 * of the image outside its own root.
 */
#ifndef GUEST_INTERNAL_H
#define GUEST_INTERNAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "agent.h"
#include "buf.h"
#include "err.h"
#include "loop.h"

#define AGENT_PORT_NAME "caisson.agent"
#define IMAGE_DIR       "/run/image"
#define WRITABLE_DIR    "/run/writable"
#define ROOT_DIR        "/run/root"
#define BOOT_ID_FILE    "/run/agent/boot_id"
#define MACHINE_ID_FILE "/run/agent/machine-id"

/* boot.c: mounts, modules, limits of a fresh kernel. Errors go to the console. */
void boot_up(void);
void boot_power_off(void) __attribute__((noreturn));

/* disk_boot.c: process 1 of a bootable disk, where no host of ours is; `order`: of its initrd. */
#define DISK_ORDER_FILE "/disk.order"
void disk_boot(int order_fd) __attribute__((noreturn));
must_check int boot_port_open(int *ret_fd, struct err *e);

/* identity.c, netlink.c */
must_check int identity_apply(const struct agent_identity *id, struct err *e);
must_check int netlink_configure(const struct agent_identity *id, struct err *e);
/* The same where `old` was configured: its IPv4 address is not the interface's any more. */
must_check int netlink_readdress(const struct agent_identity *old, const struct agent_identity *id,
				 struct err *e);
must_check int netlink_loopback_up(struct err *e);

/* disks.c: make ROOT_DIR of the machine's disks; the block device of a slot: "vda" */
must_check int disks_find(uint32_t slot, char name[16], struct err *e);
must_check int disks_mount_root(const struct agent_root *r, struct err *e);
/* The same of two block devices. */
must_check int disks_mount_devices(const char *image, const char *writable, struct err *e);
void disks_unmount_root(void);
/* The disks that an order's mounts name, with what the host put in the template's empty slots. */
must_check int disks_refresh(const struct agent_run *r, struct err *e);

/*
 * stage.c: the waiting main process. It lives in its own PID, mount and IPC namespaces with the
 * root in place, and waits for one message: the AGENT_RUN payload with its three descriptors.
 */
struct stage {
	pid_t pid;                  /* 0: none */
	int sock;                   /* to it: SOCK_SEQPACKET */
	int pid_ns, mnt_ns, ipc_ns; /* its namespaces, for exec */
	int devpts;                 /* its /dev/pts, for terminals */
	bool is_used;               /* has been told to run */
};
must_check int stage_start(struct stage *s, struct err *e);
void stage_done(struct stage *s);

struct process_io;
/* Tell it what to be; 0 once it runs, else the exit code for the user and the text. */
int stage_order(struct stage *s, struct agent_bytes payload, const struct process_io *io,
		char *text, size_t len);

/* process.c: from an order to a running program */
struct process_io { /* the child's ends; owned by the caller */
	int in, out, err;
	bool is_tty;
};
/*
 * Become the program: user, capabilities, directory, exec. Runs in the child; on failure returns
 * the exit code for the user (125, 126, 127) and the text.
 */
int process_become(const struct agent_run *r, const struct process_io *io, char *text, size_t len);

/*
 * mounts.c: in the main process. mounts_prepare() once the root is in place, and the order's own
 * mounts before process_become(), which also closes what the first has opened.
 */
#define MOUNTS_USUAL 3U
struct mounts_usual {
	int fds[MOUNTS_USUAL]; /* -1 where the image has no place for it */
};
must_check int mounts_prepare(struct mounts_usual *u, struct err *e);
must_check int mounts_apply(const struct agent_run *r, struct mounts_usual *u, struct err *e);

/* preload.c: read what the program of this name will need; never fails */
void preload_program(const char *name);

/* userdb.c: "user[:group]" against the image's /etc/passwd and /etc/group; pure */
#define USER_GROUPS_MAX 256U
struct user_ids {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX];
	size_t n_groups;
	char home[256];
};
must_check int user_lookup(const char *spec, const char *passwd, const char *group,
			   struct user_ids *ret, struct err *e);

/* streams.c: processes of this machine and their data */
struct streams;
must_check int streams_new(struct loop *l, struct streams **ret, struct err *e);
/* Bytes for the host are appended to `out`; `kick` is called when there are some. */
void streams_attach(struct streams *s, struct buf *out, void (*kick)(void *arg), void *arg);
void streams_frame(struct streams *s,
		   const struct agent_frame *f); /* RUN, STDIN, RESIZE, SIGNAL, CREDIT */
void streams_reap(struct streams *s);            /* after SIGCHLD */
void streams_resume(struct streams *s);          /* there is room in `out` again */
struct stage *streams_stage(struct streams *s);

#endif
