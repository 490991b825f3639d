#!/bin/bash
# What convert writes for other tools is what these tools take: speedscope's schema (fetched from npm, version pinned),
# Graphviz, an XML parser; and says the same as the reports.
set -u
: "${HEAPPROF:?path of the command}" "${SOURCE_ROOT:?root of the source}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NO_COLOR=1 LC_ALL=C.UTF-8 HOME=$work
cd "$SOURCE_ROOT/tests/data" || exit 1
failures=0
skipped=

fail() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}

convert() { # FORMAT OUT ARGUMENT...
    local format=$1 out=$2
    shift 2
    "$HEAPPROF" convert --to="$format" -o "$work/$out" "$@" 2>"$work/err" || fail "convert --to=$format: $(cat "$work/err")"
}

# before.prof with names that every format has to escape.
sed 's/read_query+/read<"\&'"'"'\\>(char const*, {lambda()#1})+/' before.prof >"$work/odd.prof"

for name in before exact; do
    convert speedscope $name.speedscope.json $name.prof
    convert json $name.json $name.prof
    convert svg $name.svg $name.prof
    convert dot $name.dot $name.prof
done
for format in speedscope json svg dot folded; do
    convert $format odd.$format "$work/odd.prof"
done
convert svg diff.svg --base before.prof after.prof
convert dot diff.dot --base before.prof after.prof
convert dot few.dot -n 2 before.prof

# profile.proto by the rules of its readers: profiles with all names, some, and none; merged; of a real program, where the
# program itself comes first.
checked() { # OUT ARGUMENT...
    local out=$1
    shift
    convert pprof "$out" "$@"
    python3 "$here/reports/check_proto.py" "$work/$out" || failures=$((failures + 1))
}
here=$SOURCE_ROOT/tests/e2e
for name in before after exact moved no_stack; do
    checked $name.pb.gz $name.prof
done
checked odd.pb.gz "$work/odd.prof"
checked merged.pb.gz before.prof after.prof moved.prof
grep -v '^#.0x' before.prof >"$work/bare.prof"
checked bare.pb.gz "$work/bare.prof"
checked again.pb.gz "$work/before.pb.gz"
LD_PRELOAD=${LIBHEAPPROF:?path of the library} HEAPPROF_INTERVAL=1 HEAPPROF_AT_EXIT=1 HEAPPROF_LEDGER=none \
    HEAPPROF_OUTPUT=$work/perl.heap perl -e 'my @kept = map { "x" x $_ } 1 .. 1000'
checked perl.pb.gz "$work/perl.heap"
python3 "$here/reports/check_proto.py" "$work/perl.pb.gz" "$(realpath "$(command -v perl)")" || failures=$((failures + 1))

# One of the stacks of the same sums as top, in each of the formats.
python3 - "$work" "$HEAPPROF" <<'PY' || failures=$((failures + 1))
import json, subprocess, sys, xml.etree.ElementTree as tree
work, heapprof = sys.argv[1:]
types = ["inuse_space", "inuse_objects", "alloc_space", "alloc_objects"]
failed = 0
def check(what, condition):
    global failed
    if not condition:
        print("FAIL:", what)
        failed = 1
for name in "before", "exact":
    scope = json.load(open(f"{work}/{name}.speedscope.json"))
    whole = json.load(open(f"{work}/{name}.json"))
    check("facts", whole["facts"]["HeapInuse"] == "41943040" and whole["modules"][0]["build_id"].startswith("5ca1ab1e"))
    for i, kind in enumerate(types):
        top = json.loads(subprocess.run([heapprof, "top", "--json", "-n0", f"--sample={kind}", f"{name}.prof"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout)
        flat = {row["function"]: row["flat"] for row in top["rows"]}
        profile = scope["profiles"][i]
        check("name", profile["name"] == kind)
        check("range", profile["endValue"] == sum(profile["weights"]))
        sums, others = dict.fromkeys(flat, 0), dict.fromkeys(flat, 0)
        for stack, weight in zip(profile["samples"], profile["weights"]):
            sums[scope["shared"]["frames"][stack[-1]]["name"]] += weight
        for sample in whole["samples"]:
            others[whole["frames"][sample["frames"][0]]["label"]] += sample[kind]
        for function, value in flat.items():
            check(f"speedscope {name} {kind} {function}: {sums[function]}, not {value}", abs(sums[function] - value) <= 10)
            check(f"json {name} {kind} {function}: {others[function]}, not {value}", abs(others[function] - value) <= 10)
svg = "{http://www.w3.org/2000/svg}"
for name in "before", "exact", "odd", "diff":
    picture = tree.parse(f"{work}/{name}.svg").getroot()
    check(f"{name}.svg has scripts", not list(picture.iter(svg + "script")))
    boxes = {g.find(svg + "title").text.split(":")[0].split(" (")[0]: g.find(svg + "rect") for g in picture.iter(svg + "g")}
    check(f"{name}.svg: root on top", float(boxes["all"].get("y")) < float(boxes["main"].get("y")) <
          float(boxes["dict_add"].get("y")) < float(boxes["dict_key"].get("y")))
    if name == "diff":
        check("growth is orange", boxes["dict_key"].get("fill") == "#ea9230")
        check("noise is grey", boxes["sds_new"].get("fill") == "#d0d0d0")
titles = [t.text for t in tree.parse(f"{work}/odd.svg").getroot().iter(svg + "title")]
check("an odd name in svg", any(t.startswith("read<\"&'\\>(char const*, {lambda()#1}) (net.c:900)") for t in titles))
odd = json.load(open(f"{work}/odd.speedscope"))
check("an odd name in speedscope", any(f["name"] == "read<\"&'\\>(char const*, {lambda()#1})" for f in odd["shared"]["frames"]))
check("error and samples in svg", any("± 8.8 MiB, 100.0%, 80 samples" in t for t in titles))
sys.exit(failed)
PY

grep -q -- '-> .*inlined' "$work/before.dot" || fail "dot does not tell inlined calls"
[ "$(grep -c '^  n[0-9]* \[' "$work/few.dot")" = 2 ] || fail "dot -n 2"
if command -v dot >/dev/null; then
    for name in before exact odd diff few; do
        file=$work/$name.dot
        [ -e "$file" ] || file=$work/odd.dot
        dot -Tsvg "$file" >"$work/graph.svg" 2>"$work/err" || fail "dot does not take $name.dot: $(cat "$work/err")"
        [ ! -s "$work/err" ] || fail "dot warns of $name.dot: $(cat "$work/err")"
    done
else
    skipped="no Graphviz here"
fi

if ! python3 -c 'import jsonschema' 2>/dev/null; then
    skipped="$skipped; no python3-jsonschema here"
elif ! (cd "$work" && timeout 120 npm pack --silent speedscope@1.22.2 >/dev/null 2>&1 && tar -xzf speedscope-1.22.2.tgz); then
    skipped="$skipped; npm can't fetch speedscope's schema here"
else
    for name in before.speedscope.json exact.speedscope.json odd.speedscope; do
        python3 -W ignore - "$work/package/dist/release/file-format-schema.json" "$work/$name" <<'PY' || fail "$name is against the schema"
import json, jsonschema, sys
schema, document = (json.load(open(name)) for name in sys.argv[1:])
jsonschema.validate(document, schema)
document["profiles"][0]["unit"] = "parsecs"
try:
    jsonschema.validate(document, schema)
    sys.exit("the schema takes anything")
except jsonschema.ValidationError:
    pass
PY
    done
fi

[ $failures = 0 ] || exit 1
if [ -n "$skipped" ]; then
    echo "SKIPPED in part: ${skipped#; }"
    exit 77
fi
echo "what is converted is as it should be"
