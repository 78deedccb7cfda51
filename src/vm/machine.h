/* SPDX-License-Identifier: MIT */
/*
 * machine.h - a machine as the user asked for it, its state, and its record
 *
 * `struct machine_config` is what `create` was told, with the image's own defaults already applied;
 * `struct machine_state` is what happened to it since. Both are kept as JSON in the store's
 * database (vm_record.h) and shown by `inspect`. Format: doc/format/record.md.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define MACHINE_ID_LEN        64U /* hex digits; the first 12 are shown */
#define MACHINE_NAME_MAX      128U
#define MACHINE_WRITABLE_NAME "writable.vhd" /* in its directory, once it has run */

enum machine_status {
	MACHINE_CREATED,
	MACHINE_RUNNING,
	MACHINE_EXITED,
	MACHINE_DEAD, /* its removal has begun */
	MACHINE_STATUS_COUNT_
};

struct strv { /* a list of owned strings; v is NULL-terminated when n > 0 */
	char **v;
	uint32_t n;
};

struct machine_port {       /* -p [ip:][host:]guest[/proto] */
	char host_ip[46];   /* "" is all addresses */
	uint16_t host_port; /* 0: choose one at start */
	uint16_t guest_port;
	bool is_udp;
};

enum machine_mount_kind {
	MACHINE_MOUNT_BIND,
	MACHINE_MOUNT_TMPFS,
	MACHINE_MOUNT_VOLUME,
	MACHINE_MOUNT_DISK,
	MACHINE_MOUNT_COUNT_
};

struct machine_mount {
	enum machine_mount_kind kind;
	char *source;  /* BIND, DISK: absolute host path; VOLUME: name, "" until one is made up */
	char *target;  /* absolute path in the machine */
	char *options; /* TMPFS: "size=64m,mode=1777"; VOLUME: "nocopy"; may be NULL */
	bool is_readonly;
	bool is_anonymous; /* VOLUME: goes with the machine */
};
const char *machine_mount_name(enum machine_mount_kind kind); /* "bind", "tmpfs", ... */

struct machine_config {
	char id[MACHINE_ID_LEN + 1];
	char name[MACHINE_NAME_MAX + 1];
	int64_t created_ns;          /* CLOCK_REALTIME */
	char *image_ref;             /* as the user said it */
	char image_id[80];           /* "sha256:..." of the config document */
	struct strv entrypoint, cmd; /* what runs is entrypoint then cmd */
	struct strv env;             /* "NAME=value", image's and user's merged */
	struct strv labels;          /* "key=value" */
	char *user, *cwd, *hostname, *stop_signal, *platform;
	int32_t stop_timeout_s; /* -1: default of 10 */
	bool has_tty, has_stdin, is_readonly, is_auto_removed, publish_all;
	bool is_detached; /* created by `run -d` */
	struct machine_port *ports;
	uint32_t n_ports;
	struct machine_mount *mounts;
	uint32_t n_mounts;
	struct strv dns, extra_hosts; /* "name:ip" */
	bool has_network;             /* --network, but none */
	char tap[16];                 /* --network tap:NAME; "" is passt's network */
	char ip[20], gateway[16];     /* "192.0.2.7/24"; only with a tap; "" asks by DHCP */
	char mac[18];                 /* "": made of the id */
	uint64_t disk_bps, disk_iops; /* of each disk, a second; 0: as many as there may be */
	uint64_t net_bps;             /* bytes a second, in each direction */
	uint64_t mem_bytes;           /* 0: default */
	uint64_t mem_max_bytes;       /* that it may grow to; 0: it does not grow */
	uint32_t cpus;                /* 0: default */
	uint64_t disk_bytes;          /* writable layer; 0: default of 10 GiB */
	bool no_template;             /* --no-template: cold boot */
	char *vsock;                  /* directory of the host; NULL: no socket device */
	bool has_dax;                 /* --dax: the image is memory that machines share */
	char driver[16];              /* "auto", "qemu", "fake" */
	char cpu_model[16];           /* "" is "host" */
	char kernel[64];              /* "" is the default kernel */
	struct strv exposed;          /* "80/tcp" of the image */
};

struct machine_state {
	enum machine_status status;
	int32_t exit_code;
	bool was_oom;
	char error[256]; /* why it did not start, or "" */
	int64_t started_ns, finished_ns;
	int32_t keeper_pid, vmm_pid;
	char driver[16], accel[16], accel_reason[160]; /* of the last start */
	char boot[16];              /* "image", "machine", "cold": how the last start came up */
	char boot_reason[256];      /* why it is "cold" and should not be; else "" */
	char template_key[65];      /* that it is a clone of; "" of a cold one */
	char kernel[64];            /* that it ran */
	struct machine_port *ports; /* as published, host_port filled in */
	uint32_t n_ports;
	char ip[46], gateway[46], mac[18];
};

void machine_config_done(struct machine_config *c);
void machine_state_done(struct machine_state *s);

/* The one validator: names, numbers, paths, combinations. -EINVAL and a message for the user. */
must_check int machine_config_check(const struct machine_config *c, struct err *e);

/* JSON both ways; reading is strict (the database may be older or damaged). New reference returned.
 */
json_t *machine_config_to_json(const struct machine_config *c);
must_check int machine_config_from_json(const json_t *j, struct machine_config *ret, struct err *e);
json_t *machine_state_to_json(const struct machine_state *s);
must_check int machine_state_from_json(const json_t *j, struct machine_state *ret, struct err *e);

const char *machine_status_name(enum machine_status s); /* "created", "running", "exited", "dead" */

must_check int strv_add(struct strv *s, const char *text); /* copies; -ENOMEM */
void strv_done(struct strv *s);

#endif
