#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pull_faults.bats - pulls on full disks, killed, on damaged stores, over TLS and proxies, and two at once

setup_file() {
	load lib
	load faults
	load lies
	# the first store of each test is empty, and nobody's passwords are used
	export HOME=$BATS_FILE_TMPDIR/home
	unset DOCKER_CONFIG XDG_CONFIG_HOME http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY
	unset all_proxy ALL_PROXY
	mkdir "$HOME"
	# what python3 is may be a script that searches for it
	PYTHON=$(python3 -c 'import sys; print(sys.executable)')
	export PYTHON
	load tls
	export CA=$BATS_FILE_TMPDIR/lies/tls
	authority_make "$CA" registry-ca
	certificate_make "$CA" "$CA/crt" "$CA/key" subjectAltName=IP:127.0.0.1,DNS:registry.test
	certificate_make "$CA" "$CA/client.cert" "$CA/client.key"
	authority_make "$BATS_FILE_TMPDIR/wrong" wrong-ca
	certificate_make "$BATS_FILE_TMPDIR/wrong" "$BATS_FILE_TMPDIR/wrong/client.cert" "$BATS_FILE_TMPDIR/wrong/client.key"
	lies_start "$BATS_FILE_TMPDIR/lies"
}
teardown_file() { kill "$LIES_PID"; }

setup() {
	load lib
	load expect
	load faults
	load lies
	cd "$BATS_TEST_TMPDIR" || exit
	export CAISSON_ROOT=$PWD/root CAISSON_RUN=$PWD/run
}

# ---- full disks ----

# full_disks FULL-AT-LEAST ENOUGH-AT-LEAST MOUNT-OPTIONS...: nothing is wrong on any, and so many were too small, so
# many not
full_disks() {
	local said full=$1 enough=$2
	shift 2
	said=$(unshare --mount bash "$BATS_TEST_DIRNAME/full_disk.bash" "$LIES/good/full" "$PWD/want" "$@")
	[[ $said =~ ^full:\ ([0-9]+)\ enough:\ ([0-9]+)$ ]] && [ $((BASH_REMATCH[1] + BASH_REMATCH[2])) = $# ] &&
		[ "${BASH_REMATCH[1]}" -ge "$full" ] && [ "${BASH_REMATCH[2]}" -ge "$enough" ] || complain "$said"
}

@test "a full disk, from no room at all to the last page and inode: says so, leaves no half, goes on with more" {
	unshare --mount true || skip "mounts of its own take root"
	reference_make "$LIES/good/full" "$PWD/want"
	# the last ones are where the metadata and the records are written
	full_disks 15 1 size={4,16,104,300,900,1900,2900,4000,4700,5400}k below={100,60,44,32,24,16,8,4,0,-4} 3>&- &
	# every one is another file that cannot be made
	full_disks 18 1 size=64m,nr_inodes={2,6,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,60} 3>&- &
	wait
	all_right
}

@test "a full disk: prune, rm and rmi can still make room" {
	unshare --mount true || skip "mounts of its own take root"
	said=$(unshare --mount bash "$BATS_TEST_DIRNAME/full_disk_free.bash" "$LIES/good/here" "$LIES/good/other")
	echo "$said"
	[ "$said" = 'tried: 4' ]
}

# ---- kill -9 ----

# strike NAME TARGET DELAY-MS [KIND PERCENT]: a pull of hold/NAME, one process of it killed; then what must be so. With
# KIND, the registry holds its answer back at PERCENT; DELAY-MS counts from there.
strike() {
	local image=$LIES/hold/$1/x hold=- how code at said
	export CAISSON_ROOT=$BATS_TEST_TMPDIR/$1/root CAISSON_RUN=$BATS_TEST_TMPDIR/$1/run
	point="$*"
	rm -rf "$CAISSON_ROOT" "$LIES_DIR/held.$1"
	if [ -n "${4:-}" ]; then
		hold=$LIES_DIR/hold.$1
		echo "$4 $5" >"$hold"
	fi
	said=$("$PYTHON" "$BATS_TEST_DIRNAME/pull_kill.py" "$2" "$3" "$hold" caisson pull -q "$image" 2>&1) ||
		complain "$point: $said"
	read -r how code at <<<"$said"
	[ "$how" = missed ] || echo "$point" >>"$BATS_TEST_TMPDIR/killed.$1"
	case $2/$how/$code in
	*/missed/0 | cli/killed/-9) ;;
	*/killed/0) ;; # it had done its work, or was replaced
	fetch/killed/1) [[ $said == *'download process'* ]] || complain "$point: $said" ;;
	unpack*/killed/1) [[ $said == *'process ended'* ]] || complain "$point: $said" ;;
	*) complain "$point: $said" ;;
	esac
	# half an image is none
	said=$(caisson images -q 2>&1) || complain "$point, images: $said"
	[ -z "$said" ] || [ "$2" = cli ] || [ "$code" = 0 ] || complain "$point: is listed: $said"
	[ -z "$said" ] || store_is_whole "$BATS_TEST_TMPDIR/want.$1" || complain "$point: listed, and not whole"
	arrived "$1" >"$BATS_TEST_TMPDIR/arrived.$1"
	said=$(timeout -k 5 30 caisson pull -q "$image" 2>&1) || complain "$point, next pull: $said"
	store_is_whole "$BATS_TEST_TMPDIR/want.$1" || complain "$point: not whole in the end"
	not_again "$1" "$at"
}

# arrived NAME: "whole" or "part", and the digest, of what a pull has left
arrived() {
	local f
	for f in "$CAISSON_ROOT"/{blobs/sha256,partial}/*; do
		[ -s "$f" ] || continue
		case $(sha256sum "$f") in
		"${f##*/} "*) echo "whole ${f##*/}" ;;
		*) echo "part ${f##*/}" ;;
		esac
	done
}

# not_again NAME SINCE: what was whole has not been asked for since, what was there in part only for its rest
not_again() {
	local what hex gets
	gets=$(tail -n 200 "$LIES_DIR/log" | jq -r "select(.began > $2 and .method == \"GET\" and (.path | contains(\"/hold/$1/\"))) |
		\"\(.status) \(.path)\"")
	while read -r what hex; do
		case $what in
		whole) fails grep -q "$hex" <<<"$gets" || complain "$point: $hex came again" ;;
		part) [ "$(grep "$hex" <<<"$gets" | cut -d ' ' -f 1 | sort -u)" = 206 ] || complain "$point: $hex not by Range" ;;
		esac
	done <"$BATS_TEST_TMPDIR/arrived.$1"
}

# struck NAME AT-LEAST: so often a process was there to be killed
struck() {
	[ "$(wc -l <"$BATS_TEST_TMPDIR/killed.$1")" -ge "$2" ] || complain "$1: killed only $(wc -l <"$BATS_TEST_TMPDIR/killed.$1") times"
}

kill_clis() {
	local i
	reference_make "$LIES/hold/cli/x" "$BATS_TEST_TMPDIR/want.cli"
	for i in manifest\ 50 config\ 0 base\ {0,1,50,99} layer\ {0,50,99}; do strike cli cli 30 $i; done
	for i in $(seq 2 8 120); do strike cli cli "$i"; done
	struck cli 15
}

kill_fetches() {
	local i
	reference_make "$LIES/hold/fetch/x" "$BATS_TEST_TMPDIR/want.fetch"
	for i in manifest\ 0 config\ 50 base\ {0,1,50,99} layer\ {0,50,99}; do strike fetch fetch 30 $i; done
	for i in $(seq 0 8 80); do strike fetch fetch "$i"; done
	struck fetch 15
}

kill_unpacks() {
	local i
	reference_make "$LIES/hold/unpack/x" "$BATS_TEST_TMPDIR/want.unpack"
	for i in base\ {0,1,50,99} layer\ {0,50,99}; do strike unpack unpack:1 30 $i; done
	for i in unpack:{1,2}\ {0,5,10,20,40} unpack:3\ {0,2,4,8}; do strike unpack $i; done
	struck unpack 15
}

@test "kill -9 of the command, of its download and its unpack workers, at many points each" {
	kill_clis 3>&- &
	kill_fetches 3>&- &
	kill_unpacks 3>&- &
	wait
	all_right
}

# ---- damage ----

# hurt FILE HOW: a byte is another ("flip PERCENT"), or the length is ("cut PERCENT", "grow")
hurt() {
	local size at
	size=$(stat -c %s "$1")
	at=$((size * ${3:-0} / 100))
	case $2 in
	flip) "$PYTHON" -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2])); b = f.read(1)[0]
f.seek(-1, 1); f.write(bytes([b ^ 255]))' "$1" "$at" ;;
	cut) truncate -s "$at" "$1" ;;
	grow) echo >>"$1" ;;
	esac
}

# mended COMMAND...: brings the image, whatever of it was hurt in the store
mended() {
	local m blobs=$CAISSON_ROOT/blobs/sha256 blob damage what config layers
	"$@" >/dev/null
	sums_of "$CAISSON_ROOT" >"$BATS_TEST_TMPDIR/want"
	m=$(jq -r '.manifests[0].digest' "$CAISSON_ROOT/index.json")
	config=$(jq -r .config.digest "$blobs/${m#*:}")
	readarray -t layers < <(jq -r '.layers[].digest' "$blobs/${m#*:}")
	for what in converted forgotten; do
		for blob in "$m" "$config" "${layers[@]}"; do
			for damage in flip\ {5,50,99} cut\ {0,50} grow; do
				# documents are read in both cases; a layer that is not read is not noticed
				case $what/$damage/" ${layers[*]} " in
				converted/flip*/*"$blob"*) continue ;;
				converted/* | */*/*"$blob"*) ;;
				*) continue ;;
				esac
				hurt "$blobs/${blob#*:}" $damage
				[ $what = converted ] || rm "$CAISSON_ROOT"/layers/*
				said=$(timeout -k 5 30 "$@" 2>&1) || complain "$what, $damage $blob: $said"
				store_is_whole "$BATS_TEST_TMPDIR/want" || complain "$what, $damage $blob: not whole"
				[ ! -e "$BATS_TEST_TMPDIR/complaints" ] || return 0
			done
		done
	done
}

@test "blobs that are damaged in the store are noticed and fetched again by the next pull" {
	mended caisson pull "$LIES/good/mend"
	all_right
}

@test "blobs that are damaged in the store are noticed and copied again by the next import" {
	mended caisson image import "$IMAGES_OCI:busybox" imported/busybox
	all_right
}

@test "a damaged source takes nothing from the store" {
	load layout
	layout_make src
	caisson image import src:busybox imported/busybox >/dev/null
	sums_of "$CAISSON_ROOT" >"$BATS_TEST_TMPDIR/want"
	for blob in $(cd "$CAISSON_ROOT/blobs/sha256" && echo *); do
		hurt "src/blobs/sha256/$blob" cut 50
		timeout -k 5 30 caisson image import src:busybox imported/busybox >/dev/null 2>&1 || true
		store_is_whole "$BATS_TEST_TMPDIR/want" || complain "$blob"
	done
	all_right
}

# ---- TLS ----

# certs HOST FILE...: what certs.d has for it
certs() {
	local dir=$HOME/.config/caisson/certs.d/$1
	rm -rf "$dir"
	mkdir -p "$dir"
	[ $# = 1 ] || cp "${@:2}" "$dir"
}

@test "TLS: a private authority and a client's certificate, both needed, neither of another's making" {
	tls=$(cat "$LIES_DIR/address-tls")
	wrong=$BATS_FILE_TMPDIR/wrong
	certs "$tls" "$CA"/{ca.crt,client.cert,client.key}
	caisson pull "$tls/good/tls"
	skopeo inspect --raw --cert-dir "$HOME/.config/caisson/certs.d/$tls" "docker://$tls/good/tls" |
		cmp - "$CAISSON_ROOT/blobs/sha256/$(jq -r '.manifests[0].digest' "$CAISSON_ROOT/index.json" | cut -d : -f 2)"
	# the server's side
	certs "$tls" "$wrong"/ca.crt "$CA"/client.{cert,key}
	fails_with 1 'not trusted' caisson pull "$tls/good/tls"
	certs "$tls" "$CA"/client.{cert,key}
	fails_with 1 'not trusted' caisson pull "$tls/good/tls"
	certs "localhost:${tls#*:}" "$CA"/{ca.crt,client.cert,client.key}
	fails_with 1 'not trusted|name' caisson pull "localhost:${tls#*:}/good/tls"
	# the client's
	certs "$tls" "$CA/ca.crt"
	fails_with 1 'client certificate' caisson pull "$tls/good/tls"
	certs "$tls" "$CA/ca.crt" "$wrong"/client.{cert,key}
	fails_with 1 'client certificate' caisson pull "$tls/good/tls"
	# halves and rubbish
	certs "$tls" "$CA"/{ca.crt,client.cert}
	fails_with 1 'client.key' caisson pull "$tls/good/tls"
	certs "$tls" "$CA"/{ca.crt,client.cert} "$wrong/client.key"
	fails_with 1 'client certificate cannot be used' caisson pull "$tls/good/tls"
	certs "$tls" "$CA"/ca.crt
	cp "$CA/client.cert" "$HOME/.config/caisson/certs.d/$tls/client.cert"
	echo rubbish >"$HOME/.config/caisson/certs.d/$tls/client.key"
	fails_with 1 'client.key.*PEM' caisson pull "$tls/good/tls"
}

@test "TLS: no redirect leads to plain HTTP; one to another host takes no secret along" {
	tls=$(cat "$LIES_DIR/address-tls") other=$(cat "$LIES_DIR/address-tls-other")
	certs "$tls" "$CA"/{ca.crt,client.cert,client.key}
	echo "http://$LIES" >"$LIES_DIR/redirect"
	for i in redirect-given manifest-redirect-given token-redirect-given; do
		fails_with 1 'https to plain http' caisson pull "$tls/$i/x"
	done
	[ -z "$(asked '.server == "main" and (.path | contains("redirect-given"))')" ]
	# not even where everything else is allowed
	printf '[registry %s]\ntls = skip-verify\n' "$tls" >registries.conf
	CAISSON_REGISTRIES_CONF=$PWD/registries.conf fails_with 1 'https to plain http' caisson pull "$tls/redirect-given/x"
	# the other host would take a client's certificate, but it is not for it
	echo "https://$other" >"$LIES_DIR/redirect"
	caisson pull "$tls/token-redirect-given/x"
	[ -n "$(asked '.server == "tls" and .auth == "Bearer secret-token" and .has_cert')" ]
	[ -n "$(asked '.server == "tls-other" and .status == 200')" ]
	[ -z "$(asked '.server == "tls-other" and (.auth != null or .has_cert)')" ]
}

# ---- proxies ----

proxies_start() {
	python3 "$BATS_TEST_DIRNAME/forward_proxy.py" "$BATS_TEST_TMPDIR" "$LIES" "$(cat "$LIES_DIR/address-tls")" 3>&- &
	PROXIES_PID=$!
	eventually 10 test -e proxy.hang-up
	certs registry.test "$CA"/{ca.crt,client.cert,client.key}
	# the plain one has another name here, and is at registry.test as well
	printf '[registry plain.test]\nlocation = http://registry.test\n' >registries.conf
	export CAISSON_REGISTRIES_CONF=$PWD/registries.conf
}
teardown() { [ -z "${PROXIES_PID:-}" ] || kill "$PROXIES_PID"; }

proxy() { echo "http://${2:-}$(cat "proxy.$1")"; }
# through FILTER: what the proxies were asked, since the last time
through() {
	touch proxy.log
	jq -c "select($1)" proxy.log
	: >proxy.log
}

# direct IMAGE VAR=VALUE: no proxy is asked for it, and nobody else knows the host
direct() {
	fails_with 1 'resolve host: registry.test' env "$2" https_proxy="$(proxy open)" http_proxy="$(proxy open)" caisson pull -q "$1" ||
		complain "$2"
}

@test "proxies are taken from the environment, by any of their names, with a password, and not where no_proxy says so" {
	proxies_start
	for v in https_proxy HTTPS_PROXY all_proxy ALL_PROXY; do
		env $v="$(proxy open)" caisson pull -q "registry.test/good/${v,,}" >/dev/null || complain "$v"
		[ -n "$(through '.method == "CONNECT" and .path == "registry.test:443"')" ] || complain "$v is not used"
	done
	for v in http_proxy HTTP_PROXY all_proxy ALL_PROXY; do
		env $v="$(proxy open)" caisson pull -q plain.test/token-good/x >/dev/null || complain "$v"
		[ -n "$(through '.method == "GET" and (.path | startswith("http://registry.test/v2/"))')" ] || complain "$v is not used"
	done
	https_proxy=$(proxy password ship:anchor@) caisson pull -q registry.test/good/password >/dev/null || complain "password"
	http_proxy=$(proxy password ship:anchor@) caisson pull -q plain.test/good/password >/dev/null || complain "plain password"
	through true >/dev/null
	# the proxy of a tunnel sees nothing of what is in it
	https_proxy=$(proxy open) caisson pull -q registry.test/token-good/y >/dev/null || complain "token"
	[ -z "$(through '.auth != null')" ] || complain "the proxy was told a token"
	for v in no_proxy NO_PROXY; do
		for list in registry.test .test 'x,registry.test' '*'; do
			for name in registry plain; do direct "$name.test/good/x" "$v=$list" 3>&- & done
		done
	done
	wait $(jobs -p | grep -vx "$PROXIES_PID")
	[ -z "$(through true)" ] || complain "no_proxy is not obeyed"
	# what is on this machine never is behind a proxy
	http_proxy=$(proxy refuse) caisson pull -q "$LIES/good/loopback" >/dev/null || complain "loopback"
	http_proxy=$(proxy refuse) NO_PROXY=a.test,b.test caisson pull -q "localhost:${LIES#*:}/good/loopback" >/dev/null || complain "localhost"
	[ -z "$(through true)" ] || complain "loopback through a proxy"
	all_right
}

@test "proxies that refuse, hang up, want a password, or are not there: an error that tells of the proxy, soon" {
	proxies_start
	export https_proxy http_proxy no_proxy=
	https_proxy=$(proxy refuse)
	fails_with 1 'proxy refuses.*403' caisson pull -q registry.test/good/x
	[ "$(through '.method == "CONNECT"' | wc -l)" = 1 ] # a refusal is final
	https_proxy=$(proxy password)
	fails_with 1 'proxy wants a user and a password' caisson pull -q registry.test/good/x
	https_proxy=$(proxy password "ship:wrong@")
	fails_with 1 'proxy wants a user and a password' caisson pull -q registry.test/good/x
	https_proxy=http://127.0.0.1:$(free_port)
	fails_with 1 'proxy does not answer' caisson pull -q registry.test/good/x
	https_proxy=http://nowhere.invalid:1 fails_with 1 'resolve proxy: nowhere.invalid' caisson pull -q registry.test/good/x 3>&- &
	nowhere=$!
	https_proxy=$(proxy hang-up) fails_with 1 'proxy' caisson pull -q registry.test/good/x 3>&- &
	hang_up=$!
	http_proxy=$(proxy password)
	fails_with 1 "407 Proxy Authentication Required, from the proxy ${http_proxy##*/}" caisson pull -q plain.test/good/x
	http_proxy=$(proxy refuse)
	fails_with 1 "403 Forbidden, from the proxy ${http_proxy##*/}" caisson pull -q plain.test/good/x
	# what a registry says itself is not blamed on the proxy
	http_proxy=$(proxy open)
	said=$(caisson pull -q plain.test/manifest-gone/x 2>&1) || code=$?
	[[ ${code:-0} = 1 && $said == *404* && $said != *'from the proxy'* ]]
	wait $nowhere
	wait $hang_up
	[ -z "$(caisson images -q)" ]
}

# ---- two at once ----

# both_pull KIND PERCENT: two pulls of hold/two, the first of them held back there. Sets $one, $two.
both_pull() {
	rm -rf "$CAISSON_ROOT" "$LIES_DIR/held.two"
	echo "$1 $2" >"$LIES_DIR/hold.two"
	began=$(date +%s.%N)
	caisson pull -q "$LIES/hold/two/x" >one 2>&1 3>&- &
	one=$!
	eventually 10 test -e "$LIES_DIR/held.two"
	# it would be held back as well if it asked for the same, but it waits
	timeout -k 5 40 caisson pull -q "$LIES/hold/two/x" >two 2>&1 3>&- &
	two=$!
	eventually 10 sh -c "pgrep -P \$(pgrep -P $two -x caisson) -x caisson-fetch"
	sleep 0.2
}
# ended PID CODE: with that code
ended() {
	local code=0
	wait "$1" || code=$?
	[ "$code" = "$2" ] || complain "$point: exit $code, not $2: $(cat one two)"
}
# once: the image is there, and no byte of a layer came twice (but for what was on its way)
once() {
	store_is_whole "$PWD/want" || complain "$point: not whole"
	local size sent
	size=$(jq '[.layers[].size] | add' "$CAISSON_ROOT"/blobs/sha256/"$(jq -r '.manifests[0].digest' "$CAISSON_ROOT/index.json" | cut -d : -f 2)")
	eventually 5 sh -c "[ ! -e $LIES_DIR/hold.two ]"
	sent=$(asked ".began > $began and (.kind == \"layer\" or .kind == \"base\") and (.path | contains(\"/hold/two/\"))" |
		jq -s 'map(.sent) | add')
	[ "$sent" -le $((size + ${1:-0})) ] || complain "$point: $sent bytes were sent of $size"
}

@test "two pulls of one image at once, and one of them is killed: the other has it all" {
	reference_make "$LIES/hold/two/x" "$PWD/want"
	for point in base\ 50 layer\ {0,99}; do
		# the one that loads: the other goes on where it was
		both_pull $point
		kill -9 "$one"
		ended "$one" 137
		rm "$LIES_DIR/hold.two"
		ended "$two" 0
		once 262144
		# the one that waits
		both_pull $point
		kill -9 "$(pgrep -P "$two" -x caisson)"
		ended "$two" 137
		rm "$LIES_DIR/hold.two"
		ended "$one" 0
		once
		# a worker of the one that loads
		both_pull $point
		kill -9 "$(pgrep -P "$one" -x caisson-fetch)"
		rm "$LIES_DIR/hold.two"
		ended "$one" 1
		ended "$two" 0
		once 262144
	done
	all_right
}
