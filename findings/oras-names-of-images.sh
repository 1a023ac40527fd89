#!/bin/sh
# Guess: oras for Python reads an image's name as docker does: ubuntu is docker.io/library/ubuntu, and localhost/x is on the registry localhost.
# Seen (oras 0.2.43): ubuntu is docker.io/ubuntu, where docker asks for library/ubuntu; and
# localhost/x is docker.io/localhost/x: a local registry without a port is never asked. With a port it is.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check oras==0.2.43
cat >"$work/look.py" <<'PYTHON'
from oras.container import Container

for name in ("ubuntu", "localhost/x", "localhost:5000/x"):
    found = Container(name)
    print(name, found.registry, found.manifest_url())
PYTHON
seen=$("$work/venv/bin/python" "$work/look.py")
expected='ubuntu docker.io docker.io/v2/ubuntu/manifests/latest
localhost/x docker.io docker.io/v2/localhost/x/manifests/latest
localhost:5000/x localhost:5000 localhost:5000/v2/x/manifests/latest'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
