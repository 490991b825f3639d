"""check_proto.py FILE [MAIN]: a profile.proto as those want it who read them, each rule by its source. MAIN: the path that
the first mapping has.

    pprof      proto/profile.proto, and CheckValid of profile/profile.go
    Parca      ids from 1 to n, in order (pkg/normalizer)
    Pyroscope  a mapping for each location (pkg/pprof)
    Perfetto   no field that it does not know, so no doc_url (traceconv's pprof reader)
"""
import gzip
import re
import sys

TYPES = [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")]
PROFILE = {"sample_type": 1, "sample": 2, "mapping": 3, "location": 4, "function": 5, "string": 6, "time": 9,
           "period_type": 11, "period": 12, "comment": 13, "default": 14}
failures = 0


def expect(condition, what):
    global failures
    if not condition:
        failures += 1
        print(f"FAIL: {sys.argv[1]}: {what}")


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def fields(data):
    at, found = 0, {}
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        expect(tag & 7 in (0, 2), f"wire type {tag & 7}")
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        found.setdefault(tag >> 3, []).append(value)
    return found


def one(message, field, default=0):
    values = message.get(field, [default])
    expect(len(values) == 1, f"field {field} comes {len(values)} times")
    return values[0]


def numbers(values):
    """Of a repeated field, packed or not."""
    for value in values:
        if isinstance(value, int):
            yield value
            continue
        at = 0
        while at < len(value):
            number, at = varint(value, at)
            yield number


def check_ids(messages, what):
    expect([one(message, 1) for message in messages] == list(range(1, len(messages) + 1)), f"ids of {what} are not 1 to n")


def check_mapping(mapping, lines, text):
    start, limit, path, build_id = one(mapping, 2), one(mapping, 3), text(one(mapping, 5)), text(one(mapping, 6))
    # What lies in no module has a mapping without a name, of no addresses.
    expect(start < limit or (start, limit, path) == (0, 0, ""), f"mapping of {path}: {start:#x}-{limit:#x}")
    expect(re.fullmatch("([0-9a-f]{2})*", build_id), f"build id of {path}: {build_id!r}")
    flags = [one(mapping, field) for field in (7, 8, 9, 10)]
    expect(flags in ([0] * 4, [1] * 4), f"has_... flags of {path}: {flags}")
    expect(not flags[0] or not lines or any(lines), f"{path} has_functions, but there are none")


def check(data, main):
    profile = fields(data)
    expect(not set(profile) - set(PROFILE.values()), f"fields {sorted(set(profile) - set(PROFILE.values()))}")
    get = {name: profile.get(field, []) for name, field in PROFILE.items()}
    strings = [string.decode() for string in get["string"]]
    expect(strings and strings[0] == "", "the first string is not empty")

    def text(index):
        expect(index < len(strings), f"string {index} of {len(strings)}")
        return strings[index] if index < len(strings) else ""

    def value_type(message):
        return text(one(fields(message), 1)), text(one(fields(message), 2))

    expect([value_type(message) for message in get["sample_type"]] == TYPES, "other sample types, or another order")
    expect(text(one(profile, PROFILE["default"])) == "inuse_space", "default_sample_type")
    expect([value_type(message) for message in get["period_type"]] == [("space", "bytes")], "period_type")
    expect(one(profile, PROFILE["period"]) >= 1, "no period")
    mappings, locations, functions = ([fields(message) for message in get[what]]
                                      for what in ("mapping", "location", "function"))
    for what, messages in (("mappings", mappings), ("locations", locations), ("functions", functions)):
        check_ids(messages, what)
    lines_of = [[] for _ in mappings]
    for location in locations:
        mapping, address = one(location, 2), one(location, 3)
        expect(1 <= mapping <= len(mappings), f"a location at {address:#x} without a mapping")
        if 1 <= mapping <= len(mappings):
            lines_of[mapping - 1].append(len(location.get(4, [])))
            range_of = mappings[mapping - 1]
            expect(one(range_of, 2) <= address < one(range_of, 3) or not text(one(range_of, 5)),
                   f"a location at {address:#x} outside of its mapping")
        for line in location.get(4, []):
            expect(1 <= one(fields(line), 1) <= len(functions), "a line without a function")
    for function in functions:
        expect(text(one(function, 2)), "a function without a name")
        text(one(function, 3)), text(one(function, 4))
        # pprof demangles a system name that is the name, and then leaves the parameters out.
        expect(text(one(function, 3)) != text(one(function, 2)), "a system name that is the name")
    for mapping, lines in zip(mappings, lines_of):
        check_mapping(mapping, lines, text)
    if main:
        expect(mappings and text(one(mappings[0], 5)) == main, f"the first mapping is not {main}")
    for message in get["sample"]:
        sample = fields(message)
        stack, values = list(numbers(sample.get(1, []))), list(numbers(sample.get(2, [])))
        expect(len(values) == 4, f"{len(values)} values")
        expect(stack and all(1 <= location <= len(locations) for location in stack), f"a stack of {stack}")
        expect(len(values) == 4 and values[2] <= values[0] and values[3] <= values[1], f"more live than allocated: {values}")
        expect([text(one(fields(label), 1)) for label in sample.get(3, [])] == ["bytes"], "labels")
    expect(get["sample"], "no samples")


with gzip.open(sys.argv[1]) as file:
    check(file.read(), sys.argv[2] if len(sys.argv) > 2 else None)
sys.exit(failures > 0)
