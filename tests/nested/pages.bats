#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pages.bats - clones have at once the pages that every clone writes

setup() {
	load ../e2e/lib
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() { remove_all; }

# The image's template of caisson-vmm, when it is there.
template() {
	jq -r 'select(.driver == "kvm" and .depth == "image" and .shape == "512M,1cpu,nonet" and .kernel == env.SMALL) |
		input_filename | rtrimstr("/template.json")' "$CAISSON_ROOT"/templates/*/template.json 2>/dev/null
}
has_template() { [ -n "$(template)" ]; }
up() { caisson run -d --name "$1" --driver kvm --network none --kernel "$SMALL" "$BUSYBOX" sleep 1000 >/dev/null; }

# faults: of three clones, the fewest exits for a page that KVM had not mapped, until the app ran
faults() {
	local i n least=1000000
	for i in 1 2 3; do
		up "f$i"
		n=$(cat /sys/kernel/debug/kvm/"$(vmm_pid "f$i")"-*/pf_taken)
		caisson rm -f "f$i" >/dev/null
		((n >= least)) || least=$n
	done
	echo "$least"
}

@test "a template has a list of what clones write, and with it a clone has fewer faults" {
	local dir at with without
	mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
	up first
	eventually 90 has_template
	dir=$(template)
	at=$(grep -abo CSNPAGES "$dir/state" | cut -d: -f1)
	[ -n "$at" ] || complain "the state has no list of pages"
	echo "$(od -An -tu4 -j $((at + 12)) -N 4 "$dir/state") ranges"
	with=$(faults)
	# the same template without its list
	kill $(pgrep -x caisson-templat)
	truncate -s "$at" "$dir/state"
	jq -c --argjson n "$at" '.state_len = $n' "$dir/template.json" >json && cp json "$dir/template.json"
	without=$(faults)
	echo "# faults: $with with the list, $without without" >&3
	[ "$with" -lt $((without * 9 / 10)) ]
}
