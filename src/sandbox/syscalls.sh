#!/bin/sh
# SPDX-License-Identifier: MIT
# syscalls.sh - the system calls that "#syscalls" comments of sources name, as lists of C
#
#   syscalls.sh DIR OUTPUT DEPFILE
#
# At the end of its first comment a file beneath DIR says which calls it makes once the process is shut in:
#
#   #syscalls:KIND NAME... #syscalls:KIND NAME...
#
# KIND: vmm (the VMM's event thread), vcpu and disk (its other threads), share (the server of shared
# directories). A filter of a process holds for its threads, too: the list of vmm has all that they call.
set -eu
dir=$1 output=$2 depfile=$3
export LC_ALL=C
files=$(find "$dir" -name '*.[ch]' | sort)

# shellcheck disable=SC2086
pairs=$(awk '
	function fail(why) { print FILENAME ":" FNR ": " why >"/dev/stderr"; failed = 1; exit 1 }
	FNR == 1 { kind = "" }
	/#syscalls:/ || kind != "" {
		for (i = 1; i <= NF; i++) {
			if ($i ~ /^#syscalls:/) {
				kind = substr($i, 11)
				if (kind !~ /^(vmm|vcpu|disk|share)$/) fail("no kind of thread: " kind)
			} else if (kind == "" || $i == "*") {
				continue
			} else if ($i == "*/") {
				kind = ""
			} else if ($i !~ /^[a-z][a-z0-9_]*$/) {
				fail("no name of a system call: " $i)
			} else {
				print kind, $i
			}
		}
	}
	END { exit failed }
' $files)

list() { # list NAME KIND...
	local name=$1 call
	shift
	printf 'static const int syscalls_%s[] = {\n' "$name"
	for call in $(for kind; do echo "$pairs" | sed -n "s/^$kind //p"; done | sort -u); do
		printf '\tSCMP_SYS(%s),\n' "$call"
	done
	printf '};\n'
}
{
	printf '/* SPDX-License-Identifier: MIT */\n/* made by syscalls.sh */\n'
	list vmm vmm vcpu disk
	list vcpu vcpu
	list disk disk
	list share share
} >"$output"
{
	printf '%s:' "$output"
	# a directory changes when a file comes or goes
	for file in $(find "$dir" -type d) $files; do printf ' %s' "$file"; done
	echo
} >"$depfile"
