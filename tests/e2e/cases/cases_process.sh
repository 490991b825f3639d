# Cases of test_cases.sh that are about processes: children, limits, and places that they share. To be sourced by it.

forks() {
    local allocator=$1 line file way dumps left
    export HEAPPROF_LEDGER=$work/shm
    mkdir -p shm
    with $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=heir.%p.heap "$TARGETS/case_fork" outlive >truth 2>err
    expect "case 18: outliving on $allocator at $HEAPPROF_INTERVAL" "0 " "$? $(cat err)"
    expect "case 18: outliving on $allocator at $HEAPPROF_INTERVAL: dumps" 3 "$(ls heir.*.heap | wc -l)"
    while read -r _ pid site line; do
        [ $HEAPPROF_INTERVAL = 512K ] || check_dump "case 18: outliving on $allocator at $HEAPPROF_INTERVAL" heir.$pid.heap
        [ $HEAPPROF_INTERVAL != 1 ] || accounted "case 18: outliving on $allocator" heir.$pid.heap $site $line
    done <truth
    rm -f heir.*.heap
    for way in same:1:0 missing:1:0 thread:1:0 stripped:0:1 path:0:1 cleared:0:1 null:0:1; do
        IFS=: read -r way dumps left <<<"$way"
        rm -rf said.*.heap shm/*
        same "case 19: exec with environment: $way" $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=said.%p.heap \
            "$TARGETS/case_fork" exec $way
        says "^said $way"
        expect "case 19: $way on $allocator at $HEAPPROF_INTERVAL: dumps" $dumps "$(find . -name 'said.*.heap' | wc -l)"
        # What it was before exec counts as killed: nobody can remove its ledger.
        expect "case 19: $way on $allocator at $HEAPPROF_INTERVAL: ledgers" $left "$(find shm -type f | wc -l)"
    done
    rm -rf said.*.heap shm
    unset HEAPPROF_LEDGER # a disk takes ten times as long as /dev/shm
    [ $HEAPPROF_INTERVAL = 4K ] || return 0
    same "case 18: 1,000 forks under load" $allocator "$TARGETS/guest" forks 1000
    [ $allocator != glibc ] || with glibc "$TARGETS/guest" forks 10000 >with.out 2>with.err
    expect "case 18: forks under load on $allocator" "all children came and went" "$(cat with.out with.err)"
}

# cores ALLOCATOR [VARIABLE=VALUE...]: size, and bytes on the disk, of the core file of a target with the library.
core_size() {
    rm -f core*
    (ulimit -S -c unlimited && "$@" "$TARGETS/case_limits" core) >with.out 2>&1
    stat -c '%s %b %B' core* 2>/dev/null | awk '{ print $1, $2 * $3; exit }'
    rm -f core*
}

limits() {
    local allocator=$1 alone size blocks many rate told where=$allocator\ at\ $HEAPPROF_INTERVAL
    same "case 23: abort" $allocator "$TARGETS/case_limits" core
    alone=$(core_size without $allocator)
    if [ -n "$alone" ]; then
        read -r size blocks <<<"$(core_size with $allocator)"
        # The library's own data and what it maps of itself; not its tables, which are 800 MB of address space.
        [ $((size - ${alone% *})) -lt 4000000 ] && [ $((blocks - ${alone#* })) -lt 4000000 ] ||
            fail "case 23: core of $size, $blocks bytes, and of $alone without, on $where"
    else
        [ $HEAPPROF_INTERVAL != 1 ] || echo "skipped: core files don't come here (core_pattern, or a hard limit), for case 23"
    fi
    same "case 23: no descriptor left" $allocator "$TARGETS/case_limits" descriptors
    says "^no descriptors needed"
    with $allocator HEAPPROF_AT_EXIT=1 "$TARGETS/case_limits" descriptors >with.out 2>with.err
    expect "case 23: no descriptor for a dump on $where" "0 no descriptors needed" "$? $(cat with.out)"
    expect "case 23: no descriptor for a dump on $where: lines" 21 \
        "$(grep -c '^heapprof: cannot write the profile to .*: Too many open files$' with.err)"
    if [ -n "$group" ] || memory_group 96M; then
        for file in none "$work"; do
            watched sh -c 'echo $$ >"$0"; exec "$@"' "$group/cgroup.procs" env HEAPPROF_LEDGER=$file HEAPPROF_MEMORY=16M \
                LD_PRELOAD="$LIBHEAPPROF${allocator_files[$allocator]+:${allocator_files[$allocator]}}" \
                "$TARGETS/case_limits" fill 60 >with.out 2>with.err
            expect "case 23: 60 of 96 MiB of a cgroup on $where, ledger in $file" "0 filled" "$? $(cat with.out with.err)"
        done
    else
        [ $HEAPPROF_INTERVAL != 1 ] || echo "skipped: no memory cgroup can be made here, for case 23"
    fi
    # Private memory is limited by RLIMIT_DATA as it is where overcommit is off: less must do.
    for file in none "$work"; do
        same "case 23: little private memory, ledger in $file" $allocator HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=data.heap \
            HEAPPROF_LEDGER=$file prlimit --data=120000000 "$TARGETS/case_limits" fill 20
        says filled
        [ -s data.heap ] && [ "$(fact data.heap samples)" -gt 0 ] || fail "case 23: little private memory: no profile, on $where"
        rm -f data.heap
    done
    # MALLOC_PERTURB_, which the test runner sets, would fill the blocks: the rate of that is the memory's.
    with $allocator MALLOC_PERTURB_= HEAPPROF_MEMORY=1M HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=flood.heap "$TARGETS/case_limits" \
        flood flood \
        >with.out 2>with.err
    expect "case 32 on $where" "0 flooded" "$? $(cat with.out with.err)"
    read -r many rate <flood
    told=$(($(fact flood.heap samples) + $(fact flood.heap lost)))
    [ $HEAPPROF_INTERVAL = 512K ] && many=$((many * 865 / 1000)) # 1 - exp(-2) of them
    [ $((told * 100 / many)) -ge 99 ] && [ $((told * 100 / many)) -le 101 ] || fail "case 32 on $where: $told samples of $many"
    [ "$(fact flood.heap folded)" -gt 1000 ] || fail "case 32 on $where: only $(fact flood.heap folded) stacks folded"
    [ $(($(fact flood.heap lost) * 10)) -le $told ] || fail "case 32 on $where: $(fact flood.heap lost) of $told lost"
    [ "$(fact flood.heap own_bytes)" -le 1048576 ] || fail "case 32 on $where: $(fact flood.heap own_bytes) own bytes"
    [ "$HEAPPROF_INTERVAL" != 512K ] || [ "$rate" -ge 10000000000 ] || fail "case 32 on $where: only $rate bytes a second"
    rm -f flood.heap
}

# Another pid namespace, or no /proc, with the same folder of ledgers: neither side takes away what the other one needs.
places() {
    local allocator=$1 living way i where=$allocator\ at\ $HEAPPROF_INTERVAL
    local preload=$LIBHEAPPROF${allocator_files[$allocator]+:${allocator_files[$allocator]}}
    unshare -pfm --mount-proc true 2>/dev/null || {
        [ $HEAPPROF_INTERVAL != 1 ] || echo "skipped: no pid and mount namespaces here, for case 25"
        return 0
    }
    for way in "unshare -pf --mount-proc" "unshare -m sh -c 'umount -l /proc; exec \"\$@\"' -"; do
        export HEAPPROF_LEDGER=$work/shm
        rm -rf shm && mkdir shm
        LD_PRELOAD=$preload sleep 300 >/dev/null 2>&1 &
        living=$!
        rm -f inside end && mkfifo end
        eval "$way" sh -c "'"'LD_PRELOAD=$0 sleep 300 & a=$!; LD_PRELOAD=$0 sleep 300 & echo >inside; read -r _; kill $a $!'"'" \
            "$preload" <end >/dev/null 2>&1 &
        exec 9>end # closed, also by our end, it ends them
        for ((i = 0; i < 200; i++)); do
            [ -e inside ] && [ "$(find shm -name '*.ledger' | wc -l)" = 3 ] && break
            sleep 0.05
        done
        find shm -name '*.ledger' | sort >before
        expect "case 25: living ones, on $where, $way" 3 "$(wc -l <before)"
        for ((i = 0; i < 60; i++)); do echo dead >"$(dirname "$(head -1 before)")/4194305.$((99999999999 + i)).ledger"; done
        eval "$way" bash -c "'"'for i in {1..40}; do LD_PRELOAD=$0 /bin/true; done'"'" "$preload"
        [ "$(find shm -name '*.ledger' | wc -l)" -le 40 ] || fail "case 25: nobody cleaned up, on $where, $way"
        for ((i = 0; i < 60; i++)); do echo dead >"$(dirname "$(head -1 before)")/4194305.$((99999999999 + i)).ledger"; done
        for i in {1..40}; do LD_PRELOAD=$preload /bin/true; done
        find shm -name '*.ledger' ! -name '4194305.*' | sort | diff before - >differ || fail "case 25 on $where, $way: $(cat differ)"
        "$HEAPPROF" dump $living -o living.heap >/dev/null || fail "case 25: the ledger of the living one is no use"
        exec 9>&-
        kill -KILL $living
        wait 2>/dev/null
    done
    unset HEAPPROF_LEDGER
    # /dev/shm as containers have it.
    with $allocator unshare -m sh -c 'mount -t tmpfs -o size=64M none /dev/shm && LD_PRELOAD=$LIBHEAPPROF exec "$@"' - \
        env HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=small.heap "$TARGETS/case_limits" fill 20 >with.out 2>with.err
    expect "case 25: a small /dev/shm on $where" "0 filled" "$? $(cat with.out with.err)"
    [ $HEAPPROF_INTERVAL = 512K ] || check_dump "case 25: a small /dev/shm on $where" small.heap
    expect "case 25: a small /dev/shm on $where: lost" 0 "$(fact small.heap lost)"
    rm -f small.heap
}
