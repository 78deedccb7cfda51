#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# images.bats - names, lists and removal of images; what they share; what collection may not take

setup_file() {
	load lib
	load layout
	export LAYOUT=$BATS_FILE_TMPDIR/oci
	layout_make "$LAYOUT" one two three
}
setup() {
	load lib
	load expect
	cd "$BATS_TEST_TMPDIR" || exit
}
teardown() {
	remove_all
	ids=$(caisson images -q --filter 'reference=t/*')
	[ -z "$ids" ] || caisson rmi -f $ids >/dev/null
	caisson image prune -f >/dev/null
}

own_store() { export CAISSON_ROOT=$BATS_TEST_TMPDIR/root CAISSON_RUN=$BATS_TEST_TMPDIR/run; }
import() { caisson image import "$LAYOUT:$1" "$2" >/dev/null; }
id_of() { caisson image inspect -f '{{.Id}}' "$1"; }
layer_files() { find "$CAISSON_ROOT/layers" -name '*.data' | wc -l; }

@test "pull and push say what Docker says" {
	name=$REGISTRY/t/said
	import one "$name:1"
	run caisson push "$name:1"
	[ "$status" = 0 ]
	[[ $output == *"The push refers to repository [$name]"* ]]
	[[ $output == *Pushed* ]]
	[[ ${lines[-1]} =~ ^1:\ digest:\ sha256:[0-9a-f]{64}\ size:\ [0-9]+$ ]]
	run caisson push "$name:1"
	[[ $output == *'Layer already exists'* ]]
	caisson rmi "$name:1"
	caisson image prune -f
	run caisson pull "$name:1"
	[ "$status" = 0 ]
	[[ ${lines[0]} == '1: Pulling from t/said' ]]
	[[ $output =~ Digest:\ sha256:[0-9a-f]{64} ]]
	[[ $output == *"Status: Downloaded newer image for $name:1"* ]]
	[ "${lines[-1]}" = "$name:1" ]
	run caisson pull "$name:1"
	[[ $output == *"Status: Image is up to date for $name:1"* ]]
	[ "$(caisson pull -q "$name:1")" = "$name:1" ]
	caisson rmi "$name:1"
}

@test "images: columns, ids, digests, filters, formats" {
	import one t/list:a
	import two t/list:b
	run caisson images
	[[ ${lines[0]} =~ ^REPOSITORY\ +TAG\ +IMAGE\ ID\ +CREATED\ +SIZE$ ]]
	run caisson images t/list
	[ ${#lines[@]} = 3 ]
	run caisson images t/list:b
	[[ ${lines[1]} =~ ^t/list\ +b\ +[0-9a-f]{12}\ +.*ago\ +[0-9.]+[kM]B$ ]]
	[[ $(caisson images -q t/list:b) =~ ^[0-9a-f]{12}$ ]]
	[ "$(caisson images -q --no-trunc t/list:b)" = "$(id_of t/list:b)" ]
	run caisson images --digests t/list
	[[ ${lines[0]} =~ ^REPOSITORY\ +TAG\ +DIGEST\ +IMAGE\ ID ]]
	[ "$(caisson images -q --filter 'reference=t/l*' | wc -l)" = 2 ]
	[ "$(caisson images --format '{{.Repository}}:{{.Tag}}' t/list | sort | tr '\n' ' ')" = 't/list:a t/list:b ' ]
	caisson images --format json t/list | jq -e '.Repository == "t/list"' >/dev/null
	run caisson images t/not-there
	[ "$status" = 0 ]
	[ ${#lines[@]} = 1 ]
	fails_with '1|125' 'filter' caisson images --filter color=red
}

@test "inspect: Docker's object" {
	import one t/inspect
	caisson image inspect t/inspect >json
	jq -e '.[0] | (.Id | startswith("sha256:")) and .RepoTags == ["t/inspect:latest"] and .Architecture == "amd64" and
		.Os == "linux" and .Config.Cmd == ["sh"] and .RootFS.Type == "layers" and (.RootFS.Layers | length) == 2 and
		.Size > 1000000' json
	[ "$(caisson inspect -f '{{.Os}}/{{.Architecture}}' t/inspect)" = linux/amd64 ]
	[ "$(caisson image inspect -f '{{index .RepoTags 0}}' "$(id_of t/inspect | cut -c 8-19)")" = t/inspect:latest ]
	run caisson inspect --type image no-such-image
	[ "$status" = 1 ]
	[ "${lines[0]}" = '[]' ]
	[[ $output == *'No such image: no-such-image'* ]]
}

@test "tag and rmi: names go one by one, the image with the last" {
	import one t/first
	id=$(id_of t/first)
	caisson tag t/first t/second:v2
	[ "$(id_of t/second:v2)" = "$id" ]
	[ "$(caisson image inspect -f '{{len .RepoTags}}' t/first)" = 2 ]
	run caisson rmi t/first
	[ "$output" = 'Untagged: t/first:latest' ]
	run caisson rmi t/second:v2
	[[ $output == *'Untagged: t/second:v2'* ]]
	[[ $output == *"Deleted: $id"* ]]
	fails_with 1 'No such image: t/second:v2' caisson rmi t/second:v2
	fails_with 1 'No such image' caisson tag t/second:v2 t/third
	fails_with 1 'invalid reference format|repository name must be lowercase' caisson tag "$BUSYBOX" 'T/Third'
	# several at once: those that can go, go
	import one t/here
	fails_with 1 'No such image: t/not-here' caisson rmi t/not-here t/here
	fails caisson image inspect t/here
}

@test "a name that moves leaves a dangling image" {
	import one t/moving
	old=$(id_of t/moving)
	import two t/moving
	[ "$(id_of t/moving)" != "$old" ]
	[ "$(caisson images -q --no-trunc --filter dangling=true)" = "$old" ]
	caisson images | grep -q '^<none> '
	run caisson image prune -f
	[ "${lines[0]}" = 'Deleted Images:' ]
	[ "${lines[1]}" = "deleted: $old" ]
	[[ ${lines[-1]} =~ ^Total\ reclaimed\ space:\ [1-9][0-9.]*[kM]?B$ ]]
	fails caisson image inspect "$old"
	[ "$(caisson image prune -f)" = 'Total reclaimed space: 0B' ]
	id_of t/moving
}

@test "two images on one base hold the base once" {
	own_store
	import one t/one
	[ "$(layer_files)" = 2 ]
	size=$(du -sk "$CAISSON_ROOT/layers" | cut -f 1)
	import two t/two
	import three t/three
	[ "$(layer_files)" = 4 ]
	[ $(($(du -sk "$CAISSON_ROOT/layers" | cut -f 1) - size)) -lt 100 ]
	# once the last image that needs it is gone, the base goes too
	caisson rmi t/one t/two
	caisson image prune -f
	[ "$(layer_files)" = 2 ]
	caisson rmi t/three
	caisson image prune -f
	[ "$(layer_files)" = 0 ]
	[ -z "$(find "$CAISSON_ROOT/blobs" "$CAISSON_ROOT/images" "$CAISSON_ROOT/partial" -type f)" ]
}

@test "an import leaves the same bytes each time" {
	sum() { (cd "$CAISSON_ROOT" && find layers images blobs -type f -exec sha256sum {} + | sort); }
	own_store
	import one t/one
	sum >first
	CAISSON_ROOT=$BATS_TEST_TMPDIR/root2 CAISSON_RUN=$BATS_TEST_TMPDIR/run2
	import one t/one
	diff first <(sum)
}

@test "an image in use is not removed, not even when its machine does not run" {
	import one t/used
	caisson create --name stopped t/used true
	fails_with 1 'using|in use|used by' caisson rmi t/used
	id_of t/used
	caisson rm stopped
	caisson run -d --name up t/used sleep 1000
	fails_with 1 'using|in use|used by' caisson rmi t/used
	# a second name may go
	caisson tag t/used t/also
	caisson rmi t/also
}

@test "collection takes nothing that a machine uses" {
	import one t/kept
	caisson run -d --name mm t/kept sleep 1000
	caisson rmi -f t/kept
	caisson image prune -f
	[ "$(caisson exec mm cat /mark)" = one ]
	[ "$(caisson exec mm sh -c 'md5sum </bin/busybox')" = "$(caisson run --rm "$BUSYBOX" sh -c 'md5sum </bin/busybox')" ]
	caisson stop -t 0 mm
	caisson image prune -f
	caisson start mm
	[ "$(caisson exec mm cat /mark)" = one ]
	before=$(layer_files)
	caisson rm -f mm
	caisson image prune -f
	[ "$(layer_files)" = $((before - 1)) ]
}

@test "other tools read the store" {
	own_store
	import one t/read
	ref=$(jq -r '.manifests[0].annotations["org.opencontainers.image.ref.name"]' "$CAISSON_ROOT/index.json")
	skopeo inspect "oci:$CAISSON_ROOT:$ref" >json
	jq -e '(.Layers | length) == 2 and .Os == "linux"' json
	skopeo copy -q "oci:$CAISSON_ROOT:$ref" "dir:$BATS_TEST_TMPDIR/copy"
	umoci ls --layout "$CAISSON_ROOT" | grep -q .
}

@test "imports that cannot be" {
	fails_with 1 'no such|not found|oci-layout' caisson image import /no/such/dir t/x
	mkdir empty
	fails_with 1 'oci-layout|layout|index.json|blobs' caisson image import "$PWD/empty" t/x
	fails_with 1 'no-such-ref' caisson image import "$LAYOUT:no-such-ref" t/x
	cp -r "$LAYOUT" broken
	layer=$(skopeo inspect "oci:$LAYOUT:one" | jq -r '.Layers[1]')
	printf x | dd of="broken/blobs/${layer/://}" bs=1 seek=20 conv=notrunc status=none
	fails_with 1 'digest|match' caisson image import "$PWD/broken:one" t/x
	rm "broken/blobs/${layer/://}"
	fails_with 1 "${layer:7:12}" caisson image import "$PWD/broken:one" t/x
	ln -s /etc/passwd "broken/blobs/${layer/://}"
	fails_with 1 '.' caisson image import "$PWD/broken:one" t/x
	fails caisson image inspect t/x
}
