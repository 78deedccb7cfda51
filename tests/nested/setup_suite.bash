# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# setup_suite.bash - inside the nested machine: a store of its own, with the kernels of the end-to-end tests'

setup_suite() {
	local store
	if [ "$(cat /proc/sys/kernel/hostname)" != nested ]; then
		echo "these tests run in the nested machine: tests/nested/run.sh bats tests/nested" >&2
		return 1
	fi
	# shellcheck source=tests/e2e/env.sh
	. "$BATS_TEST_DIRNAME/../e2e/env.sh"
	store=$CAISSON_ROOT
	# what the store needs of its file system, the layer over the host's has not: /tmp has
	export CAISSON_ROOT=/tmp/caisson/root CAISSON_RUN=/tmp/caisson/run
	mkdir -p "$CAISSON_ROOT" "$CAISSON_RUN"
	cp -a "$store/kernels" "$CAISSON_ROOT"
	caisson kernel use "$(caisson kernel ls -q | grep '^small-' | head -n 1)"
	export BUSYBOX=localhost/busybox
	caisson image import "$IMAGES_OCI:busybox" "$BUSYBOX:latest" >/dev/null
}

teardown_suite() {
	caisson template prune >/dev/null
}
