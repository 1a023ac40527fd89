#!/bin/sh
# Expected: like a shell, a container's init exits with 127 for a missing program and with 126 for one that is not executable.
# Observed (catatonit 0.2.1, tini 0.19.0, dumb-init 1.2.5, Debian 13): only tini does so. In both cases dumb-init exits with 2 and
# catatonit with 1, so an engine cannot report 127 with them. After a signal, all three exit with 128 + n.
set -eu
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=catatonit=0.2.1-2+b14,tini=0.19.0-3+b8,dumb-init=1.2.5-3 trixie "$work/root"
printf 'no program' >"$work/root/plain"
printf '#!/bin/sh\nkill -9 $$\n' >"$work/root/killed"
chmod +x "$work/root/killed"
seen=$(for init in 'catatonit --' 'tini --' dumb-init; do
    for program in /missing /plain /killed; do
        code=0
        # shellcheck disable=SC2086
        unshare --pid --fork --kill-child chroot "$work/root" $init $program >/dev/null 2>&1 || code=$?
        echo "${init%% *} $program: $code"
    done
done)
expected='catatonit /missing: 1
catatonit /plain: 1
catatonit /killed: 137
tini /missing: 127
tini /plain: 126
tini /killed: 137
dumb-init /missing: 2
dumb-init /plain: 2
dumb-init /killed: 137'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; it was:\n%s\n' "$expected"; exit 1; }
