# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# faults.bash - is a store right, after what has been done to it

# sums_of ROOT: what a pull has brought, file by file; the same image gives the same sums
sums_of() { (cd "$1" && sha256sum blobs/sha256/* layers/* images/*); }

# store_is_whole WANT: the store holds what WANT lists, each blob has its digest, nothing else is there
store_is_whole() {
	local rc=0 sum name
	sums_of "$CAISSON_ROOT" | diff "$1" - || rc=1
	while read -r sum name; do
		[ "$sum" = "${name##*/}" ] || { echo "$name is damaged"; rc=1; }
	done < <(cd "$CAISSON_ROOT" && sha256sum blobs/sha256/*)
	[ -z "$(ls "$CAISSON_ROOT/partial")" ] || { echo "partial: $(ls "$CAISSON_ROOT/partial")"; rc=1; }
	# other tools find it, too
	[ "$(jq '.manifests | length' "$CAISSON_ROOT/index.json")" -ge 1 ] || { echo "index.json is empty"; rc=1; }
	return $rc
}

# reference_make IMAGE FILE: what a pull brings to an empty store
reference_make() {
	local root
	root=$(mktemp -d "$BATS_FILE_TMPDIR/XXXXXX")
	CAISSON_ROOT=$root/root CAISSON_RUN=$root/run caisson pull -q "$1" >/dev/null || return 1
	sums_of "$root/root" >"$2"
	rm -rf "$root"
}
