#!/bin/bash
# Reports over the small profiles of tests/data against golden output, and what the command says about wrong usage and
# broken files. UPDATE=1 writes the golden files anew.
set -u
: "${HEAPPROF:?path of the command}" "${SOURCE_ROOT:?root of the source}"
data=$SOURCE_ROOT/tests/data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NO_COLOR=1 LC_ALL=C
unset COLUMNS
cd "$data" || exit 1
failures=0

fail() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}

# golden NAME ARGUMENT...: standard output is the file golden/NAME, the exit status 0.
golden() {
    local name=$1
    shift
    "$HEAPPROF" "$@" >"$work/out" 2>"$work/err" || fail "$name: exit status $?: $(cat "$work/err")"
    if [ "${UPDATE:-0}" = 1 ]; then
        cp "$work/out" "golden/$name"
    elif ! diff -u "golden/$name" "$work/out"; then
        fail "$name differs"
    fi
}

# refuse STATUS TEXT ARGUMENT...: nothing on standard output, one line with TEXT on standard error (but for notes about
# missing symbols), this exit status.
refuse() {
    local status=$1 text=$2 got
    shift 2
    "$HEAPPROF" "$@" >"$work/out" 2>"$work/all" </dev/null
    got=$?
    grep -v '^note: ' "$work/all" >"$work/err"
    [ $got = "$status" ] || fail "$*: exit status $got, not $status"
    [ "$(wc -l <"$work/err")" = 1 ] || fail "$*: not one line on standard error: $(cat "$work/err")"
    grep -q '^heapprof: ' "$work/err" || fail "$*: no 'heapprof: ' in front: $(cat "$work/err")"
    grep -qF -- "$text" "$work/err" || fail "$*: no '$text' in: $(cat "$work/err")"
    [ ! -s "$work/out" ] || fail "$*: wrote to standard output"
}

for sample in inuse_space inuse_objects alloc_space alloc_objects; do
    golden "top.$sample.txt" top --sample=$sample before.prof
done
golden top.json top --json before.prof
golden top.cum.txt top --sort=cum -n 3 before.prof
golden top.raw.txt top --raw before.prof
golden top.exact.txt top exact.prof
golden top.files.txt top --granularity=files before.prof
golden top.lines.txt top --granularity=lines -n 0 before.prof
golden top.addresses.txt top --granularity=addresses -n 0 before.prof
golden top.focus.txt top --focus='sds|dict' --hide='^main$' before.prof
golden top.show.txt top --show='^(malloc|main)$' --ignore=recurse before.prof
golden top.base.txt top --base before.prof after.prof
golden top.merged.txt top before.prof after.prof
golden top.color.txt top --color=always -n 2 before.prof
golden tree.txt tree before.prof
golden tree.base.txt tree --base before.prof -n 3 after.prof
golden tree.json tree --json -n 3 before.prof
golden tree.exact.txt tree --sample=alloc_objects exact.prof
golden peek.txt peek 'dict|read_query' before.prof
golden peek.json peek --json dict_add before.prof
golden list.txt list --source=source '^dict_|sds_new' before.prof
golden list.json list --json dict_key before.prof
golden traces.txt traces -n 3 before.prof
golden traces.json traces --json -n 1 before.prof
golden tags.txt tags before.prof
golden tags.json tags --json --focus=sds before.prof
golden tags.objects.txt tags --sample=inuse_objects exact.prof
golden diff.txt diff before.prof after.prof
golden diff.json diff --json before.prof after.prof
golden diff.runs.txt diff before.prof moved.prof
golden diff.none.txt diff after.prof moved.prof
golden diff.cum.txt diff --sort=cum before.prof after.prof
golden diff.exact.txt diff exact.prof exact.prof
golden stats.txt stats before.prof
golden stats.json stats --json before.prof
golden folded.txt convert --to=folded --sample=alloc_objects before.prof
golden text.txt convert --to=text before.prof
golden merged.text.txt merge before.prof moved.prof

# What was folded with no frame left is a row of its own, which columns need to add up to the total; formats keep it.
golden top.no_stack.txt top --sample=alloc_space no_stack.prof
golden top.no_stack.files.txt top --sample=alloc_space --granularity=files no_stack.prof
golden tree.no_stack.txt tree --sample=alloc_space no_stack.prof
golden folded.no_stack.txt convert --to=folded --sample=alloc_objects no_stack.prof
"$HEAPPROF" peek --sample=alloc_space 'stack not' no_stack.prof 2>&1 | grep -q '^6.8 KiB .* (stack not kept)$' ||
    fail "peek at what has no stack"
for filter in --focus=app --ignore=kept '--hide=not kept' --show=app; do
    "$HEAPPROF" top "$filter" --sample=alloc_space no_stack.prof 2>/dev/null | grep 'stack not kept' &&
        fail "$filter shows what has no stack"
done
for to in speedscope html 'svg --sample=alloc_space' 'dot --sample=alloc_space'; do
    "$HEAPPROF" convert --to=$to no_stack.prof 2>/dev/null | grep -qF '(stack not kept)' ||
        fail "$to has nothing of what has no stack"
done
"$HEAPPROF" convert --to=pprof -o "$work/no_stack" no_stack.prof 2>/dev/null
gzip -dc "$work/no_stack" | grep -aqF '(stack not kept)' || fail "pprof has nothing of what has no stack"
"$HEAPPROF" convert --to=text -o "$work/text" "$work/no_stack" 2>/dev/null
grep -qx '0: 0 \[3: 6000\] @' "$work/text" || fail "pprof and back: $(cat "$work/text")"
for file in no_stack.prof "$work/no_stack"; do
    "$HEAPPROF" top --json -n 0 --sample=alloc_space "$file" 2>/dev/null | python3 -c '
import json, sys
report = json.load(sys.stdin)
flat = sum(row["flat"] for row in report["rows"])
assert abs(flat - report["total"]) < 2, (flat, report["total"])' || fail "$file: rows do not add up to the total"
done

# The first row of a diff is the leak; only a significant growth fails a build.
"$HEAPPROF" diff --fail-on-growth=1M before.prof after.prof >/dev/null 2>"$work/err"
[ $? = 3 ] || fail "--fail-on-growth=1M does not exit with 3"
grep -q '^heapprof: significant growth of 17.5 MiB is above 1.0 MiB$' "$work/err" || fail "--fail-on-growth says nothing"
"$HEAPPROF" diff --fail-on-growth=100M before.prof after.prof >/dev/null 2>&1 || fail "--fail-on-growth=100M fails"
"$HEAPPROF" diff --fail-on-growth=5% before.prof after.prof >/dev/null 2>"$work/err"
[ $? = 3 ] || fail "--fail-on-growth=5% does not exit with 3"
grep -q '^heapprof: significant growth of 17.5 MiB is above 2.1 MiB$' "$work/err" || fail "--fail-on-growth=5%: $(cat "$work/err")"
"$HEAPPROF" diff --fail-on-growth=50% before.prof after.prof >/dev/null 2>&1 || fail "--fail-on-growth=50% fails"
"$HEAPPROF" diff --fail-on-growth=0 after.prof moved.prof >/dev/null 2>&1 || fail "a steady target fails"

"$HEAPPROF" top - <before.prof 2>/dev/null | tail -n +2 >"$work/out"
tail -n +2 golden/top.inuse_space.txt | diff - "$work/out" || fail "standard input"

# What is converted says the same.
for to in text pprof; do
    "$HEAPPROF" convert --to=$to -o "$work/converted" before.prof 2>/dev/null || fail "convert --to=$to"
    "$HEAPPROF" top "$work/converted" 2>/dev/null | tail -n +3 >"$work/out"
    "$HEAPPROF" top before.prof 2>/dev/null | tail -n +3 | diff -u - "$work/out" || fail "$to has other rows"
done
# mode WANTED ARGUMENT...: of mode.gz, after this verb has written it.
mode() {
    local wanted=$1
    shift
    (umask 0 && "$HEAPPROF" "$@" -o "$work/mode.gz" before.prof 2>/dev/null)
    [ "$(stat -c %a "$work/mode.gz")" = "$wanted" ] || fail "$*: mode of the file: $(stat -c %a "$work/mode.gz")"
}
mode 600 convert --to=text
mode 644 convert --to=text --mode=644
mode 644 convert --to=text
mode 640 merge --mode=0640
rm "$work/mode.gz"
mode 600 merge
gzip -t "$work/mode.gz" || fail "a .gz that is none"
cp -p "$work/mode.gz" "$work/kept.gz"
(cd "$work" && ulimit -f 0 && trap '' XFSZ && "$HEAPPROF" convert --to=text -o kept.gz "$data/before.prof") 2>"$work/err" &&
    fail "a file that could not be written is no error"
cmp -s "$work/mode.gz" "$work/kept.gz" || fail "a failed write touched the file that was there"
ls "$work"/kept.gz.* 2>/dev/null && fail "a failed write left its draft"
"$HEAPPROF" top before.prof >/dev/full 2>"$work/err" && fail "a full disk is no error"
[ "$(wc -l <"$work/err")" -ge 1 ] || fail "a full disk: no message"
"$HEAPPROF" --version | grep -q '^heapprof [0-9]' || fail "--version"
for verb in $("$HEAPPROF" help | sed -n 's/^  \([a-z]*\)  *[A-Z].*/\1/p'); do
    "$HEAPPROF" help "$verb" | grep -q "^usage: heapprof $verb" || fail "help $verb"
    "$HEAPPROF" "$verb" --help | grep -q "^usage: heapprof $verb" || fail "$verb --help"
done

# On a terminal no line is wider than it is, and colours are on.
for columns in 80 100 132; do
    for words in "top -n 0" "tree" "peek ." "list --source=source ." "traces" "tags" "diff" "stats" "top --granularity=lines"; do
        files=before.prof
        [ "$words" = diff ] && files="before.prof after.prof"
        env -u NO_COLOR TERM=xterm LC_ALL=C.UTF-8 script -qec "stty cols $columns; '$HEAPPROF' $words $files 2>/dev/null" /dev/null \
            </dev/null | tr -d '\r' >"$work/terminal"
        grep -q $'\x1b\[1m' "$work/terminal" || fail "$words at $columns columns: no colours"
        python3 - "$work/terminal" $columns "$words" <<'PY' || failures=$((failures + 1))
import re, sys
name, columns, words = sys.argv[1:]
wide = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", open(name, encoding="utf-8").read()).split("\n") if len(line) > int(columns)]
for line in wide:
    print(f"FAIL: {words} at {columns} columns: {line}")
sys.exit(bool(wide))
PY
    done
done

# What would be taken for an answer, and is none, is said in one line.
# hints COUNT TEXT ARGUMENT...: exit status 0, and so many notes (but for that of the program that is not there) with TEXT.
hints() {
    local count=$1 text=$2
    shift 2
    "$HEAPPROF" "$@" >"$work/out" 2>"$work/all" </dev/null || fail "$*: exit status $?: $(cat "$work/all")"
    grep -v "^note: /no/such/[a-z0-9-]* can't be read" "$work/all" >"$work/err"
    [ "$(grep -c '^note: ' "$work/err")" = "$count" ] || fail "$*: not $count notes: $(cat "$work/err")"
    [ "$count" = 0 ] || grep -qF -- "$text" "$work/err" || fail "$*: no '$text' in: $(cat "$work/err")"
}
for option in focus ignore hide show; do
    hints 1 "--$option: no function, file or module matches 'nowhere'" top --$option=nowhere before.prof
    hints 0 "" top --$option=sds before.prof
done
hints 1 "--focus: no function" diff --focus=nowhere before.prof after.prof
hints 1 "--focus: no function" convert --to=folded --focus=nowhere before.prof
hints 0 "" top before.prof
hints 0 "" diff before.prof after.prof
hints 1 "after.prof was taken after before.prof" diff after.prof before.prof
hints 1 "after.prof was taken after before.prof" top --base=after.prof before.prof
sed 's,query-server,nginx,g' before.prof >"$work/nginx.prof"
hints 1 "before.prof is of query-server, $work/nginx.prof of nginx: what differs between two programs is no growth" \
    diff before.prof "$work/nginx.prof"
hints 1 "the sum is of different programs" merge -o "$work/sum" before.prof "$work/nginx.prof"
hints 1 "the sum is of different programs" top before.prof "$work/nginx.prof"
echo "heap profile: 0: 0 [0: 0] @ heap_v2/524288" >"$work/none.prof"
hints 1 "no sample: less than about 3 intervals (1.5 MiB) were allocated" top "$work/none.prof"
printf 'heap profile: 0: 0 [1: 2000] @ heap_v2/524288\n0: 0 [1: 2000] @ 0x401001\n' >"$work/freed.prof"
hints 1 "nothing is live any more: --sample=alloc_space" top "$work/freed.prof"
hints 0 "" top --sample=alloc_space "$work/freed.prof"
sed 's/ rss=[0-9]* / rss=358163200 /; s/ rss_anonymous=[0-9]* / rss_anonymous=302097152 /' before.prof >"$work/mapped.prof"
hints 1 "live objects are 41.0 MiB of the 341.6 MiB that are resident; the most of the rest, 288.1 MiB, is other anonymous memory" \
    top "$work/mapped.prof"
hints 0 "" top --sample=alloc_space "$work/mapped.prof"
sed 's,query-server,python3,' "$work/mapped.prof" >"$work/python.prof"
hints 1 "PYTHONMALLOC=malloc" top "$work/python.prof"

# The profile's own wish for a sample type counts, unless somebody says; types have names of others, too.
"$HEAPPROF" convert --to=pprof -o "$work/wish.pb.gz" before.prof 2>/dev/null
python3 - "$work" <<'PY'
import gzip, sys
def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])
data = gzip.open(sys.argv[1] + "/wish.pb.gz").read()
at, strings = 0, []
def number():
    global at
    value = shift = 0
    while True:
        byte = data[at]; at += 1
        value |= (byte & 127) << shift; shift += 7
        if byte < 128:
            return value
while at < len(data):
    tag = number(); value = number()
    if tag & 7 == 2:
        if tag >> 3 == 6:
            strings.append(data[at:at + value])
        at += value
data += varint(14 << 3) + varint(strings.index(b"alloc_space"))
gzip.open(sys.argv[1] + "/wish.pb.gz", "wb").write(data)
PY
"$HEAPPROF" top "$work/wish.pb.gz" 2>/dev/null | tail -n +3 | diff <(tail -n +3 golden/top.alloc_space.txt) - || fail "default_sample_type"
"$HEAPPROF" top --sample=inuse_space "$work/wish.pb.gz" 2>/dev/null | tail -n +3 | diff <(tail -n +3 golden/top.inuse_space.txt) - ||
    fail "--sample instead of default_sample_type"
"$HEAPPROF" top --sample='Total malloc size' before.prof 2>/dev/null | diff golden/top.alloc_space.txt - || fail "--sample by heapprofd's name"

# Habits of go tool pprof's users.
golden top.cum.txt top -cum -n 3 before.prof
golden top.cum.txt top3 -cum before.prof
for sample in inuse_space inuse_objects alloc_space alloc_objects; do
    golden "top.$sample.txt" top -$sample before.prof
done

# COLUMNS counts in a pipe, too.
COLUMNS=70 LC_ALL=C.UTF-8 "$HEAPPROF" top before.prof 2>/dev/null | tail -n +3 >"$work/narrow"
python3 -c 'import sys; sys.exit(max(map(len, open(sys.argv[1], encoding="utf-8").read().split("\n"))) > 70)' "$work/narrow" ||
    fail "COLUMNS is not heeded: $(cat "$work/narrow")"

# Usage.
refuse 2 "unknown option '--focsu=x'; did you mean '--focus'?" top --focsu=x before.prof
refuse 2 "unknown option '--at-exti'; did you mean '--at-exit'?" run --at-exti -- true
refuse 2 "which verb?"
refuse 2 "did you mean 'top'?" tpo before.prof
refuse 2 "no verb 'frobnicate'" frobnicate
refuse 2 "did you mean 'stats'" help stat
refuse 2 "unknown option '--bogus'" top --bogus before.prof
refuse 2 "unknown option '--bogus=3'" diff --bogus=3 a b
refuse 2 "unknown option '-x'" -x
refuse 2 "option '--focus' needs a value" top before.prof --focus
refuse 2 "'--json=1' takes no value" top --json=1 before.prof
refuse 2 "needs a FILE" top
refuse 2 "needs a REGEX" peek
for wrong in 1000 rw '' 8 00644 -1; do
    refuse 2 "is no mode" convert --to=text --mode="$wrong" before.prof
done
refuse 2 "list needs a FILE" list main
refuse 2 "'((' is no regular expression" peek '((' exact.prof
refuse 1 "no function matches 'nowhere'" list nowhere exact.prof
refuse 2 "takes no --granularity" list --granularity=lines main exact.prof
refuse 2 "tree takes no --sort" tree --sort=cum exact.prof
refuse 2 "tags takes no -n" tags -n 3 exact.prof
refuse 2 "two profiles, not 1" diff before.prof
refuse 2 "two profiles, not 3" diff before.prof after.prof exact.prof
refuse 2 "none of inuse_space" top --sample=bytes before.prof
refuse 2 "none of flat or cum" top --sort=up before.prof
refuse 2 "none of functions" top --granularity=words before.prof
for rows in many '' -1 1K 99999999999999999999; do
    refuse 2 "-n: '$rows' is no number of rows" top -n "$rows" before.prof
done
refuse 2 "none of auto" top --color=blue before.prof
refuse 2 "--focus: '((' is no regular expression" top --focus='((' exact.prof
for size in lots '' 1T 64Kib 4096b 99999999999G 17179869185G -1 ' 1' 1.5K; do
    refuse 2 "--fail-on-growth: '$size' is no size up to 1024G: bytes, or a number with K, M or G" \
        diff --fail-on-growth="$size" before.prof after.prof
    refuse 2 "SIZE: '$size' is no size up to 1024G: bytes, or a number with K, M or G" interval -- $$ "$size"
done
for duration in often '' 5 99ms 2H 1.5s -1s ' 1s' 61m 18446744073709551617s; do
    for verb in live serve; do
        refuse 2 "--every: '$duration' is no duration from 100ms to 1h: a number with ms, s, m or h" $verb --every="$duration" 1
    done
done
refuse 2 "none of pprof" convert --to=gif before.prof
refuse 2 "needs --to" convert before.prof
refuse 2 "diff takes no --base" diff --base=x before.prof after.prof
refuse 2 "stats takes no --granularity" stats --focus=x before.prof
refuse 2 "pprof takes no --sample" convert --to=pprof --sample=alloc_space before.prof
refuse 2 "merge takes no --json" merge --json before.prof
refuse 2 "no PID" dump before.prof
refuse 2 "one PID" dump 1 2
refuse 2 "needs a command" run
refuse 2 "needs a command" run -q --
refuse 2 "no size" run -i many -- true
for duration in often '' 5 99ms 2H 1.5s -1s 8785h 18446744073709551617s; do
    refuse 2 "--every: '$duration' is no duration from 100ms to 8784h: a number with ms, s, m or h" run --every="$duration" -- true
done
refuse 2 "unknown option" run --bogus -- true

# Files and processes.
refuse 1 "/no/such/file" top /no/such/file
refuse 1 "$data" top "$data"
refuse 1 "no-such-command" run -- no-such-command
printf 'echo hello\n' >"$work/text" && chmod +x "$work/text"
refuse 1 "neither an ELF program nor a script" run -- "$work/text"
refuse 1 "999999999" dump 999999999
refuse 1 "999999999" top 999999999
: >"$work/empty"
printf 'hello\n' >"$work/words"
head -c 200 before.prof >"$work/cut"
sed '/^$/q' before.prof >"$work/part"
printf 'heap profile: 1: 1 [1: 1] @ heap_v2/524288\n1: x [1: 1] @ 0x1\n' >"$work/letters"
gzip -c before.prof | head -c 100 >"$work/cut.gz"
head -c 300 /dev/zero >"$work/zeros"
"$HEAPPROF" convert --to=pprof -o "$work/good.pb.gz" before.prof 2>/dev/null
head -c 150 "$work/good.pb.gz" >"$work/cut.pb.gz"
gzip -dc "$work/good.pb.gz" | head -c 150 >"$work/cut.pb"
printf '\x28\xb5\x2f\xfd0123456789' >"$work/zst"
printf '\xfd7zXZ\x0001234567' >"$work/xz"
printf 'BZh91AY&SY0123' >"$work/bz2"
refuse 1 "$work/zst: is compressed by zstd; only gzip is read here: 'zstd -dc FILE | heapprof top -'" top "$work/zst"
refuse 1 "$work/xz: is compressed by xz" top "$work/xz"
refuse 1 "$work/bz2: is compressed by bzip2" top "$work/bz2"
for broken in empty words cut letters cut.gz zeros cut.pb.gz cut.pb; do
    refuse 1 "$work/$broken" top "$work/$broken"
done
for verb in top tree stats "diff before.prof" "merge before.prof" "convert --to=text"; do
    # shellcheck disable=SC2086
    refuse 1 "$work/part: is cut off: its first line tells of 100 objects more than are in it" $verb "$work/part"
done
refuse 1 "$work/letters" diff before.prof "$work/letters"
refuse 1 "$work/letters" merge -o "$work/merged" before.prof "$work/letters"
[ ! -e "$work/merged" ] || fail "a failed merge left a file"
refuse 1 "/no/such/folder" merge -o /no/such/folder/x exact.prof exact.prof

[ $failures = 0 ] && echo "all reports are as they should be"
exit $((failures > 0))
