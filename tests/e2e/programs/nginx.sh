# A server that uses USR2 itself.
command=nginx
names='^(ngx_|nginx\+|OPENSSL|CRYPTO)'
needs=python3

run() {
    free_port
    mkdir -p "$work/web" "$work/temporary"
    for i in $(seq 20); do seq $((i * 100)) >"$work/web/$i.txt"; done
    cat >"$work/nginx.conf" <<CONFIGURATION
daemon off; worker_processes 1; master_process off; pid $work/nginx.pid; error_log $work/nginx.log;
events { worker_connections 64; }
http { access_log off; gzip on; gzip_types text/plain; gzip_min_length 10;
  client_body_temp_path $work/temporary; proxy_temp_path $work/temporary; fastcgi_temp_path $work/temporary;
  uwsgi_temp_path $work/temporary; scgi_temp_path $work/temporary;
  server { listen 127.0.0.1:$port; root $work/web; types { text/plain txt; } } }
CONFIGURATION
    "$@" nginx -p "$work" -c "$work/nginx.conf" >server.log 2>&1 &
    local pid=$!
    wait_for connects $port || echo "no server"
    python3 - $port <<'PYTHON'
import hashlib, sys, urllib.request
digest = hashlib.sha256()
for round in range(15):
    for i in range(1, 21):
        for encoding in "identity", "gzip":
            request = urllib.request.Request("http://127.0.0.1:%s/%d.txt" % (sys.argv[1], i),
                                             headers={"Accept-Encoding": encoding})
            digest.update(urllib.request.urlopen(request).read())
try:
    urllib.request.urlopen("http://127.0.0.1:%s/none" % sys.argv[1])
except urllib.error.HTTPError as error:
    print(error.code)
print(digest.hexdigest())
PYTHON
    # nginx uses USR2 itself: its handler wins.
    kill -TERM $pid
    wait $pid
    echo "exit status $?"
}
