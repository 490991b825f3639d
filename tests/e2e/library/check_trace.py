"""Lines of HEAPPROF_TRACE on standard input, of the target `traced`. Arguments: interval, bytes that it churned."""
import re
import sys

FORM = re.compile(
    r"heapprof (\d+) @(\d+\.\d{3})s: (\d+(?:\.\d)?)->(\d+(?:\.\d)?) MiB live \(est\. \u00b1(\d+(?:\.\d)?)\), "
    r"(\d+(?:\.\d)?) MiB inuse, (\d+(?:\.\d)?) MiB idle, (\d+(?:\.\d)?) MiB/s allocated, (\d+(?:\.\d)?)% cpu")
KEPT = 5000 * 2000 / 2**20


def check(exact, churned, lines):
    if len(lines) < 10:
        return f"only {len(lines)} lines in a second"
    before, at = 0.0, 0.0
    allocated, misses, built = 0.0, 0, 0
    for number, line in enumerate(lines, 1):
        match = FORM.fullmatch(line)
        if not match:
            return f"not of the form: {line}"
        values = [float(text) for text in match.groups()]
        if values[0] != number or values[1] <= at or values[2] != before:
            return f"does not follow the line before it: {line}"
        live, error, inuse, rate, share = values[3], values[4], values[5], values[7], values[8]
        allocated += rate * (values[1] - at)
        at, before = values[1], live
        # One object of 10,000 bytes may be live beside those that are kept.
        allowed = 0.1 if exact else error * 1.5 + 0.1
        # On a slow machine the first lines come while the target still builds what it keeps.
        if not built and live < KEPT - allowed:
            continue
        built += 1
        misses += abs(live - KEPT) > allowed
        if exact != (error == 0) or error > 3 or not 0 <= share <= 100:
            return f"error or share: {line}"
        if not 0.7 * KEPT < inuse < 4 * KEPT:
            return f"inuse: {line}"
    if built < 10:
        return f"only {built} lines of {len(lines)} when all was built"
    if misses:
        return f"{misses} live estimates of {len(lines)} off: {lines[-1]}"
    # What came after the last line is missing.
    if not 0.75 * churned / 2**20 < allocated < 1.15 * churned / 2**20 + 2 * KEPT:
        return f"rates make {allocated:.0f} MiB, not {churned / 2**20:.0f}"
    return None


wrong = check(sys.argv[1] == "1", float(sys.argv[2]), sys.stdin.read().splitlines())
if wrong:
    sys.exit("FAIL: " + wrong)
