/* SPDX-License-Identifier: MIT */
/*
 * engine.h - the use cases: what `caisson` can do, without argv and without printing
 *
 * Called by cli, keeper, later by runtime and api. One engine per process, one thread at a time.
 * Errors carry text for the user and, where the user's exit code depends on it, one of the codes
 * below in e->code.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "machine.h"
#include "store.h"

struct engine;

struct engine_options {
	const char *root, *run; /* NULL: as store_open() */
	const char *libexec;    /* NULL: $CAISSON_LIBEXEC, else beside the build, else the installed
				   place */
};

must_check int engine_open(const struct engine_options *o, struct engine **ret, struct err *e);
void engine_close(struct engine *g);
struct store *engine_store(struct engine *g); /* borrowed; opened on first use */
const char *engine_libexec(const struct engine *g);

/* ---- progress of pull and push: called from inside the engine's call ---- */

enum progress_state {
	PROGRESS_WAITING,
	PROGRESS_EXISTS,
	PROGRESS_DOWNLOADING,
	PROGRESS_EXTRACTING,
	PROGRESS_UPLOADING,
	PROGRESS_MOUNTED,
	PROGRESS_DONE,
	PROGRESS_RETRYING,
	PROGRESS_WORKING /* on a disk; the engine never says it */
};
struct progress_item {
	const char *id; /* 12 hex digits of the layer's digest */
	enum progress_state state;
	uint64_t done, total; /* bytes; total 0: not known */
};
struct progress_ops {
	void (*message)(void *arg, const char *text); /* "latest: Pulling from library/nginx" */
	void (*item)(void *arg, const struct progress_item *i);
	void *arg;
};

/* ---- images ---- */

struct pull_options {
	const char *platform; /* "linux/arm64"; NULL: the host's */
	bool is_quiet;
	bool all_tags; /* refused for now */
};
struct pulled {
	char id[80], digest[80]; /* of the config, and of what the name points at */
	char ref[512];           /* the full name that the one asked for stood for */
};
/* ret may be NULL. */
must_check int engine_pull(struct engine *g, const char *ref, const struct pull_options *o,
			   const struct progress_ops *p, struct pulled *ret, struct err *e);
must_check int engine_push(struct engine *g, const char *ref, const struct progress_ops *p,
			   char **ret_digest, struct err *e);
/* JSON array of {"ref","id","digest","created","size"}. */
must_check int engine_image_list(struct engine *g, json_t **ret, struct err *e);
/* Docker's `image inspect` object of one image. -ENOENT. */
must_check int engine_image_inspect(struct engine *g, const char *name, json_t **ret,
				    struct err *e);
/* Docker's rmi: JSON array of {"Untagged": ..} and {"Deleted": ..}. In use: -EBUSY, unless force.
 */
must_check int engine_image_remove(struct engine *g, const char *name, bool force, json_t **ret,
				   struct err *e);
must_check int engine_image_tag(struct engine *g, const char *source, const char *target,
				struct err *e);
/* Import an OCI layout directory ("dir" or "dir:ref") under a name. Used by `caisson load`-like
 * set-up scripts. */
must_check int engine_image_import_oci(struct engine *g, const char *dir, const char *ref,
				       char **ret_id, struct err *e);
/* Remove images without a tag, blobs, layers, metadata that nothing refers to, and what unfinished
 * pulls have left. Never what a machine uses. Bytes freed. */
must_check int engine_gc(struct engine *g, uint64_t *ret_freed, struct err *e);
/* Makes sure that the image's disk (layers, metadata) exists; pulls nothing. */
must_check int engine_image_prepare(struct engine *g, const char *image_id, struct err *e);

must_check int engine_login(struct engine *g, const char *registry, const char *user,
			    const char *password, struct err *e); /* checks, then stores */
/* -ENOENT "Not logged in to X": there was nothing to forget. */
must_check int engine_logout(struct engine *g, const char *registry, struct err *e);

/* ---- machines ---- */

/*
 * Fill a config from the image (defaults) and keep it: record and, on success, ret_id (64 hex). `c`
 * holds what the user said; its id, created_ns and, where empty, its name are filled in. The image
 * must be there. -EEXIST for a name in use.
 */
must_check int engine_machine_create(struct engine *g, struct machine_config *c, struct err *e);

/* A name, id or unique id prefix -> id. -ENOENT "No such container: x". */
must_check int engine_machine_find(struct engine *g, const char *name, char ret_id[65],
				   struct err *e);

struct machine_conn; /* a stream to a process in a machine: stdin, stdout, stderr, window size, end
		      */

struct machine_conn_ops { /* called from machine_conn_run() */
	/* Bytes of stdout (fd 1) or stderr (fd 2). Returns 0, or -errno to give up. */
	int (*output)(void *arg, int fd, const void *data, size_t len);
	/* What the keeper says of the machine's end, before it is over. May be NULL. */
	void (*notice)(void *arg, const char *text);
	void *arg;
};

struct start_options {
	bool attach_stdin, attach_output;
	uint16_t rows, cols; /* of the terminal when has_tty */
	const char *keys;    /* detach keys, "ctrl-p,ctrl-q" when NULL */
};
/*
 * Start a created or exited machine. Returns when its main process runs (or has run), or failed to:
 * then e->code is one of ENGINE_EXIT_*. ret_conn non-NULL: attached from the first byte on. That a
 * template did not fit, so that it had to boot, is logged as a warning.
 */
#define ENGINE_EXIT_FAILED   1125 /* 125: the machine could not be started */
#define ENGINE_EXIT_NOEXEC   1126
#define ENGINE_EXIT_NOTFOUND 1127
must_check int engine_machine_start(struct engine *g, const char *id, const struct start_options *o,
				    struct machine_conn **ret_conn, struct err *e);
must_check int engine_machine_attach(struct engine *g, const char *id,
				     const struct start_options *o, struct machine_conn **ret,
				     struct err *e);

struct exec_options {
	struct strv argv, env;
	const char *user, *cwd;
	bool has_tty, attach_stdin, is_detached, is_privileged;
	uint16_t rows, cols;
	const char *keys;
};
must_check int engine_machine_exec(struct engine *g, const char *id, const struct exec_options *o,
				   struct machine_conn **ret_conn, struct err *e);

enum conn_end { CONN_EXITED, CONN_DETACHED, CONN_LOST };
/*
 * Pump until the process ends, the user detaches or the connection is lost. in_fd -1: no stdin.
 * SIGWINCH and, with proxy_signals, the common signals are passed on. ret_code: the process's exit
 * code.
 */
must_check int machine_conn_run(struct machine_conn *c, int in_fd, bool proxy_signals,
				const struct machine_conn_ops *ops, enum conn_end *ret_end,
				int *ret_code, struct err *e);
void machine_conn_free(struct machine_conn *c); /* NULL is fine; the process goes on */

must_check int engine_machine_stop(struct engine *g, const char *id,
				   int timeout_s /* -1: its own */, struct err *e);
must_check int engine_machine_kill(struct engine *g, const char *id, int signo, struct err *e);
struct machine_memory {       /* bytes */
	uint64_t wanted, now; /* what it shall have, and has: it takes and gives as it can */
};
/* What a running machine has. */
must_check int engine_machine_memory(struct engine *g, const char *id, struct machine_memory *ret,
				     struct err *e);
/* For as long as a machine runs, and waits a moment for its kernel; of one that does not run, that
 * with which it begins. */
must_check int engine_machine_resize(struct engine *g, const char *id, uint64_t bytes,
				     struct machine_memory *ret, struct err *e);
must_check int engine_machine_wait(struct engine *g, const char *id, int *ret_code, struct err *e);
/* After CONN_LOST: as wait, but -ECONNRESET and why for a machine that did not end by itself. */
must_check int engine_machine_outcome(struct engine *g, const char *id, int *ret_code,
				      struct err *e);
enum engine_remove_flags {
	ENGINE_REMOVE_FORCE = 1 << 0,   /* also one that runs; else -EBUSY */
	ENGINE_REMOVE_VOLUMES = 1 << 1, /* and its anonymous volumes, as always with --rm */
};
must_check int engine_machine_remove(struct engine *g, const char *id, uint32_t flags,
				     struct err *e);
/* Its record and its files, whatever of them is left. For whoever has the machine's lock. */
must_check int engine_machine_erase(struct engine *g, const char *id, struct err *e);
/* Docker's `container inspect` object, with a "Caisson" object for driver, accelerator, boot,
 * kernel. */
must_check int engine_machine_inspect(struct engine *g, const char *id, json_t **ret,
				      struct err *e);
/* JSON array of {"id","name","image","image_id","command","created_ns","status","exit_code",
 * "started_ns","finished_ns","oom","ports","exposed","labels","mounts","network","size",
 * "image_size"}. */
must_check int engine_machine_list(struct engine *g, bool all, json_t **ret, struct err *e);

struct logs_options {
	bool follow, timestamps, want_stdout, want_stderr;
	int64_t tail;               /* lines; -1: all */
	int64_t since_ns, until_ns; /* 0: no bound */
};
must_check int engine_machine_logs(struct engine *g, const char *id, const struct logs_options *o,
				   const struct machine_conn_ops *out, struct err *e);

/* ---- volumes ---- */

struct volume_want {
	const char *name;   /* NULL or "": an anonymous one */
	const char *driver; /* NULL: "vhd" */
	uint64_t size;      /* bytes; 0: default of 10 GiB */
	struct strv options, labels;
};
/* One that is there is fine. */
must_check int engine_volume_create(struct engine *g, const struct volume_want *w,
				    char ret_name[256], struct err *e);
/* Docker's `volume inspect` object. -ENOENT. */
must_check int engine_volume_inspect(struct engine *g, const char *name, json_t **ret,
				     struct err *e);
/* Array of the same, with "Links" (machines that have it). */
must_check int engine_volume_list(struct engine *g, json_t **ret, struct err *e);
/* -EBUSY: a machine has it, in whatever state. ret_freed (bytes of files) may be NULL. */
must_check int engine_volume_remove(struct engine *g, const char *name, uint64_t *ret_freed,
				    struct err *e);

/* ---- kernels, templates, the host ---- */

must_check int engine_kernel_install(struct engine *g, const char *package,
				     const struct progress_ops *p, char **ret_name,
				     struct err *e); /* NULL: the distribution's cloud kernel */
must_check int engine_kernel_build(struct engine *g, const struct progress_ops *p, char **ret_name,
				   struct err *e);
must_check int engine_kernel_use(struct engine *g, const char *name, struct err *e);
must_check int engine_kernel_list(
	struct engine *g, json_t **ret,
	struct err *e); /* {"name","version","size","default","created"} */

must_check int engine_template_list(
	struct engine *g, json_t **ret,
	struct err *e); /* {"key","depth","image","kernel","shape","size","created","held"} */
must_check int engine_template_prune(struct engine *g, uint64_t *ret_freed, struct err *e);

/* Array of {"check","status":"ok|warn|fail","detail","advice"}. */
must_check int engine_doctor(struct engine *g, json_t **ret, struct err *e);
/* {"version","driver","accelerator","accelerator_reason","vmm_version","kernel",...}. */
must_check int engine_version(struct engine *g, json_t **ret, struct err *e);

#endif
