# A server under load, asked for its dump by a signal.
command=redis-server
names='^(zmalloc|ztrymalloc|zcalloc|sds|dictAdd|createObject|redis-server\+|redis-check-rdb\+|luaM_|l_alloc)'
at_exit=0
needs=python3

run() {
    free_port
    "$@" redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no --dir "$work" >server.log 2>&1 &
    local pid=$!
    wait_for redis-cli -p $port ping || echo "no server"
    redis-cli -p $port config set list-max-listpack-size 8
    redis-benchmark -p $port -t set,lpush,sadd,hset -n 3000 -r 1000 -d 200 -q >/dev/null && echo "benchmark done"
    for i in $(seq 50); do echo "set key:$i $(printf '%0300d' $i)"; done | redis-cli -p $port | sort | uniq -c
    redis-cli -p $port get key:33
    redis-cli -p $port del key:33
    redis-cli -p $port get key:33
    redis-cli -p $port eval 'local t = {} for i = 1, 1000 do t[i] = i .. "x" end return #table.concat(t)' 0
    end_server $pid
}
