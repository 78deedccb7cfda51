/* SPDX-License-Identifier: MIT */
/*
 * keeper_main.c - caisson-keeper: starts and looks after one machine
 *
 *   caisson-keeper ROOT RUN ID FLAGS ROWS COLS
 *       descriptor 3: the first session's socket; FLAGS as ctl_attach
 *
 * Until the machine runs, every failure is told on that socket. SIGTERM stops the machine in order.
 */
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "fdio.h"
#include "keeper.h"
#include "log.h"

#define START_FD        3
#define START_TIMEOUT_S 60
#define START_LIMIT_S   86400
#define DISK_END_MS     30000

static void vm_ended(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	enum vm_end end;
	char why[400];

	(void)events;
	end = k->driver->end_reason(k->vm, why, sizeof(why));
	if (!keeper_start_again(k, end, why))
		keeper_machine_lost(k, why);
}

static void on_signal(void *arg, int signo)
{
	if (signo == SIGTERM || signo == SIGINT)
		keeper_stop(arg, CTL_STOP_DEFAULT);
}

static uint32_t start_timeout_ms(void)
{
	const char *env = getenv("CAISSON_START_TIMEOUT");
	long s = env ? strtol(env, NULL, 10) : START_TIMEOUT_S;

	return (uint32_t)(s < 1 || s > START_LIMIT_S ? START_TIMEOUT_S : s) * 1000;
}

int keeper_watch(struct keeper *k, struct err *e)
{
	if (link_open(k, e) < 0 || servers_watch(k, e) < 0 ||
	    loop_watch_fd(k->loop, k->driver->pidfd(k->vm), EPOLLIN, vm_ended, k, &k->vm_watch, e) <
		    0)
		return -e->code;
	loop_timer_arm(k->start_timer, start_timeout_ms());
	return 0;
}

static int signals_watch(struct keeper *k, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return loop_signals(k->loop, &set, on_signal, k, e);
}

static int machine_start(struct keeper *k, const char *id, struct err *e)
{
	if (record_open(k, id, e) < 0)
		return -e->code;
	log_trace("keeper: record");
	k->state.boot_reason[0] = '\0';
	if (keeper_launch(k, e) < 0)
		return -e->code;
	k->state.error[0] = '\0';
	k->state.was_oom = false;
	/* who wants a machine that never comes up to end must reach us; nobody reads "running" yet
	 */
	if (keeper_end_init(k, e) < 0 || keeper_watch(k, e) < 0 || signals_watch(k, e) < 0 ||
	    sessions_listen(k, e) < 0)
		return -e->code;
	return k->is_cold ? 0 : keeper_order(k, e);
}

/* An error of the host, before the guest had a chance. */
static void failure_tell(struct keeper *k, struct session *s, const struct err *e)
{
	if (*k->config.id && k->phase == KEEPER_BOOTING && k->state.status != MACHINE_DEAD) {
		snprintf(k->state.error, sizeof(k->state.error), "%s", e->msg);
		k->state.exit_code = 128;
		record_failed(k);
	}
	if (s)
		sessions_error(k, 125, e->msg);
}

/* The VMM is gone, and with it the other end of the server's socket: it writes what it has. */
static void disk_end(struct keeper *k)
{
	struct err e = { 0 };

	disks_end(k);
	if (k->config.is_auto_removed)
		disk_server_kill(&k->disk);
	else if (disk_server_wait(&k->disk, DISK_END_MS, &e) < 0)
		log_warn("writable layer: %s", e.msg);
}

void keeper_vm_done(struct keeper *k)
{
	loop_watch_drop(k->vm_watch);
	k->vm_watch = NULL;
	link_close(k);
	if (k->driver)
		k->driver->free(k->vm);
	k->vm = NULL;
	disk_end(k);
}

static void keeper_done(struct keeper *k)
{
	if (k->is_end_due) {
		keeper_vm_done(k);
		keeper_end_tell(k);
	}
	sessions_free(k);
	keeper_vm_done(k);
	servers_stop(k);
	log_file_done(&k->log);
	loop_timer_drop(k->start_timer);
	loop_timer_drop(k->stop_timer);
	loop_timer_drop(k->end_timer);
	buf_done(&k->agent_in);
	buf_done(&k->agent_out);
	machine_config_done(&k->config);
	machine_state_done(&k->state);
	loop_free(k->loop);
	engine_close(k->g);
	fd_drop(&k->data_fd);
	fd_drop(&k->run_fd);
	fd_drop(&k->lock_fd); /* last: now another one may start the machine */
}

static int run(struct keeper *k, char **a, struct err *e)
{
	const struct engine_options o = { .root = a[0], .run = a[1] };
	const struct ctl_attach attach = { .flags = (uint32_t)strtoul(a[3], NULL, 10),
					   .rows = (uint16_t)strtoul(a[4], NULL, 10),
					   .cols = (uint16_t)strtoul(a[5], NULL, 10) };
	struct session *first = NULL;
	int rc;

	k->rows = attach.rows;
	k->cols = attach.cols;
	if (loop_new(&k->loop, e) < 0 || session_new(k, START_FD, &first, e) < 0)
		return -e->code;
	rc = engine_open(&o, &k->g, e);
	if (rc == 0)
		rc = machine_start(k, a[2], e);
	if (rc == 0 && session_attach(first, &attach) < 0)
		rc = err_set(e, ENOMEM, "attach");
	if (rc < 0) {
		failure_tell(k, first, e);
		return rc;
	}
	link_flush(k);
	log_trace("keeper: orders sent");
	return loop_run(k->loop, e);
}

int main(int argc, char **argv)
{
	struct keeper *k = calloc(1, sizeof(*k));
	struct err e = { 0 };
	int rc;

	log_init("caisson-keeper", LOG_LEVEL_WARN, STDERR_FILENO);
	if (argc != 7 || !k) {
		fprintf(stderr, "caisson-keeper is started by caisson itself\n");
		return 2;
	}
	k->lock_fd = k->run_fd = k->data_fd = k->agent_fd = k->listen_fd = k->log.fd = k->net_fd =
		-1;
	k->passt = (struct passt)PASST_NONE;
	k->vsock = (struct vsock_dir)VSOCK_DIR_NONE;
	k->disk = (struct disk_server)DISK_SERVER_NONE;
	for (uint32_t i = 0; i < VM_DISKS_EXTRA_MAX; i++)
		k->extra[i] = (struct disk_server)DISK_SERVER_NONE;
	k->next_stream = AGENT_STREAM_MAIN + 1;
	for (uint32_t i = 0; i < VM_SHARES_MAX; i++)
		k->shares[i] = (struct virtiofsd)VIRTIOFSD_NONE;
	log_trace("keeper: main");
	(void)signal(SIGPIPE, SIG_IGN);
	rc = run(k, argv + 1, &e);
	keeper_done(k);
	free(k);
	return rc < 0;
}
