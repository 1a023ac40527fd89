#!/bin/sh
# Expected: as with GNU tar, the mode and times in a tar's entry for a hard link have no effect: the file has those of its first entry.
# Observed (mke2fs 1.47.2 -d ARCHIVE, Debian 13): the entry of the last link sets mode, owner and times of the file that all of them share.
# A tool that fills in defaults for links makes entries that differ; from such an archive, a file of mode 0600 gets 0755.
# bsdtar 3.7.4, which uses the same libarchive, keeps the first.
set -eu
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=e2fsprogs=1.47.2-3+b12,libarchive13t64=3.7.4-4+deb13u1,libarchive-tools=3.7.4-4+deb13u1,python3 trixie "$work/root"
cd "$work/root"
chroot . python3 - <<'PYTHON'
import io
import tarfile

with tarfile.open("/links.tar", "w") as tar:
    first = tarfile.TarInfo("secret")
    first.size, first.mode, first.mtime, first.uid = 3, 0o600, 1700000000, 7
    tar.addfile(first, io.BytesIO(b"one"))
    link = tarfile.TarInfo("link")
    link.type, link.linkname, link.mode, link.mtime = tarfile.LNKTYPE, "secret", 0o755, 1600000000
    tar.addfile(link)
PYTHON
mkdir out
chroot . bsdtar -xpf /links.tar -C /out
chroot . mke2fs -q -d /links.tar /image 8M 2>/dev/null
seen="bsdtar: $(stat -c '%a %u %Y' out/secret)
mke2fs: $(chroot . debugfs -R 'stat /secret' /image 2>/dev/null | sed -n 's/.*Mode: *0*\([0-7]*\).*/\1/p; s/^User: *\([0-9]*\).*/\1/p; s/ *mtime: 0x\([0-9a-f]*\).*/\1/p' | xargs)"
expected='bsdtar: 600 7 1700000000
mke2fs: 755 0 5f5e1000'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
