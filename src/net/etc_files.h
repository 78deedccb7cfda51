/* SPDX-License-Identifier: MIT */
/*
 * etc_files.h - a machine's /etc/hosts, /etc/resolv.conf and /etc/hostname: pure
 */
#ifndef ETC_FILES_H
#define ETC_FILES_H

#include "buf.h"
#include "machine.h"
#include "net_plan.h"

/* `hostname` as the guest has it. -ENOMEM, -EFBIG. */
must_check int etc_hosts(const struct machine_config *c, const struct net_plan *p,
			 const char *hostname, struct buf *ret);
/* host_resolv: the host's resolv.conf, of which search and options lines are taken; and its name
 * servers, but those that only the host reaches, where neither config nor plan have any. */
must_check int etc_resolv_conf(const struct machine_config *c, const struct net_plan *p,
			       const char *host_resolv, struct buf *ret);

#endif
