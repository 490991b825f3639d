#!/bin/bash
# Targets that know what they allocated, in the ways in which samplers go wrong (tests/targets/truth.c), under the real
# library: estimates of bytes and objects, live and cumulative, are without bias, as heapprof top shows them and as
# go tool pprof does, which scales by itself. Argument: the case.
#
# The random numbers are those of a real run, so an estimate without bias is more than 4.5 standard errors off in 1 of
# 150,000 checks. As many objects are allocated as make the standard error 0.45 percent at most, so that a bias of 2 percent
# is seen. Where sampled objects are marked by their addresses, from 64K on and on glibc from 512K, it is 1 percent, and
# 4 on glibc.
#
# Faults it was seen to catch: tests/statistics/faults.sh.
. "$(dirname "$0")/../e2e/lib.sh"
case=$1
has_go=
if command -v go >/dev/null && go tool pprof -h 2>&1 | grep -q sample_index; then
    has_go=1
else
    echo "go tool pprof is not here, and not compared"
fi
export HOME=$work PPROF_TMPDIR=$work

# check NAME READER: the sites of the file "truth" (added up over processes) with "estimates.READER", which has lines
# SITE TYPE ESTIMATE ERROR (half-widths of the 95 % interval). "-" in truth: not to be compared.
check() {
    awk -v name="$1" -v most=$most '
        FNR == NR {
            for (i = 1; i <= 4; i++)
                if ($(i + 2) != "-")
                    truth[$2, type[i]] += $(i + 2)
            next
        }
        { estimate[$1, $2] = $3; error[$1, $2] = $4 }
        function wrong(what) { print "FAIL: " name ": " part[1] " " part[2] ": " what; bad = 1 }
        BEGIN { split("inuse_objects inuse_space alloc_objects alloc_space", type) }
        END {
            for (key in truth) {
                split(key, part, SUBSEP)
                off = estimate[key] - truth[key]
                se = error[key] / 1.96
                z = se ? off / se : 0
                checks++
                if (truth[key] == 0) {
                    if (estimate[key] != 0) wrong(estimate[key] " where nothing is")
                    continue
                }
                printf "%-32s %-13s %-13s truth %11.0f, off %+.3f %%, %+.2f standard errors of %.3f %%\n", name, part[1],
                    part[2], truth[key], 100 * off / truth[key], z, 100 * se / truth[key]
                if (off > 4.5 * se || off < -4.5 * se) wrong("biased")
                if (100 * se > most * truth[key]) wrong("too few samples to tell")
            }
            if (checks < 2) { print "FAIL: " name ": nothing to compare"; bad = 1 }
            exit bad
        }' truth "estimates.$2" || failures=$((failures + 1))
}

# read_heapprof FILE...: what heapprof top says of them, merged.
read_heapprof() {
    local type
    for type in inuse_space inuse_objects alloc_space alloc_objects; do
        rows $type "$@" | awk -v type=$type -F'\t' '{ print $1, type, $2, $4 }'
    done >estimates.heapprof
}

# read_pprof FILE...: what go tool pprof says, by its own scaling; the errors are heapprof's. False: it is not here.
read_pprof() {
    local type unit
    [ $has_go ] || return 1
    for type in inuse_space inuse_objects alloc_space alloc_objects; do
        unit=B
        case $type in *objects) unit=count ;; esac
        go tool pprof -top -nodecount=0 -nodefraction=0 -sample_index=$type -unit=$unit "$TARGETS/truth" "$@" 2>err |
            sed '1,/^ *flat/d' | awk -v type=$type '{ print $6, type, $4 + 0 }'
    done | awk 'FNR == NR { error[$1, $2] = $4; next } { print $0, error[$1, $2] }' estimates.heapprof - >estimates.pprof
    [ -s estimates.pprof ] || fail "go tool pprof read nothing: $(cat err)"
}

compare() { # NAME FILE...
    local name=$1
    shift
    read_heapprof "$@"
    check "$name" heapprof
    read_pprof "$@" && check "$name, go tool pprof" pprof
}

# run NAME INTERVAL MOST [COUNT]: MOST is the standard error that is enough, in percent. Behind $allocator, or glibc.
run() {
    local name=$1 at=$2 parent
    most=$3
    shift 3
    rm -f ./*.heap
    with ${allocator:-glibc} HEAPPROF_INTERVAL=$at HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=%p.heap "$TARGETS/truth" $case "$@" >all 2>err ||
        fail "$name: exit status $?: $(cat err)"
    case $case in
    fork)
        # Ends last, by the dump's own clock: files of the same tick of the kernel's are of one age. Its number need not be
        # the lowest.
        parent=$(grep -o 'time_ns=[0-9]*' ./*.heap | sort -t = -k 2 -n | tail -1 | cut -d : -f 1)
        tail -1 all | awk '{ $3 = $4 = "-"; print }' >truth # few are live
        compare "$name, parent" "$parent"
        rm "$parent"
        # What they had from the parent they freed. go makes whole objects of each process's figures by cutting off the
        # rest; of so many small profiles that is more than a percent.
        { grep site_child all && echo "site site_parent 0 0 - -"; } >truth
        [ "$(ls ./*.heap | wc -l)" -ge 900 ] || fail "$name: only $(ls ./*.heap | wc -l) dumps of children"
        read_heapprof ./*.heap
        check "$name, children" heapprof
        awk '{ $3 = $5 = "-"; print }' truth >spaces && mv spaces truth
        read_pprof ./*.heap && check "$name, children, go tool pprof" pprof
        ;;
    intervals)
        # Allocated while it took effect that sampling is on or off; and while it was off.
        sed -e '/site_second/d' -e '/site_unseen/s/ [0-9].*/ 0 0 0 0/' all >truth
        compare "$name" ./*.heap
        ;;
    *)
        mv all truth
        compare "$name" ./*.heap
        ;;
    esac
}

rounds=1
[ "${LONG:-1}" = 1 ] || rounds=4
for ((round = 0; round < rounds; round++)); do
    case $case in
    threads | aligned) run "$case at 1K" 1K 0.45 ;;
    *) run "$case at 4K" 4K 0.45 ;;
    esac
    case $case in
    realloc) run "$case at 512K" 512K 4 400000 ;;
    aligned) run "$case at 512K" 512K 4 1200000 ;;
    esac
    for allocator in $(allocators | grep jemalloc); do
        case $case in
        realloc) run "$case at 64K on jemalloc" 64K 1 400000 ;;
        aligned) run "$case at 64K on jemalloc" 64K 1 2400000 ;;
        esac
    done
    allocator=
done
finish "no bias in $case"
