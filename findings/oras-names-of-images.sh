#!/bin/sh
# Expected: oras for Python reads an image's name as docker does: ubuntu is docker.io/library/ubuntu, and localhost/x is on the registry
# localhost.
# Observed (oras 0.2.43): ubuntu is docker.io/ubuntu, where docker asks for library/ubuntu; localhost/x is docker.io/localhost/x, so that
# a local registry is asked only if its name has a port.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check oras==0.2.43
cat >"$work/look.py" <<'PYTHON'
from oras.container import Container

for name in ("ubuntu", "localhost/x", "localhost:5000/x"):
    container = Container(name)
    print(name, container.registry, container.manifest_url())
PYTHON
seen=$("$work/venv/bin/python" "$work/look.py")
expected='ubuntu docker.io docker.io/v2/ubuntu/manifests/latest
localhost/x docker.io docker.io/v2/localhost/x/manifests/latest
localhost:5000/x localhost:5000 localhost:5000/v2/x/manifests/latest'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
