#!/usr/bin/env bash
# What the profiler says of itself, in whichever way a profile is taken: all ways say the same of one moment.
. "$(dirname "$0")/../lib.sh"
need python3
mkdir shm && export HEAPPROF_LEDGER=$work/shm
names="samples lost truncated unmatched_frees own_bytes"

audit() { # FILE: the figures, in this order
    local name
    for name in $names; do
        printf '%s ' "$(fact "$1" $name)"
    done
}

# The target takes the first step, and waits. Stacks are cut at 1 frame, and there is memory for a part of the samples.
mkfifo steps
with glibc HEAPPROF_INTERVAL=512 HEAPPROF_DEPTH=1 HEAPPROF_MEMORY=1M "$TARGETS/resident" "$work" <steps >said &
exec 3>steps
says() { # STEP
    for _ in $(seq 200); do
        grep -q "^$1\$" said && return
        sleep 0.05
    done
    fail "the target does not say '$1' but: $(cat said)"
}
says start
echo >&3
says heap
sleep 0.2
pid=$("$HEAPPROF" ps --json | python3 -c 'import json, sys; print([row["pid"] for row in json.load(sys.stdin)["targets"] if row["program"] == "resident"][0])') ||
    fail "ps"

"$HEAPPROF" dump -o dump.heap $pid >/dev/null || fail "dump"
wanted=$(audit dump.heap)
read -r samples lost truncated unmatched own <<<"$wanted"
[ "$samples" -gt 10000 ] || fail "$samples samples"
[ "$lost" -gt 1000 ] || fail "$lost lost"
[ "$truncated" -gt 10000 ] || fail "$truncated truncated"
expect "unmatched frees" 0 "$unmatched"
[ "$own" -gt 500000 ] && [ "$own" -le 1048576 ] || fail "own_bytes is $own"
[ "$(fact dump.heap own_ns)" -gt 1000000 ] || fail "own_ns is $(fact dump.heap own_ns)"
check_dump "dump PID" dump.heap

"$HEAPPROF" convert --to=text -o text.heap $pid 2>/dev/null || fail "convert"
expect "convert of a process" "$wanted" "$(audit text.heap)"
"$HEAPPROF" convert --to=pprof -o dump.pb.gz dump.heap 2>/dev/null && "$HEAPPROF" convert --to=text -o again.heap dump.pb.gz 2>/dev/null
expect "there and back" "$wanted" "$(audit again.heap)"
"$HEAPPROF" stats --json $pid >stats.json || fail "stats"
expect "stats --json" "$wanted" "$(python3 -c '
import json, sys
facts = json.load(open("stats.json"))["facts"]
print(*(facts["heapprof." + name] for name in sys.argv[1:]), end=" ")' $names)"
"$HEAPPROF" stats $pid >stats.txt || fail "stats"
for line in "heapprof.samples +$samples " "heapprof.lost +$lost " "heapprof.truncated +$truncated " \
    "heapprof.unmatched_frees +0 " "heapprof.own_bytes +[0-9.]+ [KM]iB " "heapprof.own_ns +[0-9.]+ ms " "^$lost samples were lost"; do
    grep -Eq -- "$line" stats.txt || fail "stats: no '$line' in: $(cat stats.txt)"
done

timeout -k 5 60 "$HEAPPROF" serve --http=127.0.0.1:0 $pid >url 2>serve.err &
server=$!
for _ in $(seq 100); do
    [ -s url ] && break
    sleep 0.05
done
python3 -c 'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1] + "debug/pprof/heap?debug=1").read())' \
    "$(cat url)" >serve.heap || fail "serve: $(cat serve.err)"
kill $server
expect "serve, debug=1" "$wanted" "$(audit serve.heap)"

# Its own dumps: after a signal, which is after the others.
(cd "$work" && kill -USR2 $pid)
for _ in $(seq 100); do
    ls heapprof.resident.*.heap >/dev/null 2>&1 && break
    sleep 0.05
done
only heapprof.resident.*.heap && expect "a signal" "$wanted" "$(audit "$dump")"

kill -KILL $pid
exec 3>&-
wait
"$HEAPPROF" recover -o recovered.heap $pid >/dev/null || fail "recover"
expect "recover" "$wanted" "$(audit recovered.heap)"
grep -q "rss=" recovered.heap && fail "a dead process has a resident set"

# Samples stay samples in programs that fit their objects to what malloc_usable_size says.
for allocator in $(allocators); do
    for interval in 512K 64K 4K; do
        for way in shrink grow; do
            bytes=$(with $allocator HEAPPROF_INTERVAL=$interval "$TARGETS/fitting" $way fitting.heap) ||
                fail "fitting $way on $allocator"
            "$HEAPPROF" stats --json fitting.heap | python3 -c '
import json, sys
live = json.load(sys.stdin)["inuse_space"]
sys.exit(abs(live["total"] - int(sys.argv[1])) > 2.5 * live["total_error"] + 4096 and
         "FAIL: %s: %d bytes ± %d, not %s" % (sys.argv[2], live["total"], live["total_error"], sys.argv[1]))' \
                "$bytes" "$way on $allocator at $interval" || failures=$((failures + 1))
        done
    done
done
finish "all ways tell the same of the profiler"
