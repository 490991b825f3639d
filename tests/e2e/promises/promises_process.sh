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
    told "forks in dumps" forked HEAPPROF_OUTPUT=child.%p.%n.heap "$TARGETS/promise_handlers" fork
    for i in ./*.heap; do
        check_dump "after forks in dumps $where" "$i"
    done
    expect "drafts after forks in dumps $where" "" "$(ls ./*.tmp 2>/dev/null)"
    rm -f ./*.heap* asking
    same "the signal's action" $allocator "$TARGETS/promise_handlers" actions
    says "^handled 2"
    : >asking
    told "the action of the start asks again" "$(cat alone.out)" HEAPPROF_OUTPUT=asked.heap "$TARGETS/promise_handlers" actions
    check_dump "the action of the start asks again $where" asked.heap
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
        # It could not remove its ledger, but said in there that it has ended: nobody takes it for killed.
        left=$(HEAPPROF_LEDGER=$shm "$HEAPPROF" ps --json 2>&1 | grep -c "\"ledger\": \"$shm/")
        expect "killed after $i was given up $where" "0, 0 files" "$left, $(find "$shm" -type f | wc -l) files"
    done
    [ $allocator = glibc ] || return 0
    behind case_allocator
    # An allocator that can stand it.
    allocator=case_allocator told "jumps out of samples" jumped "$TARGETS/promise_handlers" samples
    rm -f ./*.heap
    if ! chrt -f 10 true 2>/dev/null; then
        leave_out "SCHED_FIFO is not allowed here"
    else
        told "a preferred thread asks for dumps" asked HEAPPROF_OUTPUT=asked.heap "$TARGETS/promise_handlers" preferred
    fi
    rm -f ./*.heap
}

# system_calls COMMAND...: of the child that ends at once, by strace.
system_calls() {
    rm -f calls.*
    strace -ff -o calls "$@" >/dev/null 2>&1
    cat $(ls calls.* | sort -t. -k2n | tail -1) 2>/dev/null | grep -c '^[a-z]'
}

children() {
    local way where="on $allocator at $HEAPPROF_INTERVAL" alone with
    export HEAPPROF_LEDGER=$work/shm # clones that libc knows nothing of leave theirs
    rm -rf shm && mkdir shm
    for way in fork raw _Fork clone clone-raw vfork; do
        same "children by $way that free first" $allocator "$TARGETS/promise_children" free $way
        says "^children by $way"
        expect "children by $way $where" 1 "$(wc -l <with.out)"
    done
    told "a child's numbers" inherited "$TARGETS/promise_children" inherit
    check_dump "a child's numbers $where" child.heap
    [ $HEAPPROF_INTERVAL != 1 ] || {
        rows alloc_space child.heap --raw >rows
        # inherited_site and so on are callers of keep, which has them all.
        expect "a child's numbers $where: all" "inherited_site 20000000 child_site 5000000" \
            "$(awk -F'\t' '/^(inherited|freed|child)_site\t/ { printf "%s%s %s", n++ ? " " : "", $1, $3 }' rows)"
        rows inuse_space child.heap --raw >rows
        expect "a child's numbers $where: live" "inherited_site 15000000 child_site 5000000" \
            "$(awk -F'\t' '/^(inherited|freed|child)_site\t/ { printf "%s%s %s", n++ ? " " : "", $1, $3 }' rows)"
    }
    rm -f child.heap
    [ $allocator = glibc ] || return 0
    if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
        for way in fork raw _Fork; do
            alone=$(system_calls "$TARGETS/promise_children" end $way)
            with=$(system_calls -E LD_PRELOAD="$LIBHEAPPROF" "$TARGETS/promise_children" end $way)
            # A handful: who it is, and that its ledger is not its own.
            [ "$with" -ge "$alone" ] && [ "$with" -le $((alone + 5)) ] ||
                fail "a child by $way that ends at once $where: $with system calls, $alone without"
        done
    else
        leave_out "no strace here"
    fi
    without glibc "$TARGETS/promise_children" often 200 2>alone.err >/dev/null
    for way in plain no-new-privileges; do
        with glibc "$TARGETS/promise_children" often 200 $way 2>with.err >with.out
        expect "200 forks, $way, $where" "0 forked" "$? $(cat with.out)"
        [ "$(cat with.err)" -le $(($(cat alone.err) * 5 + 500)) ] ||
            fail "200 forks, $way, $where: $(cat with.err) ms, $(cat alone.err) without"
    done
}
