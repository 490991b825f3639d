#!/bin/sh
# Makes ledger.v3.gz, the ledger of a killed process as the version before the present layout left it, and ledger.v3.txt,
# what that version's own command made of it:
#
#     git archive 8de42a1 | tar x -C OLD && (cd OLD && meson setup build && ninja -C build)
#     tests/data/make_ledger_v3.sh OLD/build
set -eu
old=$1
to=$(cd "$(dirname "$0")" && pwd)
mkdir -p /tmp/ledger-v3
cd /tmp/ledger-v3
cat >kept.c <<'END'
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void *kept[1200];

__attribute__((noinline)) void keep_small(int i)
{
    kept[i] = memset(malloc(100 + i % 5), 1, 100);
}

__attribute__((noinline)) void keep_large(int i)
{
    kept[i] = memset(malloc(100000 + i % 3 * 70000), 1, 100);
}

static void *keep(void *first)
{
    for (int i = *(int *)first, end = i + 600; i < end; i++)
        if (i % 20)
            keep_small(i);
        else
            keep_large(i);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    int first[] = {0, 600};
    keep(&first[0]);
    pthread_create(&thread, NULL, keep, &first[1]);
    pthread_join(thread, NULL);
    for (int i = 0; i < 1200; i += 3)
        free(kept[i]);
    raise(SIGKILL);
}
END
cc -g -O1 -fno-optimize-sibling-calls -pthread kept.c -o kept
cp "$old/preload/libheapprof.so" .
mkdir -p ledgers
export HEAPPROF_LEDGER=$PWD/ledgers
HEAPPROF_MEMORY=1M HEAPPROF_INTERVAL=4096 LD_PRELOAD=$PWD/libheapprof.so ./kept || :
gzip -9nc ledgers/*/*.ledger >"$to/ledger.v3.gz"
"$old/src/cli/heapprof" recover -o - ledgers/*/*.ledger >"$to/ledger.v3.txt"
rm -r ledgers
