#!/bin/sh
# Expected: genext2fs -a refuses an archive that it can't represent.
# Observed (genext2fs 1.5.0, Debian 13): exit code 0. A file whose parent directory has no entry, as in most layers of images, is left out
# (with a line on stderr); owner 3000000000 becomes 24064, its low 16 bits (without one).
set -eu
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=genext2fs=1.5.0-3+b1,e2fsprogs=1.47.2-3+b12,python3 trixie "$work/root"
cd "$work/root"
chroot . python3 - <<'PYTHON'
import io
import tarfile

with tarfile.open("/layer.tar", "w", format=tarfile.GNU_FORMAT) as tar:
    for name, uid in (("top", 3000000000), ("a/b/file", 0)):
        info = tarfile.TarInfo(name)
        info.size, info.uid = 3, uid
        tar.addfile(info, io.BytesIO(b"one"))
PYTHON
code=0
chroot . genext2fs -b 4096 -a /layer.tar /image >/dev/null 2>&1 || code=$?
mkdir out
chroot . debugfs -R 'rdump / /out' /image 2>/dev/null
seen="exit $code: $(cd out && find . -type f -printf '%P %U ')"
expected='exit 0: top 24064 '
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
