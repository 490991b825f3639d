# The page of a series, from files and from a server, in a real browser. PAGE_SHOTS=FOLDER keeps the screenshots.
. "$(dirname "$0")/../lib.sh"
need jq node perl
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || skip "no chromium here"
export LC_ALL=C.UTF-8 HOME=$work HEAPPROF_LEDGER=$work/shm
mkdir moments shm

HEAPPROF_INTERVAL=16K with glibc "$TARGETS/grower" moments 15
space_evenly moments/*.heap
"$HEAPPROF" convert --to=html --series --hide '^keep$' -o series.html moments/*.heap 2>err || fail "convert --series: $(cat err)"
"$HEAPPROF" convert --to=html --hide '^keep$' -o last.html moments/14.heap 2>err || fail "convert: $(cat err)"
mapfile -t marked < <("$HEAPPROF" diff --json -n 0 --hide '^keep$' moments/00.heap moments/14.heap 2>/dev/null |
    jq -r '.rows[] | select(.significant and .growth > 0) | .function')
[ ${#marked[@]} -ge 1 ] || fail "nothing is marked"
[ "$(stat -c %s series.html)" -lt $((3 * $(stat -c %s last.html))) ] || fail "15 moments take $(stat -c %s series.html) bytes, one $(stat -c %s last.html)"
node "$here/page/series_page.mjs" "$browser" "$work" file "${marked[@]}" || fail "the page of files"
"$HEAPPROF" convert --to=html --series --base moments/00.heap moments/*.heap >/dev/null 2>&1
expect "--series with --base" 2 $?
# The page of a server, while the target runs.
timeout 100 "$HEAPPROF" run -i 16K --every=500ms -o 'run.%n.heap' --http=127.0.0.1:0 -- \
    perl -e 'while (1) { push @kept, "x" x 20000; $lost = "y" x 50000; select undef, undef, undef, 0.02 }' 2>report &
runner=$!
for _ in $(seq 200); do grep -q '^note: serving' report && break; sleep 0.05; done
url=$(sed -n 's,^note: serving \(.*\)/$,\1,p' report)
node "$here/page/series_page.mjs" "$browser" "$work" server "$url" || fail "the page of a server"
kill $runner
wait $runner
[ -n "${PAGE_SHOTS:-}" ] && cp ./*.png "$PAGE_SHOTS"
finish "the page of a series works"
