# The example of the header: builds everywhere without a warning, runs with and without the profiler, and shows what it
# says it does.
. "$(dirname "$0")/../lib.sh"
example=$SOURCE_ROOT/examples/dump.c
flags="-O1 -g -Wall -Wextra -Werror -pedantic -I$SOURCE_ROOT/include"
tried=0
for compiler in "gcc -std=c99" "clang -std=c99" "gcc -std=c11" "g++ -x c++ -std=c++11" "clang++ -x c++ -std=c++11" "g++ -x c++ -std=c++20"; do
    command -v ${compiler%% *} >/dev/null || { echo "skipped: no ${compiler%% *} here"; continue; }
    tried=$((tried + 1))
    rm -f dump ./*.heap
    $compiler $flags -o dump "$example" >build.log 2>&1 || { fail "$compiler: $(head -5 build.log)"; continue; }
    expect "$compiler, without the profiler" "not profiled" "$(./dump)"
    [ -e before.heap ] && fail "$compiler: a profile without the profiler"
    "$HEAPPROF" run -q -i 16K -- ./dump >out 2>err || fail "$compiler: exit status $?: $(cat err)"
    grep -Eq '^[0-9]+ samples, one per 16384 bytes; 0 lost$' out || fail "$compiler: said $(cat out)"
    check_dump "$compiler: after" after.heap
    "$HEAPPROF" diff before.heap after.heap >diff.out || fail "$compiler: diff"
    grep -q "[*]  load_records" diff.out || fail "$compiler: growth not marked: $(cat diff.out)"
    # 20,000 records of 208 bytes, and not the second load, which is not sampled.
    expect "$compiler: all that was allocated" near "$(rows alloc_space after.heap |
        awk -F'\t' '$1 ~ /^load_records/ { print ($2 > 3.1e6 && $2 < 5.3e6 ? "near" : $2) }')"
done
[ $tried -gt 0 ] || skip "no compiler here"
finish
