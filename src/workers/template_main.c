/* SPDX-License-Identifier: MIT */
/*
 * template_main.c - caisson-template: makes a template, or holds one
 *
 *   caisson-template make ROOT RUN DRIVER KERNEL SHAPE DAX IMAGE DISK
 *   caisson-template hold MEM HAS_WRITABLE
 *       descriptors: 3 listening socket, 4 memory, 5 device state, 6 writable layer
 *
 * Both go to the background at once: the starter waits for the first process only.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "log.h"
#include "shape.h"

#define NICENESS 10

static int usage(void)
{
	fprintf(stderr, "caisson-template is started by caisson itself\n");
	return 2;
}

static int make(char **a)
{
	const struct engine_options o = { .root = a[0], .run = a[1] };
	struct template_want w = { 0 };
	struct engine *g = NULL;
	struct err e = { 0 };
	int rc;

	(void)setpriority(PRIO_PROCESS, 0,
			  NICENESS); /* a start that somebody waits for goes first */
	w.driver = vm_driver_find(a[2], &e);
	w.kernel = *a[3] ? a[3] : NULL;
	w.image_id = *a[5] ? a[5] : NULL;
	w.disk_bytes = strtoull(a[6], NULL, 10);
	if (shape_parse(a[4], &w) < 0)
		return usage();
	rc = w.driver ? engine_open(&o, &g, &e) : -e.code;
	if (rc == 0)
		rc = template_make(g, &w, &e);
	if (rc < 0)
		log_error("%s", e.msg);
	engine_close(g);
	return rc < 0;
}

static int hold(char **a)
{
	struct template t = { .mem_fd = 4, .state_fd = 5, .writable_fd = 6 };

	t.mem_bytes = strtoull(a[0], NULL, 10);
	if (strcmp(a[1], "1") != 0)
		t.writable_fd = -1;
	template_hold_serve(3, &t);
	return 0;
}

int main(int argc, char **argv)
{
	bool is_make = argc == 9 && strcmp(argv[1], "make") == 0;
	bool is_hold = argc == 4 && strcmp(argv[1], "hold") == 0;
	pid_t pid;

	log_init("caisson-template", LOG_LEVEL_WARN, STDERR_FILENO);
	if (!is_make && !is_hold)
		return usage();
	pid = fork();
	if (pid != 0)
		return pid < 0;
	return is_make ? make(argv + 2) : hold(argv + 2);
}
