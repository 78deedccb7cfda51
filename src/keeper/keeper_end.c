/* SPDX-License-Identifier: MIT */
/*
 * keeper_end.c - signals, stopping, and the end of a machine
 *
 * Whatever ends it, clients hear the exit code once, after the record says the same. A machine
 * that is removed at its end is killed on the spot, since its disk is thrown away; another one gets
 * SHUTDOWN_MS to unmount. With volumes and disks that outlive it clients hear of the end when those
 * are whole.
 */
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "keeper.h"
#include "log.h"

#define SHUTDOWN_MS    5000
#define UNMOUNT_MS     30000 /* with volumes, which may have a lot to write */
#define SHARE_LOST_MS  1000  /* a guest whose processes wait for the mount cannot unmount */
#define KILL_MS        5000  /* for the guest to report the end of a killed process */
#define STOP_DEFAULT_S 10
#define CODE_KILLED    137U
#define SIGNAL_LAST    64
#define GUEST_SIGRTMIN 34
#define STOP_MAX_S     4000000U

int keeper_signal_number(const char *name)
{
	char *end;
	long n = strtol(name, &end, 10);

	if (*name && *end == '\0')
		return n >= 1 && n <= SIGNAL_LAST ? (int)n : 0;
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	if (strncasecmp(name, "RTMIN+", 6) == 0) {
		n = strtol(name + 6, &end, 10);
		return *end == '\0' && n >= 0 && n <= SIGNAL_LAST - GUEST_SIGRTMIN
			       ? GUEST_SIGRTMIN + (int)n
			       : 0;
	}
	for (int i = 1; i < 32; i++) {
		const char *abbrev = sigabbrev_np(i);

		if (abbrev && strcasecmp(abbrev, name) == 0)
			return i;
	}
	return 0;
}

static void vm_kill(struct keeper *k)
{
	if (k->vm)
		kill(k->driver->pid(k->vm), SIGKILL); /* still our child: not reaped */
}

static void vm_unwatch(struct keeper *k)
{
	loop_watch_drop(k->vm_watch);
	k->vm_watch = NULL;
}

/* The guest's disk is worth keeping: let it unmount. */
static void guest_shut_down(struct keeper *k, uint32_t limit_ms)
{
	if (k->agent_fd < 0 || agent_put(&k->agent_out, AGENT_SHUTDOWN, 0, NULL, 0) < 0) {
		loop_quit(k->loop, 0);
		return;
	}
	link_flush(k);
	loop_timer_arm(k->end_timer, limit_ms);
}

static void state_end(struct keeper *k, uint32_t code, const char *why)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	k->phase = KEEPER_ENDING;
	k->main_has_ended = true;
	loop_timer_disarm(k->start_timer);
	loop_timer_disarm(k->stop_timer);
	vsock_dir_close(&k->vsock); /* for the next one, of who hears of the end */
	k->state.exit_code = (int32_t)code;
	k->state.finished_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	k->state.keeper_pid = k->state.vmm_pid = 0;
	snprintf(k->state.error, sizeof(k->state.error), "%s", why);
}

/* shutdown_ms: what the guest gets to unmount; 0: there is none any more. */
static void end_run(struct keeper *k, uint32_t shutdown_ms)
{
	k->state.status = MACHINE_EXITED;
	log_file_done(&k->log);
	if (k->has_kept_disks) {
		k->is_end_due = true;
		if (shutdown_ms)
			guest_shut_down(k, MAX_OF(shutdown_ms, UNMOUNT_MS));
		else
			loop_quit(k->loop, 0);
		return;
	}
	if (k->config.is_auto_removed) {
		vm_unwatch(k);
		vm_kill(k);
		record_remove(k);
		sessions_main_end(k, (uint32_t)k->state.exit_code);
		loop_quit(k->loop, 0);
		return;
	}
	record_state_write(k);
	sessions_main_end(k, (uint32_t)k->state.exit_code);
	if (shutdown_ms)
		guest_shut_down(k, shutdown_ms);
	else
		loop_quit(k->loop, 0);
}

void keeper_end_tell(struct keeper *k)
{
	if (!k->is_end_due)
		return;
	if (k->config.is_auto_removed)
		record_remove(k);
	else
		record_state_write(k);
	sessions_main_end(k, (uint32_t)k->state.exit_code);
	k->is_end_due = false;
}

void keeper_main_exited(struct keeper *k, uint32_t code, bool was_oom)
{
	if (k->phase != KEEPER_RUNNING)
		return;
	log_trace("keeper: main process ended");
	state_end(k, code, "");
	k->state.was_oom = was_oom;
	end_run(k, SHUTDOWN_MS);
	log_trace("keeper: end is told");
}

void keeper_start_failed(struct keeper *k, uint32_t code, const char *why)
{
	bool has_run = k->state.started_ns != 0;

	if (k->phase != KEEPER_BOOTING)
		return;
	state_end(k, code, why);
	k->state.status = has_run ? MACHINE_EXITED : MACHINE_CREATED;
	if (!has_run)
		k->state.finished_ns = 0;
	vm_unwatch(k);
	vm_kill(k);
	record_failed(k);
	sessions_error(k, code, why);
	loop_quit(k->loop, 0);
}

void keeper_machine_lost(struct keeper *k, const char *why)
{
	vm_unwatch(k);
	vm_kill(k);
	link_close(k);
	if (k->phase == KEEPER_BOOTING) {
		keeper_start_failed(k, 125, why);
		return;
	}
	if (k->phase == KEEPER_ENDING) {
		loop_quit(k->loop, 0);
		return;
	}
	state_end(k, CODE_KILLED, k->is_killed ? "" : why);
	end_run(k, 0);
}

void keeper_share_lost(struct keeper *k, const char *why)
{
	if (k->phase == KEEPER_BOOTING) {
		keeper_start_failed(k, 125, why);
	} else if (k->phase == KEEPER_RUNNING) {
		state_end(k, CODE_KILLED, why);
		end_run(k, SHARE_LOST_MS);
	}
}

void keeper_signal(struct keeper *k, uint32_t signo)
{
	if (k->phase == KEEPER_BOOTING && signo == SIGKILL)
		keeper_start_failed(k, CODE_KILLED, "killed while it was starting");
	if (k->phase != KEEPER_RUNNING)
		return;
	if (agent_put_u32(&k->agent_out, AGENT_SIGNAL, AGENT_STREAM_MAIN, signo) < 0) {
		keeper_machine_lost(k, "out of memory");
		return;
	}
	link_flush(k);
	if (signo == SIGKILL) {
		k->is_killed = true;
		loop_timer_arm(k->stop_timer, KILL_MS);
	}
}

/* First: the time to stop is over. Then: even SIGKILL had no answer. */
static void stop_due(void *arg)
{
	struct keeper *k = arg;

	if (k->is_killed)
		keeper_machine_lost(k, "the guest does not answer");
	else
		keeper_signal(k, SIGKILL);
}

void keeper_stop(struct keeper *k, uint32_t timeout_s)
{
	int signo = k->config.stop_signal && *k->config.stop_signal
			    ? keeper_signal_number(k->config.stop_signal)
			    : SIGTERM;
	int32_t own = k->config.stop_timeout_s;

	if (k->phase != KEEPER_RUNNING) {
		if (k->phase == KEEPER_BOOTING)
			keeper_start_failed(k, 125, "stopped while it was starting");
		return;
	}
	if (timeout_s == CTL_STOP_DEFAULT)
		timeout_s = own >= 0 ? (uint32_t)own : STOP_DEFAULT_S;
	keeper_signal(k, (uint32_t)(signo ? signo : SIGTERM));
	if (k->phase == KEEPER_RUNNING && signo != SIGKILL)
		loop_timer_arm(k->stop_timer, MIN_OF(timeout_s, STOP_MAX_S) * 1000);
}

static void start_due(void *arg)
{
	keeper_machine_lost(arg, "the guest does not answer");
}

static void end_due(void *arg)
{
	struct keeper *k = arg;

	log_warn("the guest did not power off, so it is killed");
	vm_unwatch(k);
	vm_kill(k);
	loop_quit(k->loop, 0);
}

int keeper_end_init(struct keeper *k, struct err *e)
{
	if (loop_timer_new(k->loop, start_due, k, &k->start_timer, e) < 0 ||
	    loop_timer_new(k->loop, stop_due, k, &k->stop_timer, e) < 0 ||
	    loop_timer_new(k->loop, end_due, k, &k->end_timer, e) < 0)
		return -e->code;
	return 0;
}
