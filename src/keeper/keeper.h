/* SPDX-License-Identifier: MIT */
/*
 * keeper.h - the parts of caisson-keeper, and what they share
 *
 * One process per machine, one thread, one loop. It owns the VMM, the network and file servers (all
 * die with it), the agent's channel, the log, the record's state, and answers clients. Life:
 *
 *   BOOTING  launched; the guest gets its orders      -> RUNNING by AGENT_STARTED
 *   RUNNING  data flows                               -> ENDING by the main process's end, the
 *                                                        VMM's end, garbage, or a failed start
 *   ENDING   clients have been told; the guest has a moment to unmount, unless its disk is thrown
 *            away; then the loop ends. With volumes clients are told after that
 *
 * Hostile: the guest. Clients are the machine's owner.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include "ctl.h"
#include "driver.h"
#include "engine.h"
#include "log_file.h"
#include "loop.h"
#include "disk_volume.h"
#include "keeper_vsock.h"
#include "net_plan.h"
#include "passt.h"
#include "template.h"
#include "virtiofsd.h"

#define KEEPER_OUT_HIGH (256U << 10) /* bytes waiting for a client above which the guest waits */

struct sqlite3;
struct session;

enum keeper_phase { KEEPER_BOOTING, KEEPER_RUNNING, KEEPER_ENDING };

struct keeper {
	struct engine *g;
	struct sqlite3 *db;
	struct loop *loop;
	enum keeper_phase phase;
	struct machine_config config;
	struct machine_state state;
	int lock_fd, run_fd, data_fd; /* RUN/machines/ID, ROOT/machines/ID */
	char run_path[4096];

	const struct vm_driver_ops *driver;
	void *vm;
	struct loop_watch *vm_watch;
	struct template_want want;
	uint64_t mem_bytes; /* that the guest shall have now, that of its start included */
	bool wants_image_template;
	enum template_depth depth;
	bool is_cold, has_orders;
	bool is_fresh;        /* it never ran before */
	bool has_heard;       /* the guest has said something */
	bool avoids_template; /* that did not fit: see keeper_again.c */
	bool is_template_bad; /* as keeper_launch() found */
	uint16_t rows, cols;  /* of the terminal that asked for the start; 0: not told */
	uint64_t image_len;
	struct net_plan net;
	bool waits_for_lease;         /* the order to run waits for the guest's address */
	int net_fd;                   /* passt's end of the VMM's network; -1: none, or given up */
	struct loop_watch *net_watch; /* until the guest talks */
	struct passt passt;
	struct loop_watch *passt_watch;
	int64_t passt_started_ms; /* loop_now_ms() */
	uint32_t passt_ends;      /* one soon after the other */
	struct vsock_dir vsock;
	struct disk_server disk;
	struct disk_server
		extra[VM_DISKS_EXTRA_MAX]; /* of volumes and disks, in the mounts' order */
	uint32_t n_extra;
	bool has_kept_disks; /* one that is written to outlives the machine */
	bool is_end_due;     /* the end is to be told, once the disks are whole */
	struct virtiofsd shares[VM_SHARES_MAX];
	struct loop_watch *share_watches[VM_SHARES_MAX];
	uint32_t n_shares;

	int agent_fd;
	struct loop_watch *agent_watch;
	struct buf agent_in, agent_out;

	struct log_file log;
	bool main_has_ended;     /* it ran and is gone, or never ran */
	uint32_t main_unread[2]; /* bytes of stdout, stderr that were not credited yet */
	uint64_t main_in_credit;
	bool main_in_ended;

	struct session *sessions;
	uint32_t n_sessions, next_stream;
	int listen_fd;
	struct loop_watch *listen_watch;

	struct loop_timer *start_timer, *stop_timer, *end_timer;
	bool is_killed; /* SIGKILL was sent to the main process */
};

/* ---- keeper_boot.c ---- */
must_check int keeper_launch(struct keeper *k, struct err *e);
/* Watch what was launched; the guest has so long to start its process. */
must_check int keeper_watch(struct keeper *k, struct err *e);
/* The VMM and all that lives with it: killed, waited for, closed. */
void keeper_vm_done(struct keeper *k);
/* Orders to the guest: who it is, its root, what to run. */
must_check int keeper_order(struct keeper *k, struct err *e);
/* DHCP has said the guest's address, or another one. */
must_check int keeper_lease(struct keeper *k, const struct agent_lease *l, struct err *e);

/* ---- keeper_again.c: a template that does not fit ---- */
/* It is removed, and what is launched next boots. Who looks at the machine is told `why`. */
void keeper_template_avoid(struct keeper *k, const char *why);
/* The VMM has ended: start once more, if that was the template's fault. False: it was not. */
bool keeper_start_again(struct keeper *k, enum vm_end end, const char *why);

/* ---- keeper_disks.c: volumes and disks ---- */
/* Whether a template has slots for those of the config. */
bool disks_fit_template(const struct machine_config *c);
/* What the VMM gets of them, open until it is launched. */
struct disks_open {
	struct disk_chain chains[VM_DISKS_EXTRA_MAX];
	int socks[VM_DISKS_EXTRA_MAX]; /* of their servers; -1: none */
};
void disks_open_init(struct disks_open *d);
void disks_open_done(struct disks_open *d);
/* As the next slots of `spec`: the images, or servers of them for a VMM that cannot read them. */
must_check int disks_start(struct keeper *k, struct vm_spec *spec, struct disks_open *d,
			   struct err *e);
/* The VMM is gone: they write what they have. */
void disks_end(struct keeper *k);

/* ---- keeper_servers.c: passt and virtiofsd ---- */
must_check int servers_watch(struct keeper *k, struct err *e);
/* The guest has its address: ports are published; packets flow as soon as there are any. */
must_check int keeper_network(struct keeper *k, struct err *e);
void servers_stop(struct keeper *k);

/* ---- keeper_link.c: the guest ---- */
must_check int link_open(struct keeper *k, struct err *e);
void link_flush(struct keeper *k); /* write what agent_out holds */
void link_close(struct keeper *k);
/* Data of the process of a stream was taken by its readers. */
void link_credit(struct keeper *k, uint32_t stream, uint16_t type, uint32_t bytes);

/* ---- keeper_session.c: clients ---- */
must_check int session_new(struct keeper *k, int fd /* taken over */, struct session **ret,
			   struct err *e);
must_check int session_attach(struct session *s, const struct ctl_attach *a); /* keeper_request.c */
must_check int sessions_listen(struct keeper *k, struct err *e);
void sessions_output(struct keeper *k, const struct agent_frame *f);
void sessions_started(struct keeper *k, const struct agent_frame *f);
void sessions_credit(struct keeper *k, uint32_t stream,
		     uint32_t bytes);                                  /* of stdin, by the guest */
void sessions_exec_end(struct keeper *k, const struct agent_frame *f); /* EXITED, FAILED */
void sessions_main_end(struct keeper *k, uint32_t code);
void sessions_error(struct keeper *k, uint32_t code, const char *text);
void sessions_free(struct keeper *k); /* gives them a moment to take what is theirs */

/* ---- keeper_end.c ---- */
/* The main process has ended. */
void keeper_main_exited(struct keeper *k, uint32_t code, bool was_oom);
/* It could not be started: code is an ENGINE_EXIT_* less 1000. */
void keeper_start_failed(struct keeper *k, uint32_t code, const char *why);
/* Nothing can be had from the guest any more. */
void keeper_machine_lost(struct keeper *k, const char *why);
/* A mount of the guest never answers again. */
void keeper_share_lost(struct keeper *k, const char *why);
void keeper_stop(struct keeper *k, uint32_t timeout_s);
void keeper_signal(struct keeper *k, uint32_t signo);
must_check int keeper_end_init(struct keeper *k, struct err *e);
/* What had to wait for the disks. */
void keeper_end_tell(struct keeper *k);
int keeper_signal_number(const char *name); /* "SIGTERM", "TERM", "15"; 0: none such */

/* ---- keeper_record.c ---- */
must_check int record_open(struct keeper *k, const char *id, struct err *e);
void record_state_write(struct keeper *k);
void record_remove(struct keeper *k);
/* After a start that failed: the state is written, or the machine of --rm removed. */
void record_failed(struct keeper *k);

#endif
