#!/bin/bash
# The library is a guest in the target: a target that minds its descriptors, threads, children, system calls, limits and
# stacks runs as it does alone, and a dump that can't be written costs one line.
. "$(dirname "$0")/../lib.sh"
guest=$TARGETS/guest
code=$TARGETS/guest_code

for allocator in $(allocators glibc jemalloc); do
    for interval in 1 4K 512K; do
        export HEAPPROF_INTERVAL=$interval
        mkdir -p files
        same "descriptors at $interval" $allocator $guest descriptors "$work/files"
        grep -q untouched with.out || fail "descriptors at $interval: no word of them"
        same "threads and descriptors at $interval" $allocator $guest counts
        same "children at $interval" $allocator $guest children
        same "stacks at $interval" $allocator $code stacks
        if [ -e "$TARGETS/libguest_plugin.so" ]; then
            same "exceptions at $interval" $allocator $code exceptions "$TARGETS/libguest_plugin.so"
            expect "exceptions at $interval" 2000 "$(cat with.out)"
        else
            echo "skipped: no C++ compiler for the plugin"
        fi
        same "seccomp at $interval" $allocator $guest filtered
        grep -q survived with.out || fail "seccomp at $interval on $allocator: no word of it"
        same "RLIMIT_AS at $interval" $allocator prlimit --as=400000000 $guest limited as
        same "RLIMIT_FSIZE at $interval" $allocator prlimit --fsize=10000 $guest limited fsize
        same "RLIMIT_NOFILE at $interval" $allocator bash -c 'ulimit -n 4; exec "$0" limited files' $guest

        same "plugins that come and go at $interval" $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=reload.heap $code reload "$TARGETS"
        if [ $interval = 1 ]; then
            rows inuse_space reload.heap >rows
            for kept in a:100000 b:300000 c:50000; do
                expect "kept by plugin ${kept%:*} on $allocator" ${kept#*:} \
                    "$(sed -n "s/^keep_${kept%:*}\t\([0-9]*\)\t.*/\1/p" rows)"
            done
        fi
        rm -rf files ./*.heap
        unset HEAPPROF_INTERVAL
    done
    HEAPPROF_INTERVAL=4K same "500 forks under load" $allocator $guest forks 500
    HEAPPROF_INTERVAL=1 same "forks under load at 1" $allocator $guest forks 100
done
GUEST_STRICT=1 HEAPPROF_INTERVAL=1 same "seccomp without madvise" glibc $guest filtered
expect "files that nobody asked for" "" "$(ls | grep heap)"

# A vfork child that ends neither removes its parent's ledger nor writes a dump.
mkdir ledgers
with glibc GUEST_LEDGER="$work/ledgers" HEAPPROF_LEDGER="$work/ledgers" HEAPPROF_AT_EXIT=1 HEAPPROF_FOLLOW=0 \
    HEAPPROF_INTERVAL=1 $guest children >out 2>err
expect "ledger after the children of vfork" "ledger there" "$(cut -d, -f1 err)"
expect "dumps after the children of vfork" 1 "$(ls | grep -c '\.heap$')"
# One child ended by a system call that nobody sees; its ledger stays, as that of a killed process does.
left=$(find ledgers -name '*.ledger')
[ $(grep -c . <<<"$left") -le 1 ] || fail "ledgers are left: $left"
grep -q "/$(sed 's/.*own pid //' err)\." <<<"$left" && fail "the target's own ledger is left: $left"
rm -rf ledgers ./*.heap

# A setuid program is left alone.
cp "$guest" setuid
if [ "$(id -u)" = 0 ] && chown 65534 setuid && chmod 4755 setuid && [ "$(./setuid secure)" = "secure 1" ]; then
    same "a setuid program" glibc HEAPPROF_AT_EXIT=1 ./setuid secure
    expect "dumps of a setuid program" "" "$(ls | grep '\.heap$')"
else
    echo "skipped: no setuid programs here"
fi

# complains NAME WHAT [VARIABLE=VALUE...] COMMAND...: one line on standard error, with WHAT in it; else all is as alone.
complains() {
    local name=$1 what=$2 status
    shift 2
    "$guest" >alone.out
    status=$?
    with glibc HEAPPROF_INTERVAL=1 "$@" >with.out 2>with.err
    expect "$name: exit status" $status $?
    cmp -s alone.out with.out || fail "$name: other output"
    expect "$name: lines on standard error" 1 "$(wc -l <with.err)"
    grep -q '^heapprof: ' with.err && grep -qF -- "$what" with.err || fail "$name: no '$what' in: $(cat with.err)"
}

at_exit() { # NAME OUTPUT
    complains "$1" "cannot write the profile to" HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT="$2" "$guest"
    expect "$1: drafts" "" "$(ls ./*.tmp 2>/dev/null)"
}

echo precious >file
ln -s file link
ln -s nothing dangling
mkfifo fifo
mkdir folder
at_exit "a link" link
at_exit "a dangling link" dangling
at_exit "a FIFO" fifo
at_exit "a folder" folder
at_exit "no folder" no/such/folder/x.heap
at_exit "a file in the way" file/x.heap
at_exit "/dev/full" /dev/full
at_exit "/proc" /proc/x.heap
at_exit "a long name" "$(printf '%0255d' 0)x"
expect "a file behind a link" precious "$(cat file)"
[ ! -e nothing ] || fail "a dangling link was followed"
[ -p fifo ] && [ -L link ] && [ -d folder ] || fail "what was in the way is gone"
complains "5,000 characters" "HEAPPROF_OUTPUT=" HEAPPROF_OUTPUT="$(printf '%05000d' 0)" "$guest"
complains "a small limit of file size" "cannot write the profile to" HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=limit.heap \
    HEAPPROF_LEDGER=none prlimit --fsize=2000 "$guest"
expect "with a small limit of file size" "" "$(ls | grep limit)"
if [ "$(id -u)" = 0 ]; then
    echo foreign >foreign.heap && chown 65534 foreign.heap
    at_exit "a file of someone else" foreign.heap
    expect "a file of someone else" foreign "$(cat foreign.heap)"
    if setpriv --reuid=65534 --clear-groups test -r "$LIBHEAPPROF" -a -x "$guest" 2>/dev/null; then
        mkdir closed
        complains "a folder that can't be written to" "cannot write the profile to" HEAPPROF_AT_EXIT=1 HEAPPROF_FOLLOW=1 \
            HEAPPROF_OUTPUT=closed/x.heap env -u HEAPPROF_AT_EXIT LD_PRELOAD= setpriv --reuid=65534 --clear-groups env \
            HEAPPROF_AT_EXIT=1 LD_PRELOAD="$LIBHEAPPROF" "$guest"
    else
        echo "skipped: another user can't run the target here"
    fi
    mkdir small
    if mount -t tmpfs -o size=16k tmpfs small 2>/dev/null; then
        head -c 8000 /dev/zero >small/filler
        at_exit "a full disk" small/x.heap
        expect "on a full disk" filler "$(ls small)"
        umount small
    else
        echo "skipped: no mount here, for a full disk"
    fi
fi

# Settings that can't be read: one line each, with the value and the default.
for setting in INTERVAL=lots:512K INTERVAL=-1:512K INTERVAL=1X:512K INTERVAL=99999999999999999999:512K SIGNAL=HUPP:USR2 \
    SIGNAL=9:USR2 SIGNAL=0:USR2 AT_EXIT=yes:0 EVERY=5:off EVERY=s:off GROWTH=big:off TRACE=1d:off DEPTH=0:128 DEPTH=513:128 \
    UNWINDER=magic:cfi MEMORY=1K:1M MEMORY=4G:2G MEMORY=x:256M FOLLOW=2:1 OUTPUT=%q:heapprof.%e; do
    assignment=HEAPPROF_${setting%:*}
    "$guest" >alone.out
    with glibc "$assignment" "$guest" >with.out 2>with.err
    expect "$assignment: exit status" 4 $?
    expect "$assignment: lines" 1 "$(wc -l <with.err)"
    grep -q "^heapprof: $assignment .*using ${setting##*:}" with.err || fail "$assignment: $(cat with.err)"
    cmp -s alone.out with.out || fail "$assignment: other output"
done
rm -f ./*.heap
# Empty values are as good as none; a line that can't be written harms nobody.
same "empty settings" glibc HEAPPROF_INTERVAL= HEAPPROF_OUTPUT= HEAPPROF_SIGNAL= HEAPPROF_LEDGER= "$guest"
HEAPPROF_FOLLOW=1 with glibc HEAPPROF_INTERVAL=x "$guest" >with.out 2>&-
expect "no standard error" 4 $?

# The loop of a steady target makes no system call, but where the profiler's own memory grows by 16 KiB. That comes to an
# end; but chance, which puts samples into the slots of the live table, may keep the last one or two for late.
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
    for interval in 512K 4K; do
        with glibc strace -E HEAPPROF_INTERVAL=$interval -o trace "$guest" steady >/dev/null
        sed '1,/"begin/d; /"end/,$d' trace >all
        grep -v '^madvise(0x[0-9a-f]*, 16384, MADV_POPULATE_WRITE) *= 0$' all >calls
        [ "$(grep -c MADV_POPULATE_WRITE all)" -le 2 ] || fail "the profiler's memory still grows at $interval: $(cat all)"
        grep -q '"end' trace || fail "steady loop: no end in $(tail -3 trace)"
        expect "system calls of a steady loop at $interval" "" "$(head -5 calls)"
    done
else
    echo "skipped: no strace here"
fi
finish "a good guest"
