#!/usr/bin/env python3
"""man.py HEAPPROF VERSION OUT: the manual page heapprof(1), with a section for each verb, from the command's own help."""
import re
import subprocess
import sys

heapprof, version, out = sys.argv[1:]


def ask(*words):
    return subprocess.run([heapprof, "help", *words], stdout=subprocess.PIPE, check=True, text=True).stdout


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("’", "'")
    return "\\&" + text if text[:1] in (".", "'") else text


def paragraphs(lines):
    """Option lists become .TP items, all else paragraphs; a line that is indented deeper goes on."""
    for line in lines:
        option = re.match(r"  (-\S.*?)(?:  +(.*))?$", line)
        if option:
            yield ".TP"
            yield ".B " + escape(option[1])
            if option[2]:
                yield escape(option[2])
        elif not line.strip():
            yield ".PP"
        elif line.startswith("Example: "):
            yield ".PP"
            yield "Example:"
            yield ".PP"
            yield ".RS 4"
            yield ".nf"
            yield escape(line[len("Example: "):])
            yield ".fi"
            yield ".RE"
        else:
            yield escape(line.strip())


def tidy(lines):
    """No paragraph macro before another one, or at the end."""
    kept = []
    for line in lines:
        if kept and kept[-1] == ".PP" and (line.startswith((".PP", ".SH", ".SS", ".TP"))):
            kept.pop()
        if line == ".PP" and kept and kept[-1].startswith((".SH", ".SS")):
            continue
        kept.append(line)
    while kept and kept[-1] == ".PP":
        kept.pop()
    return kept


verbs = re.findall(r"^  ([a-z]+) +(.*)$", ask(), re.M)
verbs = [(name, summary) for name, summary in verbs if name != "heapprof"]
page = [f'.TH HEAPPROF 1 "" "heapprof {version}" "User Commands"', ".SH NAME",
        "heapprof \\- sampling heap profiler for C, C++ and Rust programs", ".SH SYNOPSIS"]
sections = []
for name, summary in verbs:
    usage, _, rest = ask(name).partition("\n\n")
    arguments = usage.split(maxsplit=3)[3] if len(usage.split()) > 3 else ""
    page += [f".B heapprof {name}", escape(arguments), ".br"] if arguments else [f".B heapprof {name}", ".br"]
    sections += [f".SS {name}", *paragraphs(rest.splitlines())]
page.pop()  # the last .br
page += [".SH DESCRIPTION", escape("heapprof shows where a running program's memory goes, without rebuilding it: a library that"),
         escape("is loaded with LD_PRELOAD samples allocations, and this command reads the profiles. Each number in a report"),
         escape("is an estimate, and stands with the half-width of its 95% interval."), ".SH VERBS", *sections,
         ".SH EXIT STATUS", ".TP", ".B 0", "done", ".TP", ".B 1", "it could not be done; one line on standard error says why",
         ".TP", ".B 2", "wrong usage", ".TP", ".B 3", escape("diff --fail-on-growth: it grew"), ".PP",
         ".B run", escape("exits as its target does, with 128+N when signal N ended it."),
         ".SH ENVIRONMENT", ".TP", ".B NO_COLOR", "no colours", ".TP", ".B COLUMNS", "width of the terminal", ".TP",
         ".B DEBUGINFOD_URLS", "servers to ask for debug information", ".TP", ".B HEAPPROF_INTERVAL, HEAPPROF_OUTPUT, ...",
         escape("settings of the library: see the README")]
with open(out, "w") as file:
    file.write("\n".join(tidy(page)) + "\n")
