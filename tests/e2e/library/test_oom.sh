# A target that the kernel's OOM killer ends leaves its profile, by which `run` names the leak.
. "$(dirname "$0")/../lib.sh"
need python3
mkdir shm && export HEAPPROF_LEDGER=$work/shm
memory_group 96M || skip "no memory cgroup can be made here: that takes root, and a cgroup file system to write to"

for allocator in $(allocators glibc jemalloc); do
    arguments=()
    [ $allocator = glibc ] || arguments=(--allocator=$allocator)
    timeout 120 sh -c 'echo $$ >"$0"; exec "$@"' "$group/cgroup.procs" \
        "$HEAPPROF" run "${arguments[@]}" -- env PYTHONMALLOC=malloc python3 -c '
kept = []
while True:
    kept.append(bytearray(b"x") * 100000)' 2>err
    expect "$allocator: status" 137 $?
    grep -q 'ended by signal 9' err || fail "$allocator: run does not say that its target was killed: $(head -n 3 err)"
    total=$(sed -n 's/^total \([0-9.]*\) MiB.*/\1/p' err)
    [ "${total%.*}" -ge 48 ] 2>/dev/null && [ "${total%.*}" -le 120 ] || fail "$allocator: total '$total' MiB of 96"
    grep -q 'bytearray\|PyByteArray' err || fail "$allocator: the leak is not named: $(cat err)"
    pid=$(sed -n "s/.*'heapprof recover \([0-9]*\)'.*/\1/p" err)
    "$HEAPPROF" recover -o $allocator.heap "$pid" >/dev/null || fail "$allocator: recover"
    "$HEAPPROF" rm "$pid" || fail "$allocator: rm"
done
finish
