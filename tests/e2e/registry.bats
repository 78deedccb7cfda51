#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# registry.bats - with other tools over one registry; passwords; TLS; mounts between repositories

setup_file() {
	load lib
	load layout
	export LAYOUT=$BATS_FILE_TMPDIR/oci
	layout_make "$LAYOUT" more
}
setup() {
	load lib
	load expect
	load registry
	cd "$BATS_TEST_TMPDIR" || exit
	# stores and configuration of its own: nothing is there already, nobody's password is used
	export E2E_ROOT=$CAISSON_ROOT E2E_RUN=$CAISSON_RUN
	export CAISSON_ROOT=$PWD/root CAISSON_RUN=$PWD/run HOME=$PWD/home
	unset DOCKER_CONFIG XDG_CONFIG_HOME REGISTRY_AUTH_FILE
	mkdir "$HOME"
	SERVED_PID=
}
teardown() { [ -z "$SERVED_PID" ] || kill "$SERVED_PID"; }

skopeo_push() { skopeo copy -q --dest-tls-verify=false "${@:2}" "oci:$LAYOUT:more" "docker://$REGISTRY/$1"; }
podman_here() { podman --root "$PWD/podman" --runroot "$PWD/podman-run" --storage-driver vfs "$@"; }
# runs NAME: the image of the registry runs, and has the layout's files
runs() {
	CAISSON_ROOT=$E2E_ROOT CAISSON_RUN=$E2E_RUN caisson run --rm --network none "$REGISTRY/$1" cat /mark | grep -qx more
	CAISSON_ROOT=$E2E_ROOT CAISSON_RUN=$E2E_RUN caisson rmi "$REGISTRY/$1" >/dev/null
}

@test "skopeo and podman pull what caisson pushed" {
	name=$REGISTRY/peers/ours
	caisson image import "$LAYOUT:more" "$name"
	digest=$(caisson push "$name" | sed -n 's/.*digest: \(sha256:[0-9a-f]*\) .*/\1/p')
	[ "$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$name")" = "$digest" ]
	[ "$(caisson image inspect -f '{{index .RepoDigests 0}}' "$name")" = "$name@$digest" ]
	skopeo copy -q --src-tls-verify=false "docker://$name" "oci:$PWD/back:x"
	diff <(skopeo inspect "oci:$LAYOUT:more" | jq .Layers) <(skopeo inspect "oci:$PWD/back:x" | jq .Layers)
	podman_here pull -q --tls-verify=false "$name"
	[ "$(podman_here image inspect --format '{{.Digest}}' "$name")" = "$digest" ]
	[ "$(podman_here image inspect --format '{{.Id}}' "$name")" = "$(caisson image inspect -f '{{.Id}}' "$name" | cut -d : -f 2)" ]
	podman_here image rm -f "$name" >/dev/null
}

@test "caisson pulls what skopeo pushed: OCI, Docker schema 2; schema 1 is refused" {
	skopeo_push peers/oci
	skopeo_push peers/v2s2 --format v2s2
	skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/peers/v2s2" | grep -q docker.distribution.manifest.v2
	for i in oci v2s2; do
		caisson pull "$REGISTRY/peers/$i" >said
		digest=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$REGISTRY/peers/$i")
		grep -q "Digest: $digest" said
		runs peers/$i
	done
	# by digest, whatever the tag says
	caisson pull "$REGISTRY/peers/oci@$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$REGISTRY/peers/oci")"
	if skopeo_push peers/v2s1 --format v2s1 2>/dev/null; then
		fails_with 1 'schema' caisson pull "$REGISTRY/peers/v2s1"
	fi
}

@test "caisson pulls zstd layers that skopeo pushed" {
	# only what comes uncompressed, to a registry that has it in no other form, is compressed anew
	registry_serve "$PWD/zstd" '' ''
	skopeo copy -q --dest-decompress "oci:$LAYOUT:more" "dir:$PWD/plain"
	skopeo copy -q --dest-tls-verify=false --dest-compress-format zstd "dir:$PWD/plain" "docker://$SERVED/peers/zstd"
	skopeo inspect --raw --tls-verify=false "docker://$SERVED/peers/zstd" | grep -q tar+zstd
	caisson pull "$SERVED/peers/zstd"
	REGISTRY=$SERVED runs peers/zstd
}

@test "what was pulled goes on elsewhere unchanged" {
	skopeo_push peers/from --format v2s2
	caisson pull -q "$REGISTRY/peers/from"
	caisson tag "$REGISTRY/peers/from" "$REGISTRY/peers/to:v1"
	caisson push -q "$REGISTRY/peers/to:v1"
	diff <(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/peers/from") \
		<(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/peers/to:v1")
}

@test "layers are mounted from another repository instead of sent again" {
	caisson image import "$LAYOUT:more" "$REGISTRY/mount/a"
	caisson push "$REGISTRY/mount/a"
	caisson tag "$REGISTRY/mount/a" "$REGISTRY/mount/b"
	run caisson push "$REGISTRY/mount/b"
	[ "$status" = 0 ]
	[[ $output == *'Mounted from'* ]]
	[[ $output != *': Pushed'* ]]
}

@test "names that are not there; a push of what is not there" {
	fails_with 1 'not found|unknown' caisson pull "$REGISTRY/no/such"
	skopeo_push peers/tags:here
	fails_with 1 'not found|unknown' caisson pull "$REGISTRY/peers/tags:nowhere"
	fails_with 1 'No such image|does not exist' caisson push "$REGISTRY/no/such"
	fails_with 1 'invalid reference format' caisson pull 'UPPER//case'
	fails_with '1|125' 'platform|linux/s390x|no image' caisson pull --platform linux/s390x "$REGISTRY/peers/tags:here"
	fails_with 125 'not found|unknown' caisson run --rm "$REGISTRY/no/such" true
	fails_with 125 'No such image' caisson run --rm --pull never "$REGISTRY/no/such" true
}

@test "a registry with a password" {
	registry_with_password "$PWD/auth"
	name=$SERVED/locked/x
	caisson image import "$LAYOUT:more" "$name"
	fails_with 1 'unauthorized|denied|authentication' caisson push "$name"
	run caisson login -u ship --password-stdin "$SERVED" <<<wrong
	[ "$status" = 1 ]
	[[ $output == *unauthorized* ]]
	[ ! -s "$HOME/.docker/config.json" ] || fails grep -q "$SERVED" "$HOME/.docker/config.json"
	run caisson login -u ship --password-stdin "$SERVED" <<<anchor
	[ "$status" = 0 ]
	[[ $output == *'Login Succeeded'* ]]
	[ "$(stat -c %a "$HOME/.docker/config.json")" = 600 ]
	jq -e --arg r "$SERVED" '.auths[$r].auth == ("ship:anchor" | @base64)' "$HOME/.docker/config.json"
	caisson push "$name"
	caisson rmi "$name"
	caisson pull "$name"
	caisson logout "$SERVED"
	fails grep -q "$SERVED" "$HOME/.docker/config.json"
	caisson rmi "$name"
	caisson image prune -f
	fails_with 1 'unauthorized|denied|authentication' caisson pull "$name"
}

@test "passwords of docker login, of a helper, and of neither" {
	registry_with_password "$PWD/auth"
	skopeo copy -q --dest-tls-verify=false --dest-creds ship:anchor "oci:$LAYOUT:more" "docker://$SERVED/locked/x"
	mkdir "$HOME/.docker" bin
	jq -n --arg r "$SERVED" '{auths: {($r): {auth: ("ship:anchor" | @base64)}}, other: 1}' >"$HOME/.docker/config.json"
	caisson pull "$SERVED/locked/x"
	caisson rmi "$SERVED/locked/x"
	# logging out leaves what is not ours
	caisson logout "$SERVED"
	jq -e '.other == 1' "$HOME/.docker/config.json"
	cat >bin/docker-credential-dock <<-'S'
		#!/bin/sh
		read -r server
		[ "$1" = get ] && echo "{\"ServerURL\":\"$server\",\"Username\":\"ship\",\"Secret\":\"anchor\"}"
	S
	chmod 755 bin/docker-credential-dock
	jq -n --arg r "$SERVED" '{credHelpers: {($r): "dock"}}' >"$HOME/.docker/config.json"
	PATH=$PWD/bin:$PATH caisson pull "$SERVED/locked/x"
	printf '#!/bin/sh\necho no such secret; exit 1\n' >bin/docker-credential-dock
	caisson rmi "$SERVED/locked/x"
	PATH=$PWD/bin:$PATH fails_with 1 'unauthorized|dock|helper' caisson pull "$SERVED/locked/x"
	echo 'not json' >"$HOME/.docker/config.json"
	fails_with 1 'config.json' caisson pull "$SERVED/locked/x"
}

@test "TLS: a private CA in certs.d; without it an error that says so" {
	registry_with_tls "$PWD/tls"
	skopeo copy -q --dest-tls-verify=false "oci:$LAYOUT:more" "docker://$SERVED/tls/x"
	fails_with 1 'certificate|TLS|SSL' caisson pull "$SERVED/tls/x"
	mkdir -p "$HOME/.config/caisson/certs.d/$SERVED"
	cp tls/ca.crt "$HOME/.config/caisson/certs.d/$SERVED/ca.crt"
	caisson pull "$SERVED/tls/x"
	caisson tag "$SERVED/tls/x" "$SERVED/tls/y"
	caisson push "$SERVED/tls/y"
	# another CA is not good enough
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=other -keyout other.key \
		-out "$HOME/.config/caisson/certs.d/$SERVED/ca.crt" 2>/dev/null
	fails_with 1 'certificate|TLS|SSL' caisson pull "$SERVED/tls/x"
	echo rubbish >"$HOME/.config/caisson/certs.d/$SERVED/ca.crt"
	fails_with 1 'certificate|TLS|SSL|ca.crt|CA' caisson pull "$SERVED/tls/x"
}

@test "registries.conf: other places, mirrors, short names, blocked ones" {
	skopeo_push peers/conf
	export CAISSON_REGISTRIES_CONF=$PWD/registries.conf
	cat >registries.conf <<-C
		# one document for all of it
		[registry example.test]
		location = http://$REGISTRY/peers
		mirror = http://127.0.0.1:1
		[registry closed.test]
		blocked = yes
		[alias]
		short = example.test/conf
	C
	caisson pull example.test/conf
	[ "$(caisson images --format '{{.Repository}}')" = example.test/conf ]
	caisson rmi example.test/conf
	[ "$(caisson pull short | tail -n 1)" = example.test/conf:latest ]
	caisson image inspect example.test/conf >/dev/null
	fails_with 1 'blocked' caisson pull closed.test/x
	printf '[registry other.test]\ncolor = red\n' >>registries.conf
	fails_with 1 'registries.conf:10' caisson pull example.test/conf
	rm registries.conf
	fails_with 1 'registries.conf' caisson pull example.test/conf
}
