#!/bin/bash
# Each system call that the library makes fails once, or from then on, with each error that it may have: the target's
# output and exit status stay, and at most one line of the library's says what could not be done.
. "$(dirname "$0")/../lib.sh"
need strace setarch
setarch -R strace -f -o /dev/null -e inject=getpid:error=EPERM true 2>/dev/null || skip "strace can't inject faults here"
limit=10
mkdir ledgers
runs=0 missed=0

# traced OPTION...: strace these, then -- and the target; addresses are the same each time.
traced() {
    timeout -k 5 $limit setarch -R strace -f -i -o trace -E LD_PRELOAD="$LIBHEAPPROF" -E HEAPPROF_INTERVAL=1 \
        -E HEAPPROF_AT_EXIT=1 -E HEAPPROF_OUTPUT=fault.heap -E HEAPPROF_LEDGER="$work/ledgers" "$@" \
        >with.out 2>with.err </dev/null
}

# ours: SYSCALL N of each call of the first process in the trace that the library made; N counts all such calls.
# ours INJECTED: exit status 1 if a fault hit a call that the library did not make (a process looks at old ledgers, by its
# number, or doesn't: that moves the rest).
ours() {
    python3 - "$@" <<'PYTHON'
import re, sys
start = size = 0
opened = False
counts = {}
first = None
for line in open("trace", errors="replace"):
    match = re.match(r"(\d+) +\[([0-9a-f]+)\] (\w+)\((.*)", line)
    if not match:
        continue
    pid, address, call, rest = match[1], int(match[2], 16), match[3], match[4]
    first = first or pid
    if call == "openat" and "libheapprof.so" in rest:
        opened = True
    elif opened and not start and call == "mmap" and rest.startswith("NULL"):
        start, size = int(rest.split("= 0x")[1], 16), int(rest.split(", ")[1])
    is_ours = start <= address < start + size
    if len(sys.argv) > 1:
        if "(INJECTED)" in line and not is_ours:
            sys.exit(1)
    elif pid == first:
        counts[call] = counts.get(call, 0) + 1
        if is_ours:
            print(call, counts[call])
PYTHON
}

# fault NAME STATUS INJECTION COMMAND...
fault() {
    local name="$3 in $1" wanted=$2 injection=$3 status
    shift 3
    for _ in 1 2 3 4 5; do
        rm -rf ledgers/* ./fault.heap*
        traced -e "inject=$injection" "$@"
        status=$?
        ours injected && break
    done
    ours injected || { missed=$((missed + 1)) && return; }
    runs=$((runs + 1))
    expect "$name: exit status" $wanted $status
    cmp -s alone.out with.out || fail "$name: other output"
    [ "$(wc -l <with.err)" -le ${lines:-1} ] && ! grep -qv '^heapprof: ' with.err || fail "$name: $(head -3 with.err)"
    # Without memory there may be nothing in it, as it says.
    [ ! -e fault.heap ] || [ "$(fact fault.heap lost)" != 0 ] || check_dump "$name" fault.heap
    # What can't be removed stays.
    case $injection in unlink*) return ;; esac
    expect "$name: drafts" "" "$(ls ./*.tmp 2>/dev/null)"
}

# faults NAME STATUS CALLS COMMAND...: all faults in the calls of the target's first process that match CALLS.
faults() {
    local name=$1 wanted=$2 which=$3 call number error
    shift 3
    "$@" >alone.out 2>/dev/null </dev/null
    expect "$name alone" $wanted $?
    traced "$@"
    expect "$name without faults" $wanted $?
    ours >all_calls
    for call in $(cut -d' ' -f1 all_calls | sort -u | grep -xE "$which"); do
        case $call in
        exit_group | getpid | getuid | getrusage | sched_yield | rt_sig*) continue ;; # can't fail
        esac
        for error in $(errors_of $call); do
            for number in $(sed -n "s/^$call //p" all_calls | sed -n '1,4p;$p' | sort -un); do
                fault "$name" $wanted "$call:$error:when=$number" "${command[@]}"
            done
        done
    done
}

errors_of() {
    case $1 in
    mmap) echo error=ENOMEM ;;
    madvise) echo error=ENOMEM error=EIO ;;
    openat) echo error=EMFILE error=EINTR ;;
    ftruncate | fallocate) echo error=ENOSPC error=EIO error=EINTR ;;
    write | pwrite64) echo error=ENOSPC error=EIO error=EINTR ;;
    read | pread64) echo error=EIO retval=0 ;;
    rename* | link*) echo error=EIO error=ENOSPC ;;
    *) echo error=EIO ;;
    esac
}

command=("$TARGETS/dumper" leave exit)
faults "a dump at exit" 5 '.*' "${command[@]}"
for call in openat mmap madvise ftruncate pwrite64 linkat; do
    grep -q "^$call" all_calls || fail "the library made no call of $call: $(cut -d' ' -f1 all_calls | sort | uniq -c)"
done

# Where no file can be named after it was written, ledger and dump are written under their names.
for error in EPERM ENOSYS EIO; do
    fault "a dump at exit" 5 linkat:error=$error:when=1+ "${command[@]}"
    [ -s fault.heap ] || fail "no dump when linkat fails with $error"
    expect "lines when linkat fails with $error" "" "$(cat with.err)"
done

# Around fork; both processes may have something to say.
lines=3
command=("$TARGETS/case_life" daemon)
faults "fork" 0 'pwrite64|linkat|ftruncate|openat|mmap|mremap|madvise' "${command[@]}"
# In the children, where every call of these kinds is the library's.
for injection in pwrite64:error=ENOSPC:when=1 pwrite64:error=EIO:when=3+ pwrite64:error=EINTR:when=2 \
    linkat:error=EPERM:when=1+ ftruncate:error=ENOSPC:when=1+ ftruncate:error=EIO:when=2+ madvise:error=ENOMEM:when=1+ \
    madvise:error=ENOMEM:when=3+ statfs:error=EIO:when=1+ mkdirat:error=EACCES:when=1+ renameat:error=EIO:when=1+ \
    renameat2:error=EIO:when=1+ unlinkat:error=EIO:when=1+ getdents64:error=EIO:when=1+; do
    fault "children" 0 $injection "${command[@]}"
done
[ $missed -lt $((runs / 4)) ] || fail "$missed faults hit calls of the target"
finish "$runs runs with faults, $missed more that hit the target"
