#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh - the whole test run: set-up, unit tests under ASan and UBSan, gates, fuzz smoke, end-to-end,
# and under a real KVM in a machine that is emulated
#
#   tests/run.sh [STAGE...]		all stages when none is named:
#					unit gates fuzz clang interop e2e nested
#
# Ends with "N passed, N failed, N skipped". Logs are in build/test-logs.
set -uo pipefail
cd "$(dirname "$0")/.."
top=$PWD
logs=$top/build/test-logs
export CAISSON_CACHE=${CAISSON_CACHE:-$top/.cache}
stages=${*:-unit tsan gates fuzz clang interop e2e nested}
fuzz_seconds=${FUZZ_SECONDS:-4}
jobs=$(nproc)
passed=0 failed=0 skipped=0
failures=()
started=$SECONDS

stage() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)); }
wants() { [[ " $stages " == *" $1 "* ]]; }

pass() { passed=$((passed + 1)); }
fail() {
	failed=$((failed + 1))
	failures+=("$1")
	echo "FAIL $1"
}
skip() {
	skipped=$((skipped + 1))
	echo "SKIP $1: $2"
}

# Count the lines of a TAP stream on stdin (never of a pipe: its counts would be a subshell's), show
# what is not plain success. A stream that ends before its plan is a failure.
tap() {
	local line name plan='' seen=0
	while IFS= read -r line; do
		case $line in
		1..*) plan=${line#1..} ;;
		esac
		case $line in
		'ok '* | 'not ok '*) seen=$((seen + 1)) ;;
		esac
		case $line in
		'ok '*'# skip'*) name=${line#ok }; skip "${name%% # skip*}" "${name#*# skip}" ;;
		'not ok '*) fail "${line#not ok }" ;;
		'ok '*) pass ;;
		'#'*) echo "$line" ;;
		esac
	done
	[ -z "$plan" ] || [ "$plan" = "$seen" ] || fail "a stream of $plan tests ended after $seen"
}

# run NAME COMMAND...: one test; exit 77 is a skip with the last line as its reason
run() {
	local name=$1 rc=0 log
	shift
	log=$logs/${name//\//-}.log
	"$@" >"$log" 2>&1 || rc=$?
	case $rc in
	0) pass ;;
	77) skip "$name" "$(tail -n 1 "$log")" ;;
	*) fail "$name (exit $rc, $log)"; tail -n 25 "$log" ;;
	esac
}

must() { # a step without which nothing else makes sense
	local log=$logs/$1.log name=$1
	shift
	"$@" >"$log" 2>&1 && return
	echo "cannot go on: $name failed:" >&2
	tail -n 40 "$log" >&2
	echo
	echo "$passed passed, $((failed + 1)) failed, $skipped skipped"
	exit 1
}

# configure DIR OPTIONS...: set a build directory up, or anew
configure() {
	local dir=$1 again=()
	shift
	[ ! -e "$dir/build.ninja" ] || again=(--reconfigure)
	meson setup "$dir" "${again[@]}" "$@"
}

unit_tests() {
	stage "unit tests (ASan, UBSan)"
	must setup-asan configure build/asan -Db_sanitize=address,undefined -Db_lundef=false --buildtype=debugoptimized
	must build-asan ninja -C build/asan
	ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		meson test -C build/asan --no-rebuild --num-processes "$jobs" >"$logs/unit.log" 2>&1
	meson_tap build/asan >"$logs/unit.tap"
	tap <"$logs/unit.tap"
}

# meson_tap DIR: the results of its last "meson test"
meson_tap() {
	python3 - "$1/meson-logs/testlog.json" <<-'P'
		import json, sys
		for line in open(sys.argv[1]):
		    t = json.loads(line)
		    name = t["name"]
		    if t["result"] == "OK": print("ok", name)
		    elif t["result"] == "SKIP": print("ok", name, "# skip", (t.get("stdout") or "no reason").strip().splitlines()[-1])
		    else:
		        print("not ok", name, t["result"])
		        text = (t.get("stdout") or "") + (t.get("stderr") or "")
		        for l in text.splitlines()[-25:]: print("#   " + l)
	P
}

# What has threads, and what they share: processors that are paused, kicked and resumed, rings, disks.
# By clang: gcc's ThreadSanitizer knows no fences.
threads="vcpus virtq_threads virtio_mmio virtio_console virtio_blk virtio_blk_flow blk_engine virtio_fs virtio_net"

thread_tests() {
	local t
	stage "tests with threads (TSan)"
	CC=clang must setup-tsan configure build/tsan -Db_sanitize=thread -Db_lundef=false --buildtype=debugoptimized
	# shellcheck disable=SC2046,SC2086
	must build-tsan ninja -C build/tsan $(printf 'tests/unit/vmm/test_vmm_%s ' $threads)
	# shellcheck disable=SC2046
	TSAN_OPTIONS=exitcode=66 meson test -C build/tsan --no-rebuild --num-processes "$jobs" \
		$(for t in $threads; do echo "vmm/$t"; done) >"$logs/tsan.log" 2>&1
	meson_tap build/tsan | sed -E 's/^((not )?ok) /\1 [tsan] /' >"$logs/tsan.tap"
	tap <"$logs/tsan.tap"
}

fuzz_smoke() {
	stage "fuzz targets, $fuzz_seconds s each"
	CC=clang must setup-fuzz configure build/fuzz -Dfuzz=true -Dtests=true -Db_lundef=false \
		-Dc_args='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined' \
		-Dc_link_args='-fsanitize=address,undefined' --buildtype=debugoptimized
	local targets=() t name
	for t in tests/fuzz/fuzz_*.c; do targets+=("tests/fuzz/$(basename "$t" .c)"); done
	rm -f "$logs"/fuzzed-*
	must build-fuzz ninja -C build/fuzz "${targets[@]}"
	for t in "${targets[@]}"; do
		while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
		fuzz_one "${t##*/fuzz_}" "build/fuzz/$t" &
	done
	wait
	for t in "${targets[@]}"; do
		name=${t##*/fuzz_}
		run "fuzz $name" fuzz_outcome "$name"
	done
}

fuzz_one() { # fuzz_one NAME PROGRAM: what it says and its exit code, into files
	local rc=0 scratch
	scratch=$(mktemp -d)
	"$2" -max_total_time="$fuzz_seconds" -rss_limit_mb=2048 -timeout=10 -close_fd_mask=3 \
		-artifact_prefix="$logs/crash-$1-" "$scratch" "tests/fuzz/corpus/$1" >"$logs/fuzzed-$1.log" 2>&1 || rc=$?
	echo $rc >"$logs/fuzzed-$1.rc"
	rm -rf "$scratch"
}

fuzz_outcome() { # fuzz_outcome NAME
	tail -n 30 "$logs/fuzzed-$1.log"
	return "$(cat "$logs/fuzzed-$1.rc")"
}

clang_build() {
	stage "clang build without warnings"
	CC=clang must setup-clang configure build/clang -Dtests=true --buildtype=debugoptimized
	run "clang build" ninja -C build/clang
}

# kernels_and_images IMAGE...: what machines are made of, in the end-to-end tests' store and beside it
kernels_and_images() {
	mkdir -p "$CAISSON_CACHE"
	must build make --no-print-directory build
	must images tests/images/build.sh "$CAISSON_CACHE/images" "$@"
	# shellcheck source=tests/e2e/env.sh
	. tests/e2e/env.sh
	must kernel-install "$CAISSON" kernel install
	if ! "$CAISSON" kernel ls | grep -q '^small-'; then
		must kernel-build "$CAISSON" kernel build
	fi
}

# What no guest's kernel has a part in: tested with the first one only.
hosts_own=" cli disk disk_boot disk_import images lies pull_faults registry "

end_to_end() {
	local k f files=(tests/e2e)
	stage "end-to-end: kernels and images"
	kernels_and_images busybox nginx redis postgres python3
	for k in $("$CAISSON" kernel ls -q); do
		stage "end-to-end, kernel $k"
		"$CAISSON" kernel use "$k"
		CAISSON_TEST_KERNEL=$k bats --formatter tap "${files[@]}" >"$logs/e2e-$k.tap" 2>&1
		tap < <(sed "s|^\(ok\|not ok\) \([0-9]*\) |\1 \2 [$k] |" "$logs/e2e-$k.tap")
		files=()
		for f in tests/e2e/*.bats; do
			[[ $hosts_own == *" $(basename "$f" .bats) "* ]] || files+=("$f")
		done
	done
}

# nested_run NAME COMMAND...: its tests count. The same on every host: a KVM of its own is not used.
nested_run() {
	local name=$1 rc=0 out=$logs/nested-$1.tap log=$logs/nested-$1.log
	shift
	tests/nested/run.sh "$@" >"$out" 2>"$log" || rc=$?
	if [ $rc = 77 ]; then
		skip "nested $name" "$(tail -n 1 "$out")"
		return
	fi
	tap < <(sed -E "s#^(ok|not ok) ([0-9]*) #\\1 \\2 [nested $name] #" "$out")
	# 1 is what bats says of tests that failed, and those are counted
	if [ $rc -gt 1 ] || ! grep -q '^1\.\.' "$out"; then
		fail "nested $name (exit $rc, $log)"
		tail -n 25 "$log"
	fi
}

nested_ready() {
	stage "nested: kernels and images"
	kernels_and_images busybox nginx redis postgres python3
	tests/nested/kernel_newer.sh "$CAISSON_CACHE/nested/newer" >"$logs/kernel-newer.log" 2>&1 ||
		tail -n 1 "$logs/kernel-newer.log"
}

# Of the end-to-end tests those in which the driver has a part, and that are quick.
nested_files="run tty user volumes leaks"

nested() {
	nested_ready
	stage "nested: under KVM, in an emulated machine"
	NESTED_MEMORY=6144 nested_run kvm bats --formatter tap --filter-tags '!no-cx16' tests/nested
	NESTED_CPU=EPYC,+svm,+npt,-cx16 nested_run no-cx16 bats --formatter tap --filter-tags no-cx16 tests/nested
	stage "nested: end-to-end tests"
	# shellcheck disable=SC2046,SC2086
	NESTED_MEMORY=6144 nested_run e2e tests/nested/e2e.sh small --formatter tap $(printf 'tests/e2e/%s.bats ' $nested_files)
}

# A machine for each file: one that hangs takes no other along.
nested_all() {
	local f
	nested_ready
	for f in tests/e2e/*.bats; do
		stage "nested: $f"
		NESTED_MEMORY=6144 NESTED_TIMEOUT=5400 nested_run "$(basename "$f" .bats)" tests/nested/e2e.sh small --formatter tap "$f"
	done
}

mkdir -p "$logs"
must packages tools/setup.sh build run image demo test
export CCACHE_DIR=${CCACHE_DIR:-$CAISSON_CACHE/ccache}
wants unit && unit_tests
wants tsan && thread_tests
if wants gates; then
	stage gates
	tap < <(tests/gates/run.sh)
fi
wants clang && clang_build
wants fuzz && fuzz_smoke
if wants interop; then
	stage interop
	must build make --no-print-directory build
	for t in tests/interop/*.sh; do [ -e "$t" ] && run "interop $(basename "$t" .sh)" "$t"; done
fi
wants e2e && end_to_end
wants nested && nested
wants nested-all && nested_all

echo
if [ ${#failures[@]} -gt 0 ]; then
	echo "failed:"
	printf '  %s\n' "${failures[@]}"
fi
echo "took $((SECONDS - started)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
