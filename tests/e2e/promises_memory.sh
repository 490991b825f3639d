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
