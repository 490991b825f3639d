#!/bin/bash
# What the library promises its target: that it changes nothing and tells what is so. Each promise that was once broken is a
# case here, of its kind and not of the instance that was seen; targets run with and without the library, with each
# allocator where it can differ, at 512K, 4K and 1. The first argument is the group; cases.md tells which case is where.
. "$(dirname "$0")/../lib.sh"
cases=${1:?group of cases}
limit=100 # catches what hangs, not what is slow on a loaded machine

# As lib.sh has them, but of a target that a signal ends the shell says the same with and without: no number and no line.
with() {
    local allocator=$1
    shift
    sh -c '"$@"; exit $?' - timeout -k 5 $limit env LD_PRELOAD="$LIBHEAPPROF${allocator_files[$allocator]+:${allocator_files[$allocator]}}" "$@"
}
without() {
    local allocator=$1
    shift
    sh -c '"$@"; exit $?' - timeout -k 5 $limit env LD_PRELOAD="${allocator_files[$allocator]-}" "$@"
}

. "$here/intervals.sh"

# told NAME WANTED COMMAND...: with the library only; its exit status is 0, and its output that.
told() {
    local name="$1 on $allocator at $HEAPPROF_INTERVAL" wanted=$2
    shift 2
    with $allocator "$@" >with.out 2>with.err </dev/null
    expect "$name" "0 $wanted" "$? $(cat with.out with.err)"
}

# behind LIBRARY: an allocator or interposer of the tests', as `with` takes it.
behind() {
    allocator_files[$1]=$TARGETS/lib$1.so
}

. "$here/promises/promises_memory.sh"
. "$here/promises/promises_process.sh"
. "$here/promises/promises_numbers.sh"

at_intervals() { # COMMAND...
    local interval
    for interval in 512K 4K 1; do
        export HEAPPROF_INTERVAL=$interval
        "$@"
    done
}

# The allocators with which a group's cases can differ.
case $cases in
objects | memory | handlers | children | numbers) behind_all="glibc jemalloc tcmalloc mimalloc" ;;
*) behind_all=glibc ;;
esac
for allocator in $(allocators $behind_all); do
    at_intervals $cases
done
[ "$(type -t ${cases}_once)" != function ] || ${cases}_once
finish "all promises of $cases are kept"
