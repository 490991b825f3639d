#!/bin/bash
# The machine code of what every allocation and free passes through, and what the library shows to the loader.
. "$(dirname "$0")/../lib.sh"
need objdump nm readelf

# The instructions of a function up to the first jump that leaves it: path NAME
path() {
    objdump -d --no-show-raw-insn "$LIBHEAPPROF" | awk -v name="<$1>:" '
        $2 == name { inside = 1; next }
        inside && NF == 0 { exit }
        inside && $2 ~ /^nop|^endbr|^cs$|^data16$/ { next }
        inside {
            print
            if ($2 ~ /^(jmp|ret|bnd)$/) exit
        }'
}

case $(uname -m) in
x86_64)
    # Charge, test, jump on; a free looks at one byte. C++'s operators say which they are, and jump to what counts or to libstdc++'s.
    for hot in malloc:4 free:6 _Znwm:2 _Znam:2 _ZnwmSt11align_val_t:2 _ZdlPv:2 _ZdaPv:2 _ZdlPvm:2 _ZdlPvmSt11align_val_t:2; do
        code=$(path ${hot%:*})
        count=$(grep -c . <<<"$code")
        [ "$count" -ge 2 ] && [ "$count" -le ${hot#*:} ] ||
            fail "${hot%:*} takes $count instructions, more than ${hot#*:}:"$'\n'"$code"
        tail -1 <<<"$code" | grep -q 'jmp .*\*0x.*(%rip)' || fail "${hot%:*} does not end in a jump to the allocator"
        grep -q call <<<"$code" && fail "${hot%:*} calls something"
        # Nothing is written but the thread's own counter, so that threads share no cache line that changes.
        grep -E '^ *[0-9a-f]+:[[:space:]]+(lock|xchg|inc|dec|(mov|add|sub|and|or|xor)[bwlq]?[[:space:]].*,[^%,]*\([^()]*\)$)' <<<"$code" &&
            fail "${hot%:*} writes into memory that threads share"
    done ;;
*) echo "note: the instructions are not counted on $(uname -m)" ;;
esac

nm -D "$LIBHEAPPROF" | grep -q __tls_get_addr && fail "thread-local state is looked up by a call"
readelf -rW "$LIBHEAPPROF" | grep -q 'R_X86_64_DTPMOD64\|R_AARCH64_TLSDESC' && fail "thread-local state is not static"

operators="w wRKSt9nothrow_t wSt11align_val_t wSt11align_val_tRKSt9nothrow_t"
deletes="Pv Pvm PvRKSt9nothrow_t PvSt11align_val_t PvmSt11align_val_t PvSt11align_val_tRKSt9nothrow_t"
{
    echo malloc free calloc realloc reallocarray memalign aligned_alloc posix_memalign valloc pvalloc
    echo free_sized free_aligned_sized
    echo mallocx rallocx xallocx sallocx dallocx sdallocx nallocx
    echo _exit _Exit prctl dlclose syscall
    echo sigaction signal __sysv_signal sigset
    echo heapprof_{dump,enable,interval,read_stats} heapprof_v1_{dump,enable,interval,read_stats}
    for form in $operators; do echo _Zn{w,a}m${form#w}; done
    for form in $deletes; do echo _Zd{l,a}$form; done
} | tr ' ' '\n' | sort >expected
nm -D --defined-only "$LIBHEAPPROF" | awk '{ print $3 }' | sed 's/@.*//' | sort >exported
diff expected exported || fail "other symbols are exported"

readelf -dW "$LIBHEAPPROF" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^libc\.so\|^ld-linux' && fail "more than libc is needed"
readelf -dW "$LIBHEAPPROF" | grep -q TEXTREL && fail "text relocations"
readelf -lW "$LIBHEAPPROF" | grep -q 'GNU_STACK.*RWE' && fail "an executable stack"
finish "the hot path is as short as it should be"
