# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# expect.bash - what a test says when it expects something

# fails COMMAND...: bats does not notice when "! command" turns out false
fails() {
	if "$@"; then return 1; fi
}

# fails_with CODE WORDS COMMAND...: the exit code and the output fit these (extended, case-blind) expressions
fails_with() {
	local code=0 said want=$1 words=$2
	shift 2
	said=$(timeout -k 5 120 "$@" 2>&1 </dev/null) || code=$?
	[[ $code =~ ^$want$ ]] && grep -qiE -- "$words" <<<"$said" && return
	printf '%s\n  exit %s (not %s), says: %s\n' "$*" "$code" "$want" "${said:0:600}" >&2
	return 1
}

# complain WHAT: kept until `all_right`, so that one test shows all that is wrong
complain() { printf '%s\n' "$1" >>"$BATS_TEST_TMPDIR/complaints"; }
all_right() {
	if [ -e "$BATS_TEST_TMPDIR/complaints" ]; then
		cat "$BATS_TEST_TMPDIR/complaints" >&2
		return 1
	fi
}
