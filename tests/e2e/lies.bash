# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# lies.bash - starting lying_registry.py, and saying what should come of a pull from it

# lies_start DIR: sets LIES (host:port) and LIES_PID
lies_start() {
	mkdir -p "$1"
	python3 "$BATS_TEST_DIRNAME/lying_registry.py" "$IMAGES_OCI:busybox" "$1" >"$1/out" 2>&1 3>&- &
	LIES_PID=$!
	eventually 10 test -e "$1/address" || { cat "$1/out" >&2; return 1; }
	LIES=$(cat "$1/address")
	export LIES LIES_PID LIES_DIR=$1
}

# lie_pull SECONDS NAME: the output in $said, the exit code in $code
lie_pull() {
	said=$(python3 "$BATS_TEST_DIRNAME/reap.py" "$1" caisson pull "$LIES/$2" 2>&1 </dev/null) && code=0 || code=$?
}

# wrong NAME WHAT: a complaint with what was said
wrong() { complain "$(printf '%s %s; exit %s: %s' "$1" "$2" "$code" "${said:0:600}")"; }

is_named() { caisson images --format '{{.Repository}}' | grep -qx "$LIES/$1"; }

# refused NAME WORDS [SECONDS]: a clear error, soon; nothing named, nothing running
refused() {
	lie_pull "${3:-40}" "$1"
	[ "$code" = 1 ] || wrong "$1" "should end with 1"
	grep -qiE "$2" <<<"$said" || wrong "$1" "should say $2"
	! is_named "$1" || wrong "$1" "has got a name"
}

# good NAME: pulled, and there
good() {
	lie_pull 40 "$1"
	[ "$code" = 0 ] || wrong "$1" "should succeed"
	is_named "$1" || wrong "$1" "has no name"
}

# either NAME WORDS: both are right, as long as it ends and an error is clear
either() {
	lie_pull 40 "$1"
	case $code in
	0) is_named "$1" || wrong "$1" "has no name" ;;
	1) grep -qiE "$2" <<<"$said" || wrong "$1" "should succeed, or say $2" ;;
	*) wrong "$1" "should end with 0 or 1" ;;
	esac
}

# asked FILTER: what jq's filter leaves of the registry's log, one line each
asked() { jq -c "select($1)" "$LIES_DIR/log"; }
