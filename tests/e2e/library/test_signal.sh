# `heapprof ps` says what the signal that asks for a dump would meet in a target, and the signal meets that; `heapprof dump`
# works with each.
. "$(dirname "$0")/../lib.sh"
need python3
mkdir shm && export HEAPPROF_LEDGER=$work/shm

field() { # PID KEY: of ps --json
    "$HEAPPROF" ps --json 2>/dev/null | python3 -c '
import json, sys
for target in json.load(sys.stdin)["targets"]:
    if target["pid"] == int(sys.argv[1]):
        print(target[sys.argv[2]])' "$1" "$2"
}

# start [VARIABLE=VALUE...] WAY: the target, which is $pid when it is ready.
start() {
    : >out
    with glibc HEAPPROF_INTERVAL=64K HEAPPROF_OUTPUT=asked.heap "${@:1:$#-1}" $TARGETS/handlers "${@: -1}" >out 2>err &
    for _ in $(seq 200); do
        pid=$(sed -n 's/^ready //p' out)
        [ -n "$pid" ] && return
        sleep 0.05
    done
    fail "$*: not ready: $(cat out err)"
}

meets() { # WHAT STATE COLUMN EFFECT
    local name=$1 state=$2 column=$3 effect=$4 i got=nothing
    expect "$name: state" "$state" "$(field $pid signal_state)"
    "$HEAPPROF" ps 2>/dev/null | grep "^ *$pid " | grep -q " $column  handlers$" || fail "$name: no '$column' in $("$HEAPPROF" ps)"
    rm -f asked.heap
    "$HEAPPROF" dump -o read.heap $pid >name || fail "$name: heapprof dump"
    check_dump "$name" read.heap
    rm -f read.heap
    kill -USR2 $pid
    local most=100
    [ $effect != nothing ] || most=10
    for i in $(seq $most); do
        kill -0 $pid 2>/dev/null || got=end
        [ -e asked.heap ] && got=dump
        grep -q 'own handler' out && got=handler
        [ $got = nothing ] || break
        sleep 0.05
    done
    expect "$name: kill -USR2" $effect $got
    kill -KILL $pid 2>/dev/null
    wait 2>/dev/null
    rm -rf shm/*
}

for way in none other asked restored blocked-once vfork; do
    start $way && meets $way answered USR2 dump
done
for way in sigaction signal sysv_signal sigset fork raw-early; do
    start $way && meets $way "own handler" "own handler" handler
done
for way in ignored raw-ignored; do
    start $way && meets $way ignored ignored nothing
done
for way in default raw-default; do
    start $way && meets $way deadly deadly end
done
start blocked && meets blocked blocked blocked nothing
start HEAPPROF_SIGNAL=USR1 none
expect "another signal" USR1 "$(field $pid signal)"
meets "another signal" answered USR1 end
start HEAPPROF_SIGNAL=USR1 other
meets "another signal that is taken" "own handler" "own handler" end
start HEAPPROF_SIGNAL=RTMIN+3 none
expect "a signal without a name" RTMIN+3 "$(field $pid signal)"
kill -KILL $pid
wait 2>/dev/null
expect "a dead target" none "$(field $pid signal_state)"
rm -rf shm/*
start HEAPPROF_SIGNAL=none none
expect "no signal" None "$(field $pid signal)"
meets "no signal" none none end
finish "ps tells what the signal meets"
