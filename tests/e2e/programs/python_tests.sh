# Sourced by programs/python-*.sh: python's own tests of the modules in $modules, with every object by malloc. Prints what each
# test came to, counted, because they end in the order of threads and time.
command=/usr/bin/$(readlink /usr/bin/python3)
needs=/usr/lib/${command##*/}/test/test_threading.py
names='^(_?Py|list_|dict|new_|unicode|PyMem|_PyMem|python3|insert|resize|long_)'
limit=400
behind="glibc jemalloc"
killed=1 # some tests are about that

run() {
    local status
    PYTHONMALLOC=malloc PYTHONHASHSEED=0 "$@" "$command" -m test -v $modules >"$work/tests.out" 2>&1
    status=$?
    sed -nE 's/.*\.\.\. (ok|skipped|FAIL|ERROR|expected failure)\b.*/\1/p' "$work/tests.out" | sort | uniq -c
    sed -nE 's/^(Ran [0-9]+ tests?) in .*/\1/p; /^(FAIL|ERROR): /p; /^Tests? result: /p' "$work/tests.out" | sort
    echo "exit status $status"
}
