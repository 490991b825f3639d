#!/bin/bash
# The page of convert --to=html in a real browser. PAGE_SHOTS=FOLDER keeps the screenshots.
set -u
: "${HEAPPROF:?path of the command}" "${SOURCE_ROOT:?root of the source}"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -z "$browser" ] || ! command -v node >/dev/null; then
    echo "SKIPPED: no chromium and node here"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C.UTF-8 NO_COLOR=1 HOME=$work
data=$SOURCE_ROOT/tests/data
cd "$data" || exit 1

page() { # OUT ARGUMENT...
    local out=$1
    shift
    "$HEAPPROF" convert --to=html -o "$work/$out" "$@" 2>"$work/err" || { echo "FAIL: convert --to=html: $(cat "$work/err")"; exit 1; }
}

page plain.html --source=source before.prof
page diff.html --base before.prof after.prof
page shrunk.html --base after.prof before.prof

# 100,000 distinct stacks of 8 to 40 frames, of 6,000 functions.
python3 - >"$work/large.prof" <<'PY'
import random
random.seed(1)
print("heap profile: 100000: 100000000 [200000: 200000000] @ heap_v2/524288")
seen = set()
while len(seen) < 100000:
    depth = random.randint(8, 40)
    where, stack = 1, []
    for level in range(depth):
        where = (where * 31 + random.choice((1, 1, 1, 2, 3, 5, 8))) % 6000
        stack.append(0x400000 + 16 * where)
    stack = tuple(reversed(stack))
    if stack in seen:
        continue
    seen.add(stack)
    size = random.choice((64, 256, 4000))
    print(f"1: {size} [2: {2 * size}] @", " ".join(map(hex, stack)))
PY
page large.html "$work/large.prof"
ls -l "$work/large.html" | awk '{ print "the page of 100,000 stacks has " $5 " bytes" }'
grep -qE '(src|href)=["'"'"']?[a-z]+:' "$work/plain.html" && { echo "FAIL: the page refers to something else"; exit 1; }

node "$SOURCE_ROOT/tests/e2e/page/page.mjs" "$browser" "$work" "$HEAPPROF" "$data"
status=$?
[ -n "${PAGE_SHOTS:-}" ] && cp "$work"/*.png "$PAGE_SHOTS"
[ $status = 0 ] && echo "the page works"
exit $status
