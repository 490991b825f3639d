#!/bin/bash
# A known leak among 200 sites with steady churn is the first row of a diff, named to the line and marked: between two
# dumps of one run, and between two runs at different addresses. Without a leak, nothing is marked.
. "$(dirname "$0")/../lib.sh"
need jq setarch
target=$TARGETS/leak
source_line=$(grep -n 'the line of the leak' "$SOURCE_ROOT/tests/targets/leak.c" | cut -d: -f1)

noise=0 # rows that are marked by chance

# leaks NAME BEFORE AFTER: the leak is found.
leaks() {
    "$HEAPPROF" diff --json "$2" "$3" >diff.json 2>err || fail "$1: exit status $?: $(cat err)"
    jq -e . diff.json >/dev/null || fail "$1: no JSON"
    expect "$1: first row" "leak_inlined leak.c $source_line true" \
        "$(jq -r '.rows[0] | "\(.function) \(.file | split("/") | last) \(.line) \(.significant)"' diff.json)"
    noise=$((noise + $(jq '[.rows[1:][] | select(.significant)] | length' diff.json)))
    jq -e '.rows[0] | .growth > 10000000 and .growth < 22000000 and .growth_error > 0 and .after - .before == .growth and .samples > 10' \
        diff.json >/dev/null || fail "$1: figures: $(jq -c '.rows[0]' diff.json)"
    "$HEAPPROF" diff "$2" "$3" 2>/dev/null | awk '/function$/ { getline; print; exit }' >row
    grep -q "leak_inlined.*leak.c:$source_line" row || fail "$1: the table begins with $(cat row)"
    "$HEAPPROF" diff --fail-on-growth=8M "$2" "$3" >/dev/null 2>&1
    expect "$1: --fail-on-growth=8M" 3 $?
    "$HEAPPROF" diff --fail-on-growth=64M "$2" "$3" >/dev/null 2>&1
    expect "$1: --fail-on-growth=64M" 0 $?
}


for allocator in $(allocators); do
    HEAPPROF_INTERVAL=64K with $allocator "$target" "$work/before.heap" "$work/after.heap" 16000000
    expect "leak on $allocator: exit status" 0 $?
    leaks "one run on $allocator" before.heap after.heap
    # Another run, at other addresses, that does not leak, against one that does.
    HEAPPROF_INTERVAL=64K with $allocator setarch -R "$target" "$work/first.heap" "$work/other.heap" 0
    expect "no leak on $allocator: exit status" 0 $?
    [ "$(sed '1,/^MAPPED_LIBRARIES:/d' first.heap)" != "$(sed '1,/^MAPPED_LIBRARIES:/d' after.heap)" ] ||
        fail "both runs have the same addresses"
    leaks "two runs on $allocator" other.heap after.heap
    rm -f ./*.heap
done

[ $noise -le 6 ] || fail "$noise rows besides the leak are marked"

# Noise alone is marked in 5 of 100 diffs; that two of these three are is no chance.
marked=0 grown=0
for try in 1 2 3; do
    HEAPPROF_INTERVAL=64K with glibc "$target" "$work/before.$try" "$work/after.$try" 0
    [ "$("$HEAPPROF" diff --json -n 0 before.$try after.$try 2>/dev/null | jq '[.rows[] | select(.significant)] | length')" = 0 ] ||
        marked=$((marked + 1))
    "$HEAPPROF" diff --fail-on-growth=4M before.$try after.$try >/dev/null 2>&1 || grown=$((grown + 1))
done
[ $marked -le 1 ] || fail "$marked of 3 diffs of a steady target are marked"
[ $grown -le 1 ] || fail "--fail-on-growth=4M fails for $grown of 3 diffs of a steady target"
finish "the leak is found"
