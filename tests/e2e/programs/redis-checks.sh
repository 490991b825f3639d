# What redis checks of itself: a pipe of commands, saving and loading by fork, rewriting of the append-only file, eviction,
# active defragmentation's absence, digests of all data before and after.
command=redis-server
names='^(zmalloc|ztrymalloc|zcalloc|sds|dictAdd|createObject|redis-server\+|redis-check-rdb\+|luaM_|l_alloc)'
at_exit=0
needs='python3 redis-check-rdb'

run() {
    free_port
    rm -rf "$work/redis" && mkdir "$work/redis"
    "$@" redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no --dir "$work/redis" --enable-debug-command yes \
        --aof-use-rdb-preamble no >server.log 2>&1 &
    local pid=$! digest
    wait_for redis-cli -p $port ping || echo "no server"
    awk 'BEGIN { for (i = 0; i < 20000; i++) {
        printf "SET key:%d %s%d\r\nLPUSH list:%d %d\r\nHSET hash:%d f%d v%d\r\nZADD z:%d %d m%d\r\nSADD s:%d %d\r\n",
            i, substr("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1, i % 50), i,
            i % 100, i, i % 300, i % 70, i, i % 50, i * 7 % 1000, i, i % 80, i } }' | redis-cli -p $port --pipe
    redis-cli -p $port dbsize
    digest=$(redis-cli -p $port debug digest)
    echo "$digest"
    redis-cli -p $port debug reload
    [ "$(redis-cli -p $port debug digest)" = "$digest" ] && echo "same after reload"
    redis-cli -p $port bgsave
    wait_for eval "redis-cli -p $port info persistence | grep -q rdb_bgsave_in_progress:0"
    redis-cli -p $port info persistence | grep -aE '^rdb_last_bgsave_status' | tr -d '\r'
    "$@" redis-check-rdb "$work/redis/dump.rdb" | grep -aoE 'RDB looks OK!|[0-9]+ keys read'
    redis-cli -p $port config set appendonly yes
    wait_for eval "redis-cli -p $port info persistence | grep -q aof_rewrite_in_progress:0"
    redis-cli -p $port debug loadaof
    [ "$(redis-cli -p $port debug digest)" = "$digest" ] && echo "same after loadaof"
    redis-cli -p $port config set appendonly no
    redis-cli -p $port eval 'for i = 1, 20000 do redis.call("append", KEYS[1], "y" .. i) end return redis.call("strlen", KEYS[1])' 1 long
    redis-benchmark -p $port -t set,get,incr,lpush,rpop,zadd,hset,spop,mset -n 2000 -c 20 -P 8 -r 500 -q >/dev/null && echo "benchmark done"
    redis-cli -p $port flushall async
    redis-cli -p $port dbsize
    end_server $pid
}
