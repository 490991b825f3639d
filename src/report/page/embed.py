#!/usr/bin/env python3
"""embed.py OUT FILE...: the parts of the page as C strings, one `const char hp_page_NAME[]` a file."""
import os
import re
import sys

with open(sys.argv[1], "w") as out:
    out.write('#include "report/page/html_parts.h"\n')
    for path in sys.argv[2:]:
        name = re.sub(r"\W", "_", os.path.basename(path))
        out.write(f"\nconst char hp_page_{name}[] =\n")
        with open(path, encoding="utf-8") as part:
            for line in part:
                escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("??", "?\\?")
                out.write(f'    "{escaped}"\n')
        out.write("    ;\n")
