#!/usr/bin/env python3
"""make_corpus.py HEAPPROF: writes corpus/, the small files that the fuzzers start from. Each is cut of its prefix, which
the fuzzers put in front."""
import gzip
import os
import subprocess
import sys

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")

TAIL = """
MAPPED_LIBRARIES:
00400000-00500000 r-xp 00001000 08:01 11 /usr/bin/app
build=/usr/lib
7f0000000000-7f0000100000 r-xp 00000000 08:01 12 $build/libc.so
"""
TEXT = {
    "heap_v2": "heap profile: 2: 300 [3: 400] @ heap_v2/524288\n1: 100 [2: 200] @ 0x401001 0x402001\n"
               "#\t0x401000\tfoo+0x10\t/src/a.c:3\n#\t0x401000\tbar(int)+0x20\t/src/a.c:9\n\n"
               "1: 200 [1: 200] @ 0x7f0000000101\n# heapprof: version=1 pid=2 interval=524288\n# HeapInuse = 5\n" + TAIL,
    "go": "heap profile: 1: 8 [2: 16] @ heap/1048576\n1: 8 [2: 16] @ 0x401001\n#\t0x401000\tmain.main+0x1\t/a.go:1\n\n",
    "gperftools": "heap profile:      1:      100 [     2:      200] @ heapprofile\n     1:      100 [     2:      200] @ 0x00401001\n" + TAIL,
    "growth": "heap profile: 1: 8 [1: 8] @ growthz\n1: 8 [1: 8] @ 0x401001\n",
}
JEMALLOC = {
    "jemalloc": "heap_v2/524288\n  t*: 1: 100 [0: 0]\n  t0: 1: 100 [0: 0]\n@ 0x401001 0x402001\n  t*: 1: 100 [0: 0]\n" + TAIL,
}
MAP = {"perf_map": "7f0000001000 40 LazyCompile:*add /app/main.js:3\n0x2000 100 stub\n"}


def write(fuzzer, name, content):
    os.makedirs(os.path.join(folder, fuzzer), exist_ok=True)
    with open(os.path.join(folder, fuzzer, name), "wb") as file:
        file.write(content)


for name, text in TEXT.items():
    write("text", name, text[len("heap profile: "):].encode())
    write("any", name, text.encode())
    write("gzip", name, text.encode())
for name, text in JEMALLOC.items():
    write("jemalloc", name, text[len("heap_v2/"):].encode())
for name, text in MAP.items():
    write("perf_map", name, text.encode())
packed = subprocess.run([sys.argv[1], "convert", "--to=pprof", "-"], input=TEXT["heap_v2"].encode(), stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL, check=True).stdout
write("gzip", "proto", packed)
write("any", "proto", gzip.decompress(packed))
