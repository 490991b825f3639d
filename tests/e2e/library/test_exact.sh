#!/bin/bash
# Targets that know what they allocated: at interval 1 every site's figures are exact, at 4K and 512K the totals are
# within 5 standard errors; with each allocator.
. "$(dirname "$0")/../lib.sh"

# compare_exactly NAME DUMP: the truth of the file "truth" with the dump, site by site.
compare_exactly() {
    local type
    for type in inuse_objects inuse_space alloc_objects alloc_space; do
        rows $type "$2" --raw >rows.$type
    done
    awk -v name="$1" '
        FNR == 1 { file++ }
        file <= 4 { figure[$1, file] = $2; if ($1 ~ /^site_/) seen[$1] = 1; next }
        $1 == "site" {
            known[$2] = 1
            sites++
            for (i = 1; i <= 4; i++)
                if ($(i + 2) != figure[$2, i] + 0) {
                    printf "FAIL: %s: %s: %s is %d, not %d\n", name, $2, type[i], figure[$2, i], $(i + 2)
                    bad = 1
                }
            if ($5 > 0)
                used++
        }
        BEGIN { split("live_objects live_bytes allocated_objects allocated_bytes", type) }
        END {
            for (site in seen) if (!known[site]) { print "FAIL: " name ": unknown site " site; bad = 1 }
            if (used < 10) { print "FAIL: " name ": only " used + 0 " sites allocated"; bad = 1 }
            exit bad
        }' FS='\t' rows.inuse_objects rows.inuse_space rows.alloc_objects rows.alloc_space FS=' ' truth ||
        failures=$((failures + 1))
}

# compare_total NAME DUMP INTERVAL: the sums over all sites of one size, by the standard error that the truth tells:
# n objects of size s are seen with p = 1 - exp(-s / interval), and estimated with a variance of n (1 - p) / p^2.
compare_total() {
    local type field=3
    for type in inuse_objects inuse_space alloc_objects alloc_space; do
        rows $type "$2" >rows
        awk -v name="$1 $type" -v field=$field -v interval=$(numfmt --from=iec $3) '
            FNR == NR { estimate[$1] = $2; next }
            $1 != "site" || $6 == 0 || $2 == "site_malloc" { next } # its sizes are mixed
            {
                truth += $field
                sum += estimate[$2]
                size = $6 / $5
                p = 1 - exp(-size / interval)
                n = field % 2 ? $field : $field / size
                variance += n * (1 - p) / p ^ 2 * (field % 2 ? 1 : size ^ 2)
            }
            END {
                off = sum > truth ? sum - truth : truth - sum
                if (truth <= 0 || off > 5 * sqrt(variance) + 5) {
                    printf "FAIL: %s: %d, not %d, standard error %d\n", name, sum, truth, sqrt(variance)
                    exit 1
                }
            }' FS='\t' rows FS=' ' truth || failures=$((failures + 1))
        field=$((field + 1))
    done
}

# say_exact NAME DUMP INTERVAL: the dump and each report say "exact" at interval 1, and not otherwise.
say_exact() {
    local wanted=0 verb
    [ $3 != 1 ] || wanted=1
    expect "$1: '# heapprof.exact' in the dump" $wanted "$(grep -c '^# heapprof\.exact = every allocation' "$2")"
    expect "$1: type heapprofile" $wanted "$(head -1 "$2" | grep -c ' @ heapprofile$')"
    expect "$1: '# heapprof.exact' in convert --to=text" $wanted \
        "$("$HEAPPROF" convert --to=text "$2" 2>>err | grep -c '^# heapprof\.exact = ')"
    for verb in top tree traces tags stats "diff $2"; do
        expect "$1: ${verb% *} says exact" $wanted "$("$HEAPPROF" $verb "$2" 2>>err | grep -q '(exact' && echo 1 || echo 0)"
    done
}

for allocator in $(allocators); do
    for target in exact exact_cxx; do
        stands $allocator "$TARGETS/$target" 40 || continue
        for interval in 1 4K 512K; do
            name="$target on $allocator at $interval"
            rounds=40
            [ $interval = 512K ] && rounds=400
            rm -f ./*.heap
            with $allocator HEAPPROF_INTERVAL=$interval HEAPPROF_AT_EXIT=1 HEAPPROF_OUTPUT=%n.heap \
                "$TARGETS/$target" $rounds >truth 2>err
            expect "$name: exit status" 0 $?
            grep '^heapprof: ' err
            only ./*.heap || continue
            expect "$name: lost" 0 "$(fact "$dump" lost)"
            # Only what was allocated before the library was there may be freed unseen.
            [ $interval != 1 ] || [ "$(fact "$dump" unmatched_frees)" -le 2 ] ||
                fail "$name: $(fact "$dump" unmatched_frees) unmatched frees"
            grep -q "^# heapprof.allocator = $allocator" "$dump" ||
                fail "$name: taken for $(fact "$dump" heapprof.allocator)"
            say_exact "$name" "$dump" $interval
            if [ $interval = 1 ]; then
                compare_exactly "$name" "$dump"
            else
                compare_total "$name" "$dump" $interval
            fi
        done
    done
done
finish "all figures are right"
