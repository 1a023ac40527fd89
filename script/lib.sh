# Shared by the scripts beside it; sourced, after `set -eu`, with ROOT as the checkout's directory.
# shellcheck shell=sh

# Use the distribution's programs: with a pyenv or conda in front of them, python3 would be another one.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP VIRTUAL_ENV

say() {
    printf '\n== %s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# need PACKAGE…: install the missing ones; update the package lists only if apt does not know them.
need() {
    missing=
    for package; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
        [ "$status" = installed ] || missing="$missing $package"
    done
    if [ -z "$missing" ]; then
        say "Debian packages: all installed ($*)"
        return
    fi
    [ "$(id -u)" = 0 ] || die "needs root, to install$missing"
    say "Debian packages: installing$missing"
    # shellcheck disable=SC2086
    apt_install $missing 2>/dev/null || { apt-get update -q && apt_install $missing; }
}

apt_install() {
    apt-get install -q -y --no-install-recommends "$@"
}
