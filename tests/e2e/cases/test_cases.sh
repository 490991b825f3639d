#!/bin/bash
# Ways in which interposing profilers have hurt their targets, each as a small target that runs with and without the
# library, with glibc and jemalloc (tcmalloc and mimalloc where they may differ), at 512K, 4K and 1. The first argument is
# the group: loader, unwinders, threads, life, forks, limits, places, accounting. cases.md tells which case is where.
. "$(dirname "$0")/../lib.sh"
cases=${1:?group of cases}
limit=$((240 + ${SOAK_SECONDS:-0})) # catches what hangs, not what is slow on a loaded machine

# watched COMMAND...: what it does, and after $limit seconds the stacks of all its threads, and its end.
watched() {
    local pid nap ended status thread
    "$@" <&0 &
    pid=$!
    sleep $limit >/dev/null 2>&1 &
    nap=$!
    wait -n -p ended $pid $nap 2>/dev/null
    status=$?
    if [ "$ended" = $nap ]; then
        {
            fail "after $limit s: $*"
            gdb -batch -nx -p $pid -ex 'thread apply all backtrace' 2>/dev/null ||
                for thread in /proc/$pid/task/*; do
                    echo "$thread" && cat "$thread/wchan" "$thread/stack" "$thread/syscall"
                done
        } >&3 2>&1
        kill -KILL $pid
        wait $pid 2>/dev/null
        return 137
    fi
    kill -KILL $nap
    wait $nap 2>/dev/null
    return $status
}
exec 3>&1

# As lib.sh has them, but watched.
with() {
    local allocator=$1
    shift
    watched env LD_PRELOAD="$LIBHEAPPROF${allocator_files[$allocator]+:${allocator_files[$allocator]}}" "$@"
}

without() {
    local allocator=$1
    shift
    watched env LD_PRELOAD="${allocator_files[$allocator]-}" "$@"
}

. "$here/intervals.sh"

# accounted NAME DUMP SITE OBJECTS BYTES ALL_OBJECTS ALL_BYTES: the exact figures of a function at interval 1.
accounted() {
    local name=$1 file=$2 site=$3 type found=
    shift 3
    for type in inuse_objects inuse_space alloc_objects alloc_space; do
        found+=" $(rows $type "$file" --raw | awk -F'\t' -v site="$site" '$1 == site { print $2; seen = 1 } END { if (!seen) print 0 }')"
    done
    expect "$name: $site" "$*" "${found# }"
    expect "$name: lost" 0 "$(fact "$file" lost)"
}

loader() {
    local allocator=$1 way
    same "case 1: dlopen's constructor waits for a lock" $allocator "$TARGETS/case_loader" load "$TARGETS"
    says "loaded and unloaded"
    same "case 2: allocation in dl_iterate_phdr" $allocator "$TARGETS/case_loader" iterate
    says iterated
    same "case 4: ways around the hooks" $allocator "$TARGETS/case_loader" around "$TARGETS"
    [ $allocator != glibc ] || same "case 4: back by another way" glibc "$TARGETS/case_loader" around "$TARGETS" crossing
    says "around and back"
    same "case 5: pointers to malloc" $allocator "$TARGETS/case_loader" ways
    LD_BIND_NOW=1 same "case 5: LD_BIND_NOW" $allocator "$TARGETS/case_loader" ways
    says "all ways lead to it"
    same "case 5: -z now, and pointers that are the program's own" $allocator "$TARGETS/case_loader_now" ways
    says "all ways lead to it"
    same "case 6: dlsym under load" $allocator "$TARGETS/case_loader" lookups
    says "looked up"
    [ ! -e "$TARGETS/case_cxx" ] || {
        same "case 2: first operator new" $allocator "$TARGETS/case_cxx" iterate
        says iterated
    }
    # A second interposer: before, and after.
    [ $allocator != glibc ] || export CASE_CLOCK=1
    local other=$TARGETS/libcase_interposer.so behind=${allocator_files[$allocator]-}
    for order in "$other:$LIBHEAPPROF" "$LIBHEAPPROF:$other"; do
        for what in ways "load $TARGETS" lookups; do
            watched env LD_PRELOAD="$other:$behind" "$TARGETS/case_loader" $what >alone.out 2>alone.err
            status=$?
            watched env LD_PRELOAD="$order:$behind" HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT="$work/other.heap" \
                "$TARGETS/case_loader" $what >with.out 2>with.err
            expect "case 7: $order, $what, on $allocator at $HEAPPROF_INTERVAL: exit status" $status $?
            expect "case 7: $order, $what, on $allocator: output" "$(cat alone.out alone.err)" "$(cat with.out with.err)"
            [ -s other.heap ] || fail "case 7: $order on $allocator at $HEAPPROF_INTERVAL: no dump"
            [ $HEAPPROF_INTERVAL = 512K ] || [ "$(fact other.heap samples)" -gt 0 ] || fail "case 7: $order: no samples"
            rm -f other.heap
        done
    done
    unset CASE_CLOCK
}

unwinders() {
    local allocator=$1 program case
    for program in "$TARGETS"/case_unwinder{,_own,_llvm}; do
        [ -e "$program" ] || { [ $HEAPPROF_INTERVAL != 1 ] || echo "skipped: no ${program##*/} here, for case 9" && continue; }
        for case in "exceptions:destroyed" "jumps:back each time" "backtraces:frames"; do
            same "case 9: ${case%%:*} in ${program##*/}" $allocator "$program" ${case%%:*}
            says "${case#*:}"
        done
    done
    # A C++ runtime that comes late: whose operators are behind us is found out when new is first used.
    [ -e "$TARGETS/libguest_plugin.so" ] || return 0
    same "case 9: a C++ runtime that comes by dlopen" $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=late.heap \
        "$TARGETS/guest_code" exceptions "$TARGETS/libguest_plugin.so"
    says "^2000$"
    expect "case 9: late C++ on $allocator at $HEAPPROF_INTERVAL: lost" 0 "$(fact late.heap lost)"
    if [ $HEAPPROF_INTERVAL = 1 ]; then # each of 11 strings in a tracked object, and nothing of it is left
        expect "case 9: late C++ on $allocator: live" "" \
            "$(rows inuse_objects late.heap --raw --focus plugin_work | awk -F'\t' '$2 > 0 && $1 != "allocate_dtv_entry" { print }')"
        rows alloc_objects late.heap --raw --focus plugin_work >rows
        [ "$(awk -F'\t' '$1 == "plugin_work" { print $3 }' rows)" -ge 220000 ] ||
            fail "case 9: late C++ on $allocator: too few objects: $(cat rows)"
    fi
    rm -f late.heap
}

loader_once() {
    local linker
    linker=$(LC_ALL=C readelf -lW /bin/true | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
    for program in /bin/true "$TARGETS/case_loader"; do
        LD_PRELOAD=$LIBHEAPPROF ldd "$program" >with.out 2>with.err
        expect "case 10: ldd $program" "0 " "$? $(cat with.err)"
        # ldd is a script, and so is a target itself.
        grep -q libheapprof with.out || fail "case 10: ldd $program: $(cat with.out)"
        ldd "$program" | sed 's/ (0x.*//' >alone.out
        sed -e 's/ (0x.*//' -e /libheapprof/d with.out | diff alone.out - >differ || fail "case 10: ldd: $(cat differ)"
        LD_TRACE_LOADED_OBJECTS=1 LD_PRELOAD=$LIBHEAPPROF HEAPPROF_AT_EXIT=1 $program >with.out 2>with.err
        expect "case 10: LD_TRACE_LOADED_OBJECTS" "0 " "$? $(cat with.err)"
        "$linker" --verify "$program"
        status=$?
        LD_PRELOAD=$LIBHEAPPROF "$linker" --verify "$program" >with.out 2>&1
        expect "case 10: --verify" "$status " "$? $(cat with.out)"
        LD_PRELOAD=$LIBHEAPPROF "$linker" --list "$program" >with.out 2>with.err
        expect "case 10: --list" "0 " "$? $(cat with.err)"
    done
    expect "case 10: files" "" "$(ls ./*.heap 2>/dev/null)"
    LD_PRELOAD=$LIBHEAPPROF "$linker" /bin/echo by hand >with.out 2>with.err
    expect "case 10: a program started by ld.so" "0 by hand" "$? $(cat with.out with.err)"
}

threads() {
    local allocator=$1
    same "case 11: 4,000 threads" $allocator "$TARGETS/case_threads" many
    says "nothing kept"
    same "case 12: destructors" $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=tsd.heap "$TARGETS/case_threads" destructors
    says "all destroyed"
    # 1,000 threads with three keys; 150 bytes and then 200, each.
    [ $HEAPPROF_INTERVAL != 1 ] || accounted "case 12 on $allocator" tsd.heap tsd_site 0 0 6000 $((3000 * 350))
    rm -f tsd.heap
    [ ! -e "$TARGETS/case_cxx" ] || {
        same "case 12: C++ destructors" $allocator "$TARGETS/case_cxx" thread_locals
        says "all said"
    }
    same "case 15: signals" $allocator "$TARGETS/case_threads" signals
    says "own handler 12"
    same "case 15: the default action" $allocator "$TARGETS/case_threads" signals default
    same "case 17: cancellation" $allocator "$TARGETS/case_threads" cancel
    says ^cancelled
    [ $allocator != jemalloc ] || {
        same "case 17: threads of the allocator's own" jemalloc "$TARGETS/case_threads" allocator
        says "started and stopped"
    }
    [ $HEAPPROF_INTERVAL = 512K ] || {
        # Each is a file that is renamed, which takes 12 ms on a loaded machine.
        local storm=1000
        [ $allocator$HEAPPROF_INTERVAL != glibc4K ] || storm=10000
        with $allocator HEAPPROF_OUTPUT=storm.heap "$TARGETS/dumper" storm $storm >with.out 2>with.err
        expect "case 14: $storm dumps on $allocator at $HEAPPROF_INTERVAL" "0 done" "$? $(cat with.out with.err)"
        check_dump "case 14: $storm dumps" storm.heap
        rm -f storm.heap
    }
    [ $allocator = glibc ] || return
    allocator_files[handlers]=$TARGETS/libcase_allocator.so
    same "case 14: allocation in 10,000 handlers" handlers "$TARGETS/case_threads" handlers 10000
    says "^handled, accounted"
}

life() {
    local allocator=$1 way
    same "case 19: clones" $allocator "$TARGETS/case_life" clones
    says "all clones are well"
    same "case 19: a daemon" $allocator "$TARGETS/case_life" daemon
    says "the daemon worked"
    mkdir -p -m 777 open
    same "case 20: rights given up" $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT="$work/open/%p.heap" "$TARGETS/case_life" give_up
    says "given up"
    expect "case 20 on $allocator at $HEAPPROF_INTERVAL: dumps" 11 "$(ls open | wc -l)"
    check_dump "case 20 on $allocator" "open/$(ls open | head -1)"
    rm -rf open
    if unshare -m umount -l /proc 2>/dev/null; then
        for way in "case_life daemon" "guest counts" "case_threads cancel"; do
            without $allocator unshare -m bash -c 'umount -l /proc; exec "$@"' - "$TARGETS"/$way >alone.out 2>alone.err
            status=$?
            watched unshare -m bash -c 'umount -l /proc; export LD_PRELOAD=$0; exec "$@"' \
                "$LIBHEAPPROF${allocator_files[$allocator]+:${allocator_files[$allocator]}}" \
                env HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=proc.heap "$TARGETS"/$way >with.out 2>with.err
            expect "case 25: $way without /proc on $allocator: exit status" $status $?
            expect "case 25: $way without /proc on $allocator" "$(cat alone.out alone.err)" "$(cat with.out with.err)"
            # A process without samples has no figures of the allocator.
            [ $HEAPPROF_INTERVAL = 512K ] || [ "${way#* }" = daemon ] || check_dump "case 25: $way without /proc on $allocator" proc.heap
            [ -s proc.heap ] || fail "case 25: $way without /proc on $allocator at $HEAPPROF_INTERVAL: no dump"
            rm -f proc.heap
        done
    else
        [ $HEAPPROF_INTERVAL != 1 ] || echo "skipped: no mount namespaces here, for case 25"
    fi
    for way in exit:11 quick:12 _exit:13 abort:134 handler:14 _handler:15; do
        rm -f ./*.heap
        HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=end.heap same "case 21: ${way%:*} under load" $allocator \
            "$TARGETS/case_life" end ${way%:*}
        with $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=end.heap "$TARGETS/case_life" end ${way%:*} >with.out 2>&1
        expect "case 21: ${way%:*} on $allocator" ${way#*:} $?
        [ ${way%:*} = abort ] || check_dump "case 21: ${way%:*} on $allocator at $HEAPPROF_INTERVAL" end.heap
    done
    expect "case 21: what is left" "./end.heap" "$(ls ./*heap* 2>/dev/null)"
    rm -f ./*.heap
}

. "$here/cases/cases_process.sh"

accounting() {
    local allocator=$1 truth
    same "case 27: errors and results" $allocator "$TARGETS/case_accounting" errors
    says "^realloc(too much): result 1,"
    same "case 28: the allocator's other functions" $allocator "$TARGETS/case_accounting" extras
    says "malloc_info <malloc"
    same "case 30: before the library, and after it" $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=early.heap \
        "$TARGETS/case_accounting" early
    says "early and late"
    [ -s early.heap ] || fail "case 30 on $allocator at $HEAPPROF_INTERVAL: no dump"
    [ $HEAPPROF_INTERVAL != 1 ] || accounted "case 30 on $allocator" early.heap allocate_early 0 0 50 51225
    rm -f early.heap
    [ ! -e "$TARGETS/case_cxx" ] || {
        same "case 29: new_handler" $allocator "$TARGETS/case_cxx" handlers
        # (Debian's mimalloc is built as C, and ends a program that has no memory.)
        [ $allocator = mimalloc ] || says "^bad_alloc bad_alloc null bad_alloc bad_alloc bad_array_new_length"
        [ $allocator != glibc ] || {
            same "case 29: the first new has no memory" $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=after.heap \
                "$TARGETS/case_cxx" exhausted
            says "^bad_alloc, memory"
            [ $HEAPPROF_INTERVAL != 1 ] || accounted "case 29" after.heap site_after 1000 599500 1000 599500
            rm -f after.heap
        }
    }
    with $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=hand.heap "$TARGETS/case_accounting" hand_over 2000000 >truth 2>err
    expect "case 31 on $allocator at $HEAPPROF_INTERVAL" "0 " "$? $(cat err)"
    read -r _ _ truth <truth
    [ $HEAPPROF_INTERVAL != 1 ] || accounted "case 31 on $allocator" hand.heap the_site $truth
    expect "case 31 on $allocator at $HEAPPROF_INTERVAL: lost" 0 "$(fact hand.heap lost)"
    rm -f hand.heap
    [ $HEAPPROF_INTERVAL = 1 ] || return
    local seconds=10
    [[ $allocator = [gj]* ]] && seconds=${SOAK_SECONDS:-20}
    with $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=soak.heap "$TARGETS/case_accounting" soak $seconds >truth 2>err
    expect "case 33 on $allocator" "0 " "$? $(cat err)"
    read -r _ _ truth <truth
    accounted "case 33 on $allocator" soak.heap the_site $truth
    expect "case 33 on $allocator" "own memory is steady" "$(tail -1 truth)"
    echo "case 33 on $allocator: $(head -1 truth); $(grep '^own memory:' truth)"
    rm -f soak.heap
}

behind="glibc jemalloc"
case $cases in
loader | unwinders | accounting) behind+=" tcmalloc mimalloc" ;;
esac
for allocator in $(allocators $behind); do
    intervals="512K 4K 1"
    [[ $allocator = [gj]* ]] || intervals="4K 1"
    for interval in $intervals; do
        export HEAPPROF_INTERVAL=$interval
        $cases $allocator
    done
done
[ $cases != loader ] || loader_once
finish "all cases of $cases are met"
