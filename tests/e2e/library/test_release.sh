#!/bin/bash
# A release build of the library, stripped and installed, as packages have it: its raw dumps begin with the function that
# allocates, for other people's tools as well, which have no names of the library's and of libstdc++'s own functions.
. "$(dirname "$0")/../lib.sh"
need meson ninja go google-pprof jeprof
go tool pprof -h 2>&1 | grep -q sample_index || skip "no go tool pprof here"
[ -e "$TARGETS/reader_cxx" ] || skip "no compiler of C++ here"
export HOME=$work PPROF_TMPDIR=$work PPROF_BINARY_PATH=$TARGETS

build() { # WHAT COMMAND...
    local what=$1
    shift
    "$@" >log 2>&1 || { fail "$what: $(tail -5 log)"; finish; }
}
build "meson setup" env CC="$TARGET_CC" meson setup --buildtype=release --strip -Dtests=false build "$SOURCE_ROOT"
build ninja ninja -C build preload/libheapprof.so
build "meson install" env DESTDIR="$work/root" meson install -C build --no-rebuild --tags runtime
LIBHEAPPROF=$(find "$work/root" -name libheapprof.so)
readelf -S "$LIBHEAPPROF" | grep -qE '\.(symtab|debug_info)' && fail "the installed library is not stripped"

# FUNCTION<TAB>BYTES, the largest flat figure first: TOOL TARGET FILE
flat() {
    case $1 in
    go) go tool pprof -top -nodecount=0 -nodefraction=0 -sample_index=inuse_space -unit=B "$2" "$3" 2>err |
        sed '1,/^ *flat/d' ;;
    *) "$1" --text --functions --inuse_space --show_bytes "$2" "$3" 2>err | sed '0,/^Total:/d' ;;
    esac | awk '{ gsub(/B/, "", $1); name = $6; for (i = 7; i <= NF; i++) name = name " " $i; print name "\t" $1 + 0 }' |
        sort -s -t"	" -k2,2nr
}

# check TARGET INTERVAL SITE...: these, from the one that holds most, come first.
check() {
    local target=$1 interval=$2 tool
    shift 2
    with glibc HEAPPROF_INTERVAL=$interval HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT="$target.heap" "$TARGETS/$target"
    check_dump "$target at $interval" "$target.heap"
    for tool in go google-pprof jeprof; do
        flat $tool "$TARGETS/$target" "$target.heap" >rows
        expect "$target at $interval: first rows of $tool" "$*" "$(head -$# rows | cut -f 1 | xargs)"
        grep -E '^(malloc|calloc|operator new|\[libheapprof).*	[1-9]' rows && fail "$target at $interval: $tool shows the allocator"
    done
}
for interval in 1 4K; do
    check reader_cxx $interval new_site array_site nothrow_site nothrow_array_site aligned_site
    check reader $interval own_site inside own_other_site
done
finish "readers name what allocates"
