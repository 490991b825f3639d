#!/bin/bash
# Where names come from: the program's own debug information, debug files, a debuginfod server, mini debug info, dynamic
# symbols, /tmp/perf-PID.map; and what is said of programs that were replaced or deleted since.
set -u
: "${HEAPPROF:?path of the command}" "${LIBHEAPPROF:?path of the library}"
work=$(mktemp -d)
server=
cleanup() {
    [ -n "$server" ] && kill "$server" 2>/dev/null
    rm -rf "$work" "/tmp/perf-${jit:-none}.map"
}
trap cleanup EXIT
export NO_COLOR=1 LC_ALL=C.UTF-8 HOME=$work DEBUGINFOD_CACHE_PATH=$work/cache
unset DEBUGINFOD_URLS
cd "$work" || exit 1
failures=0
skipped=

fail() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}

record() { # PROGRAM OUT
    HEAPPROF_INTERVAL=1 HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT="$work/$2" LD_PRELOAD="$LIBHEAPPROF" "./$1" >/dev/null ||
        fail "$1: exit status $?"
}

functions() { # ARGUMENT...: the names in top
    "$HEAPPROF" top -n 0 "$@" 2>"$work/err" | sed '1,/^ *flat /d' | awk -F'  +' '{ print $(NF - 1), $NF }'
}

has() { # WHAT TEXT ARGUMENT...
    local what=$1 text=$2
    shift 2
    functions "$@" >"$work/out"
    grep -qF -- "$text" "$work/out" || fail "$what: no '$text' in: $(tr '\n' ';' <"$work/out") $(cat "$work/err")"
}

has_not() {
    local what=$1 text=$2
    shift 2
    functions "$@" >"$work/out"
    grep -qF -- "$text" "$work/out" && fail "$what: '$text' in: $(tr '\n' ';' <"$work/out")"
}

cat >app.c <<'C'
#include <stdlib.h>
volatile void *kept[64];
static inline __attribute__((always_inline)) void *inlined_part(size_t size) { return malloc(size); }
static __attribute__((noinline)) void hidden_function(int i) { kept[i] = inlined_part(1000); }
__attribute__((noinline)) void public_function(int i) { hidden_function(i); kept[i + 32] = malloc(10); }
int main(void) { for (int i = 0; i < 32; i++) public_function(i); return 0; }
C
cc -g -O1 -rdynamic -Wl,--build-id -o app app.c || exit 1
id=$(file -b app | sed -n 's/.*BuildID\[sha1\]=\([0-9a-f]*\).*/\1/p')
cp app whole
record app app.heap
has "own debug information" "inlined_part app.c:3" app.heap
has "own debug information" "hidden_function app.c:4" app.heap
"$HEAPPROF" list inlined_part app.heap 2>/dev/null | grep -q 'void \*inlined_part(size_t size) { return malloc(size); }' ||
    fail "list does not show the source of an inlined call"
# From any folder, because the module is one's own; not if it is somebody else's.
(cd / && "$HEAPPROF" list inlined_part "$work/app.heap" 2>/dev/null) | grep -q 'return malloc(size)' ||
    fail "list does not show the source that a module of one's own names"
chmod o+w app
(cd / && "$HEAPPROF" list inlined_part "$work/app.heap" 2>"$work/notes") | grep -q 'return malloc(size)' &&
    fail "list shows the source that a module names which others may write to"
chmod o-w app
[ "$(grep -c '^note: .*app.c is not shown' "$work/notes")" = 1 ] || fail "the module of others: said: $(cat "$work/notes")"
"$HEAPPROF" list hidden_function app.heap 2>/dev/null | grep -q '→ inlined_part (inlined)' || fail "list does not tell an inlined call"
"$HEAPPROF" peek hidden_function app.heap 2>/dev/null | grep -q 'called by *public_function' || fail "peek: no caller"

# Debug files: .gnu_debuglink, build-id folder, folder of --symbols.
objcopy --only-keep-debug whole app.debug
strip --strip-all -o bare whole
cp bare app && mv app.debug away
has_not "stripped" "hidden_function" app.heap
has "stripped: dynamic symbols" "public_function" app.heap
expect_hints() { # COUNT ARGUMENT...: of functions without names
    local count=$1
    shift
    "$HEAPPROF" top "$@" 2>&1 >/dev/null | grep "through functions without names, most of it in $work/app: install its debug" >hints
    [ "$(wc -l <hints)" = "$count" ] || fail "not $count hints at missing names: $(cat hints)"
}
expect_hints 1 app.heap
mv away app.debug
objcopy --add-gnu-debuglink=app.debug bare app
has ".gnu_debuglink" "inlined_part app.c:3" app.heap
expect_hints 0 app.heap
mkdir -p symbols/.build-id/${id:0:2} other
mv app.debug symbols/.build-id/${id:0:2}/${id:2}.debug
cp bare app
has_not "no debug file" "inlined_part" app.heap
has "build-id folder" "inlined_part app.c:3" --symbols=symbols app.heap

# Mini debug info: the symbol table alone, compressed, in .gnu_debugdata.
if command -v xz >/dev/null; then
    nm -D whole --format=posix --defined-only | awk '{ print $1 }' | sort >dynamic
    nm whole --format=posix --defined-only | awk '$2 == "T" || $2 == "t" { print $1 }' | sort | comm -13 dynamic - >keep
    objcopy -S --remove-section .gdb_index --remove-section .comment --keep-symbols=keep \
        symbols/.build-id/${id:0:2}/${id:2}.debug mini 2>/dev/null
    xz -f mini && objcopy --add-section .gnu_debugdata=mini.xz bare app
    has "mini debug info" "hidden_function" app.heap
    cp bare app
else
    skipped="no xz here"
fi

# A server, for the debug file and, when it is gone, for the program.
if command -v debuginfod >/dev/null && debuginfod-find --version >/dev/null 2>&1; then
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    mkdir served && cp symbols/.build-id/${id:0:2}/${id:2}.debug served/app.debug && cp bare served/app
    debuginfod -d :memory: -F -p "$port" served >server.log 2>&1 &
    server=$!
    export DEBUGINFOD_URLS=http://127.0.0.1:$port
    for _ in $(seq 100); do
        debuginfod-find debuginfo "$id" >/dev/null 2>&1 && break
        rm -rf cache # which remembers what was not there
        sleep 0.1
    done
    rm -rf cache
    has "debuginfod" "inlined_part app.c:3" app.heap
    rm app
    has "debuginfod, the program is gone" "hidden_function app.c:4" app.heap
    cp "/bin/true" app
    has "debuginfod, the program was replaced" "inlined_part app.c:3" app.heap
    kill "$server"
    server=
    unset DEBUGINFOD_URLS
    rm -f app && cp bare app
else
    skipped="$skipped; no debuginfod here"
fi

# Replaced and deleted since: said, and never guessed.
sed 's/hidden_function/another_function/g; s/inlined_part/wrong_part/g; s/1000/2000/' app.c >other/app.c
cc -g -O1 -rdynamic -Wl,--build-id -o app other/app.c
has_not "replaced" "function" app.heap
grep -q "/app is another build than the one profiled" err || fail "replaced: not said: $(cat err)"
rm app
has_not "deleted" "function" app.heap
grep -q "/app can't be read" err || fail "deleted: not said: $(cat err)"
has "replaced, with the right one in --symbols" "inlined_part app.c:3" --symbols=symbols app.heap
cp whole app
"$HEAPPROF" convert --to=pprof -o app.pb.gz app.heap 2>/dev/null
"$HEAPPROF" convert --to=text -o app.text app.heap 2>/dev/null
"$HEAPPROF" convert --to=text -o again.text app.pb.gz 2>/dev/null
rm app
has "symbols inside" "inlined_part app.c:3" app.text
has "symbols inside profile.proto" "inlined_part app.c:3" app.pb.gz
diff app.text again.text >lost ||
    fail "text to pprof to text loses something: $(head -5 lost)"

# Without a build id: what surely is another build is not used, what may be is said.
cat >alpha.c <<'C'
#include <stdlib.h>
void *volatile kept;
__attribute__((noinline)) static void alpha(void) { kept = malloc(5000); }
int main(void) { alpha(); return 0; }
C
cat >beta.c <<'C'
#include <stdlib.h>
void *volatile kept;
int volatile x;
__attribute__((noinline)) static void beta(void) { x++; x++; x++; x++; x++; x++; }
__attribute__((noinline)) static void alpha(void) { beta(); kept = malloc(5000); }
int main(void) { alpha(); return 0; }
C
cc -g -O1 -Wl,--build-id=none -o plain alpha.c && record plain plain.heap
has "no build id" "alpha alpha.c:3" plain.heap
[ ! -s err ] || fail "no build id, the same file: $(cat err)"
cp -p plain plain.old && cc -g -O1 -Wl,--build-id=none -o plain beta.c
functions plain.heap >out
grep -q "^note: $work/plain was changed after the profiled program started, and has no build id" err || fail "no build id, rebuilt: $(cat err)"
cc -g -O1 -Wl,--build-id -o plain beta.c
has_not "no build id, rebuilt with one" "beta" plain.heap
grep -q "/plain is another build than the one profiled" err || fail "no build id, rebuilt with one: $(cat err)"
{ cat beta.c && printf 'int fill(int i) { asm volatile(".zero 200000"); return i; }\n'; } >large.c
sed -i 's/int main(void) {/int fill(int); &/; s/return 0/return fill(0) * 0/' large.c
sed -i 's/asm volatile(".zero/if (i > 1) asm volatile(".zero/' large.c
cc -g -O1 -Wl,--build-id=none -o plain large.c && record plain large.heap && mv plain plain.large && cp -p plain.old plain
touch -d '1 hour ago' plain
has_not "no build id, other program headers" "alpha" large.heap
grep -q "/plain is another build than the one profiled" err || fail "no build id, other program headers: $(cat err)"

# Every verb reads a running target, too.
cat >sleeper.c <<'C'
#include <stdlib.h>
#include <unistd.h>
void *volatile kept;
__attribute__((noinline)) static void hold_memory(void) { kept = malloc(5000); }
int main(void) { hold_memory(); write(1, "x", 1); pause(); return 0; }
C
cc -g -O1 -o sleeper sleeper.c || exit 1
mkfifo started
HEAPPROF_INTERVAL=1 LD_PRELOAD="$LIBHEAPPROF" ./sleeper >started &
target=$!
read -r -n 1 <started
for verb in top tree "peek hold" "list hold" traces tags stats "convert --to=svg" "convert --to=html" "convert --to=dot"; do
    # shellcheck disable=SC2086
    "$HEAPPROF" $verb $target >out 2>err || fail "$verb of a running target: $(cat err)"
    case $verb in
    tags) grep -q '4.9 KiB' out || fail "tags of a running target: $(cat out)" ;;
    stats) ;;
    *) grep -q hold_memory out || fail "$verb of a running target: $(head -5 out)" ;;
    esac
done
kill $target && wait $target 2>/dev/null

# A running target whose file has no name any more, or another one here.
start() { # COMMAND...: the sleeper as $target
    HEAPPROF_INTERVAL=1 LD_PRELOAD="$LIBHEAPPROF" "$@" >started &
    target=$!
    read -r -n 1 <started
}
stop() { # PID: nothing of it is left that could open the FIFO
    kill -KILL "$1"
    wait $target 2>/dev/null
}
expect_name() { # GOT WANTED
    [ "$1" = "$2" ] || fail "dump prints '$1', not '$2'"
}
for flags in -Wl,--build-id -Wl,--build-id=none; do
    cc -g -O1 $flags -o sleeper sleeper.c && cp sleeper gone && start ./gone && rm gone
    has "deleted, $flags" "hold_memory sleeper.c" $target
    sed 's/hold_memory/other_name/g' sleeper.c >changed.c && cc -g -O1 $flags -o gone changed.c
    has "replaced, $flags" "hold_memory sleeper.c" $target
    stop $target
    start python3 -c 'import os, sys
memory = os.memfd_create("program")
os.write(memory, open("sleeper", "rb").read())
os.execve(memory, ["sleeper"], os.environ)'
    has "memfd, $flags" "hold_memory sleeper.c" $target
    stop $target
    start /lib64/ld-linux-x86-64.so.2 ./sleeper
    has "started by ld.so, $flags" "hold_memory sleeper.c" $target
    "$HEAPPROF" dump -o loader.heap $target >/dev/null
    expect_name "$("$HEAPPROF" dump -o loader.pb.gz $target)" loader.pb.gz
    stop $target
    has "a dump of what ld.so started, $flags" "hold_memory sleeper.c" loader.heap
done
# profile.proto has the functions in it.
start ./sleeper
stop $target
expect_name "$("$HEAPPROF" recover $target -o recovered.pb.gz)" recovered.pb.gz
HEAPPROF_INTERVAL=1 "$HEAPPROF" run -q -o 'run.%p.pb.gz' --at-exit -- ./whole
rm sleeper
for file in loader.pb.gz recovered.pb.gz run.*.pb.gz; do
    gzip -dc "$file" 2>/dev/null | head -c 20 | grep -q '^heap profile' && fail "$file: text"
    [ "$(stat -c %a "$file")" = 600 ] || fail "$file: mode $(stat -c %a "$file")"
done
has "dump -o .pb.gz" "hold_memory sleeper.c" loader.pb.gz
has "recover -o .pb.gz" "hold_memory sleeper.c" recovered.pb.gz
mv whole away
has "run -o .pb.gz" "inlined_part app.c" run.*.pb.gz
mv away whole
"$HEAPPROF" run -q --at-exit -o run.heap -- /lib64/ld-linux-x86-64.so.2 ./whole || fail "run refuses ld.so"
[ -s run.heap ] || fail "run of ld.so: no profile"

# Code made at run time.
cat >jit.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static void *volatile kept;
static void allocate(void) { kept = malloc(4000); }
int main(int argc, char **argv)
{
    static const unsigned char code[] = {0x48, 0x83, 0xec, 0x08, 0xff, 0xd7, 0x48, 0x83, 0xc4, 0x08, 0xc3};
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char name[64];
    memcpy(page, code, sizeof code);
    snprintf(name, sizeof name, "/tmp/perf-%d.map", (int)getpid());
    FILE *map = fopen(name, "w");
    fprintf(map, "%lx %zx LazyCompile:~make_it script.js:1\n", (unsigned long)page, sizeof code);
    fclose(map);
    ((void (*)(void (*)(void)))page)(allocate);
    if (argc > 1 && write(1, "x", 1))
        pause();
    return 0;
}
C
cc -g -O1 -o jit_target jit.c || exit 1
record jit_target jit.heap
jit=$(sed -n 's/.* pid=\([0-9]*\) .*/\1/p' jit.heap)
has "code made at run time" "LazyCompile:~make_it" jit.heap
touch -d '1 hour ago' "/tmp/perf-$jit.map"
has_not "another process's map" "LazyCompile" jit.heap

# In a container: its own file system, /tmp and numbers.
if unshare --mount --pid --fork --mount-proc true 2>/dev/null; then
    mkdir inside
    cat >contain.sh <<'S'
mount -t tmpfs none "$1/inside" && cp "$1/jit_target" "$1/inside/app" && mount --bind "$1/inside" /tmp && exec /tmp/app stay
S
    for flags in -Wl,--build-id -Wl,--build-id=none; do
        cc -g -O1 $flags -o jit_target jit.c
        start unshare --mount --pid --fork --mount-proc sh contain.sh "$work" 2>/dev/null
        contained=$(pgrep -P $target)
        has "in a container, $flags" "allocate jit.c:7" "$contained"
        has "in a container, code made at run time, $flags" "LazyCompile:~make_it" "$contained"
        stop "$contained"
    done
else
    skipped="$skipped; no namespaces here"
fi

[ $failures = 0 ] || exit 1
if [ -n "$skipped" ]; then
    echo "SKIPPED in part: ${skipped#; }"
    exit 77
fi
echo "all names are found"
