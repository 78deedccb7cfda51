/* SPDX-License-Identifier: MIT */
/*
 * vhd_locator.c - [U] the path that a parent locator holds
 *
 * Hostile: whoever made the image chose the path. Here it becomes text and nothing else: it may
 * climb (".."), be absolute, or name a device. Who opens it keeps it beneath the roots that the
 * caller has allowed (vhd_chain.c).
 */
#include "vhd_format.h"
#include "vhd_shim.h"

static bool code_is(const struct vhd_locator *l, const char *code)
{
	return memcmp(l->code, code, sizeof(l->code)) == 0;
}

/* Some writers count a NUL at the end; one in the middle would hide what follows it. */
static int windows_path(const uint8_t *raw, size_t len, char path[VHD_PATH_MAX])
{
	int rc;

	if (len % 2)
		return -EINVAL;
	while (len && !raw[len - 1] && !raw[len - 2])
		len -= 2;
	for (size_t i = 0; i < len; i += 2)
		if (!raw[i] && !raw[i + 1])
			return -EINVAL;
	rc = vhd_utf16_decode(raw, len, VHD_LE, path, VHD_PATH_MAX);
	if (rc < 0)
		return rc;
	for (char *c = path; *c; c++)
		if (*c == '\\')
			*c = '/';
	return 0;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int percent_decode(const uint8_t *raw, size_t len, char path[VHD_PATH_MAX])
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		int c = raw[i];

		if (c == '%') {
			int high = len - i > 2 ? hex_digit(raw[i + 1]) : -1;
			int low = len - i > 2 ? hex_digit(raw[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -EINVAL;
			c = high << 4 | low;
			i += 2;
		}
		if (c == '\0')
			return -EINVAL;
		if (used == VHD_PATH_MAX - 1)
			return -ENAMETOOLONG;
		path[used++] = (char)c;
	}
	path[used] = '\0';
	return 0;
}

static bool has_prefix(const uint8_t *raw, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && memcmp(raw, prefix, strlen(prefix)) == 0;
}

/* "file:///a", "file://localhost/a"; and vhd-util's "file://./b", where a host's name should be. */
static int url_path(const uint8_t *raw, size_t len, char path[VHD_PATH_MAX])
{
	static const char scheme[] = "file://", host[] = "localhost";
	uint8_t units[2 * VHD_PATH_MAX];
	int rc;

	while (len && !raw[len - 1])
		len--;
	if (!has_prefix(raw, len, scheme))
		return -EINVAL;
	raw += strlen(scheme);
	len -= strlen(scheme);
	if (has_prefix(raw, len, "localhost/")) {
		raw += strlen(host);
		len -= strlen(host);
	}
	if (!has_prefix(raw, len, "/") && !has_prefix(raw, len, "./") &&
	    !has_prefix(raw, len, "../"))
		return -EINVAL;
	rc = percent_decode(raw, len, path);
	if (rc < 0)
		return rc;
	/* only to see that it is UTF-8 */
	return vhd_utf16_encode(path, VHD_LE, units, sizeof(units)) < 0 ? -EINVAL : 0;
}

int vhd_locator_path(const struct vhd_locator *l, const uint8_t *raw, size_t len,
		     char path[VHD_PATH_MAX])
{
	int rc = -ENOTSUP;

	path[0] = '\0';
	if (code_is(l, "W2ru") || code_is(l, "W2ku"))
		rc = windows_path(raw, len, path);
	else if (code_is(l, "MacX"))
		rc = url_path(raw, len, path);
	if (rc == 0 && path[0] == '\0')
		rc = -EINVAL;
	if (rc < 0)
		path[0] = '\0';
	return rc;
}
