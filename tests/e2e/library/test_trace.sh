# HEAPPROF_TRACE: its form, its numbers against a target that is known, and that it leaves the target alone.
. "$(dirname "$0")/../lib.sh"
need python3

for allocator in $(allocators); do
    with $allocator "$TARGETS/traced" 100 >out 2>err
    expect "$allocator, off by default" "" "$(cat err)"
    for interval in 1 16K; do
        with $allocator HEAPPROF_TRACE=50ms HEAPPROF_INTERVAL=$interval "$TARGETS/traced" 1000 >out 2>err ||
            fail "$allocator, interval $interval: exit status $?"
        python3 "$here/library/check_trace.py" $interval "$(cat out)" <err || fail "$allocator, interval $interval"
    done
done

# Off until the first period is over; nonsense gets one line, and is off.
with glibc HEAPPROF_TRACE=1h HEAPPROF_INTERVAL=1 "$TARGETS/traced" 10 >out 2>err
expect "before the first period" "" "$(cat err)"
with glibc HEAPPROF_TRACE=soon HEAPPROF_INTERVAL=1 "$TARGETS/traced" 10 >out 2>err
expect "nonsense" 1 "$(grep -c HEAPPROF_TRACE=soon err)"
expect "nonsense, lines" 1 "$(wc -l <err)"

# Nobody reads it: the target, which writes nothing there itself, is not ended by SIGPIPE and does not wait.
mkfifo pipe
head -c 1 <pipe >/dev/null &
with glibc HEAPPROF_TRACE=1ms HEAPPROF_INTERVAL=16K "$TARGETS/traced" 300 >out 2>pipe
expect "a reader that went away" 0 $?
python3 -c 'import fcntl, time; pipe = open("pipe"); fcntl.fcntl(pipe, 1031, 4096); time.sleep(100)' & # F_SETPIPE_SZ
reader=$!
limit=20 with glibc HEAPPROF_TRACE=1ms HEAPPROF_INTERVAL=1 "$TARGETS/traced" 3000 >out 2>pipe
expect "a reader that does not read" 0 $?
kill $reader

# Descriptor 2 is the target's own file now.
with glibc HEAPPROF_TRACE=1ms HEAPPROF_INTERVAL=1 bash -c 'exec 2>&-; exec 2>own.txt; for i in {1..2000}; do a+=("$i"); done' 2>err
expect "a file of the target's own" "" "$(cat own.txt)"

with glibc HEAPPROF_TRACE=1ms HEAPPROF_INTERVAL=16K "$TARGETS/traced" 300 traps >out 2>err
expect "floating-point traps and flags" 0 $?
[ "$(wc -l <err)" -gt 10 ] || fail "only $(wc -l <err) lines with floating-point traps"

# A child counts for itself.
with glibc HEAPPROF_TRACE=20ms HEAPPROF_INTERVAL=16K perl -e '
    sub churn { my $end = time + 2; while (time < $end) { my @more = map { "y" x 10000 } 1 .. 100; } }
    my $pid = fork; churn() if $pid == 0; wait' 2>err
grep -q '^heapprof 1 @.*% cpu$' err || fail "no line of a child"
finish
