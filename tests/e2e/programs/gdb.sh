# A debugger that reads symbols, sets breakpoints, and runs Python inside; the program in it is profiled as well.
command=gdb
needs=gcc
killed=1 # children with which it tries out ptrace
dumper=gdb.
names='^(xmalloc|xrealloc|gdb\+)'

run() {
    cat >"$work/debugged.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node { struct node *next; char text[20]; };
static int sum(struct node *list) { int n = 0; for (; list; list = list->next) n += strlen(list->text); return n; }
int main(void) {
    struct node *list = NULL;
    for (int i = 0; i < 500; i++) {
        struct node *node = malloc(sizeof *node);
        node->next = list;
        snprintf(node->text, sizeof node->text, "node %d", i);
        list = node;
    }
    printf("%d\n", sum(list));
    return 3;
}
C
    gcc -g -O0 -o "$work/debugged" "$work/debugged.c"
    "$@" gdb -batch -nx -iex 'set debuginfod enabled off' -ex 'set width 0' -ex 'break sum' -ex run -ex 'bt' \
        -ex 'print *list' -ex 'print list->next->next->text' -ex 'ptype struct node' -ex 'finish' \
        -ex 'python print(sum(len(str(i)) for i in range(20000)))' -ex 'info line main' -ex continue \
        "$work/debugged" 2>&1 | sed -E 's/0x[0-9a-f]+/ADDRESS/g; s/process [0-9]+/process PID/; /warning: .*vdso/d'
    echo "exit status ${PIPESTATUS[0]}"
}
