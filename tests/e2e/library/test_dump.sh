#!/bin/bash
# When a dump is made, where it goes, and what its lines are.
. "$(dirname "$0")/../lib.sh"
target=$TARGETS/dumper

# run ALLOCATOR [VARIABLE=VALUE...] COMMAND...: with the library, and nothing but what the target says on either output.
run() {
    with "$@" >out 2>err
    status=$?
    [ -s err ] && fail "$*: standard error: $(head -3 err)"
    return $status
}

dumps() { # how many files end in .heap
    ls | grep -c '\.heap$'
}

for allocator in $(allocators); do
    # One that fails where aligned objects are mixed with others, as the library mixes them, fails here as well.
    stands $allocator "$TARGETS/exact" 40 || continue
    for way in return exit _exit _Exit quick_exit; do
        for interval in 1 4K; do
            rm -f ./*.heap
            run $allocator HEAPPROF_INTERVAL=$interval HEAPPROF_AT_EXIT=1 $target leave $way
            expect "$way on $allocator: exit status" 5 $?
            only ./heapprof.dumper.*.0001.heap && check_dump "$way on $allocator at $interval" "$dump"
        done
    done
    rm -f ./*.heap
    run $allocator HEAPPROF_INTERVAL=1 $target leave return
    expect "no dump unasked" 0 "$(dumps)"

    # The allocator's own figures, at a quiet moment.
    run $allocator HEAPPROF_INTERVAL=64K $target figures "$work/figures.heap"
    read -r error allocated in_use system <out
    expect "heapprof_dump on $allocator" 0 "$error"
    check_dump "figures of $allocator" figures.heap
    near() { # WHAT WANTED GOT: within 3 % or 256 KiB
        awk -v a="$2" -v b="$3" 'BEGIN { d = a > b ? a - b : b - a; exit !(d <= 262144 || d <= a * 0.03) }' ||
            fail "$1 of $allocator is $3, not $2"
    }
    if [ $allocator = mimalloc ]; then # which is not asked: what is live, by the samples
        for name in HeapInuse HeapSys; do
            expect "$name of mimalloc" "$(fact figures.heap HeapAlloc)" "$(fact figures.heap $name)"
        done
    else
        near HeapInuse "$in_use" "$(fact figures.heap HeapInuse)"
        near HeapAlloc "$allocated" "$(fact figures.heap HeapAlloc)"
        near HeapSys "$system" "$(fact figures.heap HeapSys)"
    fi
    declare -A sources=([glibc]=walked [jemalloc]=asked [tcmalloc]=asked [mimalloc]=estimated)
    fact figures.heap heapprof.allocator | grep -Eq "^$allocator [0-9.]+ \(age [0-9]+ ms; ${sources[$allocator]}\)\$" ||
        fail "figures of $allocator: $(fact figures.heap heapprof.allocator)"
    rm -f figures.heap

    # Signals.
    run $allocator HEAPPROF_INTERVAL=4K $target signal 12
    expect "output of a signalled target" alive "$(cat out)"
    only ./heapprof.dumper.*.0001.heap && check_dump "USR2 on $allocator" "$dump"
    rm -f ./*.heap
    run $allocator HEAPPROF_INTERVAL=4K HEAPPROF_OUTPUT=storm.heap $target storm 1000
    expect "a storm of signals on $allocator: exit status" 0 $?
    expect "a storm of signals on $allocator: output" done "$(cat out)"
    check_dump "a storm of signals on $allocator" storm.heap
    expect "a storm leaves" 1 "$(ls | grep -c storm)"
    rm -f ./*.heap

    # Ever new stacks, all freed: the old ones are folded, nothing is lost, and the sums are right.
    run $allocator HEAPPROF_INTERVAL=1 HEAPPROF_MEMORY=1M HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=flood.heap $target flood 100000
    expect "1 MiB on $allocator" done "$(cat out)"
    check_dump "1 MiB on $allocator" flood.heap
    expect "1 MiB on $allocator: lost" 0 "$(fact flood.heap lost)"
    [ "$(fact flood.heap folded)" -gt 50000 ] || fail "1 MiB on $allocator: only $(fact flood.heap folded) folded"
    [ "$(fact flood.heap samples)" -ge 100000 ] || fail "1 MiB on $allocator: $(fact flood.heap samples) samples"
    expect "1 MiB on $allocator: allocated" "$(fact flood.heap samples)" "$(sed -n '1s/.*\[\([0-9]*\):.*/\1/p' flood.heap)"
    # What lives does not fit: samples are lost, and counted; the target runs on.
    run $allocator HEAPPROF_INTERVAL=1 HEAPPROF_MEMORY=1M HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=hoard.heap $target hoard 100000
    expect "1 MiB of what lives on $allocator" done "$(cat out)"
    check_dump "1 MiB of what lives on $allocator" hoard.heap
    [ "$(fact hoard.heap lost)" -gt 1000 ] || fail "1 MiB on $allocator: only $(fact hoard.heap lost) lost"
    all=$(($(fact flood.heap lost) + $(fact flood.heap samples)))
    [ $all -ge 102000 ] && [ $all -le 102500 ] || fail "1 MiB on $allocator: $all samples and lost ones, not 102000"
    [ "$(fact flood.heap own_bytes)" -le $((1 << 20)) ] || fail "1 MiB: own_bytes is $(fact flood.heap own_bytes)"
    rm -f ./*.heap
done

# Which signal.
for signal in USR1:10 SIGUSR1:10 USR2:12 RTMIN+3:37 40:40 RTMIN:34; do
    run glibc HEAPPROF_INTERVAL=4K HEAPPROF_SIGNAL=${signal%:*} $target signal ${signal#*:}
    expect "HEAPPROF_SIGNAL=$signal: exit status" 0 $?
    only ./*.heap && check_dump "HEAPPROF_SIGNAL=$signal" "$dump"
    rm -f ./*.heap
done
with glibc HEAPPROF_SIGNAL=none $target signal 12 >out 2>err
expect "HEAPPROF_SIGNAL=none: exit status" 140 $?
with glibc HEAPPROF_SIGNAL=USR1 $target signal 12 >out 2>err
expect "another signal: exit status" 140 $?
run glibc $target handler 12
expect "the target's own handler" handled "$(cat out)"
expect "dumps beside the target's own handler" 0 "$(dumps)"
(trap '' USR2 && run glibc $target ignored 12)
expect "an ignored signal" alive "$(cat out)"
expect "dumps for an ignored signal" 0 "$(dumps)"

# By time, and by growth.
run glibc HEAPPROF_INTERVAL=16K HEAPPROF_EVERY=100ms $target every 1050
count=$(dumps)
[ "$count" -ge 5 ] && [ "$count" -le 10 ] || fail "HEAPPROF_EVERY=100ms: $count dumps in a second"
check_dump HEAPPROF_EVERY ./heapprof.dumper.*.0003.heap
rm -f ./*.heap
run glibc HEAPPROF_INTERVAL=16K HEAPPROF_GROWTH=10M $target growth 55
expect "HEAPPROF_GROWTH=10M: dumps" 5 "$(dumps)"
for number in 1 2 3 4 5; do
    live=$("$HEAPPROF" top --json ./heapprof.dumper.*.000$number.heap 2>/dev/null | sed -n 's/^ "total": \([0-9]*\),$/\1/p')
    [ "$live" -ge $((number * 10 << 20)) ] && [ "$live" -le $(((number * 10 + 3) << 20)) ] ||
        fail "HEAPPROF_GROWTH=10M: dump $number has $live live"
done
rm -f ./*.heap

# Names.
mkdir folder
for pattern in 'a%%b.%e.%p.%n.%t' folder/x.%n "$work/folder/absolute" plain.heap.gz %n%n.gz; do
    run glibc HEAPPROF_OUTPUT="$pattern" HEAPPROF_AT_EXIT=1 HEAPPROF_INTERVAL=1 $target chdir /
done
ls | grep -qE '^a%b\.dumper\.[0-9]+\.0001\.1[0-9]{9}$' || fail "HEAPPROF_OUTPUT: $(ls)"
for file in folder/x.0001 folder/absolute plain.heap.gz 00010001.gz; do
    [ -e $file ] && check_dump "$file" $file || fail "no $file"
done
expect "a dump that is gzip" "$(printf '\037\213')" "$(head -c 2 plain.heap.gz)"
gzip -t plain.heap.gz || fail "plain.heap.gz is no gzip file"
"$HEAPPROF" top plain.heap.gz 2>/dev/null | grep allocate_some >rows || fail "heapprof top of a .gz"
rm -rf folder ./a%* ./*.gz
ls ./*.tmp 2>/dev/null && fail "drafts are left"
(umask 0 && run glibc HEAPPROF_OUTPUT=open.heap HEAPPROF_AT_EXIT=1 HEAPPROF_INTERVAL=1 $target)
check_dump "umask 0" open.heap
rm -f ./*.heap

# What the target executes.
run glibc HEAPPROF_AT_EXIT=1 HEAPPROF_INTERVAL=1 $target run "$target; $target"
expect "HEAPPROF_FOLLOW=1: dumps of dumper" 3 "$(ls | grep -c 'heapprof\.dumper\..*\.0001\.heap')"
rm -f ./*.heap
run glibc HEAPPROF_FOLLOW=0 HEAPPROF_AT_EXIT=1 HEAPPROF_INTERVAL=1 $target run "$target; env | grep ^LD_PRELOAD; true"
expect "HEAPPROF_FOLLOW=0: dumps" 1 "$(dumps)"
expect "HEAPPROF_FOLLOW=0: LD_PRELOAD" "LD_PRELOAD=" "$(cat out)"
rm -f ./*.heap

# Depth: the innermost frames are kept, and deeper stacks counted.
for depth in 1 10 128 512; do
    run glibc HEAPPROF_DEPTH=$depth HEAPPROF_AT_EXIT=1 HEAPPROF_INTERVAL=1 HEAPPROF_OUTPUT=deep.heap $target deep 2000
    check_dump "depth $depth" deep.heap
    expect "depth $depth" $depth "$(fact deep.heap depth)"
    expect "depth $depth: frames" $depth "$(awk '/@/ && !/heap/ && NF - 5 > most { most = NF - 5 } END { print most }' deep.heap)"
    [ $depth = 1 ] || expect "depth $depth: truncated" 1 "$(fact deep.heap truncated)"
    [ "$(fact deep.heap truncated)" -ge 1 ] || fail "depth $depth: nothing counted as truncated"
    rows inuse_space deep.heap >rows
    grep -q "^allocate_some" rows || fail "depth $depth: the innermost frame is not there"
done
rm -f ./*.heap

# heapprof.h, by itself and with the library.
cp "$SOURCE_ROOT/tests/targets/api.c" api.cpp
built=0
for compiler in gcc clang g++ clang++; do
    command -v $compiler >/dev/null || { echo "skipped: no $compiler here"; continue; }
    case $compiler in
    *++) set -- -std=c++98 -Wno-long-long api.cpp ;;
    *) set -- -std=c99 "$SOURCE_ROOT/tests/targets/api.c" ;;
    esac
    # 64-bit integers are no part of C++98's <stdint.h> by the letter, but of every library's.
    $compiler -Wall -Wextra -Wno-unused-parameter -pedantic -Werror -O1 -I"$SOURCE_ROOT/include" -o api "$@" 2>compile.err ||
        { fail "$compiler: $(head -5 compile.err)"; continue; }
    built=$((built + 1))
    ./api api.heap >out
    for call in stats dump "dump elsewhere" "too much" disable enable interval; do
        grep -q "^$call -38$" out || fail "$compiler: $call without the library: $(grep "^$call" out)"
    done
    expect "$compiler: files without the library" 0 "$(dumps)"
    run glibc HEAPPROF_INTERVAL=1 ./api api.heap
    printf '%s\n' "stats 0" "dump 0" "dump elsewhere -2" "too much -22" "disable 0" "disabled 1" "enable 0" "enabled 1" \
        "interval 0" "size 1 interval 1 samples 1 live 1 lost 0" | diff - out || fail "$compiler: heapprof.h with the library"
    check_dump "heapprof_dump, $compiler" api.heap
    rm -f api api.heap
done
[ $built -gt 0 ] || fail "no compiler for heapprof.h"
finish "dumps are as they should be"
