"""check_resident.py ALLOCATOR FOLDER COMMAND...: run tests/targets/resident and see that each part of the resident set
moves by what the target did, in its own dumps and in those made from outside, and that the allocator agrees."""
import ctypes
import json
import os
import re
import subprocess
import sys

allocator, folder, command = sys.argv[1], sys.argv[2], sys.argv[3:]
heapprof = os.environ["HEAPPROF"]
MIB = 1 << 20
failures = []
plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def check(what, true):
    if not true:
        failures.append(what)
        print(f"FAIL: {allocator}: {what}")


def near(what, value, wanted, tolerance):
    check(f"{what}: {value / MIB:.2f} MiB, not {wanted / MIB:.2f} ± {tolerance / MIB:.2f}", abs(value - wanted) <= tolerance)


def stats(name):
    return json.loads(subprocess.run([heapprof, "stats", "--json", name], env=plain, check=True, capture_output=True).stdout)


def number(pattern, text):
    match = re.search(pattern, text)
    check(f"the allocator's account has no {pattern}", match)
    return int(match.group(1)) if match else 0


def account(text):
    """HeapInuse and HeapSys by the allocator's own report; nothing of mimalloc, which is not asked."""
    if allocator == "glibc":
        totals = text[text.rindex("</heap>"):]
        free = number(r'type="fast" count="\d+" size="(\d+)"', totals) + number(r'type="rest" count="\d+" size="(\d+)"', totals)
        mapped = number(r'type="mmap" count="\d+" size="(\d+)"', totals)
        system = number(r'<system type="current" size="(\d+)"', totals)
        return system - free + mapped, system + mapped
    if allocator == "jemalloc":
        return number(r"active: (\d+)", text), number(r"mapped: (\d+)", text) + number(r"retained: (\d+)", text)
    if allocator == "tcmalloc":
        actual, metadata = number(r"(\d+) \(.*Actual memory used", text), number(r"(\d+) \(.*in malloc metadata", text)
        free, unmapped = number(r"(\d+) \(.*in page heap freelist", text), number(r"(\d+) \(.*released to OS", text)
        return actual - metadata - free, actual - metadata + unmapped
    return None, None


def look(step, pid):
    """The parts that the target's own dump tells, after having seen that all accounts agree."""
    inside = stats(f"{folder}/{step}.heap")
    dump = subprocess.run([heapprof, "dump", "-o", f"{folder}/{step}.outside.heap", str(pid)], env=plain, capture_output=True)
    check(f"{step}: heapprof dump: {dump.stderr}", dump.returncode == 0)
    with open(f"/proc/{pid}/smaps_rollup") as file:
        rss = 1024 * int(re.search(r"Rss: *(\d+)", file.read()).group(1))
    outside, live = stats(f"{folder}/{step}.outside.heap"), stats(str(pid))
    for where, report in ("in the target", inside), ("from outside", outside), ("of the process", live):
        resident = report["resident"]
        check(f"{step}, {where}: the parts add up to {sum(resident['parts'].values())}, not {resident['rss']}",
              sum(resident["parts"].values()) == resident["rss"])
        check(f"{step}, {where}: not all are whole numbers", all(type(value) is int for value in resident["parts"].values()))
    near(f"{step}: rss of the process", live["resident"]["rss"], rss, 16384)
    # A dump takes over what was read for the one before if that is less than a second old: here the target's own.
    near(f"{step}: rss from outside", outside["resident"]["rss"], rss, 256 << 10)
    for part, value in inside["resident"]["parts"].items():
        near(f"{step}: {part} in the target and from outside", value, outside["resident"]["parts"][part], 256 << 10)
    with open(f"{folder}/{step}.account") as file:
        inuse, system = account(file.read())
    slack = 128 << 10
    if inuse is None:
        check(f"{step}: HeapInuse is {inside['facts']['HeapInuse']}, and what is live {inside['inuse_space']['total']}",
              abs(inside["facts"]["HeapInuse"] - inside["inuse_space"]["total"]) <= 1)
        check(f"{step}: {inside['facts']['heapprof.allocator']}", "estimated" in inside["facts"]["heapprof.allocator"])
    else:
        near(f"{step}: HeapInuse", inside["facts"]["HeapInuse"], inuse, slack)
        near(f"{step}: HeapInuse + HeapIdle", inside["facts"]["HeapInuse"] + inside["facts"]["HeapIdle"], system, slack)
    parts = dict(inside["resident"]["parts"], **inside["resident"]["not_resident"])
    parts["heap"] = parts["live"] + parts["overhead"] + parts["idle"]
    parts["rss"], parts["error"] = inside["resident"]["rss"], inside["resident"]["live_error"]
    check(f"{step}: not explained is {parts['not_explained']}, the error of live {parts['error']}",
          abs(parts["not_explained"]) < 256 << 10 or abs(parts["not_explained"]) < 1.5 * parts["error"])
    check(f"{step}: own memory is {parts['own']}", 128 << 10 < parts["own"] < 4 * MIB)
    return parts


def map_small_pages():
    """Where the machine gives huge pages to all, up to 2 MiB more than what is touched is resident."""
    if ctypes.CDLL(None).prctl(41, 1, 0, 0, 0) != 0: # PR_SET_THP_DISABLE; lasts over exec
        raise OSError("prctl")


steps = ["start", "heap", "untouched", "before-threads", "threads", "file", "anonymous", "shared", "freed", "released"]
target = subprocess.Popen(command + [folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          preexec_fn=map_small_pages)
seen = {}
for step in steps:
    line = target.stdout.readline().strip()
    check(f"the target says '{line}', not '{step}'", line == step)
    if line != step:
        break
    seen[step] = look(step, target.pid)
    target.stdin.write("\n")
    target.stdin.flush()
target.stdin.close()
check(f"the target exited with {target.wait()}", target.returncode == 0)
if failures:
    sys.exit(1)

grew = {after: {part: seen[after][part] - seen[before][part] for part in seen[after]} for before, after in zip(steps, steps[1:])}
DATA = 40000 * 1000
near("heap: live", grew["heap"]["live"], DATA, seen["heap"]["error"] + MIB)
near("heap: heap", grew["heap"]["heap"], DATA, 5 * MIB)
near("untouched: untouched", grew["untouched"]["untouched"], 16 * MIB, 2 * MIB)
near("untouched: live and overhead", grew["untouched"]["heap"], 8 * MIB, 2 * MIB)
near("threads: stacks", grew["threads"]["stacks"], 20 * MIB, MIB)
near("threads: anonymous", grew["threads"]["other_anonymous"], 0, 2 * MIB)
near("file: files", grew["file"]["files"], 64 * MIB, MIB // 4)
near("anonymous: anonymous", grew["anonymous"]["other_anonymous"], 64 * MIB, MIB // 4)
near("shared: shared", grew["shared"]["shared"], 16 * MIB, MIB // 4)
near("freed: live", grew["freed"]["live"], -0.9 * DATA, 2 * seen["shared"]["error"] + MIB)
for step in "file", "anonymous", "shared":
    near(f"{step}: heap", grew[step]["heap"], 0, MIB)
if allocator != "mimalloc": # which gives back at once, and does not tell what is idle
    check(f"freed: idle and overhead grew by {(grew['freed']['idle'] + grew['freed']['overhead']) / MIB:.1f} MiB only",
          grew["freed"]["idle"] + grew["freed"]["overhead"] > 0.7 * DATA)
    check(f"freed: idle grew by {grew['freed']['idle'] / MIB:.1f} MiB only", grew["freed"]["idle"] > 0.5 * DATA)
    check(f"released: idle shrank by {-grew['released']['idle'] / MIB:.1f} MiB only", grew["released"]["idle"] < -0.5 * DATA)
    check(f"released: rss shrank by {-grew['released']['rss'] / MIB:.1f} MiB only", grew["released"]["rss"] < -0.5 * DATA)
    check(f"released: released grew by {grew['released']['released'] / MIB:.1f} MiB only", grew["released"]["released"] > 0.5 * DATA)
sys.exit(bool(failures))
