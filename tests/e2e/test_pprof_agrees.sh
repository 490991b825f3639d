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
[ $failures = 0 ] && echo "go tool pprof agrees"
exit $failures
