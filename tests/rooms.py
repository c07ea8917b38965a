#!/usr/bin/env python3
"""rooms.py SOURCE: the arrows between the rooms hold.

A file includes headers of its own room and of those that the room stands on; of another room only
the public one, which is named after it. The table says who stands on whom; meson links the rooms in
the same order, but the compiler would find any header.
"""
import pathlib
import re
import sys

ENGINE = {"base", "vit", "data", "corrupt", "attacks"}
STANDS_ON = {
    "base": set(),
    "mesh": {"base"},
    "vit": {"base"},
    "data": {"base"},
    "corrupt": {"base"},
    "attacks": {"base"},
    "measure": {"base", "vit", "corrupt", "attacks"},
    "train": ENGINE | {"measure"},
    "show": {"base", "data"},
    "apps": ENGINE | {"mesh", "measure", "train", "show"},
}
PUBLIC = {f"{room}/{room}.h" for room in STANDS_ON} | {"vit/vae/vae.h", "train/vae/vae.h"}
# Pages that are still laid out by hand.
LENT = {("apps", "show/page_internal.h"), ("apps", "show/plot_internal.h")}
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def main():
    source, wrong, looked = pathlib.Path(sys.argv[1]), [], 0
    for room, below in STANDS_ON.items():
        for path in sorted((source / room).rglob("*.[ch]")):
            looked += 1
            for header in INCLUDE.findall(path.read_text(encoding="utf-8")):
                other = header.split("/")[0]
                if other == room or (room, header) in LENT:
                    continue
                if other not in below:
                    wrong.append(f"'{path.relative_to(source)}' includes '{header}': {room} does not stand on {other}")
                elif header not in PUBLIC:
                    wrong.append(f"'{path.relative_to(source)}' includes '{header}', which is private to {other}")
    for path in sorted(source.rglob("*.[ch]")):
        if "<mpi.h>" in path.read_text(encoding="utf-8", errors="replace") and path.name != "engine_mpi.c" and \
                path.relative_to(source).parts[0] in STANDS_ON:
            wrong.append(f"'{path.relative_to(source)}' includes mpi.h: only mesh/engine_mpi.c may")
    print("\n".join(wrong) or f"{looked} files keep to their rooms")
    return 1 if wrong or looked == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
