# Promises about objects and memory. To be sourced by test_promises.sh.

objects() {
    local order
    same "objects of all sizes and alignments" $allocator "$TARGETS/promise_objects" family
    says "as given"
    same "buffers that grow" $allocator "$TARGETS/promise_objects" grow
    says grown
    [ $allocator != jemalloc ] || {
        same "arenas that are destroyed" jemalloc "$TARGETS/promise_objects" arenas
        says destroyed
    }
    [ $allocator = glibc ] || return 0
    behind promise_four
    same "an interposer with four functions" promise_four "$TARGETS/promise_objects" grow
    says grown
    behind promise_check
    same "each call as it was made" promise_check "$TARGETS/promise_objects" family
    says "as given"
    [ "$(wc -l <with.out)" -gt 60000 ] || fail "only $(wc -l <with.out) calls noted"
    plain_same "a double free at $HEAPPROF_INTERVAL" glibc "$TARGETS/promise_objects" twice
    grep -q "double free" with.err || fail "a double free at $HEAPPROF_INTERVAL: $(cat with.out with.err)"
}

# found PATTERN: a library by the name that the loader knows.
found() {
    PATH=$PATH:/sbin:/usr/sbin ldconfig -p | awk '{ print $1 }' | grep -Ex "$1" | sort -uVr | head -1
}

# Allocators for debugging, which see what is wrong with a program.
objects_once() {
    local name file
    for name in libtcmalloc_debug libtcmalloc_minimal_debug; do
        file=$(found $name'\.so\.[0-9]+')
        [ -n "$file" ] || { leave_out "no $name here" && continue; }
        allocator_files[$name]=$file
        HEAPPROF_INTERVAL=1 same "a start" $name true
        HEAPPROF_INTERVAL=4K same "growing buffers" $name "$TARGETS/promise_objects" grow
        says grown
    done
    file=$(found 'libc_malloc_debug\.so\.[0-9]+')
    [ -n "$file" ] || { leave_out "no libc_malloc_debug here" && return 0; }
    allocator_files[debug]=$file
    for HEAPPROF_INTERVAL in 512K 4K 1; do
        MALLOC_CHECK_=3 same "an overrun" debug "$TARGETS/promise_objects" overrun
        expect "an overrun at $HEAPPROF_INTERVAL" "" "$(cat with.out)"
        rm -f calls
        MALLOC_TRACE=calls without debug "$TARGETS/promise_objects" traced >alone.out
        sed 's/0x[0-9a-f]*/P/; s/.*\] //' calls | sort >alone.calls
        rm -f calls
        MALLOC_TRACE=calls with debug "$TARGETS/promise_objects" traced >with.out
        expect "mtrace at $HEAPPROF_INTERVAL: exit status" "0 traced" "$? $(cat with.out)"
        expect "mtrace at $HEAPPROF_INTERVAL: calls" 199 "$(grep -c '[+-]' alone.calls)"
        expect "mtrace at $HEAPPROF_INTERVAL: calls with the library" "199" "$(sed 's/.*\] //' calls 2>/dev/null | grep -c '^[+-] ')"
    done
}

# measured WHAT ALONE WITH MOST: figures that targets gave on their error output
measured() {
    [[ "$2$3" =~ ^[0-9]+$ ]] && [ "$3" -le "$4" ] || fail "$1 on $allocator at $HEAPPROF_INTERVAL: $3, not at most $4 ($2 without)"
}

memory() {
    local sizes alone size got where="on $allocator at $HEAPPROF_INTERVAL"
    for sizes in "500 200000 8000000" "250 1000000 16000000"; do
        without $allocator "$TARGETS/promise_objects" replace $sizes >alone.out 2>alone.err
        told_out "blocks that replace each other" replaced "$TARGETS/promise_objects" replace $sizes
        alone=$(cat alone.err)
        # KiB: the library's own (16 MiB for the samples of interval 1 are far more than it takes), and some that is chance.
        measured "blocks of $sizes" "$alone" "$(cat with.err)" $((alone * 5 / 4 + 16384))
    done
    without $allocator "$TARGETS/promise_memory" lock >alone.out 2>alone.err
    told_out "mlockall" "$(cat alone.out)" "$TARGETS/promise_memory" lock
    measured "locked KiB" "$(cat alone.err)" "$(cat with.err)" $(($(cat alone.err) + 6656))
    [ $allocator = glibc ] || return 0
    if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --clear-groups true 2>/dev/null; then
        told_out "mlockall with a limit" "mlockall 0, locked" prlimit --memlock=8388608:8388608 setpriv --reuid=65534 --regid=65534 \
            --clear-groups --inh-caps=-all --bounding-set=-all "$TARGETS/promise_memory" lock
    else
        leave_out "another user can't be had here"
    fi
    # The library's address space is small enough for what a target had in mind for itself.
    without glibc "$TARGETS/promise_memory" limit 100 >alone.out 2>alone.err
    size=$(cat alone.err)
    told_out "a late limit of address space" "84 MiB" "$TARGETS/promise_memory" limit 100 $((size + 16384))
    size=2000000
    [ $HEAPPROF_INTERVAL != 1 ] || size=200000
    without glibc "$TARGETS/promise_memory" chunks $size >alone.out 2>alone.err
    told_out "free chunks" paired "$TARGETS/promise_memory" chunks $size
    measured "ms of malloc and free among free chunks" "$(cat alone.err)" "$(cat with.err)" $(($(cat alone.err) * 4 + 150))
    told_out "own time" timed "$TARGETS/promise_memory" own
    if [ -n "$group" ] || memory_group 40M; then
        # A twentieth of 40 MiB, whatever HEAPPROF_MEMORY says.
        got=$(sh -c 'echo $$ >"$0"; exec "$@"' "$group/cgroup.procs" env LD_PRELOAD="$LIBHEAPPROF" \
            "$TARGETS/promise_memory" crowd 700000 2>&1)
        expect "a memory cgroup $where" "0 crowded little of its own" "$? $got"
        [ $HEAPPROF_INTERVAL != 1 ] || {
            check_dump "a memory cgroup $where" crowd.heap
            [ "$(fact crowd.heap lost)" -gt 1000 ] || fail "a memory cgroup $where: lost $(fact crowd.heap lost)"
        }
        rm -f crowd.heap
    else
        leave_out "no memory cgroup can be made here"
    fi
}

# told_out NAME WANTED COMMAND...: as told, but of the standard output alone.
told_out() {
    local name="$1 on $allocator at $HEAPPROF_INTERVAL" wanted=$2
    shift 2
    with $allocator "$@" >with.out 2>with.err </dev/null
    expect "$name" "0 $wanted" "$? $(cat with.out)"
}

full() {
    local when size where="at $HEAPPROF_INTERVAL"
    unshare -m true 2>/dev/null || { leave_out "no mount namespaces here" && return 0; }
    for size in 1M 2M 64M; do
        for when in start later fork; do
            # The library comes when /dev/shm is as it is to be.
            timeout 60 unshare -m sh -c 'mount -t tmpfs -o size=$0 none /dev/shm || exit 98
                [ "$1" != start ] || head -c 70M /dev/zero >/dev/shm/filler 2>/dev/null
                LD_PRELOAD=$LIBHEAPPROF HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=full.%p.heap exec "$TARGETS/promise_memory" full "$1"' \
                $size $when >with.out 2>with.err
            expect "/dev/shm of $size is full, $when, $where" "0 full" "$? $(cat with.out with.err)"
            expect "/dev/shm of $size is full, $when, $where: dumps" 11 "$(ls full.*.heap | wc -l)"
            rm -f full.*.heap
        done
    done
}

# However early a start is killed, the ledger that it leaves is one, or there is none.
full_once() {
    local call left
    command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null || { leave_out "no strace here" && return 0; }
    for call in ftruncate fallocate mmap openat flock madvise fstat mkdir linkat; do
        for when in {1..25}; do
            rm -rf shm && mkdir shm
            timeout 20 strace -o trace -E LD_PRELOAD="$LIBHEAPPROF" -E HEAPPROF_LEDGER="$work/shm" \
                -e trace=$call -e inject=$call:signal=KILL:when=$when /bin/true >/dev/null 2>&1 && break
            left=$(find shm -name '*.ledger' -size 0)
            expect "killed at $call $when: empty ledgers" "" "$left"
        done
    done
}
