/* SPDX-License-Identifier: MIT */
/*
 * run_config.c - the flags of run and create, as a machine's config
 *
 * What a flag's text means is spec.h's business; whether the whole makes sense is checked by
 * machine_config_check() when the machine is created.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "fdio.h"
#include "run_config.h"
#include "spec.h"

static int text_copy(char **to, const char *text, struct err *e)
{
	if (!text)
		return 0;
	*to = strdup(text);
	return *to ? 0 : err_set(e, ENOMEM, "flags");
}

/* For a field of fixed size: a longer text would become another one. */
static int text_fit(char *to, size_t size, const char *flag, const char *text, struct err *e)
{
	if (!text)
		return 0;
	if (strlen(text) >= size)
		return err_plain(e, EINVAL, "invalid argument for --%s: longer than %zu characters",
				 flag, size - 1);
	snprintf(to, size, "%s", text);
	return 0;
}

static int texts_apply(const struct run_options *o, struct machine_config *c, struct err *e)
{
	int signo;

	if (o->stop_signal && spec_signal(o->stop_signal, &signo, e) < 0)
		return -e->code;
	if (text_copy(&c->user, o->user, e) < 0 || text_copy(&c->cwd, o->workdir, e) < 0 ||
	    text_copy(&c->hostname, o->hostname, e) < 0 ||
	    text_copy(&c->stop_signal, o->stop_signal, e) < 0 ||
	    text_copy(&c->platform, o->platform, e) < 0 ||
	    text_fit(c->name, sizeof(c->name), "name", o->name, e) < 0 ||
	    text_fit(c->driver, sizeof(c->driver), "driver", o->driver, e) < 0 ||
	    text_fit(c->cpu_model, sizeof(c->cpu_model), "cpu-model", o->cpu_model, e) < 0 ||
	    text_fit(c->ip, sizeof(c->ip), "ip", o->ip, e) < 0 ||
	    text_fit(c->gateway, sizeof(c->gateway), "gateway", o->gateway, e) < 0 ||
	    text_fit(c->mac, sizeof(c->mac), "mac-address", o->mac, e) < 0)
		return -e->code;
	return text_fit(c->kernel, sizeof(c->kernel), "kernel", o->kernel, e);
}

#define TAP_PREFIX "tap:"

static int network_apply(const char *name, struct machine_config *c, struct err *e)
{
	if (name && strncmp(name, TAP_PREFIX, strlen(TAP_PREFIX)) == 0) {
		name += strlen(TAP_PREFIX);
		c->has_network = true;
		return *name ? text_fit(c->tap, sizeof(c->tap), "network", name, e)
			     : err_plain(e, EINVAL, "--network tap: lacks the tap's name");
	}
	/* Docker's own name of its default network is bridge. */
	c->has_network = !name || strcmp(name, "default") == 0 || strcmp(name, "bridge") == 0;
	if (c->has_network || strcmp(name, "none") == 0)
		return 0;
	return err_plain(e, ENOTSUP, "--network %s: caisson has default, none and tap:NAME", name);
}

static int vsock_apply(const char *dir, const char *cwd, struct machine_config *c, struct err *e)
{
	if (!dir)
		return 0;
	if (asprintf(&c->vsock, "%s%s%s", *dir == '/' ? "" : cwd, *dir == '/' ? "" : "/", dir) >= 0)
		return 0;
	c->vsock = NULL;
	return err_set(e, ENOMEM, "flags");
}

static int storage_apply(const char *opt, struct machine_config *c, struct err *e)
{
	if (strncmp(opt, "size=", 5) != 0)
		return err_plain(e, EINVAL, "invalid --storage-opt %s: only size=bytes is known",
				 opt);
	return spec_size(opt + 5, &c->disk_bytes, e);
}

static int numbers_apply(const struct run_options *o, struct machine_config *c, struct err *e)
{
	if (o->memory && spec_size(o->memory, &c->mem_bytes, e) < 0)
		return -e->code;
	if (o->memory_max && spec_size(o->memory_max, &c->mem_max_bytes, e) < 0)
		return -e->code;
	if (o->cpus && spec_cpus(o->cpus, &c->cpus, e) < 0)
		return -e->code;
	for (size_t i = 0; i < o->storage_opts.n; i++)
		if (storage_apply(o->storage_opts.v[i], c, e) < 0)
			return -e->code;
	if (o->disk_bps && spec_size(o->disk_bps, &c->disk_bps, e) < 0)
		return err_wrap(e, "--disk-bps");
	if (o->net_bps && spec_size(o->net_bps, &c->net_bps, e) < 0)
		return err_wrap(e, "--net-bps");
	if (o->disk_iops < 0)
		return err_plain(e, EINVAL, "invalid --disk-iops: %" PRId64, o->disk_iops);
	c->disk_iops = (uint64_t)o->disk_iops;
	if (o->stop_timeout_s > INT32_MAX || o->stop_timeout_s < INT32_MIN)
		return err_plain(e, EINVAL, "invalid --stop-timeout: out of range");
	c->stop_timeout_s = (int32_t)o->stop_timeout_s;
	return 0;
}

/* Lines of labels; unlike variables, one without a value has an empty one. */
static int label_file_read(const char *path, struct strv *to, struct err *e)
{
	auto_buf b = BUF_LIMIT(SPEC_FILE_MAX);
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_set(e, errno, "open %s", path);
	rc = fd_read_all(fd, &b);
	if (rc < 0)
		return err_set(e, -rc, "read %s", path);
	for (char *line = b.data, *next; line && *line; line = next) {
		size_t len = strcspn(line, "\n");

		next = line + len + (line[len] == '\n');
		line[len] = '\0';
		if (len > 0 && line[len - 1] == '\r')
			line[len - 1] = '\0';
		line += strspn(line, " \t");
		if (*line && *line != '#' && spec_label(line, to, e) < 0)
			return err_wrap(e, "%s", path);
	}
	return 0;
}

static int lists_apply(const struct run_options *o, struct machine_config *c, struct err *e)
{
	for (size_t i = 0; i < o->env_files.n; i++)
		if (spec_env_file(o->env_files.v[i], &c->env, e) < 0)
			return -e->code;
	for (size_t i = 0; i < o->env.n; i++)
		if (spec_env(o->env.v[i], &c->env, e) < 0)
			return -e->code;
	for (size_t i = 0; i < o->label_files.n; i++)
		if (label_file_read(o->label_files.v[i], &c->labels, e) < 0)
			return -e->code;
	for (size_t i = 0; i < o->labels.n; i++)
		if (spec_label(o->labels.v[i], &c->labels, e) < 0)
			return -e->code;
	for (size_t i = 0; i < o->dns.n; i++)
		if (strv_add(&c->dns, o->dns.v[i]) < 0)
			return err_set(e, ENOMEM, "flags");
	for (size_t i = 0; i < o->add_hosts.n; i++)
		if (spec_add_host(o->add_hosts.v[i], &c->extra_hosts, e) < 0)
			return -e->code;
	return 0;
}

static int mounts_apply(const struct run_options *o, const char *cwd, struct machine_config *c,
			struct err *e)
{
	/* -v first: run_sources_make() counts on it. */
	for (size_t i = 0; i < o->volumes.n; i++)
		if (spec_volume(o->volumes.v[i], cwd, c, e) < 0)
			return -e->code;
	for (size_t i = 0; i < o->mounts.n; i++)
		if (spec_mount(o->mounts.v[i], cwd, c, e) < 0)
			return -e->code;
	for (size_t i = 0; i < o->tmpfs.n; i++)
		if (spec_tmpfs(o->tmpfs.v[i], c, e) < 0)
			return -e->code;
	for (size_t i = 0; i < o->publish.n; i++)
		if (spec_publish(o->publish.v[i], c, e) < 0)
			return -e->code;
	return 0;
}

static int command_apply(const struct run_options *o, const struct args *a,
			 struct machine_config *c, struct err *e)
{
	if (text_copy(&c->image_ref, a->v[0], e) < 0)
		return -e->code;
	if (o->entrypoint && strv_add(&c->entrypoint, o->entrypoint) < 0)
		return err_set(e, ENOMEM, "flags");
	for (int i = 1; i < a->n; i++)
		if (strv_add(&c->cmd, a->v[i]) < 0)
			return err_set(e, ENOMEM, "flags");
	return 0;
}

int run_config_make(const struct run_options *o, const struct args *a, const char *cwd,
		    struct machine_config *c, struct err *e)
{
	c->has_tty = o->has_tty;
	c->has_stdin = o->has_stdin;
	c->is_readonly = o->is_readonly;
	c->is_auto_removed = o->is_auto_removed;
	c->is_detached = o->is_detached;
	c->publish_all = o->publish_all;
	c->no_template = o->no_template;
	c->has_dax = o->has_dax;
	if (texts_apply(o, c, e) < 0 || network_apply(o->network, c, e) < 0 ||
	    numbers_apply(o, c, e) < 0 || lists_apply(o, c, e) < 0 ||
	    mounts_apply(o, cwd, c, e) < 0 || vsock_apply(o->vsock, cwd, c, e) < 0)
		return -e->code;
	return command_apply(o, a, c, e);
}

int run_console_make(const struct run_options *o, struct console *ret, struct err *e)
{
	struct console c = { .has_tty = o->has_tty, .proxies_signals = o->proxies_signals };

	for (size_t i = 0; i < o->attach.n; i++) {
		const char *stream = o->attach.v[i];

		if (strcasecmp(stream, "stdin") == 0)
			c.has_stdin = true;
		else if (strcasecmp(stream, "stdout") == 0)
			c.has_stdout = true;
		else if (strcasecmp(stream, "stderr") == 0)
			c.has_stderr = true;
		else
			return err_plain(
				e, EINVAL,
				"invalid argument \"%s\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR",
				stream);
	}
	if (o->attach.n && o->is_detached)
		return err_plain(e, EINVAL,
				 "conflicting options: cannot specify both --attach and --detach");
	if (!o->attach.n && !o->is_detached) {
		c.has_stdin = o->has_stdin;
		c.has_stdout = c.has_stderr = true;
	}
	*ret = c;
	return 0;
}

int run_sources_make(const struct run_options *o, const struct machine_config *c, struct err *e)
{
	struct stat st;

	if (c->vsock && stat(c->vsock, &st) < 0)
		return err_set(e, errno, "--vsock %s", c->vsock);
	if (c->vsock && !S_ISDIR(st.st_mode))
		return err_plain(e, ENOTDIR, "--vsock %s: not a directory", c->vsock);
	for (uint32_t i = 0; i < o->volumes.n && i < c->n_mounts; i++) {
		const char *source = c->mounts[i].source;

		if (c->mounts[i].kind != MACHINE_MOUNT_BIND)
			continue;
		if (access(source, F_OK) == 0 || errno != ENOENT)
			continue;
		if (dir_make_at(AT_FDCWD, source, 0755, e) < 0)
			return err_wrap(e, "-v %s", o->volumes.v[i]);
	}
	return 0;
}
