#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""layer_add.py LAYOUT:REF DIR OUT [VOLUME...] - an OCI layout with one more layer, the content of DIR

Its reference is "filled". Names of VOLUMEs go into the config."""
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile

source, ref = sys.argv[1].rsplit(":", 1)
tree, out, volumes = sys.argv[2], sys.argv[3], sys.argv[4:]
shutil.copytree(source, out)


def blob_path(digest):
    return os.path.join(out, "blobs", *digest.split(":"))


def blob_read(digest):
    with open(blob_path(digest), "rb") as f:
        return json.load(f)


def blob_add(data, media_type):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    with open(blob_path(digest), "wb") as f:
        f.write(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


raw = io.BytesIO()
with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as t:
    for name in sorted(os.listdir(tree)):
        t.add(os.path.join(tree, name), name)
with open(os.path.join(out, "index.json"), encoding="utf-8") as f:
    index = json.load(f)
name_key = "org.opencontainers.image.ref.name"
entry = next(m for m in index["manifests"] if m.get("annotations", {}).get(name_key) == ref)
manifest = blob_read(entry["digest"])
if "manifests" in manifest:
    manifest = blob_read(manifest["manifests"][0]["digest"])
config = blob_read(manifest["config"]["digest"])
layer = blob_add(raw.getvalue(), "application/vnd.oci.image.layer.v1.tar")
config["rootfs"]["diff_ids"].append(layer["digest"])
config.pop("history", None)
if volumes:
    config["config"]["Volumes"] = {v: {} for v in volumes}
manifest["layers"].append(layer)
manifest["config"] = blob_add(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
manifest["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
entry = blob_add(json.dumps(manifest).encode(), manifest["mediaType"])
entry["annotations"] = {name_key: "filled"}
with open(os.path.join(out, "index.json"), "w", encoding="utf-8") as f:
    json.dump({"schemaVersion": 2, "manifests": [entry]}, f)
