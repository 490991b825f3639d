# Files, HTTP with several transfers at once, a host that does not exist, TLS that fails.
command=curl
needs=python3
names='^(libcurl|[Cc]url_|CRYPTO_|libcrypto)'

run() {
    mkdir -p "$work/served"
    for i in $(seq 30); do seq $((i * 300)) >"$work/served/$i.txt"; done
    free_port
    python3 -m http.server --bind 127.0.0.1 --directory "$work/served" $port >/dev/null 2>&1 &
    local pid=$!
    wait_for connects $port || echo "no server"
    "$@" curl -sS "http://127.0.0.1:$port/[1-30].txt" | cksum
    "$@" curl -sS --no-progress-meter -Z "http://127.0.0.1:$port/[1-30].txt" -o "$work/got.#1" 
    cat "$work"/got.* | cksum
    "$@" curl -sS -o /dev/null -w '%{http_code} %{size_download}\n' "http://127.0.0.1:$port/none"
    "$@" curl -sS "file://$work/served/7.txt" | cksum
    "$@" curl -sS -o /dev/null http://no-such-host.invalid/ 2>/dev/null
    echo "exit status $?"
    "$@" curl -sS -k "https://127.0.0.1:$port/" 2>/dev/null
    echo "exit status $?"
    { kill $pid && wait $pid; } 2>/dev/null
}
