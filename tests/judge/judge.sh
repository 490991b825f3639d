#!/bin/bash
# Compare the library's unwinder with libunwind in real programs (see judge.c). Prints a table and where the two part;
# fails when fewer stacks agree than promised below, or when a program fails.
# Environment: JUDGE (the library), JUDGE_SCALE (1: some 10,000s to 100,000s of stacks a program; more: longer), JUDGE_EVERY (1: each allocation).
set -u
judge=${JUDGE:?}
scale=${JUDGE_SCALE:-1}
export JUDGE_EVERY=${JUDGE_EVERY:-1}
ldconfig -p | grep -q 'libunwind\.so\.8' || { echo "skipped: no libunwind.so.8"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failed=0

# name, promised share of equal or longer stacks in 1/1000, command
run() {
    local name=$1 promised=$2
    shift 2
    command -v "$1" >/dev/null || { echo "$name: not here"; return; }
    : >"$name.judge"
    if ! JUDGE_OUTPUT=$folder/$name.judge LD_PRELOAD=$judge timeout 300 "$@" >"$name.out" 2>"$name.err"; then
        echo "$name: FAILED"
        tail -3 "$name.err"
        failed=1
    fi
    report "$name" "$promised"
}

report() {
    awk -F'\t' -v name="$1" -v promised="$2" '
        $1 == "stacks" { all += $3; equal += $4; longer += $5; shorter += $6; different += $7; frames += $8 }
        $1 == "time" { ours += $3; our_frames += $4; theirs += $5; their_frames += $6 }
        $1 == "part" { key = $3 "\t" $5 "\t" $6 "\t" $7; count[key] += $4 }
        END {
            share = all ? (equal + longer) / all : 0
            printf "%-14s stacks %9d  equal %9d  longer %6d  shorter %6d  different %6d  mean depth %5.1f  %8.4f %%  ns a stack %5.0f  a frame %5.1f, libunwind %5.1f\n",
                name, all, equal, longer, shorter, different, all ? frames / all : 0, 100 * share,
                all ? ours / all : 0, our_frames ? ours / our_frames : 0, their_frames ? theirs / their_frames : 0
            for (key in count) printf "    %8d %s\n", count[key], key | "sort -rn | head -12"
            exit !(share >= promised / 1000 && all >= 10000)
        }' "$1.judge" || { echo "$1: fewer stacks agree than promised ($2 in 1,000), or too few were taken"; failed=1; }
}

python=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null || echo python3)
cat >work.py <<'EOF'
import json, re, sys, collections, functools
class Node:
    def __init__(self, depth):
        self.children = [Node(depth - 1) for _ in range(3)] if depth else []
    @functools.cached_property
    def size(self):
        return 1 + sum(child.size for child in self.children)
def fail(n):
    if n == 0:
        raise ValueError("x" * 100)
    try:
        fail(n - 1)
    except ValueError as error:
        raise KeyError(str(error)) from error
for round in range(int(sys.argv[1])):
    text = json.dumps([{"a": i, "b": [str(i)] * 5, "c": {"d": i * 1.5}} for i in range(300)])
    json.loads(text)
    Node(5).size
    re.sub(r"(\d+)", lambda match: match.group(1) * 2, text[:5000])
    sorted((str(i) for i in range(500)), key=lambda s: s[::-1])
    collections.Counter(text)
    exec(compile("def f(x):\n    return [x + i for i in range(10)]\nf(3)", "made", "exec"))
    try:
        fail(10)
    except KeyError:
        pass
EOF
PYTHONMALLOC=malloc run python3 990 "$python" work.py $((20 * scale))

cat >work.sql <<EOF
create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < $((20000 * scale)))
insert into t select i, 'name ' || (i * 7919 % 1000), i * 0.5 from n;
create index tb on t(b);
select count(*), sum(length(b)) from t;
select b, group_concat(a) from t group by b order by 2 limit 5;
select json_group_array(json_object('a', a, 'b', b)) from t where a < 2000;
select printf('%s-%d', upper(b), a) from t where b like '%99%' limit 100;
EOF
# Releases keep more and more of a statement's memory: its parts are allocated anew for each.
for i in $(seq $((600 * scale))); do
    echo "select a, upper(b), group_concat(c) from t where a between $i and $i + 5 group by b order by c desc;"
done >>work.sql
run sqlite3 999 sqlite3 :memory: ".read work.sql"

make_commits() {
    git init -q repository && cd repository || return
    git config user.name judge && git config user.email judge@example.org
    for i in $(seq 20); do
        seq "$i" $((i * 50)) >numbers
        cp numbers "file$i"
        git add . && git commit -qm "commit $i" || return
    done
}
if command -v git >/dev/null; then
    (make_commits) || failed=1
    run git 999 bash -c 'cd repository && for i in $(seq '$((4 * scale))'); do git log -p --stat >/dev/null
        git blame numbers >/dev/null; git diff HEAD~10 >/dev/null; git repack -adfq; git fsck; done'
fi

cat >work.cc <<'EOF'
#include <algorithm>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>
template <int N> struct deep { typename deep<N - 1>::type inner; typedef std::tuple<deep<N - 1>, int> type; };
template <> struct deep<0> { typedef int type; };
deep<20>::type value;
std::map<std::string, std::vector<std::function<int(std::string)>>> table;
bool matches(const std::string &s) { return std::regex_match(s, std::regex("(a|b)*c[0-9]+")); }
void fill() { table["a"].push_back([](std::string s) { return (int)s.size(); }); std::unordered_map<int, std::string> m; m[1]; }
EOF
run cc1plus 999 g++ -O1 -c work.cc -o work.o

cat >work.pl <<'EOF'
my %h;
for my $round (1 .. $ARGV[0]) {
    for my $i (1 .. 3000) { push @{$h{"key$i"}}, join(",", map { $_ * $i } 1 .. 5); }
    my @sorted = sort { length($h{$a}[0]) <=> length($h{$b}[0]) || $a cmp $b } keys %h;
    my $text = join " ", map { "@{$h{$_}}" } @sorted[0 .. 200];
    $text =~ s/(\d+)/sprintf("%x", $1)/ge;
    eval { die { code => $round } };
    %h = () if $round % 3 == 0;
}
EOF
run perl 999 perl work.pl $((4 * scale))

cat >work.js <<'EOF'
const map = new Map();
function fill(n) { map.set('key' + n, JSON.stringify({ a: n, b: [n, n] })); return n ? fill(n - 1) : map; }
for (let i = 0; i < 40; i++) { fill(300); Buffer.alloc(10000); try { null.x; } catch (e) { e.stack; } }
const crypto = require('crypto');
for (let i = 0; i < 500; i++) crypto.createHash('sha256').update('x' + i).digest('hex');
EOF
run node 990 node work.js

if command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null; then
    : >redis-server.judge
    JUDGE_OUTPUT=$folder/redis-server.judge LD_PRELOAD=$judge timeout 300 redis-server --port 0 \
        --unixsocket "$folder/socket" --save '' --dir "$folder" --daemonize no >redis.out 2>&1 &
    server=$!
    for i in $(seq 50); do [ -S socket ] && break; sleep 0.1; done
    redis-benchmark -s "$folder/socket" -q -n $((3000 * scale)) -c 10 -r 1000 \
        -t set,get,lpush,sadd,hset,zadd,mset >bench.out 2>&1 || failed=1
    redis-cli -s "$folder/socket" eval 'for i = 1, 3000 do redis.call("append", "k" .. i, tostring(i)) end' 0 >lua.out
    redis-cli -s "$folder/socket" shutdown nosave >/dev/null 2>&1
    wait $server || { echo "redis-server: FAILED"; failed=1; }
    report redis-server 999
fi
exit $failed
