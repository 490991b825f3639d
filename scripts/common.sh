# Sourced by the scripts beside it: what they share. POSIX shell with bash's arrays.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${HEAPPROF_BUILD:-$root/build}
library=$build/preload/libheapprof.so
command=$build/src/cli/heapprof

build_packages=(gcc g++ libc6-dev meson ninja-build pkg-config libunwind-dev zlib1g-dev libdw-dev libelf-dev
    libiberty-dev libjansson-dev libmicrohttpd-dev libncurses-dev)

say() { printf '== %s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Install those of the named Debian packages that are not there yet.
need_packages() {
    local missing=() package as_root=()
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null || die "no apt-get here; install what these Debian packages hold: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${as_root[@]}" apt-get -qq update
    # policy-rc.d of 101: a server that is installed for a test must not be started as a service.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
        "${as_root[@]}" chmod +x $policy
        trap '"${as_root[@]}" rm -f '$policy RETURN
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
        "${missing[@]}" >/dev/null
}

# Configure and build into $build: `make_build OPTION...` of meson setup.
make_build() {
    if [ ! -f "$build/build.ninja" ]; then
        meson setup "$@" "$build" "$root" >"$build.log" 2>&1 || { cat "$build.log" >&2; die "meson setup failed"; }
        rm -f "$build.log"
    fi
    ninja -C "$build" >"$build/build.log" 2>&1 || { tail -n 40 "$build/build.log" >&2; die "the build failed"; }
}
