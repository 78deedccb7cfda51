# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# play.bash - machines of vmm_play (vmm_play.c), for tests that speak to a VMM as its driver does

play_ready() { # play_ready DIR: what they are made of; sets PLAY_KERNEL, PLAY_INITRD
	mkdir -p "$1/initrd"
	cp "$(command -v busybox)" "$1/initrd/busybox"
	cp "$BATS_TEST_DIRNAME/play_init.sh" "$1/initrd/init"
	(cd "$1/initrd" && find . | bsdcpio --quiet -o -H newc) >"$1/initrd.cpio"
	export PLAY_KERNEL=$CAISSON_ROOT/kernels/$SMALL/kernel PLAY_INITRD=$1/initrd.cpio
}

# play OPTION... <LINES: all answers on stdout. Nothing is left of it
play() {
	timeout 240 "$BATS_TEST_DIRNAME/../../build/tests/nested/vmm_play" "$@" "$PLAY_KERNEL" "$PLAY_INITRD" 3>&-
}
