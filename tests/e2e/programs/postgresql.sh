# A temporary cluster under pgbench: one process per connection, shared memory, USR1 and USR2 used by the server itself.
# The server refuses to be run by root. A profile of each backend appears when it ends; the largest is looked at.
programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
command=${programs:-/usr/lib/postgresql/VERSION/bin}/postgres
needs='setpriv pgbench psql'
names='^(AllocSet|postgres\+|MemoryContext)'
user=postgres

run() {
    local as= cluster=$work/cluster
    [ "$(id -u)" != 0 ] || as="setpriv --reuid=$user --regid=$user --init-groups"
    rm -rf "$cluster" && mkdir -m 700 "$cluster" && { [ -z "$as" ] || chown $user "$cluster"; }
    $as "$@" $programs/initdb -D "$cluster" -U tester -A trust --no-sync --locale=C -E UTF8 >initdb.log 2>&1 || cat initdb.log
    $as "$@" $programs/postgres -D "$cluster" -c listen_addresses= -c unix_socket_directories="$cluster" -c fsync=off \
        -c max_parallel_workers_per_gather=2 -c min_parallel_table_scan_size=0 -c parallel_setup_cost=0 >server.log 2>&1 &
    local pid=$!
    export PGHOST=$cluster PGUSER=tester PGDATABASE=postgres PGOPTIONS='-c client_min_messages=warning'
    wait_for psql -c 'select 1' || { echo "no server"; cat server.log; }
    pgbench -i -q -s 1 >/dev/null 2>&1 && echo "loaded"
    pgbench -c 4 -j 2 -t 150 2>/dev/null | grep -E '^number of (transactions actually|failed)'
    pgbench -S -c 8 -C -t 10 2>/dev/null | grep -E '^number of (transactions actually|failed)'
    psql -qAt <<'SQL'
create table t as select i, md5(i::text) as hash, i % 97 as part from generate_series(1, 30000) i;
create index on t (hash);
analyze t;
select part, count(*), max(hash) from t group by part order by part limit 5;
select count(*) from t a join t b on a.hash = b.hash where a.part < 50;
select length(string_agg(hash, ',' order by i)) from t;
select md5(json_agg(t order by i)::text) from t where i < 3000;
do $$ declare n int; begin for k in 1..300 loop execute 'select count(*) from t where part = ' || k % 97 into n; end loop; end $$;
select count(*), sum(abalance) = (select sum(bbalance) from pgbench_branches) from pgbench_accounts;
select 1 / 0;
vacuum full t;
SQL
    kill -INT $pid
    wait $pid
    echo "exit status $?"
    grep -cE 'PANIC|was terminated by signal' server.log
}
