#!/bin/bash
# README's test pipeline, run as it stands there: it passes with a steady server, and stops with status 3 at a leak.
. "$(dirname "$0")/../lib.sh"

awk '/^## / { here = /^## In a test pipeline/ } here && sub(/^    /, "")' "$SOURCE_ROOT/README.md" >pipeline
grep -q 'fail-on-growth' pipeline || fail "README shows no --fail-on-growth"
mkfifo requests answers
cat >load-test <<'S'
#!/bin/sh
printf xxxxxxxxxx >requests
head -c 10 answers >/dev/null
S
chmod +x load-test

# pipeline WANTED ARGUMENT: with ./server as one that has this argument.
pipeline() {
    printf '#!/bin/sh\nexec "%s" %s\n' "$TARGETS/server" "$2" >server
    chmod +x server
    PATH=$(dirname "$HEAPPROF"):$PATH LD_LIBRARY_PATH=$(dirname "$LIBHEAPPROF") timeout 60 sh -e pipeline >out 2>err
    expect "$2 server: exit status" $1 $?
    # Stopped, it says why.
    expect "$2 server: lines on standard error" $(($1 == 3)) "$(grep -c '^heapprof: significant growth of .* is above' err)"
    grep -q "^growth " out || fail "$2 server: no report: $(cat out)"
    rm -f ./*.heap
}

pipeline 0 steady
pipeline 3 leak
grep -q '\* .*handle_request' out || fail "handle_request is not marked: $(cat out)"
finish "README's pipeline does what it says"
