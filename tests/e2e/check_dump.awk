# The rules of a dump, line by line. Prints what is wrong, exit status 1. -v name=NAME for messages.
function bad(text) {
    printf "FAIL: %s: line %d: %s\n", name, NR, text
    failed = 1
}

function figure(key) {
    if (!(key in facts))
        bad("no " key)
    return facts[key] + 0
}

# As text, which not every awk can turn into a number.
function padded(hexadecimal) {
    return substr("0000000000000000" hexadecimal, length(hexadecimal) + 1)
}

length($0) > 65535 { bad("longer than 64 KiB") }

NR == 1 {
    if ($0 !~ /^heap profile: [0-9]+: [0-9]+ \[[0-9]+: [0-9]+\] @ (heap_v2\/[0-9]+|heapprofile)$/)
        bad("no header: " $0)
    gsub(/[:\[\]]/, " ")
    for (i = 1; i <= 4; i++)
        header[i] = $(i + 2)
    exact = $NF == "heapprofile"
    interval = $NF
    sub(/.*\//, "", interval)
    last_live = last_allocated = 1e300
    section = "entries"
    next
}

section == "entries" && /^[0-9]/ {
    if ($0 !~ /^[0-9]+: [0-9]+ \[[0-9]+: [0-9]+\] @( 0x[0-9a-f]+)*$/)
        bad("no entry: " $0)
    addresses = NF - 5
    if (addresses > deepest)
        deepest = addresses
    if (addresses)
        innermost[padded(substr($6, 3))] = $6
    else
        nowhere = $0
    stack = $0
    sub(/.*@/, "", stack)
    gsub(/[:\[\]]/, " ")
    for (i = 1; i <= 4; i++)
        sum[i] += $i
    if ($1 > $3 || $2 > $4)
        bad("more live than allocated: " $0)
    if (($1 == 0 && $2 != 0) || ($3 == 0))
        bad("bytes without objects: " $0)
    if ($2 > last_live || ($2 == last_live && $4 > last_allocated))
        bad("not sorted: " $0)
    if (exact && stacks[stack]++)
        bad("a stack twice: " stack)
    last_live = $2
    last_allocated = $4
    entries++
    next
}

section == "maps" {
    if ($6 ~ /\/libheapprof\.so$/) {
        split($1, range, "-")
        own_start = padded(range[1])
        own_limit = padded(range[2])
    }
    if ($0 !~ /^[0-9a-f]+-[0-9a-f]+ [r-][w-]x[ps] [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [0-9]+ +[^ ].*$/ || /=/)
        bad("no mapping: " $0)
    maps++
    next
}

$0 == "MAPPED_LIBRARIES:" {
    section = "maps"
    next
}

/^# heapprof: / {
    section = "facts"
    for (i = 3; i <= NF; i++) {
        key = $i
        sub(/=.*/, "", key)
        value = $i
        sub(/^[^=]*=/, "", value)
        facts[key] = value
    }
    next
}

/^# [A-Za-z.]+ = [^ ]/ {
    if (!memstats && $2 !~ /^heapprof\./)
        bad("before # runtime.MemStats: " $0)
    facts[$2] = $4
    next
}

$0 == "# runtime.MemStats" {
    memstats = 1
    next
}

{ bad("neither entry nor comment: " $0) }

END {
    if (section != "maps")
        bad("no MAPPED_LIBRARIES")
    if ((!entries && figure("samples")) || !maps)
        bad("no entries or no mappings")
    for (i = 1; i <= 4; i++) {
        more = i == 4 && header[4] == sum[4] + 1 && sum[1] == sum[3] && sum[2] == sum[4]
        if (header[i] != sum[i] && !more)
            bad("header has " header[i] ", not the sum " sum[i])
    }
    if (header[1] == header[3] && header[2] == header[4])
        bad("live and allocated are equal: google/pprof would drop two columns")
    if (nowhere && (nowhere !~ /^0: 0 / || !figure("folded")))
        bad("an entry without a stack, which is not of folded ones: " nowhere)
    for (key in innermost)
        if (key >= own_start && key < own_limit)
            bad("a stack begins inside the library: " innermost[key])
    split("version pid exe sequence time interval depth samples lost truncated unmatched_frees own_bytes own_ns", keys)
    for (i = 1; i in keys; i++)
        if (facts[keys[i]] == "")
            bad("no " keys[i])
    if (facts["interval"] != (exact ? 1 : interval) || deepest > figure("depth"))
        bad("interval or depth")
    if (figure("HeapSys") != figure("HeapInuse") + figure("HeapIdle"))
        bad("HeapSys is not HeapInuse + HeapIdle")
    if (figure("HeapReleased") > figure("HeapIdle"))
        bad("HeapReleased is above HeapIdle")
    if (figure("HeapAlloc") > figure("HeapInuse"))
        bad("HeapAlloc is above HeapInuse")
    if (figure("Alloc") != figure("HeapAlloc"))
        bad("Alloc is not HeapAlloc")
    if (figure("HeapInuse") <= 0 || figure("MaxRSS") <= 0)
        bad("no figures")
    if (figure("HeapObjects") != figure("Mallocs") - figure("Frees"))
        bad("HeapObjects is not Mallocs - Frees")
    if (exact && (figure("Mallocs") != sum[3] || figure("TotalAlloc") != sum[4] || figure("HeapObjects") != sum[1]))
        bad("exact figures are not the sums")
    if ("rss" in facts) {
        rss = figure("rss_heap") + figure("rss_anonymous") + figure("rss_stacks") + figure("rss_program")
        rss += figure("rss_files") + figure("rss_shared") + figure("rss_own")
        if (figure("rss") != rss)
            bad("the parts of the resident set don't add up")
        if (figure("rss_idle") > figure("rss_heap"))
            bad("rss_idle is above rss_heap")
    }
    if (facts["heapprof.allocator"] == "")
        bad("no allocator")
    exit failed
}
