# heapprof live, through a terminal of tmux: its figures, keys, sizes of the window, and ends.
. "$(dirname "$0")/../lib.sh"
need perl tmux
mkdir shm && export HEAPPROF_LEDGER=$work/shm
export TMUX_TMPDIR=$work
server=0 # each its own: one that was killed takes a while to go
tmux() { command tmux -L $server -f /dev/null "$@"; }
trap 'tmux kill-server 2>/dev/null; kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT

start() { # CODE
    rm -f ready
    with glibc HEAPPROF_INTERVAL=16K perl -e \
        'our @kept = map { "x" x 2000 } 1 .. 5000; open my $f, ">", "pid"; print $f $$; close $f; rename "pid", "ready"; '"$1" &
    for _ in $(seq 200); do
        [ -s ready ] && break
        sleep 0.05
    done
    pid=$(cat ready)
}

# open TERM LOCALE COLUMNS LINES ARGUMENT...
open() {
    server=$((server + 1))
    local term=$1 locale=$2 columns=$3 lines=$4
    shift 4
    LC_ALL=C.UTF-8 tmux -u new-session -d -x $columns -y $lines \
        "cd $work; LC_ALL=$locale TERM=$term '$HEAPPROF' live $* 2>live.err; echo \"status \$?\"; sleep 100"
}

screen() {
    tmux capture-pane -p
}

# sees NAME REGEX: within 5 seconds it is on the screen.
sees() {
    local i
    for i in $(seq 50); do
        screen | grep -Eq -- "$2" && return
        sleep 0.1
    done
    fail "$1: no '$2' on the screen: $(screen)"
    return 1
}

misses() { # NAME REGEX
    sleep 0.5
    screen | grep -Eq -- "$2" && fail "$1: '$2' on the screen: $(screen)"
}

start 'while (1) { my @more = map { "y" x 10000 } 1 .. 100; push @kept, "z" x 3000; select undef, undef, undef, 0.005; }'
open tmux-256color C.UTF-8 100 24 --every=200ms $pid
sees "program" "^perl \($pid\): live ± [0-9.]+ KiB, [0-9.]+ MiB/s allocated, growth within [0-9.]+s$"
sees "live" '^live +[0-9]{1,2}\.[0-9] MiB +[▁▂▃▄▅▆▇█]{5}'
sees "inuse" '^inuse +[0-9]{1,2}\.[0-9] MiB'
sees "idle" '^idle +[0-9.]+ [KM]iB'
sees "audit" '^[0-9]{3,} samples, 0 lost, 0 truncated, 0 unmatched frees; heapprof itself: [0-9.]+ [KM]iB, [0-9.]+ ms'
sees "a site that grows" '^ +[0-9.]+ MiB +[0-9.]+ MiB +\+[0-9.]+ [KM]iB +[0-9.]+ MiB +Perl_safesysmalloc'
sees "order" 'function, by flat'
for order in cum growth rate flat; do
    tmux send-keys s
    sees "next order" "function, by $order"
done
tmux send-keys s
sees "by cum, a caller is first" 'function, by cum'
screen | sed -n 7p | grep -q 'start_call_main\|main' || fail "by cum: $(screen | sed -n 7p)"
tmux send-keys / 'sv_grow$' Enter
sees "filter" 'only sv_grow\$'
sees "filtered" 'Perl_sv_grow$'
misses "filtered" 'Perl_safesysmalloc'
tmux send-keys / '*(' Enter
sees "a bad expression" "'\*\(': "
tmux send-keys / Enter
sees "no filter" 'Perl_safesysmalloc'
tmux send-keys m
sees "since the mark" 'growth within [0-9]\.[0-9]s'
sees "marked" '\+[0-9.]+ KiB .*Perl_safesysmalloc'
tmux send-keys '?'
sees "help" '^/ +show only functions'
tmux send-keys '?'
misses "no help" '^/ +show only functions'
# A site that is opened shows its stacks, innermost first, and Escape leads back to it.
tmux send-keys / 'sv_grow$' Enter
sees "one site" 'Perl_sv_grow$'
misses "one site" 'Perl_safesysmalloc'
tmux send-keys Enter
sees "stacks" '^ +live +samples  stacks of Perl_sv_grow'
sees "innermost" '^ +[0-9.]+ [KM]iB +[0-9]+  Perl_safesysmalloc$'
sees "its caller" '^ {26}Perl_sv_grow$'
top=$(screen | sed -n 7p | cut -c24-)
tmux send-keys Down Down Down
misses "stacks move" "^$top\$"
tmux send-keys Home
sees "back at the top" '^ +[0-9.]+ [KM]iB +[0-9]+  Perl_safesysmalloc$'
tmux send-keys Escape
sees "closed" 'alloc/s  function, by'
tmux send-keys / Enter Down Down Enter
sees "the third site" 'stacks of [A-Za-z_]+'
third=$(screen | sed -n 's/.*stacks of //p')
tmux send-keys Enter
sees "the third site again" "$third"
expect "the cursor is on it" 1 "$(screen | sed -n 9p | grep -c "$third")"
tmux send-keys Home Space
sees "paused" 'paused'
before=$(screen)
sleep 0.7
expect "paused" "$before" "$(screen)"
tmux send-keys Space d
sees "dump" 'dump written'
only heapprof.perl.$pid.*.heap && check_dump "dump" "$dump"
tmux send-keys Down Down PgDn PgUp Home
tmux resize-window -x 60 -y 10
sees "smaller" 'alloc/s  function,…'
expect "lines of a small window" 10 "$(screen | wc -l)"
tmux resize-window -x 20 -y 4
sleep 0.5
tmux resize-window -x 120 -y 40
sees "larger" '^ +[0-9.]+ MiB .*Perl_safesysmalloc'
kill $pid
sees "the target ended" "process $pid has ended"
tmux send-keys q
sees "quit" '^status 0'
tmux kill-server

# A terminal that knows neither colours nor more than ASCII; ^C ends it.
start 'sleep 100'
open vt100 C 80 24 --every=100ms $pid
sees "vt100" '^live +[0-9]{1,2}\.[0-9] MiB +[_.:=+*#-]{5}'
misses "vt100" '[▁▂▃▄▅▆▇█]'
tmux send-keys C-c
sees "^C" '^status 0'
tmux kill-server
open no-such-terminal C 80 24 $pid
sees "unknown terminal" '^status 1'
tmux kill-server
"$HEAPPROF" live $pid >out 2>err </dev/null
expect "no terminal" 1 $?
expect "no terminal" "heapprof: live needs a terminal; heapprof top $pid prints the same once" "$(cat err)"
"$HEAPPROF" live >out 2>err
expect "no PID" 2 $?
kill $pid
finish
