# heapprof serve and run --http, by their real clients: go tool pprof, Prometheus, and sockets with bad manners.
. "$(dirname "$0")/../lib.sh"
need perl python3
mkdir shm && export HEAPPROF_LEDGER=$work/shm PPROF_TMPDIR=$work/pprof
client="python3 $here/command/serve_client.py"

# start CODE: perl that keeps 5,000 strings of 2,000 bytes, then runs CODE; $pid is it.
start() {
    rm -f ready
    with glibc HEAPPROF_INTERVAL=16K perl -e \
        'our @kept = map { "x" x 2000 } 1 .. 5000; open my $f, ">", "pid"; print $f $$; close $f; rename "pid", "ready"; '"$1" &
    wait_for ready
    pid=$(cat ready)
}

wait_for() { # FILE with something in it
    for _ in $(seq 200); do
        [ -s "$1" ] && return
        sleep 0.05
    done
    fail "nothing in $1"
}

serve() { # ARGUMENT...: $url, without a slash at the end, and $server
    : >url
    timeout -k 5 200 "$HEAPPROF" serve --http=127.0.0.1:0 "$@" >url 2>serve.err &
    server=$!
    wait_for url
    url=$(sed 's,/$,,' url)
}

end_server() {
    kill $server
    wait $server
    expect "exit status of the server" 0 $?
}

# The bytes that `top` of these arguments accounts for, by go tool pprof.
pprof_total() {
    go tool pprof -symbolize=none -unit=B -top -nodefraction=0 "$@" 2>pprof.err |
        sed -n 's/^Showing nodes accounting for .* of \(-\{0,1\}[0-9]*\)B\{0,1\} total.*/\1/p;
                s/^Showing nodes accounting for 0, 0% of 0 total.*/0/p'
}

start 'while (1) { my @more = map { "y" x 10000 } 1 .. 100; push @kept, "z" x 3000; select undef, undef, undef, 0.005; }'
serve $pid
$client answers "$url" "$pid" || fail "answers"
if command -v go >/dev/null; then
    [ "$(pprof_total -sample_index=inuse_space -seconds=1 "$url/debug/pprof/heap")" -gt 100000 ] ||
        fail "growth within a second: $(cat pprof.err)"
    [ "$(pprof_total -seconds=1 "$url/debug/pprof/allocs")" -gt 10000000 ] || fail "allocated within a second"
    kill -STOP $pid
    "$HEAPPROF" convert --to=pprof -o now.pb.gz $pid
    for type in inuse_space alloc_space; do
        wanted=$(pprof_total -sample_index=$type now.pb.gz)
        [ "${wanted:-0}" -gt 9000000 ] || fail "$type of a file: $wanted"
        expect "$type over HTTP" "$wanted" "$(pprof_total -sample_index=$type "$url/debug/pprof/heap")"
    done
    expect "allocs opens with alloc_space" "$wanted" "$(pprof_total "$url/debug/pprof/allocs")"
    expect "-base" 0 "$(pprof_total -base now.pb.gz "$url/debug/pprof/heap")"
    expect "-seconds of a stopped target" 0 "$(pprof_total -seconds=1 "$url/debug/pprof/allocs")"
    go tool pprof -top "$url/debug/pprof/heap" 2>/dev/null | grep -q ' Perl_' || fail "no functions in go tool pprof"
    kill -CONT $pid
    # Its own server for browsers, by the tool itself: `go tool` would leave it behind when it is killed.
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    timeout 60 "$(go tool -n pprof)" -no_browser -http=127.0.0.1:$port "$url/debug/pprof/heap" >pprof.out 2>&1 &
    web=$!
    for page in top flamegraph peek; do
        for _ in $(seq 200); do
            $client body "http://127.0.0.1:$port/ui/$page" >page.html 2>/dev/null && break
            sleep 0.1
        done
        grep -q 'Perl_' page.html || fail "go tool pprof -http: nothing of perl on /ui/$page: $(cat pprof.out)"
    done
    kill $web
else
    echo "SKIPPED: no go here"
fi

$client malformed "$url" || fail "malformed requests"
$client many "$url" 1000 || fail "1,000 requests at once"
$client slow "$url" || fail "slow readers"
$client answers "$url" "$pid" || fail "answers afterwards"
kill -0 $pid || fail "the target is gone"

if command -v prometheus >/dev/null; then
    $client prometheus "$url" "$work" || fail "Prometheus"
else
    echo "SKIPPED: no prometheus here"
fi

# A target that was killed is served from the ledger that it left; one that ended is gone.
kill -KILL $pid
sleep 0.2
$client stopped "$url" || fail "metrics of a killed target"
expect "heap of a killed target" 200 "$($client status "$url/debug/pprof/heap")"
"$HEAPPROF" rm $pid
expect "heap without a ledger" 503 "$($client status "$url/debug/pprof/heap")"
end_server

# Who may ask.
start 'sleep 100'
printf 'tip toe\n' >token
"$HEAPPROF" serve --http=0.0.0.0:0 $pid >url 2>serve.err && fail "all the world may ask, without a token"
grep -q 'needs a token' serve.err || fail "said: $(cat serve.err)"
serve --token=@token $pid
$client token "$url" 'tip toe' || fail "token"
end_server
serve $pid
$client hosts "$url" || fail "hosts"
end_server
timeout 100 "$HEAPPROF" serve --http=unix:"$work/socket" $pid >url 2>serve.err &
server=$!
wait_for url
expect "mode of the socket" 600 "$(stat -c %a socket)"
$client unix socket || fail "unix socket"
end_server
[ -e socket ] && fail "the socket's file is left"
"$HEAPPROF" dump -o file.heap $pid >/dev/null
serve file.heap
expect "a file" 200 "$($client status "$url/debug/pprof/heap")"
end_server
for where in nonsense 127.0.0.1:70000 127.0.0.1:x ::1:80 unix: 256.0.0.1:80; do
    timeout 10 "$HEAPPROF" serve --http=$where $pid >url 2>serve.err
    expect "--http=$where" 1 $?
    expect "--http=$where: lines" 1 "$(wc -l <serve.err)"
done
kill $pid

timeout 60 "$HEAPPROF" run --http=127.0.0.1:0 -- perl -e '@a = map { "x" x 2000 } 1 .. 5000; sleep 2; exit 7' 2>report &
runner=$!
wait_for report
url=$(sed -n 's,^note: serving \(.*\)/$,\1,p' report)
sleep 0.5
expect "run --http" 200 "$($client status "$url/debug/pprof/heap")"
wait $runner
expect "run --http: exit status" 7 $?
expect "run --http: lines before the report" 1 "$(grep -c '^note' report)"
finish
