#!/bin/bash
# SPDX-License-Identifier: MIT
# e2e.sh - inside the nested machine: files of the end-to-end tests, with caisson-vmm and a store in memory
#
#   NESTED_MEMORY=6144 tests/nested/run.sh tests/nested/e2e.sh KERNEL [BATS OPTION...] FILE...
#
# KERNEL is the start of a kernel's name in the end-to-end tests' store.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ "$(cat /proc/sys/kernel/hostname)" != nested ]; then
	echo "this runs in the nested machine: tests/nested/run.sh $0" >&2
	exit 1
fi
kernel=$1
shift
. tests/e2e/env.sh
from=$CAISSON_ROOT
# what the store needs of its file system, the layer over the host's has not: /tmp has
export CAISSON_E2E_STORE=/tmp/e2e
. tests/e2e/env.sh
mkdir -p "$CAISSON_ROOT/kernels"
cp -a "$from/kernels/$kernel"* "$CAISSON_ROOT/kernels"
kernel=$(caisson kernel ls -q | head -n 1)
caisson kernel use "$kernel"
export CAISSON_TEST_KERNEL=$kernel CAISSON_TEST_PATIENCE=4
# to import an image takes long here
export CAISSON_TEST_IMAGES=busybox
[[ $* != */crash.* && $* != */databases.* ]] || CAISSON_TEST_IMAGES+=" redis postgres"
[[ $* != */network.* && $* != */disk_boot.* ]] || CAISSON_TEST_IMAGES+=" nginx python3"
exec bats "$@"
