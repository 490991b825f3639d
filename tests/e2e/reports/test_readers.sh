#!/bin/bash
# Other people's tools read a dump of a position-independent program with a shared library: same totals, same functions,
# same figures as heapprof shows; and what `heapprof convert --to=pprof` makes has lines and inlined calls.
. "$(dirname "$0")/../lib.sh"
target=$TARGETS/reader
export HOME=$work PPROF_TMPDIR=$work PPROF_BINARY_PATH=$TARGETS

# near WHAT WANTED GOT: within 0.2 %, as tools print tenths of a MiB.
near() {
    awk -v a="$2" -v b="$3" 'BEGIN { d = a > b ? a - b : b - a; exit !(b != "" && d <= 60000 + a * 0.002) }' ||
        fail "$1 is '$3', not $2"
}

# go_pprof SAMPLE ARGUMENT...: FUNCTION<TAB>FLAT
go_pprof() {
    local sample=$1 unit=B
    shift
    case $sample in *objects) unit=count ;; esac
    go tool pprof -top -nodecount=0 -nodefraction=0 -sample_index=$sample -unit=$unit "$@" 2>err |
        sed '1,/^ *flat/d' | awk '{ gsub(/B/, "", $1); print $6 "\t" $1 + 0 }'
}

functions="own_site own_other_site recursive_site inside"
for allocator in $(allocators glibc jemalloc); do
    for interval in 1 16K; do
        rm -f ./*.heap
        with $allocator HEAPPROF_INTERVAL=$interval HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=reader.heap "$target"
        name="$allocator at $interval"
        check_dump "$name" reader.heap
        "$HEAPPROF" convert --to=pprof -o reader.pb.gz reader.heap 2>err || fail "$name: convert: $(cat err)"

        if command -v go >/dev/null && go tool pprof -h 2>&1 | grep -q sample_index; then
            for sample in inuse_space inuse_objects alloc_space alloc_objects; do
                rows $sample reader.heap >own
                go_pprof $sample "$target" reader.heap >theirs
                go_pprof $sample reader.pb.gz >converted
                for function in $functions; do
                    # Calls that were inlined are the command's alone: pprof gives their bytes to the function around.
                    key=$function
                    [ $function = own_site ] && key=inlined_site
                    ours=$(sed -n "s/^$key\t\([0-9]*\)\t.*/\1/p" own)
                    theirs=$(awk -v f=$function '$1 == f { print $2 }' theirs)
                    converted=$(awk -v f=$key '$1 == f { print $2 }' converted)
                    case $sample in
                    *space) near "$name: $sample of $function in go tool pprof" "$ours" "$theirs" ;;
                    # Objects of each sample are rounded to whole ones.
                    *) near "$name: $sample of $function in go tool pprof" "${ours}0000" "${theirs}0000" ;;
                    esac
                    [ "$((converted - ours))" -le 2 ] && [ "$((ours - converted))" -le 2 ] && [ "$ours" -gt 0 ] ||
                        fail "$name: $sample of $key: converted '$converted', not '$ours'"
                done
                total=$(awk '{ sum += $2 } END { print sum }' theirs)
                own=$("$HEAPPROF" top --json --sample=$sample reader.heap 2>/dev/null | sed -n 's/^ "total": \([0-9]*\),$/\1/p')
                near "$name: total $sample in go tool pprof" "$own" "$total"
                grep -q '^malloc\b' theirs && fail "$name: go tool pprof shows malloc"
            done
            go tool pprof -top -lines -nodecount=0 -nodefraction=0 reader.pb.gz >lines 2>err
            line=$(grep -n 'malloc(size);' "$SOURCE_ROOT/tests/targets/reader.c" | head -1 | cut -d: -f1)
            grep -q "inlined_site .*reader.c:$line" lines || fail "$name: go tool pprof has no lines: $(grep inlined_site lines | head -2)"
            grep -q '(inline)' lines || fail "$name: go tool pprof has no inlined calls"
        else
            echo "skipped: no go tool pprof here"
        fi

        for tool in google-pprof jeprof; do
            command -v $tool >/dev/null || { echo "skipped: no $tool here"; continue; }
            for sample in inuse_space alloc_space; do
                rows $sample reader.heap >own
                $tool --text --functions --$sample --show_bytes "$target" reader.heap >theirs 2>err ||
                    { fail "$name: $tool: $(tail -2 err)"; continue; }
                own=$("$HEAPPROF" top --json --sample=$sample reader.heap 2>/dev/null | sed -n 's/^ "total": \([0-9]*\),$/\1/p')
                near "$name: total $sample in $tool" "$own" "$(sed -n 's/^Total: \([0-9]*\) B$/\1/p' theirs)"
                for function in $functions; do
                    key=$function
                    [ $function = own_site ] && key=inlined_site
                    near "$name: $sample of $function in $tool" "$(sed -n "s/^$key\t\([0-9]*\)\t.*/\1/p" own)" \
                        "$(awk -v f=$function -v g=$key '$6 == f || $6 == g { sum += $1 } END { print sum }' theirs)"
                done
                awk '$6 == "malloc" && $1 > 0' theirs | grep . && fail "$name: $tool shows malloc"
            done
        done
    done
done
finish "all tools agree"
