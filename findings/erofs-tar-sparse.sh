#!/bin/sh
# Expected: mkfs.erofs --tar=f, which makes a file system straight from a layer's tar, reads the four forms in which GNU tar writes sparse
# files, or refuses them.
# Observed (mkfs.erofs 1.8.6, Debian 13): all four give exit code 0, no message, and a wrong result. A file of 3 MiB with 8 KiB of data
# has 8 KiB in the pax form 0.0; is named GNUSparseFile.PID/NAME and has 8 KiB in 0.1, 8.5 KiB (with its map) in 1.0; and is missing
# in the old GNU form. squashfs-tools, libarchive and GNU tar read all four.
set -eu
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=erofs-utils=1.8.6-1 trixie "$work/root"
cd "$work/root"
mkdir in
printf 'A%.0s' $(seq 4096) >in/file
printf 'B%.0s' $(seq 4096) | dd of=in/file bs=4096 seek=256 conv=notrunc status=none
truncate -s 3M in/file
tar -C in -S --format=gnu -cf old.tar file
for version in 0.0 0.1 1.0; do
    tar -C in -S --format=posix --sparse-version=$version -cf $version.tar file
done
seen=$(for form in old 0.0 0.1 1.0; do
    chroot . mkfs.erofs --quiet --tar=f /$form.img /$form.tar >/dev/null 2>&1 || echo "$form: refused"
    chroot . fsck.erofs --extract=/$form /$form.img >/dev/null
    printf '%s:%s\n' $form "$(cd $form && find . -type f -printf ' %P %s' | sed 's/File\.[0-9]*/File.PID/')"
done)
expected='old:
0.0: file 8192
0.1: GNUSparseFile.PID/file 8192
1.0: GNUSparseFile.PID/file 8704'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
