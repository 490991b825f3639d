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

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Not by grep -q, which ends apt-cache by a pipe that nobody reads, and with pipefail that counts.
has_candidate() {
    [[ $(LC_ALL=C apt-cache policy "$1" 2>/dev/null) == *$'\n  Candidate: '[!\(]* ]]
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# A subshell, whose end takes the policy away however it comes: an error, or a signal. A trap on RETURN is not run when a
# script ends inside the function, and stays set for all functions after it.
install_packages() (
    # policy-rc.d of 101: a server that is installed for a test must not be started as a service.
    policy=/usr/sbin/policy-rc.d
    mark="# while heapprof's scripts install packages"
    if ! as_root test -e $policy || as_root grep -qxF "$mark" $policy; then # one of ours stays behind after kill -9
        trap 'as_root rm -f $policy' EXIT
        trap 'exit 1' HUP INT TERM
        printf '#!/bin/sh\n%s\nexit 101\n' "$mark" | as_root tee $policy >/dev/null || exit 1
        as_root chmod +x $policy || exit 1
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null
)

# Install those of the named Debian packages that are not there yet. Releases name some differently: "a|b" is whichever
# there is. "?a" or "?a|b" is left out, aloud, where there is none.
need_packages() {
    local wanted missing=() found=() names name
    for wanted in "$@"; do
        IFS='|' read -ra names <<<"${wanted#\?}"
        for name in "${names[@]}"; do
            is_installed "$name" && continue 2
        done
        missing+=("$wanted")
    done
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null || die "no apt-get here; install what these Debian packages hold: ${missing[*]}"
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || die "as root: apt-get install ${missing[*]}"
    as_root apt-get -qq update || die "apt-get update failed"
    for wanted in "${missing[@]}"; do
        IFS='|' read -ra names <<<"${wanted#\?}"
        for name in "${names[@]}"; do
            has_candidate "$name" && found+=("$name") && continue 2
        done
        [ "${wanted:0:1}" = '?' ] || die "this release has no package ${names[*]}"
        say "skipped: this release has no package ${names[*]}; tests that need it say so"
    done
    [ ${#found[@]} -eq 0 ] && return
    say "installing ${found[*]}"
    install_packages "${found[@]}" || die "apt-get could not install ${found[*]}"
}

# What objects depend on without ninja's knowledge: when it changes, all is built anew. Of meson setup's arguments it is
# the native file, which is read only once.
toolchain() {
    printf '%s\n' "$root" "${CC-}" "${CXX-}" "${CFLAGS-}" "${CXXFLAGS-}" "${CPPFLAGS-}" "${LDFLAGS-}"
    meson --version
    "${CC:-cc}" --version | head -n 1
    [ "${1-}" != --native-file ] || cat "$2"
}

# Who changes options by hand changes meson's own note of them.
options() {
    printf '%s\n' "$@"
    cat "$build/meson-private/cmd_line.txt" 2>/dev/null || true
}

# One that was made by hand has no note, and is taken as it is.
is_of_toolchain() {
    [ ! -e "$build/toolchain" ] || [ "$(cat "$build/toolchain")" = "$(toolchain "$@")" ]
}

# $build/unfinished: what is there may be half-written, by whoever was killed.
is_configured() {
    [ -f "$build/build.ninja" ] && [ ! -e "$build/unfinished" ] && is_of_toolchain "$@"
}

# Configure $build: `configure OPTION...` of meson setup, a native file first. Nothing to do if that is how it is.
configure() {
    is_configured "$@" && [ "$(cat "$build/options" 2>/dev/null)" = "$(options "$@")" ] && return
    [ -d "$build/meson-private" ] || [ -e "$build/unfinished" ] || [ ! -e "$build" ] || [ -z "$(ls -A "$build")" ] ||
        die "$build is there, but is no build folder"
    local log=$build/setup.log
    mkdir -p "$build"
    : >"$build/unfinished"
    if [ ! -f "$build/meson-private/coredata.dat" ] || ! is_of_toolchain "$@" ||
        ! meson setup --reconfigure "$@" "$build" "$root" >"$log" 2>&1; then
        find "$build" -mindepth 1 -maxdepth 1 ! -name unfinished -exec rm -rf {} +
        meson setup "$@" "$build" "$root" >"$log" 2>&1 || { cat "$log" >&2; die "meson setup failed"; }
    fi
    toolchain "$@" >"$build/toolchain"
    options "$@" >"$build/options"
    rm -f "$build/unfinished"
}

# Build in $build: all, or `compile TARGET...`.
compile() {
    local status=0
    : >"$build/unfinished" # ninja may run meson again
    ninja -C "$build" "$@" >"$build/build.log" 2>&1 || status=$?
    [ $status -gt 1 ] || rm -f "$build/unfinished" # 1: a command of the build failed
    [ $status -eq 0 ] || { tail -n 40 "$build/build.log" >&2; die "the build failed"; }
}

make_build() {
    configure "$@"
    compile
}
