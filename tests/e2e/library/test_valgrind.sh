# valgrind's memcheck finds nothing: in each verb of the command, and in programs that are profiled.
. "$(dirname "$0")/../lib.sh"
need valgrind perl python3
mkdir shm && export HEAPPROF_LEDGER=$work/shm
data=$SOURCE_ROOT/tests/data
found=99
# The command's own memory is checked where it ends by itself; what it still holds then is no loss.
reports=$(dirname "$HEAPPROF")/heapprof-reports # which $HEAPPROF executes, here without the detour
memcheck=(valgrind -q --error-exitcode=$found --log-file="$work/valgrind.%p" --trace-children=yes
    --child-silent-after-fork=yes)

# checked WANTED VERB ARGUMENT...: exit status of the command with these arguments
checked() {
    local wanted=$1 command=$reports status
    shift
    case $1 in
    dump | recover | rm | interval) command=$HEAPPROF ;;
    esac
    timeout -k 5 100 "${memcheck[@]}" "$command" "$@" >out 2>err </dev/null
    status=$?
    [ $status = "$wanted" ] || fail "$*: exit status $status, not $wanted: $(tail -3 err)"
    findings "$*"
}

findings() { # NAME
    local log
    for log in valgrind.*; do
        [ -s "$log" ] && fail "$1: $(head -30 "$log")"
        rm -f "$log"
    done
}

# Programs with the library, which keeps its hooks although valgrind has its own: all of glibc's malloc is replaced
# behind them. At each interval other hooks are at work.
profiled() { # NAME COMMAND...
    local name=$1 interval
    shift
    for interval in 64K 1; do
        LD_PRELOAD=$LIBHEAPPROF HEAPPROF_INTERVAL=$interval HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=$name.heap \
            timeout -k 5 100 "${memcheck[@]}" --soname-synonyms=somalloc=nouserintercepts "$@" >out 2>err ||
            fail "$name at $interval: exit status $?: $(tail -3 err)"
        findings "$name at $interval"
        [ -s "$name.heap" ] || fail "$name at $interval: no profile"
    done
}
profiled perl "$(command -v perl)" -MPOSIX -e 'my %kept = map { $_ => "x" x ($_ * 7) } 1 .. 300; undef %kept if fork; wait'
profiled threads "$TARGETS/case_threads" cancel

( # a running process, to be read from outside
    with glibc HEAPPROF_INTERVAL=4K perl -e 'our @kept = map { "x" x 2000 } 1 .. 300; open my $f, ">", "pid"; print $f $$;
        close $f; rename "pid", "ready"; sleep 100' &
    echo $! >timeout
    wait
) &
for _ in $(seq 200); do
    [ -s ready ] && break
    sleep 0.05
done
pid=$(cat ready)
checked 0 --version
checked 2 help nonsense
checked 0 ps --json
checked 0 stats "$pid"
checked 0 interval "$pid" 8K
checked 0 dump "$pid" -o 1.heap
for number in 2 3; do
    "$HEAPPROF" dump "$pid" -o $number.heap >out
done
checked 0 top "$pid"
kill -9 "$pid"
checked 0 recover "$pid" -o recovered.heap.gz
checked 0 rm "$pid"
checked 0 top --focus Perl recovered.heap.gz
checked 0 tree "$data/after.prof"
checked 0 peek . "$data/after.prof"
checked 0 list . "$data/after.prof"
checked 0 traces "$data/after.prof"
checked 0 tags --json "$data/after.prof"
checked 0 diff "$data/before.prof" "$data/after.prof"
checked 0 diff --series 1.heap 2.heap 3.heap
checked 0 merge -o merged.pb.gz "$data/before.prof" "$data/after.prof"
checked 0 top merged.pb.gz
checked 1 top "$data/make_profiles.py"
for format in pprof text folded speedscope json svg html dot; do
    checked 0 convert --to=$format -o converted.$format "$data/after.prof"
done
checked 0 run -i 4K -o ran.heap -- true
finish "nothing found"
