/* SPDX-License-Identifier: MIT */
/* command_table.c - every command and every flag, once */
#include <string.h>

#include "options.h"

#define BOOL(n, l, field, text)                                                                    \
	{                                                                                          \
		n, l, FLAG_BOOL, offsetof(T, field), NULL, text, NULL                              \
	}
#define BOOL_ON(n, l, field, text)                                                                 \
	{                                                                                          \
		n, l, FLAG_BOOL, offsetof(T, field), NULL, text, "true"                            \
	}
#define TEXT(n, l, field, arg, text)                                                               \
	{                                                                                          \
		n, l, FLAG_TEXT, offsetof(T, field), arg, text, NULL                               \
	}
#define TEXT_IS(n, l, field, arg, text, i)                                                         \
	{                                                                                          \
		n, l, FLAG_TEXT, offsetof(T, field), arg, text, i                                  \
	}
#define LIST(n, l, field, arg, text)                                                               \
	{                                                                                          \
		n, l, FLAG_LIST, offsetof(T, field), arg, text, NULL                               \
	}
#define NUMBER(n, l, field, arg, text, i)                                                          \
	{                                                                                          \
		n, l, FLAG_NUMBER, offsetof(T, field), arg, text, i                                \
	}
#define NOT_YET(n, l)                                                                              \
	{                                                                                          \
		n, l, FLAG_UNSUPPORTED, 0, NULL, NULL, NULL                                        \
	}

/* ---- run and create ---- */

#define T struct run_options
#define MACHINE_FLAGS                                                                              \
	LIST("add-host", 0, add_hosts, "name:ip", "Add a line to the machine's /etc/hosts"),       \
		LIST("attach", 'a', attach, "stream", "Attach to stdin, stdout or stderr"),        \
		TEXT("cidfile", 0, cidfile, "file", "Write the machine's id to a new file"),       \
		TEXT_IS("cpu-model", 0, cpu_model, "name",                                         \
			"Processor that the machine sees: host, baseline-v2, baseline-v3",         \
			"host"),                                                                   \
		TEXT("cpus", 0, cpus, "number", "Number of processors"),                           \
		BOOL("dax", 0, has_dax,                                                            \
		     "Share the image's files in the host's memory (driver kvm)"),                 \
		TEXT("disk-bps", 0, disk_bps, "bytes",                                             \
		     "Bytes a second that each of its disks reads and writes at most"),            \
		NUMBER("disk-iops", 0, disk_iops, "number",                                        \
		       "Requests a second that each of its disks does at most", NULL),             \
		LIST("dns", 0, dns, "ip", "Name server of the machine"),                           \
		TEXT_IS("driver", 0, driver, "name", "What runs the machine: auto, kvm, qemu",     \
			"auto"),                                                                   \
		TEXT("entrypoint", 0, entrypoint, "program", "Replace the image's entrypoint"),    \
		LIST("env", 'e', env, "name=value", "Set a variable of the environment"),          \
		LIST("env-file", 0, env_files, "file",                                             \
		     "Read variables of the environment from a file"),                             \
		TEXT("gateway", 0, gateway, "ip", "Router of the network of --ip"),                \
		TEXT("hostname", 'h', hostname, "name", "Host name of the machine"),               \
		BOOL("interactive", 'i', has_stdin, "Keep stdin open, even if not attached"),      \
		TEXT("ip", 0, ip, "ip/prefix",                                                     \
		     "Address on the network of a tap; without it, DHCP is asked"),                \
		TEXT("kernel", 0, kernel, "name", "Guest kernel, see caisson kernel ls"),          \
		LIST("label", 'l', labels, "key=value", "Put a label on the machine"),             \
		LIST("label-file", 0, label_files, "file", "Read labels from a file"),             \
		TEXT("mac-address", 0, mac, "mac", "MAC address of the machine"),                  \
		TEXT("memory", 'm', memory, "bytes", "Memory of the machine; units b, k, m, g"),   \
		TEXT("memory-max", 0, memory_max, "bytes",                                         \
		     "What update may let its memory grow to while it runs; driver kvm"),          \
		LIST("mount", 0, mounts, "spec",                                                   \
		     "Mount: type=volume|bind|disk|tmpfs,source=...,target=...[,readonly]"),       \
		TEXT("name", 0, name, "name", "Name of the machine"),                              \
		TEXT("net-bps", 0, net_bps, "bytes",                                               \
		     "Bytes a second that it sends, and receives, at most"),                       \
		TEXT_IS("network", 0, network, "name", "default, none, or tap:NAME of the host",   \
			"default"),                                                                \
		{ "net", 0, FLAG_TEXT, offsetof(T, network), "name", NULL, NULL },                 \
		BOOL("no-template", 0, no_template,                                                \
		     "Boot the machine, instead of cloning a template"),                           \
		TEXT("platform", 0, platform, "os/arch",                                           \
		     "Platform of the image, where there are several"),                            \
		LIST("publish", 'p', publish, "[[ip:]host:]port[/proto]",                          \
		     "Publish a port on the host"),                                                \
		BOOL("publish-all", 'P', publish_all,                                              \
		     "Publish all exposed ports on free ports of the host"),                       \
		TEXT_IS("pull", 0, pull, "when", "Pull the image before: always, missing, never",  \
			"missing"),                                                                \
		BOOL("quiet", 'q', is_quiet, "No output of the pull"),                             \
		BOOL("read-only", 0, is_readonly, "Mount the root filesystem read-only"),          \
		BOOL("rm", 0, is_auto_removed, "Remove the machine when it exits"),                \
		TEXT("stop-signal", 0, stop_signal, "signal", "Signal that stops it"),             \
		NUMBER("stop-timeout", 0, stop_timeout_s, "seconds",                               \
		       "How long stop waits before it kills", "-1"),                               \
		LIST("storage-opt", 0, storage_opts, "size=bytes",                                 \
		     "Size of the machine's writable disk"),                                       \
		LIST("tmpfs", 0, tmpfs, "path[:options]", "Mount a tmpfs"),                        \
		BOOL("tty", 't', has_tty, "Give the machine's process a terminal"),                \
		TEXT("user", 'u', user, "user[:group]", "User name or number"),                    \
		LIST("volume", 'v', volumes, "[name|dir:]path[:ro]",                               \
		     "Mount a volume, or a directory or file of the host"),                        \
		TEXT("vsock", 0, vsock, "dir",                                                     \
		     "Connect the machine's AF_VSOCK with unix sockets in a directory"),           \
		TEXT("workdir", 'w', workdir, "path", "Working directory")

#define MACHINE_FLAGS_NOT_YET                                                                      \
	NOT_YET("annotation", 0), NOT_YET("blkio-weight", 0), NOT_YET("blkio-weight-device", 0),   \
		NOT_YET("cap-add", 0), NOT_YET("cap-drop", 0), NOT_YET("cgroup-parent", 0),        \
		NOT_YET("cgroupns", 0), NOT_YET("cpu-count", 0), NOT_YET("cpu-percent", 0),        \
		NOT_YET("cpu-period", 0), NOT_YET("cpu-quota", 0), NOT_YET("cpu-rt-period", 0),    \
		NOT_YET("cpu-rt-runtime", 0), NOT_YET("cpu-shares", 'c'),                          \
		NOT_YET("cpuset-cpus", 0), NOT_YET("cpuset-mems", 0), NOT_YET("device", 0),        \
		NOT_YET("device-cgroup-rule", 0), NOT_YET("device-read-bps", 0),                   \
		NOT_YET("device-read-iops", 0), NOT_YET("device-write-bps", 0),                    \
		NOT_YET("device-write-iops", 0), NOT_YET("disable-content-trust", 0),              \
		NOT_YET("dns-opt", 0), NOT_YET("dns-option", 0), NOT_YET("dns-search", 0),         \
		NOT_YET("domainname", 0), NOT_YET("expose", 0), NOT_YET("gpus", 0),                \
		NOT_YET("group-add", 0), NOT_YET("health-cmd", 0), NOT_YET("health-interval", 0),  \
		NOT_YET("health-retries", 0), NOT_YET("health-start-interval", 0),                 \
		NOT_YET("health-start-period", 0), NOT_YET("health-timeout", 0),                   \
		NOT_YET("init", 0), NOT_YET("io-maxbandwidth", 0), NOT_YET("io-maxiops", 0),       \
		NOT_YET("ip6", 0), NOT_YET("ipc", 0), NOT_YET("isolation", 0),                     \
		NOT_YET("kernel-memory", 0), NOT_YET("link", 0), NOT_YET("link-local-ip", 0),      \
		NOT_YET("log-driver", 0), NOT_YET("log-opt", 0), NOT_YET("memory-reservation", 0), \
		NOT_YET("memory-swap", 0), NOT_YET("memory-swappiness", 0),                        \
		NOT_YET("network-alias", 0), NOT_YET("net-alias", 0),                              \
		NOT_YET("no-healthcheck", 0), NOT_YET("oom-kill-disable", 0),                      \
		NOT_YET("oom-score-adj", 0), NOT_YET("pid", 0), NOT_YET("pids-limit", 0),          \
		NOT_YET("privileged", 0), NOT_YET("restart", 0), NOT_YET("runtime", 0),            \
		NOT_YET("security-opt", 0), NOT_YET("shm-size", 0), NOT_YET("sysctl", 0),          \
		NOT_YET("ulimit", 0), NOT_YET("use-api-socket", 0), NOT_YET("userns", 0),          \
		NOT_YET("uts", 0), NOT_YET("volume-driver", 0), NOT_YET("volumes-from", 0)

static const struct flag run_flags[] = {
	MACHINE_FLAGS,
	BOOL("detach", 'd', is_detached, "Run in the background and print the machine's id"),
	TEXT("detach-keys", 0, detach_keys, "keys",
	     "Keys that detach the terminal (default ctrl-p,ctrl-q)"),
	BOOL_ON("sig-proxy", 0, proxies_signals, "Pass signals on to the process (default true)"),
	MACHINE_FLAGS_NOT_YET,
};
static const struct flag create_flags[] = { MACHINE_FLAGS, MACHINE_FLAGS_NOT_YET };
#undef T

/* ---- machines ---- */

#define T struct start_flags
static const struct flag start_flag_rows[] = {
	BOOL("attach", 'a', has_attach, "Attach to stdout and stderr, pass signals on"),
	TEXT("detach-keys", 0, detach_keys, "keys", "Keys that detach the terminal"),
	BOOL("interactive", 'i', has_stdin, "Attach to stdin"),
	NOT_YET("checkpoint", 0),
	NOT_YET("checkpoint-dir", 0),
};
#undef T
#define T struct stop_flags
static const struct flag stop_flag_rows[] = {
	NOT_YET("signal", 's'),
	NUMBER("time", 't', timeout_s, "seconds", "How long to wait before it is killed", "-1"),
	{ "timeout", 0, FLAG_NUMBER, offsetof(T, timeout_s), "seconds", NULL, NULL },
};
#undef T
#define T struct kill_flags
static const struct flag kill_flag_rows[] = {
	TEXT_IS("signal", 's', signal, "signal", "Name or number of the signal", "KILL"),
};
#undef T
#define T struct update_flags
static const struct flag update_flag_rows[] = {
	TEXT("memory", 'm', memory, "bytes", "Memory of the machine; units b, k, m, g"),
	NOT_YET("blkio-weight", 0),
	NOT_YET("cpu-period", 0),
	NOT_YET("cpu-quota", 0),
	NOT_YET("cpu-rt-period", 0),
	NOT_YET("cpu-rt-runtime", 0),
	NOT_YET("cpu-shares", 'c'),
	NOT_YET("cpus", 0),
	NOT_YET("cpuset-cpus", 0),
	NOT_YET("cpuset-mems", 0),
	NOT_YET("kernel-memory", 0),
	NOT_YET("memory-reservation", 0),
	NOT_YET("memory-swap", 0),
	NOT_YET("pids-limit", 0),
	NOT_YET("restart", 0),
};
#undef T
#define T struct rm_flags
static const struct flag rm_flag_rows[] = {
	BOOL("force", 'f', is_forced, "Kill it first if it runs"),
	NOT_YET("link", 'l'),
	BOOL("volumes", 'v', with_volumes, "Remove its anonymous volumes too"),
};
#undef T
#define T struct ps_flags
static const struct flag ps_flag_rows[] = {
	BOOL("all", 'a', all, "All machines, not only running ones"),
	LIST("filter", 'f', filters, "key=value",
	     "Only those: id, name, label, status, exited, ancestor"),
	TEXT("format", 0, format, "template", "Output: json, or a Go template, or table TEMPLATE"),
	NUMBER("last", 'n', last, "number", "The last created ones, in all states", "-1"),
	BOOL("latest", 'l', latest, "The last created one, in all states"),
	BOOL("no-trunc", 0, no_trunc, "Print ids and commands whole"),
	BOOL("quiet", 'q', is_quiet, "Only ids"),
	BOOL("size", 's', with_size, "With sizes"),
};
#undef T
#define T struct logs_flags
static const struct flag logs_flag_rows[] = {
	BOOL("follow", 'f', follow, "Go on as long as the machine runs"),
	TEXT("since", 0, since, "time", "Not before this time: 2026-01-02T13:23:37Z, or 42m ago"),
	TEXT_IS("tail", 'n', tail, "lines", "This many lines of the end", "all"),
	BOOL("timestamps", 't', timestamps, "With the time of each line"),
	TEXT("until", 0, until, "time", "Not after this time"),
	NOT_YET("details", 0),
};
#undef T
#define T struct exec_flags
static const struct flag exec_flag_rows[] = {
	BOOL("detach", 'd', is_detached, "Run in the background"),
	TEXT("detach-keys", 0, detach_keys, "keys", "Keys that detach the terminal"),
	LIST("env", 'e', env, "name=value", "Set a variable of the environment"),
	LIST("env-file", 0, env_files, "file", "Read variables of the environment from a file"),
	BOOL("interactive", 'i', has_stdin, "Keep stdin open"),
	BOOL("privileged", 0, is_privileged, "Give the process all capabilities"),
	BOOL("tty", 't', has_tty, "Give the process a terminal"),
	TEXT("user", 'u', user, "user[:group]", "User name or number"),
	TEXT("workdir", 'w', workdir, "path", "Working directory"),
};
#undef T
#define T struct attach_flags
static const struct flag attach_flag_rows[] = {
	TEXT("detach-keys", 0, detach_keys, "keys", "Keys that detach the terminal"),
	BOOL("no-stdin", 0, no_stdin, "Do not attach to stdin"),
	BOOL_ON("sig-proxy", 0, proxies_signals, "Pass signals on to the process (default true)"),
};
#undef T
#define T struct inspect_flags
static const struct flag inspect_flag_rows[] = {
	TEXT("format", 'f', format, "template", "Output: json, or a Go template"),
	TEXT("type", 0, type, "type", "Only of this type: container, image"),
	NOT_YET("size", 's'),
};
static const struct flag inspect_one_flag_rows[] = {
	TEXT("format", 'f', format, "template", "Output: json, or a Go template"),
	NOT_YET("size", 's'),
};
#undef T

/* ---- images ---- */

#define T struct pull_flags
static const struct flag pull_flag_rows[] = {
	NOT_YET("all-tags", 'a'),
	NOT_YET("disable-content-trust", 0),
	TEXT("platform", 0, platform, "os/arch", "Platform, where the image has several"),
	BOOL("quiet", 'q', is_quiet, "Print only the image's name"),
};
#undef T
#define T struct push_flags
static const struct flag push_flag_rows[] = {
	NOT_YET("all-tags", 'a'),
	NOT_YET("disable-content-trust", 0),
	NOT_YET("platform", 0),
	BOOL("quiet", 'q', is_quiet, "Print only the image's name"),
};
#undef T
#define T struct images_flags
static const struct flag images_flag_rows[] = {
	BOOL("all", 'a', all, "All images (there are no hidden ones)"),
	BOOL("digests", 0, digests, "With digests"),
	LIST("filter", 'f', filters, "key=value", "Only those: reference, dangling"),
	TEXT("format", 0, format, "template", "Output: json, or a Go template, or table TEMPLATE"),
	BOOL("no-trunc", 0, no_trunc, "Print ids whole"),
	BOOL("quiet", 'q', is_quiet, "Only ids"),
	NOT_YET("tree", 0),
};
#undef T
#define T struct rmi_flags
static const struct flag rmi_flag_rows[] = {
	BOOL("force", 'f', is_forced, "Remove names of an image that machines use"),
	NOT_YET("no-prune", 0),
	NOT_YET("platform", 0),
};
#undef T
#define T struct prune_flags
static const struct flag prune_flag_rows[] = {
	NOT_YET("all", 'a'),
	NOT_YET("filter", 0),
	BOOL("force", 'f', is_forced, "Do not ask (caisson never asks)"),
};
#undef T
#define T struct login_flags
static const struct flag login_flag_rows[] = {
	TEXT("password", 'p', password, "password",
	     "Password; others can see it while the command runs"),
	BOOL("password-stdin", 0, password_stdin, "Read the password from stdin"),
	TEXT("username", 'u', user, "user", "User name"),
};
#undef T

/* ---- disks ---- */

#define T struct disk_flags
#define PARENT_FLAGS                                                                               \
	BOOL("any-parent", 0, any_parent, "Accept a parent whose id is not the one named"),        \
		TEXT("parent", 0, parent, "file",                                                  \
		     "Parent of the image, instead of the one named"),                             \
		LIST("parent-root", 0, roots, "dir",                                               \
		     "Where parents may lie (default: the image's directory)"),                    \
		TEXT("windows-root", 0, windows_root, "dir",                                       \
		     "What stands for the drive in Windows paths of parents")
#define FORCE  BOOL("force", 'f', is_forced, "Replace a file that is there")
#define BLOCK  TEXT("block-size", 0, block_size, "bytes", "Size of blocks; default 2m")
#define FOR    TEXT("for", 0, profile, "reader", "Who shall read it: xenserver, azure, hyperv")
#define TYPE   TEXT("type", 't', type, "type", "fixed or dynamic (default dynamic)")
#define QUIET  BOOL("quiet", 'q', is_quiet, "No progress")
#define FORMAT TEXT("format", 0, format, "template", "Output: json, or a Go template")
#define FORMAT_LIST                                                                                \
	TEXT("format", 0, format, "template", "Output: json, or a Go template, or table TEMPLATE")

static const struct flag disk_create_rows[] = { BLOCK, FOR, FORCE, TYPE };
static const struct flag disk_info_rows[] = {
	BOOL("digest", 0, with_digest, "With the SHA-256 of all that the disk reads"),
	FORMAT,
	PARENT_FLAGS,
	QUIET,
};
static const struct flag disk_chain_rows[] = {
	FORMAT_LIST,
	PARENT_FLAGS,
	BOOL("quiet", 'q', is_quiet, "Only the files"),
};
static const struct flag disk_snapshot_rows[] = {
	FOR,
	FORCE,
	LIST("parent-root", 0, roots, "dir", "Where parents of FILE may lie"),
	TEXT("parent-name", 0, parent_name, "path", "What to write as the parent's path"),
	TEXT("size", 0, size, "bytes", "Size of the child, where it is larger"),
};
static const struct flag disk_coalesce_rows[] = {
	FORMAT,
	NUMBER("levels", 'n', levels, "number", "How far down the data goes", "1"),
	PARENT_FLAGS,
	QUIET,
};
static const struct flag disk_flatten_rows[] = { BLOCK, FOR, FORCE, PARENT_FLAGS, QUIET, TYPE };
static const struct flag disk_resize_rows[] = { PARENT_FLAGS };
static const struct flag disk_compact_rows[] = {
	BOOL("dry-run", 0, is_dry_run, "Say what would be done, change nothing"),
	FORMAT,
	PARENT_FLAGS,
	QUIET,
};
static const struct flag disk_check_rows[] = { FORMAT_LIST, PARENT_FLAGS, QUIET };
static const struct flag disk_repair_rows[] = {
	FORMAT_LIST,
	BOOL("write", 'y', does_write, "Mend; without it only what would be done is told"),
};
static const struct flag disk_convert_rows[] = {
	BLOCK,
	FOR,
	BOOL("force", 0, is_forced, "Replace a file that is there"),
	TEXT("from", 'f', from, "format",
	     "Format of the input: raw, vhd, qcow2, vmdk, vhdx (default: by its name)"),
	PARENT_FLAGS,
	QUIET,
	TEXT("to", 'O', to, "format",
	     "Format of the output: raw, vhd, vhd-fixed, vhd-dynamic, qcow2, vmdk, vhdx"),
};
static const struct flag disk_export_rows[] = {
	BOOL("bootable", 0, is_bootable, "With a boot loader and a kernel"),
	FOR,
	BOOL("force", 0, is_forced, "Replace a file that is there"),
	TEXT("kernel", 0, kernel, "name",
	     "Kernel of the disk, see caisson kernel ls (default: the default, or one that can)"),
	QUIET,
	TEXT("size", 0, size, "bytes", "Size of the disk (default: the image and 1 GiB)"),
};
static const struct flag disk_import_rows[] = {
	LIST("change", 'c', changes, "instruction",
	     "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR for the image"),
	TEXT("from", 'f', from, "format", "Format of the disk: raw or vhd (default: by its name)"),
	TEXT("message", 'm', message, "text", "What the image's history says"),
	PARENT_FLAGS,
	TEXT("partition", 0, partition, "number",
	     "Partition of the root file system; 0: all of the disk"),
	QUIET,
};
static const struct flag disk_diff_rows[] = {
	BOOL("exit-code", 0, with_exit_code, "End with 2 if there are differences"),
	FORMAT_LIST,
	PARENT_FLAGS,
	BOOL("quiet", 'q', is_quiet, "Print nothing"),
};
static const struct flag disk_reparent_rows[] = {
	PARENT_FLAGS,
	TEXT("parent-name", 0, parent_name, "path", "What to write as the parent's path"),
};
static const struct flag disk_mount_rows[] = {
	BOOL("foreground", 0, is_foreground, "Stay, and unmount on ctrl-c"),
	PARENT_FLAGS,
	BOOL("read-only", 'r', is_readonly, "Do not write to the image"),
};
#undef T

/* ---- volumes ---- */

#define T struct volume_flags
static const struct flag volume_create_rows[] = {
	TEXT_IS("driver", 'd', driver, "name", "vhd, or local, which is the same", "vhd"),
	LIST("label", 0, labels, "key=value", "Put a label on the volume"),
	LIST("opt", 'o', opts, "size=bytes", "Size of the volume's disk; 10g if not given"),
	NOT_YET("availability", 0),
	NOT_YET("group", 0),
	NOT_YET("limit-bytes", 0),
	NOT_YET("required-bytes", 0),
	NOT_YET("scope", 0),
	NOT_YET("secret", 0),
	NOT_YET("sharing", 0),
	NOT_YET("topology-preferred", 0),
	NOT_YET("topology-required", 0),
	NOT_YET("type", 0),
};
static const struct flag volume_ls_rows[] = {
	NOT_YET("cluster", 0),
	LIST("filter", 'f', filters, "key=value", "Only those: dangling, driver, label, name"),
	TEXT("format", 0, format, "template", "Output: json, or a Go template, or table TEMPLATE"),
	BOOL("quiet", 'q', is_quiet, "Only names"),
};
static const struct flag volume_rm_rows[] = {
	BOOL("force", 'f', is_forced, "One that is not there is no error"),
};
static const struct flag volume_prune_rows[] = {
	BOOL("all", 'a', all, "Named ones too, not only anonymous ones"),
	LIST("filter", 0, filters, "key=value", "Only those: label"),
	BOOL("force", 'f', is_forced, "Do not ask (caisson never asks)"),
};
#undef T
#define T struct inspect_flags
static const struct flag volume_inspect_rows[] = {
	TEXT("format", 'f', format, "template", "Output: json, or a Go template"),
};
#undef T

/* ---- host ---- */

#define T struct list_flags
static const struct flag list_flag_rows[] = {
	TEXT("format", 0, format, "template", "Output: json, or a Go template, or table TEMPLATE"),
	BOOL("quiet", 'q', is_quiet, "Only names"),
};
static const struct flag format_flag_rows[] = {
	TEXT("format", 'f', format, "template", "Output: json, or a Go template"),
};
#undef T

#define T struct global_options
const struct flag global_flags[] = {
	TEXT("completion", 0, completion, "shell", "Print the completion for bash, zsh or fish"),
	BOOL("debug", 'D', has_debug, "Tell more about what goes on"),
	{ "dump-man", 0, FLAG_TEXT, offsetof(T, dump_man), "dir", NULL, NULL },
	TEXT("root", 0, root, "dir", "Where images and machines are kept"),
	TEXT("run", 0, run, "dir", "Where sockets and locks of running machines are"),
	BOOL("trace", 0, has_trace, "Print the phases of a start, with times"),
	BOOL("version", 'v', has_version, "Print the version"),
};
#undef T
const size_t n_global_flags = ARRAY_SIZE(global_flags);

#define FLAGS(type, rows) sizeof(type), rows, ARRAY_SIZE(rows)
#define NO_FLAGS          1, NULL, 0

const struct command commands[] = {
	{ "run", "container run", "IMAGE [COMMAND] [ARG...]",
	  "Create a machine from an image and run it",
	  "The image is pulled when it is not there. Everything after IMAGE belongs to the program that "
	  "runs in the machine.",
	  cmd_run, FLAGS(struct run_options, run_flags), 1, -1, true, "image" },
	{ "exec", "container exec", "MACHINE COMMAND [ARG...]",
	  "Run a command in a running machine", NULL, cmd_exec,
	  FLAGS(struct exec_flags, exec_flag_rows), 2, -1, true, "running" },
	{ "ps", "container ls,container list,container ps", "", "List machines", NULL, cmd_ps,
	  FLAGS(struct ps_flags, ps_flag_rows), 0, 0, false, NULL },
	{ "pull", "image pull", "NAME[:TAG|@DIGEST]", "Fetch an image from a registry", NULL,
	  cmd_pull, FLAGS(struct pull_flags, pull_flag_rows), 1, 1, false, NULL },
	{ "push", "image push", "NAME[:TAG]", "Send an image to a registry", NULL, cmd_push,
	  FLAGS(struct push_flags, push_flag_rows), 1, 1, false, "image" },
	{ "images", "image ls,image list", "[NAME[:TAG]]", "List images", NULL, cmd_images,
	  FLAGS(struct images_flags, images_flag_rows), 0, 1, false, "image" },
	{ "login", NULL, "[REGISTRY]", "Check and keep a name and password for a registry", NULL,
	  cmd_login, FLAGS(struct login_flags, login_flag_rows), 0, 1, false, NULL },
	{ "logout", NULL, "[REGISTRY]", "Forget the name and password for a registry", NULL,
	  cmd_logout, NO_FLAGS, 0, 1, false, NULL },
	{ "create", "container create", "IMAGE [COMMAND] [ARG...]",
	  "Create a machine from an image", NULL, cmd_create,
	  FLAGS(struct run_options, create_flags), 1, -1, true, "image" },
	{ "start", "container start", "MACHINE...", "Start machines that do not run", NULL,
	  cmd_start, FLAGS(struct start_flags, start_flag_rows), 1, -1, false, "machine" },
	{ "stop", "container stop", "MACHINE...", "Stop machines",
	  "The main process gets the image's stop signal, and is killed when it still runs after the time.",
	  cmd_stop, FLAGS(struct stop_flags, stop_flag_rows), 1, -1, false, "running" },
	{ "kill", "container kill", "MACHINE...", "Send a signal to the main process of machines",
	  NULL, cmd_kill, FLAGS(struct kill_flags, kill_flag_rows), 1, -1, false, "running" },
	{ "update", "container update", "MACHINE...", "Change the memory of machines",
	  "A machine that was created with --memory-max and runs gets more, or gives it back, until it "
	  "stops: its kernel takes and gives what it can, and a warning says what it did not within ten "
	  "seconds; inspect shows MemoryWantedBytes and MemoryNowBytes. It never has less than it began "
	  "with. Of a machine that does not run, what it begins with the next time is changed.",
	  cmd_update, FLAGS(struct update_flags, update_flag_rows), 1, -1, false, "machine" },
	{ "rm", "container rm,container remove", "MACHINE...", "Remove machines", NULL, cmd_rm,
	  FLAGS(struct rm_flags, rm_flag_rows), 1, -1, false, "machine" },
	{ "logs", "container logs", "MACHINE", "Print what a machine has written", NULL, cmd_logs,
	  FLAGS(struct logs_flags, logs_flag_rows), 1, 1, false, "machine" },
	{ "attach", "container attach", "MACHINE",
	  "Connect to the main process of a running machine", NULL, cmd_attach,
	  FLAGS(struct attach_flags, attach_flag_rows), 1, 1, false, "running" },
	{ "wait", "container wait", "MACHINE...",
	  "Wait until machines end, and print their exit codes", NULL, cmd_wait, NO_FLAGS, 1, -1,
	  false, "machine" },
	{ "inspect", NULL, "NAME|ID...", "Print all about machines and images", NULL, cmd_inspect,
	  FLAGS(struct inspect_flags, inspect_flag_rows), 1, -1, false, "machine" },
	{ "rmi", "image rm,image remove", "IMAGE...", "Remove images", NULL, cmd_rmi,
	  FLAGS(struct rmi_flags, rmi_flag_rows), 1, -1, false, "image" },
	{ "tag", "image tag", "IMAGE NAME[:TAG]", "Give an image another name", NULL, cmd_tag,
	  NO_FLAGS, 2, 2, false, "image" },
	{ "container inspect", NULL, "MACHINE...", "Print all about machines", NULL,
	  cmd_container_inspect, FLAGS(struct inspect_flags, inspect_one_flag_rows), 1, -1, false,
	  "machine" },
	{ "image inspect", NULL, "IMAGE...", "Print all about images", NULL, cmd_image_inspect,
	  FLAGS(struct inspect_flags, inspect_one_flag_rows), 1, -1, false, "image" },
	{ "image import", NULL, "DIR[:REF] NAME[:TAG]",
	  "Take an image from an OCI layout directory", NULL, cmd_image_import, NO_FLAGS, 2, 2,
	  false, "file" },
	{ "image prune", NULL, "", "Remove data of images that nothing refers to", NULL,
	  cmd_image_prune, FLAGS(struct prune_flags, prune_flag_rows), 0, 0, false, NULL },
	{ "kernel install", NULL, "[PACKAGE]", "Fetch and unpack a kernel of the distribution",
	  "The package is not installed on the host. Without PACKAGE it is the distribution's kernel for "
	  "virtual machines.",
	  cmd_kernel_install, NO_FLAGS, 0, 1, false, NULL },
	{ "kernel build", NULL, "", "Build a small kernel from the distribution's source", NULL,
	  cmd_kernel_build, NO_FLAGS, 0, 0, false, NULL },
	{ "kernel ls", "kernel list", "", "List kernels", NULL, cmd_kernel_ls,
	  FLAGS(struct list_flags, list_flag_rows), 0, 0, false, NULL },
	{ "kernel use", NULL, "NAME", "Make a kernel the default", NULL, cmd_kernel_use, NO_FLAGS,
	  1, 1, false, "kernel" },
	{ "template ls", "template list", "", "List the templates that machines are cloned from",
	  NULL, cmd_template_ls, FLAGS(struct list_flags, list_flag_rows), 0, 0, false, NULL },
	{ "template prune", NULL, "", "Remove templates; they are made again when needed", NULL,
	  cmd_template_prune, NO_FLAGS, 0, 0, false, NULL },
	{ "disk create", NULL, "FILE SIZE", "Create an empty disk (VHD)",
	  "SIZE has the suffixes k, m, g or t. For Azure the disk is fixed and its size whole MiB.",
	  cmd_disk_create, FLAGS(struct disk_flags, disk_create_rows), 2, 2, false, "file" },
	{ "disk info", NULL, "FILE", "Print what a disk says of itself",
	  "Of this file alone, also when it is in use or damaged. With --digest its parents are read.",
	  cmd_disk_info, FLAGS(struct disk_flags, disk_info_rows), 1, 1, false, "file" },
	{ "disk ls-chain", NULL, "FILE", "List a disk and its parents", NULL, cmd_disk_chain,
	  FLAGS(struct disk_flags, disk_chain_rows), 1, 1, false, "file" },
	{ "disk snapshot", NULL, "FILE CHILD", "Create a differencing disk over a disk",
	  "What is written goes to CHILD from then on. FILE must not be written to any more.",
	  cmd_disk_snapshot, FLAGS(struct disk_flags, disk_snapshot_rows), 2, 2, false, "file" },
	{ "disk coalesce", NULL, "FILE", "Move what a disk holds into its parent",
	  "With --levels also into the parent's parent, and so on. FILE and what is between are left as "
	  "they are, and are not needed any more. It can be run again if it was interrupted.",
	  cmd_disk_coalesce, FLAGS(struct disk_flags, disk_coalesce_rows), 1, 1, false, "file" },
	{ "disk flatten", NULL, "FILE OUTPUT",
	  "Copy a disk and its parents into one without parents", NULL, cmd_disk_flatten,
	  FLAGS(struct disk_flags, disk_flatten_rows), 2, 2, false, "file" },
	{ "disk resize", NULL, "FILE [+|-]SIZE", "Change the size of a disk",
	  "It shrinks only where the end holds nothing. What is on the disk (partitions, file systems) is "
	  "not changed. A size that begins with - is given after --.",
	  cmd_disk_resize, FLAGS(struct disk_flags, disk_resize_rows), 2, 2, false, "file" },
	{ "disk compact", NULL, "FILE", "Give back what a disk does not need",
	  "Blocks of zeros where no parent shows through, and gaps.", cmd_disk_compact,
	  FLAGS(struct disk_flags, disk_compact_rows), 1, 1, false, "file" },
	{ "disk check", NULL, "FILE", "Check every structure of a disk and its parents",
	  "The exit status is 0 when there is no error, 2 when errors were found, 1 when it could not be "
	  "looked at.",
	  cmd_disk_check, FLAGS(struct disk_flags, disk_check_rows), 1, 1, false, "file" },
	{ "disk repair", NULL, "FILE", "Mend what can be mended without loss",
	  "Without --write nothing is changed: it is only told what would be.", cmd_disk_repair,
	  FLAGS(struct disk_flags, disk_repair_rows), 1, 1, false, "file" },
	{ "disk convert", NULL, "INPUT OUTPUT", "Convert a disk to another format",
	  "Formats are given by -f and -O, or by the ends of the names; content is never looked at. qcow2, "
	  "vmdk and vhdx need qemu-img; an image that names other files is refused.",
	  cmd_disk_convert, FLAGS(struct disk_flags, disk_convert_rows), 2, 2, false, "file" },
	{ "disk export", NULL, "IMAGE OUTPUT", "Make a bootable disk of an image",
	  "A fixed VHD for Hyper-V (generation 1), Azure, XenServer or QEMU: boot loader (packages "
	  "grub-pc-bin, grub-common), a kernel of caisson kernel install, the image, and a file system for "
	  "what is written, which stays. The image's command runs with an address from DHCP; the machine "
	  "ends with it. With --for, a size of the disk is still rounded up to whole MiB.",
	  cmd_disk_export, FLAGS(struct disk_flags, disk_export_rows), 2, 2, false, "image" },
	{ "disk import", NULL, "FILE NAME[:TAG]", "Make an image of a disk's root file system",
	  "The disk has an MBR, a GPT or no partitions; its root is the one ext2, ext3, ext4 or EROFS file "
	  "system with /etc and programs, or --partition. Nothing is mounted, and no root's rights are "
	  "needed. Of a disk that caisson disk export made, with the image's own config, and what was "
	  "written since as a second layer; of others, say with --change what the image is to run.",
	  cmd_disk_import, FLAGS(struct disk_flags, disk_import_rows), 2, 2, false, "file" },
	{ "disk diff", NULL, "FILE OTHER", "List the ranges in which two disks differ", NULL,
	  cmd_disk_diff, FLAGS(struct disk_flags, disk_diff_rows), 2, 2, false, "file" },
	{ "disk reparent", NULL, "FILE PARENT", "Name another parent",
	  "It must read the same as the old one, unless --any-parent is given.", cmd_disk_reparent,
	  FLAGS(struct disk_flags, disk_reparent_rows), 2, 2, false, "file" },
	{ "disk mount", NULL, "FILE DIR", "Show a disk as the raw file DIR/disk.raw",
	  "By FUSE, for an ordinary user as well. What is synced there is durable.", cmd_disk_mount,
	  FLAGS(struct disk_flags, disk_mount_rows), 2, 2, false, "file" },
	{ "disk umount", NULL, "DIR", "End what mount began", NULL, cmd_disk_umount, NO_FLAGS, 1, 1,
	  false, "file" },
	{ "volume create", NULL, "[VOLUME]", "Create a volume",
	  "A disk of its own (VHD) with an ext4 file system, which takes space as it is written to. "
	  "Without a name it is an anonymous one.",
	  cmd_volume_create, FLAGS(struct volume_flags, volume_create_rows), 0, 1, false, NULL },
	{ "volume inspect", NULL, "VOLUME...", "Print all about volumes", NULL, cmd_volume_inspect,
	  FLAGS(struct inspect_flags, volume_inspect_rows), 1, -1, false, "volume" },
	{ "volume ls", "volume list", "", "List volumes", NULL, cmd_volume_ls,
	  FLAGS(struct volume_flags, volume_ls_rows), 0, 0, false, NULL },
	{ "volume prune", NULL, "", "Remove anonymous volumes that no machine has", NULL,
	  cmd_volume_prune, FLAGS(struct volume_flags, volume_prune_rows), 0, 0, false, NULL },
	{ "volume rm", "volume remove", "VOLUME...", "Remove volumes",
	  "A volume that a machine has is not removed, whether the machine runs or not.",
	  cmd_volume_rm, FLAGS(struct volume_flags, volume_rm_rows), 1, -1, false, "volume" },
	{ "doctor", NULL, "", "Check what caisson needs of this host", NULL, cmd_doctor, NO_FLAGS,
	  0, 0, false, NULL },
	{ "version", NULL, "", "Print versions of caisson, its hypervisor and kernel", NULL,
	  cmd_version, FLAGS(struct list_flags, format_flag_rows), 0, 0, false, NULL },
};
const size_t n_commands = ARRAY_SIZE(commands);

const struct command_group command_groups[] = {
	{ "container", "Machines" },
	{ "disk", "Virtual hard disks (VHD)" },
	{ "image", "Images" },
	{ "kernel", "Guest kernels" },
	{ "template", "Templates that machines are cloned from" },
	{ "volume", "Volumes: disks that outlive machines" },
};
const size_t n_command_groups = ARRAY_SIZE(command_groups);

/* Whether argv starts with the words of `name`; how many they are. */
static int words_match(const char *name, size_t len, char **argv, int argc)
{
	int n = 0;

	while (len > 0) {
		const char *space = memchr(name, ' ', len);
		size_t word = space ? (size_t)(space - name) : len;

		if (n >= argc || strlen(argv[n]) != word || strncmp(argv[n], name, word) != 0)
			return 0;
		n++;
		len -= space ? word + 1 : word;
		name += space ? word + 1 : word;
	}
	return n;
}

static int command_match(const struct command *c, char **argv, int argc)
{
	int n = words_match(c->name, strlen(c->name), argv, argc);

	for (const char *p = c->aliases; n == 0 && p && *p;) {
		size_t len = strcspn(p, ",");

		n = words_match(p, len, argv, argc);
		p += len + (p[len] == ',');
	}
	return n;
}

const struct command *command_find(char **argv, int argc, int *ret_words)
{
	for (size_t i = 0; i < n_commands; i++) {
		*ret_words = command_match(&commands[i], argv, argc);
		if (*ret_words > 0)
			return &commands[i];
	}
	return NULL;
}

const struct command_group *command_group_find(const char *name)
{
	for (size_t i = 0; i < n_command_groups; i++)
		if (strcmp(command_groups[i].name, name) == 0)
			return &command_groups[i];
	return NULL;
}

bool command_is_in_group(const struct command *c, const char *group)
{
	size_t len = strlen(group);

	if (strncmp(c->name, group, len) == 0 && c->name[len] == ' ')
		return true;
	return c->aliases && strncmp(c->aliases, group, len) == 0 && c->aliases[len] == ' ';
}
