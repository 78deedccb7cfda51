/* SPDX-License-Identifier: MIT */
/*
 * regconf_certs.c - certs.d/HOST[:PORT]: own certificate authorities, a client's certificate
 *
 * As Docker has it: *.crt are roots to trust besides the system's, NAME.cert and NAME.key a
 * client's pair. The first directory that has the host counts alone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fdio.h"
#include "regconf_internal.h"

static const char *const system_dirs[] = { "/etc/caisson/certs.d", "/etc/docker/certs.d",
					   "/etc/containers/certs.d" };

static bool ends_with(const char *name, const char *ext)
{
	size_t n = strlen(name), m = strlen(ext);

	return n > m && strcmp(name + n - m, ext) == 0;
}

static int file_add(int dir_fd, const char *name, struct buf *b, struct err *e)
{
	auto_fd fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC); /* links are fine: it is ours */
	int rc;

	if (fd < 0)
		return err_set(e, errno, "%s", name);
	b->max = REGCONF_PEM_MAX;
	rc = fd_read_all(fd, b);
	if (rc == 0 && b->len > 0 && b->data[b->len - 1] != '\n')
		rc = buf_add_str(b, "\n");
	if (rc == -EFBIG)
		return err_plain(e, EFBIG, "certificates of more than %u bytes", REGCONF_PEM_MAX);
	if (rc < 0)
		return err_set(e, -rc, "%s", name);
	if (strlen(b->data ? b->data : "") != b->len ||
	    !strstr(b->data ? b->data : "", "-----BEGIN "))
		return err_plain(e, EINVAL, "%s is not in PEM format", name);
	return 0;
}

static int pair_add(int dir_fd, const char *cert_name, struct buf *cert, struct buf *key,
		    struct err *e)
{
	char key_name[NAME_MAX + 1];

	if (cert->len > 0)
		return err_plain(e, EINVAL, "%s is a second client certificate", cert_name);
	snprintf(key_name, sizeof(key_name), "%.*s.key", (int)(strlen(cert_name) - 5), cert_name);
	if (file_add(dir_fd, cert_name, cert, e) < 0 || file_add(dir_fd, key_name, key, e) < 0)
		return -e->code;
	return 0;
}

static int files_add(int dir_fd, struct dirent **list, int n, struct buf *pem, struct err *e)
{
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;

		if (*name == '.')
			continue;
		if (ends_with(name, ".crt") && file_add(dir_fd, name, &pem[0], e) < 0)
			return -e->code;
		if (ends_with(name, ".cert") && pair_add(dir_fd, name, &pem[1], &pem[2], e) < 0)
			return -e->code;
	}
	return 0;
}

static int dir_read(int dir_fd, struct regconf_endpoint *ep, struct err *e)
{
	char **fields[] = { &ep->ca, &ep->cert, &ep->key_pem };
	struct buf pem[3] = { 0 };
	struct dirent **list = NULL;
	int n = scandirat(dir_fd, ".", &list, NULL, alphasort), rc;

	if (n < 0)
		return err_set(e, errno, "read the directory");
	rc = files_add(dir_fd, list, n, pem, e);
	for (size_t i = 0; i < 3; i++) {
		if (rc == 0 && pem[i].len > 0)
			*fields[i] = buf_take_str(&pem[i]);
		buf_done(&pem[i]);
	}
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
	return rc;
}

/* 1 when the directory is there. */
static int dir_try(const char *dir, const char *host, struct regconf_endpoint *ep, struct err *e)
{
	char path[8192];
	auto_fd fd = -1;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, host) >= sizeof(path))
		return 0;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_set(e, errno, "%s", path);
	return dir_read(fd, ep, e) < 0 ? err_wrap(e, "%s", path) : 1;
}

int regconf_certs_read(const char *host, struct regconf_endpoint *ep, bool *ret_is_there,
		       struct err *e)
{
	char user[4096];
	int rc = 0;

	if (regconf_user_path("certs.d", user, sizeof(user)))
		rc = dir_try(user, host, ep, e);
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(system_dirs); i++)
		rc = dir_try(system_dirs[i], host, ep, e);
	*ret_is_there = rc > 0;
	return rc < 0 ? rc : 0;
}
