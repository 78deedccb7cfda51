# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# setup_suite.bash - inside the nested machine: a store of its own, with the kernels of the end-to-end tests'

setup_suite() {
	local store dir=$BATS_SUITE_TMPDIR
	if [ "$(cat /proc/sys/kernel/hostname)" != nested ]; then
		echo "these tests run in the nested machine: tests/nested/run.sh bats tests/nested" >&2
		return 1
	fi
	# shellcheck source=tests/e2e/env.sh
	. "$BATS_TEST_DIRNAME/../e2e/env.sh"
	store=$CAISSON_ROOT
	# what the store needs of its file system, the layer over the host's has not: /tmp has
	export CAISSON_ROOT=/tmp/caisson/root CAISSON_RUN=/tmp/caisson/run
	mount -t tracefs tracefs /sys/kernel/tracing
	python3 "$BATS_TEST_DIRNAME/calls.py" watch # see watched_calls.bats
	mkdir -p "$CAISSON_ROOT/kernels" "$CAISSON_RUN"
	cp -a "$store"/kernels/* "$CAISSON_ROOT/kernels" # not one that is being built, which has a dot
	# run.sh has fetched that one before, or says why not
	NEWER=$(caisson --root "$CAISSON_CACHE/nested/newer" kernel ls -q 2>/dev/null | head -n 1)
	NEWER_WHY="tests/nested/kernel_newer.sh $CAISSON_CACHE/nested/newer has not fetched it"
	SMALL=$(caisson kernel ls -q | grep '^small-' | head -n 1)
	CLOUD=$(caisson kernel ls -q | grep -v '^small-' | head -n 1)
	[ -z "$NEWER" ] || cp -a "$CAISSON_CACHE/nested/newer/kernels/$NEWER" "$CAISSON_ROOT/kernels"
	caisson kernel use "$SMALL"
	# with a file of what each machine has its own of, as many images have
	mkdir -p "$dir/layer/etc"
	printf '%032d\n' 0 >"$dir/layer/etc/machine-id"
	python3 "$BATS_TEST_DIRNAME/../e2e/layer_add.py" "$IMAGES_OCI:busybox" "$dir/layer" "$dir/image"
	export SMALL CLOUD NEWER NEWER_WHY BUSYBOX=localhost/busybox
	caisson image import "$dir/image:filled" "$BUSYBOX:latest" >/dev/null
	rm -r "$dir/layer" "$dir/image"
}

teardown_suite() {
	caisson template prune >/dev/null
}
