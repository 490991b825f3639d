#!/bin/bash
# Profiles of one process one after the other: kept by run --every, and compared by diff --series.
. "$(dirname "$0")/../lib.sh"
need jq perl
mkdir shm && export HEAPPROF_LEDGER=$work/shm

# The leak is the one row that is marked; the cache, which filled up in the first third and is larger, is not.
mkdir moments
HEAPPROF_INTERVAL=16K with glibc "$TARGETS/grower" moments 15
expect "grower" 0 $?
space_evenly moments/*.heap
"$HEAPPROF" diff --series --json -n 0 --hide '^keep$' moments/*.heap >diff.json 2>err || fail "diff --series: $(cat err)"
expect "moments" 15 "$(jq '.moments | length' diff.json)"
expect "first row" "leak_slowly true" "$(jq -r '.rows[0] | "\(.function) \(.significant)"' diff.json)"
expect "the cache" false "$(jq '.rows[] | select(.function == "fill_cache") | .significant' diff.json)"
jq -e '.rows[] | select(.function == "fill_cache") | .last - .first > 20e6 and .per_second > .per_second_error' diff.json \
    >/dev/null || fail "the cache did not grow: $(jq -c '.rows[] | select(.function == "fill_cache")' diff.json)"
[ "$(jq '[.rows[] | select(.significant)] | length' diff.json)" -le 2 ] || fail "marked: $(jq -c '.rows[] | select(.significant)' diff.json)"
# 14 times 1,500 objects of 900 bytes, while the clock went on for .seconds
jq -e '.rows[0] | (.last - .first) as $grown | $grown > 14e6 and $grown < 24e6' diff.json >/dev/null ||
    fail "leaked: $(jq -c '.rows[0]' diff.json)"
jq -e '.seconds as $s | .rows[0] | (.per_second * $s / (.last - .first)) as $r | $r > 0.8 and $r < 1.25 and
    .per_second_error > 0 and .per_second_error < .per_second / 4 and .per_second_lately > 0' diff.json >/dev/null ||
    fail "slope: $(jq -c '.seconds, .rows[0]' diff.json)"
# The order of the arguments does not matter; the text is the same report.
"$HEAPPROF" diff --series --json -n 0 --hide '^keep$' $(ls -r moments/*.heap) 2>/dev/null | cmp -s - diff.json || fail "another order"
"$HEAPPROF" diff --series --hide '^keep$' moments/*.heap >text 2>/dev/null
grep -Eq '^15 moments in [0-9.]+s, from ' text && grep -Eq ' \*  leak_slowly  grower.c:' text || fail "text: $(cat text)"
"$HEAPPROF" diff --series --fail-on-growth=8M moments/*.heap >/dev/null 2>&1
expect "--fail-on-growth=8M" 3 $?
"$HEAPPROF" diff --series --fail-on-growth=64M moments/*.heap >/dev/null 2>&1
expect "--fail-on-growth=64M" 0 $?

# A program that frees at its end, after its destructors, what it leaked all the time.
cat >ends.c <<'C'
#include <stdlib.h>
#include <unistd.h>
static void *kept;
__attribute__((noinline)) static void leak_slowly(void)
{
    void **object = malloc(900);
    *object = kept;
    kept = object;
}
__attribute__((destructor)) static void free_all(void)
{
    for (void *next; kept; kept = next) {
        next = *(void **)kept;
        free(kept);
    }
}
int main(void)
{
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < 1500; k++)
            leak_slowly();
        usleep(60000);
    }
    return 0;
}
C
cc -g -O1 -o ends ends.c || exit 1
"$HEAPPROF" run -q --every=100ms -i 16K -- ./ends
expect "the last moment" 0 "$("$HEAPPROF" top --json heapprof.ends.*.0001.heap 2>/dev/null | jq '[.rows[] | select(.function == "leak_slowly").flat] | add // 0')"
"$HEAPPROF" diff --series --fail-on-growth=4M heapprof.ends.*.heap >text 2>err
expect "--fail-on-growth of a program that ended by itself" 3 $?
grep -q "is left out, as that of a program after its destructors" text || fail "not told of the end: $(cat text err)"
"$HEAPPROF" diff --series --fail-on-growth=100M heapprof.ends.*.heap >/dev/null 2>&1
expect "--fail-on-growth=100M of a program that ended by itself" 0 $?
rm -f heapprof.ends.*

# What is no series.
refused() { # STATUS TEXT ARGUMENT...
    local status=$1 text=$2
    shift 2
    "$HEAPPROF" "$@" >out 2>err
    expect "$*" "$status" $?
    grep -q "$text" err || fail "$*: $(cat err)"
    expect "$*: lines" 1 "$(wc -l <err)"
}
HEAPPROF_INTERVAL=16K with glibc "$TARGETS/leak" "$work/other.heap" "$work/another.heap" 0
refused 1 "not of the same run" diff --series moments/0[01].heap other.heap
refused 1 "is not later than" diff --series moments/00.heap moments/01.heap moments/00.heap
"$HEAPPROF" merge -o merged.heap other.heap moments/00.heap 2>/dev/null
refused 1 "a series is of profiles of one process" diff --series moments/00.heap moments/01.heap merged.heap
refused 2 "three profiles or more" diff --series moments/00.heap moments/01.heap
refused 2 "a series (--series)" diff moments/00.heap moments/01.heap moments/02.heap
refused 2 "top takes no --series" top --series moments/00.heap
refused 2 "pprof takes no --series" convert --to=pprof --series moments/00.heap

# run --every: the files, their bound, and the time line.
grow='$| = 1; for (1 .. $ARGV[0]) { push @kept, "x" x 20000; $lost = "y" x 50000; select undef, undef, undef, 0.05 }'
LC_ALL=C timeout 60 "$HEAPPROF" run --every=100ms -i 4K -- perl -e "$grow" 160 2>report
expect "run --every" 0 $?
files=(heapprof.perl.*.s*.heap)
expect "number of files" 1 $((${#files[@]} >= 30 && ${#files[@]} <= 64))
[ -e "${files[0]}" ] && [[ ${files[0]} == *.s0001.heap ]] || fail "the first moment is gone: ${files[0]}"
[[ ${files[-1]} > heapprof.perl.${files[0]#heapprof.perl.} ]] || fail "last: ${files[-1]}"
last=${files[-1]#*.s}
[ ${#files[@]} = 64 ] && [ "${last%.heap}" -le 64 ] && fail "nothing was thinned: ${files[*]}"
only heapprof.perl.*.0001.heap && check_dump "at the end" "$dump"
check_dump "a moment" "${files[1]}"
"$HEAPPROF" diff --series --json heapprof.perl.*.heap >diff.json 2>err || fail "diff --series of run: $(cat err)"
expect "moments of run" $((${#files[@]} + 1)) "$(jq '.moments | length' diff.json)"
expect "perl grows" true "$(jq '.rows[0] | .significant and .per_second > 200000 and .per_second < 500000' diff.json)"
grep -Eq '^[0-9]+ moments in [0-9.]+s +first +most +last$' report || fail "no time line: $(cat report)"
for name in live HeapInuse HeapIdle; do
    grep -Eq "^$name +[_.:=+*#-]{16,}  ( +[0-9.]+ [KM]?i?B){3}\$" report || fail "no $name: $(cat report)"
done
rm -f heapprof.*

LC_ALL=C.UTF-8 timeout 60 "$HEAPPROF" run --every=100ms -o 'mine.%p.heap.gz' -- perl -e "$grow"'kill KILL => $$' 20 2>report
expect "a killed target" 137 $?
LC_ALL=C.UTF-8 grep -Eq '^live +[▁▂▃▄▅▆▇█]{16}  ' report || fail "no time line in UTF-8: $(cat report)"
files=(mine.*.s*.heap.gz)
[ ${#files[@]} -ge 4 ] && gzip -t "${files[@]}" || fail "files of a killed target: ${files[*]}"
"$HEAPPROF" top "${files[-1]}" >/dev/null 2>err || fail "the last moment of a killed target: $(cat err)"
rm -f mine.*

timeout 60 "$HEAPPROF" run -q --every=100ms --http=127.0.0.1:0 -- perl -e "$grow" 20 >out 2>&1
expect "-q" "" "$(cat out)"
[ "$(ls heapprof.perl.*.s*.heap | wc -l)" -ge 4 ] || fail "-q: files: $(ls)"
finish "series are kept and compared"
