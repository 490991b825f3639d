#!/bin/bash
# Each test of this folder must be able to fail: this makes one deliberate fault after the other in a copy of the source,
# and expects the test that is named beside it to fail. `scripts/test --faults` runs it; it takes some minutes.
# Exit status 1: a fault went unnoticed, or no longer applies to the source.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/heapprof-faults.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
copy=$work/source build=$work/build
mkdir "$copy" && (cd "$root" && git ls-files -z | xargs -0 cp --parents -t "$copy") || exit 1
meson setup "$build" "$copy" >"$work/log" 2>&1 || { tail -20 "$work/log"; exit 1; }
caught=0 missed=0
programs="preload/libheapprof.so src/cli/heapprof src/cli/heapprof-reports tests/targets/truth"

# failed TEST...: 0: it came to an end and failed; 1: it passed; 2: neither.
failed() {
    local status
    case $1 in
    truth-*)
        meson test -C "$build" --no-rebuild "statistics-$1" >"$work/log" 2>&1
        ! grep -q '^Ok: *1 *$' "$work/log" || return 1
        grep -q '^Fail: *1 *$' "$work/log" || return 2
        ;;
    *)
        timeout 900 "$build/tests/statistics/test_statistics_$1" "${@:2}" >"$work/log" 2>&1
        status=$?
        [ $status != 0 ] || return 1
        [ $status -lt 124 ] && grep -q '^\[  FAILED  \]' "$work/log" || return 2
        ;;
    esac
}

# fault NAME TEST FILE PERL-SUBSTITUTION: the test (and of it, which one) fails when FILE is changed so; to the
# substitution the file is one string.
fault() {
    local name=$1 test=$2 file=$3 change=$4 target start=$SECONDS result
    [ -z "$only" ] || [[ $name == *"$only"* ]] || return
    cp "$copy/$file" "$work/kept"
    perl -0pi -e "$change" "$copy/$file"
    case $test in
    truth-*) target=$programs ;;
    *) target=tests/statistics/test_statistics_${test% *} ;;
    esac
    if cmp -s "$work/kept" "$copy/$file"; then
        result="DOES NOT APPLY"
    elif ! ninja -C "$build" $target >"$work/log" 2>&1; then
        result="DOES NOT BUILD"
    else
        failed $test
        case $? in
        0) result=caught ;;
        1) result="NOT CAUGHT" ;;
        *) result="DOES NOT RUN" ;;
        esac
    fi
    printf '%-15s %-58s by %s (%d s)\n' "$result" "$name" "$test" $((SECONDS - start))
    if [ "$result" = caught ]; then
        caught=$((caught + 1))
    else
        missed=$((missed + 1))
        tail -5 "$work/log"
    fi
    cp "$work/kept" "$copy/$file"
}
set -f # the names of tests have stars
only=${1-}

sampler=preload/kinds/heap/sampler.c
fault "the first allocation of each thread is sampled" "estimates short*" $sampler \
    's|(everything was sampled so far. \*/\n        draw\(thread, interval\);)|$1 thread->left = 0; thread->beyond = 0;|'
fault "the same, in the real library" truth-threads $sampler \
    's|(everything was sampled so far. \*/\n        draw\(thread, interval\);)|$1 thread->left = 0; thread->beyond = 0;|'
fault "gaps are all alike, not exponential" "estimates gaps*" $sampler \
    's|return \(uint64_t\)\(product >> 56\) \+ 1;|return interval + 0 * (uint64_t)product;|'
fault "gaps are uniform, not exponential" "estimates gaps*" $sampler \
    's|exponential\(next_random\(random\)\)|(next_random(random) >> 7)|'
fault "gaps are 2 percent too long" "estimates gaps*" $sampler \
    's|return \(uint64_t\)\(product >> 56\) \+ 1;|return (uint64_t)(product >> 56) * 102 / 100 + 1;|'
fault "a sampled allocation is charged twice" "estimates mixed*" $sampler \
    's|(    if \(!spend\(thread, n\)\)\n        return false;\n    draw\(thread, interval\);)|$1 thread->left = n < thread->left ? thread->left - n : 1;|'
fault "all threads draw the same numbers" truth-threads $sampler \
    's|return seed \? seed : 1;|return 1 + 0 * seed;|'
fault "a new interval loses the sample that was due" "estimates changed*" $sampler \
    's|if \(before && thread->beyond != HP_NEVER|if (before == 9999|'
fault "the same, in the real library" truth-intervals $sampler \
    's|if \(before && thread->beyond != HP_NEVER|if (before == 9999|'
fault "a sample due at a change is given to the new interval" "estimates changed*" $sampler \
    's|thread->due_interval = before - 1;|thread->due_interval = interval;|'
fault "a forked child goes on in its parent's gap, and loses its end" truth-fork preload/kinds/heap/sampler.h \
    's|    thread->left = thread->beyond = 0;\n||'
fault "forked children draw the same numbers" truth-fork preload/kinds/heap/sampler.h \
    's|    thread->random = 0;\n||'
fault "what children free of their parent's stays live" truth-fork tests/targets/truth.c \
    's|        free\(kept\[i\]\);\n        gone\(PARENT|        gone(PARENT|'
fault "realloc is not charged" truth-realloc preload/hooks/malloc.c \
    's|(HP_HOOK void \*realloc\(.*?)__builtin_expect\(hp_charge\(size\), 0\)|$1 0|s'
fault "realloc does not count as free" truth-realloc preload/kinds/heap/record.c \
    's|    hp_tally_add\(&row->freed, 1, data.size\);|    if (data.size % 4)\n        hp_tally_add(&row->freed, 1, data.size);|'
fault "posix_memalign is not charged" truth-aligned preload/hooks/malloc.c \
    's|(posix_memalign\(.*?)hp_charge\(asked\) && hp_hook_due\(asked\)|$1 0|s'
fault "sizes are those that the allocator rounds up to" truth-aligned preload/hooks/cold.c \
    's|void hp_record\(const void \*pointer, size_t n, const void \*frame_address\)\n\{|void hp_record(const void *pointer, size_t n, const void *frame_address)\n{\n    n = (n + 63) / 64 * 64;|'
fault "one counter for all sizes of a stack" "estimates mixed*" src/ledger/ledger.c \
    's|(uint16_t hp_size_class\(uint64_t size\)\n\{)|$1 if (size) return 0;|'
fault "p by the latest interval, not by the sample's own" "estimates changed*" src/ledger/entry_rows.c \
    's|\.interval = interval,|.interval = collection->to + 0 * interval,|'
fault "entries of another interval are not converted for go" truth-intervals src/ledger/entry_rows.c \
    's|if \(!tally.objects .. from == to\)|if (from > 0)|'
fault "the text states another interval than the sampler's" truth-aligned src/ledger/snapshot.c \
    's|hp_text_header\(text, &sums, interval\)|hp_text_header(text, &sums, interval + interval / 16)|'
fault "bytes are scaled as if all objects were small" "estimates each*" src/profile/scale.c \
    's|return -1 / expm1\(-bytes / objects / interval\);|return objects * interval / bytes;|'
fault "variance without 1 - p" "estimates each*" src/profile/scale.c 's|each \* each \* \(1 - p\)|each * each|'
fault "variance without 1 / p^2" coverage src/profile/scale.c 's|double each = value / n;|double each = value / n * p;|'
fault "no widening for few samples" coverage src/profile/scale.c 's|1 \+ 2 / effective : 1|1 : 1|'
fault "errors of several entries are added, not their squares" coverage src/profile/scale.c \
    's|sum->variance \+= term->variance;|sum->variance = pow(sqrt(sum->variance) + sqrt(term->variance), 2);|'
fault "few samples are told by their number, not by their weight" coverage src/profile/scale.c \
    's|if \(estimate->variance_squares > 0\)|if (estimate->variance_squares < 0)|'
fault "rows are judged one by one (no Holm)" "diff steady*" src/report/statistics/significance.c 's|alpha / \(double\)\(count - i\)|alpha|'
fault "surviving samples do not cancel" "diff leaks*" src/report/statistics/pairs.c \
    's|return hp_profile_same_process\(a, b\) &&|return !a \&\& hp_profile_same_process(a, b) \&\&|'
fault "the noise of a growth is that of its later profile alone" "diff steady*" src/report/statistics/pairs.c \
    's|\(was.variance \+ is.variance\) \* only / n|is.variance * only / n|'
fault "half of the significance that is there" "diff leaks*" src/report/statistics/significance.c \
    's|return fmin\(1, 2 \* tail|return fmin(1, 1e6 * tail|'

printf '%d faults caught, %d not\n' $caught $missed
[ $missed = 0 ]
