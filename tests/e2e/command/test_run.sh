#!/bin/bash
# `heapprof run`: the target keeps its arguments, standard input, output and exit status; signals reach it; dumps go where
# they should, and nothing is left behind. What a profile holds is the business of other tests.
set -u
: "${HEAPPROF:?path of the command}" "${LIBHEAPPROF:?path of the library}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tmp" "$work/here"
export NO_COLOR=1 LC_ALL=C TMPDIR=$work/tmp
unset LD_PRELOAD HEAPPROF_OUTPUT HEAPPROF_EVERY HEAPPROF_GROWTH HEAPPROF_AT_EXIT HEAPPROF_INTERVAL
cd "$work/here" || exit 1
failures=0

fail() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}

expect() { # WHAT WANTED GOT
    [ "$2" = "$3" ] || fail "$1: '$3', not '$2'"
}

nothing_left() {
    expect "$1: files here" "" "$(ls)"
    expect "$1: temporary files" "" "$(ls "$TMPDIR")"
}

# The target is as it would be alone.
out=$(printf 'a\nb\n' | "$HEAPPROF" run -- bash -c 'cat; echo "$0 $1"; exit 7' 'x y' --help 2>"$work/err")
expect "exit status" 7 $?
expect "output" "$(printf 'a\nb\nx y --help')" "$out"
grep -q '^total ' "$work/err" || fail "no report: $(cat "$work/err")"
nothing_left "report only"
"$HEAPPROF" run -q -- bash -c 'exit 3' >"$work/out" 2>&1
expect "exit status with -q" 3 $?
expect "output with -q" "" "$(cat "$work/out")"
nothing_left "-q"
"$HEAPPROF" run bash -c 'kill -KILL $$' 2>"$work/err"
expect "exit status of a killed target" 137 $?
grep -q '^heapprof: the target was ended by signal 9' "$work/err" || fail "not told of the signal: $(cat "$work/err")"
nothing_left "killed"

# Options reach the library, in front of what was preloaded before.
expect "LD_PRELOAD" "$(readlink -f "$LIBHEAPPROF"):" \
    "$(LD_PRELOAD='' "$HEAPPROF" run -q -- bash -c 'echo "${LD_PRELOAD%%:*}:"')"
expect "interval" 64K "$("$HEAPPROF" run -q -i 64K -- bash -c 'echo $HEAPPROF_INTERVAL')"
"$HEAPPROF" run -q --every=10ms -- true 2>"$work/err"
expect "--every=10ms" 2 $?

# What -i takes for a size, the library takes for the same; what one refuses, the other does, and the command starts nothing.
interval_of() { # FILE
    sed -n 's/^# heapprof:.* interval=\([0-9]*\).*/\1/p' "$1" 2>/dev/null
}
while IFS=: read -r size bytes; do
    rm -f ./*.heap
    "$HEAPPROF" run -q -i "$size" --at-exit -o run.heap -- bash -c ': >started' >"$work/out" 2>"$work/err" </dev/null
    status=$?
    LD_PRELOAD=$LIBHEAPPROF HEAPPROF_INTERVAL=$size HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=own.heap bash -c : 2>"$work/own" </dev/null
    if [ -n "$bytes" ]; then
        expect "-i '$size': exit status" 0 $status
        expect "-i '$size'" "" "$(cat "$work/err" "$work/own")"
        expect "-i '$size': interval" "$bytes" "$(interval_of run.heap)"
        expect "HEAPPROF_INTERVAL='$size'" "$bytes" "$(interval_of own.heap)"
    else
        expect "-i '$size': exit status" 2 $status
        expect "-i '$size': lines" 1 "$(wc -l <"$work/err")"
        grep -qF -e "heapprof: -i: '$size' is no size up to 1024G: bytes, or a number with K, M or G" "$work/err" ||
            fail "-i '$size': $(cat "$work/err")"
        [ ! -e started ] || fail "-i '$size': the target was started"
        # An empty variable is one that is not set.
        [ -z "$size" ] || grep -qF "HEAPPROF_INTERVAL" "$work/own" || fail "HEAPPROF_INTERVAL='$size' is taken: $(interval_of own.heap)"
    fi
    rm -f started ./*.heap
done <<'SIZES'
1:1
4096:4096
4096B:4096
64K:65536
64k:65536
64kB:65536
64KiB:65536
1M:1048576
1024G:1099511627776
1T:
64Kib:
4096b:
64KK:
1025G:
99999999999G:
17179869185G:
18446744073709617152:
-1:
+64K:
 64K:
64K :
64 K:
1.5K:
0x1000:
many:
:
SIZES
for pattern in '' 'a.%z' 'a.%' "$(printf '%5000s' | tr ' ' x)"; do
    "$HEAPPROF" run -q -o "$pattern" -- true >"$work/out" 2>"$work/err"
    expect "-o '${pattern:0:20}': exit status" 2 $?
    grep -q "^heapprof: -o: '.*' is no pattern" "$work/err" || fail "-o '${pattern:0:20}': $(head -c 300 "$work/err")"
done

# What could not be written at the end is refused at the start.
"$HEAPPROF" run -o /no/such/folder/a.heap -- bash -c ': >started' >"$work/out" 2>"$work/err"
expect "-o without its folder" 1 $?
expect "-o without its folder" "heapprof: -o: /no/such/folder: No such file or directory" "$(cat "$work/err")"
[ ! -e started ] || fail "-o without its folder: the target was started"

# Files that were asked for.
"$HEAPPROF" run -q --at-exit -- bash -c 'printf -v x %100000s; echo ${#x}' >/dev/null
expect "--at-exit" 1 "$(ls heapprof.bash.*.0001.heap | wc -l)"
rm -f heapprof.*
"$HEAPPROF" run -o 'mine.%p.%n' -- bash -c 'echo $$ >pid; printf -v x %100000s' 2>"$work/err"
[ -s "mine.$(cat pid).0001" ] || fail "-o: $(ls)"
grep -q "mine.$(cat pid).0001" "$work/err" || fail "-o: the file is not named"
rm -f mine.* pid

# A target that makes no dump at its end: it dropped its rights, left by a system call of its own, or was ended by TERM. Its
# ledger has what there is to say.
cat >ends.c <<'C'
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
void *volatile kept;
__attribute__((noinline)) static void hold_memory(void) { kept = malloc(5000); }
int main(int count, char **words)
{
    hold_memory();
    if (!strcmp(words[count - 1], "drop"))
        return setgid(65534) || setuid(65534);
    if (!strcmp(words[count - 1], "leave"))
        syscall(SYS_exit_group, 0);
    return raise(15);
}
C
cc -g -O1 -include signal.h -o "$work/ends" ends.c && rm ends.c || exit 1
ways=(drop leave)
[ "$(id -u)" = 0 ] || ways=(leave) # others have no rights to drop
chmod 755 "$work" && chmod 700 "$work/here"
for way in "${ways[@]}" term; do
    wanted=0
    [ $way = term ] && wanted=143
    "$HEAPPROF" run -i 1 -- "$work/ends" $way 2>"$work/err"
    expect "$way: exit status" $wanted $?
    grep -q ' hold_memory ' "$work/err" || fail "$way: no report: $(cat "$work/err")"
    "$HEAPPROF" run -q -i 1 --at-exit -o 'q.%p.%n.heap' -- "$work/ends" $way 2>"$work/err"
    expect "$way with -o: exit status" $wanted $?
    [ "$(ls q.*.0001.heap | wc -l)" = 1 ] && "$HEAPPROF" top q.*.heap 2>/dev/null | grep -q hold_memory || fail "$way with -o: $(ls) $(cat "$work/err")"
    "$HEAPPROF" run -i 1 -o p.heap -- "$work/ends" $way 2>"$work/err"
    grep -q '^heapprof: 1 profile written: p.heap$' "$work/err" || fail "$way: the file is not named: $(cat "$work/err")"
    [ -s p.heap ] || fail "$way: no p.heap"
    rm -f q.*.heap p.heap
    nothing_left "$way"
done

# A dump asked for while the target runs is kept, also when only a report is wanted; TERM is handed on.
"$HEAPPROF" run -- bash -c 'trap "exit 9" TERM; echo $$ >pid; while :; do sleep 0.05; done' 2>"$work/err" &
run=$!
for _ in $(seq 100); do [ -s pid ] && break; sleep 0.05; done
target=$(cat pid)
kill -USR2 "$run"
for _ in $(seq 100); do ls "$TMPDIR"/*/heapprof.bash."$target".0001.heap >/dev/null 2>&1 && break; sleep 0.05; done
kill -TERM "$run"
wait "$run"
expect "exit status after TERM" 9 $?
[ -s "heapprof.bash.$target.0001.heap" ] || fail "the dump that was asked for is gone: $(ls) $(cat "$work/err")"
rm -f pid heapprof.*
nothing_left "signals"

# Of a program that frees all that it allocates the report tells who allocated. What stays is the buffer of standard
# output, which is a sample in 6 of 100 runs.
for _ in 1 2 3 4; do
    "$HEAPPROF" run -i 64K -- "$TARGETS/pairs" 1 0.1 >/dev/null 2>"$work/err"
    grep -q 'alloc_space' "$work/err" && break
done
grep -q 'alloc_space' "$work/err" && grep -q '100.0%.* work' "$work/err" || fail "nothing live: $(cat "$work/err")"

# Allocators.
for allocator in jemalloc tcmalloc mimalloc; do
    if "$HEAPPROF" run -q --allocator=$allocator -- true 2>"$work/err"; then
        "$HEAPPROF" run -q --allocator=$allocator -- bash -c 'grep -q '$allocator' /proc/$$/maps' || fail "$allocator is not loaded"
    else
        grep -q "^heapprof: --allocator=$allocator" "$work/err" || fail "$allocator: $(cat "$work/err")"
    fi
done

[ $failures = 0 ] && echo "run runs as it should"
exit $((failures > 0))
