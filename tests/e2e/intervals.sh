# Programs that do the same with and without the library, at each interval. To be sourced after lib.sh.

# same NAME ALLOCATOR COMMAND...: as lib.sh's, and tells the interval.
eval "plain_$(declare -f same)"
same() {
    local name="$1 at $HEAPPROF_INTERVAL"
    shift
    plain_same "$name" "$@"
}

says() { # WHAT: the last output of `same`, so that two equal failures are not taken for good
    grep -q -- "$1" with.out || fail "no '$1' in: $(head -3 with.out with.err)"
}
