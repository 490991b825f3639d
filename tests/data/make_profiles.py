#!/usr/bin/env python3
"""Writes the small profiles of this folder, symbolized, so that no binaries are needed to report on them.

before.prof and after.prof are of one process: dict_add leaks between them, all else only churns. moved.prof is after.prof
from another run, at another load address, without symbols. exact.prof was taken at interval 1.
"""
import os

FRAMES = {
    0x1010: [("malloc", "", 0)],
    0x1101: [("sds_new", "/src/sds.c", 103)],
    0x1120: [("sds_new", "/src/sds.c", 120)],
    0x1201: [("operator new(unsigned long)", "", 0)],
    0x1301: [("dict_key", "/src/dict.h", 12), ("dict_add", "/src/dict.c", 55)],
    0x1401: [("read_query", "/src/net.c", 900)],
    0x1501: [("recurse", "/src/rec.c", 7)],
    0x1510: [("recurse_more", "/src/rec.c", 17)],
    0x1601: [("main", "/src/main.c", 42)],
    0x1701: [("std::vector<std::pair<unsigned long, std::string>, std::allocator<std::pair<unsigned long, "
              "std::string> > >::reserve(unsigned long)", "/usr/include/c++/0/bits/vector.tcc", 88)],
    0x1801: [],
}
BEFORE = [
    (41, 41 * 4000, 100, 100 * 4000, [0x1010, 0x1101, 0x1401, 0x1601]),
    (20, 20 * 64, 60, 60 * 64, [0x1010, 0x1120, 0x1401, 0x1601]),
    (3, 3 * 1048576, 5, 5 * 1048576, [0x1201, 0x1701, 0x1401, 0x1601]),
    (10, 10 * 200, 15, 15 * 200, [0x1010, 0x1301, 0x1601]),
    (4, 4 * 100, 9, 9 * 100, [0x1010, 0x1501, 0x1510, 0x1501, 0x1601]),
    (2, 2 * 333, 4, 4 * 333, [0x1010, 0x1801, 0x1601]),
    (0, 0, 7, 7 * 1000, [0x1010, 0x1601]),
]
AFTER = [
    (40, 40 * 4000, 130, 130 * 4000, [0x1010, 0x1101, 0x1401, 0x1601]),
    (22, 22 * 64, 80, 80 * 64, [0x1010, 0x1120, 0x1401, 0x1601]),
    (3, 3 * 1048576, 5, 5 * 1048576, [0x1201, 0x1701, 0x1401, 0x1601]),
    (45, 45 * 200, 60, 60 * 200, [0x1010, 0x1301, 0x1601]),
    (4, 4 * 100, 12, 12 * 100, [0x1010, 0x1501, 0x1510, 0x1501, 0x1601]),
    (3, 3 * 333, 5, 5 * 333, [0x1010, 0x1801, 0x1601]),
    (0, 0, 7, 7 * 1000, [0x1010, 0x1601]),
]


def write(name, entries, sequence, interval=524288, base=0x400000, pid=4711, symbols=True):
    total = [sum(entry[i] for entry in entries) for i in range(4)]
    grown = (sequence - 1) * 19 << 20
    kind = "heapprofile" if interval == 1 else f"heap_v2/{interval}"
    lines = ["heap profile: %d: %d [%d: %d] @ %s" % (*total, kind)]
    for entry in entries:
        stack = [base + address for address in entry[4]]
        lines.append("%d: %d [%d: %d] @ %s" % (*entry[:4], " ".join(hex(address + 1) for address in stack)))
        if symbols:
            for address in entry[4]:
                for function, file, line in FRAMES[address]:
                    where = f"\t{file}:{line}" if file else ""
                    lines.append(f"#\t{hex(base + address)}\t{function}+0x10{where}")
            lines.append("")
    lines += [
        f"# heapprof: version=0.1.0 pid={pid} exe=/usr/bin/query-server sequence={sequence} start=1699999000 "
        f"time={1700000000 + 60 * sequence} interval={interval} depth=128",
        f"# heapprof: samples={total[2]} lost=0 truncated=0 unmatched_frees=0 own_bytes=1234567 own_ns=98765432",
        "# runtime.MemStats",
        "# Alloc = 41200000", "# TotalAlloc = 125248125936", "# Mallocs = 2815614", "# Frees = 2800000",
        "# HeapAlloc = 41200000", "# HeapSys = 52428800", "# HeapIdle = 10485760", "# HeapInuse = 41943040",
        "# HeapReleased = 4194304", "# HeapObjects = 15614", "# MaxRSS = 60000000",
        "# heapprof.allocator = glibc 2.36 (age 12 ms)",
        f"# heapprof: rss={58163200 + grown} rss_heap={48234496 + grown} rss_idle=6291456 rss_anonymous=2097152 rss_stacks=393216 "
        "rss_program=5242880 rss_files=262144 rss_shared=1048576 rss_own=884736 heap_metadata=0 heap_untouched=1048576 "
        "swapped=524288",
        "# heapprof.thread = 1 tid=%d samples=50 sampled_bytes=2000000 bytes=24000000 bytes_error=%d objects=12000 "
        "objects_error=%d name=query server" % (pid, 0 if interval == 1 else 5000000, 0 if interval == 1 else 3000),
        "# heapprof.thread = 3 tid=%d samples=30 sampled_bytes=1000000 bytes=9000000 bytes_error=%d objects=3000 "
        "objects_error=%d ended=1" % (pid + 5, 0 if interval == 1 else 2500000, 0 if interval == 1 else 900),
        f"# heapprof.module = 0x{base + 0x1000:x} 5ca1ab1e00112233445566778899aabbccddeeff",
        "MAPPED_LIBRARIES:",
        f"{base + 0x1000:08x}-{base + 0x2000:08x} r-xp 00001000 08:01 11 /no/such/query-server",
    ]
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "w") as file:
        file.write("\n".join(lines) + "\n")


write("before.prof", BEFORE, 1)
write("after.prof", AFTER, 2)
write("moved.prof", AFTER, 2, base=0x7F5500000000, pid=4712, symbols=False)
write("exact.prof", AFTER, 2, interval=1)
