# Everything the library knows can be read from outside: while the target runs, hangs or is stopped, and after it died.
. "$(dirname "$0")/../lib.sh"
need perl python3
mkdir shm && export HEAPPROF_LEDGER=$work/shm
own=shm/heapprof-$(id -u)

# start ALLOCATOR CODE: perl that keeps 5,000 strings of 2,000 bytes, then runs CODE; $pid is it.
start() {
    local allocator=$1 code=$2
    rm -f ready pid
    with $allocator HEAPPROF_INTERVAL=${interval:-16K} perl -e \
        'our @kept = map { "x" x 2000 } 1 .. 5000; open my $f, ">", "pid"; print $f $$; close $f; rename "pid", "ready"; '"$code" \
        >out 2>err &
    for _ in $(seq 200); do
        [ -e ready ] && break
        sleep 0.05
    done
    pid=$(cat ready)
}

# live NAME: the estimate of `top` is that of the kept strings, within its error.
live() {
    local total
    total=$("$HEAPPROF" top --json -n 0 "$2" 2>top.err | python3 -c '
import json, sys
report = json.load(sys.stdin)
print("right" if abs(report["total"] - 10.5e6) < 3.5e6 else report["total"])' 2>&1)
    expect "$1" right "$total"
}

field() { # PID KEY: of ps --json
    "$HEAPPROF" ps --json | python3 -c '
import json, sys
for target in json.load(sys.stdin)["targets"]:
    if target["pid"] == int(sys.argv[1]):
        print(target[sys.argv[2]])' "$1" "$2"
}

for allocator in $(allocators glibc jemalloc); do
    for state in 'sleep 100' '1 while 1' 'use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(1..31)); sleep 100'; do
        start $allocator "$state"
        live "$allocator, $state" $pid
        expect "$allocator: running" True "$(field $pid running)"
        expect "$allocator: program" perl "$(field $pid program)"
        expect "$allocator: lost" 0 "$(field $pid lost)"
        kill -STOP $pid
        live "$allocator, $state, stopped" $pid
        expect "dump of a stopped target" heapprof.perl.$pid.0001.heap "$("$HEAPPROF" dump $pid)"
        "$HEAPPROF" stats $pid >stats.out || fail "stats of a stopped target"
        "$HEAPPROF" diff heapprof.perl.$pid.0001.heap $pid >diff.out || fail "diff with a stopped target"
        "$HEAPPROF" rm $pid 2>rm.err && fail "rm took a running target's ledger"
        kill -KILL $pid
        wait 2>/dev/null
        expect "$allocator: dead" False "$(field $pid running)"
        "$HEAPPROF" recover -o recovered.heap $pid >name || fail "recover"
        live "$allocator, $state, killed" recovered.heap
        expect "the same as when it was stopped" "$(head -1 heapprof.perl.$pid.0001.heap)" "$(head -1 recovered.heap)"
        "$HEAPPROF" rm $pid || fail "rm"
        expect "ledgers after rm" "" "$(ls $own)"
        rm -f ./*.heap
    done
    for signal in ABRT SEGV BUS; do
        start $allocator "kill '$signal', \$\$"
        wait 2>/dev/null
        "$HEAPPROF" recover -o recovered.heap $pid >/dev/null && live "killed by $signal" recovered.heap
        rm -rf $own
    done

    # Armed, changed and disarmed from outside; each stride of 16 MiB at the latest.
    interval=0 start $allocator 'while (1) { my @more = map { "y" x 10000 } 1 .. 100; }'
    expect "disarmed" 0 "$(field $pid samples)"
    "$HEAPPROF" interval $pid 64K >/dev/null || fail "interval"
    sleep 1
    [ "$(field $pid samples)" -gt 100 ] || fail "armed from outside: $(field $pid samples) samples"
    expect "interval" "$pid perl: 1 sample per 64.0 KiB" "$("$HEAPPROF" interval $pid)"
    "$HEAPPROF" interval $pid 0 >/dev/null
    sleep 1
    before=$(field $pid samples)
    sleep 0.3
    expect "disarmed again" $before "$(field $pid samples)"
    kill $pid
    wait 2>/dev/null
    rm -rf $own
done

# A ledger of the version before: all as that version's own command had it (tests/data/make_ledger_v3.sh), but for the
# address in front of each stack, and what came to be told since.
facts() { # FILE
    sed -E '/^# heapprof.(front|sources) = /d; s/^(# heapprof.allocator = .*) \(.*/\1/
        s/ (version|time|time_ns|own_ns|own_most)=[^ ]*//g' "$1" | sort
}
old=$work/$own/4711.ledger
mkdir -p $own
gzip -dc "$SOURCE_ROOT/tests/data/ledger.v3.gz" >$old && chmod 600 $old
old_pid=$(sed -n 's/.* pid=\([0-9]*\) .*/\1/p' "$SOURCE_ROOT/tests/data/ledger.v3.txt")
sed -E 's/^(.* @) 0x[0-9a-f]+/\1/' "$SOURCE_ROOT/tests/data/ledger.v3.txt" >v3.heap
"$HEAPPROF" recover -o now.heap $old >out 2>err || fail "recover of a ledger of version 3: $(cat err)"
facts now.heap >now.facts
facts v3.heap >v3.facts
cmp -s now.facts v3.facts || fail "a ledger of version 3: $(diff v3.facts now.facts)"
expect "version 3: running" False "$(field $old_pid running)"
expect "version 3: program" kept "$(field $old_pid program)"
expect "version 3: samples" "$(sed -n 's/.* samples=\([0-9]*\) lost.*/\1/p' v3.heap)" "$(field $old_pid samples)"
expect "version 3: interval" 4096 "$(field $old_pid interval)"
"$HEAPPROF" interval $old_pid 1 2>err && fail "the interval of a dead process was changed"
expect "interval of version 3" "heapprof: process $old_pid is dead" "$(cat err)"
printf '\002' | dd of=$old bs=1 seek=8 conv=notrunc status=none
"$HEAPPROF" recover -o /dev/null $old >out 2>err && fail "version 2 was read"
expect "version 2" "heapprof: $old: a ledger of another version of heapprof; use that version's command" "$(cat err)"
printf '\003' | dd of=$old bs=1 seek=8 conv=notrunc status=none
"$HEAPPROF" rm $old_pid || fail "rm of version 3"
expect "ledgers after rm of version 3" "" "$(ls $own)"

# The end that `heapprof run` reports.
"$HEAPPROF" run -i 16K -- perl -e '@a = map { "x" x 2000 } 1 .. 5000; kill 9, $$' 2>report
expect "exit status after SIGKILL" 137 $?
grep -q 'signal 9' report && grep -q 'was kept' report && grep -q 'Perl_\|perl+' report || fail "report: $(cat report)"
rm -rf $own

# exec takes the ledger over; a program without the library leaves none; a normal end leaves none.
with glibc bash -c 'exec perl -e "exec q(perl), q(-e), q(1)"'
expect "ledgers after exec" "" "$(ls $own)"
with glibc HEAPPROF_INTERVAL=1 bash -c '(exit 0); perl -e 1; (kill -9 $BASHPID); true' 2>/dev/null
expect "ledgers of killed children only" 1 "$(ls $own | wc -l)"
rm -rf $own
for _ in $(seq 80); do with glibc perl -e 'kill 9, $$'; done 2>/dev/null
[ "$(ls $own | wc -l)" -le 74 ] || fail "$(ls $own | wc -l) dead ledgers are kept"
rm -rf $own

# Mode and links: nothing is followed, nothing of others is used.
start glibc 'sleep 100'
expect "mode" 600 "$(stat -c %a $own/*)"
kill -9 $pid
wait 2>/dev/null
ledger=$(echo $own/*)
damage() {
    case $1 in
    header) dd if=/dev/urandom bs=64 count=4 seek=2 conv=notrunc status=none of=damaged ;;
    body) dd if=/dev/urandom bs=4096 count=64 seek=8 conv=notrunc status=none of=damaged ;;
    *) truncate -s $1 damaged ;;
    esac
}
for damage in 0 100 40000 1000000 header body; do
    cp --sparse=always $ledger damaged
    damage $damage
    timeout 20 "$HEAPPROF" recover -o /dev/null "$work/damaged" >/dev/null 2>said
    status=$?
    [ $status -le 1 ] || fail "recover after damage '$damage': exit status $status"
    [ $status = 0 ] || expect "lines after damage '$damage'" 1 "$(wc -l <said)"
done
ln -s $ledger link
"$HEAPPROF" recover -o /dev/null "$work/link" >/dev/null 2>&1 && fail "a link was followed"
rm -rf $own
mkdir elsewhere && ln -s "$work/elsewhere" $own
with glibc perl -e 'print join ",", map { length("x" x $_) } 1 .. 5' >out 2>err
expect "with a link in place of the folder" "0 1,2,3,4,5" "$? $(cat out)"
grep -q '^heapprof: no ledger in HEAPPROF_LEDGER=.*Not a directory' err || fail "a link in place of the folder: $(cat err)"
expect "files behind the link" "" "$(ls elsewhere)"
rm -rf $own

if [ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=2M none small 2>/dev/null; then
    # A file system that is too small, and one that others fill up: no SIGBUS, samples are lost and counted.
    HEAPPROF_LEDGER=$work/small HEAPPROF_INTERVAL=1 with glibc perl -e \
        'my %h; $h{$_} = [1 .. 20] for 1 .. 20000; print scalar keys %h' >out 2>err
    expect "in a small file system" "0 20000" "$? $(cat out)"
    umount small
    mount -t tmpfs -o size=6M none small
    HEAPPROF_LEDGER=$work/small HEAPPROF_INTERVAL=1 with glibc perl -e \
        'open my $f, ">", "small/fill"; print $f "x" x 1e6 for 1 .. 6; close $f; my %h; $h{$_} = [1 .. 20] for 1 .. 20000;
         print scalar keys %h' >out 2>err
    expect "in a full file system" "0 20000" "$? $(cat out)"
    umount small
fi
if [ "$(id -u)" = 0 ]; then
    # Other user, other root, other pid namespace: the target goes on, and root can read it.
    start glibc '$> = 65534; my @more = map { "z" x 2000 } 1 .. 1000; sleep 100'
    "$HEAPPROF" top -n 1 $pid >top.out 2>&1 || fail "changed user: $(cat top.out)"
    kill -9 $pid
    wait 2>/dev/null
    mkdir -p root
    same "chroot" glibc perl -e 'chroot "root" or die; my @more = map { "z" x 2000 } 1 .. 1000; print scalar @more'
    rm -rf $own
    if unshare -p -f true 2>/dev/null; then
        with glibc HEAPPROF_INTERVAL=16K unshare -p -f perl -e '@a = map { "x" x 2000 } 1 .. 5000; open my $f, ">", "inside"; sleep 123' &
        for _ in $(seq 100); do [ -e inside ] && break; sleep 0.05; done
        pid=$(pgrep -nxf 'perl -e .*sleep 123')
        live "in a pid namespace" $pid
        kill -9 $pid
        wait 2>/dev/null
    else
        echo "skipped: no pid namespaces here"
    fi
else
    echo "skipped: other users, other roots and pid namespaces, which need root"
fi
finish
