/* SPDX-License-Identifier: MIT */
/*
 * keeper_again.c - a start whose template does not fit goes on without one
 *
 * A template may have been altered, or be of a host that is another one by now: its VMM refuses it,
 * or its guest ends before it has said a word. Nothing of the image has run then, and no client has
 * heard anything. So what was started is taken down, the template is removed, and the machine
 * boots. That is tried once: a boot that fails has failed.
 */
#include <fcntl.h>
#include <string.h>

#include "keeper.h"
#include "log.h"

void keeper_template_avoid(struct keeper *k, const char *why)
{
	struct err e = { 0 };

	k->avoids_template = true;
	snprintf(k->state.boot_reason, sizeof(k->state.boot_reason),
		 "the template was removed, and the machine booted: %.190s", why);
	log_warn("%s", k->state.boot_reason);
	if (template_drop(k->g, k->state.template_key, &e) < 0)
		log_warn("remove the template: %s", e.msg);
}

/* As before the launch. */
static void all_stop(struct keeper *k)
{
	keeper_vm_done(k);
	servers_stop(k);
	buf_clear(&k->agent_in);
	buf_clear(&k->agent_out);
	k->has_orders = false;
	if (k->is_fresh) /* it may be a copy of the template's */
		(void)unlinkat(k->data_fd, MACHINE_WRITABLE_NAME, 0);
}

static int boot(struct keeper *k, struct err *e)
{
	if (keeper_launch(k, e) < 0 || keeper_watch(k, e) < 0)
		return -e->code;
	if (k->rows && k->cols && k->config.has_tty &&
	    agent_put_resize(&k->agent_out, AGENT_STREAM_MAIN, k->rows, k->cols) < 0)
		return err_set(e, ENOMEM, "terminal");
	link_flush(k);
	return 0;
}

bool keeper_start_again(struct keeper *k, enum vm_end end, const char *why)
{
	struct err e = { 0 };

	if (k->phase != KEEPER_BOOTING || k->is_cold || k->has_heard || end == VM_END_OFF ||
	    end == VM_END_LOST)
		return false;
	keeper_template_avoid(k, why);
	all_stop(k);
	if (boot(k, &e) < 0)
		keeper_start_failed(k, 125, e.msg);
	return true;
}
