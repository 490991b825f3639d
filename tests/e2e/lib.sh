# What the end-to-end tests have in common; to be sourced. A test gets a folder for itself, $work, and starts in it.
set -u
: "${HEAPPROF:?path of the command}" "${LIBHEAPPROF:?path of the library}"
: "${TARGETS:?folder of the target programs}" "${SOURCE_ROOT:?root of the source}"
# Open to all: some targets change their user.
work=$(mktemp -d "${TMPDIR:-/tmp}/heapprof-test.XXXXXX") && chmod 755 "$work"
group= # of memory_group
trap 'kill $(jobs -p) 2>/dev/null; [ -z "$group" ] || rmdir "$group"; rm -rf "$work"' EXIT
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) # with the tests
cd "$work" || exit 1
export NO_COLOR=1 LC_ALL=C
unset LD_PRELOAD "${!HEAPPROF_@}"
failures=0

fail() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}

expect() { # WHAT WANTED GOT
    [ "$2" = "$3" ] || fail "$1: '$3', not '$2'"
}

skip() { # the whole test
    echo "SKIPPED: $*"
    exit 77
}

need() { # COMMAND...
    local command
    for command; do
        command -v "$command" >/dev/null || skip "no $command here"
    done
}

# A part of the test can't be done here: the rest is, and then the test counts as skipped, with these reasons.
leave_out() {
    echo "skipped: $*" >&2
    grep -qsxF -- "$*" "$work/.left_out" || echo "$*" >>"$work/.left_out"
}

finish() {
    [ $failures = 0 ] || exit 1
    if [ -s "$work/.left_out" ]; then
        echo "SKIPPED in part: $(paste -sd ';' "$work/.left_out" | sed 's/;/; /g')"
        exit 77
    fi
    echo "${*:-all is as it should be}"
    exit 0
}

# The newest of each that is installed, by the name that the loader knows; those of users have no /sbin in their PATH.
declare -A allocator_files=()
find_allocators() {
    local name pattern found
    while read -r name pattern; do
        found=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p | awk '{ print $1 }' | grep -Ex "$pattern" | sort -uVr | head -1)
        [ -z "$found" ] || allocator_files[$name]=$found
    done <<'END'
jemalloc libjemalloc\.so\.[0-9]+
tcmalloc libtcmalloc\.so\.[0-9]+
mimalloc libmimalloc\.so\.[0-9.]+
END
}
find_allocators

# The allocators of this machine, of those named (all), one per line; the others are left out.
allocators() {
    local name
    for name in "${@:-glibc jemalloc tcmalloc mimalloc}"; do
        for name in $name; do
            if [ $name = glibc ] || [ -n "${allocator_files[$name]-}" ]; then
                echo $name
            else
                leave_out "$name is not here"
            fi
        done
    done
}

# stands ALLOCATOR COMMAND...: the target runs on it without the library, 5 times of 5; false, and left out, if it does not.
stands() {
    local allocator=$1 run
    shift
    for run in 1 2 3 4 5; do
        without $allocator "$@" >/dev/null 2>&1 && continue
        leave_out "${1##*/} on $allocator: ends with status $? by itself (${allocator_files[$allocator]-libc})"
        return 1
    done
}

# memory_group SIZE: make a memory cgroup with that limit, $group; false where that can't be done.
memory_group() {
    local folder limit_file
    for folder in /sys/fs/cgroup/heapprof-test-$$ /sys/fs/cgroup/memory/heapprof-test-$$; do
        mkdir "$folder" 2>/dev/null || continue
        for limit_file in "$folder/memory.max" "$folder/memory.limit_in_bytes"; do
            [ -e "$limit_file" ] && echo "$1" >"$limit_file" && group=$folder && break 2
        done
        rmdir "$folder"
    done
    [ -n "$group" ] && { [ ! -e "$group/memory.swap.max" ] || echo 0 >"$group/memory.swap.max"; }
}

# with ALLOCATOR [VARIABLE=VALUE...] COMMAND...: with the library, and this allocator behind it; at most $limit seconds.
limit=120
with() {
    local allocator=$1
    shift
    timeout -k 5 $limit env LD_PRELOAD="$LIBHEAPPROF${allocator_files[$allocator]+:${allocator_files[$allocator]}}" "$@"
}

# without ALLOCATOR COMMAND...: the same without the library.
without() {
    local allocator=$1
    shift
    timeout -k 5 $limit env LD_PRELOAD="${allocator_files[$allocator]-}" "$@"
}

# same NAME ALLOCATOR COMMAND...: standard output, standard error and exit status are the same with and without.
same() {
    local name=$1 allocator=$2 status
    shift 2
    without $allocator "$@" >"$work/alone.out" 2>"$work/alone.err" </dev/null
    status=$?
    with $allocator "$@" >"$work/with.out" 2>"$work/with.err" </dev/null
    expect "$name on $allocator: exit status" $status $?
    cmp -s "$work/alone.out" "$work/with.out" ||
        fail "$name on $allocator: other output: $(diff "$work/alone.out" "$work/with.out" | head -5)"
    cmp -s "$work/alone.err" "$work/with.err" ||
        fail "$name on $allocator: other standard error: $(diff "$work/alone.err" "$work/with.err" | head -5)"
}

# only FILE...: the pattern that made these arguments names one file, which $dump is now.
only() {
    dump=$1
    [ $# = 1 ] && [ -e "$1" ] && return
    fail "not one file but: $*"
    return 1
}

# FUNCTION<TAB>FLAT<TAB>CUM<TAB>FLAT_ERROR of the report: rows SAMPLE FILE [OPTION...]
rows() {
    local sample=$1
    shift
    { "$HEAPPROF" top --json -n 0 --sample="$sample" "$@" 2>"$work/rows.err" ||
        echo "FAIL: heapprof top: $(cat "$work/rows.err")" >&2; } | awk -F'": ' '
        /"function"/ { name = $2; sub(/^"/, "", name); sub(/",$/, "", name) }
        /^ *"flat":/ { flat = $2 + 0 }
        /^ *"flat_error":/ { error = $2 + 0 }
        /^ *"cum":/ { printf "%s\t%.0f\t%.0f\t%.0f\n", name, flat, $2 + 0, error }'
}

# The value of a fact of a dump: fact FILE NAME
fact() {
    sed -n -e "s/^# $2 = //p" -e "s/^# heapprof:.* $2=\([^ ]*\).*/\1/p" "$1" | head -1
}

# The rules of a dump: check_dump NAME FILE
check_dump() {
    local rules=$here/check_dump.awk
    case $2 in
    *.gz) gzip -dc "$2" ;;
    *) cat "$2" ;;
    esac | awk -v name="$1" -f "$rules" || failures=$((failures + 1))
    expect "$1: mode" 600 "$(stat -c %a "$2")"
}

# As if these profiles, one after the other, had been taken each 100 ms: slopes are not to depend on how busy the machine is.
space_evenly() {
    perl -pi -e 's/ time=\d+ time_ns=(\d+) / $first \/\/= $1; my $ns = $first + $n * 100_000_000;
        sprintf " time=%d time_ns=%d ", $ns \/ 1e9, $ns /e and $n++' "$@"
}
