#!/bin/bash
# A real program behaves with the library as without it, and its profile names what allocates there.
# test_programs.sh PROGRAM: one of the files in programs/, which say
#   command   what must be here, or the program is skipped, like
#   needs     other commands, or files
#   names     rows of which a dump must have one
#   at_exit   0 when it is asked for its dump by a signal (see end_server)
#   dumper    whose dumps are looked at (any process's): the start of their name
#   killed    1 when it kills some of its own processes, whose ledgers stay
#   limit     seconds for one run (120)
#   behind    the allocators (glibc and jemalloc; for the table also tcmalloc and mimalloc)
#   user      who runs it when root must not
#   run       a function that runs it once, started by "$@" (what puts the library in front, or nothing does), and writes
#             what it does to standard output
# With PROGRAMS_TABLE each run becomes a row of that file, more allocators are tried, and other readers read a profile.
. "$(dirname "$0")/../lib.sh"
program=$1
at_exit=1 limit=120 killed=0 dumper= needs= user= behind="glibc jemalloc ${PROGRAMS_TABLE:+tcmalloc mimalloc}"
export HOME=$work
port=
# In memory, as ledgers are by default, but so that those left over can be counted.
ledgers=$(mktemp -d /dev/shm/heapprof-test.XXXXXX) && chmod 1777 "$ledgers"
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work" "$ledgers"' EXIT

free_port() {
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
}

# wait_for COMMAND...: until it succeeds, 10 seconds at most.
wait_for() {
    local try
    for try in $(seq 100); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    return 1
}

connects() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

has_dump() {
    ls "$dumps" | grep -q '\.heap$'
}

# end_server PID: dump it if it is profiled, end it, and print how it ended. By a signal, unless it takes that for itself.
end_server() {
    if [ -n "$dumps" ]; then
        local state
        state=$(HEAPPROF_LEDGER=$ledgers "$HEAPPROF" ps --json 2>/dev/null | python3 -c '
import json, sys
print(*(target["signal_state"] for target in json.load(sys.stdin)["targets"] if target["pid"] == int(sys.argv[1])))' $1)
        case $state in
        answered)
            kill -USR2 $1
            wait_for has_dump || echo "no dump for USR2" ;;
        "own handler") HEAPPROF_LEDGER=$ledgers "$HEAPPROF" dump -o "$dumps/$command.$1.0001.heap" $1 >/dev/null ;;
        *) echo "USR2 would meet: $state" ;;
        esac
    fi
    kill -TERM $1
    wait $1
    echo "exit status $?"
}

# bounded COMMAND...: `run COMMAND...` in a process group of its own. When its time is over, the test shows all stacks of
# it, kills it and ends.
bounded() {
    local group sleeper ended pid
    set -m
    (run "$@") </dev/null &
    group=$!
    set +m
    sleep $limit &
    sleeper=$!
    wait -n -p ended $group $sleeper
    kill $sleeper 2>/dev/null
    [ $ended = $group ] && return
    {
        echo "FAIL: $name: not done after $limit s; its processes:"
        for pid in $(pgrep -g $group); do
            ps -o pid,etime,time,args -p $pid
            timeout 20 gdb -batch -iex 'set debuginfod enabled off' -ex 'thread apply all bt 20' -p $pid 2>&1
        done
        tail -n 20 with.out with.err
    } >&3
    kill -KILL -- -$group
    row NO "not done after $limit s"
    exit 1
}

# row SAME [WHY]: one more line of the table. Calls, samples and memory are those of the largest dump, CPU is that of all
# processes, clients included.
TIMEFORMAT='%U %S'
row() {
    [ -n "${PROGRAMS_TABLE-}" ] || return 0
    local file=${dumps:-none}/${largest-} calls=- samples=- cpu=- memory=-
    if [ -f "$file" ]; then
        calls=$(fact "$file" Mallocs) samples=$(fact "$file" samples)
        memory=$(fact "$file" own_bytes | awk '{ printf "%.1f MiB", $1 / 1048576 }')
        cpu=$(cat alone.time with.time | awk 'NR == 1 { a = $1 + $2 } END { printf "%+.2f s of %.2f s", $1 + $2 - a, a }')
    fi
    printf '%s\t' "$program" "${allocator--}" "${interval--}" "$calls" "$samples" "$1" "$cpu" >>"$PROGRAMS_TABLE"
    printf '%s\n' "$memory${2:+ ($2)}" >>"$PROGRAMS_TABLE"
}

# read_by_others FILE: what go tool pprof and google-pprof say of it.
read_by_others() {
    [ -n "${PROGRAMS_TABLE-}" ] || return 0
    if command -v go >/dev/null; then
        timeout 120 go tool pprof -symbolize=none -top "$1" >reader.out 2>&1 || fail "$name: go tool pprof: $(tail -3 reader.out)"
        grep -q 'flat%' reader.out || fail "$name: go tool pprof says: $(head -5 reader.out)"
    fi
    if command -v google-pprof >/dev/null; then
        timeout 120 google-pprof --text "$(readlink -f "$(command -v $command)")" "$1" >reader.out 2>reader.err ||
            fail "$name: google-pprof: $(tail -3 reader.err)"
        grep -q 'Total: ' reader.out || fail "$name: google-pprof says: $(head -5 reader.out)"
    fi
}

# one_run: of the program on $allocator at $interval.
one_run() {
    local before=$failures start=$SECONDS
    name="$program on $allocator at $interval"
    dumps=$work/dumps
    rm -rf "$dumps" && mkdir -m 777 "$dumps"
    {
        time bounded env LD_PRELOAD="$LIBHEAPPROF${allocator_files[$allocator]+:${allocator_files[$allocator]}}" \
            HEAPPROF_LEDGER="$ledgers" HEAPPROF_INTERVAL=$interval HEAPPROF_AT_EXIT=$at_exit \
            HEAPPROF_OUTPUT="$dumps/%e.%p.%n.heap" >with.out 2>with.err
    } 2>with.time
    cmp -s alone.out with.out || fail "$name: other output: $(diff alone.out with.out | head -5)"
    cmp -s alone.err with.err || fail "$name: other standard error: $(diff alone.err with.err | head -5)"
    grep 'heapprof: ' server.log 2>/dev/null && fail "$name: complaints"
    [ $killed = 1 ] || expect "$name: ledgers left" "" "$(find "$ledgers" -name '*.ledger')"
    rm -rf "${ledgers:?}"/*
    largest=$(ls -S "$dumps" | grep "^$dumper" | head -1)
    if [ -z "$largest" ]; then
        fail "$name: no dump"
    else
        check_dump "$name" "$dumps/$largest"
        expect "$name: lost" 0 "$(fact "$dumps/$largest" lost)"
        rows alloc_space "$dumps/$largest" | cut -f1 >names
        # A process that allocates less than an interval may have no sample.
        [ $interval = 512K ] || grep -qE "$names" names || fail "$name: no row like $names: $(head -5 names)"
        [ $interval != 4K ] || [ $allocator != glibc ] || read_by_others "$dumps/$largest"
    fi
    echo "$name: $((SECONDS - start)) s"
    if [ $failures = $before ]; then row yes; else row NO; fi
}

exec 3>&1
. "$here/programs/$program.sh"
for needed in $command $needs; do
    command -v $needed >/dev/null || [ -e $needed ] && continue
    row skipped "no $needed here"
    skip "no $needed here"
done
if [ -n "$user" ] && [ "$(id -u)" = 0 ] && ! id -u $user >/dev/null 2>&1; then
    row skipped "no user $user here"
    skip "no user $user here"
fi

dumps= name="$program by itself"
bounded env >first.out 2>first.err
{ time bounded env >alone.out 2>alone.err; } 2>glibc.time
cmp -s first.out alone.out || fail "$name differs: $(diff first.out alone.out | head -5)"
cmp -s first.err alone.err || fail "$name differs: $(diff first.err alone.err | head -5)"
for allocator in $(allocators $behind); do
    name="$program on $allocator without the library" dumps= interval=-
    if [ $allocator = glibc ]; then
        cp alone.out other.out && cp glibc.time alone.time
    else
        { time bounded env LD_PRELOAD=${allocator_files[$allocator]} >other.out 2>/dev/null; } 2>alone.time
    fi
    if ! cmp -s alone.out other.out; then
        # Nothing to compare with: php, for one, opens its plugins so that they see another malloc than it does.
        echo "skipped: $name differs: $(diff alone.out other.out | head -5)"
        row skipped "differs on $allocator by itself"
        continue
    fi
    case $allocator in
    glibc | jemalloc) intervals='512K 4K 1' ;;
    *) intervals=4K ;;
    esac
    for interval in $intervals; do
        one_run
    done
done
finish "$program is as it was"
