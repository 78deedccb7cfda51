#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# cli.bats - the command line itself: help, flags, usage errors, completion, doctor, version, kernels, templates

setup() {
	load lib
	load expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() { remove_all; }

commands='run create start stop kill update rm ps logs attach exec wait inspect pull push images rmi tag login logout doctor version'
groups='container disk image kernel template'

@test "help: overview, groups, every command, by all three ways" {
	caisson --help >overview
	for c in $commands $groups; do
		grep -qE "^  $c " overview || complain "the overview lacks $c"
		caisson "$c" --help >help || complain "$c --help ends with an error"
		grep -q "^Usage:  caisson $c" help || complain "$c --help has no usage"
		caisson help "$c" | diff - help >/dev/null || complain "help $c is something else"
	done
	for c in 'kernel install' 'kernel build' 'kernel ls' 'kernel use' 'template ls' 'template prune' 'image import' \
		'image prune' 'image ls' 'image rm' 'image inspect' 'container ls' 'container run' 'container inspect'; do
		caisson $c --help | grep -q '^Usage:  caisson ' || complain "$c --help"
	done
	caisson | diff - overview || complain "no command is not the overview"
	caisson run -h "$BUSYBOX" >/dev/null 2>&1 && complain "run -h is --hostname"
	all_right
}

@test "every flag of the issue is there and shown" {
	caisson run --help >help
	for f in interactive tty detach rm name env env-file workdir user entrypoint hostname label cidfile read-only tmpfs volume \
		publish publish-all network dns add-host memory memory-max cpus pull platform storage-opt stop-signal stop-timeout mount no-template; do
		grep -qE -- "--$f( |$)" help || complain "--$f"
	done
	for f in -i -t -d -e -w -u -l -v -p -P -m; do grep -qE -- "^ *$f, " help || complain "$f"; done
	all_right
}

@test "usage errors: 125 for flags, 1 for arguments, and where to look" {
	for c in $commands; do
		fails_with 125 'unknown flag: --no-such-flag' caisson "$c" --no-such-flag || complain "$c --no-such-flag"
		fails_with 125 "See 'caisson $c --help'" caisson "$c" --no-such-flag || complain "$c: no pointer to help"
	done
	fails_with 125 "unknown shorthand flag: 'Z'" caisson ps -Z || complain "ps -Z"
	fails_with 125 'unknown flag: --no-such' caisson --no-such ps || complain "global flag"
	for c in run create exec start stop kill update rm logs wait inspect pull push rmi tag; do
		fails_with 1 "requires (exactly|at least) [12] argument" caisson "$c" || complain "$c without arguments"
	done
	fails_with 1 'accepts no arguments|requires at most' caisson ps what || complain "ps what"
	fails_with 1 "is not a caisson command" caisson no-such || complain "no-such"
	fails_with 1 "is not a caisson command" caisson image no-such || complain "image no-such"
	fails_with 125 'needs an argument' caisson run --name || complain "run --name"
	fails_with 125 'invalid' caisson stop -t many x || complain "stop -t many"
	fails_with 125 'invalid' caisson run --rm=perhaps "$BUSYBOX" || complain "--rm=perhaps"
	all_right
}

@test "what Docker has and caisson not yet is an error that says so" {
	for f in '--gpus all' --privileged '--cap-add ALL' '--device /dev/null' '--restart always' '--pid host' '--ipc host' \
		'--security-opt x' '--shm-size 1m' '--ulimit x' '--volumes-from x' '--health-cmd x' --init '--userns host'; do
		fails_with 125 "${f%% *}.*(not supported|not there yet|not yet)|(not supported|not there yet|not yet).*${f%% *}" \
			caisson run --rm $f "$BUSYBOX" true || complain "$f"
	done
	fails_with 125 'not' caisson pull -a x || complain "pull -a"
	fails_with 125 'not' caisson stop -s INT x || complain "stop -s"
	[ -z "$(caisson ps -aq)" ]
	all_right
}

@test "values that cannot be" {
	bad() { fails_with 125 "$1" caisson run --rm "${@:2}" "$BUSYBOX" true || complain "${*:2}"; }
	bad 'memory|-m|size' -m lots
	bad 'memory|minimum|least' -m 1k
	bad 'cpu|processors' --cpus none
	bad 'cpu|processors' --cpus 100000
	bad 'port' -p 70000
	bad 'port|ranges' -p 1-3:5-6
	bad 'IP|address' -p 300.1.1.1:80:80
	bad 'proto' -p 80:80/quic
	bad 'network' --network no-such
	bad 'dns|IP|address' --dns example.org
	bad 'host' --add-host nothing
	bad 'signal' --stop-signal NOPE
	bad 'pull' --pull sometimes
	bad 'size|storage' --storage-opt size=tiny
	bad 'storage' --storage-opt color=red
	bad 'name' --name '../x'
	bad 'name' --name c
	bad 'hostname' --hostname 'a b'
	bad 'no such file|env' --env-file /no/such/file
	bad 'env|variable' -e =x
	bad 'absolute|path|directory' -w relative
	bad 'driver' --driver no-such
	bad 'kernel' --kernel no-such
	bad 'platform' --platform '/////'
	all_right
	[ -z "$(caisson ps -aq)" ]
}

@test "flags: bundles, =, --, after the image they are the app's" {
	[ "$(echo in | caisson run --rm -ie A=1 "$BUSYBOX" sh -c 'cat; echo $A')" = $'in\n1' ]
	[ "$(caisson run --rm --env=A=2 --network=none "$BUSYBOX" sh -c 'echo $A')" = 2 ]
	[ "$(caisson run --rm --network none -- "$BUSYBOX" echo --rm -d)" = '--rm -d' ]
	[ "$(caisson run --rm=true --read-only=false --network none "$BUSYBOX" sh -c 'touch /x && echo written')" = written ]
	[ "$(caisson container run --rm --network none "$BUSYBOX" echo long)" = long ]
}

@test "version, in both spellings; its parts as JSON" {
	[[ $(caisson --version) =~ ^caisson\ version\ [0-9]+\. ]]
	[ "$(caisson -v)" = "$(caisson --version)" ]
	caisson version >text
	for i in 'QEMU|caisson-vmm' accel kernel; do grep -qiE "$i" text || complain "version does not show $i"; done
	caisson version --format json | jq -e . >/dev/null || complain "version --format json"
	all_right
}

@test "doctor: a verdict for each thing, and what to do" {
	run caisson doctor
	[ "$status" = 0 ] || [ "$status" = 1 ]
	for i in kvm kernel passt 'user namespace' 'control group' 'free'; do grep -qi "$i" <<<"$output" || complain "doctor says nothing of $i"; done
	all_right
	export CAISSON_ROOT=$BATS_TEST_TMPDIR/root CAISSON_RUN=$BATS_TEST_TMPDIR/run
	run caisson doctor
	[[ $output == *'caisson kernel install'* ]]
}

@test "no kernel: an error that says what to do" {
	export CAISSON_ROOT=$BATS_TEST_TMPDIR/root CAISSON_RUN=$BATS_TEST_TMPDIR/run
	caisson image import "$IMAGES_OCI:busybox" x
	fails_with 125 'caisson kernel install' caisson run --rm x true
	[ -z "$(caisson ps -aq)" ]
	[ -z "$(caisson kernel ls -q)" ]
	fails_with 1 'no-such' caisson kernel use no-such
}

@test "kernels: list, choice, and which one runs" {
	[ -n "$(caisson kernel ls -q)" ]
	caisson kernel ls | head -n 1 | grep -q '^NAME'
	caisson kernel ls --format json | jq -e 'has("Name") or has("name")' >/dev/null
	for k in $(caisson kernel ls -q); do
		release=$(caisson run --rm --network none --kernel "$k" "$BUSYBOX" uname -r)
		[[ $k == *"$release"* || $release == *"${k#small-}"* ]] || complain "$k runs $release"
	done
	fails_with '1|125' 'kernel' caisson create --kernel ../../etc "$BUSYBOX" true
	all_right
}

@test "templates: listed, pruned, made again; one in use stays" {
	caisson run --rm --network none "$BUSYBOX" true
	[ -n "$(caisson template ls -q)" ]
	caisson template ls | head -n 1 | grep -qi depth
	caisson run -d --name held "$BUSYBOX" sleep 1000
	caisson template prune
	[ "$(caisson exec held echo fine)" = fine ]
	[ "$(caisson run --rm --network none "$BUSYBOX" echo again)" = again ]
	caisson rm -f held
	eventually 30 sh -c 'caisson template prune >/dev/null; [ -z "$(caisson template ls -q)" ]'
	[ -z "$(ls -A "$CAISSON_ROOT/templates")" ]
}

@test "templates: what a killed maker left is removed by prune and by the next maker, not another's work" {
	local dead busy
	dead=$CAISSON_ROOT/templates/$(printf 'd%.0s' $(seq 64)).new
	busy=$CAISSON_ROOT/templates/$(printf 'b%.0s' $(seq 64)).new
	leave() {
		mkdir -p "$dead" "$busy"
		truncate -s 1M "$dead/memory"
		echo x >>"$dead/memory"
	}
	mkdir -p "$CAISSON_RUN/templates"
	exec 8>"$CAISSON_RUN/templates/$(basename "$busy" .new).lock"
	flock 8
	leave
	caisson template prune >said
	[ ! -e "$dead" ] || complain "prune leaves it"
	[ -e "$busy" ] || complain "prune takes what is being made"
	leave
	caisson run --rm --memory 96m --network none "$BUSYBOX" true
	[ ! -e "$dead" ] || complain "the next maker leaves it"
	[ -e "$busy" ] || complain "a maker takes what is being made"
	exec 8>&-
	eventually 30 sh -c 'caisson template prune >/dev/null; [ -z "$(ls -A "$CAISSON_ROOT/templates")" ]' || complain "left: $(ls "$CAISSON_ROOT/templates")"
	all_right
}

@test "templates: those of another init go when new ones are made, not while a machine is a clone of one" {
	local all=$CAISSON_ROOT/templates old_machine old_image
	made() { [ "$(ls "$all" | grep -cv '\.new$')" = "$1" ]; } # in the background
	of_depth() { jq -r "select(.depth == \"$1\") | .key" "$all"/*/template.json; }
	eventually 30 sh -c 'caisson template prune >/dev/null; [ -z "$(ls -A "$CAISSON_ROOT/templates")" ]'
	cp -rL "$(dirname "$CAISSON")/../../libexec" other
	echo >>other/caisson-init
	CAISSON_LIBEXEC=$PWD/other caisson run -d --name old --network none "$BUSYBOX" sleep 1000
	eventually 60 made 2
	old_machine=$(of_depth machine) old_image=$(of_depth image)
	caisson run --rm --network none "$BUSYBOX" true
	eventually 60 test ! -e "$all/$old_image" || complain "the image's old one stays"
	eventually 60 made 3 || complain "there are: $(ls "$all")"
	[ -e "$all/$old_machine" ] || complain "the one that a machine is a clone of is gone"
	[ "$(caisson exec old echo fine)" = fine ]
	# the new ones are what starts find; of the same making others stay
	[ "$(caisson run --rm --network none "$BUSYBOX" echo again)" = again ]
	caisson run --rm --network none --memory 96m "$BUSYBOX" true
	eventually 60 made 5 || complain "there are: $(ls "$all")"
	[ -e "$all/$old_machine" ] || complain "another start took it"
	caisson rm -f old
	caisson run --rm --network none --memory 112m "$BUSYBOX" true
	[ ! -e "$all/$old_machine" ] || complain "nobody runs on it, and it stays"
	eventually 60 made 6 || complain "in the end there are: $(ls "$all")"
	all_right
}

@test "completion and man pages come from the same table" {
	for s in bash zsh fish; do caisson --completion $s >completion.$s; done
	bash -n completion.bash
	for c in $commands kernel template; do
		for s in bash zsh fish; do grep -qw -- "$c" completion.$s || complain "$s completion lacks $c"; done
	done
	# shellcheck disable=SC1091
	(. ./completion.bash && complete -p caisson)
	fails_with '1|125' 'tcsh' caisson --completion tcsh || complain "--completion tcsh"
	mkdir man
	caisson --dump-man man
	for c in run pull kernel-install; do [ -s "man/caisson-$c.1" ] || complain "no man page of $c"; done
	for m in man/*.1; do man --warnings -l "$m" >/dev/null 2>warnings || complain "$m"; done
	all_right
}

@test "a full stdout, a closed stdout: an error, not a silent success" {
	run sh -c 'caisson images >/dev/full'
	[ "$status" = 1 ]
	run sh -c 'caisson run --rm --network none "$BUSYBOX" seq 100000 >/dev/full'
	[ "$status" != 0 ]
	caisson run --rm --network none "$BUSYBOX" seq 1000000 | head -n 1
	eventually 10 sh -c '[ -z "$(caisson ps -aq)" ]'
}

@test "ps: sizes, mounts and networks" {
	mkdir share
	caisson run -d --name pm -v "$PWD/share:/s" --tmpfs /t "$BUSYBOX" sleep 1000
	caisson create --name pn --network none "$BUSYBOX" true
	[ "$(caisson ps --no-trunc --format '{{.Mounts}} {{.Networks}}')" = "$PWD/share bridge" ]
	[ "$(caisson ps -a --filter name=pn --format '{{.Mounts}}|{{.Networks}}')" = '|none' ]
	caisson ps -s | grep -qE '^CONTAINER ID .* SIZE$'
	caisson ps -s | grep -qE ' pm +[1-9][0-9.]*[kM]B \(virtual [1-9][0-9.]*MB\)$'
	caisson ps -as | grep -qE ' pn +0B \(virtual [1-9][0-9.]*MB\)$'
	# what the app writes is in it, when it runs and when it has ended
	caisson exec pm sh -c 'dd if=/dev/urandom of=/big bs=1M count=5; sync' 2>/dev/null
	caisson ps -s | grep -qE ' pm +[56](\.[0-9]*)?MB \(virtual [78][0-9.]*MB\)$'
	caisson kill pm
	caisson wait pm
	caisson ps -as | grep -qE ' pm +[56](\.[0-9]*)?MB \(virtual [78][0-9.]*MB\)$'
}
