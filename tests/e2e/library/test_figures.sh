#!/usr/bin/env bash
# The allocator's figures cost the target nothing, and say where they come from.
. "$(dirname "$0")/../lib.sh"
need python3
target=$TARGETS/heap
mkdir shm && export HEAPPROF_LEDGER=$work/shm

start() { # ALLOCATOR COMMAND...: in the background, reading the file descriptor 3; $pid is the target, not a timeout(1)
    local allocator=$1
    shift
    mkfifo steps
    HEAPPROF_INTERVAL=${interval-64K} LD_PRELOAD="$LIBHEAPPROF${allocator_files[$allocator]+:${allocator_files[$allocator]}}" \
        "$@" <steps >said &
    pid=$!
    exec 3>steps
    rm steps
}

says() { # PATTERN
    for _ in $(seq 400); do
        grep -q "$1" said && return
        sleep 0.05
    done
    fail "the target does not say '$1' but: $(cat said)"
}

near() { # WHAT WANTED GOT: within 0.01 %
    awk -v a="$2" -v b="$3" 'BEGIN { d = a > b ? a - b : b - a; exit !(a > 0 && d <= a / 10000) }' || fail "$1 is $3, not $2"
}

# Of glibc, counted in its heap: what mallinfo2 says, in the target's own dump and from outside.
start glibc $target quiet inside.heap
says '^[0-9]'
read -r inuse system <said
"$HEAPPROF" dump -o outside.heap $pid >/dev/null || fail "dump"
"$HEAPPROF" stats --json $pid >stats.json || fail "stats"
for file in inside.heap outside.heap; do
    check_dump $file $file
    near "HeapInuse in $file" $inuse "$(fact $file HeapInuse)"
    near "HeapSys in $file" $system "$(fact $file HeapSys)"
    near "HeapAlloc in $file" $inuse "$(fact $file HeapAlloc)"
    fact $file heapprof.allocator | grep -Eq '^glibc 2\.[0-9]+ \(age [0-9]+ ms; walked\)$' ||
        fail "$file: $(fact $file heapprof.allocator)"
    fact $file heapprof.sources | grep -Eq '^HeapAlloc=walked,[0-9]+ms HeapInuse=walked,[0-9]+ms HeapSys=walked,[0-9]+ms HeapReleased=resident_set,[0-9]+ms$' ||
        fail "$file: $(fact $file heapprof.sources)"
done
near "HeapInuse in stats" $inuse "$(python3 -c 'import json; print(json.load(open("stats.json"))["facts"]["HeapInuse"])')"
# A dead one's heap is gone: HeapSys is what the last samples read.
kill -KILL $pid
wait 2>/dev/null
exec 3>&-
"$HEAPPROF" recover -o recovered.heap $pid >/dev/null || fail "recover"
expect "recover: HeapInuse and HeapIdle" "$(fact recovered.heap HeapSys)" \
    $(($(fact recovered.heap HeapInuse) + $(fact recovered.heap HeapIdle)))
[ "$(fact recovered.heap HeapSys)" -ge $((system / 2)) ] || fail "recover: HeapSys is $(fact recovered.heap HeapSys), not $system"
fact recovered.heap heapprof.sources | grep -Eq 'HeapInuse=(walked|sampled|estimated),[0-9]+ms' ||
    fail "recover: $(fact recovered.heap heapprof.sources)"

# Free chunks: no call waits for them to be counted, as one did after 2 s for 80 ms. The best of some rounds, for what else
# the machine does.
without_library() {
    shift
    env "$@"
}
longest() { # with|without_library
    local best= now
    for _ in 1 2 3; do
        now=$($1 glibc HEAPPROF_INTERVAL=64K $target chunks 300000 3)
        [ -n "$best" ] && [ "$best" -le "$now" ] || best=$now
    done
    echo "$best"
}
alone=$(longest without_library)
profiled=$(longest with)
[ "$profiled" -le $((alone + 1000)) ] || fail "with free chunks a call took $profiled us, not $alone"

# A signal handler that allocates while its thread is inside of malloc. (jemalloc itself hangs in it, without us.)
for interval in 100K 4K; do
    for _ in 1 2 3; do
        expect "handlers that allocate, at $interval" fine "$(limit=30 with glibc HEAPPROF_INTERVAL=$interval $target handler 3)"
    done
done

# jemalloc and tcmalloc are not asked in a signal handler: by its samples, or for the dump that is made in one.
for allocator in $(allocators jemalloc tcmalloc); do
    with $allocator HEAPPROF_INTERVAL=16K HEAPPROF_OUTPUT=handled.heap $target handled || fail "handled on $allocator"
    check_dump "handled on $allocator" handled.heap
    age=$(fact handled.heap heapprof.allocator | sed -n 's/^[^(]*(age \([0-9]*\) ms; asked)$/\1/p')
    [ "${age:-0}" -ge 300 ] || fail "$allocator was asked ${age:-?} ms ago, in a handler: $(fact handled.heap heapprof.allocator)"
    rm -f handled.heap
done

# What is resident is not that of another moment.
for allocator in $(allocators); do
    start $allocator $target grow
    says small
    "$HEAPPROF" dump -o small.heap $pid >/dev/null || fail "dump on $allocator"
    echo >&3
    says large
    "$HEAPPROF" dump -o large.heap $pid >/dev/null || fail "dump on $allocator"
    "$HEAPPROF" stats --json large.heap | python3 -c '
import json, sys
resident = json.load(sys.stdin)["resident"]
odd = resident["parts"]["not_explained"]
sys.exit(abs(odd) > (8 << 20) + 1.5 * resident["live_error"] and f"FAIL: {sys.argv[1]}: {odd} bytes are not explained")' $allocator ||
        failures=$((failures + 1))
    check_dump "large on $allocator" large.heap
    echo >&3
    exec 3>&-
    wait $pid || fail "grow on $allocator"
    rm said
done
finish "the allocator's figures cost nothing"
