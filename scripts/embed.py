#!/usr/bin/env python3
"""embed.py HEADER PREFIX OUT FILE...: files as C strings, one `const char PREFIX_NAME[]` a file, which HEADER declares.

A line `@include FILE` stands for the lines of that file beside it. Names end before `.txt`; of others the suffix is part.
"""
import os
import re
import sys


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            included = re.fullmatch(r"@include (\S+)\n", line)
            if included:
                yield from lines_of(os.path.join(os.path.dirname(path), included[1]))
            else:
                yield line


header, prefix, target = sys.argv[1:4]
with open(target, "w", encoding="utf-8") as out:
    out.write(f'#include "{header}"\n')
    for path in sys.argv[4:]:
        name = re.sub(r"\W", "_", os.path.basename(path).removesuffix(".txt"))
        out.write(f"\nconst char {prefix}_{name}[] =\n")
        for line in lines_of(path):
            escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("??", "?\\?")
            out.write(f'    "{escaped}"\n')
        out.write("    ;\n")
