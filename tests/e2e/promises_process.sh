# Promises about signals, threads and children. To be sourced by test_promises.sh.

handlers() {
    local i where="on $allocator at $HEAPPROF_INTERVAL" left
    local shm=$work/ledgers
    # tcmalloc and mimalloc may not be interrupted by a handler that allocates, with or without us.
    [ $allocator != glibc ] || {
        same "a handler that allocates, 8 threads" $allocator "$TARGETS/promise_handlers" allocate
        says ^handled
    }
    rm -f ./*.heap*
    told "jumps out of dumps" jumped HEAPPROF_OUTPUT=asked.heap "$TARGETS/promise_handlers" dumps
    for i in here there asked; do
        check_dump "after jumps out of dumps $where" $i.heap
    done
    expect "drafts after jumps out of dumps $where" "" "$(ls ./*.tmp 2>/dev/null)"
    rm -f ./*.heap*
    told "forks in dumps" forked HEAPPROF_OUTPUT=child.%p.%i.heap "$TARGETS/promise_handlers" fork
    for i in ./*.heap; do
        check_dump "after forks in dumps $where" "$i"
    done
    expect "drafts after forks in dumps $where" "" "$(ls ./*.tmp 2>/dev/null)"
    rm -f ./*.heap* asking
    same "the signal's action" $allocator "$TARGETS/promise_handlers" actions
    says "^handled 2"
    : >asking
    told "the default action asks again" "$(cat alone.out)" HEAPPROF_OUTPUT=asked.heap "$TARGETS/promise_handlers" actions
    check_dump "the default action asks again $where" asked.heap
    rm -f ./*.heap
    [ "$(uname -m)" != x86_64 ] || {
        told "a thread with its own thread-local block" "a foreign thread" HEAPPROF_OUTPUT=asked.heap \
            "$TARGETS/promise_handlers" foreign
        check_dump "of a thread with its own thread-local block $where" asked.heap
    }
    rm -f ./*.heap asking
    for i in 0 1 3 7 20; do
        told "main returns while another thread dumps" "" HEAPPROF_OUTPUT=asked.heap "$TARGETS/promise_handlers" return $i
    done
    expect "drafts after main returned $where" "" "$(ls ./*.tmp 2>/dev/null)"
    rm -f ./*.heap
    [ "$(id -u)" != 0 ] || for i in chroot user; do
        rm -rf "$shm" empty && mkdir -p "$shm" empty && chmod 755 "$shm"
        told "$i is given up before the end" "given up" HEAPPROF_LEDGER="$shm" "$TARGETS/promise_handlers" give_up $i
        left=$(find "$shm" -type f)
        expect "ledgers after $i was given up $where" "" "$(HEAPPROF_LEDGER=$shm "$HEAPPROF" ps --json | grep -c '"pid"' | grep -v '^0$')"
    done
    [ $allocator = glibc ] || return 0
    behind case_allocator
    told_by=$allocator
    allocator=case_allocator
    told "jumps out of samples" jumped "$TARGETS/promise_handlers" samples
    allocator=$told_by
    rm -f ./*.heap
    timeout 20 "$TARGETS/promise_handlers" preferred >with.out
    if grep -q "no right" with.out; then
        leave_out "SCHED_FIFO is not allowed here"
    else
        told "a preferred thread asks for dumps" asked HEAPPROF_OUTPUT=asked.heap "$TARGETS/promise_handlers" preferred
    fi
    rm -f ./*.heap
}
