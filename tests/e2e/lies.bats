#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# lies.bats - pulls from a registry that lies: a clear error in bounded time, and nothing half-made

setup_file() {
	load lib
	load expect
	load lies
	# a store of its own, so that nothing is there already; machines run from the suite's
	export E2E_ROOT=$CAISSON_ROOT E2E_RUN=$CAISSON_RUN
	export CAISSON_ROOT=$BATS_FILE_TMPDIR/root CAISSON_RUN=$BATS_FILE_TMPDIR/run
	lies_start "$BATS_FILE_TMPDIR/lies"
	local last
	last=$(CAISSON_ROOT=$E2E_ROOT caisson kernel ls -q | tail -n 1)
	[ "${CAISSON_TEST_KERNEL:-$last}" != "$last" ] || slow_ones >/dev/null 2>&1 3>&- &
}
teardown_file() { kill "$LIES_PID"; }

# Started first, because they take as long as the client's patience (30 s, five times): then the rest goes on.
SLOW_S=260
slow_ones() {
	local i names=(drip silent silent-body truncated error-forever error-endless hang-up garbage headers-endless)
	local BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR/slow
	load expect
	mkdir "$BATS_TEST_TMPDIR"
	for i in "${names[@]}" "${names[@]/#/manifest-}" token-silent; do
		refused "$i" 'time|slow|stall|seconds|speed|closed|broke|transfer|503|404|unavailable|answer|HTTP|header|empty|too|many|unauthorized|length|size' $SLOW_S &
	done
	refused gzip-bomb 'times|ratio|limit|GiB' $SLOW_S &	# a minute of work: 64 GiB come out of it
	wait
	touch "$BATS_TEST_TMPDIR/ended"
}

setup() {
	load lib
	load expect
	load lies
}

@test "the honest ones: OCI, Docker, zstd, attestations first, an index in an index" {
	for i in good good-docker good-attestation-first good-nested; do good $i; done
	! command -v zstd >/dev/null || good good-zstd
	all_right
	# and what was pulled is what runs
	export CAISSON_ROOT=$E2E_ROOT CAISSON_RUN=$E2E_RUN
	[ "$(caisson run --rm --network none "$LIES/good/run" cat /etc/salt)" = good/run ]
	[ "$(caisson run --rm --network none "$LIES/good-nested/run" cat /etc/salt)" = good-nested/run ]
	caisson rmi "$LIES/good/run" "$LIES/good-nested/run"
}

@test "bytes that are not what their digest says" {
	for i in wrong config-wrong index-manifest-digest; do refused $i 'digest|match'; done
	digest=$(curl -sI "http://$LIES/v2/manifest-wrong/manifests/latest" | sed -n 's/^Docker-Content-Digest: \(.*\)\r/\1/p')
	said=$(timeout -k 5 20 caisson pull "$LIES/manifest-wrong@$digest" 2>&1) && code=0 || code=$?
	[ $code = 1 ] && [[ $said == *digest* || $said == *match* ]] || wrong manifest-wrong@ 'should speak of the digest'
	refused diff-id 'digest|diff.?id|match'
	all_right
}

@test "lengths that are not true" {
	for i in size-short size-long config-size index-manifest-size; do refused $i 'size|bytes|length|long|digest'; done
	for i in oversized endless length-short; do refused $i 'size|bytes|length|long|large|big|digest|broke|closed|transfer'; done
	either length-long 'size|bytes|length|broke|closed|transfer'
	for i in size-negative size-fraction size-text size-huge; do refused $i 'size'; done
	all_right
}

@test "documents that are none" {
	for i in manifest-html manifest-html-typed config-html; do refused $i 'html|json|type|document'; done
	refused manifest-100mb '4 ?MiB|4194304|limit|large|big|more than'
	refused manifest-endless '4 ?MiB|4194304|limit|large|big|more than'
	refused manifest-deep 'json|deep|nest'
	refused manifest-twice 'duplicate|twice|json'
	refused manifest-case 'case|twice|duplicate|Layers'
	for i in manifest-type-outside manifest-type-inside both-kinds; do refused $i 'type|both|agree|manifests|layers|index'; done
	refused manifest-schema1 'schema'
	refused digest-md5 'digest|md5'
	refused digest-path 'digest'
	refused digest-number 'digest'
	refused diff-ids-few 'diff.?id|layers'
	all_right
}

@test "images that are none for us" {
	refused layer-foreign 'foreign|nondistributable|urls'
	refused layer-encrypted 'encrypt'
	refused layer-type 'type'
	refused artifact 'artifact|no image|not an image|type'
	refused index-no-platform 's390x'
	refused index-too-deep 'deep|nest|index'
	all_right
}

@test "broken compression" {
	for i in gzip-header gzip-middle gzip-crc gzip-isize gzip-truncated gzip-garbage; do
		refused $i 'gzip|checksum|crc|header|truncated|end|garbage|behind|after|compress|deflate|block|length|distance|code|symbol'
	done
	! command -v zstd >/dev/null || refused zstd-truncated 'zstd|truncated|end'
	all_right
}

@test "a bomb ends at a limit, and leaves the disk as it was" {
	before=$(du -sk "$CAISSON_ROOT" | cut -f 1)
	! command -v zstd >/dev/null || refused zstd-bomb 'times|ratio|limit|GiB' 100
	after=$(du -sk "$CAISSON_ROOT" | cut -f 1)
	[ $((after - before)) -lt $((1 << 20)) ] || complain "$((after - before)) KiB of the disk are gone"
	all_right
}

@test "redirects: in a loop, to files, to nowhere" {
	for p in '' manifest-; do
		refused ${p}redirect-loop redirect
		refused ${p}redirect-file 'redirect|protocol|file|scheme'
		[[ $said != *root:x:* ]] || wrong redirect-file "shows a file"
		refused ${p}redirect-gopher 'redirect|protocol|gopher|scheme'
		refused ${p}redirect-nowhere 'redirect|307|location'
	done
	all_right
}

@test "another origin is followed to, but told no secrets" {
	good redirect-other
	good manifest-redirect-other
	good token-redirect-other
	all_right
	[ -n "$(asked '.server == "other" and (.path | contains("token-redirect-other"))')" ]
	[ -z "$(asked '.server == "other" and .auth != null')" ]
	[ -n "$(asked '.server == "main" and .auth == "Bearer secret-token"')" ]
}

@test "tokens: got and used; realms that are none" {
	good token-good
	refused token-html 'token|json|unauthorized|denied'
	refused token-endless 'token|large|more than|limit|big|unauthorized'
	refused token-refused 'unauthorized|denied|who are you'
	for i in bad ftp file none; do refused realm-$i 'unauthorized|denied|realm|who are you|guess|authent'; done
	all_right
}

@test "a registry that is down for a moment, or for good" {
	for i in error-twice manifest-error-twice busy-once manifest-busy-once; do good $i; done
	refused gone 'no such blob|404|not found|unknown' 40
	refused manifest-gone 'not found|404|unknown|no such' 40
	said=$(timeout -k 5 60 caisson pull "127.0.0.1:$(free_port)/nobody" 2>&1) && code=0 || code=$?
	[ $code = 1 ] && grep -qiE 'connect|refused' <<<"$said" || wrong nobody "should speak of the connection"
	all_right
}

@test "what a server says reaches the terminal without its control bytes" {
	for i in error-escapes manifest-error-escapes; do
		refused $i 'owned|404|denied'
		! LC_ALL=C grep -q $'\x1b\\|\x07\\|\xc2\x9b' <<<"$said" || wrong $i "has control bytes"
	done
	all_right
}

@test "a broken connection is taken up where it broke" {
	good reset-once
	all_right
	[ -n "$(asked '.kind == "layer" and .status == 206 and (.path | contains("/reset-once/"))')" ]
	good range-ignored
	good range-wrong
	either range-lies 'digest|match'
	either range-total 'range|size|digest|length|more than'
	either encoding-label 'encoding|digest|match'
	either encoding-unasked 'encoding|digest|match|json'
	all_right
}

@test "slow, silent, endless and broken servers and a bomb, all at once, end in bounded time" {
	# no machine takes part: when the suite runs for several kernels, once is enough
	last=$(CAISSON_ROOT=$E2E_ROOT caisson kernel ls -q | tail -n 1)
	[ "${CAISSON_TEST_KERNEL:-$last}" = "$last" ] || return 0
	eventually $((SLOW_S + 60)) test -e "$BATS_FILE_TMPDIR/slow/ended"
	[ "$(du -sk "$CAISSON_ROOT" | cut -f 1)" -lt $((1 << 20)) ]
	[ ! -e "$BATS_FILE_TMPDIR/slow/complaints" ] || { cat "$BATS_FILE_TMPDIR/slow/complaints"; return 1; }
}

@test "killed in the middle: what is whole is not asked for again, the rest by Range" {
	rm -f "$LIES_DIR"/{go,half}
	export CAISSON_ROOT=$BATS_TEST_TMPDIR/root
	caisson pull "$LIES/gate/killed" >/dev/null 2>&1 3>&- &
	pull=$!
	eventually 20 test -e "$LIES_DIR/half"
	base=$(curl -s "http://$LIES/v2/gate/killed/manifests/latest" | jq -r '.layers[0] | "\(.digest) \(.size)"')
	hex=${base#sha256:} hex=${hex% *}
	eventually 10 sh -c "find $CAISSON_ROOT -name $hex -size -$((${base#* } + 1))c -size +$((${base#* } - 1))c | grep -q ."
	kill -9 $pull
	wait $pull || true
	touch "$LIES_DIR/go"
	its='(.path | contains("/gate/killed/"))'
	eventually 10 sh -c "grep gate/killed $LIES_DIR/log | grep -q '\"kind\": \"layer\"'"
	before=$(asked "$its" | wc -l)
	timeout -k 5 40 caisson pull "$LIES/gate/killed"
	again=$(asked "$its and .method == \"GET\"" | tail -n +$((before + 1)))
	[ -z "$(jq 'select(.kind == "base")' <<<"$again")" ]
	[ "$(jq -r 'select(.kind == "layer") | .status' <<<"$again")" = 206 ]
}

@test "a worker killed in the middle: an error, and the next pull succeeds" {
	rm -f "$LIES_DIR"/{go,half}
	caisson pull "$LIES/gate/worker" >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- &
	pull=$!
	eventually 20 test -e "$LIES_DIR/half"
	kill -9 $(pgrep -P $pull)
	wait $pull && code=0 || code=$?
	touch "$LIES_DIR/go"
	[ $code = 1 ]
	[ -s "$BATS_TEST_TMPDIR/said" ]
	fails is_named gate/worker
	good gate/worker
	all_right
}

@test "two pulls of one image at once: both succeed, and each byte comes once" {
	rm -f "$LIES_DIR"/{go,half}
	timeout -k 5 60 caisson pull "$LIES/gate/two" >/dev/null 3>&- &
	one=$!
	eventually 20 test -e "$LIES_DIR/half"
	timeout -k 5 60 caisson pull "$LIES/gate/two" >/dev/null 3>&- &
	two=$!
	eventually 20 sh -c "[ \$(grep -c 'gate/two/manifests' $LIES_DIR/log) -ge 2 ]"
	touch "$LIES_DIR/go"
	wait $one
	wait $two
	is_named gate/two
	size=$(curl -s "http://$LIES/v2/gate/two/manifests/latest" | jq '.layers[1].size')
	sent=$(asked '.kind == "layer" and (.path | contains("/gate/two/"))' | jq -s 'map(.sent) | add')
	[ "$sent" -le $((size + 65536)) ]
}

@test "after all that the store is whole, and honest images come as before" {
	good good/after
	all_right
	timeout -k 5 60 caisson image prune -f >/dev/null
	[ "$(caisson image inspect -f '{{len .RootFS.Layers}}' "$LIES/good/after")" = 2 ]
	# by name, and each byte of it, for others
	raw=$(skopeo inspect --raw "oci:$CAISSON_ROOT:$LIES/good/after:latest" | sha256sum)
	[ "sha256:${raw%% *}" = "$(caisson image inspect -f '{{.Descriptor.manifest}}' "$LIES/good/after")" ]
	skopeo copy -q "oci:$CAISSON_ROOT:$LIES/good/after:latest" "dir:$BATS_TEST_TMPDIR/copy"
	[ "$(jq '.layers | length' "$BATS_TEST_TMPDIR/copy/manifest.json")" = 2 ]
}
