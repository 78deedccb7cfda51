# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# host_full.bash - a machine writes more than the host has room for; run under `unshare --mount`
#
# The store's machines get a small file system of their own. Prints what is wrong.

mount -t tmpfs -o size=8m,mode=700 tmpfs "$CAISSON_ROOT/machines" || exit
caisson run -d --name hf --network none "$BUSYBOX" sleep 1000 >/dev/null || exit
timeout 20 caisson exec hf sh -c 'echo kept >/kept; sync' || echo "a small file was not written"
code=0
timeout 90 caisson exec hf dd if=/dev/urandom of=/big bs=64k count=512 conv=fsync 2>/dev/null || code=$?
[ "$code" = 1 ] || echo "the app's write ended with $code"
[ "$(timeout 20 caisson exec hf echo alive)" = alive ] || echo "the machine does not answer"
mount -o remount,size=80m "$CAISSON_ROOT/machines" || exit
timeout 60 caisson stop -t 0 hf >/dev/null || echo "stop: $?"
timeout 60 caisson start hf >/dev/null || echo "start: $?"
[ "$(timeout 20 caisson exec hf cat /kept)" = kept ] || echo "what was there before is lost"
timeout 90 caisson exec hf dd if=/dev/urandom of=/more bs=64k count=320 conv=fsync 2>/dev/null || echo "no write with room: $?"
caisson rm -f hf >/dev/null
umount "$CAISSON_ROOT/machines"
echo done
