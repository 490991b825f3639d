"""The second half of scripts/bench: what heapprof itself takes for a sample, for the walk of a stack, for a dump, and for
reading large profiles. Each prints a table of its own: what, heapprof's figure, and what it is compared with."""
import concurrent.futures
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import time

# Stands for a large program: much DWARF, and 100 functions that keep an object each.
UNIT = """
#include <algorithm>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>
template <int N> struct tower {
    std::map<int, std::vector<std::string>> level;
    std::unordered_map<std::string, std::function<int(const tower &)>> functions;
    tower<N - 1> below;
};
template <> struct tower<0> {};
static bool matches(const std::string &text) { return std::regex_match(text, std::regex("a.*b")); }
template <int N> __attribute__((noinline)) void *keep() { return operator new(N + 1); }
template <int... N> static void keep_each(std::integer_sequence<int, N...>) { void *kept[] = {keep<N>()...}; (void)kept; }
extern "C" void keep_all()
{
    new tower<200>;
    keep_each(std::make_integer_sequence<int, 100>());
    if (!matches("ab"))
        throw 1;
}
"""
COPIES = 150 # of UNIT in the program: 500 MB of DWARF

STACKS, DEPTH = 100000, 30
LARGE_STACKS = 600000 # 300 MB of text


class Table:
    """Prints its head when it is made, and rows as they come."""

    def __init__(self, title):
        print(f"\n### {title}\n\n| what | heapprof | for comparison |\n|---|---|---|", flush=True)

    @staticmethod
    def row(what, figure, comparison=""):
        print(f"| {what} | {figure} | {comparison} |", flush=True)


def median(values, unit, digits=2):
    values = list(values)
    error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.median(values):.{digits}f}{error} {unit}"


def sample(place, rounds):
    """The difference of allocating and freeing 1 KiB under 30 frames with more samples and with fewer."""
    table = Table(f"one sample of {DEPTH} frames, and its free")
    work = [os.path.join(place.targets, "work"), "alloc", "1000000", str(DEPTH)]

    def us(interval, **more):
        environment = dict(os.environ, LD_PRELOAD=place.library, HEAPPROF_INTERVAL=interval, **more)
        return float(subprocess.run(work, env=environment, capture_output=True, text=True, check=True).stdout)

    figures = {"cfi": [], "libunwind": [], "1": []}
    for _ in range(rounds):
        few = us("512K")
        for unwinder in "cfi", "libunwind":
            share = math.exp(-1 / 512) - math.exp(-1 / 4) # of the objects that are sampled at 4K and not at 512K
            figures[unwinder].append((us("4K", HEAPPROF_UNWINDER=unwinder) - few) / share)
        figures["1"].append(us("1") - few)
    table.row("at 1 sample per 4 KiB", median(figures["cfi"], "us"),
              median(figures["libunwind"], "us") + " with HEAPPROF_UNWINDER=libunwind")
    table.row("of every allocation (`-i 1`)", median(figures["1"], "us"))


def walk(place, rounds):
    """Both unwinders at every allocation, by tests/judge/judge.c."""
    table = Table("walking a stack, at every allocation of real programs")
    judge = os.path.join(place.build, "tests", "judge", "libjudge.so")
    for name, command in place.programs.items():
        ratios, ours, theirs, depths = [], [], [], []
        for _ in range(rounds):
            output = os.path.join(place.scratch, "judge")
            subprocess.run(command, env=dict(os.environ, LD_PRELOAD=judge, JUDGE_OUTPUT=output, PYTHONMALLOC="malloc"),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            with open(output) as file:
                lines = {line.split("\t")[0]: [int(word) for word in line.split("\t")[2:]] for line in file if line[0] != "p"}
            os.remove(output)
            if not lines["time"][2]:
                return table.row("left out: libunwind.so.8 is not here", "")
            ours.append(lines["time"][0] / lines["time"][1])
            theirs.append(lines["time"][2] / lines["time"][3])
            ratios.append(ours[-1] / theirs[-1])
            depths.append(lines["time"][1] / lines["stacks"][0])
        table.row(f"{name}, {statistics.median(depths):.0f} frames", median(ours, "ns a frame", 1),
                  f"{median(theirs, 'ns', 1)} libunwind: {statistics.median(ratios):.2f} of it")
    return None


def dump(place, rounds):
    """A dump while another thread allocates: how long it takes, and how long that thread waits for one object at most."""
    table = Table(f"a dump of {STACKS:,} stacks of {DEPTH} frames, every allocation sampled")
    environment = dict(os.environ, LD_PRELOAD=place.library, HEAPPROF_INTERVAL="1", HEAPPROF_OUTPUT=os.path.join(place.scratch, "%n.heap"))
    target = subprocess.Popen([os.path.join(place.targets, "work"), "stacks", str(STACKS), str(DEPTH)], env=environment,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def longest():
        target.stdin.write("\n")
        target.stdin.flush()
        return float(target.stdout.readline()) / 1000

    target.stdout.readline() # ready
    times, pauses, others = [], [], []
    for number in range(1, rounds + 1):
        path = os.path.join(place.scratch, f"{number:04}.heap")
        longest()
        start = time.perf_counter()
        target.send_signal(signal.SIGUSR2)
        while not os.path.exists(path):
            time.sleep(0.001)
        times.append((time.perf_counter() - start) * 1000)
        pauses.append(longest())
        time.sleep(times[-1] / 1000)
        others.append(longest())
        size = os.path.getsize(path)
        os.remove(path)
    target.communicate()
    table.row(f"from signal to file, {size / 1e6:.0f} MB", median(times, "ms", 0))
    table.row("longest wait of another thread for an object", median(pauses, "ms"), median(others, "ms") + " without a dump")


def large_profile(path):
    """Stacks as programs have them: the outer frames are of few functions, the inner ones of many."""
    draw = random.Random(1)
    addresses = [f"0x{0x555555560000 + 16 * i:x}" for i in range(20000)]
    levels = [(addresses, 10), (addresses[:2000], 10), (addresses[:100], DEPTH - 20)]
    with open(path, "w") as file:
        file.write(f"heap profile: {LARGE_STACKS}: {LARGE_STACKS * 4096} [{LARGE_STACKS}: {LARGE_STACKS * 4096}] @ heap_v2/524288\n")
        for _ in range(LARGE_STACKS):
            frames = (address for among, count in levels for address in draw.choices(among, k=count))
            file.write("1: 4096 [1: 4096] @ " + " ".join(frames) + "\n")
        file.write("\nMAPPED_LIBRARIES:\n555555554000-555555700000 r-xp 00000000 00:00 0 /nowhere/program\n")


def reading(place, command):
    """Seconds and peak memory of a command that reads a profile; None: more than 120 s."""
    start = time.perf_counter()
    process = subprocess.Popen(place.measured(command), env=dict(os.environ, LD_PRELOAD=""), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        if process.wait(timeout=120):
            raise RuntimeError(f"{' '.join(command)}: status {process.returncode}")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL) # and what it started
        process.wait()
        return None
    return time.perf_counter() - start, place.costs()[1]


def compare_reading(place, rounds, what, *files):
    """heapprof top and, once, go tool pprof -top of the last of the files; the others are programs."""
    runs = [reading(place, [os.path.join(place.build, "src", "cli", "heapprof"), "top", files[-1]]) for _ in range(rounds)]
    if None in runs:
        figure = "more than 120 s"
    else:
        figure = f"{median((run[0] for run in runs), 's')}, {statistics.median(run[1] for run in runs) / 2**20:.0f} MiB"
    if not shutil.which("go"):
        return Table.row(what, figure, "left out: go is not here")
    other = reading(place, ["go", "tool", "pprof", "-top", *files])
    return Table.row(what, figure, (f"{other[0]:.2f} s, {other[1] / 2**20:.0f} MiB" if other else "more than 120 s") + " go tool pprof")


def top(place, rounds):
    path = os.path.join(place.scratch, "large.heap")
    large_profile(path)
    Table("`heapprof top` of a large text profile")
    compare_reading(place, rounds, f"{os.path.getsize(path) / 1e6:.0f} MB, {LARGE_STACKS:,} stacks", path)
    os.remove(path)


def debug_bytes(path):
    lines = subprocess.run(["readelf", "-SW", path], capture_output=True, text=True, check=True).stdout.splitlines()
    return sum(int(words[4], 16) for words in (line.partition("]")[2].split() for line in lines)
               if len(words) > 4 and words[0].startswith(".debug"))


def large_program(place):
    """COPIES times the same unit, each with symbols of its own."""
    folder = os.path.join(place.scratch, "dwarf")
    os.mkdir(folder)

    def at(name):
        return os.path.join(folder, name)

    def copy(number):
        with open(at(f"map{number}"), "w") as file:
            file.writelines(f"{symbol} c{number}_{symbol}\n" for symbol in symbols)
        subprocess.run(["objcopy", f"--redefine-syms={at(f'map{number}')}", at("unit.o"), at(f"{number}.o")], check=True)
        return at(f"{number}.o")

    with open(at("unit.cpp"), "w") as file:
        file.write(UNIT)
    subprocess.run(["g++", "-g", "-O0", "-c", at("unit.cpp"), "-o", at("unit.o")], check=True)
    defined = subprocess.run(["nm", "--defined-only", at("unit.o")], capture_output=True, text=True, check=True).stdout
    symbols = sorted({line.split()[-1] for line in defined.splitlines()})
    with open(at("main.cpp"), "w") as file:
        file.writelines(f'extern "C" void c{number}_keep_all();\n' for number in range(COPIES))
        file.write("int main()\n{\n" + "".join(f"    c{number}_keep_all();\n" for number in range(COPIES)) + "}\n")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(copy, range(COPIES)))
    subprocess.run(["g++", at("main.cpp"), *objects, "-o", at("program")], check=True)
    for name in objects:
        os.remove(name)
    return at("program")


def dwarf(place, rounds):
    if not shutil.which("g++"):
        return print("left out: dwarf: g++ is not here")
    program, path = large_program(place), os.path.join(place.scratch, "dwarf.heap")
    subprocess.run([program], env=dict(os.environ, LD_PRELOAD=place.library, HEAPPROF_INTERVAL="1", HEAPPROF_AT_EXIT="1",
                                       HEAPPROF_OUTPUT=path), check=True)
    with open(path) as file:
        addresses = {word for line in file if " @ " in line and line[0].isdigit() for word in line.split(" @ ")[1].split()}
    Table("`heapprof top` with names from DWARF")
    return compare_reading(place, rounds, f"{debug_bytes(program) / 1e6:.0f} MB of DWARF, {len(addresses):,} addresses", program, path)


FIGURES = {"sample": sample, "walk": walk, "dump": dump, "top": top, "dwarf": dwarf}
