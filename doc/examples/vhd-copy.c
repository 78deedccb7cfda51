/* SPDX-License-Identifier: MIT */
/*
 * vhd-copy.c - copy what a VHD and its parents hold into a raw file
 *
 *	cc -o vhd-copy vhd-copy.c $(pkg-config --cflags --libs libcaisson-vhd)
 *	vhd-copy disk.vhd disk.raw
 */
#include <caisson/vhd.h>
#include <stdio.h>

/* Called now and then while the copy goes on. */
static int show(void *ctx, uint64_t done, uint64_t total)
{
	(void)ctx;
	fprintf(stderr, "\r%3u%%", total ? (unsigned int)(done * 100 / total) : 100U);
	return 0; /* anything else ends the copy */
}

static int fail(const struct vhd_err *e)
{
	fprintf(stderr, "vhd-copy: %s\n", e->msg);
	return 1;
}

static int tell(struct vhd *v, struct vhd_err *e)
{
	for (unsigned int depth = 0; depth < vhd_depth(v); depth++) {
		static struct vhd_info info; /* some ten KiB: not for the stack */

		if (vhd_info_get(v, depth, &info, e) < 0)
			return -1;
		printf("%s: %s, %llu bytes\n", info.name, vhd_type_name(info.type),
		       (unsigned long long)info.size);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct vhd_copy_options copy = { .type = VHD_TYPE_RAW };
	const struct vhd_progress progress = { .step = show };
	struct vhd_err e = { 0 }, ignored = { 0 };
	struct vhd *v;

	if (argc != 3) {
		fprintf(stderr, "usage: vhd-copy FROM.vhd TO.raw\n");
		return 2;
	}
	if (vhd_open(argv[1], NULL, &v, &e) < 0) /* read-only, parents from the same directory */
		return fail(&e);
	if (tell(v, &e) < 0 || vhd_copy(v, argv[2], &copy, &progress, &e) < 0) {
		vhd_close(v, &ignored); /* the first error is told */
		return fail(&e);
	}
	fputc('\n', stderr);
	return vhd_close(v, &e) < 0 ? fail(&e) : 0;
}
