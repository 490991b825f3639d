#!/bin/bash
# go tool pprof -top shows the same flat and cumulative figures as heapprof top, for all sample types, to the rounding of
# each sample to whole bytes and objects; and the same totals for the text itself, which it scales by its own formula.
set -u
: "${HEAPPROF:?path of the command}" "${SOURCE_ROOT:?root of the source}"
if ! command -v go >/dev/null || ! go tool pprof -h 2>&1 | grep -q sample_index; then
    echo "SKIPPED: no go tool pprof here to compare with"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NO_COLOR=1 LC_ALL=C HOME=$work PPROF_TMPDIR=$work
cd "$SOURCE_ROOT/tests/data" || exit 1
failures=0

pprof() {
    local sample=$1 unit=B
    shift
    case $sample in *objects) unit=count ;; esac
    go tool pprof -top -nodecount=0 -nodefraction=0 -symbolize=none -sample_index="$sample" -unit=$unit "$@" 2>"$work/err" ||
        cat "$work/err"
}

# FUNCTION<TAB>FLAT<TAB>CUM lines, sorted.
rows_of_pprof() {
    pprof "$@" | sed '1,/^ *flat/d; s/ (inline)$//' | awk '{
        name = $6; for (i = 7; i <= NF; i++) name = name " " $i
        gsub(/B/, "", $1); gsub(/B/, "", $4); print name "\t" $1 + 0 "\t" $4 + 0 }' | sort
}

rows_of_heapprof() {
    "$HEAPPROF" top --json -n 0 --sample="$@" 2>/dev/null | awk -F'": ' '
        /"function"/ { name = $2; sub(/^"/, "", name); sub(/",$/, "", name) }
        /^ *"flat":/ { flat = $2 + 0 }
        /^ *"cum":/ { print name "\t" flat "\t" $2 + 0 }' | sort
}

total_of_pprof() {
    pprof "$@" | sed -n 's/.* of \([0-9]*\)B* total$/\1/p'
}

total_of_heapprof() {
    "$HEAPPROF" top --json --sample="$@" 2>/dev/null | sed -n 's/^ "total": \([0-9]*\),$/\1/p'
}

near() { # equal to within 10, or 1 in 10,000
    awk -v a="$1" -v b="$2" 'BEGIN { d = a > b ? a - b : b - a; exit !(a != "" && b != "" && (d <= 10 || d <= a / 10000)) }'
}

for file in before after exact; do
    "$HEAPPROF" convert --to=pprof -o "$work/$file.pb.gz" $file.prof 2>/dev/null || exit 1
    for sample in inuse_space inuse_objects alloc_space alloc_objects; do
        for options in "" "-focus=dict|main" "-ignore=recurse" "-hide=sds"; do
            ours=${options:+-$options}
            # A name for what has none is each tool's own.
            rows_of_pprof $sample ${options:+"$options"} "$work/$file.pb.gz" | grep -v 'query-server\|^0x\|^\[' >"$work/pprof"
            rows_of_heapprof $sample $ours $file.prof | grep -v query-server >"$work/heapprof"
            count=$(wc -l <"$work/heapprof")
            [ "$count" -ge 3 ] || { echo "FAIL: $file $sample $options: $count rows"; failures=1; }
            paste "$work/pprof" "$work/heapprof" | while IFS=$'\t' read -r a flat cum b our_flat our_cum; do
                [ "$a" = "$b" ] && near "$flat" "$our_flat" && near "$cum" "$our_cum" ||
                    echo "FAIL: $file $sample $options: $a $flat $cum, not $b $our_flat $our_cum"
            done >"$work/differences"
            [ "$(wc -l <"$work/pprof")" = "$count" ] || echo "FAIL: $file $sample $options: other rows" >>"$work/differences"
            if [ -s "$work/differences" ]; then
                cat "$work/differences"
                failures=1
            fi
        done
        text=$(total_of_pprof $sample $file.prof) own=$(total_of_heapprof $sample $file.prof)
        near "$text" "$own" || { echo "FAIL: total of $file $sample: $text, not $own"; failures=1; }
    done
done
# Allocators' own dumps. go reads gperftools' (its names of functions from the program), jeprof jemalloc's.
cat >"$work/churn.c" <<'C'
#include <stdlib.h>
static void *kept[4000];
__attribute__((noinline)) static void *small(void) { return malloc(48); }
__attribute__((noinline)) static void *large(void) { return malloc(100000); }
__attribute__((noinline)) static void leak(int i) { kept[i] = i % 10 ? small() : large(); }
__attribute__((noinline)) static void churn(void) { void *volatile p = malloc(3000); free(p); }
int main(void) { for (int i = 0; i < 4000; i++) { leak(i); for (int j = 0; j < 20; j++) churn(); } return kept[9] == NULL; }
C
cc -g -O1 -o "$work/churn" "$work/churn.c" || exit 1
cd "$work" || exit 1
HEAPPROFILE=$work/gp LD_PRELOAD=libtcmalloc.so.4 ./churn >/dev/null 2>&1
MALLOC_CONF=prof:true,prof_final:true,lg_prof_sample:14,prof_accum:true,prof_prefix:$work/je LD_PRELOAD=libjemalloc.so.2 \
    ./churn >/dev/null 2>&1
for sample in inuse_space inuse_objects alloc_space alloc_objects; do
    [ -e gp.0001.heap ] || { echo "SKIPPED: no libtcmalloc.so.4 here"; exit 77; }
    for function in main leak small large churn; do
        theirs=$(go tool pprof -top -nodecount=0 -nodefraction=0 -symbolize=local -sample_index=$sample \
            -unit="$([ ${sample#*_} = space ] && echo B || echo count)" ./churn gp.0001.heap 2>/dev/null |
            awk -v f=$function '$6 == f { gsub(/B/, ""); print $1 + 0, $4 + 0 }')
        ours=$(rows_of_heapprof $sample gp.0001.heap | awk -F'\t' -v f=$function '$1 == f && $3 { print $2, $3 }')
        [ -n "$ours$theirs" ] || continue # nothing of this type
        [ "$ours" = "$theirs" ] || { echo "FAIL: gperftools' dump, $sample of $function: $theirs, not $ours"; failures=1; }
    done
    [ -n "$ours" ] || [ $sample = inuse_space ] || [ $sample = inuse_objects ] || { echo "FAIL: no churn"; failures=1; }
    dump=$(ls je.*.heap 2>/dev/null | head -1)
    if [ -n "$dump" ] && command -v jeprof >/dev/null; then
        theirs=$(jeprof --show_bytes --text --$sample ./churn "$dump" 2>/dev/null | sed -n 's/^Total: \([0-9]*\) .*/\1/p')
        ours=$(total_of_heapprof $sample "$dump")
        near "$theirs" "$ours" || { echo "FAIL: jemalloc's dump, $sample: $theirs, not $ours"; failures=1; }
        sites=$(rows_of_heapprof $sample "$dump" | awk -F'\t' '$2 > 0 && $1 != "small" && $1 != "large" && $1 != "churn"' | grep -c 'lib[a-z]*malloc')
        [ "$sites" = 0 ] || { echo "FAIL: jemalloc's dump, $sample: the allocator's own code is a site"; failures=1; }
    else
        echo "SKIPPED: no jemalloc with profiling, or no jeprof here"
        exit 77
    fi
done

[ $failures = 0 ] && echo "go tool pprof agrees"
exit $failures
