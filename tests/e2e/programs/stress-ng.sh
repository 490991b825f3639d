# Its test of malloc, which checks what it reads back; threads, realloc, memalign and all.
command=stress-ng
names='^(stress_|stress-ng\+|main)'

run() {
    "$@" stress-ng --malloc 2 --malloc-ops 40000 --malloc-bytes 64K --malloc-max 2000 --malloc-pthreads 3 --malloc-touch \
        --verify --seed 7 --temp-path "$work" 2>&1 | sed -E 's/\[[0-9]+\]/[PID]/; s/in [0-9.]+s?.*/in TIME/; /defaulting/d'
    echo "exit status ${PIPESTATUS[0]}"
}
