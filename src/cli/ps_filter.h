/* SPDX-License-Identifier: MIT */
/* ps_filter.h - ps --filter: which machines are shown */
#ifndef PS_FILTER_H
#define PS_FILTER_H

#include "command.h"

/*
 * Check all of the filters' texts. ret_status: there is one of the status, which then decides alone
 * whether a machine that does not run is shown.
 */
must_check int ps_filters_check(const struct flag_list *filters, bool *ret_status, struct err *e);
/*
 * Whether a machine of engine_machine_list() passes: filters of one key are alternatives, except
 * for labels, which are all needed. ret_match is written on success.
 */
must_check int ps_filters_match(struct engine *g, const struct flag_list *filters,
				const json_t *machine, bool *ret_match, struct err *e);

#endif
