#!/bin/bash
# Real programs behave with the library as without it, and their profiles name what allocates there.
# test_programs.sh PROGRAM...: of redis, memcached, nginx, sqlite, python, perl, git, g++.
. "$(dirname "$0")/lib.sh"
limit=60
port=

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

# Each program has a function that runs it once, started by "$@" (nothing, or what puts the library in front), and writes
# what it does to standard output; dumps go to $dumps. Servers are asked for their dump by a signal to PID and ended.

# end_server PID: dump it if it is profiled, end it, and print how it ended.
end_server() {
    if [ -n "$dumps" ]; then
        kill -USR2 $1
        wait_for has_dump || fail "$program: no dump for USR2"
    fi
    kill -TERM $1
    wait $1
    echo "exit status $?"
}

run_redis() {
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

run_memcached() {
    free_port
    "$@" memcached -u "$(id -un)" -l 127.0.0.1 -p $port -U 0 -t 2 >server.log 2>&1 &
    local pid=$!
    wait_for connects $port || echo "no server"
    python3 - $port <<'PYTHON'
import socket, sys
total = 0
for connection in range(20):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    f = s.makefile("rwb")
    for i in range(200):
        value = (b"%d." % i) * 100
        f.write(b"set k%d 0 0 %d\r\n%s\r\n" % (i, len(value), value))
        f.flush()
        assert f.readline() == b"STORED\r\n"
        f.write(b"get k%d\r\n" % i)
        f.flush()
        f.readline()
        total += len(f.readline())
        assert f.readline() == b"END\r\n"
    s.close()
print(total)
PYTHON
    end_server $pid
}

run_nginx() {
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

run_sqlite() {
    "$@" sqlite3 :memory: <<'SQL'
create table t (id integer primary key, name text, amount real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into t select i, 'name ' || i || hex(zeroblob(20)), i * 1.5 from n;
create index by_name on t (name);
select count(*), sum(amount), max(name) from t;
select substr(name, 1, 6), count(*) from t group by 1 order by 2 desc, 1 limit 10;
select length(group_concat(name, ',')) from t;
select json_group_array(id) from (select id from t limit 50);
select * from no_such_table;
SQL
    echo "exit status $?"
}

run_python() {
    PYTHONMALLOC=malloc PYTHONHASHSEED=0 "$@" "$python" - <<'PYTHON'
import collections, decimal, gc, hashlib, io, json, os, pickle, re, subprocess, threading, zlib
data = [{"number": i, "text": "x" * (i % 50), "list": list(range(i % 10))} for i in range(4000)]
text = json.dumps(data)
print(hashlib.sha256(text.encode()).hexdigest(), len(pickle.dumps(json.loads(text))))
print(len(zlib.compress(text.encode())), len(re.findall(r'"number": \d*7,', text)))
results = []
def work(n):
    results.append((n, sum(len(str(decimal.Decimal(i) / 7)) for i in range(n))))
threads = [threading.Thread(target=work, args=(n * 300,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(results))
print(subprocess.run(["echo", "child"], capture_output=True).stdout, os.system("exit 3"))
pid = os.fork()
if pid == 0:
    gc.collect()
    os._exit(5)
print(os.waitpid(pid, 0)[1], collections.Counter(text).most_common(3))
raise SystemExit(6)
PYTHON
    echo "exit status $?"
}

run_perl() {
    PERL_HASH_SEED=0 "$@" perl -MList::Util=sum -MData::Dumper -e '
        my %h; $h{"key $_"} = [map { $_ x 3 } 1 .. $_ % 20] for 1 .. 20000;
        print scalar(keys %h), " ", sum(map { scalar @$_ } values %h), "\n";
        my $s = join ",", map { "$_=" . join(":", @{$h{$_}}) } sort keys %h;
        my $n = () = $s =~ /7:8/g; print length($s), " $n\n";
        $Data::Dumper::Sortkeys = 1; print length(Dumper(\%h)), "\n";
        print `echo child`; my $pid = fork; exit 2 if !$pid; waitpid $pid, 0; print $? >> 8, "\n"; exit 4'
    echo "exit status $?"
}

run_git() {
    rm -rf "$work/repository"
    "$@" git init -q -b main "$work/repository"
    cd "$work/repository" || return
    for i in $(seq 60); do seq $i $((i + 200)) >file.$i; done
    "$@" git add .
    "$@" git commit -q -m first
    for i in $(seq 30); do echo "more $i" >>file.$i; done
    "$@" git commit -q -a -m second
    "$@" git log --stat --format='%H %s' | tail -70
    "$@" git gc -q
    "$@" git diff --stat HEAD~1
    "$@" git blame file.7 | sha256sum
    "$@" git fsck --no-progress
    "$@" git show no-such-revision 2>&1
    echo "exit status $?"
    cd "$work" || return
}

run_g++() {
    cat >"$work/templates.cpp" <<'CPP'
#include <map>
#include <memory>
#include <string>
#include <vector>
template <int N> struct number { static const int value = number<N - 1>::value + N; std::map<std::string, number<N - 1>> m; };
template <> struct number<0> { static const int value = 0; };
template <int N> int build() { std::vector<std::unique_ptr<number<N>>> v(3); return number<N>::value + (int)v.size() + build<N - 1>(); }
template <> int build<0>() { return 0; }
int main() { return build<12>() & 127; }
CPP
    "$@" g++ -std=c++17 -O1 -c -o "$work/templates.o" "$work/templates.cpp"
    echo "exit status $?"
    sha256sum <"$work/templates.o"
    echo 'int x = "wrong";' >"$work/wrong.cpp"
    "$@" g++ -fsyntax-only "$work/wrong.cpp" 2>&1
    echo "exit status $?"
}

# PROGRAM: command; rows of which a dump must have one; what may be asked for a dump only at its end.
describe() {
    at_exit=1
    case $1 in
    redis) command=redis-server names='^(zmalloc|ztrymalloc|zcalloc|sds|dictAdd|createObject|redis-server\+|redis-check-rdb\+|luaM_|l_alloc)' at_exit=0 ;;
    memcached) command=memcached names='^(memcached\+|bufferevent|event_|evbuffer|thread_init|do_slabs|main)' at_exit=0 ;;
    nginx) command=nginx names='^(ngx_|nginx\+|OPENSSL|CRYPTO)' ;;
    sqlite) command=sqlite3 names='^(sqlite3|libsqlite3|sqlite3Mem|.*sqlite3.*\+)' ;;
    python) command=python3 names='^(_?Py|list_|dict|new_|unicode|PyMem|_PyMem|python3|insert|resize|long_)' ;;
    perl) command=perl names='^(Perl_|S_|perl\+|PerlIO)' ;;
    git) command=git names='^(git\+|x?malloc|xcalloc|xrealloc|strbuf|do_xmalloc|deflateInit|inflateInit|libz.*|_IO_file_doallocate)' ;;
    g++) command=g++ names='^(xmalloc|xcalloc|xrealloc|cc1plus\+|ggc_|_obstack|cpp_|x86_64-linux-gnu-g)' ;;
    *) fail "no program $1" ;;
    esac
}

# One more line of the table that `scripts/test --programs` prints, if it does: calls, samples and memory are those of
# the largest dump, CPU is that of all processes, clients included.
TIMEFORMAT='%U %S'
add_row() {
    local file=$dumps/$largest result=yes
    [ $failures = $before ] || result=NO
    [ -z "${PROGRAMS_TABLE-}" ] || printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' $program $allocator $interval \
        "$(fact "$file" Mallocs)" "$(fact "$file" samples)" $result \
        "$(cat alone.time with.time | awk 'NR == 1 { a = $1 + $2 } END { printf "%+.2f s of %.2f s", $1 + $2 - a, a }')" \
        "$(fact "$file" own_bytes | awk '{ printf "%.1f MiB", $1 / 1048576 }')" >>"$PROGRAMS_TABLE"
}

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org GIT_AUTHOR_DATE='2024-01-01T00:00:00Z'
export GIT_COMMITTER_DATE='2024-01-01T00:00:00Z' HOME=$work

for program; do
    describe "$program"
    if ! command -v $command >/dev/null; then
        echo "skipped: no $command here"
        skipped=1
        continue
    fi
    case $program in memcached | nginx | redis) need python3 ;; esac
    # Not a script that finds the interpreter.
    [ $program = python ] && python=$(python3 -c 'import sys; print(sys.executable)')
    dumps=
    run_$program env >first.out 2>first.err
    run_$program env >alone.out 2>alone.err
    cmp -s first.out alone.out || fail "$program differs by itself: $(diff first.out alone.out | head -5)"
    for allocator in $(allocators glibc jemalloc); do
        [ -z "${PROGRAMS_TABLE-}" ] ||
            { time run_$program env LD_PRELOAD="${allocator_files[$allocator]-}" >/dev/null 2>&1; } 2>alone.time
        for interval in 512K 4K 1; do
            name="$program on $allocator at $interval"
            dumps=$work/dumps
            rm -rf "$dumps" && mkdir "$dumps"
            start=$SECONDS
            {
                time run_$program env LD_PRELOAD="$LIBHEAPPROF${allocator_files[$allocator]+:${allocator_files[$allocator]}}" \
                    HEAPPROF_INTERVAL=$interval HEAPPROF_AT_EXIT=$at_exit \
                    HEAPPROF_OUTPUT="$dumps/%e.%p.%n.heap" >with.out 2>with.err
            } 2>with.time
            before=$failures
            cmp -s alone.out with.out || fail "$name: other output: $(diff alone.out with.out | head -5)"
            cmp -s alone.err with.err || fail "$name: other standard error: $(diff alone.err with.err | head -5)"
            grep 'heapprof: ' server.log 2>/dev/null && fail "$name: complaints"
            largest=$(ls -S "$dumps" | head -1)
            if [ -z "$largest" ]; then
                fail "$name: no dump"
                continue
            fi
            check_dump "$name" "$dumps/$largest"
            expect "$name: lost" 0 "$(fact "$dumps/$largest" lost)"
            rows alloc_space "$dumps/$largest" | cut -f1 >names
            # A process that allocates less than an interval may have no sample.
            [ $interval = 512K ] || grep -qE "$names" names || fail "$name: no row like $names: $(head -5 names)"
            echo "$name: $((SECONDS - start)) s"
            add_row
        done
    done
done
[ "${skipped:-0}" = 1 ] && [ $failures = 0 ] && exit 77
finish "the programs are as they were"
