# A master with two workers under load by many clients, a reload of the configuration meanwhile, a proxy to itself.
command=nginx
needs=python3
names='^(ngx_|nginx\+|OPENSSL|CRYPTO)'

run() {
    free_port
    rm -rf "$work/web" "$work/temporary" && mkdir -p "$work/web" "$work/temporary"
    chmod 777 "$work/temporary"
    for i in $(seq 20); do seq $((i * 500)) >"$work/web/$i.txt"; done
    cat >"$work/nginx.conf" <<CONFIGURATION
daemon off; worker_processes 2; pid $work/nginx.pid; error_log $work/nginx.log; user $(id -un) $(id -gn);
events { worker_connections 256; }
http { access_log off; gzip on; gzip_types text/plain; gzip_min_length 10;
  client_body_temp_path $work/temporary; proxy_temp_path $work/temporary; fastcgi_temp_path $work/temporary;
  uwsgi_temp_path $work/temporary; scgi_temp_path $work/temporary;
  server { listen 127.0.0.1:$port; root $work/web; types { text/plain txt; }
    location /again/ { proxy_pass http://127.0.0.1:$port/; proxy_buffering on; proxy_buffers 4 4k; } } }
CONFIGURATION
    "$@" nginx -p "$work" -c "$work/nginx.conf" >server.log 2>&1 &
    local pid=$!
    wait_for connects $port || echo "no server"
    python3 - $port $pid <<'PYTHON'
import concurrent.futures, hashlib, os, signal, sys, urllib.request
def get(job):
    request = urllib.request.Request("http://127.0.0.1:%s%s/%d.txt" % (sys.argv[1], "/again" if job % 3 == 0 else "", job % 20 + 1),
                                     headers={"Accept-Encoding": "gzip" if job % 2 else "identity"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return len(answer.read()) if job % 2 else hashlib.sha256(answer.read()).hexdigest()
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    first = list(pool.map(get, range(400)))
    os.kill(int(sys.argv[2]), signal.SIGHUP)
    second = list(pool.map(get, range(400)))
print(first == second, hashlib.sha256(repr(first).encode()).hexdigest())
PYTHON
    kill -QUIT $pid
    wait $pid
    echo "exit status $?"
    grep -cE 'alert|emerg|exited on signal' "$work/nginx.log"
}
