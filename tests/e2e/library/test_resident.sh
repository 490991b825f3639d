#!/usr/bin/env bash
# Where the resident set goes: parts that add up, move by what a target did, and agree with the allocator's own account.
. "$(dirname "$0")/../lib.sh"
need python3
unset MALLOC_PERTURB_ # it would touch what is to stay untouched
mkdir shm && export HEAPPROF_LEDGER=$work/shm

for allocator in $(allocators); do
    mkdir $allocator
    LD_PRELOAD= timeout -k 5 $limit python3 "$here/library/check_resident.py" $allocator "$work/$allocator" \
        env LD_PRELOAD="$LIBHEAPPROF${allocator_files[$allocator]+:${allocator_files[$allocator]}}" HEAPPROF_INTERVAL=4096 \
        "$TARGETS/resident" || failures=$((failures + 1))
done
finish "all parts of the resident set are as they should be"
