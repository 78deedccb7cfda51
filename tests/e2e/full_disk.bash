# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# full_disk.bash IMAGE WANT MOUNT-OPTIONS... - pulls into stores on file systems that are too small, one after another
#
# Run under `unshare --mount`. For each: no image and an error that says why, or the image; nothing left running. Then
# the file system grows, and the same pull has to bring what the file WANT lists (sums, of sums_of). "below=KIB" is a
# size, so much less than the image needs. Prints what is wrong, and at the end "full: N enough: M".

here=$(dirname "${BASH_SOURCE[0]}")
. "$here/faults.bash"
image=$1 want=$2
shift 2
dir=$(mktemp -d)
export CAISSON_ROOT=$dir/store/root CAISSON_RUN=$dir/run
mkdir "$dir/store"
full=0 enough=0

# needs_kib: room that the whole store takes
needs_kib() {
	mount -t tmpfs -o size=64m,mode=700 tmpfs "$dir/store" || exit
	caisson pull -q "$image" >/dev/null || exit
	df -k --output=used "$dir/store" | tail -n 1
	umount "$dir/store"
}

# step OPTIONS
step() {
	local said code=0 listed
	mount -t tmpfs -o "$1,mode=700" tmpfs "$dir/store" || exit
	said=$("${PYTHON:-python3}" "$here/reap.py" 30 caisson pull -q "$image" 2>&1 </dev/null) || code=$?
	case $code in
	0) enough=$((enough + 1)) ;;
	1) full=$((full + 1)); grep -qi 'no space' <<<"$said" || echo "$1 should say so: $said" ;;
	*) echo "$1: exit $code: $said" ;;
	esac
	if listed=$(caisson images -q 2>&1); then # a store that could not even be made cannot be listed
		[ "$code" = 0 ] || [ -z "$listed" ] || echo "$1 is listed after: $said"
	else
		grep -qi 'no space' <<<"$listed" || echo "$1, images: $listed"
	fi
	mount -o remount,size=64m,nr_inodes=4096 "$dir/store" || exit
	said=$(caisson images -q 2>&1) || echo "$1, grown: $said"
	[ "$code" = 0 ] || [ -z "$said" ] || echo "$1 is listed, grown: $said"
	said=$(caisson pull -q "$image" 2>&1 </dev/null) || echo "$1, second pull: $said"
	store_is_whole "$want" || echo "$1: the store is not right"
	umount "$dir/store"
}

need=$(needs_kib)
for options; do
	[[ $options != below=* ]] || options=size=$((need - ${options#*=}))k
	step "$options"
done
rm -rf "$dir"
echo "full: $full enough: $enough"
