#!/usr/bin/env python3
"""layers.py BUILD: who uses whom, by the symbols that the object files in BUILD define and want.

Fails if files of preload/ use each other in a circle, or folders do, or a folder of preload/ uses one that the table
in CONTRIBUTING.md does not give it. Inline functions and types of headers are not seen. The library and the command
are two programs: what the command calls malloc is not the library's.
"""
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def objects(build, program):
    """{object file: source file}, of what is linked into a program."""
    with open(os.path.join(build, "compile_commands.json")) as commands:
        for command in json.load(commands):
            source = os.path.relpath(os.path.join(command["directory"], command["file"]), ROOT)
            path = os.path.join(command["directory"], command["output"])
            ours = command["output"].startswith(program) and source.startswith(("preload/", "src/"))
            if ours and os.path.exists(path):
                yield path, source


def symbols(paths):
    """(object file, symbol, is it defined there) of all that others can see."""
    text = subprocess.run(["nm", "--format=posix", *paths], capture_output=True, text=True, check=True).stdout
    path = None
    for line in text.splitlines():
        if line.endswith(":"):
            path = line[:-1]
        elif line.split()[1] in "Uw":
            yield path, line.split()[0], False
        elif line.split()[1].isupper():
            yield path, line.split()[0], True


def uses(sources):
    """{source: {source that it uses: a symbol by which it does}}"""
    found = list(symbols(sorted(sources)))
    definers, graph = {}, {}
    for path, name, defined in found:
        if defined:
            definers.setdefault(name, set()).add(sources[path])
    for path, name, defined in found:
        for definer in () if defined else definers.get(name, set()) - {sources[path]}:
            graph.setdefault(sources[path], {}).setdefault(definer, name)
    return graph


def by_folder(graph):
    folders = {}
    for user, used in graph.items():
        for source, name in used.items():
            a, b = os.path.dirname(user), os.path.dirname(source)
            if a != b:
                folders.setdefault(a, {}).setdefault(b, f"{os.path.basename(user)}: {name}")
    return folders


def circle(graph):
    """The shortest way from a place back to itself; None: there is none."""
    best = None
    for start in sorted(graph):
        came_from, queue = {}, [start]
        while queue and start not in came_from:
            place = queue.pop(0)
            for after in sorted(graph.get(place, ())):
                if after not in came_from:
                    came_from[after] = place
                    queue.append(after)
        if start not in came_from:
            continue
        way = [start]
        while len(way) == 1 or way[-1] != start:
            way.append(came_from[way[-1]])
        if not best or len(way) < len(best):
            best = way[::-1]
    return best


def told(graph, way):
    steps = [f"{b} ({graph[a][b]})" for a, b in zip(way, way[1:])]
    return " -> ".join([way[0], *steps])


def table():
    """{folder of preload/: what it may use}, from CONTRIBUTING.md; a folder may use what the one it is in may."""
    rows = {}
    with open(os.path.join(ROOT, "CONTRIBUTING.md")) as document:
        for line in document:
            row = re.match(r"\| `(preload(?:/[^`]*)?)/` \|.*\| ([^|]*) \|$", line)
            if row:
                rows[row[1]] = re.findall(r"(all of )?`([^`]*)/`", row[2])
    return rows


def may_use(rows, folder, other):
    return any(other == given or (everything and other.startswith(given + "/"))
               for row in (rows[folder], rows["preload"]) for everything, given in row)


def check(build):
    library = uses(dict(objects(build, "preload/")))
    command = uses(dict(objects(build, "src/")))
    if not library or not command:
        sys.exit(f"{build} has no object files of both programs")
    own = {user: {used: name for used, name in all_used.items() if used.startswith("preload/")}
           for user, all_used in library.items() if user.startswith("preload/")}
    faults = []
    for what, graph in (("files", own), ("folders", by_folder(library)), ("folders", by_folder(command))):
        way = circle(graph)
        if way:
            faults.append(f"a circle of {what}: {told(graph, way)}")
    rows = table()
    for folder, used in sorted(by_folder(library).items()):
        if not folder.startswith("preload/"):
            continue
        if folder not in rows:
            faults.append(f"{folder}/ has no row in the table of CONTRIBUTING.md")
            continue
        faults += [f"{folder}/ uses {other}/, which CONTRIBUTING.md does not give it ({name})"
                   for other, name in sorted(used.items()) if not may_use(rows, folder, other)]
    return faults


if __name__ == "__main__":
    wrong = check(sys.argv[1])
    print("\n".join(wrong) or "no circle of files or folders")
    sys.exit(bool(wrong))
