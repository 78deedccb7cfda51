/* SPDX-License-Identifier: MIT */
/* options.h - what the flags of each command set, and the commands themselves */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "command.h"

struct run_options { /* run and create */
	bool has_stdin, has_tty, is_detached, is_auto_removed, is_readonly, publish_all,
		no_template, has_dax;
	bool proxies_signals, is_quiet;
	const char *name, *workdir, *user, *entrypoint, *hostname, *cidfile, *network, *memory,
		*memory_max, *cpus, *cpu_model, *pull, *platform, *stop_signal, *detach_keys,
		*driver, *kernel, *vsock, *ip, *gateway, *mac, *disk_bps, *net_bps;
	int64_t disk_iops;
	int64_t stop_timeout_s;
	struct flag_list attach, env, env_files, labels, label_files, tmpfs, volumes, mounts,
		publish, dns, add_hosts, storage_opts;
};

struct start_flags {
	bool has_attach, has_stdin;
	const char *detach_keys;
};
struct stop_flags {
	int64_t timeout_s;
};
struct kill_flags {
	const char *signal;
};
struct update_flags {
	const char *memory;
};
struct rm_flags {
	bool is_forced, with_volumes;
};
struct ps_flags {
	bool all, is_quiet, no_trunc, latest, with_size;
	int64_t last;
	const char *format;
	struct flag_list filters;
};
struct logs_flags {
	bool follow, timestamps;
	const char *tail, *since, *until;
};
struct exec_flags {
	bool has_stdin, has_tty, is_detached, is_privileged;
	const char *workdir, *user, *detach_keys;
	struct flag_list env, env_files;
};
struct attach_flags {
	bool no_stdin, proxies_signals;
	const char *detach_keys;
};
struct inspect_flags {
	const char *format, *type;
	bool with_size;
};
struct pull_flags {
	const char *platform;
	bool is_quiet, all_tags;
};
struct push_flags {
	bool is_quiet;
};
struct images_flags {
	bool all, is_quiet, digests, no_trunc;
	const char *format;
	struct flag_list filters;
};
struct rmi_flags {
	bool is_forced;
};
struct prune_flags {
	bool is_forced, all;
};
struct login_flags {
	const char *user, *password;
	bool password_stdin;
};
struct list_flags { /* kernel ls, template ls, doctor, version */
	bool is_quiet;
	const char *format;
};
struct disk_flags { /* all of "caisson disk"; each command has rows for some */
	const char *parent, *windows_root, *parent_name, *format, *type, *block_size, *profile,
		*size, *from, *to, *kernel, *message, *partition;
	int64_t levels;
	bool any_parent, is_quiet, is_forced, is_dry_run, does_write, with_digest, with_exit_code,
		is_foreground, is_readonly, is_bootable;
	struct flag_list roots, changes;
};

struct volume_flags { /* all of "caisson volume" but inspect */
	const char *driver, *format;
	bool is_quiet, is_forced, all;
	struct flag_list labels, opts, filters;
};

typedef int command_fn(struct cli *c, const void *options, const struct args *a);
command_fn cmd_run, cmd_create, cmd_start, cmd_stop, cmd_kill, cmd_update, cmd_rm, cmd_ps, cmd_logs,
	cmd_exec, cmd_wait, cmd_attach, cmd_inspect, cmd_container_inspect, cmd_image_inspect;
command_fn cmd_pull, cmd_push, cmd_images, cmd_rmi, cmd_tag, cmd_image_import, cmd_image_prune,
	cmd_login, cmd_logout;
command_fn cmd_doctor, cmd_version, cmd_kernel_install, cmd_kernel_build, cmd_kernel_use,
	cmd_kernel_ls, cmd_template_ls, cmd_template_prune;
command_fn cmd_disk_create, cmd_disk_info, cmd_disk_chain, cmd_disk_snapshot, cmd_disk_coalesce,
	cmd_disk_flatten, cmd_disk_resize, cmd_disk_compact, cmd_disk_check, cmd_disk_repair,
	cmd_disk_convert, cmd_disk_diff, cmd_disk_reparent, cmd_disk_mount, cmd_disk_umount,
	cmd_disk_export, cmd_disk_import;
command_fn cmd_volume_create, cmd_volume_ls, cmd_volume_inspect, cmd_volume_rm, cmd_volume_prune;

#endif
