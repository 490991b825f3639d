# Parallel, recursive make with a pattern rule, compilers as children, and a recipe that fails.
command=make
needs=gcc
dumper=make.
names='^(xmalloc|xcalloc|xrealloc|make\+)'

run() {
    rm -rf "$work/made" && mkdir -p "$work/made/sub"
    for i in $(seq 12); do echo "int f$i(int x) { return x * $i + $(seq -s+ $i); }" >"$work/made/f$i.c"; done
    for i in $(seq 400); do echo "variable_$i = \$(patsubst %.c,%.o,$(seq -s.c' ' $i $((i + 20))).c)"; done >"$work/made/variables.mk"
    cat >"$work/made/Makefile" <<'MAKEFILE'
include variables.mk
objects = $(sort $(patsubst %.c,%.o,$(wildcard f*.c)))
all: library.a sub
	@echo $(words $(foreach n,$(shell seq 400),$(variable_$n))) $(firstword $(objects))
	@$(MAKE) --no-print-directory wrong || echo failed
library.a: $(objects)
	@ar -rcD $@ $(objects)
	@cksum <$@
%.o: %.c
	@$(CC) -O1 -g0 -c -o $@ $<
sub: library.a
	@$(MAKE) --no-print-directory -C sub -f ../sub.mk
wrong:
	@exit 3
.PHONY: all sub wrong
MAKEFILE
    printf 'all:\n\t@echo in sub\n' >"$work/made/sub.mk"
    "$@" make -s -j4 -C "$work/made" 2>&1
    echo "exit status $?"
    "$@" make -s -C "$work/made" no-such-target 2>&1
    echo "exit status $?"
}
