# SPDX-License-Identifier: MIT
# setup_suite.bash - one registry on loopback and one set of images for all files

setup_suite() {
	# shellcheck source=tests/e2e/env.sh
	. "$BATS_TEST_DIRNAME/env.sh"
	export SUITE_DIR=$BATS_SUITE_TMPDIR
	. "$BATS_TEST_DIRNAME/lib.bash"
	registry_start "$SUITE_DIR/registry"
	export REGISTRY REGISTRY_PID
	local i
	for i in ${CAISSON_TEST_IMAGES:-busybox nginx redis postgres python3}; do
		caisson image import "$IMAGES_OCI:$i" "$REGISTRY/$i:latest" >/dev/null
	done
	export BUSYBOX=$REGISTRY/busybox NGINX=$REGISTRY/nginx
	# templates of the shapes the tests use most, so that no single test pays for the first boot
	caisson run --rm "$BUSYBOX" true
}

teardown_suite() {
	local ids
	ids=$(caisson ps -aq)
	[ -z "$ids" ] || caisson rm -f $ids >/dev/null
	caisson template prune >/dev/null
	kill "$REGISTRY_PID" 2>/dev/null
	rm -rf "$SUITE_DIR/registry"
}
