#!/bin/sh
# Expected: of two entries with one name, the last counts, as with tar, whichever program makes a file system image of the archive.
# Observed (Debian 13): mkfs.erofs 1.8.6 and mke2fs 1.47.2 take the last; sqfstar 4.6.1 (with a note) and genext2fs 1.5.0 (without) the
# first, all with exit code 0; tar2sqfs 1.3.2 refuses. So an archive that tar -r has updated makes two different images.
set -eu
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=erofs-utils=1.8.6-1,squashfs-tools=1:4.6.1-1,squashfs-tools-ng=1.3.2-1,genext2fs=1.5.0-3+b1,e2fsprogs=1.47.2-3+b12,libarchive13t64=3.7.4-4+deb13u1 trixie "$work/root"
cd "$work/root"
for text in old new; do
    echo $text >file
    tar -rf twice.tar file
done
image() {
    case $1 in
    mkfs.erofs) chroot . mkfs.erofs --quiet --tar=f /image /twice.tar && chroot . fsck.erofs --extract=/out /image ;;
    sqfstar) chroot . sqfstar -quiet -no-progress /image <twice.tar && chroot . unsquashfs -quiet -no-progress -force -dest /out /image ;;
    tar2sqfs) chroot . tar2sqfs -q /image <twice.tar && chroot . unsquashfs -quiet -no-progress -force -dest /out /image ;;
    genext2fs) chroot . genext2fs -b 4096 -a /twice.tar /image && chroot . debugfs -R 'rdump / /out' /image ;;
    mke2fs) chroot . mke2fs -q -d /twice.tar /image 8M && chroot . debugfs -R 'rdump / /out' /image ;;
    esac
}
seen=$(for tool in mkfs.erofs sqfstar tar2sqfs genext2fs mke2fs; do
    rm -rf image out
    mkdir out
    if image $tool >/dev/null 2>&1; then echo "$tool: $(cat out/file)"; else echo "$tool: refused"; fi
done)
expected='mkfs.erofs: new
sqfstar: old
tar2sqfs: refused
genext2fs: old
mke2fs: new'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
