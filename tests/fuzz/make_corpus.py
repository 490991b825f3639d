#!/usr/bin/env python3
"""make_corpus.py HEAPPROF: writes corpus/, the small files that the fuzzers start from. Each is cut of its prefix, which
the fuzzers put in front. Needs gcc for the one with symbols."""
import gzip
import os
import struct
import subprocess
import sys
import tempfile

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
# The first byte is for the fuzzer, the size of its buffer.
SMAPS = {
    "program": "P400000-401000 r-xp 00000000 fe:01 1234                       /usr/bin/app\nSize: 4 kB\nRss: 1 kB\nSwap: 7 kB\n"
               "403000-503000 rw-p 00000000 00:00 0 \nRss: 8 kB\n"
               "600000-700000 rw-p 00000000 00:00 0                          [heap]\nRss: 16 kB\n"
               "7f0000300000-7f0000400000 rw-s 00000000 00:05 99    /dev/zero (deleted)\nRss: 128 kB\n"
               "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0      [stack]\nRss: 4096 kB\n",
    "threads": "Q7f0000700000-7f0000701000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
               "7f0000701000-7f0000f01000 rw-p 00000000 00:00 0 \nRss: 2048 kB\n"
               "7f0018000000-7f0018100000 rw-p 00000000 00:00 0 \nRss: 8 kB\n"
               "7f0018100000-7f001c000000 ---p 00000000 00:00 0 \nRss: 0 kB\n",
    "overflow": "P7f0018000000-7f0018100000 rw-p 00000000 00:00 0 \nRss: 18000200020000002 kB\n"
                "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \nRss: 9007199254740993 kB\n",
    "own": "R7f0000400000-7f0000500000 rw-s 00000000 00:1b 77    /dev/shm/heapprof-0/12.3456.ledger (deleted)\nRss: 256 kB\n"
           "7f0000500000-7f0000600000 r-xp 00000000 fe:01 66    /opt/lib/libheapprof.so\nRss: 512 kB\n"
           "7f0000600000-7f0000640000 rw-p 00000000 00:00 0 \nRss: 1024 kB\n",
}


def patch(part, place, content):
    return bytes([part]) + place.to_bytes(3, "little") + struct.pack("<Q", content)


LEDGER = {
    "as_it_is": b"",
    "patches": patch(4, 0, 2**64 - 1) + patch(7, 64, 0x100) + patch(10, 16, 0x0001000200000003) + patch(5, 40, 2**63),
    "tables_at_odd_places": patch(3, 8, 0x10001) + patch(3, 24, 2**64 - 2) + patch(3, 72, 0xfffff) + patch(3, 88, 2**63 + 3),
    "pages_at_odd_places": patch(12, 0, 0x40101) + patch(12, 8192, 2**64 - 8) + patch(14, 0, 2**64 - 1),
    "a_fold_of_nothing": patch(13, 40, 0xffffffff00000001) + patch(13, 48, 0xffffffff) + patch(13, 24, 2**64 - 1),
}

LEDGER_V3 = {
    "as_it_is": b"",
    "intervals_and_counts": patch(0, 128, 2**64 - 1) + patch(0, 136, 0x0000003f00000041) + patch(9, 200, 2**64 - 1),
    "modules_at_odd_places": patch(4, 40, 2**64 - 1) + patch(4, 184, 3) + patch(4, 264, 0xffffffff00000041) + patch(1, 208, 2**32 - 1),
    "records_without_end": patch(6, 0, 0x3980000039800) + patch(9, 0, 0x0001000200039800) + patch(9, 64, 0x1ff000100039800),
    "holes": patch(3, 24, 0) + patch(3, 32, 0x5555),
}


def without_header(message):
    """Without sample types, strings and period, which the fuzzer puts in front. The names become others."""
    def varint(at):
        value = shift = 0
        while True:
            value |= (message[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 128:
                return value, at
    kept, at = b"", 0
    while at < len(message):
        tag, end = varint(at)
        size, end = varint(end)
        end += size if tag & 7 == 2 else 0
        if tag >> 3 not in (1, 6, 11, 12):
            kept += message[at:end]
        at = end
    return kept


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
for name, text in SMAPS.items():
    write("smaps", name, text.encode())
for name, content in LEDGER.items():
    write("ledger", name, content)
for name, content in LEDGER_V3.items():
    write("ledger_v3", name, content)
packed = subprocess.run([sys.argv[1], "convert", "--to=pprof", "-"], input=TEXT["heap_v2"].encode(), stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL, check=True).stdout
write("gzip", "proto", packed)
write("any", "proto", gzip.decompress(packed))
write("proto", "proto", without_header(gzip.decompress(packed)))
with tempfile.TemporaryDirectory() as temporary:
    library = os.path.join(temporary, "small.so")
    source = b"static inline int half(int n) { return n / 2; }\nint fourth(int n) { return half(half(n)); }\n"
    subprocess.run(["gcc", "-x", "c", "-", "-g", "-O1", "-shared", "-fPIC", "-nostdlib", "-Wl,-z,noseparate-code",
                    "-Wl,--hash-style=gnu", "-o", library], input=source, check=True)
    for name, options in (("lines", []), ("stripped", ["--strip-unneeded"])):
        subprocess.run(["objcopy", *options, "--remove-section=.comment", library], check=True)
        with open(library, "rb") as file:
            write("symbols", name, file.read())
