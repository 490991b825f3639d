# Promises about code off the beaten track, about what others interpose, and about the numbers. To be sourced by
# test_promises.sh.

# row TYPE FILE FUNCTION: its flat figure and its cumulative one; "0 0" if there is none.
row() {
    rows "$1" "$2" --raw | awk -F'\t' -v site="$3" '$1 == site { print $2, $3; seen = 1 } END { if (!seen) print "0 0" }'
}

# code NAME WORD ARGUMENT...: promise_code says the word with and without.
code() {
    local name=$1 word=$2
    shift 2
    same "$name" $allocator "$TARGETS/promise_code" "$@"
    says "^$word"
}

processor() {
    local where="at $HEAPPROF_INTERVAL"
    code "a main stack of 200 MB" deep deep
    [ $HEAPPROF_INTERVAL = 512K ] || {
        # 1,000 objects of 10,000 bytes, below 200 frames of 1 MB.
        [ "$(rows inuse_space deep.heap --raw | awk -F'\t' '$1 == "deep" { print ($3 >= 8000000) }')" = 1 ] ||
            fail "a main stack of 200 MB $where: $(row inuse_space deep.heap deep)"
        [ "$(awk '/ @ / && NF > 40 { n++ } END { print n + 0 }' deep.heap)" -gt 0 ] || fail "a main stack of 200 MB $where: short stacks"
    }
    [ "$(uname -m)" = x86_64 ] || return 0
    code "a stack whose neighbour page goes" neighbours neighbours
    code "a misaligned stack" "off the ABI" misaligned
    # (What fills blocks for MALLOC_PERTURB_, which the test runner sets, needs the flag clear.)
    MALLOC_PERTURB_= code "the direction flag" "off the ABI" misaligned down
    code "PR_TSC_SIGSEGV" "no counter" counter
    check_dump "PR_TSC_SIGSEGV $where" counter.heap
    code "a signal frame of its own" framed frame
    [ $HEAPPROF_INTERVAL = 512K ] || [ "$(rows inuse_space frame.heap --raw | awk -F'\t' '$1 == "through_trampoline" { print ($3 > 8000000) }')" = 1 ] ||
        fail "a signal frame $where: who called it: $(row inuse_space frame.heap through_trampoline)"
    rm -f ./*.heap
}

interposed() {
    local order what where="at $HEAPPROF_INTERVAL" status
    local other=$TARGETS/libpromise_locks.so
    same "an own dl_iterate_phdr" glibc "$TARGETS/promise_phdr"
    says iterated
    [ -e "$TARGETS/case_unwinder" ] && same "exceptions, an own dl_iterate_phdr" glibc "$TARGETS/case_unwinder" exceptions
    for order in "$other:$LIBHEAPPROF" "$LIBHEAPPROF:$other"; do
        for what in promise_phdr "promise_objects grow" "case_threads many" "promise_children often 50" "promise_code short 200"; do
            LD_PRELOAD=$other timeout 60 "$TARGETS"/$what >alone.out 2>/dev/null
            status=$?
            LD_PRELOAD=$order HEAPPROF_AT_EXIT=1 HEAPPROF_EVERY=50ms HEAPPROF_OUTPUT=locks.%p.heap timeout 60 "$TARGETS"/$what >with.out 2>/dev/null
            expect "$what, interposers of locks and clocks, $order, $where" "$status $(cat alone.out)" "$? $(cat with.out)"
            [ -n "$(ls locks.*.heap 2>/dev/null)" ] || [ "$what" = "promise_code short 200" ] || fail "$what, $order, $where: no dump"
            rm -f ./*.heap
        done
    done
}

# compile OUTPUT SOURCE OPTION...: a module
compile() {
    local out=$1 source=$2
    shift 2
    ${TARGET_CC:-cc} -O1 -g -shared -fPIC -x c -o "$out" "$@" - <<<"$source"
}

module='#include <stdlib.h>
static __attribute__((noinline)) void *NAME(void) { void *p = malloc(20000); __asm__ volatile("" : "+r"(p)); return p; }
void *module_entry(void) { void *p = NAME(); __asm__ volatile("" : "+r"(p)); return p; }'

modules() {
    local i where="at $HEAPPROF_INTERVAL" letter got
    command -v "${TARGET_CC:-cc}" >/dev/null || { leave_out "no compiler here" && return 0; }
    # Two libraries that ask for the same high place: the second one is below its own base.
    [ -e low1.so ] || for i in 1 2; do
        compile low$i.so "$module" -DNAME=low_$i -Wl,-Ttext-segment=0x7fff00000000 || return
    done
    allocator_files[low]=./low1.so:./low2.so # from the start
    same "libraries below their base" low "$TARGETS/promise_code" low
    says ^low
    [ $HEAPPROF_INTERVAL != 1 ] || for i in 1 2; do
        expect "library $i below its base" "10000000 10000000" "$(row inuse_space low.heap low_$i)"
    done
    mkdir -p gconv
    cp "$TARGETS"/promise_gconv_[ABC].so gconv
    printf 'module PROM%s// INTERNAL promise_gconv_%s 1\n' A A B B C C >gconv/gconv-modules
    GCONV_PATH=$work/gconv code "modules that libc unloads" converted convert 200
    [ $HEAPPROF_INTERVAL != 1 ] || {
        got=
        for letter in A B C; do got+=" $(row alloc_objects convert.heap convert_$letter)"; done
        # Each is opened 1,200 times, but unloaded only when it was not asked for three times (libc's rule).
        set -- $got
        [ "$1" -ge 5000 ] && [ "$1" = "$3" ] && [ "$1" = "$5" ] && [ "$1" = "$2" ] || fail "modules that libc unloads: $got"
    }
    rm -f ./*.heap
    [ $HEAPPROF_INTERVAL = 1 ] || return 0
    # One file under many names, each with the function's own name in it.
    [ -d modules ] || {
        mkdir modules
        compile modules/template "$module" -DNAME=grow_in_0000000 || return
        python3 -c '
template = open("modules/template", "rb").read()
for i in range(3000):
    open(f"modules/m{i}.so", "wb").write(template.replace(b"grow_in_0000000", b"grow_in_%07d" % i))'
    }
    code "3,000 modules" modules modules 3000
    expect "3,000 modules: functions with their names" 3000 \
        "$(rows inuse_objects modules.heap --raw | awk -F'\t' '/^grow_in_/ && $2 == 1' | wc -l)"
    rm -f ./*.heap
}

numbers() {
    local where="on $allocator at $HEAPPROF_INTERVAL"
    told "an interval that changes 200 times" "interval 1, 1000 samples" "$TARGETS/promise_memory" intervals
    expect "an interval that changes $where: the last leak" "1000 1000" "$(row inuse_objects intervals.heap new_leak)"
    rm -f ./*.heap
    [ $allocator = glibc ] || return 0
    told "5,000 threads, one after the other" "came and went" "$TARGETS/promise_code" short 5000
    grep -Eq '^# heapprof.thread = .* bytes=5[0-9]{7} .* name=long-lived$' threads.heap ||
        fail "5,000 threads $where: $(grep -m 3 heapprof.thread threads.heap)"
    rm -f ./*.heap
    without glibc "$TARGETS/promise_code" crowd 4000 >alone.out
    if grep -q "no more" alone.out; then
        leave_out "4,000 threads can't be had here"
    else
        told "4,000 threads" crowded "$TARGETS/promise_code" crowd 4000
        grep -Eq '^# heapprof.thread = .* bytes=32[0-9]{8} .* name=the-hog$' threads.heap ||
            fail "4,000 threads $where: the one that has all: $(grep -m 3 heapprof.thread threads.heap)"
    fi
    rm -f ./*.heap
    [ $HEAPPROF_INTERVAL = 1 ] || return 0
    told "stacks without end" stacked HEAPPROF_MEMORY=16M "$TARGETS/promise_memory" stacks 250000
    check_dump "stacks without end" stacks.heap
    expect "stacks without end: lost" 0 "$(fact stacks.heap lost)"
    expect "stacks without end: the new leak" "100000000 100000000" "$(row inuse_space stacks.heap new_leak)"
    [ "$(fact stacks.heap own_bytes)" -le 16777216 ] || fail "stacks without end: $(fact stacks.heap own_bytes) bytes"
    # 250,000 objects of 32 bytes, and the leak; what libc and the dump add is little.
    expect "stacks without end: all objects" 251 "$(rows alloc_objects stacks.heap --raw | awk -F'\t' '{ n += $2 } END { printf "%.0f", n / 1000 }')"
    rm -f ./*.heap
}

kernels() {
    local way where="at $HEAPPROF_INTERVAL" refuse populate=23 madvise=28
    export HEAPPROF_LEDGER=$work/shm
    rm -rf shm && mkdir shm
    [ "$(uname -m)" = x86_64 ] || madvise=233
    refuse="$TARGETS/promise_code refuse $madvise $populate"
    # Before Linux 5.14 the ledger is a file all the same.
    $refuse /usr/bin/env LD_PRELOAD="$LIBHEAPPROF" /bin/sleep 60 >/dev/null 2>&1 &
    way=$!
    for i in {1..100}; do [ -n "$(find shm -name "$way*.ledger")" ] && [ "$(readlink /proc/$way/exe)" != "$TARGETS/promise_code" ] && break || sleep 0.05; done
    "$HEAPPROF" dump -o refused.heap $way >/dev/null 2>refused.err || fail "without MADV_POPULATE_WRITE $where: $(cat refused.err)"
    kill -KILL $way
    wait 2>/dev/null
    rm -f refused.heap
    told "samples without MADV_POPULATE_WRITE" grown $refuse "$TARGETS/promise_objects" grow
    for way in busy prctl syscall; do
        code "a strict filter, $way" survived strict $way
    done
    # Gone by the system call: `run` has the ledger.
    "$HEAPPROF" run -- "$TARGETS/promise_code" gone >/dev/null 2>gone.err
    expect "exit_group $where: exit status" 0 $?
    grep -q 'gone' gone.err && ! grep -qi 'no profile' gone.err || fail "exit_group $where: $(head -5 gone.err)"
    # Disabled: nothing at all.
    rm -rf shm/*
    same "HEAPPROF_DISABLE" glibc HEAPPROF_DISABLE=1 HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=off.heap "$TARGETS/promise_objects" grow
    expect "HEAPPROF_DISABLE $where: files" "" "$(find shm . -name '*.ledger' -o -name 'off.heap')"
    unset HEAPPROF_LEDGER
}
