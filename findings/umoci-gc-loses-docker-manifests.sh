#!/bin/sh
# Expected: umoci gc keeps every blob that index.json refers to.
# Observed (umoci 0.4.7, skopeo 1.18.0, Debian 13): an OCI layout may hold a docker schema 2 manifest. umoci gc keeps the manifest and
# deletes its config and layers, with exit code 0. skopeo refuses to read such an entry from a layout ("unsupported manifest MIME types").
set -eu
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=umoci=0.4.7+ds-4+b10,skopeo=1.18.0+ds1-1+b5,python3,ca-certificates trixie "$work/root"
cd "$work/root"
chroot . sh -eu <<'SH' >/dev/null
umoci init --layout /layout
umoci new --image /layout:one
echo text >/file
umoci insert --image /layout:one /file /file
skopeo --insecure-policy copy -q --format v2s2 oci:/layout:one dir:/docker
umoci rm --image /layout:one
umoci gc --layout /layout
SH
chroot . python3 - <<'PYTHON'
import hashlib
import json
import shutil

manifest = open("/docker/manifest.json", "rb").read()
parts = json.loads(manifest)
name = hashlib.sha256(manifest).hexdigest()
shutil.copy("/docker/manifest.json", f"/layout/blobs/sha256/{name}")
for blob in [parts["config"], *parts["layers"]]:
    digest = blob["digest"].split(":")[1]
    shutil.copy(f"/docker/{digest}", f"/layout/blobs/sha256/{digest}")
entry = {"mediaType": parts["mediaType"], "digest": f"sha256:{name}", "size": len(manifest)}
entry["annotations"] = {"org.opencontainers.image.ref.name": "two"}
index = json.load(open("/layout/index.json"))
index["manifests"] = [entry]
json.dump(index, open("/layout/index.json", "w"))
PYTHON
before=$(find layout/blobs -type f | wc -l)
chroot . skopeo inspect oci:/layout:two 2>&1 | grep -q 'unsupported manifest MIME types' || { echo 'changed: skopeo reads it'; exit 1; }
chroot . umoci gc --layout /layout >/dev/null
seen="blobs: $before, after umoci gc: $(find layout/blobs -type f | wc -l)"
expected='blobs: 3, after umoci gc: 1'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
