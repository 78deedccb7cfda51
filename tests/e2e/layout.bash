# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# layout.bash - images of a test's own

# layout_make DIR NAME...: an OCI layout with busybox, and for each name an image of one layer more, whose /mark says it
layout_make() {
	local dir=$1 name
	shift
	mkdir -p "$dir"
	skopeo copy -q "oci:$IMAGES_OCI:busybox" "oci:$dir:busybox"
	for name; do
		umoci unpack --image "$dir:busybox" "$dir.$name" >/dev/null 2>&1
		echo "$name" >"$dir.$name/rootfs/mark"
		umoci repack --image "$dir:$name" "$dir.$name" >/dev/null 2>&1
		rm -rf "$dir.$name"
	done
}
